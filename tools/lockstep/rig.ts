/**
 * A bare machine of ours: flat RAM, nobody on the bus, a clock that counts instructions. Everything that a guest can
 * get to see from outside comes through here, so two rigs with the same guest do the same.
 */
import { cpuState, SEG } from '../../src/machine/cpu-state.ts';
import { Core } from '../../src/machine/engine/core.ts';
import { type EngineOptions, SoftwareCpu } from '../../src/machine/engine/engine.ts';
import { isString } from '../../src/machine/engine/limits.ts';
import { Machine } from '../../src/machine/machine.ts';
import { P2M, P2M_ROOT_PAGES, type P2mType, p2mEntry, p2mSet } from '../../src/machine/p2m.ts';
import { type Engine, EXIT, type Exit, type Platform } from '../../src/machine/platform.ts';
import { sharedMemory } from '../../src/machine/wasm-api.ts';
import { baseCpuid, GUEST_CR4 } from '../../src/x86/cpuid.ts';
import { DECODE_OK, decode } from '../../src/x86/decoder.ts';
import { type CodeSize, Insn } from '../../src/x86/insn.ts';

export type EngineFactory = (machine: Machine, platform: Platform, options: EngineOptions) => Engine;

/** An instruction where it is run. */
export interface Fetched {
  /** Instructions before it. */
  readonly number: number;
  readonly rip: bigint;
  /** None where the code cannot be read. */
  readonly bytes: Uint8Array;
  readonly insn: Insn;
}

const MIB = 1 << 20;
const CACHE = 16 * MIB;
const PAGE = 4096;
const LONGEST = 15;
const UD = 6;
const ONES = 0xffff_ffff;

export class Rig {
  readonly machine: Machine;
  readonly engine: Engine;
  readonly cpu: number;
  /** For its registers. */
  readonly core: Core;
  /** The guest's RAM, from guest-physical 0. */
  readonly ram: Buffer;
  /** Why it does not go on. */
  ended = '';
  /** How often the guest was told something that is not in its memory and registers: a device's word, the time. */
  outside = 0;
  private readonly p2m: number;
  private readonly firstFrame: number;

  constructor(factory: EngineFactory, memory: number) {
    const size = Math.ceil((memory + CACHE) / (4 * MIB)) * 4 * MIB + 16 * MIB;
    this.machine = Machine.create(sharedMemory(size), size);
    const platform = this.platform();
    this.engine = factory(this.machine, platform, {
      clock: { now: () => this.tell(this.icount), wall: () => this.tell(0) },
      entropy: { fill: (bytes) => void bytes.fill(this.tell(7)) },
      clockCounts: true,
      tscKhz: 1_000_000,
      codeCacheBytes: CACHE,
      cr4Allowed: GUEST_CR4,
    });
    this.cpu = this.machine.allocFrames(SoftwareCpu.frames()) * PAGE;
    this.engine.init(this.cpu);
    this.p2m = this.machine.allocFrames(P2M_ROOT_PAGES) * PAGE;
    this.firstFrame = this.machine.allocFrames(memory / PAGE);
    this.core = new Core(this.machine, platform);
    this.core.cpu = this.cpu;
    this.core.set32(cpuState.p2mRoot, this.p2m);
    this.mapRam(0, memory, P2M.ram);
    this.ram = Buffer.from(this.machine.memory.buffer, this.firstFrame * PAGE, memory);
  }

  /** What the guest finds at its own frames in [from, to). */
  mapRam(from: number, to: number, type: P2mType): void {
    for (let gfn = from / PAGE; gfn < to / PAGE; gfn++) {
      const leaf = (): number => this.machine.allocFrame() * PAGE;
      p2mSet(this.machine.mem, this.p2m, gfn, p2mEntry(this.firstFrame + gfn, type), leaf);
    }
  }

  /** Writes from outside. */
  write(paddr: number, bytes: Uint8Array): void {
    this.ram.set(bytes, paddr);
    for (let page = Math.floor(paddr / PAGE); page * PAGE < paddr + bytes.length; page++)
      this.engine.dropCode(this.firstFrame + page);
  }

  /** Guest-physical address of a linear one; not a number where there is no RAM. */
  gpa(linear: bigint): number {
    const address = this.engine.linearToMaddr(this.cpu, linear, false);
    return address < 0 ? Number.NaN : address - this.firstFrame * PAGE;
  }

  private tell<T>(value: T): T {
    this.outside++;
    return value;
  }

  private platform(): Platform {
    return {
      cpuid: (_cpu, leaf, subleaf, out) => this.tell(baseCpuid(leaf, subleaf, out)),
      rdmsr: (_cpu, _index, out) => {
        out.fill(0);
        return this.tell(true);
      },
      wrmsr: () => true,
      ioRead: (_cpu, _port, size) => this.tell(size === 4 ? ONES : 2 ** (8 * size) - 1),
      ioWrite: () => {},
      mmioRead: (_cpu, _gpa, _size, out) => void out.fill(this.tell(ONES)),
      mmioWrite: () => {},
      readCr8: (cpu) => this.machine.mem.u32(cpu + cpuState.cr8.offset),
      writeCr8: (cpu, value) => this.machine.mem.setU32(cpu + cpuState.cr8.offset, value),
      cannotRun: () => {},
    };
  }

  get icount(): number {
    return cpuState.icount.get(this.machine.mem, this.cpu);
  }

  run(blocks: number): void {
    if (!this.ended) this.after(this.engine.run(this.cpu, blocks));
  }
  step(): void {
    if (!this.ended) this.after(this.engine.step(this.cpu));
  }
  private after(exit: Exit): void {
    if (exit === EXIT.hlt) this.ended = 'halted';
    else if (exit === EXIT.tripleFault) this.ended = 'triple fault';
    else if (exit === EXIT.failed) this.ended = this.engine.lastError;
    // there is no hypervisor here
    else if (exit === EXIT.hypercall) this.engine.injectException(this.cpu, UD, -1);
  }

  /** The instruction at rip. */
  fetch(): Fetched {
    const { core, machine } = this;
    const rip = machine.mem.u64(this.cpu + cpuState.rip.offset);
    const linear = rip + (core.code64 ? 0n : BigInt(core.segBase(SEG.cs)));
    const bytes = new Uint8Array(LONGEST);
    let length = 0;
    for (let at = -1; length < LONGEST; length++, at++) {
      if (at < 0 || at % PAGE === 0) at = this.engine.linearToMaddr(this.cpu, linear + BigInt(length), false);
      if (at < 0) break;
      bytes[length] = machine.mem.u8(at);
    }
    const insn = new Insn();
    const status = decode(bytes, 0, length, core.get32(cpuState.mode) as CodeSize, insn);
    return {
      number: this.icount,
      rip,
      bytes: bytes.subarray(0, status === DECODE_OK ? insn.length : 0),
      insn,
    };
  }

  /** Ends the repeated string instruction that rip is at, if there is one. */
  finishString(): void {
    if (!repeats(this.fetch().insn)) return;
    const from = this.icount;
    while (this.icount === from && !this.ended) this.step();
  }
}

export const repeats = (i: Insn): boolean => i.rep !== 0 && isString(i);
