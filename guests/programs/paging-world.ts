/**
 * Where the paging guests try accesses: page tables of each form with the guest itself mapped one to one, a page of code
 * for user mode, and a routine that makes one access at a privilege level and records what became of it.
 *
 * Every access ends in an exception: UD2 stands behind it (and at the target of a jump), so #UD is success.
 */
import { type Guest, LAYOUT } from '../guest.ts';
import { cr, mem, R, S } from '../registers.ts';

export const FORMS = ['long', 'pae', 'two-level'] as const;
export type Form = (typeof FORMS)[number];

/** Physical places, all zero at the start. */
const T = 0x400000;
export const PLACE = {
  top: T,
  /** Tables of the page under test, by level, and of the user's code. */
  tables: [0, T + 0x3000, T + 0x2000, T + 0x1000, T],
  userTables: [0, T + 0x6000, T + 0x5000, T + 0x4000],
  userPage: T + 0x7000,
  identity: T + 0x8000,
  handlerStack: 0x1d0000,
  /** The page under test; its address is the same in all sizes of page. */
  page: 0xa00000,
  otherPage: 0xc00000,
} as const;

export const P = { P: 1, RW: 2, US: 4, A: 0x20, D: 0x40, PS: 0x80, G: 0x100 } as const;
export const CR0 = { WP: 0x10000, PG: 0x80000000, base: 0x33 } as const;
export const CR4 = {
  PSE: 0x10,
  PAE: 0x20,
  PGE: 0x80,
  SSE: 0x600,
  PCIDE: 0x20000,
  SMEP: 0x100000,
  SMAP: 0x200000,
} as const;
export const EFER = { LME: 0x100, LMA: 0x400, NXE: 0x800 } as const;
export const MSR_EFER = 0xc0000080;
export const AC = 0x40000;
const SEL = { code32: 0x08, data: 0x10, code64: 0x18, userCode: 0x23, userData: 0x2b, tss: 0x30 } as const;
/** In a 64-bit TSS: the stack of every exception, since the code's own may be what is tried. */
const IST1 = 36;
const WITH_ERROR = [8, 10, 11, 12, 13, 14, 17];

/** Kinds of access, in the order of their stubs: byte read and write at (e/r)bx, jump there. */
export const KINDS = ['read', 'write', 'fetch'] as const;
const STUBS = [
  [0x8a, 0x03, 0x0f, 0x0b],
  [0x88, 0x03, 0x0f, 0x0b],
  [0xff, 0xe3],
];

/** The linear addresses of the page under test and of the user's code: its own entry in the topmost table each. */
export const testAddress = (form: Form): bigint =>
  (form === 'long' ? 0x80_4000_0000n : 0x4000_0000n) + BigInt(PLACE.page);
const userAddress = (form: Form): bigint => (form === 'long' ? 0x100_0000_0000n : 0x8000_0000n);
export const entryBytes = (form: Form): number => (form === 'two-level' ? 4 : 8);

/** Physical address of the entry for a linear address in a table of that level. */
export function entryAt(
  form: Form,
  level: number,
  linear: bigint,
  tables: readonly number[] = PLACE.tables,
): number {
  const bits = form === 'two-level' ? 10n : 9n;
  const index = (linear >> (12n + bits * BigInt(level - 1))) & ((1n << bits) - 1n);
  const top = form === 'long' ? 4 : form === 'pae' ? 3 : 2;
  return (level === top ? PLACE.top : tables[level]!) + Number(index) * entryBytes(form);
}

/** Tables that lead to the user's code and to the guest itself. CR3 and paging are still to be set. */
export function emitTables(g: Guest, form: Form): void {
  const { a } = g;
  const user = userAddress(form);
  const entry = (at: number, value: number): void => a.mov(mem(32, at), value);
  const top = form === 'long' ? 4 : form === 'pae' ? 3 : 2;
  for (let level = top; level >= 1; level--) {
    const next = level === 1 ? PLACE.userPage : PLACE.userTables[level - 1]!;
    entry(entryAt(form, level, user, PLACE.userTables), next | (form === 'pae' && level === 3 ? P.P : 7));
  }
  a.mov(R.esi, 'pg.stubs');
  a.mov(R.edi, PLACE.userPage);
  a.mov(R.ecx, STUBS.length * 16);
  a.op('repMovsb');
  if (form === 'long') return entry(PLACE.top, LAYOUT.pdpt | 3);
  if (form === 'pae') entry(PLACE.top, PLACE.identity | P.P);
  // 16 MB, by 8 large pages or by 4 tables
  for (let i = 0; form === 'pae' && i < 8; i++) entry(PLACE.identity + i * 8, (i * 0x200000) | P.PS | 3);
  if (form === 'pae') return;
  for (let i = 0; i < 4; i++) entry(PLACE.top + i * 4, (PLACE.identity + i * 4096) | 3);
  a.mov(R.edi, PLACE.identity);
  a.mov(R.eax, 3);
  const next = a.fresh('fill');
  a.label(next);
  a.op('stosd');
  a.alu('add', R.eax, 4096);
  a.alu('cmp', R.eax, 4096 * 4096);
  a.j('b', next);
}

/** Four levels of tables lead to an address, down to the one with the entry of level `leaf`, which is still to be made. */
export function emitPath(g: Guest, linear: bigint, leaf = 1): void {
  for (let level = 4; level > leaf; level--)
    g.a.mov(mem(32, entryAt('long', level, linear)), PLACE.tables[level - 1]! | 7);
}

/** GDT, TSS and IDT of the world. */
export function emitWorld(g: Guest, form: Form): void {
  const { a } = g;
  const start = a.fresh('world');
  a.jmp(start);
  emitCaught(g);
  emitTry(g, form);
  a.label(start);
  a.lgdt(mem(32, 'pg.gdtr'));
  a.mov(R.eax, 'pg.tss');
  a.mov(mem(16, 'pg.gdt', SEL.tss + 2), R.ax);
  a.shift('shr', R.eax, 16);
  a.mov(mem(8, 'pg.gdt', SEL.tss + 4), R.al);
  a.mov(R.eax, SEL.tss);
  a.db(0x0f, 0x00, 0xd8); // ltr ax
  a.mov(R.eax, SEL.userData);
  for (const s of [S.ds, S.es]) a.mov(s, R.eax);
  a.lidt(mem(32, 'pg.idtr'));
  emitWorldData(g);
}

function emitWorldData(g: Guest): void {
  const { a } = g;
  for (const name of [
    'sp',
    'vector',
    'error',
    'cr2',
    'ip',
    'flags',
    'faultSp',
    'address',
    'kind',
    'cpl',
    'ac',
  ])
    g.variable(`pg.${name}`, 8);
  g.data('pg.stubs', () => {
    for (const code of STUBS) {
      a.db(...code);
      a.zero(16 - code.length);
    }
  });
  g.data('pg.gdt', () => {
    const user = g.bits === 64 ? 0x00affa000000ffffn : 0x00cffa000000ffffn;
    for (const d of [
      0n,
      0x00cf9a000000ffffn,
      0x00cf92000000ffffn,
      0x00af9a000000ffffn,
      user,
      0x00cff2000000ffffn,
    ])
      a.dq(d);
    a.dq(0x0000_8900_0000_0067n);
    a.dq(0);
  });
  g.data('pg.gdtr', () => {
    a.dw(8 * 8 - 1);
    g.emitWord('pg.gdt');
  });
  g.data('pg.tss', () => {
    a.dd(0, PLACE.handlerStack, g.bits === 64 ? 0 : SEL.data);
    a.zero(IST1 - 12);
    a.dq(PLACE.handlerStack);
    a.zero(104 - IST1 - 8);
  });
  g.data('pg.idt', () => {
    for (let v = 0; v < 32; v++) {
      const at = BigInt(a.addressOf(`pg.vector${v}`));
      const code = BigInt(g.bits === 64 ? SEL.code64 : SEL.code32);
      const ist = g.bits === 64 ? 1n : 0n;
      a.dq((at & 0xffffn) | (code << 16n) | (ist << 32n) | (0x8e00n << 32n) | ((at >> 16n) << 48n));
      if (g.bits === 64) a.dq(0);
    }
  });
  g.data('pg.idtr', () => {
    a.dw(32 * (g.bits / 4) - 1);
    g.emitWord('pg.idt');
  });
}

/** Every exception: recorded, and back to who called pg.try. */
function emitCaught(g: Guest): void {
  const { a } = g;
  for (let v = 0; v < 32; v++) {
    a.label(`pg.vector${v}`);
    if (!WITH_ERROR.includes(v)) a.push(0);
    a.push(v);
    a.jmp('pg.caught');
  }
  a.label('pg.caught');
  const frame = ['vector', 'error', 'ip', 'cs', 'flags', ...(g.bits === 64 ? ['faultSp'] : [])];
  for (const name of frame) {
    if (name === 'cs') a.alu('add', g.r('sp'), g.wordBytes);
    else a.pop(g.word(`pg.${name}`));
  }
  a.push(g.r('ax'));
  a.mov(g.r('ax'), cr(2));
  a.mov(g.word('pg.cr2'), g.r('ax'));
  a.pop(g.r('ax'));
  a.mov(g.r('sp'), g.word('pg.sp'));
  a.push(2);
  a.op('popf', 'cld', 'ret');
}

/** Makes the access that pg.address, pg.kind, pg.cpl and pg.ac (RFLAGS) say; keeps no register but the stack pointer. */
function emitTry(g: Guest, form: Form): void {
  const { a } = g;
  const user = a.fresh('user');
  a.label('pg.try');
  a.mov(g.word('pg.sp'), g.r('sp'));
  a.mov(g.r('bx'), g.word('pg.address'));
  a.mov(R.ecx, mem(32, 'pg.kind'));
  a.shift('shl', R.ecx, 4);
  a.mov(R.edx, mem(32, 'pg.ac'));
  a.alu('or', R.edx, 2);
  a.mov(R.eax, 0x0f);
  a.alu('cmp', mem(32, 'pg.cpl'), 0);
  a.j('nz', user);
  a.alu('add', R.ecx, 'pg.stubs');
  if (g.bits === 64) {
    a.push(SEL.data);
    a.push(PLACE.handlerStack);
  }
  a.push(g.r('dx'));
  a.push(g.bits === 64 ? SEL.code64 : SEL.code32);
  a.push(g.r('cx'));
  a.op(g.bits === 64 ? 'iretq' : 'iretd');
  a.label(user);
  a.mov(g.r('si'), userAddress(form));
  a.alu('add', g.r('cx'), g.r('si'));
  a.push(SEL.userData);
  a.push(0);
  a.push(g.r('dx'));
  a.push(SEL.userCode);
  a.push(g.r('cx'));
  a.op(g.bits === 64 ? 'iretq' : 'iretd');
}
