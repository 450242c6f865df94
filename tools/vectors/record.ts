/**
 * One case as the recorder's child takes it and answers it, and as the runner of the tests fills it in: every register,
 * the code, and the window of memory. host.c has the same layout.
 */
import type { VectorForm } from './forms.ts';

/** Offsets. The x87, MXCSR and XMM registers are an FXSAVE64 image. */
export const AT = {
  gpr: 0,
  flags: 128,
  rip: 136,
  fx: 144,
  fsBase: 656,
  gsBase: 664,
  sel: 672,
  fault: 684,
  error: 688,
  codeLength: 692,
  cr2: 696,
  code: 704,
  window: 736,
  windowLength: 740,
  mem: 768,
} as const;
/** Offsets in the FXSAVE image. */
export const FX = {
  fcw: 0,
  fsw: 2,
  ftw: 4,
  fop: 6,
  fip: 8,
  fdp: 16,
  mxcsr: 24,
  st: 32,
  xmm: 160,
  end: 416,
} as const;

export const CODE_BASE = 0x2000_0000;
/** Where in its page the snippet lies; the rest of the page is INT3. */
export const CODE_START = 0x800;
/** Two pages, zero but for the window; nothing is mapped beside them. */
export const MEM_BASE = 0x1000_0000;
export const MEM_SIZE = 8192;
/** A page of zeros that cannot be written. */
export const READ_ONLY = MEM_BASE + 0x8000;
export const WINDOW = 256;
/** For instructions that save or load a whole unit. */
export const LARGE_WINDOW = 1024;
const RECORD_MAX = AT.mem + LARGE_WINDOW;

/** `fault` of a case that ran to its end, and of one that wrote outside of its window (it is dropped). */
export const FAULT_NONE = -1;
export const FAULT_STRAY = -2;

/** CF PF AF ZF SF DF OF NT AC ID. IF is set and IOPL 0 throughout; RF is not compared. */
export const FLAG_MASK = 0x24_4cd5;

/**
 * The kernel's selectors, and those of the LDT: 16-bit code and data, data at 0x10000, data with a short limit, 64 KiB that
 * end where the memory's second page begins, and data that expands down.
 */
export const SELECTOR = {
  code64: 0x33,
  code32: 0x23,
  data: 0x2b,
  code16: 0x07,
  data16: 0x0f,
  based: 0x17,
  short: 0x1f,
  ending: 0x27,
  down: 0x2f,
} as const;
/** Index in the record's selectors. */
export const SEG = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5 } as const;
export const BASED_BASE = 0x1_0000;
export const ENDING_BASE = MEM_BASE + 0x1000 - 0x1_0000;

export class Rec {
  readonly bytes = new Uint8Array(RECORD_MAX);
  readonly view = new DataView(this.bytes.buffer);
  readonly gpr = new BigUint64Array(this.bytes.buffer, AT.gpr, 16);
  readonly words = new Uint32Array(this.bytes.buffer);

  u16(at: number): number {
    return this.view.getUint16(at, true);
  }
  u32(at: number): number {
    return this.words[at >> 2]!;
  }
  u64(at: number): bigint {
    return this.view.getBigUint64(at, true);
  }
  setU16(at: number, v: number): void {
    this.view.setUint16(at, v, true);
  }
  setU32(at: number, v: number): void {
    this.words[at >> 2] = v;
  }
  setU64(at: number, v: bigint): void {
    this.view.setBigUint64(at, v, true);
  }
  get fault(): number {
    return this.view.getInt32(AT.fault, true);
  }
  set fault(v: number) {
    this.view.setInt32(AT.fault, v, true);
  }
  get codeLength(): number {
    return this.words[AT.codeLength >> 2]!;
  }
  get code(): Uint8Array {
    return this.bytes.subarray(AT.code, AT.code + this.codeLength);
  }
  get window(): number {
    return this.words[AT.window >> 2]!;
  }
  get windowLength(): number {
    return this.words[AT.windowLength >> 2]!;
  }
  get length(): number {
    return AT.mem + this.windowLength;
  }
  /** Takes over another record's first `length` bytes. */
  copy(from: Uint8Array): void {
    this.bytes.set(from);
  }
}

/** An input with what is known of it beforehand. */
export class Kase {
  readonly input = new Rec();
  form!: VectorForm;
  number = 0;
  /** Linear address of the memory operand, where there is one: what changes is likely to be there. */
  address = 0n;
  /** Status flags that the manual leaves undefined after it. */
  undefinedFlags = 0;

  /** RIP at the snippet and behind it: an offset in 16-bit code, whose segment has a base. */
  get start(): number {
    return CODE_START + (this.form.mode === 16 ? 0 : CODE_BASE);
  }
  get end(): number {
    return this.start + this.input.codeLength;
  }
}
