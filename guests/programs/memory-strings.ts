/**
 * Repeated string instructions that fault on their way: as many elements are done as fit in the page that is there, RCX,
 * RSI and RDI say so, and once the page is there the rest is done. @spec SDM 2B REP
 */
import type { Guest } from '../guest.ts';
import { cr, mem, R } from '../registers.ts';
import { emitPath, emitTables, emitWorld, entryAt, PLACE, testAddress } from './paging-world.ts';

const V = testAddress('long');
const LEAF = entryAt('long', 1, V);
const COUNT = 8;
/** Elements before the fault. */
const DONE = 3;
/** Memory that is there in any case, the other operand: zero, so that comparisons go on. */
const ELSEWHERE = PLACE.otherPage + 0x800;
const REP = 0xf3;

interface Op {
  name: string;
  /** Opcode of the byte form. */
  opcode: number;
  /** Which register points at the pages, and whether the other one moves too. */
  at: 'rsi' | 'rdi';
  both: boolean;
  writes: boolean;
}
const OPS: readonly Op[] = [
  { name: 'movs to', opcode: 0xa4, at: 'rdi', both: true, writes: true },
  { name: 'movs from', opcode: 0xa4, at: 'rsi', both: true, writes: false },
  { name: 'cmps with rsi', opcode: 0xa6, at: 'rsi', both: true, writes: false },
  { name: 'cmps with rdi', opcode: 0xa6, at: 'rdi', both: true, writes: false },
  { name: 'stos', opcode: 0xaa, at: 'rdi', both: false, writes: true },
  { name: 'lods', opcode: 0xac, at: 'rsi', both: false, writes: false },
  { name: 'scas', opcode: 0xae, at: 'rdi', both: false, writes: false },
];

interface Case {
  name: string;
  op: Op;
  code: number[];
  /** Where the moving operand begins, and where the fault is. */
  from: bigint;
  cr2: bigint;
  /** By how much registers move until the fault. */
  by: number;
}

function cases(): Case[] {
  const out: Case[] = [];
  for (const op of OPS)
    for (const size of [1, 2, 4, 8])
      for (const down of [false, true])
        for (const odd of size === 1 ? [0] : [0, 1]) {
          const edge = V + 4096n;
          const width = size === 2 ? [0x66] : size === 8 ? [0x48] : [];
          const opcode = size === 1 ? op.opcode : op.opcode + 1;
          // with size 2 the prefix of 16 bits comes before the REP
          const rep = size === 2 ? [0x66, REP] : [REP, ...width];
          const first = down ? BigInt((DONE - 1) * size + odd) : BigInt(-DONE * size - odd);
          out.push({
            name: `rep ${op.name} by ${size} ${down ? 'down' : 'up'}${odd ? ' across' : ''}`,
            op,
            code: [...(down ? [0xfd] : []), ...rep, opcode],
            from: edge + first,
            cr2: down ? edge - BigInt(size - odd) : edge,
            by: (down ? -DONE : DONE) * size,
          });
        }
  return out;
}

/** Bits of `st.wrong`. */
const WRONG = ['vector', 'error', 'cr2', 'rcx', 'rsi', 'rdi', 'the rest'] as const;

function expect(g: Guest, what: (typeof WRONG)[number], from: ReturnType<typeof mem>, v: bigint): void {
  g.a.mov(R.rax, v);
  g.a.alu('cmp', from, R.rax);
  g.when('nz', () => g.a.alu('or', mem(32, 'st.wrong'), 1 << WRONG.indexOf(what)));
}

function emitRun(g: Guest, label: string): void {
  const { a } = g;
  const [run, done] = [a.fresh('run'), a.fresh('ran')] as [string, string];
  a.call(run);
  a.jmp(done);
  a.label(run);
  a.mov(mem(64, 'pg.sp'), R.rsp);
  a.jmp(label);
  a.label(done);
  for (const [name, reg] of [
    ['rcx', R.rcx],
    ['rsi', R.rsi],
    ['rdi', R.rdi],
  ] as const)
    a.mov(mem(64, `st.${name}`), reg);
}

function pages(g: Guest, first: boolean, second: boolean): void {
  const { a } = g;
  a.mov(mem(32, LEAF), first ? PLACE.page | 3 : 0);
  a.mov(mem(32, LEAF + 8), second ? (PLACE.page + 4096) | 3 : 0);
  a.mov(R.rax, cr(3));
  a.mov(cr(3), R.rax);
}

function emitCase(g: Guest, c: Case, index: number): void {
  const { a } = g;
  const down = c.by < 0;
  const other = BigInt(ELSEWHERE);
  const start = { rsi: c.op.at === 'rsi' ? c.from : other, rdi: c.op.at === 'rdi' ? c.from : other };
  const moves = (r: 'rsi' | 'rdi'): boolean => r === c.op.at || c.op.both;
  pages(g, !down, down);
  a.mov(mem(32, 'st.wrong'), 0);
  a.mov(R.rsi, start.rsi);
  a.mov(R.rdi, start.rdi);
  a.mov(R.ecx, COUNT);
  a.alu('xor', R.eax, R.eax);
  emitRun(g, `st.code${index}`);
  expect(g, 'vector', mem(64, 'pg.vector'), 14n);
  expect(g, 'error', mem(64, 'pg.error'), c.op.writes ? 2n : 0n);
  expect(g, 'cr2', mem(64, 'pg.cr2'), c.cr2);
  expect(g, 'rcx', mem(64, 'st.rcx'), BigInt(COUNT - DONE));
  for (const r of ['rsi', 'rdi'] as const)
    expect(g, r, mem(64, `st.${r}`), start[r] + (moves(r) ? BigInt(c.by) : 0n));
  pages(g, true, true);
  for (const [name, reg] of [
    ['rcx', R.rcx],
    ['rsi', R.rsi],
    ['rdi', R.rdi],
  ] as const)
    a.mov(reg, mem(64, `st.${name}`));
  a.alu('xor', R.eax, R.eax);
  emitRun(g, `st.code${index}`);
  expect(g, 'the rest', mem(64, 'pg.vector'), 6n);
  expect(g, 'the rest', mem(64, 'st.rcx'), 0n);
  expect(g, 'the rest', mem(64, `st.${c.op.at}`), c.from + BigInt((c.by / DONE) * COUNT));
  a.alu('cmp', mem(32, 'st.wrong'), 0);
  g.when('nz', () => g.fail(c.name, ': wrong ', { hex: mem(32, 'st.wrong') }));
}

export function memoryStrings(g: Guest): void {
  const { a } = g;
  const all = cases();
  const start = a.fresh('strings');
  a.jmp(start);
  for (const [i, c] of all.entries()) {
    a.label(`st.code${i}`);
    a.db(...c.code, 0x0f, 0x0b);
  }
  a.label(start);
  emitWorld(g, 'long');
  emitTables(g, 'long');
  for (const v of ['wrong', 'rcx', 'rsi', 'rdi']) g.variable(`st.${v}`, 8);
  emitPath(g, V);
  a.mov(R.eax, PLACE.top);
  a.mov(cr(3), R.rax);
  for (const [i, c] of all.entries()) emitCase(g, c, i);
  g.print(`${all.length} strings interrupted\n`);
}
