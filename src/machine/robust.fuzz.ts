/**
 * Runs arbitrary code in arbitrary states. Whatever a guest executes, the engine answers with its exits: nothing is
 * thrown, nothing outside the guest's frames changes, and it comes back in time.
 */
import { random } from '../x86/decoder-strings.fuzz.ts';
import { cpuState } from './cpu-state.ts';
import { EXIT } from './platform.ts';
import { KINDS, type Kind, RobustWorld } from './robust-world.fuzz.ts';

const ENTRIES = 12;
const BUDGET = 60;
const SLOW_US = 3_000_000;

export interface Findings {
  /** Instructions that were run. */
  instructions: number;
  /** Exits by their number. */
  readonly exits: number[];
  /** What went wrong, with the number of the case. */
  readonly failures: string[];
}

/** What the hypervisor would do next; false: the vCPU cannot go on. */
function answer(w: RobustWorld, exit: number): boolean {
  const { engine, cpu, pick } = w;
  switch (exit) {
    case EXIT.hypercall:
      engine.advance(cpu, 3);
      return true;
    case EXIT.irqWindow:
      w.m.setU32(cpu + cpuState.irqWindow.offset, 0);
      if (engine.interruptible(cpu)) engine.injectInterrupt(cpu, pick(256));
      else engine.injectNmi(cpu);
      return true;
    case EXIT.hlt:
      if (pick(3) === 0) engine.injectException(cpu, 13, 0);
      return true;
    case EXIT.budget:
      if (pick(8) === 0) engine.flushTlb(cpu);
      engine.linearToMaddr(cpu, engine.core.gpr(pick(16)), pick(2) === 0);
      return true;
    case EXIT.pause:
      return true;
    default:
      return false;
  }
}

function runCase(w: RobustWorld, kind: Kind, seed: number, out: Findings): string | undefined {
  const began = process.cpuUsage().user;
  w.arrange(kind, random(seed));
  try {
    for (let n = 0; n < ENTRIES; n++) {
      const before = w.m.n64(w.cpu + cpuState.icount.offset);
      const exit = w.engine.run(w.cpu, BUDGET);
      out.instructions += w.m.n64(w.cpu + cpuState.icount.offset) - before;
      out.exits[exit] = (out.exits[exit] ?? 0) + 1;
      if (exit === EXIT.failed) return `failed: ${w.engine.lastError}`;
      if (!answer(w, exit)) w.registers(kind);
    }
  } catch (error) {
    const { stack = '' } = error as Error;
    return stack.split('\n').slice(0, 6).join('\n');
  }
  const changed = w.changedGuards();
  if (changed.length > 0) return `machine frames ${changed} changed`;
  const took = process.cpuUsage().user - began;
  return took > SLOW_US ? `${Math.round(took / 1000)} ms` : undefined;
}

/** Runs the cases [from, from + count) of one kind. Each has its number for a seed, so one can be run alone. */
export function runRobust(kind: Kind, from: number, count: number): Findings {
  const out: Findings = { instructions: 0, exits: [], failures: [] };
  let w = new RobustWorld();
  for (let n = from; n < from + count && out.failures.length < 10; n++) {
    const what = runCase(w, kind, n * KINDS.length + KINDS.indexOf(kind) + 1, out);
    if (what === undefined) continue;
    out.failures.push(`${kind}, case ${n}: ${what}`);
    w = new RobustWorld();
  }
  return out;
}
