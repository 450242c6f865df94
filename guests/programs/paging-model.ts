/**
 * What page tables allow, written down a second time as the manual has it: which accesses to a page succeed, with which
 * error code the others fault, and which of accessed and dirty bits they leave. @spec SDM 3A 4.6 to 4.8
 */
import { type Form, P } from './paging-world.ts';

export interface Mode {
  name: string;
  wp?: boolean;
  nx?: boolean;
  smep?: boolean;
  smap?: boolean;
  ac?: boolean;
}
/** What an entry on the way has (`ps`: it maps the page; `bad`: bits in the low and high word that are reserved). */
export interface Entry {
  level: number;
  p: boolean;
  rw: boolean;
  us: boolean;
  nx: boolean;
  ps: boolean;
  bad: readonly [number, number];
}
export interface Config {
  name: string;
  /** From the top down. */
  entries: Entry[];
}
export interface Access {
  user: boolean;
  kind: 'read' | 'write' | 'fetch';
}

export const MODES: readonly Mode[] = [
  { name: 'WP, NX', wp: true, nx: true },
  { name: 'NX', nx: true },
  { name: 'WP', wp: true },
  { name: 'WP, NX, SMEP', wp: true, nx: true, smep: true },
  { name: 'WP, SMEP', wp: true, smep: true },
  { name: 'WP, NX, SMAP', wp: true, nx: true, smap: true },
  { name: 'WP, NX, SMAP, AC', wp: true, nx: true, smap: true, ac: true },
  { name: 'SMEP, SMAP, AC', smep: true, smap: true, ac: true },
];
export const ACCESSES: readonly Access[] = [false, true].flatMap((user) =>
  (['read', 'write', 'fetch'] as const).map((kind) => ({ user, kind })),
);

const plain = (level: number, leaf: number): Entry => ({
  level,
  p: true,
  rw: true,
  us: true,
  nx: false,
  ps: level === leaf && level > 1,
  bad: [0, 0],
});

/** Entries in legacy PAE's topmost table have no rights, and are loaded before they are used. */
const hasRights = (form: Form, level: number): boolean => !(form === 'pae' && level === 3);

/** One entry of all that lead to the page is other than permissive. */
function variants(form: Form, leaf: number, level: number): [string, Partial<Entry>][] {
  if (!hasRights(form, level)) return [];
  const out: [string, Partial<Entry>][] = [
    ['absent', { p: false }],
    ['read-only', { rw: false }],
    ['supervisor', { us: false }],
    ['read-only supervisor', { rw: false, us: false }],
  ];
  if (form === 'two-level') {
    if (level === leaf && level === 2) out.push(['bit 21', { bad: [0x200000, 0] }]);
    return out;
  }
  out.push(['NX', { nx: true }], ['bit 51', { bad: [0, 0x80000] }]);
  if (form === 'pae') out.push(['bit 62', { bad: [0, 0x40000000] }]);
  if (level === leaf && level > 1) out.push(['bit 13', { bad: [0x2000, 0] }]);
  if (level === 4) out.push(['PS', { bad: [P.PS, 0] }]);
  return out;
}

export function configs(form: Form): Config[] {
  const top = form === 'long' ? 4 : form === 'pae' ? 3 : 2;
  const leaves = form === 'long' ? [1, 2, 3] : [1, 2];
  return leaves.flatMap((leaf) => {
    const levels = Array.from({ length: top - leaf + 1 }, (_, i) => top - i);
    const with_ = (level: number, change: Partial<Entry>): Entry[] =>
      levels.map((l) => (l === level ? { ...plain(l, leaf), ...change } : plain(l, leaf)));
    const size = leaf === 1 ? '4K' : leaf === 3 ? '1G' : form === 'two-level' ? '4M' : '2M';
    return [
      { name: `${size} all`, entries: with_(0, {}) },
      ...levels.flatMap((level) =>
        variants(form, leaf, level).map(([name, change]) => ({
          name: `${size} L${level} ${name}`,
          entries: with_(level, change),
        })),
      ),
    ];
  });
}

export interface Outcome {
  /** -1: none. */
  error: number;
  /** Accessed and dirty bits of the entry that maps the page. */
  used: number;
}

export function outcome(form: Form, m: Mode, c: Config, access: Access): Outcome {
  const write = access.kind === 'write';
  const fetch = access.kind === 'fetch';
  const nx = form !== 'two-level' && m.nx === true;
  const base = (write ? 2 : 0) | (access.user ? 4 : 0) | (fetch && (nx || m.smep) ? 16 : 0);
  const fault = (more: number): Outcome => ({ error: base | more, used: 0 });
  for (const e of c.entries) {
    if (!e.p) return fault(0);
    if (e.bad[0] || e.bad[1] || (e.nx && !nx)) return fault(9);
  }
  const all = c.entries.filter((e) => hasRights(form, e.level));
  const user = all.every((e) => e.us);
  const writable = all.every((e) => e.rw);
  const denied = access.user
    ? !user || (write && !writable)
    : (write && !writable && m.wp === true) ||
      (user && fetch && m.smep === true) ||
      (user && !fetch && m.smap === true && m.ac !== true);
  if (denied || (fetch && all.some((e) => e.nx))) return fault(1);
  return { error: -1, used: write ? P.A | P.D : P.A };
}
