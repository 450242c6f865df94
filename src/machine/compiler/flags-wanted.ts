/**
 * Which nodes of a region want the status flags that there are before them. It is a matter of speed alone: flags that are
 * wanted where nobody expected it are computed there.
 */
import type { Mem } from '../../base/mem.ts';
import { HANDLERS, type Handler, SPECIAL, type Special } from '../interp/handlers.ts';
import { REC } from '../interp/record.ts';
import { isPlain } from '../interp/routine-list.ts';
import { setsFlags } from '../interp/routines.ts';
import type { Block, Flow } from './flow.ts';
import type { FlowGraph } from './graph.ts';
import { RegionEmitter } from './region-emitter.ts';
import type { FlagEffect } from './region-flags.ts';

/** By handler; null: it does nothing with them. */
const effects = new Map<Handler, FlagEffect | null>();

function effectOf(mem: Mem, record: number): FlagEffect | null {
  const index = mem.u16(record + REC.handler);
  if (index < SPECIAL.length) return specialEffect(mem, record, SPECIAL[index] as Special);
  const h = HANDLERS[index - SPECIAL.length] as Handler;
  let effect = effects.get(h);
  if (effect === undefined) effects.set(h, (effect = tried(mem, record, h)));
  return effect;
}
/** What leaves the region wants nothing of it. */
function specialEffect(mem: Mem, record: number, name: Special): FlagEffect | null {
  if (name === 'routine') {
    const index = mem.u32(record + REC.slot);
    if (!isPlain(index)) return 'set';
    return setsFlags(index) ? 'set' : null;
  }
  return name === 'loadRmw' || name === 'bitAddress' || name === 'movs' || name === 'stos' ? null : 'set';
}
function tried(mem: Mem, record: number, h: Handler): FlagEffect | null {
  const e = new RegionEmitter(mem);
  e.open('leave');
  e.begin(record, 0, 0, h.places, h.z);
  h.semantics.fn(e, h.z, h.s);
  return e.effect ?? null;
}

function blockEffect(mem: Mem, b: Block): FlagEffect | null {
  for (const record of b.records) {
    const effect = effectOf(mem, record);
    if (effect) return effect;
  }
  return b.ending.kind === 'if' ? 'use' : null;
}

export function flagsWanted(mem: Mem, flow: Flow, graph: FlowGraph): ReadonlySet<number> {
  const before: number[][] = graph.edges.map(() => []);
  graph.edges.forEach((out, n) => {
    for (const { to } of out) (before[to] as number[]).push(n);
  });
  const own = flow.blocks.map((b) => blockEffect(mem, b));
  const wanted = new Set<number>();
  const work: number[] = [];
  own.forEach((effect, n) => {
    if (effect === 'use') work.push(n);
  });
  for (let n = work.pop(); n !== undefined; n = work.pop()) {
    if (wanted.has(n)) continue;
    wanted.add(n);
    for (const from of before[n] as number[]) if ((own[from] ?? null) === null) work.push(from);
  }
  return wanted;
}
