/**
 * Instructions for which a guest may be left. Its monitor comes after what the instruction checks first (#UD, the
 * privilege level, a port's permission), and before operands and memory. @spec APM 2 15.7, 15.8 to 15.14, 15.33
 */
import { type Insn, OPK } from '../../../x86/insn.ts';
import { OP as X } from '../../../x86/ops.ts';
import { cpuState, SEG } from '../../cpu-state.ts';
import { monitorHolds } from '../../monitor.ts';
import type { Core } from '../core.ts';
import { checkUmip } from '../descriptors.ts';
import { requireMonitor } from '../monitor.ts';
import { EXC } from '../registers.ts';
import { checkPort } from '../system.ts';
import { requireXsave } from '../xsave.ts';
import { pauseRunsOut } from './pause-filter.ts';
import { msrIntercepted, portIntercepted } from './permissions.ts';
import { controls, intercepts, svmState } from './state.ts';
import { VmExit } from './vm-exit.ts';
import { VMEXIT, vmcbControl } from './vmcb.ts';

const CR4_TSD = 4;
const CR4_PCE = 0x100;
const CR4_DE = 8;
const EFER_SVME = 0x1000;
/** CR0 bits whose change the selective intercept lets by: MP and TS. */
const CR0_UNSELECTED = 0xan;
/** EXITINFO1 of a MOV to or from a control register. */
const MOV_CR = 1n << 63n;
const FLAG_OF = 0x800;

type Check = (c: Core, i: Insn, tsc: () => bigint) => void;
const table = new Map<number, Check>();
const u64 = (v: number | bigint): bigint => BigInt.asUintN(64, BigInt(v));
const nextRip = (c: Core): bigint => u64(c.nextIp);

function leave(c: Core, code: number, info1 = 0n, info2 = 0n): never {
  throw new VmExit(code, info1, info2, nextRip(c));
}
function leaveIf(c: Core, code: number, info1 = 0n): void {
  if (intercepts(c, code)) leave(c, code, info1);
}

/** An instruction of a guest, about to run. */
export function beforeInstruction(c: Core, i: Insn, tsc: () => bigint): void {
  c.set32(svmState.intN, i.op === X.int ? 1 : 0);
  table.get(i.op)?.(c, i, tsc);
}

// --- that have an intercept of their own -----------------------------------------------------------------------------------

const nothing = (): void => {};
const kernel: Check = (c) => c.requireCpl0();
const timestamp: Check = (c) => {
  if (c.get32(cpuState.cr4) & CR4_TSD && c.cpl !== 0) c.gp();
};
const counters: Check = (c) => {
  if (!(c.get32(cpuState.cr4) & CR4_PCE)) c.requireCpl0();
};
function systemSegment(c: Core): void {
  if (!c.protectedMode || c.vm86) c.ud();
}
/** VMRUN and its like want SVM, protected mode and the kernel. */
export function requireSvm(c: Core): void {
  if (!(c.get32(cpuState.efer) & EFER_SVME) || !c.protectedMode || c.vm86) c.ud();
  c.requireCpl0();
}

function own(names: readonly (keyof typeof X)[], first: Check): void {
  for (const name of names) {
    const code = VMEXIT[name as keyof typeof VMEXIT];
    table.set(X[name], (c, i, tsc) => {
      first(c, i, tsc);
      leaveIf(c, code);
    });
  }
}
own(['pushf', 'popf', 'cpuid', 'rsm', 'iret', 'vmmcall'], nothing);
own(['invd', 'wbinvd', 'hlt', 'invpcid'], kernel);
own(['rdtsc', 'rdtscp'], timestamp);
own(['rdpmc'], counters);
own(['xsetbv'], requireXsave);
own(['monitor'], requireMonitor);
own(['invlpga', 'vmrun', 'vmload', 'vmsave', 'stgi', 'clgi', 'skinit'], requireSvm);

function named(name: keyof typeof X, code: number, first: Check): void {
  table.set(X[name], (c, i, tsc) => {
    first(c, i, tsc);
    leaveIf(c, code);
  });
}
named('int1', VMEXIT.icebp, nothing);
named('sidt', VMEXIT.idtrRead, checkUmip);
named('sgdt', VMEXIT.gdtrRead, checkUmip);
named('lidt', VMEXIT.idtrWrite, kernel);
named('lgdt', VMEXIT.gdtrWrite, kernel);
for (const [read, write, readCode, writeCode] of [
  ['sldt', 'lldt', VMEXIT.ldtrRead, VMEXIT.ldtrWrite],
  ['str', 'ltr', VMEXIT.trRead, VMEXIT.trWrite],
] as const) {
  named(read, readCode, (c) => {
    systemSegment(c);
    checkUmip(c);
  });
  named(write, writeCode, (c) => {
    systemSegment(c);
    c.requireCpl0();
  });
}

table.set(X.pause, (c, _i, tsc) => {
  if (intercepts(c, VMEXIT.pause) && pauseRunsOut(c, tsc)) leave(c, VMEXIT.pause);
});
table.set(X.mwait, (c) => {
  requireMonitor(c);
  if (monitorHolds(c.m, c.cpu)) leaveIf(c, VMEXIT.mwaitArmed);
  leaveIf(c, VMEXIT.mwait);
});
table.set(X.invlpg, (c, i) => {
  c.requireCpl0();
  const base = BigInt(c.lin({ offset: cpuState.segBase.offset + 8 * c.effectiveSeg(i.seg) }));
  leaveIf(c, VMEXIT.invlpg, BigInt.asUintN(c.code64 ? 64 : 32, c.offsetOf(i) + base));
});

// --- software interrupts -------------------------------------------------------------------------------------------------

table.set(X.int, (c, i) => leaveIf(c, VMEXIT.swint, BigInt(i.imm & 255)));
function softException(c: Core, vector: number): void {
  if ((vmcbControl.exceptions.get(c.m, controls(c)) >>> vector) & 1) leave(c, VMEXIT.exception + vector);
}
table.set(X.int3, (c) => softException(c, EXC.BP));
table.set(X.into, (c) => {
  if (c.flags & FLAG_OF) softException(c, EXC.OF);
});

// --- control and debug registers -------------------------------------------------------------------------------------------

const listed = (c: Core, field: { get(m: Core['m'], a: number): number }, n: number): boolean =>
  ((field.get(c.m, controls(c)) >>> n) & 1) !== 0;

table.set(X.mov_cr, (c, i) => {
  c.requireCpl0();
  const [d, s] = i.operands;
  const info = MOV_CR | BigInt(d.kind === OPK.cr ? s.reg : d.reg);
  if (d.kind !== OPK.cr) {
    if (listed(c, vmcbControl.crReads, s.reg)) leave(c, VMEXIT.crRead + s.reg, info);
    return;
  }
  if (listed(c, vmcbControl.crWrites, d.reg)) leave(c, VMEXIT.crWrite + d.reg, info);
  if (d.reg === 2) c.set(svmState.cr2, BigInt.asUintN(c.code64 ? 64 : 32, c.gpr(s.reg)));
  if (d.reg !== 0) return;
  const changed = BigInt.asUintN(c.code64 ? 64 : 32, c.gpr(s.reg)) ^ c.get(cpuState.cr0);
  if (changed & ~CR0_UNSELECTED) leaveIf(c, VMEXIT.cr0Selective, info);
});
table.set(X.clts, (c) => {
  c.requireCpl0();
  if (listed(c, vmcbControl.crWrites, 0)) leave(c, VMEXIT.crWrite);
});
table.set(X.lmsw, (c) => {
  c.requireCpl0();
  if (listed(c, vmcbControl.crWrites, 0)) leave(c, VMEXIT.crWrite);
  leaveIf(c, VMEXIT.cr0Selective);
});
table.set(X.smsw, (c) => {
  checkUmip(c);
  if (listed(c, vmcbControl.crReads, 0)) leave(c, VMEXIT.crRead);
});
table.set(X.mov_dr, (c, i) => {
  const [d, s] = i.operands;
  const write = d.kind === OPK.dr;
  const n = write ? d.reg : s.reg;
  if ((n === 4 || n === 5) && c.get32(cpuState.cr4) & CR4_DE) c.ud();
  c.requireCpl0();
  if (!listed(c, write ? vmcbControl.drWrites : vmcbControl.drReads, n)) return;
  leave(c, (write ? VMEXIT.drWrite : VMEXIT.drRead) + n, BigInt(write ? s.reg : d.reg));
});

// --- ports and MSRs --------------------------------------------------------------------------------------------------------

const IN = 1;
const STRING = 4;
const REP = 8;

function port(c: Core, i: Insn, direction: number): void {
  const string = i.op === X.ins || i.op === X.outs;
  const o = direction === IN ? i.operands[1] : i.operands[0];
  const size = Math.min(i.opSize, 4);
  const number = !string && o.kind === OPK.imm ? i.imm & 0xff : c.gpr32(2) & 0xffff;
  checkPort(c, number, size);
  if (!intercepts(c, VMEXIT.ioio) || !portIntercepted(c, number, size)) return;
  let info = direction | (size << 4) | (number << 16);
  if (string) {
    const seg = direction === IN ? SEG.es : i.seg;
    info |= STRING | (i.rep ? REP : 0) | (i.addrSize << 6) | (seg << 10);
  }
  leave(c, VMEXIT.ioio, BigInt(info >>> 0), nextRip(c));
}
for (const op of [X.in, X.ins]) table.set(op, (c, i) => port(c, i, IN));
for (const op of [X.out, X.outs]) table.set(op, (c, i) => port(c, i, 0));

function msr(c: Core, write: boolean): void {
  c.requireCpl0();
  if (intercepts(c, VMEXIT.msr) && msrIntercepted(c, c.gpr32(1), write))
    leave(c, VMEXIT.msr, write ? 1n : 0n);
}
table.set(X.rdmsr, (c) => msr(c, false));
table.set(X.wrmsr, (c) => msr(c, true));
