/**
 * The virtual machine control block: what a monitor tells the CPU of its guest, and the CPU of why it left it.
 *
 * @spec APM 2, appendixes B and C
 */
import { array, at, block, struct, u8, u16, u32, u64 } from '../../../base/layout.ts';

export const VMCB_BYTES = 4096;
/** The state save area begins here. */
export const SAVE_AT = 0x400;

export const vmcbControl = struct(
  'vmcb_control',
  {
    crReads: at(0x00, u16),
    crWrites: at(0x02, u16),
    drReads: at(0x04, u16),
    drWrites: at(0x06, u16),
    exceptions: at(0x08, u32),
    /** One bit for each exit code from 0x60, 0x80 and 0xa0 on. */
    intercepts: at(0x0c, array(u32, 3)),
    pauseThreshold: at(0x3c, u16),
    pauseCount: at(0x3e, u16),
    iopmBase: at(0x40, u64),
    msrpmBase: at(0x48, u64),
    tscOffset: at(0x50, u64),
    asid: at(0x58, u32),
    tlbControl: at(0x5c, u8),
    /** V_TPR, V_IRQ, V_INTR_PRIO, V_IGN_TPR, V_INTR_MASKING. */
    virtual: at(0x60, u32),
    virtualVector: at(0x64, u8),
    interruptShadow: at(0x68, u8),
    exitCode: at(0x70, u64),
    exitInfo1: at(0x78, u64),
    exitInfo2: at(0x80, u64),
    exitIntInfo: at(0x88, u64),
    nestedPaging: at(0x90, u64),
    eventInjection: at(0xa8, u64),
    nestedCr3: at(0xb0, u64),
    nextRip: at(0xc8, u64),
    bytesFetched: at(0xd0, u8),
    instruction: at(0xd1, block(15)),
  },
  0x100,
);

/** Offsets from the start of the area. A segment is laid out as in cpu-state.ts. */
export const vmcbSave = struct(
  'vmcb_save',
  {
    seg: at(0x00, array(block(16, 8), 6)),
    gdtr: at(0x60, block(16, 8)),
    ldtr: at(0x70, block(16, 8)),
    idtr: at(0x80, block(16, 8)),
    tr: at(0x90, block(16, 8)),
    cpl: at(0xcb, u8),
    efer: at(0xd0, u64),
    cr4: at(0x148, u64),
    cr3: at(0x150, u64),
    cr0: at(0x158, u64),
    dr7: at(0x160, u64),
    dr6: at(0x168, u64),
    rflags: at(0x170, u64),
    rip: at(0x178, u64),
    rsp: at(0x1d8, u64),
    rax: at(0x1f8, u64),
    star: at(0x200, u64),
    lstar: at(0x208, u64),
    cstar: at(0x210, u64),
    sfmask: at(0x218, u64),
    kernelGsBase: at(0x220, u64),
    sysenterCs: at(0x228, u64),
    sysenterEsp: at(0x230, u64),
    sysenterEip: at(0x238, u64),
    cr2: at(0x240, u64),
    gPat: at(0x268, u64),
  },
  0x298,
);

/** EXITCODE. The instructions' are those of INTERCEPTED from 0x60 on. */
export const VMEXIT = {
  crRead: 0x00,
  crWrite: 0x10,
  drRead: 0x20,
  drWrite: 0x30,
  exception: 0x40,
  intr: 0x60,
  nmi: 0x61,
  init: 0x63,
  vintr: 0x64,
  cr0Selective: 0x65,
  idtrRead: 0x66,
  gdtrRead: 0x67,
  ldtrRead: 0x68,
  trRead: 0x69,
  idtrWrite: 0x6a,
  gdtrWrite: 0x6b,
  ldtrWrite: 0x6c,
  trWrite: 0x6d,
  rdtsc: 0x6e,
  rdpmc: 0x6f,
  pushf: 0x70,
  popf: 0x71,
  cpuid: 0x72,
  rsm: 0x73,
  iret: 0x74,
  swint: 0x75,
  invd: 0x76,
  pause: 0x77,
  hlt: 0x78,
  invlpg: 0x79,
  invlpga: 0x7a,
  ioio: 0x7b,
  msr: 0x7c,
  taskSwitch: 0x7d,
  ferrFreeze: 0x7e,
  shutdown: 0x7f,
  vmrun: 0x80,
  vmmcall: 0x81,
  vmload: 0x82,
  vmsave: 0x83,
  stgi: 0x84,
  clgi: 0x85,
  skinit: 0x86,
  rdtscp: 0x87,
  icebp: 0x88,
  wbinvd: 0x89,
  monitor: 0x8a,
  mwait: 0x8b,
  mwaitArmed: 0x8c,
  xsetbv: 0x8d,
  invpcid: 0xa2,
  npf: 0x400,
  /** In all 64 bits. */
  invalid: -1,
} as const;

/** Fields of `vmcbControl.virtual`. */
export const VIRTUAL = {
  tpr: 0xff,
  irq: 1 << 8,
  priorityShift: 16,
  priority: 0xf,
  ignoreTpr: 1 << 20,
  masking: 1 << 24,
} as const;

/** EVENTINJ and EXITINTINFO: vector 7:0, type 10:8, error code valid 11, valid 31, error code 63:32. */
export const EVENT = { valid: 1 << 31, errorValid: 1 << 11, typeShift: 8 } as const;
export const EVENT_TYPE = { external: 0, nmi: 2, exception: 3, software: 4 } as const;

/** EXITINFO1 of a nested page fault, beside a page fault's error code: in the guest's address itself, or on its walk. */
export const NPF = { final: 1n << 32n, table: 1n << 33n } as const;
