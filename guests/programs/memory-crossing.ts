/**
 * Operands across two pages. Each instruction is run within a page first; across pages it must leave the same. With one
 * of the pages absent or read-only it must fault as the manual has it, change nothing, and so be able to run again.
 */
import type { Guest } from '../guest.ts';
import { cr, indexed, mem, R, type Reg } from '../registers.ts';
import { FORMS } from './memory-forms.ts';
import { emitPath, emitTables, emitWorld, entryAt, PLACE, testAddress } from './paging-world.ts';

const V = testAddress('long');
const LEAF = entryAt('long', 1, V);
const FIRST = PLACE.page;
/** Of the memory compared: from 16 bytes below the operand. */
const BELOW = 16;
const WINDOW = 544;
/** Of the registers compared: RAX RCX RDX RSI, RDI less the operand's address, flags, XMM0; then RSP less the address. */
const KEPT = 64;
const REGS = KEPT + 8;
/** An operand that crosses nothing. */
const INSIDE = 0x400;

/** Fields of a form's record; the variants of it differ in how they are split. */
const FIELDS = ['code', 'name', 'nameLength', 'split', 'writes', 'start', 'step', 'sp', 'last'] as const;
const field = (name: (typeof FIELDS)[number]) => mem(32, R.rbp, FIELDS.indexOf(name) * 4);
const RECORD = FIELDS.length * 4;

interface Step {
  name: string;
  /** Entries of the two pages. */
  pages: [number, number];
  fault?: 'first' | 'second';
  /** The faulting page is there, but read-only. */
  present?: boolean;
}
const STEPS: readonly Step[] = [
  { name: 'second page absent', pages: [3, 0], fault: 'second' },
  { name: 'first page absent', pages: [0, 3], fault: 'first' },
  { name: 'second page read-only', pages: [3, 1], fault: 'second', present: true },
  { name: 'first page read-only', pages: [1, 3], fault: 'first', present: true },
  { name: 'both absent', pages: [0, 0], fault: 'first' },
  { name: 'both present', pages: [3, 3] },
];

/** Writes the window as it is before a run to EDI. */
function emitPattern(g: Guest): void {
  const { a } = g;
  const fill = a.fresh('fill');
  a.mov(R.ecx, WINDOW);
  a.mov(R.eax, field('start'));
  a.label(fill);
  a.op('stosb');
  a.alu('add', R.eax, field('step'));
  a.dec(R.ecx);
  a.j('nz', fill);
}

/** Runs the form of RBP with its operand at offset EDX; leaves its registers in mc.regs and its memory in mc.window. */
function emitRun(g: Guest): void {
  const { a } = g;
  a.label('mc.run');
  a.mov(mem(32, 'mc.offset'), R.edx);
  a.lea(R.rdi, mem(64, R.rdx, FIRST - BELOW));
  emitPattern(g);
  a.mov(R.rbx, V);
  a.alu('add', R.rbx, R.rdx);
  a.mov(R.esi, 'mc.mxcsr');
  a.db(0x0f, 0xae, 0x16); // ldmxcsr [rsi]
  a.mov(R.esi, 'mc.pattern');
  a.db(0xf3, 0x0f, 0x6f, 0x06); // movdqu xmm0, [rsi]
  for (const [i, reg] of [R.rax, R.rcx, R.rdx].entries()) a.mov(reg, mem(64, 'mc.regs0', i * 8));
  a.mov(R.rdi, R.rbx);
  a.push(2);
  a.op('popf');
  a.mov(mem(64, 'pg.sp'), R.rsp);
  a.mov(R.r8d, field('sp'));
  a.lea(R.rsp, indexed(64, R.rbx, R.r8));
  a.mov(R.r9d, field('code'));
  a.jmp(R.r9);
}

/** After a run: what is compared. */
function emitSave(g: Guest): void {
  const { a } = g;
  a.label('mc.save');
  const save = (at: number, reg: Reg) => a.mov(mem(64, 'mc.regs', at), reg);
  for (const [i, reg] of [R.rax, R.rcx, R.rdx, R.rsi].entries()) save(i * 8, reg);
  a.alu('sub', R.rdi, R.rbx);
  save(32, R.rdi);
  a.mov(R.rax, mem(64, 'pg.flags'));
  a.alu('and', R.eax, 0x8d5);
  save(40, R.rax);
  a.mov(R.rax, mem(64, 'pg.faultSp'));
  a.alu('sub', R.rax, R.rbx);
  save(KEPT, R.rax);
  a.mov(R.edi, 'mc.regs');
  a.db(0xf3, 0x0f, 0x7f, 0x47, 0x30); // movdqu [rdi + 48], xmm0
  a.mov(R.esi, mem(32, 'mc.offset'));
  a.alu('add', R.esi, FIRST - BELOW);
  a.mov(R.edi, 'mc.window');
  a.mov(R.ecx, WINDOW);
  a.op('repMovsb', 'ret');
}

function wrong(g: Guest, step: string, what: string): void {
  g.note('FAILURE');
  g.print('Fail: ', { text: field('name'), length: field('nameLength') });
  g.print(` ${step}, ${what}: vector `, { dec: g.word('pg.vector') }, ' error ', { hex: g.word('pg.error') });
  g.print(' cr2 ', { hex: g.word('pg.cr2') }, '\n');
}

function same(g: Guest, step: string, what: string, as: string, bytes: number): void {
  const { a } = g;
  a.mov(R.esi, what === 'memory' ? 'mc.window' : 'mc.regs');
  a.mov(R.edi, as);
  a.mov(R.ecx, bytes);
  a.db(0xf3, 0xa6); // repe cmpsb
  g.when('nz', () => wrong(g, step, what));
}

function emitStep(g: Guest, s: Step): void {
  const { a } = g;
  const skip = a.fresh('skip');
  if (s.present) {
    a.alu('cmp', field('writes'), 0);
    a.j('z', skip);
  }
  for (const [k, flags] of s.pages.entries())
    a.mov(mem(32, LEAF + 8 * k), flags === 0 ? 0 : (FIRST + k * 4096) | flags);
  a.mov(R.rax, cr(3));
  a.mov(cr(3), R.rax);
  a.mov(R.edx, 4096);
  a.alu('sub', R.edx, field('split'));
  a.call('mc.run');
  a.call('mc.save');
  a.inc(mem(32, 'mc.count'));
  if (s.fault) expectFault(g, s);
  else {
    a.alu('cmp', mem(32, 'pg.vector'), 6);
    g.when('nz', () => wrong(g, s.name, 'faulted'));
    same(g, s.name, 'memory', 'mc.window1', WINDOW);
    same(g, s.name, 'registers', 'mc.regs1', REGS);
  }
  a.label(skip);
}

function expectFault(g: Guest, s: Step): void {
  const { a } = g;
  a.mov(R.eax, field('writes'));
  a.alu('add', R.eax, R.eax);
  if (s.present) a.alu('or', R.eax, 1);
  a.shift('shl', R.eax, 8);
  a.alu('or', R.eax, 14);
  a.mov(R.ecx, mem(32, 'pg.error'));
  a.shift('shl', R.ecx, 8);
  a.alu('or', R.ecx, mem(32, 'pg.vector'));
  a.alu('cmp', R.eax, R.ecx);
  g.when('nz', () => wrong(g, s.name, 'exception'));
  a.mov(R.rax, V);
  a.mov(R.ecx, 4096);
  if (s.fault === 'first') a.mov(R.ecx, mem(32, 'mc.offset'));
  if (s.pages[1] !== 3) {
    a.alu('cmp', field('last'), 0);
    g.when('nz', () => {
      a.mov(R.ecx, mem(32, 'mc.offset'));
      a.alu('add', R.ecx, field('last'));
    });
  }
  a.alu('add', R.rax, R.rcx);
  a.alu('cmp', R.rax, mem(64, 'pg.cr2'));
  g.when('nz', () => wrong(g, s.name, 'CR2'));
  same(g, s.name, 'memory', 'mc.window0', WINDOW);
  same(g, s.name, 'registers', 'mc.regs0', KEPT);
  a.mov(R.eax, mem(32, 'mc.regs', KEPT));
  a.alu('cmp', R.eax, field('sp'));
  g.when('nz', () => wrong(g, s.name, 'RSP'));
}

/** Copies what the last run left. */
function keep(g: Guest, label: string, from: string, bytes: number): void {
  g.a.mov(R.esi, from);
  g.a.mov(R.edi, label);
  g.a.mov(R.ecx, bytes);
  g.a.op('repMovsb');
}

function emitForms(g: Guest): number {
  const { a } = g;
  const variants = Object.entries(FORMS).flatMap(([name, f]) =>
    (f.split ? [f.split] : [...new Set([1, f.size - 1])]).map((split) => ({
      ...f,
      name: `${name} (${split})`,
      split,
    })),
  );
  g.data('mc.forms', () => {
    for (const [i, f] of variants.entries()) {
      a.dd(`mc.code${i}`, g.string(f.name), f.name.length, f.split);
      a.dd(f.writes ? 1 : 0, f.zero ? 0 : 3, f.zero ? 0 : 7, f.sp ?? 8, f.lastFirst ? f.size - 1 : 0);
    }
  });
  for (const [i, f] of variants.entries()) {
    a.label(`mc.code${i}`);
    a.db(...f.code, 0x0f, 0x0b);
  }
  return variants.length;
}

function emitData(g: Guest): void {
  const { a } = g;
  for (const v of ['offset', 'count']) g.variable(`mc.${v}`, 8);
  for (const v of ['regs', 'regs1']) g.variable(`mc.${v}`, REGS);
  for (const v of ['window', 'window0', 'window1']) g.variable(`mc.${v}`, WINDOW);
  g.data('mc.mxcsr', () => a.dd(0x1f80));
  const pattern = [0x4142434445464748n, 0x3132333435363738n];
  g.data('mc.pattern', () => {
    for (const v of pattern) a.dq(v);
  });
  g.data('mc.regs0', () => {
    for (const v of [0x0123_4567_89ab_cdefn, 0x1111_2222_3333_4444n, 0x5555_6666_7777_8888n]) a.dq(v);
    a.dq('mc.pattern');
    for (const v of [0n, 0n, ...pattern]) a.dq(v);
  });
}

export function memoryCrossing(g: Guest): void {
  const { a } = g;
  const start = a.fresh('crossing');
  a.jmp(start);
  emitRun(g);
  emitSave(g);
  const count = emitForms(g);
  a.label(start);
  emitWorld(g, 'long');
  emitTables(g, 'long');
  emitData(g);
  emitPath(g, V);
  a.mov(R.eax, PLACE.top);
  a.mov(cr(3), R.rax);
  a.mov(R.ebp, 'mc.forms');
  const next = a.fresh('form');
  a.label(next);
  a.mov(mem(32, LEAF), FIRST | 3);
  a.invlpg(mem(32, R.rbx));
  a.mov(R.edx, INSIDE);
  a.call('mc.run');
  a.call('mc.save');
  keep(g, 'mc.window1', 'mc.window', WINDOW);
  keep(g, 'mc.regs1', 'mc.regs', REGS);
  a.alu('cmp', mem(32, 'pg.vector'), 6);
  g.when('nz', () => wrong(g, 'inside', 'faulted'));
  a.mov(R.edi, 'mc.window0');
  emitPattern(g);
  for (const s of STEPS) emitStep(g, s);
  a.alu('add', R.ebp, RECORD);
  a.mov(R.eax, 'mc.forms');
  a.alu('add', R.eax, count * RECORD);
  a.alu('cmp', R.ebp, R.eax);
  a.j('b', next);
  g.print({ dec: g.word('mc.count') }, ' accesses across pages\n');
}
