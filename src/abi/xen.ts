/**
 * The core of the interface: hypercall numbers, virtual interrupts, MMU operations, reserved domain ids, and the pages
 * that Xen shares with every guest.
 *
 * @abi public/xen.h
 */
import { array, at, block, nested, s8, struct, u8, u32, u64 } from '../base/layout.ts';
import { XEN_LEGACY_MAX_VCPUS } from './arch_x86.ts';
import { handle64, W32, W64, type Width } from './width.ts';

export const __HYPERVISOR_set_trap_table = 0;
export const __HYPERVISOR_mmu_update = 1;
export const __HYPERVISOR_set_gdt = 2;
export const __HYPERVISOR_stack_switch = 3;
export const __HYPERVISOR_set_callbacks = 4;
export const __HYPERVISOR_fpu_taskswitch = 5;
export const __HYPERVISOR_sched_op_compat = 6; // compat since 0x00030101
export const __HYPERVISOR_platform_op = 7;
export const __HYPERVISOR_set_debugreg = 8;
export const __HYPERVISOR_get_debugreg = 9;
export const __HYPERVISOR_update_descriptor = 10;
export const __HYPERVISOR_memory_op = 12;
export const __HYPERVISOR_multicall = 13;
export const __HYPERVISOR_update_va_mapping = 14;
export const __HYPERVISOR_set_timer_op = 15;
export const __HYPERVISOR_event_channel_op_compat = 16; // compat since 0x00030202
export const __HYPERVISOR_xen_version = 17;
export const __HYPERVISOR_console_io = 18;
export const __HYPERVISOR_physdev_op_compat = 19; // compat since 0x00030202
export const __HYPERVISOR_grant_table_op = 20;
export const __HYPERVISOR_vm_assist = 21;
export const __HYPERVISOR_update_va_mapping_otherdomain = 22;
export const __HYPERVISOR_iret = 23; // x86 only
export const __HYPERVISOR_vcpu_op = 24;
export const __HYPERVISOR_set_segment_base = 25; // x86/64 only
export const __HYPERVISOR_mmuext_op = 26;
export const __HYPERVISOR_xsm_op = 27;
export const __HYPERVISOR_nmi_op = 28;
export const __HYPERVISOR_sched_op = 29;
export const __HYPERVISOR_callback_op = 30;
export const __HYPERVISOR_xenoprof_op = 31;
export const __HYPERVISOR_event_channel_op = 32;
export const __HYPERVISOR_physdev_op = 33;
export const __HYPERVISOR_hvm_op = 34;
export const __HYPERVISOR_sysctl = 35;
export const __HYPERVISOR_domctl = 36;
export const __HYPERVISOR_kexec_op = 37;
export const __HYPERVISOR_tmem_op = 38;
export const __HYPERVISOR_argo_op = 39;
export const __HYPERVISOR_xenpmu_op = 40;
export const __HYPERVISOR_dm_op = 41;
export const __HYPERVISOR_hypfs_op = 42;
export const __HYPERVISOR_arch_0 = 48; // x86: mca
export const __HYPERVISOR_arch_1 = 49; // x86: continuation of a paging domctl
export const __HYPERVISOR_arch_2 = 50;
export const __HYPERVISOR_arch_3 = 51;
export const __HYPERVISOR_arch_4 = 52;
export const __HYPERVISOR_arch_5 = 53;
export const __HYPERVISOR_arch_6 = 54;
export const __HYPERVISOR_arch_7 = 55;

// Virtual interrupts. V: one for each vCPU; G: one in the system (or domain), first bound to vCPU 0.
export const VIRQ_TIMER = 0; // V. Timebase update, and/or requested timeout.
export const VIRQ_DEBUG = 1; // V. Request guest to dump debug info.
export const VIRQ_CONSOLE = 2; // G. (DOM0) Bytes received on emergency console.
export const VIRQ_DOM_EXC = 3; // G. (DOM0) Exceptional event for some domain.
export const VIRQ_TBUF = 4; // G. (DOM0) Trace buffer has records available.
export const VIRQ_DEBUGGER = 6; // G. (DOM0) A domain has paused for debugging.
export const VIRQ_XENOPROF = 7; // V. XenOprofile interrupt: new sample available
export const VIRQ_CON_RING = 8; // G. (DOM0) Bytes received on console
export const VIRQ_PCPU_STATE = 9; // G. (DOM0) PCPU state changed
export const VIRQ_MEM_EVENT = 10; // G. (DOM0) A memory event has occurred
export const VIRQ_ARGO = 11; // G. Argo interdomain message notification
export const VIRQ_ENOMEM = 12; // G. (DOM0) Low on heap memory
export const VIRQ_XENPMU = 13; // V. PMC interrupt
export const VIRQ_ARCH_0 = 16;
export const VIRQ_ARCH_1 = 17;
export const VIRQ_ARCH_2 = 18;
export const VIRQ_ARCH_3 = 19;
export const VIRQ_ARCH_4 = 20;
export const VIRQ_ARCH_5 = 21;
export const VIRQ_ARCH_6 = 22;
export const VIRQ_ARCH_7 = 23;
export const NR_VIRQS = 24;

// mmu_update: bits 1:0 of `ptr`.
export const MMU_NORMAL_PT_UPDATE = 0; // checked '*ptr = val'. ptr is MA.
export const MMU_MACHPHYS_UPDATE = 1; // ptr = MA of frame to modify entry for
export const MMU_PT_UPDATE_PRESERVE_AD = 2; // atomically: *ptr = val | (*ptr&(A|D))
export const MMU_PT_UPDATE_NO_TRANSLATE = 3; // checked '*ptr = val'. ptr is MA.
/** Bit 31 of the count marks a continuation of mmu_update or mmuext_op; guests must not set it. */
export const MMU_UPDATE_PREEMPTED = 0x80000000;

export const MMUEXT_PIN_L1_TABLE = 0;
export const MMUEXT_PIN_L2_TABLE = 1;
export const MMUEXT_PIN_L3_TABLE = 2;
export const MMUEXT_PIN_L4_TABLE = 3;
export const MMUEXT_UNPIN_TABLE = 4;
export const MMUEXT_NEW_BASEPTR = 5;
export const MMUEXT_TLB_FLUSH_LOCAL = 6;
export const MMUEXT_INVLPG_LOCAL = 7;
export const MMUEXT_TLB_FLUSH_MULTI = 8;
export const MMUEXT_INVLPG_MULTI = 9;
export const MMUEXT_TLB_FLUSH_ALL = 10;
export const MMUEXT_INVLPG_ALL = 11;
export const MMUEXT_FLUSH_CACHE = 12;
export const MMUEXT_SET_LDT = 13;
export const MMUEXT_NEW_USER_BASEPTR = 15;
export const MMUEXT_CLEAR_PAGE = 16;
export const MMUEXT_COPY_PAGE = 17;
export const MMUEXT_FLUSH_CACHE_GLOBAL = 18;
export const MMUEXT_MARK_SUPER = 19;
export const MMUEXT_UNMARK_SUPER = 20;

// update_va_mapping flags: what to flush in bits 1:0, where above (local, all, or a pointer to a vCPU bitmap).
export const UVMF_NONE = 0; // No flushing at all.
export const UVMF_TLB_FLUSH = 1; // Flush entire TLB(s).
export const UVMF_INVLPG = 2; // Flush only one entry.
export const UVMF_FLUSHTYPE_MASK = 3;
export const UVMF_MULTI = 0; // Flush subset of TLBs.
export const UVMF_LOCAL = 0; // Flush local TLB.
export const UVMF_ALL = 4; // Flush all TLBs.

export const CONSOLEIO_write = 0;
export const CONSOLEIO_read = 1;

export const VMASST_CMD_enable = 0;
export const VMASST_CMD_disable = 1;
export const VMASST_TYPE_4gb_segments = 0;
export const VMASST_TYPE_4gb_segments_notify = 1;
export const VMASST_TYPE_writable_pagetables = 2;
export const VMASST_TYPE_pae_extended_cr3 = 3;
export const VMASST_TYPE_architectural_iopl = 4;
export const VMASST_TYPE_runstate_update_flag = 5;
export const VMASST_TYPE_m2p_strict = 32;

// Domain ids from 0x7ff0 on never name a real domain.
export const DOMID_FIRST_RESERVED = 0x7ff0;
export const DOMID_SELF = 0x7ff0;
export const DOMID_IO = 0x7ff1;
export const DOMID_XEN = 0x7ff2;
export const DOMID_COW = 0x7ff3;
export const DOMID_INVALID = 0x7ff4;
export const DOMID_IDLE = 0x7fff;
export const DOMID_MASK = 0x7fff;

export const SIF_PRIVILEGED = 1 << 0; // Is the domain privileged?
export const SIF_INITDOMAIN = 1 << 1; // Is this the initial control domain?
export const SIF_MULTIBOOT_MOD = 1 << 2; // Is mod_start a multiboot module?
export const SIF_MOD_START_PFN = 1 << 3; // Is mod_start a PFN?
export const SIF_VIRT_P2M_4TOOLS = 1 << 4;
export const SIF_PM_MASK = 0xff00;

export const XEN_PVCLOCK_TSC_STABLE_BIT = 1 << 0;
export const XEN_PVCLOCK_GUEST_STOPPED = 1 << 1;

export const MAX_GUEST_CMDLINE = 1024;

export const mmu_update = struct('mmu_update', { ptr: u64, val: u64 });

const mmuextOp = (w: Width) => {
  const long = w.bits / 8;
  return struct('mmuext_op', {
    cmd: u32,
    mfn: at(long, w.ulong),
    linear_addr: at(long, w.handle),
    nr_ents: at(2 * long, u32),
    vcpumask: at(2 * long, w.handle),
    src_mfn: at(2 * long, w.ulong),
  });
};
export const mmuext_op = mmuextOp(W64);
export const mmuext_op_32 = mmuextOp(W32);

const multicallEntry = (w: Width) =>
  struct('multicall_entry', { op: w.ulong, result: w.long, args: array(w.word, 6) });
export const multicall_entry = multicallEntry(W64);
export const multicall_entry_32 = multicallEntry(W32);

/**
 * now = system_time + ((((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul) >> 32), in ns since boot. An odd
 * version marks an update in progress.
 */
const vcpuTimeInfo = (w: Width) =>
  struct('vcpu_time_info', {
    version: u32,
    pad0: u32,
    tsc_timestamp: w.u64,
    system_time: w.n64,
    tsc_to_system_mul: u32,
    tsc_shift: s8,
    flags: u8,
    pad1: block(2),
  });
export const vcpu_time_info = vcpuTimeInfo(W64);
export const vcpu_time_info_32 = vcpuTimeInfo(W32);

const vcpuInfo = (w: Width) =>
  struct('vcpu_info', {
    evtchn_upcall_pending: u8,
    evtchn_upcall_mask: u8,
    evtchn_pending_sel: w.word,
    arch_cr2: w.word,
    time: at(32, nested(w.bits === 64 ? vcpu_time_info : vcpu_time_info_32)),
  });
export const vcpu_info = vcpuInfo(W64);
export const vcpu_info_32 = vcpuInfo(W32);

const sharedInfo = (w: Width) => {
  const wide = w.bits === 64;
  return struct('shared_info', {
    vcpu_info: array(nested(wide ? vcpu_info : vcpu_info_32), XEN_LEGACY_MAX_VCPUS),
    evtchn_pending: array(w.word, w.bits),
    evtchn_mask: array(w.word, w.bits),
    wc_version: u32,
    wc_sec: u32,
    wc_nsec: u32,
    // 32-bit guests find it behind the arch part
    wc_sec_hi: at(wide ? 0xc0c : 0x924, u32),
    arch_max_pfn: at(wide ? 0xc10 : 0x90c, w.ulong),
    arch_pfn_to_mfn_frame_list_list: w.ulong,
    arch_nmi_reason: w.ulong,
    arch_p2m_cr3: w.ulong,
    arch_p2m_vaddr: w.handle,
    arch_p2m_generation: w.ulong,
  });
};
export const shared_info = sharedInfo(W64);
export const shared_info_32 = sharedInfo(W32);

/** What a PV kernel finds at the address in rSI. */
const startInfo = (w: Width) =>
  struct('start_info', {
    magic: block(32),
    nr_pages: w.ulong,
    /** Machine address. */
    shared_info: w.ulong,
    flags: u32,
    store_mfn: w.ulong,
    store_evtchn: u32,
    console_domU_mfn: w.ulong,
    console_domU_evtchn: u32,
    /** Linear address, as mfn_list and mod_start (the latter a pfn with SIF_MOD_START_PFN). */
    pt_base: w.handle,
    nr_pt_frames: w.ulong,
    mfn_list: w.handle,
    mod_start: w.handle,
    mod_len: w.ulong,
    cmd_line: block(MAX_GUEST_CMDLINE),
    first_p2m_pfn: w.ulong,
    nr_p2m_frames: w.ulong,
    console_dom0_info_off: at(w.bits === 64 ? 0x48 : 0x34, u32),
    console_dom0_info_size: u32,
  });
export const start_info = startInfo(W64);
export const start_info_32 = startInfo(W32);

export const xen_multiboot_mod_list = struct('xen_multiboot_mod_list', {
  mod_start: u32,
  mod_end: u32,
  cmdline: u32,
  pad: u32,
});

/** A bitmap argument of domctl and sysctl: `nr_bits` bits at `bitmap`. */
export const xenctl_bitmap = struct('xenctl_bitmap', { bitmap: handle64, nr_bits: u32 });
