/** What of a CPU is measured: which of its parts' methods is which kind of work. */
import type { Regions } from '../compiler/regions.ts';
import { cpuState } from '../cpu-state.ts';
import type { Blocks } from '../engine/blocks.ts';
import type { Dispatcher } from '../engine/dispatch.ts';
import type { Misses } from '../engine/misses.ts';
import type { Parts } from '../engine/parts.ts';
import type { Turns } from '../engine/turns.ts';
import { REC } from '../interp/record.ts';
import type { Profiler } from './profiler.ts';

export interface Measured extends Parts {
  readonly turns: Turns;
  readonly misses: Misses;
  readonly blocks: Blocks;
  readonly dispatcher: Dispatcher;
}

/** Has the profiler measure what the parts of a CPU do. */
export function instrument(p: Profiler, parts: Measured): void {
  const { core, misses, blocks, dispatcher, turns } = parts;
  p.around(misses, 'miss', 'tlbMiss');
  p.around(core.mmu, 'translate', 'pageWalk');
  p.around(dispatcher, 'odd', 'oddAccess');
  p.around(blocks, 'fetch', 'decode');
  p.around(blocks, 'straddler', 'decode');
  p.around(dispatcher, 'run', 'helper', (ns, [i]) => p.profile.helper(i.op, ns));
  measureCode(p, parts);
  measureDrops(p, parts);
  countFlushes(p, parts);
  if (turns.compiled) measureCompiler(p, turns.compiled.regions);
}

/** Turns of the code, and where it is when a budget is used up. */
function measureCode(p: Profiler, { core: c, turns, progress }: Measured): void {
  let nsBefore = 0;
  let countBefore = 0;
  let switchesBefore = 0;
  p.before(turns, 'take', () => {
    nsBefore = p.profile.ns.code;
    countBefore = cpuState.icount.get(c.m, c.cpu);
    c.set32(cpuState.compiledIc, 0);
    switchesBefore = c.get32(cpuState.switches);
  });
  p.around(turns, 'take', 'code', () => {
    // without what another thread has compiled, which is installed in between
    const ns = p.profile.ns.code - nsBefore;
    const compiled = c.get32(cpuState.compiledIc);
    // the last instructions of a turn are not in the count yet
    const all = cpuState.icount.get(c.m, c.cpu) - countBefore + c.get32(cpuState.exitIc);
    p.profile.split.add(ns, all - compiled, compiled);
    p.profile.unsampled += ns;
    p.profile.counters.spacesSwitched += c.get32(cpuState.switches) - switchesBefore;
  });
  const seenAt = (rp: number): void => {
    const ip = c.lin(cpuState.ripBase) + c.m.u16(rp + REC.off);
    p.profile.sample(c.code64 ? ip : (ip + c.segBase(1)) >>> 0, c.cpl === 3);
  };
  p.before(turns, 'sample', seenAt);
  p.before(progress, 'again', seenAt);
}

function measureCompiler(p: Profiler, regions: Regions): void {
  const { table, compiler } = regions;
  p.around(compiler, 'post', 'compile');
  // asked often, and mostly for nothing
  p.around(compiler, 'take', 'module', (_ns, _args, batch) => batch !== undefined);
  p.around(regions, 'install', 'module', () => {
    p.profile.counters.modules++;
  });
  p.before(table, 'install', (job, formed) => {
    p.profile.counters.regions++;
    if (job.merged) p.profile.counters.regionsMerged++;
    p.profile.counters.moduleBytes += formed.bytes;
  });
  for (const [way, counter] of [
    ['drop', 'regionsDropped'],
    ['clear', 'regionsCleared'],
    ['evict', 'regionsEvicted'],
  ] as const)
    p.between(
      table,
      way,
      () => table.live,
      (before, after) => {
        p.profile.counters[counter] += before - after;
      },
    );
}

function measureDrops(p: Profiler, { core, cache }: Measured): void {
  let written = false;
  p.around(core, 'codeWritten', 'drop');
  p.before(core, 'codeWritten', () => {
    written = true;
  });
  p.before(cache, 'drop', (mfn) => {
    if (core.mmu.anyCode(mfn)) p.profile.counters[written ? 'framesWritten' : 'framesDropped']++;
    written = false;
  });
  p.before(cache, 'onFlush', () => {
    p.profile.counters.cacheFlushes++;
  });
}

function countFlushes(p: Profiler, { tlb }: Measured): void {
  p.before(tlb, 'flush', () => {
    p.profile.counters.tlbFlushes++;
  });
  p.before(tlb, 'invalidate', () => {
    p.profile.counters.pagesInvalidated++;
  });
  p.before(tlb, 'switchSpace', () => {
    p.profile.counters.spacesSwitched++;
  });
}
