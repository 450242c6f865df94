/**
 * A monitor for guests of a guest: each check runs a piece of code by VMRUN, in a mode of its choice, until something
 * leaves it, and compares the VMCB with what was expected. 64-bit ring 0. @spec APM 2 15, appendix B
 *
 * The same images run under QEMU (-cpu max -kernel X.elf -device isa-debugcon,iobase=0x12,chardev=...), whose TCG has
 * neither next RIP nor decode assists: what needs those is compared where CPUID has them. What it does otherwise, and the
 * manual does not: it intercepts no INVD, ICEBP and RDTSCP, INT3 as INT n, LMSW like any write of CR0; error codes from
 * the IDT are doubled; EXITCODE has 32 bits; a priority equal to V_TPR is let in, and an interrupt shadow is not kept;
 * reserved bits of nested tables are not "present"; after a VMRUN that was refused the monitor's registers are wrong. 7.2
 * ends itself when a guest writes CR8.
 */
import { VMEXIT } from '../src/machine/engine/svm/vmcb.ts';
import type { Asm } from './asm.ts';
import type { Guest } from './guest.ts';
import { type Imm, mem, R } from './registers.ts';
import {
  AT,
  CODE_BITS,
  controlAt,
  FIELDS,
  type FieldName,
  type GuestMode,
  MSR,
  SVME,
  saveAt,
  segAt,
} from './svm-layout.ts';
import { MonitorRoutines } from './svm-routines.ts';

const { vmmcall: VMMCALL } = VMEXIT;

export interface Check {
  mode?: GuestMode;
  /** With nested paging. */
  nested?: boolean;
  /** Exit codes from 0x60 on that are intercepted, besides VMRUN, VMMCALL and a shutdown. */
  intercept?: readonly number[];
  /** Changes the VMCB, which is otherwise made anew. */
  setup?: (a: Asm) => void;
  /** The guest's code before what may leave it. */
  prelude?: (a: Asm) => void;
  /** What may leave the guest; a VMMCALL follows. */
  code: (a: Asm) => void;
  /** Default: the VMMCALL. */
  exit?: number;
  /** Default: the instruction in `code`, or behind it where it is a VMMCALL that left the guest. */
  rip?: 'at' | 'after' | Imm | 'any';
  /** The instruction's next RIP is told. */
  tellsNext?: boolean;
  is?: Partial<Record<FieldName, Imm>>;
  /** Only where the CPU has decode assists. */
  assisted?: Partial<Record<FieldName, Imm>>;
  /** In the monitor again: leaves what `value` is compared with in rax. */
  look?: (a: Asm) => void;
  value?: Imm;
}

const FEATURE = { nextRip: 8, decodeAssists: 0x80 } as const;

export class Monitor extends MonitorRoutines {
  private count = 0;

  constructor(g: Guest) {
    super(g);
    const { a } = g;
    const start = a.fresh('monitor');
    a.jmp(start);
    this.emitRun();
    this.emitReset();
    this.emitCompare();
    a.label(start);
    this.enable();
  }

  /** Without SVM there is nothing to check. */
  private enable(): void {
    const { g } = this;
    const { a } = g;
    const there = a.fresh('svm');
    a.mov(R.eax, 0x8000_0001);
    a.op('cpuid');
    a.test(R.ecx, 4);
    a.j('nz', there);
    g.note('SKIP');
    g.print('Skip: no SVM\n');
    g.end();
    a.label(there);
    a.mov(R.eax, 0x8000_000a);
    a.op('cpuid');
    a.mov(mem(32, 'nv.features'), R.edx);
    a.mov(R.ecx, MSR.efer);
    a.op('rdmsr');
    a.alu('or', R.eax, SVME);
    a.op('wrmsr');
    a.mov(R.ecx, MSR.hsave);
    a.mov(R.eax, AT.hsave);
    a.alu('xor', R.edx, R.edx);
    a.op('wrmsr');
    for (const name of ['features', 'found', 'expected', 'field', 'name', 'nameLength', 'value', 'hostIf'])
      g.variable(`nv.${name}`, 8);
  }

  /** Compares a word in memory. */
  private expect(name: string, at: Imm, v: Imm): void {
    const { a } = this.g;
    a.mov(this.g.word('nv.field'), this.g.string(name.padEnd(8)));
    a.mov(R.rsi, at);
    a.mov(R.rcx, typeof v === 'string' ? v : BigInt.asUintN(64, BigInt(v)));
    a.call('nv.compare');
  }
  private expectWhere(feature: number, fields: Partial<Record<FieldName, Imm>>): void {
    const { a } = this.g;
    const skip = a.fresh('without');
    a.test(mem(32, 'nv.features'), feature);
    a.j('z', skip);
    for (const [f, v] of Object.entries(fields)) this.expect(f, FIELDS[f as FieldName], v);
    a.label(skip);
  }
  private named(name: string): void {
    this.count++;
    this.g.a.mov(this.g.word('nv.name'), this.g.string(name));
    this.g.a.mov(this.g.word('nv.nameLength'), name.length);
  }

  check(name: string, p: Check): void {
    const { g } = this;
    const { a } = g;
    const mode = p.mode ?? 'long';
    const [start, over] = [a.fresh('start'), a.fresh('over')] as [string, string];
    this.named(name);
    a.call('nv.reset');
    this.enterMode(mode, start);
    this.intercept(p.intercept ?? []);
    if (p.nested) a.mov(mem(32, controlAt('nestedPaging')), 1);
    p.setup?.(a);
    a.call('nv.run');
    a.jmp(over);
    a.mode = CODE_BITS[mode];
    a.label(start);
    const from = a.here;
    p.prelude?.(a);
    const at = a.here;
    p.code(a);
    const after = a.here;
    a.op('vmmcall');
    a.mode = 64;
    a.label(over);
    // 16-bit code is where its segment begins
    this.compare(p, at - (mode === 'real' ? from : 0), after - (mode === 'real' ? from : 0));
  }

  private enterMode(mode: GuestMode, start: string): void {
    const { a } = this.g;
    if (mode === 'real') a.mov(mem(32, segAt(1).base), start);
    else a.mov(mem(32, saveAt('rip')), start);
    if (mode === 'long') return;
    const real = mode === 'real';
    const limit = real ? 0xffff : 0xffff_ffff;
    for (const s of [0, 1, 2, 3])
      this.segment(s, real ? 0 : s === 1 ? 8 : 0x10, (s === 1 ? 0x9b : 0x93) | (real ? 0 : 0xc00), limit);
    a.mov(mem(32, saveAt('cr0')), real ? 0x10 : 0x11);
    a.mov(mem(32, saveAt('cr3')), 0);
    a.mov(mem(32, saveAt('cr4')), 0);
    a.mov(mem(32, saveAt('efer')), SVME);
    if (real) a.mov(mem(32, saveAt('rsp')), 0x7c00);
  }

  private compare(p: Check, at: number, after: number): void {
    const exit = p.exit ?? VMMCALL;
    this.expect('exit', FIELDS.exit, BigInt(exit));
    const rip = p.rip ?? (exit === VMMCALL ? 'after' : 'at');
    if (rip !== 'any') this.expect('rip', FIELDS.rip, rip === 'at' ? at : rip === 'after' ? after : rip);
    for (const [f, v] of Object.entries(p.is ?? {})) this.expect(f, FIELDS[f as FieldName], v);
    if (p.tellsNext) this.expectWhere(FEATURE.nextRip, { next: exit === VMMCALL ? after + 3 : after });
    if (p.assisted) this.expectWhere(FEATURE.decodeAssists, p.assisted);
    if (!p.look) return;
    p.look(this.g.a);
    this.g.a.mov(this.g.word('nv.value'), R.rax);
    this.expect('value', 'nv.value', p.value ?? 0);
  }

  all(checks: Readonly<Record<string, Check>>): void {
    for (const [name, p] of Object.entries(checks)) this.check(name, p);
  }

  /** The monitor's own code faults: the vector, and an error code. */
  faults(name: string, vector: number, code: (a: Asm) => void): void {
    const { g } = this;
    const { a } = g;
    const resume = a.fresh('faulted');
    this.named(name);
    a.mov(g.word('rt.faultVector'), -1);
    a.mov(g.word('rt.resume'), resume);
    code(a);
    a.mov(g.word('rt.resume'), 0);
    a.label(resume);
    this.expect('vector', 'rt.faultVector', vector);
  }
  /** The monitor's own code leaves a value in rax. */
  value(name: string, v: Imm, code: (a: Asm) => void): void {
    this.named(name);
    code(this.g.a);
    this.g.a.mov(this.g.word('nv.value'), R.rax);
    this.expect('value', 'nv.value', v);
  }

  end(): void {
    this.g.print(`${this.count} checks of SVM\n`);
  }
}

export const bytes =
  (...code: number[]) =>
  (a: Asm): void =>
    a.db(...code);
export const writeMsr = (a: Asm, msr: number, low: Imm, high = 0): void => {
  a.mov(R.ecx, msr);
  a.mov(R.eax, low);
  a.mov(R.edx, high);
  a.op('wrmsr');
};
