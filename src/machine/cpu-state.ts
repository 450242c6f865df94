/**
 * One vCPU's architectural state, as a record in machine memory. The compiled engines address it by these offsets, so
 * the first 256 bytes are laid out by hand: what every instruction touches, within reach of one-byte offsets.
 */
import { array, at, block, n64, struct, u8, u16, u32, u64 } from '../base/layout.ts';

/** Index of each segment register; LDTR and TR share the table. 6 in `segBase` alone means "no segment" (base 0). */
export const SEG = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5, ldtr: 6, tr: 7 } as const;
export const SEG_NONE = 6;

export const GPR = {
  rax: 0,
  rcx: 1,
  rdx: 2,
  rbx: 3,
  rsp: 4,
  rbp: 5,
  rsi: 6,
  rdi: 7,
  r8: 8,
  r9: 9,
  r10: 10,
  r11: 11,
  r12: 12,
  r13: 13,
  r14: 14,
  r15: 15,
} as const;

/** A segment register's hidden part. `attr` is bits 8-23 of a descriptor's high word, without the limit nibble:
 * type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11 (as in VMCB and Xen's arbytes). `limit` is in bytes. */
export const segment = struct('segment', { sel: u16, attr: u16, limit: u32, base: n64 });

/** TLB entries that STAC and CLAC open and close. */
export const OPEN_ENTRIES = 8;

export const cpuState = struct(
  'cpu_state',
  {
    gpr: at(0, array(u64, 16)),
    /** Always zero: the base or index of an address that has none. */
    zero: at(128, u64),
    /** Linear address of the code page being run. */
    ripBase: at(136, u64),
    tmp: at(144, array(u64, 3)),
    /** Valid whenever the engine is not running this vCPU. */
    rip: at(168, u64),
    /** Lazy status flags, see x86/flags.ts. */
    flagRes: at(176, u64),
    flagVec: at(184, u64),
    /** RFLAGS without the six status flags; bit 1 set. */
    flagsRest: at(192, u64),
    /** Low bits of the TLB tag that match now: privilege and address-space generation. */
    tlbCtx: at(200, u64),
    /** 1: an interrupt waits for IF: leave on STI, POPF and the like. 2: leave after the instruction in any case. */
    irqWindow: at(208, u32),
    /** Interrupts are held off for one instruction (after STI, MOV SS, POP SS). */
    shadow: at(212, u32),
    /** Not 0: somebody wants to see the accesses, so the TLBs are not filled without the engine. */
    watched: at(216, u32),
    /** While a compiled region runs: flags that are described, see compiler/region-flags.ts. */
    flagX: at(224, u64),
    flagY: at(232, u64),
    flagKind: at(240, u64),
    /** Linear base of each segment, [6] always 0. 64-bit, wrapped. */
    segBase: at(256, array(u64, 8)),
    /** Code size in bits that CS selects: 16, 32 or 64. */
    mode: at(332, u32),
    cpl: at(336, u64),
    nmiBlocked: at(344, u32),
    /** All ones in 64-bit mode, else 2^32 - 1: what a linear address wraps at. */
    linMask: at(384, u64),
    // How the interpreter left: the record it stopped at, instruction counts, the address and kind of a missed access.
    fuel: at(352, u32),
    exitRp: at(356, u32),
    faultAddr: at(360, u64),
    faultKind: at(368, u32),
    exitBn: at(372, u32),
    exitIc: at(376, u32),
    /** What is left of the budget for compiled regions. */
    regionFuel: at(380, u32),
    /** Place in the table of the region that was left for another, see LEAVE.merge. */
    lastRegion: at(472, u32),
    /** Of `exitIc`, what compiled regions retired; only where the driver counts it, for a profile. */
    compiledIc: at(476, u32),
    /**
     * Instructions begun: those that ended and those that faulted, each once; a repeated string instruction when it is
     * through or an exception comes in between. Exact when the engine comes back and when it asks the clock, the same
     * for every engine.
     */
    icount: at(392, n64),
    /** MSR_DEBUGCTL. */
    debugCtl: at(400, u32),
    /** DR6 bits of a debug trap that is due before the next instruction. */
    pendingDb: at(404, u32),
    /** Generation and mode of the code TLB's entries, for supervisor and user. */
    execMode: at(408, array(u32, 2)),
    /** Since the last flush, a piece of a large page may have entered a TLB. */
    largeSeen: at(416, u32),
    /** Under SMAP: not 0 if TLB entries may let the kernel into user pages, as they may while EFLAGS.AC is set. */
    userOpen: at(420, u32),
    /** Entries in the list of what the running address space has in its TLBs, see tlb-spaces.ts. */
    listed: at(480, u32),
    /** Which of the open entries makes room next. */
    openNext: at(484, u32),
    /** A fault was delivered between two turns: the next one goes on at rip. */
    redirected: at(488, u32),
    /** Machine address of the code cache's index, see interp/code-fill.ts. */
    codeIndex: at(492, u32),
    /** The address space that runs: its record's place from the start of the block (0: none yet); which one goes next. */
    space: at(496, u32),
    nextSpace: at(500, u32),
    /** Changes of address space so far. */
    switches: at(504, u32),
    /** Not 0: no port is there to be read. */
    noPorts: at(508, u32),
    /** Such entries, open or closed (TAG_CLOSED), and the low words of their tags when open. */
    openEntry: at(2048, array(u32, OPEN_ENTRIES)),
    openTag: at(2080, array(u32, OPEN_ENTRIES)),
    /** The page-directory-pointer entries of legacy PAE, which are registers. */
    pdpte: at(424, array(u64, 4)),
    /** The line that MONITOR watches, 0 for none, and its sum; see monitor.ts. */
    monitorAt: at(456, u32),
    monitorSum: at(460, u32),
    /** MSR_TSC_ADJUST: what the guest itself has added to its TSC. */
    tscAdjust: at(464, u64),
    xmm: at(512, array(block(16, 8), 16)),
    xtmp: at(768, array(block(16, 8), 2)),
    /** x87: eight physical registers, 16 bytes each (80 used), then control. */
    fpr: at(832, array(block(16, 8), 8)),
    fcw: at(960, u16),
    fsw: at(962, u16),
    /** Abridged tag word: bit i set when physical register i is not empty. */
    ftw: at(964, u8),
    fop: at(966, u16),
    fip: at(968, u64),
    fdp: at(976, u64),
    mxcsr: at(984, u32),
    seg: at(1024, array(block(16, 8), 8)),
    gdtBase: at(1152, u64),
    idtBase: at(1160, u64),
    gdtLimit: at(1168, u32),
    idtLimit: at(1172, u32),
    cr0: at(1176, u64),
    cr2: at(1184, u64),
    cr3: at(1192, u64),
    cr4: at(1200, u64),
    cr8: at(1208, u64),
    efer: at(1216, u64),
    star: at(1224, u64),
    lstar: at(1232, u64),
    cstar: at(1240, u64),
    sfmask: at(1248, u64),
    kernelGsBase: at(1256, u64),
    sysenterCs: at(1264, u64),
    sysenterEsp: at(1272, u64),
    sysenterEip: at(1280, u64),
    pat: at(1288, u64),
    tscAux: at(1296, u64),
    dr: at(1304, array(u64, 8)),
    xcr0: at(1368, u64),
    /** Guest TSC = host time in ns scaled by the machine's fixed frequency, plus this (signed). */
    tscOffset: at(1376, u64),
    /** Machine address of the p2m root (see p2m.ts); 0: guest-physical is machine (tests). */
    p2mRoot: at(1384, u32),
    /** Generation that the last flush of everything began with: later ones are other address spaces of the same time. */
    flushedAt: at(1392, u32),
    /** The TLB's generation now, and the last one given out. */
    generation: at(1388, u32),
    generationLast: at(1396, u32),
    scratch: at(1408, block(640, 64)),
  },
  2112,
);
