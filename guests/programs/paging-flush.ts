/**
 * What the TLB must not remember: translations after INVLPG, INVPCID and writes of CR3, CR4 and CR0, other address
 * spaces' translations, absent pages, and what a change of privilege or of EFLAGS.AC forbids. @spec SDM 3A 4.10.4
 */
import type { Guest } from '../guest.ts';
import { mem, R, type Reg } from '../registers.ts';
import { ALL, Scenario, V } from './paging-scenario.ts';
import { CR4, emitPath, emitTables, emitWorld, P, PLACE } from './paging-world.ts';

const NON_CANONICAL = 0x8000_0000_0000n;
const NOFLUSH = 1n << 63n;
type Steps = (s: Scenario) => void;

/** The page is used and mapped anew; `forget` must let the new one be seen. */
const remapped =
  (forget: Steps, flags = ALL, before: Steps = () => {}): Steps =>
  (s) => {
    before(s);
    s.map(flags);
    s.touch();
    s.touch(true);
    s.other(flags);
    forget(s);
    s.isOther();
  };
const pcids: Steps = (s) => s.cr4(CR4.PCIDE | CR4.PGE);
const G = ALL | P.G;

const FLUSHES: Readonly<Record<string, Steps>> = {
  INVLPG: remapped((s) => s.invlpg()),
  'INVLPG of a global page': remapped(
    (s) => s.invlpg(),
    G,
    (s) => s.cr4(CR4.PGE),
  ),
  'MOV CR3': remapped((s) => s.cr3(0n)),
  'MOV CR3 with G set and PGE clear': remapped((s) => s.cr3(0n), G),
  'CR4.PGE cleared': remapped(
    (s) => s.cr4(0),
    G,
    (s) => s.cr4(CR4.PGE),
  ),
  'CR4.PGE set': remapped((s) => s.cr4(CR4.PGE), G),
  'a page that is no longer global': (s) => {
    s.cr4(CR4.PGE);
    s.map(G);
    s.touch();
    s.invlpg();
    s.map(ALL);
    s.touch();
    s.other();
    s.cr3(0n);
    s.isOther();
  },
  'INVLPG anywhere in a large page': (s) => {
    s.large(true);
    s.cr3(0n);
    s.touch();
    s.touch(false, V + 0x5000n);
    s.large(true, PLACE.otherPage);
    s.invlpg(V + 0x1f_f000n);
    s.isOther();
    s.looks('read', 0, 6, 0, 4, V + 0x5000n);
  },
};
/** These want PCID and INVPCID. */
const SPACES: Readonly<Record<string, Steps>> = {
  'INVLPG with PCIDs': remapped((s) => s.invlpg(), G, pcids),
  'MOV CR3 to the same PCID': remapped(
    (s) => s.cr3(5n),
    ALL,
    (s) => {
      pcids(s);
      s.cr3(5n);
    },
  ),
  'MOV CR3 to another PCID that was never used': remapped((s) => s.cr3(6n | NOFLUSH), ALL, pcids),
  'CR4.PCIDE cleared': remapped((s) => s.cr4(CR4.PGE), ALL, pcids),
  'INVPCID of an address': remapped((s) => s.invpcid(0, 0), ALL, pcids),
  'INVPCID of an address space': remapped((s) => s.invpcid(1, 0), ALL, pcids),
  'INVPCID of all': remapped((s) => s.invpcid(2, 0), G, pcids),
  'INVPCID of all but global pages': remapped((s) => s.invpcid(3, 0), ALL, pcids),
  'INVPCID of the only address space': remapped((s) => s.invpcid(1, 0)),
  'INVPCID of another address space': (s) => {
    pcids(s);
    s.cr3(7n);
    s.touch();
    s.cr3(NOFLUSH);
    s.other();
    s.invpcid(1, 7);
    s.cr3(7n | NOFLUSH);
    s.isOther();
  },
  'an address of another address space': (s) => {
    pcids(s);
    s.cr3(7n);
    s.touch();
    s.cr3(NOFLUSH);
    s.other();
    s.invpcid(0, 7);
    s.cr3(7n | NOFLUSH);
    s.isOther();
  },
  'a space that comes back without bit 63': (s) => {
    pcids(s);
    s.cr3(7n);
    s.touch();
    s.cr3(NOFLUSH);
    s.other();
    s.cr3(7n);
    s.isOther();
  },
  'STAC in one address space': (s) => {
    s.cr4(CR4.SMAP | CR4.PCIDE);
    s.stac();
    s.touch();
    s.cr3(9n);
    s.clac();
    s.cr3(NOFLUSH);
    s.looks('read', 0, 14, 1);
  },
};

const REMEMBERS: Readonly<Record<string, Steps>> = {
  'an absent page is not remembered': (s) => {
    s.map(0);
    s.invlpg();
    s.looks('read', 0, 14, 0);
    s.map(ALL);
    s.isFirst();
  },
  'an absent page after INVLPG': (s) => {
    s.touch();
    s.map(0);
    s.invlpg();
    s.looks('read', 0, 14, 0);
    s.looks('write', 3, 14, 6);
  },
  'reading does not let write': (s) => {
    s.map(P.P | P.US);
    s.invlpg();
    s.touch();
    s.looks('write', 0, 14, 3);
    s.looks('write', 3, 14, 7);
  },
  "the kernel's page is not the user's": (s) => {
    s.map(P.P | P.RW);
    s.invlpg();
    s.touch(true);
    s.looks('read', 3, 14, 5);
    s.looks('write', 3, 14, 7);
    s.isFirst();
  },
  'CR0.WP holds at once': (s) => {
    s.map(P.P | P.US);
    s.wp(false);
    s.touch(true);
    s.wp(true);
    s.looks('write', 0, 14, 3);
    s.wp(false);
    s.looks('write', 0);
    s.looks('write', 3, 14, 7);
  },
  'CR4.SMEP holds at once': (s) => {
    s.looks('fetch', 0, 6, 0, undefined, V + 16n);
    s.cr4(CR4.SMEP);
    s.looks('fetch', 0, 14, 0x11, undefined, V + 16n);
    s.looks('fetch', 3, 6, 0, undefined, V + 16n);
  },
  'CR4.SMAP holds at once': (s) => {
    s.touch(true);
    s.cr4(CR4.SMAP);
    s.looks('read', 0, 14, 1);
    s.looks('read', 3, 6, 0, 1);
  },
  ...Object.fromEntries(
    (
      [
        ['CLAC', (s) => s.clac()],
        ['POPF', (s) => s.popf(0)],
      ] as [string, Steps][]
    ).map(([name, shut]): [string, Steps] => [
      `${name} shuts what STAC opened`,
      (s) => {
        s.cr4(CR4.SMAP);
        s.stac();
        s.touch();
        s.touch(true);
        shut(s);
        s.looks('read', 0, 14, 1);
        s.looks('write', 0, 14, 3);
        s.looks('read', 3, 6, 0, 1);
        s.looks('write', 3);
        s.ac(true);
        s.looks('read', 0);
      },
    ]),
  ),
  'what the kernel wrote without WP under STAC': (s) => {
    s.cr4(CR4.SMAP);
    s.map(P.P | P.US);
    s.invlpg();
    s.wp(false);
    s.stac();
    s.touch(true);
    s.clac();
    s.looks('write', 3, 14, 7);
    s.looks('read', 3, 6, 0, 1);
  },
  'AC in user mode': (s) => {
    s.cr4(CR4.SMAP);
    s.ac(true);
    s.looks('read', 3, 6, 0, 1);
    s.looks('read', 0, 6, 0, 1);
    s.ac(false);
    s.looks('read', 0, 14, 1);
  },
  'addresses that are not canonical': (s) => {
    s.looks('read', 0, 13, 0, undefined, NON_CANONICAL);
    s.looks('write', 3, 13, 0, undefined, NON_CANONICAL);
    s.looks('fetch', 0, 13, 0, undefined, NON_CANONICAL);
    s.looks('fetch', 3, 13, 0, undefined, -NON_CANONICAL - 1n);
    s.looks('read', 0, 14, 0, undefined, -NON_CANONICAL);
  },
};

/** Goes elsewhere if CPUID does not offer a feature. */
function emitOffered(g: Guest, leaf: number, reg: Reg, bit: number, otherwise: string): void {
  g.a.mov(R.eax, leaf);
  g.a.alu('xor', R.ecx, R.ecx);
  g.a.op('cpuid');
  g.a.test(reg, 2 ** bit);
  g.a.j('z', otherwise);
}

export function pagingFlush(g: Guest): void {
  const { a } = g;
  emitWorld(g, 'long');
  emitTables(g, 'long');
  g.variable('fl.got', 8);
  g.data('fl.descriptor', () => a.zero(16), 16);
  emitPath(g, V, 2);
  // told apart by their first byte and one in their sixth page
  for (const [page, value] of [
    [PLACE.page, 1],
    [PLACE.otherPage, 2],
  ] as const) {
    a.mov(mem(32, page), value);
    a.mov(mem(32, page + 0x5000), value + 2);
    a.mov(mem(32, page + 16), 0x0b0f);
  }
  const s = new Scenario(g);
  const run = (all: Readonly<Record<string, Steps>>): void => {
    for (const [name, steps] of Object.entries(all)) {
      s.begin(name);
      steps(s);
    }
  };
  run({ ...FLUSHES, ...REMEMBERS });
  emitOffered(g, 1, R.ecx, 17, 'fl.end');
  emitOffered(g, 7, R.ebx, 10, 'fl.end');
  run(SPACES);
  a.label('fl.end');
  s.begin('the end');
  s.end();
}
