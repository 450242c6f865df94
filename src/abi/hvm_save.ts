/**
 * The HVM context: a chain of records, each a descriptor and its body, from HEADER to END. One layout for both widths.
 *
 * @abi public/hvm/save.h, public/arch-x86/hvm/save.h
 */
import { array, at, block, n64, nested, struct, u8, u16, u32, u64 } from '../base/layout.ts';
import { sn64 } from './width.ts';

export const hvm_save_descriptor = struct('hvm_save_descriptor', {
  typecode: u16,
  instance: u16,
  length: u32,
});

/** Type codes, named as in HVM_SAVE_CODE(). */
export const HVM_SAVE_CODE = {
  END: 0,
  HEADER: 1,
  CPU: 2,
  PIC: 3,
  IOAPIC: 4,
  LAPIC: 5,
  LAPIC_REGS: 6,
  PCI_IRQ: 7,
  ISA_IRQ: 8,
  PCI_LINK: 9,
  PIT: 10,
  RTC: 11,
  HPET: 12,
  PMTIMER: 13,
  MTRR: 14,
  VIRIDIAN_DOMAIN: 15,
  CPU_XSAVE: 16,
  VIRIDIAN_VCPU: 17,
  VMCE_VCPU: 18,
  TSC_ADJUST: 19,
  CPU_MSR: 20,
} as const;
export const HVM_SAVE_CODE_MAX = 20;

export const HVM_FILE_MAGIC = 0x54381286;
export const HVM_FILE_VERSION = 0x00000001;

export const hvm_save_header = struct('hvm_save_header', {
  magic: u32,
  version: u32,
  changeset: u64,
  /** CPUID(1).EAX of the machine that saved. */
  cpuid: u32,
  gtsc_khz: u32,
});

export const XEN_X86_FPU_INITIALISED = 1 << 0;

/** Segment attributes (arbytes): a descriptor's bits 40-47 and 52-55 packed into 12 bits, as in a VMCB. */
export const hvm_hw_cpu = struct('hvm_hw_cpu', {
  fpu_regs: block(512),
  rax: u64,
  rbx: u64,
  rcx: u64,
  rdx: u64,
  rbp: u64,
  rsi: u64,
  rdi: u64,
  rsp: u64,
  r8: u64,
  r9: u64,
  r10: u64,
  r11: u64,
  r12: u64,
  r13: u64,
  r14: u64,
  r15: u64,
  rip: u64,
  rflags: u64,
  cr0: u64,
  cr2: u64,
  cr3: u64,
  cr4: u64,
  dr0: u64,
  dr1: u64,
  dr2: u64,
  dr3: u64,
  dr6: u64,
  dr7: u64,
  cs_sel: u32,
  ds_sel: u32,
  es_sel: u32,
  fs_sel: u32,
  gs_sel: u32,
  ss_sel: u32,
  tr_sel: u32,
  ldtr_sel: u32,
  cs_limit: u32,
  ds_limit: u32,
  es_limit: u32,
  fs_limit: u32,
  gs_limit: u32,
  ss_limit: u32,
  tr_limit: u32,
  ldtr_limit: u32,
  idtr_limit: u32,
  gdtr_limit: u32,
  cs_base: u64,
  ds_base: u64,
  es_base: u64,
  fs_base: u64,
  gs_base: u64,
  ss_base: u64,
  tr_base: u64,
  ldtr_base: u64,
  idtr_base: u64,
  gdtr_base: u64,
  cs_arbytes: u32,
  ds_arbytes: u32,
  es_arbytes: u32,
  fs_arbytes: u32,
  gs_arbytes: u32,
  ss_arbytes: u32,
  tr_arbytes: u32,
  ldtr_arbytes: u32,
  sysenter_cs: u64,
  sysenter_esp: u64,
  sysenter_eip: u64,
  shadow_gs: u64,
  msr_flags: u64,
  msr_lstar: u64,
  msr_star: u64,
  msr_cstar: u64,
  msr_syscall_mask: u64,
  msr_efer: u64,
  msr_tsc_aux: u64,
  tsc: u64,
  /** As VMCB EVENTINJ: vector 7:0, type 10:8, error code valid 11, valid 31. */
  pending_event: u32,
  error_code: u32,
  flags: u32,
  pad0: u32,
});

export const hvm_hw_lapic = struct('hvm_hw_lapic', {
  apic_base_msr: u64,
  disabled: u32,
  timer_divisor: u32,
  tdt_msr: u64,
});

/** The first 1 KiB of the register page. */
export const hvm_hw_lapic_regs = struct('hvm_hw_lapic_regs', { data: block(1024) });

export const MTRR_VCNT = 8;
export const NUM_FIXED_MSR = 11;

export const hvm_hw_mtrr = struct('hvm_hw_mtrr', {
  msr_pat_cr: u64,
  /** Base and mask of each, alternating. */
  msr_mtrr_var: array(u64, MTRR_VCNT * 2),
  msr_mtrr_fixed: array(u64, NUM_FIXED_MSR),
  msr_mtrr_cap: u64,
  msr_mtrr_def_type: u64,
});

/** Followed by the extended areas; the record's length says how much. */
export const hvm_hw_cpu_xsave = struct('hvm_hw_cpu_xsave', {
  xfeature_mask: u64,
  xcr0: u64,
  xcr0_accum: u64,
  fpu_sse: block(512),
  xstate_bv: u64,
  xcomp_bv: u64,
  reserved: array(u64, 6),
});

export const hvm_tsc_adjust = struct('hvm_tsc_adjust', { tsc_adjust: u64 });

export const hvm_viridian_domain_context = struct('hvm_viridian_domain_context', {
  hypercall_gpa: u64,
  guest_os_id: u64,
  time_ref_count: u64,
  reference_tsc: u64,
});

export const hvm_viridian_vcpu_context = struct('hvm_viridian_vcpu_context', {
  vp_assist_msr: u64,
  apic_assist_pending: u8,
  _pad: block(7),
  simp_msr: u64,
  sint_msr: array(u64, 16),
  stimer_config_msr: array(u64, 4),
  stimer_count_msr: array(u64, 4),
});

export const hvm_vmce_vcpu = struct('hvm_vmce_vcpu', {
  caps: u64,
  mci_ctl2_bank0: u64,
  mci_ctl2_bank1: u64,
  mcg_ext_ctl: u64,
});

/** `count` hvm_one_msr follow. */
export const hvm_msr = struct('hvm_msr', { count: u32, msr: at(8, block(0, 8)) });

export const hvm_one_msr = struct('hvm_one_msr', { index: u32, _rsvd: u32, val: u64 });

// Devices of full HVM domains.

export const hvm_hw_vpic = struct('hvm_hw_vpic', {
  irr: u8,
  imr: u8,
  isr: u8,
  irq_base: u8,
  /** Bit fields: init_state 3:0, priority_add 7:4. */
  init: u8,
  /** readsel_isr, poll, auto_eoi, rotate_on_auto_eoi, special_fully_nested_mode, special_mask_mode, is_master. */
  flags: u8,
  elcr: u8,
  int_output: u8,
});

export const VIOAPIC_NUM_PINS = 48; // 16 ISA IRQs, 32 non-legacy PCI IRQS.

export const hvm_hw_vioapic = struct('hvm_hw_vioapic', {
  base_address: n64,
  ioregsel: u32,
  id: u32,
  redirtbl: array(u64, VIOAPIC_NUM_PINS),
});

export const hvm_hw_pci_irqs = struct('hvm_hw_pci_irqs', { pad: array(u64, 2) });

export const hvm_hw_isa_irqs = struct('hvm_hw_isa_irqs', { pad: array(u64, 1) });

export const hvm_hw_pci_link = struct('hvm_hw_pci_link', { route: block(4), pad0: block(4) });

export const hvm_hw_pit_channel = struct('hvm_hw_pit_channel', {
  count: u32,
  latched_count: u16,
  count_latched: u8,
  status_latched: u8,
  status: u8,
  read_state: u8,
  write_state: u8,
  write_latch: u8,
  rw_mode: u8,
  mode: u8,
  bcd: u8,
  gate: u8,
});

export const hvm_hw_pit = struct('hvm_hw_pit', {
  channels: array(nested(hvm_hw_pit_channel), 3),
  speaker_data_on: u32,
  pad0: u32,
});

export const RTC_CMOS_SIZE = 14;

export const hvm_hw_rtc = struct('hvm_hw_rtc', {
  cmos_data: block(RTC_CMOS_SIZE),
  cmos_index: u8,
  pad0: u8,
  rtc_offset: sn64,
});

export const HPET_TIMER_NUM = 3; // 3 timers supported now

export const hvm_hw_hpet_timer = struct('hvm_hw_hpet_timer', { config: u64, cmp: u64, fsb: u64, res4: u64 });

export const hvm_hw_hpet = struct('hvm_hw_hpet', {
  capability: u64,
  res0: u64,
  config: u64,
  res1: u64,
  isr: u64,
  res2: array(u64, 25),
  mc64: u64,
  res3: u64,
  timers: array(nested(hvm_hw_hpet_timer), HPET_TIMER_NUM),
  res5: array(u64, 4 * (24 - HPET_TIMER_NUM)),
  period: array(u64, HPET_TIMER_NUM),
});

export const hvm_hw_pmtimer = struct('hvm_hw_pmtimer', { tmr_val: u32, pm1a_sts: u16, pm1a_en: u16 });
