/**
 * Viridian, the interface of Microsoft's hypervisor, as far as Xen offers it: numbers and layouts.
 *
 * @spec Hypervisor Top Level Functional Specification
 */
import { array, block, n64, struct, u8, u32, u64 } from '../../base/layout.ts';

export const HV_CPUID_FIRST_LEAF = 0x4000_0000;
export const HV_CPUID_MAX_LEAF = 0x4000_0006;
/** Xen's own leaves and MSRs, where Viridian has their usual place. */
export const XEN_CPUID_BESIDE_VIRIDIAN = 0x4000_0100;
export const XEN_MSR_BESIDE_VIRIDIAN = 0x4000_0200;
/** MSRs from 0x40000000 up to here are Viridian's. */
export const HV_MSR_END = 0x4000_0200;

export const HV_MSR = {
  GUEST_OS_ID: 0x4000_0000,
  HYPERCALL: 0x4000_0001,
  VP_INDEX: 0x4000_0002,
  TIME_REF_COUNT: 0x4000_0020,
  REFERENCE_TSC: 0x4000_0021,
  TSC_FREQUENCY: 0x4000_0022,
  APIC_FREQUENCY: 0x4000_0023,
  EOI: 0x4000_0070,
  ICR: 0x4000_0071,
  TPR: 0x4000_0072,
  VP_ASSIST_PAGE: 0x4000_0073,
  SCONTROL: 0x4000_0080,
  SVERSION: 0x4000_0081,
  SIEFP: 0x4000_0082,
  SIMP: 0x4000_0083,
  EOM: 0x4000_0084,
  SINT0: 0x4000_0090,
  SINT15: 0x4000_009f,
  /** CONFIG and COUNT of each of four timers. */
  STIMER0_CONFIG: 0x4000_00b0,
  STIMER3_COUNT: 0x4000_00b7,
  CRASH_P0: 0x4000_0100,
  CRASH_P4: 0x4000_0104,
  CRASH_CTL: 0x4000_0105,
} as const;

export const CRASH_NOTIFY = 1n << 63n;

/** A synthetic interrupt source. */
export const SINT = { vector: 0xffn, masked: 1n << 16n, autoEoi: 1n << 17n } as const;
export const SINTS = 16;

/** A synthetic timer's configuration; bits 19:16 are its interrupt source. */
export const STIMER = { enable: 1n, periodic: 2n, lazy: 4n, autoEnable: 8n } as const;
export const stimerSint = (config: bigint): number => Number((config >> 16n) & 15n);
export const STIMERS = 4;

/** A slot of the message page: one for each synthetic interrupt source. */
export const hv_message = struct('hv_message', {
  message_type: u32,
  payload_size: u8,
  message_flags: u8,
  reserved: block(2),
  sender: u64,
  payload: block(240),
});
export const HVMSG_NONE = 0;
export const HVMSG_TIMER_EXPIRED = 0x8000_0010;
export const hv_timer_message_payload = struct('hv_timer_message_payload', {
  timer_index: u32,
  reserved: u32,
  expiration_time: u64,
  delivery_time: u64,
});

/** ReferenceTime = ((TSC * tsc_scale) >> 64) + tsc_offset, while tsc_sequence is not 0. */
export const hv_reference_tsc = struct('hv_reference_tsc', {
  tsc_sequence: u32,
  reserved: u32,
  tsc_scale: u64,
  tsc_offset: u64,
});

export const HVCALL = {
  FLUSH_VIRTUAL_ADDRESS_SPACE: 0x02,
  FLUSH_VIRTUAL_ADDRESS_LIST: 0x03,
  NOTIFY_LONG_SPIN_WAIT: 0x08,
  SEND_IPI: 0x0b,
  FLUSH_VIRTUAL_ADDRESS_SPACE_EX: 0x13,
  FLUSH_VIRTUAL_ADDRESS_LIST_EX: 0x14,
  SEND_IPI_EX: 0x15,
  EXT_CALL_QUERY_CAPABILITIES: 0x8001,
} as const;
export const HV_STATUS_INVALID_HYPERCALL_CODE = 2;
export const HV_STATUS_INVALID_PARAMETER = 5;
export const HV_FLUSH_ALL_PROCESSORS = 1;
export const HV_GENERIC_SET_SPARSE_4K = 0n;
export const HV_GENERIC_SET_ALL = 1n;

/** A domain's Viridian state. Its features are HVM_PARAM_VIRIDIAN. */
export const viridianDomain = struct('viridian_domain', {
  guestOsId: u64,
  hypercallGpa: u64,
  referenceTsc: u64,
});

/** A vCPU's Viridian state. An MSR that names a page is looked up anew each time that the page is used. */
export const viridianVcpu = struct('viridian_vcpu', {
  assist: u64,
  /** The assist page says that the interrupt in service needs no EOI. */
  assistPending: u32,
  /** Timers that have expired without a message delivered, as a mask. */
  stimerPending: u32,
  scontrol: u64,
  siefp: u64,
  simp: u64,
  /** With the mask bit inverted: they are masked at first. */
  sint: array(u64, SINTS),
  stimerConfig: array(u64, STIMERS),
  /** Reference time or period as the guest gave it, and when the timer is to expire. */
  stimerCount: array(u64, STIMERS),
  stimerExpiration: array(u64, STIMERS),
  /** That in system time, ns; 0 while the timer stands still. */
  stimerDeadline: array(n64, STIMERS),
  crash: array(u64, 5),
});
