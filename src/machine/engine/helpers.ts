/** Which helper runs which instruction. */

import { AC } from '../../x86/flags.ts';
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { VEX_OPS } from '../../x86/sem/bmi.ts';
import { usesXmm } from '../../x86/sem/vector.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { EXIT } from '../platform.ts';
import {
  bound,
  decimal,
  divide,
  enter,
  loopTaken,
  popAll,
  popOperand,
  pushAll,
  pushOperand,
  xlat,
} from './arith.ts';
import { depositBits, extractBits } from './bits.ts';
import * as control from './control.ts';
import type { Core } from './core.ts';
import * as tables from './descriptors.ts';
import { deliver } from './exceptions.ts';
import { farJump, farReturn } from './far.ts';
import { fxrstor, fxsave, mxcsr } from './fpu.ts';
import { iret } from './iret.ts';
import { limitOf } from './limits.ts';
import { missing } from './missing.ts';
import { monitor, mwait } from './monitor.ts';
import { rdmsr, rdpmc, wrmsr } from './msr.ts';
import { NEXT, type Next } from './next.ts';
import { EXC } from './registers.ts';
import { runSse } from './sse.ts';
import { stringOp } from './strings.ts';
import * as svm from './svm/instructions.ts';
import { syscall, sysenter, sysexit, sysret } from './syscall.ts';
import * as sys from './system.ts';
import { emms, runMmx } from './x87/mmx.ts';
import { registerX87 } from './x87/register.ts';
import { xgetbv, xrstor, xsave, xsetbv } from './xsave.ts';

export interface HelperContext extends control.SystemHooks {
  tsc(): bigint;
  random(): bigint;
  /** At a UD2: if it begins a forced emulation prefix, runs the instruction behind that. */
  forced(): Next | undefined;
}

type Helper = (c: Core, i: Insn, h: HelperContext) => Next;
const table: (Helper | undefined)[] = [];

/** Registers helpers that go on behind the instruction. */
function plain(names: readonly (keyof typeof X)[], run: (c: Core, i: Insn, h: HelperContext) => void): void {
  for (const n of names)
    table[X[n]] = (c, i, h) => {
      run(c, i, h);
      return NEXT.next;
    };
}
function jumps(names: readonly (keyof typeof X)[], run: (c: Core, i: Insn, h: HelperContext) => void): void {
  for (const n of names)
    table[X[n]] = (c, i, h) => {
      run(c, i, h);
      return NEXT.jumped;
    };
}

export function runHelper(c: Core, i: Insn, h: HelperContext): Next {
  const helper = table[i.op];
  if (runMmx(c, i)) return NEXT.next;
  if (usesXmm(i)) {
    runSse(c, i);
    return NEXT.next;
  }
  return helper ? helper(c, i, h) : missing(c, i);
}

// --- control -------------------------------------------------------------------------------------------------------------

jumps(['jmpf'], (c, i) => farJump(c, i, false));
jumps(['callf'], (c, i) => farJump(c, i, true));
jumps(['retf'], farReturn);
jumps(['iret'], (c, i) => iret(c, i.opSize));
jumps(['syscall'], syscall);
jumps(['sysret'], (c, i) => sysret(c, i.opSize));
jumps(['sysenter'], sysenter);
jumps(['sysexit'], sysexit);
jumps(['loop', 'loope', 'loopne', 'jrcxz'], (c, i) => {
  let to = c.nextIp;
  if (loopTaken(c, i)) to += i.imm;
  c.setLin(cpuState.rip, c.code64 ? to : i.opSize === 2 ? to & 0xffff : to >>> 0);
});
/** Come here only with a target that is not canonical. */
plain(['jmp', 'ret'], (c) => c.gp());
/** So does CALL in 64-bit code; in other code where its stack is not as wide as its operand, or a segment is short. */
jumps(['call'], (c, i) => {
  if (c.code64) c.gp();
  const [o] = i.operands;
  const target = o.kind === OPK.rel ? c.nextIp + i.imm : Number(c.operand(i, o, i.opSize));
  const to = i.opSize === 2 ? target & 0xffff : target >>> 0;
  c.probeWrite(c.stackAt(-i.opSize), i.opSize);
  if (to > limitOf(c, SEG.cs)) c.gp();
  c.push(i.opSize, BigInt(c.nextIp));
  c.setLin(cpuState.rip, to);
});

function softwareInterrupt(c: Core, vector: number): Next {
  return deliver(c, vector, -1, 'software', c.nextIp, c.ip) ? NEXT.jumped : EXIT.tripleFault;
}
table[X.int] = (c, i) => {
  if (c.vm86 && !sys.iopl3(c)) c.gp();
  return softwareInterrupt(c, i.imm & 255);
};
table[X.int3] = (c) => softwareInterrupt(c, EXC.BP);
table[X.int1] = (c) => (deliver(c, EXC.DB, -1, 'trap', c.nextIp, c.ip) ? NEXT.jumped : EXIT.tripleFault);
table[X.into] = (c) => (c.flags & 0x800 ? softwareInterrupt(c, EXC.OF) : NEXT.next);
plain(['bound'], bound);
for (const n of ['ud0', 'ud1'] as const) table[X[n]] = (c) => c.ud();
table[X.ud2] = (c, _i, h) => h.forced() ?? c.ud();

// --- integer -------------------------------------------------------------------------------------------------------------

plain(['div'], (c, i) => divide(c, i, false));
plain(['idiv'], (c, i) => divide(c, i, true));
plain(['daa', 'das', 'aaa', 'aas', 'aam', 'aad'], decimal);
plain(['push'], pushOperand);
plain(['pushf'], sys.pushf);
plain(['pusha'], pushAll);
plain(['popa'], popAll);
plain(['enter'], enter);
plain(['pdep'], depositBits);
plain(['pext'], extractBits);
/** The others come here only where there are no VEX prefixes. */
for (const op of VEX_OPS) table[op] ??= (c) => c.ud();
/** Comes here only misaligned. */
plain(['cmpxchg16b'], (c) => c.gp());
plain(['xlat'], xlat);
plain(['salc'], (c) => c.setGpr(0, 1, c.flags & 1 ? 255n : 0n));
table[X.pop] = (c, i) => {
  popOperand(c, i);
  return i.operands[0].reg === SEG.ss && i.operands[0].kind === 5 ? NEXT.shadow : NEXT.next;
};
for (const n of ['movs', 'cmps', 'stos', 'lods', 'scas', 'ins', 'outs'] as const)
  table[X[n]] = (c, i) => (stringOp(c, i) ? NEXT.next : NEXT.again);
plain(['movbe'], (c, i) => {
  const [d, s] = i.operands;
  const z = i.opSize;
  let v = c.operand(i, s, z);
  let r = 0n;
  for (let k = 0; k < z; k++, v >>= 8n) r = (r << 8n) | (v & 255n);
  c.setOperand(i, d, z, r);
});
plain(['movnti'], (c, i) => {
  const [to, from] = i.operands;
  c.setOperand(i, to, to.size, c.operand(i, from, from.size));
});
// to the memory they name they are loads
plain(['clflush', 'clflushopt', 'clwb'], (c, i) => void c.read(c.ea(i), 1));
plain(['lfence', 'mfence', 'sfence', 'nop', 'prefetch', 'serialize'], () => {});
plain(['rdrand', 'rdseed'], (c, i, h) => {
  c.setGpr(i.operands[0].reg, i.opSize, BigInt.asUintN(8 * i.opSize, h.random()));
  c.setStatus(1);
});

// --- flags ---------------------------------------------------------------------------------------------------------------

table[X.cli] = (c) => {
  sys.setInterruptFlag(c, false);
  return NEXT.next;
};
table[X.sti] = (c) => (sys.setInterruptFlag(c, true) ? NEXT.shadow : NEXT.next);
plain(['popf'], sys.popf);
plain(['clac', 'stac'], (c, i) => {
  if (c.cpl !== 0) c.ud();
  const rest = c.get32(cpuState.flagsRest);
  c.set32(cpuState.flagsRest, i.op === X.stac ? rest | AC : rest & ~AC);
});

// --- system --------------------------------------------------------------------------------------------------------------

table[X.hlt] = (c) => {
  c.requireCpl0();
  return EXIT.hlt;
};
plain(['monitor'], monitor);
table[X.mwait] = (c) => (mwait(c) ? EXIT.mwait : NEXT.next);
table[X.pause] = () => EXIT.pause;
table[X.vmcall] = svm.hypercall;
table[X.vmmcall] = svm.hypercall;
table[X.vmrun] = svm.vmrun;
plain(['vmload'], svm.vmload);
plain(['vmsave'], svm.vmsave);
plain(['stgi'], (c) => svm.setGif(c, true));
plain(['clgi'], (c) => svm.setGif(c, false));
plain(['invlpga'], svm.invlpga);
plain(['cpuid'], (c) => {
  c.platform.cpuid(c.cpu, c.gpr32(0), c.gpr32(1), c.out4);
  [0, 3, 1, 2].forEach((r, k) => {
    c.setGpr32(r, c.out4[k]!);
  });
});
function readTsc(c: Core, h: HelperContext): void {
  if (c.get32(cpuState.cr4) & 4 && c.cpl !== 0) c.gp();
  const t = h.tsc();
  c.setGpr32(0, Number(t & 0xffff_ffffn));
  c.setGpr32(2, Number((t >> 32n) & 0xffff_ffffn));
}
plain(['rdtsc'], (c, _i, h) => readTsc(c, h));
plain(['rdtscp'], (c, _i, h) => {
  readTsc(c, h);
  c.setGpr32(1, c.get32(cpuState.tscAux));
});
plain(['rdpid'], (c, i) => c.setGpr(i.operands[0].reg, 8, BigInt(c.get32(cpuState.tscAux))));
plain(['rdpmc'], rdpmc);
plain(['rdmsr'], (c, _i, h) => rdmsr(c, () => h.tsc()));
plain(['wrmsr'], (c, _i, h) => wrmsr(c, h, () => h.tsc()));
plain(['in'], (c, i) => sys.inOut(c, i, false));
plain(['out'], (c, i) => sys.inOut(c, i, true));
plain(['lgdt'], (c, i) => tables.loadTable(c, i, false));
plain(['lidt'], (c, i) => tables.loadTable(c, i, true));
plain(['sgdt'], (c, i) => tables.storeTable(c, i, false));
plain(['sidt'], (c, i) => tables.storeTable(c, i, true));
plain(['lldt'], (c, i) => tables.loadSystemSegment(c, i, SEG.ldtr));
plain(['ltr'], (c, i) => tables.loadSystemSegment(c, i, SEG.tr));
plain(['sldt'], (c, i) => tables.storeSystemSegment(c, i, SEG.ldtr));
plain(['str'], (c, i) => tables.storeSystemSegment(c, i, SEG.tr));
plain(['arpl'], tables.arpl);
plain(['lar'], (c, i) => tables.inspectSelector(c, i, 'lar'));
plain(['lsl'], (c, i) => tables.inspectSelector(c, i, 'lsl'));
plain(['verr'], (c, i) => tables.inspectSelector(c, i, 'verr'));
plain(['verw'], (c, i) => tables.inspectSelector(c, i, 'verw'));
table[X.mov_sreg] = (c, i) => {
  tables.movSreg(c, i);
  return i.operands[0].kind === 5 && i.operands[0].reg === SEG.ss ? NEXT.shadow : NEXT.next;
};
for (const [n, s] of [
  ['les', SEG.es],
  ['lds', SEG.ds],
  ['lss', SEG.ss],
  ['lfs', SEG.fs],
  ['lgs', SEG.gs],
] as const)
  plain([n], (c, i) => tables.loadFar(c, i, s));
plain(['mov_cr'], (c, i, h) => control.movCr(c, h, i));
plain(['mov_dr'], control.movDr);
plain(['lmsw'], (c, i, h) => control.lmsw(c, h, i));
plain(['smsw'], control.smsw);
plain(['clts'], (c, _i, h) => {
  c.requireCpl0();
  c.set32(cpuState.cr0, c.get32(cpuState.cr0) & ~8);
  h.flush();
});
plain(['invlpg'], (c, i, h) => {
  c.requireCpl0();
  const base = BigInt(c.lin({ offset: 256 + 8 * c.effectiveSeg(i.seg) }));
  const at = c.offsetOf(i) + base;
  h.invalidate(c.code64 ? Number(BigInt.asIntN(64, at)) : Number(BigInt.asUintN(32, at)));
});
plain(['invpcid'], (c, i, h) => control.invpcid(c, h, i));
plain(['invd', 'wbinvd'], (c) => c.requireCpl0());
plain(['swapgs'], (c) => {
  if (!c.code64) c.ud();
  c.requireCpl0();
  const gs = BigInt.asUintN(64, BigInt(c.segBase(SEG.gs)));
  sys.setSegBase(c, SEG.gs, c.get(cpuState.kernelGsBase));
  c.set(cpuState.kernelGsBase, gs);
});
for (const [n, s, write] of [
  ['rdfsbase', SEG.fs, false],
  ['rdgsbase', SEG.gs, false],
  ['wrfsbase', SEG.fs, true],
  ['wrgsbase', SEG.gs, true],
] as const)
  plain([n], (c, i) => {
    if (!c.code64 || (c.get32(cpuState.cr4) & 0x1_0000) === 0) c.ud();
    const r = i.operands[0].reg;
    if (!write) return c.setGpr(r, i.opSize, BigInt.asUintN(64, BigInt(c.segBase(s))));
    const v = BigInt.asUintN(8 * i.opSize, c.gpr(r));
    if (BigInt.asUintN(64, BigInt.asIntN(48, v)) !== v) c.gp();
    sys.setSegBase(c, s, v);
  });

// --- x87 and SSE state -------------------------------------------------------------------------------------------------------

registerX87(plain);
plain(['emms'], emms);
plain(['fxsave'], fxsave);
plain(['fxrstor'], fxrstor);
plain(['xgetbv'], xgetbv);
plain(['xsetbv'], xsetbv);
for (const n of ['xsave', 'xsaveopt', 'xsavec'] as const) plain([n], (c, i) => xsave(c, i, n));
plain(['xrstor'], xrstor);
plain(['ldmxcsr'], (c, i) => mxcsr(c, i, false));
plain(['stmxcsr'], (c, i) => mxcsr(c, i, true));
