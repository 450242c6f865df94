/**
 * A vCPU in 64-bit ring 3 for tests: identity-numbered page tables of its own, an IDT whose every gate leads to its own
 * HLT, so that a run always ends in a HLT that tells the vector.
 */
import { baseCpuid, GUEST_CR4 } from '../x86/cpuid.ts';
import type { CompileOptions } from './compiler/regions.ts';
import { cpuState, SEG } from './cpu-state.ts';
import { createEngine } from './create-engine.ts';
import { type EngineOptions, SoftwareCpu } from './engine/engine.ts';
import { Machine } from './machine.ts';
import type { Platform } from './platform.ts';
import { EXIT } from './platform.ts';
import { sharedMemory } from './wasm-api.ts';

const MIB = 1 << 20;
const KERNEL = 0x8000_0000;
const STACK = KERNEL + 0x3000;
export const KERNEL_STACK_TOP = STACK + 0x1000;

export interface Outcome {
  vector: number;
  errorCode: number;
  rip: bigint;
  flags: number;
  rsp: bigint;
  cr2: bigint;
}

export const nullPlatform: Platform = {
  cpuid: (_c, leaf, subleaf, out) => baseCpuid(leaf, subleaf, out),
  rdmsr: () => false,
  wrmsr: () => false,
  ioRead: (_c, _p, size) => (size === 4 ? 0xffff_ffff : (1 << (8 * size)) - 1),
  ioWrite: () => {},
  mmioRead: (_c, _g, _s, out) => {
    out.fill(0xffff_ffff);
  },
  mmioWrite: () => {},
  readCr8: () => 0,
  writeCr8: () => {},
  cannotRun: () => {},
};

export class TestCpu {
  /** How engines of tests compile that do not say so themselves. */
  static compile: CompileOptions | undefined;
  readonly machine: Machine;
  readonly engine: SoftwareCpu;
  readonly cpu: number;
  private readonly pml4: number;

  constructor(
    platform: Platform = nullPlatform,
    options: Partial<EngineOptions> = {},
    machine = Machine.create(sharedMemory(32 * MIB), 32 * MIB),
  ) {
    this.machine = machine;
    this.engine = createEngine(this.machine, platform, {
      clock: { now: () => 0, wall: () => 0 },
      entropy: { fill: (b) => void b.fill(7) },
      tscKhz: 1_000_000,
      codeCacheBytes: 8 * MIB,
      cr4Allowed: GUEST_CR4,
      compile: TestCpu.compile,
      ...options,
    });
    this.cpu = this.machine.allocFrames(SoftwareCpu.frames()) * 4096;
    this.pml4 = this.machine.allocFrame() * 4096;
    this.engine.init(this.cpu);
    this.kernel();
  }

  get m() {
    return this.machine.mem;
  }

  /** Maps a new page at a linear address below 2^47; answers its machine address. */
  map(
    linear: number,
    user = true,
    writable = true,
    machineAddress = this.machine.allocFrame() * 4096,
  ): number {
    this.m.setN64(this.entry(linear), machineAddress + ((user ? 5 : 1) | (writable ? 2 : 0)));
    return machineAddress;
  }

  /** Machine address of the entry that maps a page; tables are added as needed. */
  entry(linear: number): number {
    let table = this.pml4;
    for (const shift of [39, 30, 21]) {
      const at = table + (Math.floor(linear / 2 ** shift) % 512) * 8;
      if ((this.m.u32(at) & 1) === 0) this.m.setN64(at, this.machine.allocFrame() * 4096 + 7);
      table = this.m.u32(at) & ~0xfff;
    }
    return table + (Math.floor(linear / 4096) % 512) * 8;
  }

  private kernel(): void {
    const { m, cpu } = this;
    const idt = this.map(KERNEL, false);
    const halts = this.map(KERNEL + 0x1000, false);
    const tables = this.map(KERNEL + 0x2000, false);
    this.map(STACK, false);
    m.fill(halts, 4096, 0xf4);
    for (let v = 0; v < 256; v++) {
      const at = KERNEL + 0x1000 + v * 8;
      m.setU32(idt + v * 16, (0x08 << 16) | (at & 0xffff));
      m.setU32(idt + v * 16 + 4, ((at & 0xffff_0000) | 0xee00) >>> 0);
      m.setU32(idt + v * 16 + 8, 0);
    }
    // GDT: null, kernel code 64, kernel data, user code 64, user data
    [
      0n,
      0x00af_9b00_0000_ffffn,
      0x00cf_9300_0000_ffffn,
      0x00af_fb00_0000_ffffn,
      0x00cf_f300_0000_ffffn,
    ].forEach((d, i) => {
      m.setU64(tables + i * 8, d);
    });
    m.setU64(tables + 0x100 + 4, BigInt(STACK + 0x1000));
    const c = this.engine.core;
    c.cpu = cpu;
    c.set(cpuState.cr0, 0x8005_0033n);
    c.set(cpuState.cr4, 0x6b0n);
    c.set(cpuState.cr3, BigInt(this.pml4));
    c.set(cpuState.efer, 0xd01n);
    c.set(cpuState.idtBase, BigInt(KERNEL));
    c.set32(cpuState.idtLimit, 0xfff);
    c.set(cpuState.gdtBase, BigInt(KERNEL + 0x2000));
    c.set32(cpuState.gdtLimit, 0x27);
    c.setSeg(SEG.tr, 0x28, 0x8b, 0x67, KERNEL + 0x2100);
  }

  /** Ring 3, 64-bit code, at rip with the given flags. */
  user(rip: number, flags: number): void {
    const c = this.engine.core;
    c.cpu = this.cpu;
    c.m.setU64(this.cpu + cpuState.cpl.offset, 3n);
    for (const s of [SEG.es, SEG.ds, SEG.fs, SEG.gs]) c.setSeg(s, 0x23, 0xcf3, 0xffff_ffff, 0);
    c.setSeg(SEG.ss, 0x23, 0xcf3, 0xffff_ffff, 0);
    c.setSeg(SEG.cs, 0x1b, 0xafb, 0xffff_ffff, 0);
    c.flags = flags | 0x202;
    c.setLin(cpuState.rip, rip);
    this.engine.stateChanged(this.cpu);
  }

  /** Ring 0, 64-bit code, with a stack of its own below `KERNEL_STACK_TOP`. */
  supervisor(rip: number, flags = 0): void {
    const c = this.engine.core;
    c.cpu = this.cpu;
    c.m.setU64(this.cpu + cpuState.cpl.offset, 0n);
    for (const s of [SEG.es, SEG.ds, SEG.fs, SEG.gs]) c.setSeg(s, 0x10, 0xc93, 0xffff_ffff, 0);
    c.setSeg(SEG.ss, 0x10, 0xc93, 0xffff_ffff, 0);
    c.setSeg(SEG.cs, 0x08, 0xa9b, 0xffff_ffff, 0);
    c.m.setU64(cpuState.gpr.addr(this.cpu, 4), BigInt(KERNEL_STACK_TOP));
    c.flags = flags | 2;
    c.setLin(cpuState.rip, rip);
    this.engine.stateChanged(this.cpu);
  }

  /** Runs until an exception reaches its HLT. */
  run(): Outcome {
    let exit = this.engine.run(this.cpu, 1_000_000);
    while (exit === EXIT.pause) exit = this.engine.run(this.cpu, 1_000_000);
    if (exit !== EXIT.hlt) throw new Error(`exit ${exit} ${this.engine.lastError}`);
    const c = this.engine.core;
    const vector = (c.lin(cpuState.rip) - 1 - KERNEL - 0x1000) / 8;
    const hasError = [8, 10, 11, 12, 13, 14, 17].includes(vector);
    let sp = c.gprLin(4);
    const errorCode = hasError ? Number(c.read(sp, 8, false)) : -1;
    if (hasError) sp += 8;
    return {
      vector,
      errorCode,
      rip: c.read(sp, 8, false),
      flags: Number(c.read(sp + 16, 8, false)),
      rsp: c.read(sp + 24, 8, false),
      cr2: c.get(cpuState.cr2),
    };
  }
}
