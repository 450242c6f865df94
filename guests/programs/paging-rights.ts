/**
 * Every right of every level of each form of page tables, at CPL 0 and 3, by every kind of access and under WP, NX, SMEP
 * and SMAP: whether it faults, with which error code and CR2, and which accessed and dirty bits it leaves.
 */
import type { Guest } from '../guest.ts';
import { cr, mem, R } from '../registers.ts';
import { ACCESSES, type Config, configs, type Entry, MODES, type Mode, outcome } from './paging-model.ts';
import {
  AC,
  CR0,
  CR4,
  EFER,
  emitTables,
  emitWorld,
  entryAt,
  type Form,
  MSR_EFER,
  P,
  PLACE,
  testAddress,
} from './paging-world.ts';

const NAME = 32;
/** A configuration's entries: address, low and high word each, for 4 levels; then the address of the one for the page. */
const CONFIG = 4 * 12 + 4;
/** In an expected outcome: it faults, and the error code below; accessed and dirty bits above. */
const FAULTS = 0x80;
const OTHER = 0x7f;
/** Offset in the page. */
const OFFSET = 0x123;

function emitConfig(g: Guest, form: Form, c: Config): void {
  const linear = testAddress(form);
  const low = (e: Entry): number => {
    const rights = form === 'pae' && e.level === 3 ? 0 : (e.rw ? P.RW : 0) | (e.us ? P.US : 0);
    const next = e.level > 1 && !e.ps ? PLACE.tables[e.level - 1]! : pageBase(form, e.level);
    return (next | rights | (e.p ? P.P : 0) | (e.ps ? P.PS : 0) | e.bad[0]) >>> 0;
  };
  for (let i = 0; i < 4; i++) {
    const e = c.entries[i] ?? c.entries[0]!;
    g.a.dd(entryAt(form, e.level, linear), low(e), ((e.nx ? 0x80000000 : 0) | e.bad[1]) >>> 0);
  }
  g.a.dd(entryAt(form, c.entries.at(-1)!.level, linear));
}
function pageBase(form: Form, level: number): number {
  if (level === 1) return PLACE.page;
  const size = level === 3 ? 0x40000000 : form === 'two-level' ? 0x400000 : 0x200000;
  return PLACE.page - (PLACE.page % size);
}

/** CR0, CR4, EFER, RFLAGS: 16 bytes. */
function emitMode(g: Guest, form: Form, m: Mode): void {
  const cr4 =
    (form === 'two-level' ? 0 : CR4.PAE) |
    CR4.PSE |
    CR4.SSE |
    (m.smep ? CR4.SMEP : 0) |
    (m.smap ? CR4.SMAP : 0);
  const long = form === 'long' ? EFER.LME | EFER.LMA : 0;
  g.a.dd((CR0.base | CR0.PG | (m.wp ? CR0.WP : 0)) >>> 0, cr4, long | (m.nx ? EFER.NXE : 0), m.ac ? AC : 0);
}

/** Writes a value to a control register; 32 bits of it are enough. */
function loadCr(g: Guest, n: number, from: number | ReturnType<typeof mem>): void {
  g.a.mov(R.eax, from);
  g.a.mov(cr(n), g.r('ax'));
}

function emitReport(g: Guest): void {
  const { a } = g;
  const name = (table: string, index: string) => {
    a.mov(R.eax, mem(32, index));
    a.shift('shl', R.eax, 5);
    a.alu('add', R.eax, table);
    return { text: g.r('ax'), length: g.word('pg.nameLength') };
  };
  a.label('pg.report');
  if (g.bits === 32) loadCr(g, 0, CR0.base);
  g.note('FAILURE');
  g.print('Fail: ', name('pg.modeNames', 'pg.mode'));
  g.print(name('pg.configNames', 'pg.config'));
  g.print(name('pg.accessNames', 'pg.access'));
  g.print('got ', { hex: g.word('pg.got') }, ', expected ', { hex: g.word('pg.expected') });
  g.print(
    ' vector ',
    { dec: g.word('pg.vector') },
    ' at ',
    { hex: g.word('pg.ip') },
    ' cr2 ',
    { hex: g.word('pg.cr2') },
    '\n',
  );
  a.op('ret');
}

/** One access: the entries anew, the access, and what is expected of it from the next word of the table. */
function emitOne(g: Guest): void {
  const { a } = g;
  a.label('pg.one');
  a.mov(R.esi, mem(32, 'pg.configAt'));
  for (let i = 0; i < 4; i++) {
    a.mov(R.edi, mem(32, g.r('si'), i * 12));
    for (let w = 0; w < 2; w++) {
      a.mov(R.eax, mem(32, g.r('si'), i * 12 + 4 + 4 * w));
      a.mov(mem(32, g.r('di'), 4 * w), R.eax);
    }
  }
  loadCr(g, 3, PLACE.top);
  a.call('pg.try');
  a.alu('xor', R.eax, R.eax);
  const done = a.fresh('done');
  a.alu('cmp', mem(32, 'pg.vector'), 6);
  a.j('z', done);
  a.mov(R.eax, OTHER);
  a.mov(g.r('cx'), g.word('pg.cr2'));
  a.alu('cmp', g.r('cx'), g.word('pg.address'));
  a.j('nz', done);
  a.alu('cmp', mem(32, 'pg.vector'), 14);
  a.j('nz', done);
  a.mov(R.eax, mem(32, 'pg.error'));
  a.alu('or', R.eax, FAULTS);
  a.label(done);
  a.mov(R.esi, mem(32, 'pg.configAt'));
  a.mov(R.edi, mem(32, g.r('si'), CONFIG - 4));
  a.mov(R.ecx, mem(32, g.r('di')));
  a.alu('and', R.ecx, P.A | P.D);
  a.shift('shl', R.ecx, 8);
  a.alu('or', R.eax, R.ecx);
  a.mov(mem(32, 'pg.got'), R.eax);
  a.mov(R.esi, mem(32, 'pg.expectedAt'));
  a.movzx(R.ecx, mem(16, g.r('si')));
  a.mov(mem(32, 'pg.expected'), R.ecx);
  a.alu('add', mem(32, 'pg.expectedAt'), 2);
  a.inc(mem(32, 'pg.count'));
  a.alu('cmp', R.eax, R.ecx);
  a.j('nz', 'pg.report');
  a.op('ret');
}

/** Runs `body` for each value of a variable below a limit. */
function loop(g: Guest, variable: string, limit: number, body: () => void): void {
  const { a } = g;
  const next = a.fresh('loop');
  a.mov(mem(32, variable), 0);
  a.label(next);
  body();
  a.inc(mem(32, variable));
  a.alu('cmp', mem(32, variable), limit);
  a.j('b', next);
}

function setMode(g: Guest): void {
  const { a } = g;
  const word = (k: number) => mem(32, g.r('si'), 4 * k);
  a.mov(R.esi, mem(32, 'pg.mode'));
  a.shift('shl', R.esi, 4);
  a.alu('add', R.esi, 'pg.modes');
  a.mov(R.ecx, MSR_EFER);
  a.alu('xor', R.edx, R.edx);
  a.mov(R.eax, word(2));
  a.op('wrmsr');
  loadCr(g, 4, word(1));
  a.mov(R.eax, word(3));
  a.mov(mem(32, 'pg.ac'), R.eax);
}
function setCr0(g: Guest): void {
  const { a } = g;
  a.mov(R.esi, mem(32, 'pg.mode'));
  a.shift('shl', R.esi, 4);
  a.alu('add', R.esi, 'pg.modes');
  loadCr(g, 0, mem(32, g.r('si')));
}

function emitData(g: Guest, form: Form, all: readonly Config[]): void {
  const { a } = g;
  const names = (label: string, list: readonly string[]): string =>
    g.data(label, () => {
      for (const n of list) a.ascii(`${n}: `.padEnd(NAME).slice(0, NAME));
    });
  for (const v of ['mode', 'config', 'access', 'got', 'expected', 'configAt', 'expectedAt', 'count'])
    g.variable(`pg.${v}`, 8);
  g.data('pg.nameLength', () => g.emitWord(NAME));
  names(
    'pg.modeNames',
    MODES.map((m) => m.name),
  );
  names(
    'pg.configNames',
    all.map((c) => c.name),
  );
  names(
    'pg.accessNames',
    ACCESSES.map((x) => `${x.kind} at CPL ${x.user ? 3 : 0}`),
  );
  g.data('pg.modes', () => {
    for (const m of MODES) emitMode(g, form, m);
  });
  g.data('pg.configs', () => {
    for (const c of all) emitConfig(g, form, c);
  });
  g.data('pg.outcomes', () => {
    for (const m of MODES)
      for (const c of all)
        for (const access of ACCESSES) {
          const { error, used } = outcome(form, m, c, access);
          a.dw((error < 0 ? 0 : FAULTS | error) | (used << 8));
        }
  });
}

export const pagingRights =
  (form: Form) =>
  (g: Guest): void => {
    const { a } = g;
    const all = configs(form);
    const start = a.fresh('rights');
    a.jmp(start);
    emitReport(g);
    emitOne(g);
    a.label(start);
    emitWorld(g, form);
    emitTables(g, form);
    emitData(g, form, all);
    a.mov(g.r('ax'), testAddress(form) + BigInt(OFFSET));
    a.mov(g.word('pg.address'), g.r('ax'));
    a.mov(mem(32, PLACE.page + OFFSET), 0x0b0f);
    a.mov(mem(32, 'pg.expectedAt'), 'pg.outcomes');
    if (g.bits === 64) loadCr(g, 3, PLACE.top);
    loop(g, 'pg.mode', MODES.length, () => {
      if (g.bits === 32) loadCr(g, 0, CR0.base);
      setMode(g);
      if (g.bits === 32) loadCr(g, 3, PLACE.top);
      setCr0(g);
      a.mov(mem(32, 'pg.configAt'), 'pg.configs');
      loop(g, 'pg.config', all.length, () => {
        loop(g, 'pg.access', ACCESSES.length, () => {
          a.mov(R.eax, mem(32, 'pg.access'));
          a.alu('xor', R.edx, R.edx);
          a.mov(R.ecx, 3);
          a.unary('div', R.ecx);
          a.mov(mem(32, 'pg.cpl'), R.eax);
          a.mov(mem(32, 'pg.kind'), R.edx);
          a.call('pg.one');
          if (g.bits === 32) setCr0(g);
        });
        a.alu('add', mem(32, 'pg.configAt'), CONFIG);
      });
    });
    if (g.bits === 32) loadCr(g, 0, CR0.base);
    g.print({ dec: g.word('pg.count') }, ' accesses tried\n');
  };
