/**
 * Probes: pieces of code that are run at some privilege level and mode, each until it raises an exception or says that it
 * is through. Every vector leads to one handler, which records the registers and the frame it found, goes back to ring 0
 * and compares the record with what was expected. Before each probe all tables are made anew.
 *
 * The same images run under QEMU (-kernel X.elf -device isa-debugcon,iobase=0x12,chardev=...). What its TCG does otherwise,
 * and the manuals do not: it checks no limits and no types of segments, no alignment and few canonical addresses; error
 * codes have no EXT bit, frames of faults no RF; absent stacks are #NP or #TS; faults in a new task have the old one's EIP.
 */
import type { Asm } from './asm.ts';
import { type Guest, LAYOUT } from './guest.ts';
import { emitLevels, enterLevel, type Level, prepareLevel } from './probe-levels.ts';
import {
  DONE,
  emitHandler,
  emitReset,
  emitTables,
  FIELDS,
  type Field,
  field,
  SEL,
  WITH_ERROR,
} from './probe-tables.ts';
import { cr, type Imm, indexed, mem, R } from './registers.ts';

export interface Probe {
  level?: Level;
  /** Ring 0, in the guest's own mode; registers stay. */
  setup?: (a: Asm) => void;
  /** Where the probe runs, before the instruction in question. */
  prelude?: (a: Asm) => void;
  /** The instruction in question. What follows it says that the probe is through. */
  code: (a: Asm) => void;
  /** Ring 0 again: leaves what `value` is compared with in (e/r)ax. */
  look?: (a: Asm) => void;
  /** The vector that is expected; default DONE. */
  vector?: number;
  /** Default: 0 where the vector has an error code. */
  error?: number;
  /** Where an exception is from; default: the instruction for exceptions. */
  ip?: 'at' | 'after' | Imm | 'any';
  value?: Imm;
  /** Other fields of the record. */
  is?: Partial<Record<Field, Imm>>;
}

const NO_ERROR = -1;
const SIXTEEN = /16|86|real/;
/** No interrupts, where there is a PIC. */
const PIC_MASKS = [0x21, 0xa1];

export class Probes {
  readonly g: Guest;
  /** Descriptors of the GDT beyond those of probe-tables.ts. */
  readonly descriptors: bigint[] = [];
  private count = 0;

  constructor(g: Guest) {
    this.g = g;
    const start = g.a.fresh('probes');
    g.a.jmp(start);
    emitHandler(g);
    emitReset(g);
    emitLevels(g);
    this.emitCompare();
    emitTables(g, this.descriptors);
    g.a.label(start);
    if (g.bits === 64) emitUserMap(g);
    for (const port of PIC_MASKS) {
      g.a.mov(R.eax, 0xff);
      g.a.mov(R.edx, port);
      g.a.outDx(R.al);
    }
  }

  /** EDX: field, (e/r)cx: expected. Prints what differs. */
  private emitCompare(): void {
    const { g } = this;
    const { a } = g;
    a.label('pr.compare');
    a.mov(g.r('ax'), indexed(g.bits, 'pr.record', g.r('dx'), g.wordBytes));
    a.alu('cmp', g.r('ax'), g.r('cx'));
    const differs = a.fresh('differs');
    a.j('nz', differs);
    a.op('ret');
    a.label(differs);
    a.mov(g.word('pr.found'), g.r('ax'));
    a.mov(g.word('pr.expected'), g.r('cx'));
    a.shift('shl', R.edx, 3);
    a.alu('add', R.edx, 'pr.fieldNames');
    a.mov(g.word('pr.fieldName'), g.r('dx'));
    g.note('FAILURE');
    g.print(
      'Fail: ',
      { text: g.word('pr.name'), length: g.word('pr.nameLength') },
      ': ',
      { text: g.word('pr.fieldName'), length: g.word('pr.eight') },
      'is ',
      { hex: g.word('pr.found') },
      ', expected ',
      { hex: g.word('pr.expected') },
      '\n',
    );
    a.op('ret');
    for (const name of ['found', 'expected', 'fieldName', 'name', 'nameLength', 'resume', 'sp', 'scratch'])
      g.variable(`pr.${name}`, 8);
    g.variable('pr.record', FIELDS.length * 8);
    g.data('pr.eight', () => g.emitWord(8));
    g.data('pr.fieldNames', () => {
      for (const name of FIELDS) a.ascii(name.padEnd(8));
    });
  }

  /** A descriptor of the GDT for this guest's probes; answers its selector. */
  add(...words: bigint[]): number {
    this.descriptors.push(...words);
    return SEL.own + (this.descriptors.length - words.length) * 8;
  }

  private expect(field: Field, v: Imm): void {
    const { g } = this;
    g.a.mov(R.edx, FIELDS.indexOf(field));
    g.a.mov(g.r('cx'), typeof v === 'string' ? v : BigInt.asUintN(g.bits, BigInt(v)));
    g.a.call('pr.compare');
  }

  probe(name: string, p: Probe): void {
    const { g } = this;
    const { a } = g;
    const own = a.mode;
    const level = p.level ?? 'ring0';
    const [start, caught] = [a.fresh('start'), a.fresh('caught')] as [string, string];
    this.count++;
    a.mov(g.word('pr.name'), g.string(name));
    a.mov(g.word('pr.nameLength'), name.length);
    a.mov(g.word('pr.resume'), caught);
    a.mov(g.word('pr.sp'), g.r('sp'));
    a.call('pr.reset');
    prepareLevel(g, level, start);
    p.setup?.(a);
    enterLevel(g, level, start);
    a.label(start);
    const from = a.here;
    p.prelude?.(a);
    const at = a.here;
    p.code(a);
    const after = a.here;
    a.int(DONE);
    a.mode = own;
    a.label(caught);
    if (p.look) {
      p.look(a);
      a.mov(field(g, 'value'), g.r('ax'));
    }
    // 16-bit code is where its segment begins
    const relative = SIXTEEN.test(level) ? from : 0;
    this.check(p, at - relative, after - relative);
  }

  private check(p: Probe, at: number, after: number): void {
    const vector = p.vector ?? DONE;
    this.expect('vector', vector);
    const hasError = WITH_ERROR.includes(vector) && p.level !== 'real';
    if (vector < 32) this.expect('error', hasError ? (p.error ?? 0) : NO_ERROR);
    const ip = p.ip ?? (vector < 32 ? 'at' : 'any');
    if (ip !== 'any') this.expect('s0', ip === 'at' ? at : ip === 'after' ? after : ip);
    if (p.value !== undefined) this.expect('value', p.value);
    for (const [field, v] of Object.entries(p.is ?? {})) this.expect(field as Field, v);
  }

  all(probes: Readonly<Record<string, Probe>>): void {
    for (const [name, p] of Object.entries(probes)) this.probe(name, p);
    this.g.print(`${this.count} probes of ring 0\n`);
  }
}

/** A dword of memory in `value`. */
export const word32 = (at: number) => (a: Asm) => a.mov(R.eax, mem(32, at));

/** All of the identity map is ring 3's, too. */
function emitUserMap(g: Guest): void {
  const { a } = g;
  const next = a.fresh('user');
  a.alu('or', mem(32, LAYOUT.pml4), 4);
  for (let i = 0; i < 4; i++) a.alu('or', mem(32, LAYOUT.pdpt + i * 8), 4);
  a.mov(R.ecx, 2048);
  a.label(next);
  a.alu('or', { ...mem(32, LAYOUT.pd - 8), index: R.rcx, scale: 8 }, 4);
  a.dec(R.ecx);
  a.j('nz', next);
  a.mov(R.rax, cr(3));
  a.mov(cr(3), R.rax);
}
