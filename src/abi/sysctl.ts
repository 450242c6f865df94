/**
 * sysctl: what concerns the host as a whole. One layout for both guest widths, as in domctl. Interface version 0x15,
 * that of Xen 4.17; any other answers -EACCES.
 *
 * @abi public/sysctl.h
 */
import { array, at, block, n64, nested, s32, struct, u8, u16, u32 } from '../base/layout.ts';
import { handle64 } from './width.ts';
import { xenctl_bitmap } from './xen.ts';

export const XEN_SYSCTL_INTERFACE_VERSION = 0x00000015;

export const XEN_SYSCTL_readconsole = 1;
export const XEN_SYSCTL_tbuf_op = 2;
export const XEN_SYSCTL_physinfo = 3;
export const XEN_SYSCTL_sched_id = 4;
export const XEN_SYSCTL_perfc_op = 5;
export const XEN_SYSCTL_getdomaininfolist = 6;
export const XEN_SYSCTL_debug_keys = 7;
export const XEN_SYSCTL_getcpuinfo = 8;
export const XEN_SYSCTL_availheap = 9;
export const XEN_SYSCTL_get_pmstat = 10;
export const XEN_SYSCTL_cpu_hotplug = 11;
export const XEN_SYSCTL_pm_op = 12;
export const XEN_SYSCTL_page_offline_op = 14;
export const XEN_SYSCTL_lockprof_op = 15;
export const XEN_SYSCTL_cputopoinfo = 16;
export const XEN_SYSCTL_numainfo = 17;
export const XEN_SYSCTL_cpupool_op = 18;
export const XEN_SYSCTL_scheduler_op = 19;
export const XEN_SYSCTL_coverage_op = 20;
export const XEN_SYSCTL_psr_cmt_op = 21;
export const XEN_SYSCTL_pcitopoinfo = 22;
export const XEN_SYSCTL_psr_alloc = 23;
export const XEN_SYSCTL_get_cpu_levelling_caps = 25;
export const XEN_SYSCTL_get_cpu_featureset = 26;
export const XEN_SYSCTL_livepatch_op = 27;
export const XEN_SYSCTL_get_cpu_policy = 29;

/** The call's argument: `u` holds the structure of the command. */
export const xen_sysctl = struct('xen_sysctl', { cmd: u32, interface_version: u32, u: block(128, 8) });

export const xen_sysctl_readconsole = struct('xen_sysctl_readconsole', {
  clear: u8,
  incremental: u8,
  pad0: u8,
  pad1: u8,
  /** IN with `incremental`, where to start; OUT where the next read goes on. */
  index: u32,
  buffer: handle64,
  count: u32,
});

export const XEN_SYSCTL_TBUFOP_get_info = 0;
export const XEN_SYSCTL_TBUFOP_set_cpu_mask = 1;
export const XEN_SYSCTL_TBUFOP_set_evt_mask = 2;
export const XEN_SYSCTL_TBUFOP_set_size = 3;
export const XEN_SYSCTL_TBUFOP_enable = 4;
export const XEN_SYSCTL_TBUFOP_disable = 5;

export const xen_sysctl_tbuf_op = struct('xen_sysctl_tbuf_op', {
  cmd: u32,
  cpu_mask: nested(xenctl_bitmap),
  evt_mask: u32,
  buffer_mfn: n64,
  size: u32,
});

export const XEN_SYSCTL_PHYSCAP_hvm = 1 << 0;
export const XEN_SYSCTL_PHYSCAP_pv = 1 << 1;
export const XEN_SYSCTL_PHYSCAP_directio = 1 << 2;
export const XEN_SYSCTL_PHYSCAP_hap = 1 << 3;
export const XEN_SYSCTL_PHYSCAP_shadow = 1 << 4;
export const XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share = 1 << 5;
export const XEN_SYSCTL_PHYSCAP_vmtrace = 1 << 6;
export const XEN_SYSCTL_PHYSCAP_vpmu = 1 << 7;
export const XEN_SYSCTL_PHYSCAP_gnttab_v1 = 1 << 8;
export const XEN_SYSCTL_PHYSCAP_gnttab_v2 = 1 << 9;
export const XEN_SYSCTL_PHYSCAP_MAX = XEN_SYSCTL_PHYSCAP_gnttab_v2;

export const xen_sysctl_physinfo = struct('xen_sysctl_physinfo', {
  threads_per_core: u32,
  cores_per_socket: u32,
  nr_cpus: u32,
  max_cpu_id: u32,
  nr_nodes: u32,
  max_node_id: u32,
  cpu_khz: u32,
  capabilities: u32,
  arch_capabilities: u32,
  pad: u32,
  total_pages: n64,
  free_pages: n64,
  scrub_pages: n64,
  outstanding_pages: n64,
  max_mfn: n64,
  hw_cap: array(u32, 8),
});

export const xen_sysctl_sched_id = struct('xen_sysctl_sched_id', { sched_id: u32 });

export const XEN_SYSCTL_PERFCOP_reset = 1; // Reset all counters to zero.
export const XEN_SYSCTL_PERFCOP_query = 2; // Get perfctr information.

export const xen_sysctl_perfc_op = struct('xen_sysctl_perfc_op', {
  cmd: u32,
  nr_counters: u32,
  nr_vals: u32,
  desc: handle64,
  val: handle64,
});

/** The buffer takes xen_domctl_getdomaininfo structures. */
export const xen_sysctl_getdomaininfolist = struct('xen_sysctl_getdomaininfolist', {
  first_domain: u16,
  max_domains: u32,
  buffer: handle64,
  /* OUT */ num_domains: u32,
});

export const xen_sysctl_debug_keys = struct('xen_sysctl_debug_keys', { keys: handle64, nr_keys: u32 });

export const xen_sysctl_cpuinfo = struct('xen_sysctl_cpuinfo', { /** ns */ idletime: n64 });

export const xen_sysctl_getcpuinfo = struct('xen_sysctl_getcpuinfo', {
  max_cpus: u32,
  info: handle64,
  /* OUT */ nr_cpus: u32,
});

export const xen_sysctl_availheap = struct('xen_sysctl_availheap', {
  min_bitwidth: u32,
  max_bitwidth: u32,
  node: s32,
  /* OUT */ avail_bytes: n64,
});

export const PMSTAT_CATEGORY_MASK = 0xf0;
export const PMSTAT_PX = 0x10;
export const PMSTAT_CX = 0x20;
export const PMSTAT_get_max_px = 0x11;
export const PMSTAT_get_pxstat = 0x12;
export const PMSTAT_reset_pxstat = 0x13;
export const PMSTAT_get_max_cx = 0x21;
export const PMSTAT_get_cxstat = 0x22;
export const PMSTAT_reset_cxstat = 0x23;

/** `u` holds the statistics of one kind; none are kept here. */
export const xen_sysctl_get_pmstat = struct('xen_sysctl_get_pmstat', {
  type: u32,
  cpuid: u32,
  u: block(56, 8),
});

export const XEN_SYSCTL_CPU_HOTPLUG_ONLINE = 0;
export const XEN_SYSCTL_CPU_HOTPLUG_OFFLINE = 1;
export const XEN_SYSCTL_CPU_HOTPLUG_SMT_ENABLE = 2;
export const XEN_SYSCTL_CPU_HOTPLUG_SMT_DISABLE = 3;

export const xen_sysctl_cpu_hotplug = struct('xen_sysctl_cpu_hotplug', { cpu: u32, op: u32 });

export const XEN_INVALID_CORE_ID = 0xffffffff;
export const XEN_INVALID_SOCKET_ID = 0xffffffff;
export const XEN_INVALID_NODE_ID = 0xffffffff;
export const XEN_INVALID_MEM_SZ = 0xffffffff;
export const XEN_INVALID_NODE_DIST = 0xffffffff;
export const XEN_INVALID_DEV = 0xfffffffe;

export const xen_sysctl_cputopo = struct('xen_sysctl_cputopo', { core: u32, socket: u32, node: u32 });

/** A null pointer asks for the number; so for the two below. */
export const xen_sysctl_cputopoinfo = struct('xen_sysctl_cputopoinfo', { num_cpus: u32, cputopo: handle64 });

export const xen_sysctl_meminfo = struct('xen_sysctl_meminfo', { memsize: n64, memfree: n64 });

export const xen_sysctl_numainfo = struct('xen_sysctl_numainfo', {
  num_nodes: u32,
  meminfo: handle64,
  distance: handle64,
});

export const xen_sysctl_pcitopoinfo = struct('xen_sysctl_pcitopoinfo', {
  num_devs: u32,
  devs: handle64,
  nodes: handle64,
});

export const XEN_SYSCTL_CPUPOOL_OP_CREATE = 1; // C
export const XEN_SYSCTL_CPUPOOL_OP_DESTROY = 2; // D
export const XEN_SYSCTL_CPUPOOL_OP_INFO = 3; // I
export const XEN_SYSCTL_CPUPOOL_OP_ADDCPU = 4; // A
export const XEN_SYSCTL_CPUPOOL_OP_RMCPU = 5; // R
export const XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN = 6; // M
export const XEN_SYSCTL_CPUPOOL_OP_FREEINFO = 7; // F
export const XEN_SYSCTL_CPUPOOL_PAR_ANY = 0xffffffff;

export const xen_sysctl_cpupool_op = struct('xen_sysctl_cpupool_op', {
  op: u32,
  cpupool_id: u32,
  sched_id: u32,
  domid: u32,
  cpu: u32,
  n_dom: u32,
  cpumap: nested(xenctl_bitmap),
});

export const XEN_SYSCTL_SCHED_RATELIMIT_MAX = 0x7a120;
export const XEN_SYSCTL_SCHED_RATELIMIT_MIN = 100;
export const XEN_SYSCTL_CSCHED_TSLICE_MAX = 1000;
export const XEN_SYSCTL_CSCHED_TSLICE_MIN = 1;
export const XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US = 0x186a0;
export const XEN_SYSCTL_SCHEDOP_putinfo = 0;
export const XEN_SYSCTL_SCHEDOP_getinfo = 1;

export const xen_sysctl_scheduler_op = struct('xen_sysctl_scheduler_op', {
  cpupool_id: u32,
  sched_id: u32,
  cmd: u32,
  sched_arinc653_schedule: handle64,
  sched_credit_tslice_ms: at(16, u32),
  sched_credit_ratelimit_us: u32,
  sched_credit_vcpu_migr_delay_us: u32,
  sched_credit2_ratelimit_us: at(16, u32),
});

export const XEN_SYSCTL_CPU_LEVELCAP_faulting = 1 << 0; // CPUID faulting
export const XEN_SYSCTL_CPU_LEVELCAP_ecx = 1 << 1; // 0x00000001.ecx
export const XEN_SYSCTL_CPU_LEVELCAP_edx = 1 << 2; // 0x00000001.edx
export const XEN_SYSCTL_CPU_LEVELCAP_extd_ecx = 1 << 3; // 0x80000001.ecx
export const XEN_SYSCTL_CPU_LEVELCAP_extd_edx = 1 << 4; // 0x80000001.edx
export const XEN_SYSCTL_CPU_LEVELCAP_xsave_eax = 1 << 5; // 0x0000000D:1.eax
export const XEN_SYSCTL_CPU_LEVELCAP_thermal_ecx = 1 << 6; // 0x00000006.ecx
export const XEN_SYSCTL_CPU_LEVELCAP_l7s0_eax = 1 << 7; // 0x00000007:0.eax
export const XEN_SYSCTL_CPU_LEVELCAP_l7s0_ebx = 1 << 8; // 0x00000007:0.ebx

export const xen_sysctl_cpu_levelling_caps = struct('xen_sysctl_cpu_levelling_caps', { caps: u32 });

export const XEN_SYSCTL_cpu_featureset_raw = 0;
export const XEN_SYSCTL_cpu_featureset_host = 1;
export const XEN_SYSCTL_cpu_featureset_pv = 2;
export const XEN_SYSCTL_cpu_featureset_hvm = 3;
export const XEN_SYSCTL_cpu_featureset_pv_max = 4;
export const XEN_SYSCTL_cpu_featureset_hvm_max = 5;

export const xen_sysctl_cpu_featureset = struct('xen_sysctl_cpu_featureset', {
  index: u32,
  nr_features: u32,
  features: handle64,
});

export const XEN_SYSCTL_cpu_policy_raw = 0;
export const XEN_SYSCTL_cpu_policy_host = 1;
export const XEN_SYSCTL_cpu_policy_pv_max = 2;
export const XEN_SYSCTL_cpu_policy_hvm_max = 3;
export const XEN_SYSCTL_cpu_policy_pv_default = 4;
export const XEN_SYSCTL_cpu_policy_hvm_default = 5;

/** Arrays of xen_cpuid_leaf and xen_msr_entry. */
export const xen_sysctl_cpu_policy = struct('xen_sysctl_cpu_policy', {
  index: u32,
  nr_leaves: u32,
  nr_msrs: u32,
  _rsvd: u32,
  leaves: handle64,
  msrs: handle64,
});

export const XEN_SYSCTL_LOCKPROF_reset = 1; // Reset all profile data to zero.
export const XEN_SYSCTL_LOCKPROF_query = 2; // Get lock profile information.
export const XEN_SYSCTL_COVERAGE_get_size = 0; // Get total size of output data
export const XEN_SYSCTL_COVERAGE_read = 1; // Read output data
export const XEN_SYSCTL_COVERAGE_reset = 2; // Reset all counters
export const XEN_SYSCTL_LIVEPATCH_UPLOAD = 0;
export const XEN_SYSCTL_LIVEPATCH_GET = 1;
export const XEN_SYSCTL_LIVEPATCH_LIST = 2;
export const XEN_SYSCTL_LIVEPATCH_ACTION = 3;
