/** A vCPU in 32-bit ring 0 for tests: flat segments, tables and two tasks in one run of frames, gates that lead to HLTs. */
import { cpuState, SEG } from './cpu-state.ts';
import { EXIT } from './platform.ts';
import { TestCpu } from './testing.ts';

export const TSS_32 = 9;
/** GDT entries. */
export const SEL = {
  code: 0x08,
  data: 0x10,
  tss: 0x18,
  other: 0x20,
  gate: 0x28,
  short: 0x30,
  down: 0x38,
  code16: 0x40,
} as const;
/** Places in one run of frames: tables, a TSS each, code and a stack for each task, handlers. */
export const AT = {
  gdt: 0,
  idt: 0x100,
  tss: 0x400,
  other: 0x500,
  code: 0x1000,
  otherCode: 0x1800,
  halts: 0x2000,
  data: 0x3000,
  top: 0x5000,
} as const;

export const HLT = 0xf4;
export const FAR = { jmp: 0xea, call: 0x9a } as const;
export const far = (op: number, sel: number): number[] => [op, 0, 0, 0, 0, sel & 255, sel >> 8];

export class Legacy {
  readonly t = new TestCpu();
  readonly base = this.t.machine.allocFrames(6) * 4096;

  constructor(code: readonly number[]) {
    const { t } = this;
    t.m.fill(this.base, 6 * 4096);
    t.m.fill(this.base + AT.halts, 0x800, HLT);
    this.bytes(AT.code, code);
    this.descriptor(SEL.code, 0, 0xfffff, 0xc9b);
    this.descriptor(SEL.data, 0, 0xfffff, 0xc93);
    this.descriptor(SEL.tss, this.base + AT.tss, 0x67, 0x80 | TSS_32 | 2);
    this.descriptor(SEL.other, this.base + AT.other, 0x67, 0x80 | TSS_32);
    this.descriptor(SEL.short, this.base + AT.data, 0xff, 0x493);
    this.descriptor(SEL.down, this.base + AT.data, 0xff, 0x497);
    this.bytes(SEL.gate, [0, 0, SEL.other, 0, 0, 0xe5, 0, 0]);
    for (let v = 0; v < 64; v++) this.gate(v, SEL.code, this.base + AT.halts + v * 8, 0xee);
    this.word(AT.other + 32, this.base + AT.otherCode);
    this.word(AT.other + 36, 2);
    this.word(AT.other + 56, this.base + AT.top - 0x800);
    [SEL.data, SEL.code, SEL.data, SEL.data, SEL.data, SEL.data].forEach((sel, i) => {
      this.word(AT.other + 72 + 4 * i, sel);
    });
    this.registers();
  }

  private registers(): void {
    const { t, base } = this;
    const c = t.engine.core;
    c.cpu = t.cpu;
    c.set(cpuState.cr0, 0x11n);
    c.set(cpuState.cr4, 0n);
    c.set(cpuState.efer, 0n);
    t.m.setU64(t.cpu + cpuState.cpl.offset, 0n);
    c.setLin(cpuState.gdtBase, base + AT.gdt);
    c.set32(cpuState.gdtLimit, 0x47);
    c.setLin(cpuState.idtBase, base + AT.idt);
    c.set32(cpuState.idtLimit, 64 * 8 - 1);
    for (const s of [SEG.es, SEG.ss, SEG.ds, SEG.fs, SEG.gs]) c.setSeg(s, SEL.data, 0xc93, 0xffff_ffff, 0);
    c.setSeg(SEG.cs, SEL.code, 0xc9b, 0xffff_ffff, 0);
    c.setSeg(SEG.tr, SEL.tss, 0x8b, 0x67, base + AT.tss);
    c.setSeg(SEG.ldtr, 0, 0, 0, 0);
    c.flags = 2;
    c.setGpr32(4, base + AT.top);
    c.setLin(cpuState.rip, base + AT.code);
    t.engine.stateChanged(t.cpu);
  }

  bytes(at: number, code: readonly number[]): void {
    code.forEach((b, i) => {
      this.t.m.setU8(this.base + at + i, b);
    });
  }
  word(at: number, v: number): void {
    this.t.m.setU32(this.base + at, v >>> 0);
  }
  read(at: number): number {
    return this.t.m.u32(this.base + at);
  }
  descriptor(sel: number, base: number, limit: number, attr: number): void {
    this.word(sel, (base << 16) | (limit & 0xffff));
    this.word(
      sel + 4,
      (base & 0xff00_0000) |
        ((attr & 0xf00) << 12) |
        (limit & 0xf_0000) |
        ((attr & 0xff) << 8) |
        ((base >>> 16) & 0xff),
    );
  }
  gate(v: number, sel: number, offset: number, type: number): void {
    this.word(AT.idt + v * 8, (sel << 16) | (offset & 0xffff));
    this.word(AT.idt + v * 8 + 4, (offset & 0xffff_0000) | (type << 8));
  }
  gpr(r: number, v?: number): number {
    if (v !== undefined) this.t.engine.core.setGpr32(r, v);
    return this.t.engine.core.gpr32(r);
  }
  /** Runs to a HLT: the vector of the handler it is in, or where in the frames it is. */
  run(): { vector: number; at: number } {
    const { t } = this;
    const exit = t.engine.run(t.cpu, 100_000);
    if (exit !== EXIT.hlt) throw new Error(`exit ${exit} ${t.engine.lastError}`);
    const c = t.engine.core;
    const at = c.lin(cpuState.rip) + c.segBase(SEG.cs) - 1 - this.base;
    return at >= AT.halts && at < AT.halts + 64 * 8
      ? { vector: (at - AT.halts) / 8, at }
      : { vector: -1, at };
  }
  get tr(): number {
    return this.t.engine.core.segSel(SEG.tr);
  }
  get flags(): number {
    return this.t.engine.core.flags;
  }
  busy(sel: number): boolean {
    return (this.read(sel + 4) & 0x200) !== 0;
  }

  /** Turns on paging by tables of PAE, with 32 MiB where they are; answers where the pages' entries are. */
  page(rights = 3): number {
    const { engine, machine, m, cpu } = this.t;
    const [top, tables] = [machine.allocFrame() * 4096, machine.allocFrame() * 4096];
    m.setU64(top, BigInt(tables) | 1n);
    for (let k = 0; k < 16; k++) m.setU64(tables + 8 * k, BigInt(k * 0x20_0000 + 0x80 + rights));
    const c = engine.core;
    c.set(cpuState.cr4, 0x20n);
    c.set(cpuState.cr0, 0x8000_0011n);
    c.setLin(cpuState.cr3, top);
    if (!c.mmu.loadPdptes(cpu, top)) throw new Error('page-directory-pointer entries are not in order');
    engine.stateChanged(cpu);
    return tables;
  }
}
