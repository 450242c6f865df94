/** A guest's profile as text for people, and what both that and the JSON say of hot code. */
import { type HistogramData, percentile } from '../machine/profile/histogram.ts';
import { type Counter, KINDS, type Kind, type SampleData } from '../machine/profile/profile.ts';
import type { GuestProfile } from './cpu-profile.ts';
import type { SymbolMap } from './symbols.ts';

/** Code time by function or, where none is known, by page. */
export interface HotSpot {
  readonly where: string;
  readonly ns: number;
}

const TOP = 20;

const KIND_TEXT: Readonly<Record<Kind, string>> = {
  code: 'guest code',
  tlbMiss: 'TLB misses',
  pageWalk: 'page walks',
  oddAccess: 'odd accesses',
  decode: 'decoding',
  helper: 'helpers',
  compile: 'forming regions',
  module: 'making modules',
  drop: 'dropping code',
  engine: 'engine, the rest',
  hypervisor: 'hypervisor',
};
const COUNTER_TEXT: Readonly<Record<Counter, string>> = {
  tlbFlushes: 'TLB flushes',
  pagesInvalidated: 'pages invalidated',
  spacesSwitched: 'address spaces switched',
  framesWritten: 'frames with code written to',
  framesDropped: 'frames with code that others wrote to or took',
  cacheFlushes: 'all decoded code thrown away',
  modules: 'modules compiled',
  moduleBytes: 'bytes of WebAssembly in them',
  regions: 'regions compiled',
  regionsMerged: 'of them, regions made one',
  regionsDropped: 'regions dropped with their pages',
  regionsCleared: 'regions gone with all decoded code',
  regionsEvicted: 'regions evicted for room',
};

const address = (a: number): string => BigInt.asUintN(64, BigInt(a)).toString(16).padStart(16, '0');

/** The heaviest first. */
export function hotSpots(samples: readonly SampleData[], symbols: SymbolMap | undefined): HotSpot[] {
  const total = new Map<string, number>();
  for (const s of samples) {
    const name = s.user ? undefined : symbols?.find(s.address);
    const where = name ?? `${s.user ? 'user ' : ''}${address(Math.floor(s.address / 4096) * 4096)}`;
    total.set(where, (total.get(where) ?? 0) + s.ns);
  }
  return [...total].map(([where, ns]) => ({ where, ns })).sort((a, b) => b.ns - a.ns);
}

/** A time in three digits or so. */
export function time(ns: number): string {
  if (ns < 1000) return `${ns.toFixed(0)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} us`;
  return ns < 1e9 ? `${(ns / 1e6).toFixed(1)} ms` : `${(ns / 1e9).toFixed(2)} s`;
}

/** Rows of cells, the first column to the left and the others to the right. */
export function table(
  title: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  if (rows.length === 0) return [];
  const all = [[title, ...head], ...rows];
  const widths = all[0]!.map((_, i) => Math.max(...all.map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ');
  return ['', ...all.map((row) => `  ${line(row)}`)];
}

const durations = (h: HistogramData): string[] => [
  `${h.count}`,
  time(percentile(h, 0.5)),
  time(percentile(h, 0.99)),
  time(h.maxNs),
];

/** The whole report, many lines. */
export function profileReport(name: string, p: GuestProfile, symbols: SymbolMap | undefined): string {
  const total = KINDS.reduce((sum, k) => sum + p.kinds[k].ns, 0);
  const percent = (ns: number): string => (total > 0 ? `${((100 * ns) / total).toFixed(1)} %` : '-');
  const row = (text: string, ns: number): string[] => [text, time(ns), percent(ns)];
  const { code } = p;
  const split = [
    ['  interpreted', code.interpretedNs, code.interpreted],
    ['  compiled', code.compiledNs, code.compiled],
  ] as const;
  const times = KINDS.flatMap((k) => {
    const own = [...row(KIND_TEXT[k], p.kinds[k].ns), ''];
    if (k !== 'code') return [own];
    return [own, ...split.map(([text, ns, n]) => [...row(text, ns), `${(n / 1e6).toFixed(1)} million`])];
  });
  const pieces = KINDS.filter((k) => k !== 'code' && k !== 'engine' && p.kinds[k].pieces.count > 0);
  return [
    `profile of ${name} (domain ${p.domid}): ${time(total)} of the CPU's thread`,
    ...table('time', ['', '', 'instructions'], times),
    ...table(
      'pieces of work',
      ['count', 'half below', '99 % below', 'longest'],
      [
        ...pieces.map((k) => [KIND_TEXT[k], ...durations(p.kinds[k].pieces)]),
        ...(p.interruptLatency.count > 0
          ? [['interrupts, due to delivered', ...durations(p.interruptLatency)]]
          : []),
      ],
    ),
    ...table(
      'helpers',
      ['count', 'time', ''],
      p.helpers.slice(0, TOP).map((h) => {
        const [, ns, share] = row('', h.ns);
        return [h.mnemonic, `${h.count}`, ns!, share!];
      }),
    ),
    ...table(
      'exits',
      ['count'],
      Object.entries(p.exits)
        .filter(([, n]) => n > 0)
        .map(([e, n]) => [e, `${n}`]),
    ),
    ...table(
      'translations',
      ['count'],
      Object.entries(p.counters)
        .filter(([, n]) => n > 0)
        .map(([c, n]) => [COUNTER_TEXT[c as Counter], `${n}`]),
    ),
    ...table(
      'hot code',
      ['time', ''],
      hotSpots(p.samples, symbols)
        .slice(0, TOP)
        .map((h) => row(h.where, h.ns)),
    ),
  ].join('\n');
}
