/**
 * Code that changes: the next instruction, one in the next page or across the edge of it, by every kind of store, through
 * another mapping, by a string instruction, and by mapping another page. @spec SDM 3A 9.1.3, 12.6
 */
import type { Guest } from '../guest.ts';
import { cr, mem, R } from '../registers.ts';
import { emitPath, emitTables, emitWorld, entryAt, PLACE, testAddress } from './paging-world.ts';

const V = testAddress('long');
const LEAF = entryAt('long', 1, V);
const PAGE = PLACE.page;
const OLD = 0x11;
const NEW = 0x22;
/** mov eax, OLD; ret. Its immediate is what changes. */
const VICTIM = [0xb8, OLD, 0, 0, 0, 0xc3];
const IMMEDIATE = 1;

interface Change {
  /** Code that ends where the victim begins; RBX points at the victim's immediate, RCX is NEW. */
  code: readonly number[];
  /** Where in the page the victim begins; default 0x800. */
  at?: number;
  /** RBX is in the other mapping. */
  alias?: boolean;
}

const STORE = [0x88, 0x0b]; // mov [rbx], cl
const CHANGES: Readonly<Record<string, Change>> = {
  'MOV to the next instruction': { code: STORE },
  'MOV of four bytes': { code: [0x89, 0x0b] },
  'MOV of eight bytes': { code: [0x48, 0x8b, 0x03, 0x88, 0xc8, 0x48, 0x89, 0x03] },
  ADD: { code: [0x80, 0x03, NEW - OLD] },
  'LOCK ADD': { code: [0xf0, 0x80, 0x03, NEW - OLD] },
  XCHG: { code: [0x86, 0x0b] },
  XADD: { code: [0xb1, NEW - OLD, 0x0f, 0xc0, 0x0b] },
  'NOT twice and INC': { code: [0xf6, 0x13, 0xf6, 0x13, 0x80, 0x03, NEW - OLD - 1, 0xfe, 0x03] },
  MOVD: { code: [0x66, 0x0f, 0x6e, 0xc1, 0x66, 0x0f, 0x7e, 0x03] },
  STOS: { code: [0x48, 0x89, 0xdf, 0x88, 0xc8, 0xaa] },
  'REP STOS': { code: [0x48, 0x89, 0xdf, 0x89, 0xc8, 0xb9, 1, 0, 0, 0, 0xf3, 0xaa] },
  'REP MOVS': { code: [0x48, 0x89, 0xdf, 0x48, 0x89, 0xd6, 0xb9, 4, 0, 0, 0, 0xf3, 0xa4] },
  PUSH: {
    code: [0x48, 0x89, 0xe5, 0x48, 0x8b, 0x03, 0x88, 0xc8, 0x48, 0x8d, 0x63, 0x08, 0x50, 0x48, 0x89, 0xec],
  },
  'through another mapping': { code: STORE, alias: true },
  'through another mapping, with LOCK': { code: [0xf0, 0x80, 0x03, NEW - OLD], alias: true },
  'in the next page': { code: STORE, at: 0x1000 },
  'across the edge of the page': { code: STORE, at: 0xffe },
  'its immediate in the next page': { code: STORE, at: 0xfff },
  'in the next page, through another mapping': { code: STORE, at: 0x1000, alias: true },
  'by a store across the edge': { code: [0x48, 0x8b, 0x43, 0xfc, 0x89, 0x4b, 0x00], at: 0xffd },
};
/** How often each change is made and undone: code that was seen before, too. */
const ROUNDS = 3;

function emitChange(g: Guest, name: string, c: Change, index: number): void {
  const { a } = g;
  const at = PAGE + (c.at ?? 0x800);
  const from = at - c.code.length;
  const [next, ok] = [a.fresh('round'), a.fresh('ok')] as [string, string];
  a.mov(mem(32, 'mx.round'), ROUNDS);
  a.label(next);
  a.mov(R.esi, `mx.code${index}`);
  a.mov(R.edi, from);
  a.mov(R.ecx, c.code.length + VICTIM.length);
  a.op('repMovsb');
  a.mov(R.rbx, (c.alias ? V - BigInt(PAGE) : 0n) + BigInt(at + IMMEDIATE));
  a.mov(R.ecx, NEW);
  a.mov(R.edx, 'mx.new');
  a.mov(R.eax, from);
  a.call(R.rax);
  a.alu('cmp', R.al, NEW);
  a.j('z', ok);
  a.mov(mem(32, 'mx.got'), R.eax);
  g.fail(`${name}: ran the old code, `, { hex: mem(32, 'mx.got') });
  a.label(ok);
  a.dec(mem(32, 'mx.round'));
  a.j('nz', next);
}

/** What is mapped at V runs. */
function emitRemap(g: Guest): void {
  const { a } = g;
  for (const [page, value] of [
    [PAGE, OLD],
    [PLACE.otherPage, NEW],
    [PAGE, OLD],
  ] as const) {
    a.mov(R.edi, page);
    a.mov(mem(32, R.rdi), 0x0000_00b8 | (value << 8));
    a.mov(mem(16, R.rdi, 4), 0xc300);
    a.mov(mem(32, LEAF), page | 3);
    a.mov(R.rbx, V);
    a.invlpg(mem(32, R.rbx));
    a.call(R.rbx);
    a.alu('cmp', R.eax, value);
    g.when('nz', () => g.fail('the page that was mapped before ran'));
  }
}

export function memoryCode(g: Guest): void {
  const { a } = g;
  const all = Object.entries(CHANGES);
  emitWorld(g, 'long');
  emitTables(g, 'long');
  g.variable('mx.round', 8);
  g.variable('mx.got', 8);
  g.data('mx.new', () => a.db(NEW, 0, 0, 0));
  for (const [i, [, c]] of all.entries()) g.data(`mx.code${i}`, () => a.db(...c.code, ...VICTIM));
  emitPath(g, V);
  a.mov(mem(32, LEAF), PAGE | 3);
  a.mov(mem(32, LEAF + 8), (PAGE + 4096) | 3);
  a.mov(R.eax, PLACE.top);
  a.mov(cr(3), R.rax);
  for (const [i, [name, c]] of all.entries()) emitChange(g, name, c, i);
  emitRemap(g);
  g.print(`${all.length} changes of code\n`);
}
