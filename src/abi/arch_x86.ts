/**
 * x86 parts of the interface: selectors, register frames, the initial context of a PV vCPU, and the x86 part of a
 * domain's configuration.
 *
 * @abi public/arch-x86/xen.h, xen-x86_64.h, xen-x86_32.h
 */
import { array, block, nested, struct, u8, u16, u32, u64 } from '../base/layout.ts';
import { sn64, W32, W64, type Width } from './width.ts';

/** How many vcpu_info a shared_info holds; vCPUs from here on must register their own. */
export const XEN_LEGACY_MAX_VCPUS = 32;

/** GDT entries from here on are Xen's. */
export const FIRST_RESERVED_GDT_PAGE = 14;
export const FIRST_RESERVED_GDT_BYTE = 0xe000;
export const FIRST_RESERVED_GDT_ENTRY = 0x1c00;

// Flat segments that Xen provides to 64-bit PV guests.
export const FLAT_RING3_CS32 = 0xe023; // GDT index 260
export const FLAT_RING3_CS64 = 0xe033; // GDT index 262
export const FLAT_RING3_DS32 = 0xe02b; // GDT index 261
export const FLAT_RING3_DS64 = 0x0000; // NULL selector
export const FLAT_RING3_SS32 = 0xe02b; // GDT index 261
export const FLAT_RING3_SS64 = 0xe02b; // GDT index 261
export const FLAT_KERNEL_DS64 = FLAT_RING3_DS64;
export const FLAT_KERNEL_DS32 = FLAT_RING3_DS32;
export const FLAT_KERNEL_DS = FLAT_KERNEL_DS64;
export const FLAT_KERNEL_CS64 = FLAT_RING3_CS64;
export const FLAT_KERNEL_CS32 = FLAT_RING3_CS32;
export const FLAT_KERNEL_CS = FLAT_KERNEL_CS64;
export const FLAT_KERNEL_SS64 = FLAT_RING3_SS64;
export const FLAT_KERNEL_SS32 = FLAT_RING3_SS32;
export const FLAT_KERNEL_SS = FLAT_KERNEL_SS64;
export const FLAT_USER_DS64 = FLAT_RING3_DS64;
export const FLAT_USER_DS32 = FLAT_RING3_DS32;
export const FLAT_USER_DS = FLAT_USER_DS64;
export const FLAT_USER_CS64 = FLAT_RING3_CS64;
export const FLAT_USER_CS32 = FLAT_RING3_CS32;
export const FLAT_USER_CS = FLAT_USER_CS64;
export const FLAT_USER_SS64 = FLAT_RING3_SS64;
export const FLAT_USER_SS32 = FLAT_RING3_SS32;
export const FLAT_USER_SS = FLAT_USER_SS64;
/** The same for 32-bit PV guests, whose kernel runs in ring 1. */
export const FLAT_SELECTORS_32 = {
  FLAT_RING1_CS: 0xe019,
  FLAT_RING1_DS: 0xe021,
  FLAT_RING1_SS: 0xe021,
  FLAT_RING3_CS: 0xe02b,
  FLAT_RING3_DS: 0xe033,
  FLAT_RING3_SS: 0xe033,
} as const;

/** The part of the address space that is Xen's in a 64-bit PV guest, and the machine-to-physical table at its start. */
export const HYPERVISOR_VIRT_START = 0xffff800000000000n;
export const HYPERVISOR_VIRT_END = 0xffff880000000000n;
export const MACH2PHYS_VIRT_START = 0xffff800000000000n;
export const MACH2PHYS_VIRT_END = 0xffff804000000000n;

// set_segment_base
export const SEGBASE_FS = 0;
export const SEGBASE_GS_USER = 1;
export const SEGBASE_GS_KERNEL = 2;
export const SEGBASE_GS_USER_SEL = 3; // Set user %gs specified in base[15:0]

// vcpu_guest_context flags, and (in_syscall) those of an iret frame.
export const VGCF_i387_valid = 1 << 0;
export const VGCF_in_kernel = 1 << 2;
export const VGCF_failsafe_disables_events = 1 << 3;
export const VGCF_syscall_disables_events = 1 << 4;
export const VGCF_online = 1 << 5;
export const VGCF_in_syscall = 1 << 8;

// Devices that Xen emulates for a domain: xen_arch_domainconfig.emulation_flags.
export const XEN_X86_EMU_LAPIC = 1 << 0;
export const XEN_X86_EMU_HPET = 1 << 1;
export const XEN_X86_EMU_PM = 1 << 2;
export const XEN_X86_EMU_RTC = 1 << 3;
export const XEN_X86_EMU_IOAPIC = 1 << 4;
export const XEN_X86_EMU_PIC = 1 << 5;
export const XEN_X86_EMU_VGA = 1 << 6;
export const XEN_X86_EMU_IOMMU = 1 << 7;
export const XEN_X86_EMU_PIT = 1 << 8;
export const XEN_X86_EMU_USE_PIRQ = 1 << 9;
export const XEN_X86_EMU_VPCI = 1 << 10;
export const XEN_X86_EMU_ALL = 2047;
export const XEN_X86_MSR_RELAXED = 1 << 0;
export const XEN_X86_MISC_FLAGS_MAX = XEN_X86_MSR_RELAXED;

export const XEN_CPUID_NO_SUBLEAF = 0xffffffff;
export const XEN_HVM_DEBUGCONS_IOPORT = 0xe9;

/** UD2 with the bytes "xen" behind it: the next instruction (CPUID) is to be emulated. */
export const XEN_EMULATE_PREFIX = [0x0f, 0x0b, 0x78, 0x65, 0x6e] as const;

/** The frame that HYPERVISOR_iret takes from the stack of a 64-bit PV guest. */
export const iret_context = struct('iret_context', {
  rax: u64,
  r11: u64,
  rcx: u64,
  flags: u64,
  rip: u64,
  cs: u64,
  rflags: u64,
  rsp: u64,
  ss: u64,
});

export const cpu_user_regs = struct('cpu_user_regs', {
  r15: u64,
  r14: u64,
  r13: u64,
  r12: u64,
  rbp: u64,
  rbx: u64,
  r11: u64,
  r10: u64,
  r9: u64,
  r8: u64,
  rax: u64,
  rcx: u64,
  rdx: u64,
  rsi: u64,
  rdi: u64,
  error_code: u32,
  entry_vector: u32,
  rip: u64,
  cs: u16,
  _pad0: u16,
  saved_upcall_mask: u8,
  _pad1: block(3),
  rflags: u64,
  rsp: u64,
  ss: u16,
  _pad2: block(6),
  es: u16,
  _pad3: block(6),
  ds: u16,
  _pad4: block(6),
  fs: u16,
  _pad5: block(6),
  gs: u16,
  _pad6: block(6),
});

export const cpu_user_regs_32 = struct('cpu_user_regs', {
  ebx: u32,
  ecx: u32,
  edx: u32,
  esi: u32,
  edi: u32,
  ebp: u32,
  eax: u32,
  error_code: u16,
  entry_vector: u16,
  eip: u32,
  cs: u16,
  saved_upcall_mask: u8,
  _pad0: u8,
  eflags: u32,
  esp: u32,
  ss: u16,
  _pad1: u16,
  es: u16,
  _pad2: u16,
  ds: u16,
  _pad3: u16,
  fs: u16,
  _pad4: u16,
  gs: u16,
  _pad5: u16,
});

/** One entry of a virtual IDT. flags 1:0: DPL for INT n; bit 2: mask events on entry. */
const trapInfo = (w: Width) => struct('trap_info', { vector: u8, flags: u8, cs: u16, address: w.handle });
export const trap_info = trapInfo(W64);
export const trap_info_32 = trapInfo(W32);

/** The state of a PV vCPU, for VCPUOP_initialise and set/getvcpucontext. */
const contextHead = (w: Width) => ({
  fpu_ctxt: block(512),
  flags: w.ulong,
  user_regs: w.bits === 64 ? nested(cpu_user_regs) : nested(cpu_user_regs_32),
  trap_ctxt: array(nested(w.bits === 64 ? trap_info : trap_info_32), 256),
  ldt_base: w.handle,
  ldt_ents: w.ulong,
  gdt_frames: array(w.ulong, 16),
  gdt_ents: w.ulong,
  kernel_ss: w.ulong,
  kernel_sp: w.handle,
  /** Index 1 holds the user page table's cr3 in 64-bit guests. */
  ctrlreg: array(w.word, 8),
  debugreg: array(w.word, 8),
});
export const vcpu_guest_context = struct('vcpu_guest_context', {
  ...contextHead(W64),
  event_callback_eip: sn64,
  failsafe_callback_eip: sn64,
  syscall_callback_eip: sn64,
  vm_assist: u64,
  fs_base: u64,
  gs_base_kernel: u64,
  gs_base_user: u64,
});
export const vcpu_guest_context_32 = struct('vcpu_guest_context', {
  ...contextHead(W32),
  event_callback_cs: u32,
  event_callback_eip: u32,
  failsafe_callback_cs: u32,
  failsafe_callback_eip: u32,
  vm_assist: u32,
});

/** The x86 part of createdomain and getdomaininfo. */
export const xen_arch_domainconfig = struct('xen_arch_domainconfig', {
  emulation_flags: u32,
  misc_flags: u32,
});

/** A CPUID leaf of a CPU policy; subleaf XEN_CPUID_NO_SUBLEAF where the leaf has none. */
export const xen_cpuid_leaf = struct('xen_cpuid_leaf', {
  leaf: u32,
  subleaf: u32,
  a: u32,
  b: u32,
  c: u32,
  d: u32,
});

export const xen_msr_entry = struct('xen_msr_entry', { idx: u32, flags: u32, val: u64 });
