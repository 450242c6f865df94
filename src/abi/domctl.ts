/**
 * domctl: how the toolstack makes and controls domains. One layout for both guest widths (handles and 64-bit fields
 * always have and align to 8 bytes). Interface version 0x15, that of Xen 4.17; any other answers -EACCES.
 *
 * @abi public/domctl.h
 */
import { array, at, block, n64, nested, s32, struct, u8, u16, u32, u64 } from '../base/layout.ts';
import { xen_arch_domainconfig } from './arch_x86.ts';
import { handle64, sn64, XEN_DOMAIN_HANDLE_BYTES } from './width.ts';
import { xenctl_bitmap } from './xen.ts';

export const XEN_DOMCTL_INTERFACE_VERSION = 0x00000015;

export const XEN_DOMCTL_createdomain = 1;
export const XEN_DOMCTL_destroydomain = 2;
export const XEN_DOMCTL_pausedomain = 3;
export const XEN_DOMCTL_unpausedomain = 4;
export const XEN_DOMCTL_getdomaininfo = 5;
export const XEN_DOMCTL_setvcpuaffinity = 9;
export const XEN_DOMCTL_shadow_op = 10;
export const XEN_DOMCTL_max_mem = 11;
export const XEN_DOMCTL_setvcpucontext = 12;
export const XEN_DOMCTL_getvcpucontext = 13;
export const XEN_DOMCTL_getvcpuinfo = 14;
export const XEN_DOMCTL_max_vcpus = 15;
export const XEN_DOMCTL_scheduler_op = 16;
export const XEN_DOMCTL_setdomainhandle = 17;
export const XEN_DOMCTL_setdebugging = 18;
export const XEN_DOMCTL_irq_permission = 19;
export const XEN_DOMCTL_iomem_permission = 20;
export const XEN_DOMCTL_ioport_permission = 21;
export const XEN_DOMCTL_hypercall_init = 22;
export const XEN_DOMCTL_settimeoffset = 24;
export const XEN_DOMCTL_getvcpuaffinity = 25;
export const XEN_DOMCTL_real_mode_area = 26; // Obsolete PPC only
export const XEN_DOMCTL_resumedomain = 27;
export const XEN_DOMCTL_sendtrigger = 28;
export const XEN_DOMCTL_subscribe = 29;
export const XEN_DOMCTL_gethvmcontext = 33;
export const XEN_DOMCTL_sethvmcontext = 34;
export const XEN_DOMCTL_set_address_size = 35;
export const XEN_DOMCTL_get_address_size = 36;
export const XEN_DOMCTL_assign_device = 37;
export const XEN_DOMCTL_bind_pt_irq = 38;
export const XEN_DOMCTL_memory_mapping = 39;
export const XEN_DOMCTL_ioport_mapping = 40;
export const XEN_DOMCTL_set_ext_vcpucontext = 42;
export const XEN_DOMCTL_get_ext_vcpucontext = 43;
export const XEN_DOMCTL_set_opt_feature = 44; // Obsolete IA64 only
export const XEN_DOMCTL_test_assign_device = 45;
export const XEN_DOMCTL_set_target = 46;
export const XEN_DOMCTL_deassign_device = 47;
export const XEN_DOMCTL_unbind_pt_irq = 48;
export const XEN_DOMCTL_get_device_group = 50;
export const XEN_DOMCTL_debug_op = 54;
export const XEN_DOMCTL_gethvmcontext_partial = 55;
export const XEN_DOMCTL_vm_event_op = 56;
export const XEN_DOMCTL_mem_sharing_op = 57;
export const XEN_DOMCTL_gettscinfo = 59;
export const XEN_DOMCTL_settscinfo = 60;
export const XEN_DOMCTL_getpageframeinfo3 = 61;
export const XEN_DOMCTL_setvcpuextstate = 62;
export const XEN_DOMCTL_getvcpuextstate = 63;
export const XEN_DOMCTL_set_access_required = 64;
export const XEN_DOMCTL_audit_p2m = 65;
export const XEN_DOMCTL_set_virq_handler = 66;
export const XEN_DOMCTL_set_broken_page_p2m = 67;
export const XEN_DOMCTL_setnodeaffinity = 68;
export const XEN_DOMCTL_getnodeaffinity = 69;
export const XEN_DOMCTL_cacheflush = 71;
export const XEN_DOMCTL_get_vcpu_msrs = 72;
export const XEN_DOMCTL_set_vcpu_msrs = 73;
export const XEN_DOMCTL_setvnumainfo = 74;
export const XEN_DOMCTL_psr_cmt_op = 75;
export const XEN_DOMCTL_monitor_op = 77;
export const XEN_DOMCTL_psr_alloc = 78;
export const XEN_DOMCTL_soft_reset = 79;
export const XEN_DOMCTL_vuart_op = 81;
export const XEN_DOMCTL_get_cpu_policy = 82;
export const XEN_DOMCTL_set_cpu_policy = 83;
export const XEN_DOMCTL_vmtrace_op = 84;
export const XEN_DOMCTL_get_paging_mempool_size = 85;
export const XEN_DOMCTL_set_paging_mempool_size = 86;
export const XEN_DOMCTL_gdbsx_guestmemio = 1000;
export const XEN_DOMCTL_gdbsx_pausevcpu = 1001;
export const XEN_DOMCTL_gdbsx_unpausevcpu = 1002;
export const XEN_DOMCTL_gdbsx_domstatus = 1003;

/** The call's argument: `u` holds the structure of the command. */
export const xen_domctl = struct('xen_domctl', {
  cmd: u32,
  interface_version: u32,
  domain: u16,
  _pad: array(u16, 3),
  u: block(128, 8),
});

// createdomain
export const XEN_DOMCTL_CDF_hvm = 1 << 0;
export const XEN_DOMCTL_CDF_hap = 1 << 1;
export const XEN_DOMCTL_CDF_s3_integrity = 1 << 2;
export const XEN_DOMCTL_CDF_oos_off = 1 << 3;
export const XEN_DOMCTL_CDF_xs_domain = 1 << 4;
export const XEN_DOMCTL_CDF_iommu = 1 << 5;
export const XEN_DOMCTL_CDF_nested_virt = 1 << 6;
export const XEN_DOMCTL_CDF_vpmu = 1 << 7;
export const XEN_DOMCTL_CDF_MAX = XEN_DOMCTL_CDF_vpmu;
export const XEN_DOMCTL_IOMMU_no_sharept = 1 << 0;
export const XEN_DOMCTL_IOMMU_MAX = XEN_DOMCTL_IOMMU_no_sharept;
export const XEN_DOMCTL_GRANT_version_mask = 0xf;

/** -1 for max_grant_frames and max_maptrack_frames: the hypervisor's defaults. */
export const xen_domctl_createdomain = struct('xen_domctl_createdomain', {
  ssidref: u32,
  handle: block(XEN_DOMAIN_HANDLE_BYTES),
  flags: u32,
  iommu_opts: u32,
  max_vcpus: u32,
  max_evtchn_port: u32,
  max_grant_frames: s32,
  max_maptrack_frames: s32,
  /** Bits 3:0: the highest grant table version allowed. */
  grant_opts: u32,
  vmtrace_size: u32,
  cpupool_id: u32,
  arch: nested(xen_arch_domainconfig),
});

// getdomaininfo; the shutdown code is (flags >> shutdownshift) & shutdownmask.
export const XEN_DOMINF_dying = 1 << 0;
export const XEN_DOMINF_hvm_guest = 1 << 1;
export const XEN_DOMINF_shutdown = 1 << 2;
export const XEN_DOMINF_paused = 1 << 3;
export const XEN_DOMINF_blocked = 1 << 4;
export const XEN_DOMINF_running = 1 << 5;
export const XEN_DOMINF_debugged = 1 << 6;
export const XEN_DOMINF_xs_domain = 1 << 7;
export const XEN_DOMINF_hap = 1 << 8;
export const XEN_DOMINF_shutdownmask = 255;
export const XEN_DOMINF_shutdownshift = 16;
export const XEN_INVALID_MAX_VCPU_ID = 0xffffffff; // Domain has no vcpus?

export const xen_domctl_getdomaininfo = struct('xen_domctl_getdomaininfo', {
  domain: u16,
  pad1: u16,
  flags: u32,
  tot_pages: n64,
  max_pages: n64,
  outstanding_pages: n64,
  shr_pages: n64,
  paged_pages: n64,
  shared_info_frame: n64,
  /** ns */
  cpu_time: n64,
  nr_online_vcpus: u32,
  max_vcpu_id: u32,
  ssidref: u32,
  handle: block(XEN_DOMAIN_HANDLE_BYTES),
  cpupool: u32,
  gpaddr_bits: u8,
  pad2: block(7),
  arch_config: nested(xen_arch_domainconfig),
});

// getpageframeinfo3: an array of unsigned long, IN frame numbers, OUT the type in the upper four bits.
export const XEN_DOMCTL_PFINFO_LTAB_SHIFT = 28;
export const XEN_DOMCTL_PFINFO_NOTAB = 0x0;
export const XEN_DOMCTL_PFINFO_L1TAB = 0x10000000;
export const XEN_DOMCTL_PFINFO_L2TAB = 0x20000000;
export const XEN_DOMCTL_PFINFO_L3TAB = 0x30000000;
export const XEN_DOMCTL_PFINFO_L4TAB = 0x40000000;
export const XEN_DOMCTL_PFINFO_LTABTYPE_MASK = 0x70000000;
export const XEN_DOMCTL_PFINFO_LPINTAB = 0x80000000;
export const XEN_DOMCTL_PFINFO_XTAB = 0xf0000000; // invalid page
export const XEN_DOMCTL_PFINFO_XALLOC = 0xe0000000; // allocate-only page
export const XEN_DOMCTL_PFINFO_BROKEN = 0xd0000000; // broken page
export const XEN_DOMCTL_PFINFO_LTAB_MASK = 0xf0000000;

export const xen_domctl_getpageframeinfo3 = struct('xen_domctl_getpageframeinfo3', {
  num: n64,
  array: handle64,
});

export const XEN_DOMCTL_SHADOW_OP_OFF = 0;
export const XEN_DOMCTL_SHADOW_OP_ENABLE = 32;
export const XEN_DOMCTL_SHADOW_OP_CLEAN = 11;
export const XEN_DOMCTL_SHADOW_OP_PEEK = 12;
export const XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION = 30;
export const XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION = 31;
export const XEN_DOMCTL_SHADOW_OP_ENABLE_TEST = 1;
export const XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY = 2;
export const XEN_DOMCTL_SHADOW_ENABLE_REFCOUNT = 1 << 1;
export const XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY = 1 << 2;
export const XEN_DOMCTL_SHADOW_ENABLE_TRANSLATE = 1 << 3;
export const XEN_DOMCTL_SHADOW_ENABLE_EXTERNAL = 1 << 4;
export const XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL = 1 << 0;

export const xen_domctl_shadow_op = struct('xen_domctl_shadow_op', {
  op: u32,
  mode: u32,
  mb: u32,
  dirty_bitmap: handle64,
  pages: n64,
  stats_fault_count: u32,
  stats_dirty_count: u32,
});

export const xen_domctl_max_mem = struct('xen_domctl_max_mem', { max_memkb: n64 });

/** The context is a vcpu_guest_context of the domain's width. */
export const xen_domctl_vcpucontext = struct('xen_domctl_vcpucontext', { vcpu: u32, ctxt: handle64 });

export const xen_domctl_getvcpuinfo = struct('xen_domctl_getvcpuinfo', {
  vcpu: u32,
  /* OUT */ online: u8,
  /* OUT */ blocked: u8,
  /* OUT */ running: u8,
  /* OUT */ cpu_time: n64,
  /* OUT */ cpu: u32,
});

export const xen_domctl_nodeaffinity = struct('xen_domctl_nodeaffinity', { nodemap: nested(xenctl_bitmap) });

export const XEN_VCPUAFFINITY_HARD = 1 << 0;
export const XEN_VCPUAFFINITY_SOFT = 1 << 1;
export const XEN_VCPUAFFINITY_FORCE = 1 << 2;

export const xen_domctl_vcpuaffinity = struct('xen_domctl_vcpuaffinity', {
  vcpu: u32,
  flags: u32,
  cpumap_hard: nested(xenctl_bitmap),
  cpumap_soft: nested(xenctl_bitmap),
});

export const xen_domctl_max_vcpus = struct('xen_domctl_max_vcpus', { max: u32 });

export const XEN_SCHEDULER_CREDIT = 5;
export const XEN_SCHEDULER_CREDIT2 = 6;
export const XEN_SCHEDULER_ARINC653 = 7;
export const XEN_SCHEDULER_RTDS = 8;
export const XEN_SCHEDULER_NULL = 9;
export const XEN_DOMCTL_SCHEDOP_putinfo = 0;
export const XEN_DOMCTL_SCHEDOP_getinfo = 1;
export const XEN_DOMCTL_SCHEDOP_putvcpuinfo = 2;
export const XEN_DOMCTL_SCHEDOP_getvcpuinfo = 3;
export const XEN_DOMCTL_SCHEDRT_extra = 1 << 0;

/** Which parameters count depends on sched_id; the v_ ones go with the *vcpuinfo commands. */
export const xen_domctl_scheduler_op = struct('xen_domctl_scheduler_op', {
  sched_id: u32,
  cmd: u32,
  credit_weight: u16,
  credit_cap: u16,
  credit2_weight: at(8, u16),
  credit2_cap: u16,
  rtds_period: at(8, u32),
  rtds_budget: u32,
  rtds_flags: u32,
  v_vcpus: at(8, handle64),
  v_nr_vcpus: u32,
  v_padding: u32,
});

export const xen_domctl_schedparam_vcpu = struct('xen_domctl_schedparam_vcpu', {
  rtds_period: u32,
  rtds_budget: u32,
  rtds_flags: u32,
  vcpuid: u32,
});

export const xen_domctl_setdomainhandle = struct('xen_domctl_setdomainhandle', {
  handle: block(XEN_DOMAIN_HANDLE_BYTES),
});

export const xen_domctl_setdebugging = struct('xen_domctl_setdebugging', { enable: u8 });

export const xen_domctl_irq_permission = struct('xen_domctl_irq_permission', {
  pirq: u32,
  allow_access: u8,
  pad: block(3),
});

export const xen_domctl_iomem_permission = struct('xen_domctl_iomem_permission', {
  first_mfn: n64,
  nr_mfns: n64,
  allow_access: u8,
});

export const xen_domctl_ioport_permission = struct('xen_domctl_ioport_permission', {
  first_port: u32,
  nr_ports: u32,
  allow_access: u8,
});

/** `gmfn`: where to write a hypercall page. */
export const xen_domctl_hypercall_init = struct('xen_domctl_hypercall_init', { gmfn: n64 });

export const xen_domctl_settimeoffset = struct('xen_domctl_settimeoffset', { time_offset_seconds: sn64 });

/** A null buffer asks for the size. Records: hvm_save.ts. */
export const xen_domctl_hvmcontext = struct('xen_domctl_hvmcontext', { size: u32, buffer: handle64 });

export const xen_domctl_hvmcontext_partial = struct('xen_domctl_hvmcontext_partial', {
  type: u32,
  instance: u32,
  bufsz: n64,
  buffer: handle64,
});

export const xen_domctl_address_size = struct('xen_domctl_address_size', { size: u32 });

export const XEN_DOMCTL_SENDTRIGGER_NMI = 0;
export const XEN_DOMCTL_SENDTRIGGER_RESET = 1;
export const XEN_DOMCTL_SENDTRIGGER_INIT = 2;
export const XEN_DOMCTL_SENDTRIGGER_POWER = 3;
export const XEN_DOMCTL_SENDTRIGGER_SLEEP = 4;

export const xen_domctl_sendtrigger = struct('xen_domctl_sendtrigger', { trigger: u32, vcpu: u32 });

export const XEN_DOMCTL_DEV_PCI = 0;
export const XEN_DOMCTL_DEV_DT = 1;
export const XEN_DOMCTL_DEV_RDM_RELAXED = 1; // assign only

export const xen_domctl_assign_device = struct('xen_domctl_assign_device', {
  dev: u32,
  flags: u32,
  pci_machine_sbdf: u32,
  dt_size: at(8, u32),
  dt_path: handle64,
});

export const xen_domctl_get_device_group = struct('xen_domctl_get_device_group', {
  machine_sbdf: u32,
  max_sdevs: u32,
  /* OUT */ num_sdevs: u32,
  sdev_array: handle64,
});

// pt_irq_type
export const PT_IRQ_TYPE_PCI = 0;
export const PT_IRQ_TYPE_ISA = 1;
export const PT_IRQ_TYPE_MSI = 2;
export const PT_IRQ_TYPE_MSI_TRANSLATE = 3;
export const PT_IRQ_TYPE_SPI = 4;

export const xen_domctl_bind_pt_irq = struct('xen_domctl_bind_pt_irq', {
  machine_irq: u32,
  irq_type: u32,
  isa_isa_irq: u8,
  pci_bus: at(8, u8),
  pci_device: u8,
  pci_intx: u8,
  msi_gvec: at(8, u8),
  msi_gflags: u32,
  msi_gtable: n64,
  spi_spi: at(8, u16),
});

export const DPCI_ADD_MAPPING = 1;
export const DPCI_REMOVE_MAPPING = 0;

export const xen_domctl_memory_mapping = struct('xen_domctl_memory_mapping', {
  first_gfn: n64,
  first_mfn: n64,
  nr_mfns: n64,
  add_mapping: u32,
  padding: u32,
});

export const xen_domctl_ioport_mapping = struct('xen_domctl_ioport_mapping', {
  first_gport: u32,
  first_mport: u32,
  nr_ports: u32,
  add_mapping: u32,
});

export const xen_domctl_ext_vcpucontext = struct('xen_domctl_ext_vcpucontext', {
  vcpu: u32,
  size: u32,
  syscall32_callback_eip: sn64,
  sysenter_callback_eip: sn64,
  syscall32_callback_cs: u16,
  sysenter_callback_cs: u16,
  syscall32_disables_events: u8,
  sysenter_disables_events: u8,
  vmce_caps: u64,
  vmce_mci_ctl2_bank0: u64,
  vmce_mci_ctl2_bank1: u64,
  vmce_mcg_ext_ctl: u64,
});

export const xen_domctl_set_target = struct('xen_domctl_set_target', { target: u16 });

/** Arrays of xen_cpuid_leaf and xen_msr_entry; err_* say which entry was refused, ~0 for none. */
export const xen_domctl_cpu_policy = struct('xen_domctl_cpu_policy', {
  nr_leaves: u32,
  nr_msrs: u32,
  leaves: handle64,
  msrs: handle64,
  /* OUT */ err_leaf: u32,
  /* OUT */ err_subleaf: u32,
  /* OUT */ err_msr: u32,
});

export const xen_domctl_subscribe = struct('xen_domctl_subscribe', { port: u32 });

export const XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF = 0;
export const XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON = 1;

export const xen_domctl_debug_op = struct('xen_domctl_debug_op', { op: u32, vcpu: u32 });

/** tsc_mode: 0 default, 1 always emulated, 2 never emulated. */
export const xen_domctl_tsc_info = struct('xen_domctl_tsc_info', {
  tsc_mode: u32,
  gtsc_khz: u32,
  incarnation: u32,
  pad: u32,
  elapsed_nsec: n64,
});

export const xen_domctl_gdbsx_memio = struct('xen_domctl_gdbsx_memio', {
  pgd3val: n64,
  gva: sn64,
  uva: sn64,
  len: u32,
  gwr: u8,
  remain: u32,
});

export const xen_domctl_gdbsx_pauseunp_vcpu = struct('xen_domctl_gdbsx_pauseunp_vcpu', { vcpu: u32 });

export const xen_domctl_gdbsx_domstatus = struct('xen_domctl_gdbsx_domstatus', {
  paused: u8,
  vcpu_id: u32,
  vcpu_ev: u32,
});

export const XEN_VM_EVENT_ENABLE = 0;
export const XEN_VM_EVENT_DISABLE = 1;
export const XEN_VM_EVENT_RESUME = 2;
export const XEN_VM_EVENT_GET_VERSION = 3;
export const XEN_DOMCTL_VM_EVENT_OP_PAGING = 1;
export const XEN_DOMCTL_VM_EVENT_OP_MONITOR = 2;
export const XEN_DOMCTL_VM_EVENT_OP_SHARING = 3;

export const xen_domctl_vm_event_op = struct('xen_domctl_vm_event_op', {
  op: u32,
  mode: u32,
  enable_port: u32,
  version: at(8, u32),
});

export const xen_domctl_set_virq_handler = struct('xen_domctl_set_virq_handler', { virq: u32 });

export const xen_domctl_vcpuextstate = struct('xen_domctl_vcpuextstate', {
  vcpu: u32,
  xfeature_mask: u64,
  size: n64,
  buffer: handle64,
});

export const xen_domctl_set_access_required = struct('xen_domctl_set_access_required', {
  access_required: u8,
});

export const xen_domctl_set_broken_page_p2m = struct('xen_domctl_set_broken_page_p2m', { pfn: n64 });

export const xen_domctl_paging_mempool = struct('xen_domctl_paging_mempool', { /** bytes */ size: n64 });

export const xen_domctl_vcpu_msr = struct('xen_domctl_vcpu_msr', { index: u32, reserved: u32, value: u64 });

/** An array of xen_domctl_vcpu_msr; a null pointer asks for the count. */
export const xen_domctl_vcpu_msrs = struct('xen_domctl_vcpu_msrs', {
  vcpu: u32,
  msr_count: u32,
  msrs: handle64,
});

export const xen_domctl_vnuma = struct('xen_domctl_vnuma', {
  nr_vnodes: u32,
  nr_vmemranges: u32,
  nr_vcpus: u32,
  pad: u32,
  vdistance: handle64,
  vcpu_to_vnode: handle64,
  vnode_to_pnode: handle64,
  vmemrange: handle64,
});

export const XEN_DOMCTL_MONITOR_OP_ENABLE = 0;
export const XEN_DOMCTL_MONITOR_OP_DISABLE = 1;
export const XEN_DOMCTL_MONITOR_OP_GET_CAPABILITIES = 2;
export const XEN_DOMCTL_MONITOR_OP_EMULATE_EACH_REP = 3;
export const XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS = 4;
export const XEN_DOMCTL_MONITOR_EVENT_WRITE_CTRLREG = 0;
export const XEN_DOMCTL_MONITOR_EVENT_MOV_TO_MSR = 1;
export const XEN_DOMCTL_MONITOR_EVENT_SINGLESTEP = 2;
export const XEN_DOMCTL_MONITOR_EVENT_SOFTWARE_BREAKPOINT = 3;
export const XEN_DOMCTL_MONITOR_EVENT_GUEST_REQUEST = 4;
export const XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION = 5;
export const XEN_DOMCTL_MONITOR_EVENT_CPUID = 6;
export const XEN_DOMCTL_MONITOR_EVENT_PRIVILEGED_CALL = 7;
export const XEN_DOMCTL_MONITOR_EVENT_INTERRUPT = 8;
export const XEN_DOMCTL_MONITOR_EVENT_DESC_ACCESS = 9;
export const XEN_DOMCTL_MONITOR_EVENT_EMUL_UNIMPLEMENTED = 10;
export const XEN_DOMCTL_MONITOR_EVENT_INGUEST_PAGEFAULT = 11;
export const XEN_DOMCTL_MONITOR_EVENT_VMEXIT = 12;
