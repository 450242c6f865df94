/** Ours and QEMU's, an instruction at a time. */
import { cpuState, GPR } from '../../src/machine/cpu-state.ts';
import { P2M } from '../../src/machine/p2m.ts';
import { IF } from '../../src/x86/flags.ts';
import { type Insn, OPK } from '../../src/x86/insn.ts';
import { OP, OP_NAMES } from '../../src/x86/ops.ts';
import { undefinedAfter } from '../vectors/undefined-flags.ts';
import type { Agreement, Limits } from './between-engines.ts';
import { mendFrame, mendGdt, wrongFlags } from './mistakes.ts';
import { Qemu, type QemuGuest } from './qemu.ts';
import { adopt, differences, readState, type State } from './registers.ts';
import { type Difference, type MemoryDifference, memoryDifference } from './report.ts';
import { type EngineFactory, type Fetched, Rig, repeats } from './rig.ts';

/** Video memory and ROMs: in QEMU's file there is something else. */
const LEGACY_HOLE = { from: 0xa0000, roms: 0xc0000, to: 0x100000 } as const;
/** Elements of a string that are stepped over one by one. */
const FEW = 16;
/** Steps to have one instruction done. */
const TRIES = 4;
const WORD = 8;

const isDifference = (d: Difference | Agreement): d is Difference => 'history' in d;

/** Runs the guest on both, and once more when memory differed, to see which instruction it was. */
export function compareWithQemu(
  factory: EngineFactory,
  guest: QemuGuest,
  limits: Limits,
): Difference | Agreement {
  const run = (watched?: number): Difference | Agreement => {
    const both = new WithQemu(factory, guest, limits, watched);
    try {
      return both.run();
    } finally {
      both.close();
    }
  };
  const first = run();
  if (!isDifference(first) || first.memory === undefined) return first;
  const second = run(first.memory.gpa);
  return isDifference(second) ? second : first;
}

/** Flags that the instruction leaves undefined. */
function undefinedFlags(i: Insn, before: State): number {
  const immediate = i.operands.some((o) => o.kind === OPK.imm);
  const count = immediate ? i.imm : Number(before.get('rcx')! & 0xffn);
  return undefinedAfter(OP_NAMES[i.op]!, 8 * i.opSize, count);
}

class WithQemu {
  private readonly rig: Rig;
  private readonly qemu: Qemu;
  private readonly limits: Limits;
  private readonly watched: number | undefined;
  private readonly theirRam: Buffer;
  private readonly history: Fetched[] = [];
  private before: State;

  /** `watched`: where memory differs sooner or later. */
  constructor(factory: EngineFactory, guest: QemuGuest, limits: Limits, watched: number | undefined) {
    this.limits = limits;
    this.watched = watched;
    this.theirRam = Buffer.alloc(guest.memory);
    this.qemu = new Qemu(guest);
    this.rig = new Rig(factory, guest.memory);
    this.rig.mapRam(LEGACY_HOLE.from, LEGACY_HOLE.roms, P2M.mmio);
    this.rig.mapRam(LEGACY_HOLE.roms, LEGACY_HOLE.to, P2M.ramRo);
    this.qemu.read(this.rig.ram, 0);
    this.qemu.copyRegisters(this.rig.core);
    this.rig.engine.stateChanged(this.rig.cpu);
    this.before = readState(this.rig.core);
  }

  close(): void {
    this.qemu.close();
  }

  run(): Difference | Agreement {
    const { rig, limits } = this;
    for (let n = 1; n <= limits.count; n++) {
      const found = this.step();
      if (found) return found;
      if (rig.ended) return { count: n - 1, ended: rig.ended };
      if (n % limits.every === 0 || n === limits.count) {
        const memory = this.compareMemory();
        const remark = `memory came to differ in the ${limits.every} instructions up to this`;
        if (memory) return { ...this.difference(this.before, 0, memory), suspects: 0, remark };
      }
    }
    return { count: limits.count, ended: '' };
  }

  /** One instruction on either side, a repeated one as a whole. */
  private step(): Difference | undefined {
    const { rig, history } = this;
    const at = rig.fetch();
    history.push(at);
    if (history.length > this.limits.before + 1) history.shift();
    const { outside } = rig;
    if (repeats(at.insn)) rig.finishString();
    else rig.step();
    if (rig.ended) return undefined;
    const theirs = this.completed(this.stepQemu(at));
    if (rig.outside !== outside) this.takeOver(at, theirs);
    return this.compare(at, theirs);
  }

  private stepQemu({ insn, rip }: Fetched): State {
    const { stub } = this.qemu;
    const ours = this.rig.core.get(cpuState.rip);
    if (repeats(insn)) {
      const next = rip + BigInt(insn.length);
      const many = this.before.get('rcx')! > FEW && (this.before.get('rflags')! & BigInt(IF)) === 0n;
      if (ours === next && many) {
        stub.runTo(next);
        return stub.registers();
      }
    }
    // a step of the stub may end before the instruction, when something else wants QEMU's attention
    const tries = repeats(insn) ? Number.POSITIVE_INFINITY : TRIES;
    for (let i = 1; ; i++) {
      stub.step();
      const state = stub.registers();
      if (ours === rip || state.get('rip') !== rip || i === tries) return state;
    }
  }

  /** Outside 64-bit code the stub shows no more of the general registers than such code sees. */
  private completed(theirs: State): State {
    const { core } = this.rig;
    if (core.code64) return theirs;
    const shown = (i: number): bigint => (i < 8 ? 0xffff_ffffn : 0n);
    return new Map([
      ...theirs,
      ...Object.entries(GPR).map(([name, i]): [string, bigint] => [
        name,
        (theirs.get(name)! & shown(i)) | (core.gpr(i) & ~shown(i)),
      ]),
    ]);
  }

  /** QEMU's devices, clock and CPUID are not ours: what it was told counts. */
  private takeOver({ insn }: Fetched, theirs: State): void {
    adopt(this.rig.core, theirs);
    if (!repeats(insn) && insn.operands[0].kind !== OPK.mem) return;
    for (let memory = this.compareMemory(); memory; memory = this.compareMemory()) {
      const page = memory.gpa & ~4095;
      this.rig.write(page, this.theirRam.subarray(page, page + 4096));
    }
  }

  private compare(at: Fetched, theirs: State): Difference | undefined {
    const { core } = this.rig;
    const ours = readState(core);
    const undef = undefinedFlags(at.insn, this.before) | wrongFlags(at.insn);
    if (at.insn.op === OP.lgdt) mendGdt(this.rig, this.qemu, this.before);
    mendFrame(this.rig, this.qemu, at.insn, this.before, ours);
    const names = differences(ours, theirs, undef);
    const memory = this.compareWatched();
    if (names.length > 0 || memory) return this.difference(theirs, undef, memory);
    this.before = ours;
    if (differences(ours, theirs).length > 0) {
      adopt(core, theirs);
      this.before = readState(core);
    }
    return undefined;
  }

  private compareWatched(): MemoryDifference | undefined {
    if (this.watched === undefined) return undefined;
    this.qemu.read(this.theirRam.subarray(this.watched, this.watched + 2 * WORD), this.watched);
    const different = (): MemoryDifference | undefined => this.unequal(this.watched!, this.watched! + WORD);
    if (different()) mendGdt(this.rig, this.qemu, readState(this.rig.core));
    return different();
  }
  private compareMemory(): MemoryDifference | undefined {
    this.qemu.read(this.theirRam, 0);
    mendGdt(this.rig, this.qemu, readState(this.rig.core));
    return this.unequal(0, LEGACY_HOLE.from) ?? this.unequal(LEGACY_HOLE.to);
  }
  private unequal(from: number, to?: number): MemoryDifference | undefined {
    return memoryDifference(this.rig.ram, this.theirRam, from, to);
  }

  private difference(theirs: State, undef: number, memory: MemoryDifference | undefined): Difference {
    return {
      names: ['ours', 'qemu'],
      history: this.history,
      suspects: 1,
      before: this.before,
      after: [readState(this.rig.core), theirs],
      undefinedFlags: undef,
      memory,
    };
  }
}
