/**
 * Runs a vector's case on a test CPU that is set up as the recorder's process is: Linux's selectors, an LDT, gates that a
 * program may not use. The outcome is a record, as the recorder's own.
 */
import { SEG as CPU_SEG, cpuState } from '../src/machine/cpu-state.ts';
import { TestCpu } from '../src/machine/testing.ts';
import {
  AT,
  CODE_BASE,
  CODE_START,
  ENDING_BASE,
  FAULT_NONE,
  FX,
  type Kase,
  MEM_BASE,
  MEM_SIZE,
  READ_ONLY,
  Rec,
  SEG,
  SELECTOR,
} from '../tools/vectors/record.ts';

interface Segment {
  sel: number;
  attr: number;
  limit: number;
  base: number;
}
const FLAT = 0xffff_ffff;
const NULL: Segment = { sel: 0, attr: 0, limit: 0, base: 0 };
/** What the selectors stand for; the LDT's have Linux's "usable" bit, which is AVL. */
const SEGMENTS: readonly Segment[] = [
  { sel: SELECTOR.code64, attr: 0xafb, limit: FLAT, base: 0 },
  { sel: SELECTOR.code32, attr: 0xcfb, limit: FLAT, base: 0 },
  { sel: SELECTOR.data, attr: 0xcf3, limit: FLAT, base: 0 },
  { sel: SELECTOR.code16, attr: 0x1fb, limit: 0xffff, base: CODE_BASE },
  { sel: SELECTOR.data16, attr: 0x1f3, limit: 0xffff, base: MEM_BASE },
  { sel: SELECTOR.based, attr: 0xdf3, limit: FLAT, base: 0x1_0000 },
  { sel: SELECTOR.short, attr: 0x5f3, limit: 0x103f, base: MEM_BASE },
  { sel: SELECTOR.ending, attr: 0x1f3, limit: 0xffff, base: ENDING_BASE },
  { sel: SELECTOR.down, attr: 0x5f7, limit: 0xfbf, base: MEM_BASE },
];
/** Where Linux keeps the number of the CPU: as a limit. */
const CPU_NUMBER: Segment = { sel: 0x7b, attr: 0x4f5, limit: 0, base: 0 };
const BY_SELECTOR = new Map(SEGMENTS.map((s) => [s.sel, s]));

const TABLES = 0x8000_2000;
const IDT = 0x8000_0000;
const TSS_OFFSET = 0x100;
const NO_IO_BITMAP = 0xffff;
const LDT_OFFSET = 0x200;
const GDT_LIMIT = 0x7f;
const LDT_ENTRIES = 6;
/** OSXSAVE, FSGSBASE, UMIP. */
const CR4_MORE = 0x5_0800n;
const ERRORS: ReadonlySet<number> = new Set([8, 10, 11, 12, 13, 14, 17]);
const GP = 13;
const PF = 14;
const HLT = 0xf4;
const INT3 = 0xcc;
const CPU_SEGS = [CPU_SEG.es, CPU_SEG.cs, CPU_SEG.ss, CPU_SEG.ds, CPU_SEG.fs, CPU_SEG.gs];

export class VectorRunner {
  readonly t: TestCpu;
  readonly got = new Rec();
  private readonly code: number;
  private readonly pages: readonly [number, number];
  private lastLength = 0;

  /** Any engine that a test CPU can be made of. */
  constructor(makeCpu: () => TestCpu = () => new TestCpu()) {
    this.t = makeCpu();
    this.code = this.t.map(CODE_BASE, true, false);
    const frames = this.t.machine.allocFrames(2) * 4096;
    this.pages = [frames, frames + 4096];
    this.pages.forEach((page, i) => void this.t.map(MEM_BASE + 4096 * i, true, true, page));
    this.t.map(READ_ONLY, true, false);
    this.t.m.fill(this.code, 4096, INT3);
    this.system();
  }

  /** Machine address of a page of the test CPU's own. */
  private own(linear: number): number {
    return this.t.m.u32(this.t.entry(linear)) & ~0xfff;
  }
  private descriptor(at: number, { attr, limit, base }: Segment): void {
    const { m } = this.t;
    const units = attr & 0x800 ? limit >>> 12 : limit;
    m.setU32(at, ((base << 16) | (units & 0xffff)) >>> 0);
    const high = (base & 0xff00_0000) | ((attr & 0xf00) << 12) | (units & 0xf_0000) | ((attr & 0xff) << 8);
    m.setU32(at + 4, (high | ((base >>> 16) & 0xff)) >>> 0);
  }
  private system(): void {
    const { m, engine } = this.t;
    const c = engine.core;
    c.cpu = this.t.cpu;
    const tables = this.own(TABLES);
    const kernel = { sel: 0, limit: FLAT, base: 0 };
    this.descriptor(tables + 0x10, { ...kernel, attr: 0xa9b });
    this.descriptor(tables + 0x18, { ...kernel, attr: 0xc93 });
    m.fill(tables + 0x20, GDT_LIMIT + 1 - 0x20);
    for (const s of [...SEGMENTS, CPU_NUMBER])
      this.descriptor(tables + (s.sel & 4 ? LDT_OFFSET : 0) + (s.sel & ~7), s);
    c.set32(cpuState.gdtLimit, GDT_LIMIT);
    c.setSeg(CPU_SEG.ldtr, 0x50, 0x82, LDT_ENTRIES * 8 - 1, TABLES + LDT_OFFSET);
    m.setU16(tables + TSS_OFFSET + 0x66, NO_IO_BITMAP);
    const idt = this.own(IDT);
    for (let v = 0; v < 256; v++) if (v !== 3 && v !== 4) m.setU8(idt + 16 * v + 5, 0x8e);
    c.set(cpuState.cr4, c.get(cpuState.cr4) | CR4_MORE);
    c.set(cpuState.xcr0, 3n);
  }

  /** Runs a case; `begin` may run a first part of it on another engine. The outcome is in `got`. */
  run(kase: Kase, begin: () => void = () => {}): void {
    this.load(kase);
    begin();
    this.store(kase);
  }

  private load(kase: Kase): void {
    const { m, engine } = this.t;
    const { input } = kase;
    const length = input.codeLength;
    engine.dropCode(this.code >>> 12);
    m.fill(this.code + CODE_START, this.lastLength + 1, INT3);
    m.write(this.code + CODE_START, input.code);
    m.setU8(this.code + CODE_START + length, HLT);
    this.lastLength = length;
    m.write(this.pages[0] + input.window - MEM_BASE, input.bytes.subarray(AT.mem, input.length));
    this.registers(kase);
  }

  private registers(kase: Kase): void {
    const { m, cpu, engine } = this.t;
    const { input } = kase;
    const c = engine.core;
    c.cpu = cpu;
    m.write(cpu, input.bytes.subarray(0, 128));
    m.write(cpu + cpuState.xmm.offset, input.bytes.subarray(AT.fx + FX.xmm, AT.fx + FX.end));
    m.setU32(cpu + cpuState.mxcsr.offset, input.u32(AT.fx + FX.mxcsr));
    this.unit(input);
    m.setU64(cpu + cpuState.cpl.offset, 3n);
    // CS first: in 64-bit code the others' bases count for nothing
    for (const s of [SEG.cs, SEG.es, SEG.ss, SEG.ds, SEG.fs, SEG.gs]) {
      const sel = input.u16(AT.sel + 2 * s);
      const { attr, limit, base } = BY_SELECTOR.get(sel) ?? NULL;
      const own = s === SEG.fs ? AT.fsBase : s === SEG.gs ? AT.gsBase : -1;
      const at = own < 0 ? base : Number(BigInt.asIntN(64, input.u64(own)));
      c.setSeg(CPU_SEGS[s]!, sel, attr, limit, at);
    }
    c.flags = input.u32(AT.flags);
    c.setLin(cpuState.rip, kase.start);
    engine.stateChanged(cpu);
  }

  /** The x87 registers lie by number, and in the record by their place on the stack. */
  private unit(input: Rec): void {
    const { m, cpu } = this.t;
    const fsw = input.u16(AT.fx + FX.fsw);
    m.setU16(cpu + cpuState.fcw.offset, input.u16(AT.fx + FX.fcw));
    m.setU16(cpu + cpuState.fsw.offset, fsw);
    m.setU8(cpu + cpuState.ftw.offset, input.bytes[AT.fx + FX.ftw]!);
    m.setU16(cpu + cpuState.fop.offset, input.u16(AT.fx + FX.fop));
    m.setU64(cpu + cpuState.fip.offset, input.u64(AT.fx + FX.fip));
    m.setU64(cpu + cpuState.fdp.offset, input.u64(AT.fx + FX.fdp));
    for (let n = 0; n < 8; n++) {
      const at = AT.fx + FX.st + 16 * n;
      m.write(cpuState.fpr.addr(cpu, ((fsw >> 11) + n) & 7), input.bytes.subarray(at, at + 10));
    }
  }

  private store(kase: Kase): void {
    const { t, got } = this;
    const { m, cpu } = t;
    const { input } = kase;
    const c = t.engine.core;
    const o = t.run();
    const frame = c.gprLin(4) + (ERRORS.has(o.vector) ? 8 : 0);
    got.bytes.set(m.bytes.subarray(cpu, cpu + 128));
    got.setU64(AT.gpr + 32, o.rsp);
    got.setU32(AT.flags, o.flags);
    got.setU64(AT.rip, o.rip);
    CPU_SEGS.forEach((s, i) => void got.setU16(AT.sel + 2 * i, c.segSel(s)));
    got.setU16(AT.sel + 2 * SEG.cs, Number(c.read(frame + 8, 2, false)));
    got.setU16(AT.sel + 2 * SEG.ss, Number(c.read(frame + 32, 2, false)));
    got.setU64(AT.fsBase, BigInt.asUintN(64, BigInt(c.segBase(CPU_SEG.fs))));
    got.setU64(AT.gsBase, BigInt.asUintN(64, BigInt(c.segBase(CPU_SEG.gs))));
    const ended = o.vector === GP && o.rip === BigInt(kase.end) && o.errorCode === 0;
    got.fault = ended ? FAULT_NONE : o.vector;
    got.setU32(AT.error, ended || o.errorCode < 0 ? 0 : o.errorCode);
    got.setU64(AT.cr2, o.vector === PF ? o.cr2 : 0n);
    this.storeUnit();
    const at = this.pages[0] + input.window - MEM_BASE;
    got.bytes.set(m.bytes.subarray(at, at + input.windowLength), AT.mem);
    m.fill(at, input.windowLength);
  }

  private storeUnit(): void {
    const { got } = this;
    const { m, cpu } = this.t;
    const fsw = m.u16(cpu + cpuState.fsw.offset);
    got.setU16(AT.fx + FX.fcw, m.u16(cpu + cpuState.fcw.offset));
    got.setU16(AT.fx + FX.fsw, fsw);
    got.bytes[AT.fx + FX.ftw] = m.u8(cpu + cpuState.ftw.offset);
    got.setU16(AT.fx + FX.fop, m.u16(cpu + cpuState.fop.offset));
    got.setU64(AT.fx + FX.fip, m.u64(cpu + cpuState.fip.offset));
    got.setU64(AT.fx + FX.fdp, m.u64(cpu + cpuState.fdp.offset));
    got.setU32(AT.fx + FX.mxcsr, m.u32(cpu + cpuState.mxcsr.offset));
    for (let n = 0; n < 8; n++) {
      const from = cpuState.fpr.addr(cpu, ((fsw >> 11) + n) & 7);
      got.bytes.set(m.bytes.subarray(from, from + 10), AT.fx + FX.st + 16 * n);
    }
    const xmm = cpu + cpuState.xmm.offset;
    got.bytes.set(m.bytes.subarray(xmm, xmm + 256), AT.fx + FX.xmm);
  }

  /** Whether something was written in the pages outside of windows, where nothing should be. */
  get dirty(): boolean {
    const { m } = this.t;
    return m.bytes.subarray(this.pages[0], this.pages[0] + MEM_SIZE).some((v) => v !== 0);
  }
}
