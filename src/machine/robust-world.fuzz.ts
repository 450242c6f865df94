/**
 * A guest of a few dozen frames with anything in them, for fuzzing the engine: code, page tables, descriptor tables and
 * registers that are nearly right, so that every part of the engine gets its turn at being handed nonsense.
 */
import { GUEST_CR4 } from '../x86/cpuid.ts';
import { randomCode } from '../x86/decoder-strings.fuzz.ts';
import type { CodeSize } from '../x86/insn.ts';
import { cpuState, SEG } from './cpu-state.ts';
import { createEngine } from './create-engine.ts';
import { SoftwareCpu } from './engine/engine.ts';
import { Machine } from './machine.ts';
import { P2M, P2M_ROOT_PAGES, p2mEntry, p2mSet } from './p2m.ts';
import type { Platform } from './platform.ts';
import { TestCpu } from './testing.ts';
import { sharedMemory } from './wasm-api.ts';

export type Pick = (n: number) => number;
export type Kind = 'ring 3' | 'ring 0' | 'protected mode' | 'real mode' | 'virtual-8086 mode';
export const KINDS: readonly Kind[] = [
  'ring 3',
  'ring 0',
  'protected mode',
  'real mode',
  'virtual-8086 mode',
];

const MIB = 1 << 20;
const PAGE = 4096;
/** Guest frames of RAM: from 0 up, all that the guest has. */
const FRAMES = 48;
/** Read-only RAM, a device; behind them and further up there is nothing. */
const READ_ONLY = [40, 41];
const DEVICE = FRAMES;
export const GPA = {
  code: 0x1000,
  gdt: 0x9000,
  ldt: 0xa000,
  idt: 0xb000,
  tss: 0xc000,
  tables: 0x10000,
  data: 0x18000,
  end: FRAMES * PAGE,
} as const;
const CODE_PAGES = 8;
const DESCRIPTORS = 64;

/** High words of flat descriptors: null; code of 64, 32 and 16 bits and data for the kernel; the same for the user. */
const SOUND = [
  0, 0xaf_9b00, 0xcf_9b00, 0x8f_9b00, 0xcf_9300, 0, 0, 0, 0, 0xaf_fb00, 0xcf_fb00, 0x8f_fb00, 0xcf_f300, 0, 0,
  0,
];
const USER = 8;

/** Beginnings of instructions that change more than a register; what follows is random. */
// biome-ignore format: a table
const HEADS = [
  [0x0f, 0x00], [0x0f, 0x01], [0x0f, 0x01, 0xc1], [0x0f, 0x01, 0xd9], [0x0f, 0x01, 0xf8], [0x0f, 0x20], [0x0f, 0x21],
  [0x0f, 0x22], [0x0f, 0x23], [0x0f, 0x22, 0xc0], [0x0f, 0x22, 0xd8], [0x0f, 0x22, 0xe0], [0x0f, 0xae], [0x0f, 0xc7],
  [0x0f, 0x05], [0x0f, 0x07], [0x48, 0x0f, 0x07], [0x0f, 0x34], [0x0f, 0x35], [0x0f, 0x30], [0x0f, 0x32], [0x0f, 0xa2],
  [0xff], [0x8e], [0x8c], [0xcf], [0x48, 0xcf], [0xcb], [0xca], [0xcd], [0xce], [0xf1], [0xea], [0x9a], [0xc8], [0xc9],
  [0x07], [0x17], [0x1f], [0x0f, 0xa1], [0xc4], [0xc5], [0x0f, 0xb2], [0x0f, 0xb4], [0xf3, 0xa4], [0xf3, 0x48, 0xa5],
  [0xf3, 0xab], [0xf2, 0xa6], [0xf3, 0x6c], [0xf3, 0x6f], [0xf0], [0xf0, 0x0f], [0xf4], [0xfa], [0xfb], [0x9d], [0x9c],
  [0x60], [0x61], [0x62], [0xe2, 0xfe], [0xeb], [0xe8], [0x0f, 0x08], [0x0f, 0xaa], [0xd9], [0xdb], [0xdd, 0x20],
  [0x66, 0x0f, 0x38, 0x82], [0x0f, 0x02], [0x0f, 0x03], [0x63], [0xd7], [0x0f, 0x06], [0x0f, 0xf7], [0x66, 0x0f, 0xf7],
];

/** Machine memory that the guest may not reach, as it was. */
interface Guard {
  readonly mfn: number;
  readonly bytes: Uint8Array;
}

export class RobustWorld {
  readonly machine: Machine;
  readonly engine: SoftwareCpu;
  readonly cpu: number;
  private readonly frames: number[] = [];
  private readonly guards: Guard[] = [];
  private readonly pool = new Uint8Array(1 << 16);
  pick: Pick = () => 0;

  constructor() {
    this.machine = Machine.create(sharedMemory(24 * MIB), 24 * MIB);
    this.engine = createEngine(this.machine, this.platform(), {
      clock: { now: () => 0, wall: () => 0 },
      entropy: { fill: (b) => void b.fill(7) },
      tscKhz: 1_000_000,
      codeCacheBytes: 4 * MIB,
      cr4Allowed: GUEST_CR4,
      compile: TestCpu.compile,
    });
    this.cpu = this.machine.allocFrames(SoftwareCpu.frames()) * PAGE;
    const root = this.machine.allocFrames(P2M_ROOT_PAGES);
    const leaves: number[] = [];
    const leaf = (): number => leaves[leaves.push(this.machine.allocFrame() * PAGE) - 1]!;
    for (let gfn = 0; gfn <= DEVICE; gfn++) {
      const mfn = this.machine.allocFrame(1);
      this.guard(this.machine.allocFrame(2), 0x5a);
      if (gfn < FRAMES) this.frames.push(mfn);
      const type = gfn === DEVICE ? P2M.mmio : READ_ONLY.includes(gfn) ? P2M.ramRo : P2M.ram;
      p2mSet(this.m, root * PAGE, gfn, p2mEntry(mfn, type), leaf);
    }
    for (let n = 0; n < P2M_ROOT_PAGES; n++) this.guard(root + n);
    for (const at of leaves) this.guard(at / PAGE);
    this.guard(0);
    this.root = root * PAGE;
  }
  private readonly root: number;

  get m() {
    return this.machine.mem;
  }

  /** A device of which every access gives something, and MSRs half of which exist. */
  private platform(): Platform {
    const some = (out: Uint32Array): void => {
      for (let n = 0; n < 2; n++) out[n] = this.pick(2 ** 32);
    };
    return {
      cpuid: (_cpu, _leaf, _subleaf, out) => some(out),
      rdmsr: (_cpu, _index, out) => {
        some(out);
        return this.pick(2) === 0;
      },
      wrmsr: () => this.pick(2) === 0,
      ioRead: (_cpu, _port, size) => this.pick(2 ** (8 * size)),
      ioWrite: () => {},
      mmioRead: (_cpu, _gpa, _size, out) => some(out),
      mmioWrite: () => {},
      readCr8: () => this.pick(16),
      writeCr8: () => {},
      cannotRun: () => {},
    };
  }

  private guard(mfn: number, fill?: number): void {
    if (fill !== undefined) this.m.fill(mfn * PAGE, PAGE, fill);
    this.guards.push({ mfn, bytes: this.m.copy(mfn * PAGE, PAGE) });
  }
  /** Machine frames that are not the guest's and have changed. */
  changedGuards(): number[] {
    const same = (g: Guard): boolean => Buffer.compare(this.m.slice(g.mfn * PAGE, PAGE), g.bytes) === 0;
    return this.guards.filter((g) => !same(g)).map((g) => g.mfn);
  }

  // --- memory --------------------------------------------------------------------------------------------------------

  private maddr(gpa: number): number {
    return this.frames[gpa >>> 12]! * PAGE + (gpa & 4095);
  }
  private word(gpa: number, v: number): void {
    this.m.setU32(this.maddr(gpa), v >>> 0);
  }
  /** True once in `n` times. */
  private rarely(n: number): boolean {
    return this.pick(n) === 0;
  }
  private any32(): number {
    return this.pick(2 ** 32);
  }
  private guestAddress(): number {
    const edge = this.pick(FRAMES + 1) * PAGE + PAGE - this.pick(20);
    return [this.pick(GPA.end), edge, GPA.data + this.pick(PAGE) * 8, GPA.code + this.pick(PAGE)][
      this.pick(4)
    ]!;
  }

  private fillFrames(): void {
    for (let k = 0; k < this.pool.length; k += 4)
      new DataView(this.pool.buffer).setUint32(k, this.rarely(3) ? this.guestAddress() : this.any32(), true);
    for (const mfn of this.frames) {
      const from = this.pick(this.pool.length - PAGE);
      this.m.write(mfn * PAGE, this.pool.subarray(from, from + PAGE));
    }
  }

  private fillCode(size: CodeSize): void {
    const out: number[] = [];
    for (let at = 0; at < CODE_PAGES * PAGE - 40; ) {
      randomCode(this.pick, size, out);
      if (this.rarely(4)) out.splice(0, 0, ...HEADS[this.pick(HEADS.length)]!);
      const length = this.rarely(4) ? out.length : 2 + this.pick(6);
      for (let k = 0; k < length; k++) this.m.setU8(this.maddr(GPA.code + at++), out[k]!);
    }
  }

  /** A few descriptors that are in order, and others of every type; gates lead into the code. */
  private fillDescriptors(gpa: number, count: number): void {
    SOUND.forEach((high, n) => {
      this.word(gpa + n * 8, 0xffff);
      this.word(gpa + n * 8 + 4, high);
    });
    for (let n = SOUND.length; n < count; n++) {
      const gate = this.rarely(4);
      const present = this.rarely(8) ? 0 : 0x8000;
      const type = this.pick(32) << 8;
      const dpl = this.pick(4) << 13;
      if (gate) {
        const offset = GPA.code + this.pick(CODE_PAGES * PAGE);
        this.word(gpa + n * 8, (this.selector() << 16) | (offset & 0xffff));
        this.word(gpa + n * 8 + 4, (offset & 0xffff_0000) | present | dpl | (type & 0xf00) | this.pick(4));
        continue;
      }
      const flat = this.pick(2) === 0;
      const base = flat ? 0 : this.rarely(3) ? this.guestAddress() : GPA.tss + this.pick(64);
      const limit = flat ? 0xf_ffff : this.pick(0x1000);
      const size = this.pick(16) << 20;
      this.word(gpa + n * 8, (base << 16) | (limit & 0xffff));
      const upper = (base & 0xff00_0000) | (limit & 0xf_0000) | ((base >>> 16) & 0xff);
      this.word(gpa + n * 8 + 4, upper | (flat ? size | 0x80_0000 : size) | present | dpl | type);
    }
  }
  private fillIdt(long: boolean): void {
    const bytes = long ? 16 : 8;
    for (let v = 0; v < 256 && v * bytes < PAGE; v++) {
      const at = GPA.idt + v * bytes;
      const offset = GPA.code + this.pick(CODE_PAGES * PAGE);
      const type = [14, 15, 14, 15, 14, 15, 6, 5, this.pick(32)][this.pick(9)]! << 8;
      const sel = this.rarely(8) ? this.selector() : (long ? 1 : 2 + this.pick(2)) << 3;
      this.word(at, (sel << 16) | (offset & 0xffff));
      this.word(
        at + 4,
        (offset & 0xffff_0000) | (this.rarely(20) ? 0 : 0x8000) | (this.pick(4) << 13) | type | this.pick(8),
      );
      if (long) this.word(at + 8, this.rarely(30) ? this.any32() : 0);
    }
  }
  /** Stacks for every privilege: 64- and 32-bit TSS have them at the same place, of different widths. */
  private fillTss(long: boolean): void {
    if (this.rarely(8)) return;
    for (let at = GPA.tss + 4; at < GPA.tss + 0x64; at += 8) {
      const stack = GPA.data + 0x1000 + this.pick(PAGE);
      this.word(at, stack);
      this.word(at + 4, long ? 0 : 4 << 3);
    }
    this.word(GPA.tss + 0x64, 0x68 << 16);
  }
  /** Tables that map linear addresses of the guest's size to the same frames, or nearly. */
  private fillTables(pae: boolean): void {
    const entry = (frame: number): [number, number] => {
      if (this.rarely(100)) return [this.any32(), this.any32()];
      const flags = 0x67 & ~(this.rarely(30) ? 1 << this.pick(7) : 0);
      return [((this.rarely(40) ? this.pick(64) : frame) << 12) | flags, this.rarely(100) ? 0x8000_0000 : 0];
    };
    const table = GPA.tables >>> 12;
    const put = (page: number, index: number, frame: number): void => {
      const at = (page << 12) + index * (pae ? 8 : 4);
      const [lo, hi] = entry(frame);
      this.word(at, lo);
      if (pae) this.word(at + 4, hi);
    };
    for (const page of [0, 1, 2]) for (const index of [0, 511, 1]) put(table + page, index, table + page + 1);
    for (let n = 0; n < (pae ? 512 : 1024); n++) put(table + (pae ? 3 : 1), n, n % (FRAMES + 2));
  }

  // --- registers -----------------------------------------------------------------------------------------------------

  /** A selector of a descriptor that is in order, or any. */
  private selector(): number {
    const ring = this.pick(2) * 3;
    if (!this.rarely(4)) return ((1 + this.pick(4) + (ring ? USER : 0)) << 3) | ring;
    return (this.pick(DESCRIPTORS) << 3) | (this.rarely(6) ? 4 : 0) | this.pick(4);
  }
  private value64(): bigint {
    const wide = (BigInt(this.any32()) << 32n) | BigInt(this.any32());
    const edge = [0x7fff_ffff_fff8n, 0xffff_8000_0000_0000n, 0xffff_ffff_ffff_fff0n, 0xffff_fff8n][
      this.pick(4)
    ]!;
    return [BigInt(this.guestAddress()), BigInt(this.guestAddress()), BigInt(this.pick(300)), wide, edge][
      this.pick(5)
    ]!;
  }

  /** Memory and registers anew, for code of this kind. */
  arrange(kind: Kind, pick: Pick): void {
    this.pick = pick;
    this.long = kind === 'ring 3' || kind === 'ring 0';
    this.code = this.long ? 64 : kind === 'protected mode' && this.pick(4) > 0 ? 32 : 16;
    this.pae = this.long || this.pick(2) === 0;
    this.fillFrames();
    this.fillCode(this.code);
    this.fillDescriptors(GPA.gdt, DESCRIPTORS);
    this.fillDescriptors(GPA.ldt, DESCRIPTORS);
    if (kind !== 'real mode' || this.pick(2) === 0) this.fillIdt(this.long);
    this.fillTss(this.long);
    this.fillTables(this.pae);
    for (const mfn of this.frames) this.engine.dropCode(mfn);
    this.registers(kind);
  }
  private long = false;
  private pae = false;
  private code: CodeSize = 64;

  /** The registers alone. */
  registers(kind: Kind): void {
    this.engine.init(this.cpu);
    this.m.setU32(this.cpu + cpuState.p2mRoot.offset, this.root);
    this.controls(this.long, kind === 'real mode', this.pae);
    this.segments(kind, this.code);
    this.general(kind);
    if (this.pae && !this.long) this.engine.core.mmu.loadPdptes(this.cpu, GPA.tables);
    this.engine.stateChanged(this.cpu);
  }

  private controls(long: boolean, real: boolean, pae: boolean): void {
    const c = this.engine.core;
    c.cpu = this.cpu;
    const paging = long || (!real && this.pick(3) > 0);
    const cr0 =
      0x10 | (real ? 0 : 1) | (paging ? 0x8000_0000 : 0) | (this.pick(2) << 16) | (this.pick(2) << 5);
    c.set(
      cpuState.cr0,
      BigInt((cr0 | (this.rarely(8) ? this.pick(8) << 1 : 2) | (this.rarely(8) ? 0x4_0000 : 0)) >>> 0),
    );
    const cr4 = (this.any32() & GUEST_CR4 & ~0x2_0020) | 0x600 | (pae ? 0x20 : 0);
    c.set(cpuState.cr4, BigInt(long && this.pick(4) === 0 ? cr4 | 0x2_0000 : cr4));
    c.set(cpuState.cr3, BigInt(GPA.tables));
    c.set(cpuState.efer, BigInt((long ? 0x500 : 0) | (this.pick(2) << 11) | this.pick(2)));
    c.setLin(cpuState.gdtBase, GPA.gdt);
    c.set32(cpuState.gdtLimit, this.rarely(8) ? this.pick(0x200) : DESCRIPTORS * 8 - 1);
    c.setLin(cpuState.idtBase, real && this.pick(2) === 0 ? 0 : GPA.idt);
    c.set32(cpuState.idtLimit, this.rarely(8) ? this.pick(0x1000) : 0xfff);
    for (const f of [
      cpuState.lstar,
      cpuState.cstar,
      cpuState.kernelGsBase,
      cpuState.sysenterEip,
      cpuState.sysenterEsp,
    ])
      c.set(f, BigInt.asUintN(64, BigInt.asIntN(48, this.value64())));
    c.set(cpuState.star, (BigInt(this.selector()) << 48n) | (BigInt(this.selector()) << 32n));
    c.set(cpuState.sfmask, BigInt(this.any32()));
    c.set(cpuState.sysenterCs, BigInt(this.selector()));
    c.set32(cpuState.mxcsr, this.pick(2) === 0 ? 0x1f80 : this.any32() & 0xffff);
    this.m.setU16(this.cpu + cpuState.fcw.offset, this.pick(2) === 0 ? 0x37f : this.any32() & 0xf7f);
    this.m.setU16(this.cpu + cpuState.fsw.offset, this.any32() & 0x7fff);
    this.m.setU8(this.cpu + cpuState.ftw.offset, this.any32() & 0xff);
    for (let at = 512; at < 960; at++) this.m.setU8(this.cpu + at, this.any32() & 0xff);
    this.debug();
  }
  private debug(): void {
    if (!this.rarely(4)) return;
    for (let n = 0; n < 4; n++) this.m.setU64(cpuState.dr.addr(this.cpu, n), BigInt(this.guestAddress()));
    this.m.setU64(cpuState.dr.addr(this.cpu, 7), BigInt(((this.any32() & 0xffff_23ff) | 0x400) >>> 0));
    this.engine.core.set32(cpuState.debugCtl, this.pick(4));
  }

  private segments(kind: Kind, code: CodeSize): void {
    const c = this.engine.core;
    const flat = (s: number, attr: number): void => c.setSeg(s, this.selector() & ~4, attr, 0xffff_ffff, 0);
    const cpl =
      kind === 'ring 3' || kind === 'virtual-8086 mode'
        ? 3
        : kind === 'protected mode' && this.rarely(3)
          ? 3
          : 0;
    this.m.setU64(this.cpu + cpuState.cpl.offset, BigInt(cpl));
    for (const s of [SEG.es, SEG.ss, SEG.ds, SEG.fs, SEG.gs]) {
      if (code === 64 || kind === 'protected mode') flat(s, 0xc93 | (cpl << 5));
      else c.setSeg(s, this.pick(0x1000), kind === 'real mode' ? 0x93 : 0xf3, 0xffff, 0);
      if (kind === 'protected mode' && this.rarely(5))
        c.setSeg(
          s,
          this.selector(),
          0x893 | (this.pick(2) << 2) | (this.pick(2) << 10) | (cpl << 5),
          this.pick(0x10000),
          this.guestAddress(),
        );
      else if (code !== 64 && kind !== 'protected mode') {
        const sel = c.segSel(s);
        c.setSeg(s, sel, c.segAttr(s), 0xffff, sel << 4);
      }
    }
    if (code === 64) flat(SEG.cs, 0xa9b | (cpl << 5));
    else if (kind === 'protected mode') flat(SEG.cs, (code === 32 ? 0xc9b : 0x89b) | (cpl << 5));
    else c.setSeg(SEG.cs, 0x100, kind === 'real mode' ? 0x9b : 0xfb, 0xffff, 0x1000);
    c.setSeg(
      SEG.tr,
      this.selector() & ~7,
      this.rarely(6) ? 0x83 : 0x8b,
      this.rarely(6) ? this.pick(0x80) : 0x1067,
      GPA.tss,
    );
    c.setSeg(SEG.ldtr, this.selector() & ~7, this.rarely(4) ? 0 : 0x82, DESCRIPTORS * 8 - 1, GPA.ldt);
  }

  private general(kind: Kind): void {
    const c = this.engine.core;
    for (let r = 0; r < 16; r++) this.m.setU64(cpuState.gpr.addr(this.cpu, r), this.value64());
    if (this.pick(4) > 0) c.setGpr(4, 8, BigInt(GPA.data + 0x800 + this.pick(PAGE)));
    const flags =
      (this.any32() & 0x24_4cd5) | (this.rarely(6) ? 0x100 : 0) | (this.rarely(2) ? 0x3200 : 0x200);
    c.flags = flags | (kind === 'virtual-8086 mode' ? 0x2_0000 : 0);
    if (kind !== 'virtual-8086 mode') c.flags &= ~0x2_0000;
    const at = this.pick(CODE_PAGES * PAGE);
    c.setLin(cpuState.rip, kind === 'real mode' || kind === 'virtual-8086 mode' ? at : GPA.code + at);
    if (this.rarely(4)) c.set32(cpuState.irqWindow, 1 + this.pick(2));
  }
}
