/** What was measured of one guest; times are of the CPU's thread, in nanoseconds of the host's clock. */
import { OP_NAMES } from '../../x86/ops.ts';
import { EXIT } from '../platform.ts';
import { Histogram, type HistogramData } from './histogram.ts';
import { Split, type SplitData } from './split.ts';

/** What the thread does: each moment counts for one of these. */
export const KINDS = [
  /** Guest code, interpreted or compiled. */
  'code',
  /** Accesses that the TLB did not serve; without the walks themselves. */
  'tlbMiss',
  'pageWalk',
  /** Instructions with an access that no TLB entry can serve, run alone. */
  'oddAccess',
  /** Code that was not decoded yet, or not known to the code TLB. */
  'decode',
  'helper',
  /** Regions formed and their code emitted. */
  'compile',
  /** Modules made of them, by the host's compiler; or, where another thread makes them, taken over. */
  'module',
  /** Translations forgotten because code was written to. */
  'drop',
  /** The rest of the engine: exceptions and interrupts delivered, the loop itself. */
  'engine',
  /** Between two runs of the engine: exits, hypercalls, timers, the scheduler. */
  'hypervisor',
] as const;
export type Kind = (typeof KINDS)[number];

export const COUNTERS = [
  /** TLB flushes of the whole address space, of single pages, and changes of CR3. */
  'tlbFlushes',
  'pagesInvalidated',
  'spacesSwitched',
  /** Frames with translations that went because the guest wrote there; and because others did, or took them. */
  'framesWritten',
  'framesDropped',
  /** Times that all translations went, since there was no more room for decoded code. */
  'cacheFlushes',
  'modules',
  'regions',
  'regionsMerged',
  /** Bytes of the regions' WebAssembly code. */
  'moduleBytes',
  /** Regions that went with a page, with all decoded code, and to make room for others. */
  'regionsDropped',
  'regionsCleared',
  'regionsEvicted',
] as const;
export type Counter = (typeof COUNTERS)[number];

export interface HelperData {
  readonly mnemonic: string;
  readonly count: number;
  readonly ns: number;
}
/** Code time that was spent at an address or, of user code, on its page. */
export interface SampleData {
  readonly address: number;
  readonly user: boolean;
  readonly ns: number;
}

export interface ProfileData {
  readonly kinds: Readonly<Record<Kind, { readonly ns: number; readonly pieces: HistogramData }>>;
  readonly code: SplitData;
  readonly helpers: readonly HelperData[];
  readonly exits: Readonly<Record<string, number>>;
  readonly counters: Readonly<Record<Counter, number>>;
  readonly interruptLatency: HistogramData;
  /** The heaviest first. */
  readonly samples: readonly SampleData[];
}

const EXIT_NAMES = Object.entries(EXIT);
/** Addresses that are told apart; beyond, pages are. */
const MAX_ADDRESSES = 1 << 16;
const MAX_SAMPLES = 1000;

const zeroes = <K extends string>(names: readonly K[]): Record<K, number> =>
  Object.fromEntries(names.map((name) => [name, 0])) as Record<K, number>;

export class Profile {
  readonly ns = zeroes(KINDS);
  readonly counters = zeroes(COUNTERS);
  readonly split = new Split();
  /** Code time since the last sample. */
  unsampled = 0;
  readonly latency = new Histogram();
  /** By Exit. */
  readonly exits = EXIT_NAMES.map(() => 0);
  private readonly pieces = Object.fromEntries(KINDS.map((k) => [k, new Histogram()])) as Record<
    Kind,
    Histogram
  >;
  private readonly helpers = new Map<number, { count: number; ns: number }>();
  private readonly kernel = new Map<number, number>();
  private readonly user = new Map<number, number>();

  /** A piece of work of this kind was done, from its beginning to its end with all that it led to. */
  piece(kind: Kind, ns: number): void {
    this.pieces[kind].add(ns);
  }
  helper(op: number, ns: number): void {
    const known = this.helpers.get(op);
    if (known) {
      known.count++;
      known.ns += ns;
    } else this.helpers.set(op, { count: 1, ns });
  }
  /** Code is seen at the address: it is charged with the time since the last sample. */
  sample(address: number, user: boolean): void {
    if (this.unsampled === 0) return;
    const map = user ? this.user : this.kernel;
    const coarse = user || map.size >= MAX_ADDRESSES;
    const at = coarse ? Math.floor(address / 4096) * 4096 : address;
    map.set(at, (map.get(at) ?? 0) + this.unsampled);
    this.unsampled = 0;
  }

  data(): ProfileData {
    const kinds = KINDS.map((k) => [k, { ns: this.ns[k], pieces: this.pieces[k].data() }] as const);
    return {
      kinds: Object.fromEntries(kinds) as ProfileData['kinds'],
      code: this.split.data(),
      helpers: [...this.helpers]
        .map(([op, h]) => ({ mnemonic: OP_NAMES[op]!, ...h }))
        .sort((a, b) => b.ns - a.ns),
      exits: Object.fromEntries(EXIT_NAMES.map(([name, exit]) => [name, this.exits[exit]!])),
      counters: { ...this.counters },
      interruptLatency: this.latency.data(),
      samples: this.samples(),
    };
  }
  private samples(): SampleData[] {
    const of = (map: Map<number, number>, user: boolean): SampleData[] =>
      [...map].map(([address, ns]) => ({ address, user, ns }));
    const all = [...of(this.kernel, false), ...of(this.user, true)];
    return all.sort((a, b) => b.ns - a.ns).slice(0, MAX_SAMPLES);
  }
}
