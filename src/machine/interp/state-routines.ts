/**
 * XSAVE, XSAVEOPT, XSAVEC, XRSTOR, FXSAVE and FXRSTOR (in 64-bit code with REX.W), LDMXCSR and STMXCSR as routines, where
 * the area is memory without a hitch. Everything else, and what faults, is the helper's (engine/xsave.ts, engine/fpu.ts),
 * which has the same steps. @spec SDM 1 10.5, 13
 */
import { SIMD } from '../../wasm/opcodes.ts';
import { RAX } from '../../x86/sem/common.ts';
import type { Size, V64, Var, Vec } from '../../x86/sem/sem.ts';
import { cpuState } from '../cpu-state.ts';
import { CR0_EM, CR0_TS } from '../mmu.ts';
import {
  loadAt,
  operandAddress,
  type SystemRoutine,
  storeAt,
  systemRoutine,
  translated,
  word,
} from './function.ts';
import { KIND_READ, KIND_RMW, KIND_WRITE } from './record.ts';
import type { RoutineEmitter } from './routine-emitter.ts';

/** Bits of the immediate. Narrow: of 32-bit code, with eight XMM registers and 32 bits of the x87's pointers. */
export const SAVE = { optimised: 1, compacted: 2, narrow: 4 } as const;
const CR4_OSFXSR = 0x200;
const CR4_OSXSAVE = 0x4_0000;
const X87 = 1;
const SSE = 2;
/** Places in the area. */
const AREA = { pointer: 8, data: 16, mxcsr: 24, st: 32, xmm: 160, header: 512, size: 576 } as const;
const FX_SIZE = 512;
const COMPACTED = -(1n << 63n);
const CONTROL_RESET = 0x37f;
const MXCSR_RESET = 0x1f80;
const MXCSR_MASK = 0xffff;
const SUMMARY = 0x8080;
const XMM_REGISTERS = { narrow: 8, all: 16 } as const;

/** Machine address of an area, which lies in one piece. */
function piece(e: RoutineEmitter, kind: number, size: number, alignment: number): Var {
  const linear = operandAddress(e);
  e.slowIf(e.ne(e.and(e.get(linear), e.c(alignment - 1)), e.c(0)));
  const last = e.let(e.add(e.get(linear), e.c(size - 1)));
  const first = translated(e, linear, kind);
  const end = translated(e, last, kind);
  e.slowIf(e.ne(e.sub(end, first), e.c(size - 1)));
  return first;
}
function area(e: RoutineEmitter, kind: number): Var {
  e.slowIf(e.eqz(e.and(e.state32(cpuState.cr4.offset), e.c(CR4_OSXSAVE))));
  e.slowIf(e.ne(e.and(e.state32(cpuState.cr0.offset), e.c(CR0_TS)), e.c(0)));
  return piece(e, kind, AREA.size, 64);
}
const isNarrow = (e: RoutineEmitter): Var => e.let(e.and(e.imm(), e.c(SAVE.narrow)));
/** The XMM registers that the instruction is about. */
function eachXmm(e: RoutineEmitter, run: (r: number) => void): void {
  for (let r = 0; r < XMM_REGISTERS.narrow; r++) run(r);
  e.if(e.eqz(isNarrow(e)), () => {
    for (let r = XMM_REGISTERS.narrow; r < XMM_REGISTERS.all; r++) run(r);
  });
}
/** One of the x87's pointers, as much of it as counts. */
function pointer(e: RoutineEmitter, v: V64): Var {
  const all = e.let(v);
  return e.let(e.select(all, e.let(e.zx(all, 4)), e.eqz(isNarrow(e))));
}
/** Components that RAX asks for. */
const asked = (e: RoutineEmitter): Var => e.let(e.and(e.reg(RAX, 4), e.let(e.state32(cpuState.xcr0.offset))));
const has = (e: RoutineEmitter, v: Var, component: number) => e.ne(e.and(e.get(v), e.c(component)), e.c(0));

const field = (e: RoutineEmitter, f: { offset: number }, size: 2 | 4 | 8): V64 =>
  loadAt(e, e.let(e.cpuAddress()), size, f.offset);
/** The x87's control words as the area begins with them. */
function controlWords(e: RoutineEmitter): Var {
  const words = e.let(field(e, cpuState.fcw, 2));
  const put = (v: V64, at: number): void => e.set(words, e.or(e.shl(v, e.c(at)), words));
  put(field(e, cpuState.fsw, 2), 16);
  put(e.used(), 32);
  put(field(e, cpuState.fop, 2), 48);
  return words;
}
/** For each ST: its physical register's address from the start of the vCPU's block, and its place in the area. */
function eachRegister(e: RoutineEmitter, fsw: Var, run: (register: Var, place: number) => void): void {
  const top = e.let(e.and(e.shru(e.get(fsw), e.c(11)), e.c(7)));
  const cpu = e.let(e.cpuAddress());
  for (let r = 0; r < 8; r++) {
    const number = e.let(e.and(e.add(e.get(top), e.c(r)), e.c(7)));
    run(e.let(e.add(e.shl(e.get(number), e.c(4)), cpu)), AREA.st + 16 * r);
  }
}
const FPR = cpuState.fpr.offset;

/** Components that are not in their initial state. */
function inUse(e: RoutineEmitter, control: Var): Var {
  const any = (words: readonly number[]): Var => {
    const sum = e.let(e.c(0));
    for (const at of words) e.set(sum, e.or(e.state64(at), sum));
    return sum;
  };
  const x87 = any(Array.from({ length: 16 }, (_, k) => FPR + 8 * k));
  for (const at of [cpuState.fip.offset, cpuState.fdp.offset])
    e.set(x87, e.or(e.get(pointer(e, e.state64(at))), x87));
  e.set(x87, e.or(e.xor(e.get(control), e.c(CONTROL_RESET)), x87));
  const sse = e.vlet(e.vconst(0n, 0n));
  eachXmm(e, (r) => {
    e.v2('v128_or', e.vreg(r), sse);
    e.code.set(sse.vslot);
  });
  const two = e.let(e.shl(e.vmask('v128_any_true', sse), e.c(1)));
  return e.let(e.or(e.bool(e.ne(e.get(x87), e.c(0))), two));
}

function save(e: RoutineEmitter): void {
  const at = area(e, KIND_RMW);
  const want = asked(e);
  const compacted = e.let(e.and(e.imm(), e.c(SAVE.compacted)));
  const control = controlWords(e);
  const used = inUse(e, control);
  const mxcsr = e.let(e.mxcsr());
  const known = e.let(loadAt(e, at, 8, AREA.header));
  const unusual = e.let(e.shl(e.bool(e.ne(e.get(mxcsr), e.c(MXCSR_RESET))), e.c(1)));
  e.if(e.ne(e.get(compacted), e.c(0)), () => {
    e.set(known, e.c(0));
    e.set(used, e.or(used, unusual));
  });
  e.set(used, e.and(used, want));
  const optional = e.let(e.and(e.imm(), e.c(SAVE.optimised | SAVE.compacted)));
  const saved = e.let(e.select(used, want, e.ne(e.get(optional), e.c(0))));
  const withMxcsr = e.let(e.select(saved, want, e.ne(e.get(compacted), e.c(0))));
  e.if(has(e, saved, X87), () => saveX87(e, at, control));
  e.if(has(e, withMxcsr, SSE), () => saveMxcsr(e, at));
  e.if(has(e, saved, SSE), () => saveSse(e, at));
  const others = e.let(e.and(known, e.let(e.not(want))));
  storeAt(e, at, 8, e.let(e.or(others, used)), AREA.header);
  e.if(e.ne(e.get(compacted), e.c(0)), () =>
    storeAt(e, at, 8, e.let(e.or(e.get(want), e.big(COMPACTED))), AREA.header + 8),
  );
}
function saveMxcsr(e: RoutineEmitter, at: Var): void {
  storeAt(e, at, 8, e.let(e.or(e.mxcsr(), e.big(BigInt(MXCSR_MASK) << 32n))), AREA.mxcsr);
}
function saveSse(e: RoutineEmitter, at: Var): void {
  eachXmm(e, (r) => {
    word(e, e.get(at));
    e.vreg(r);
    e.code.simdMem(SIMD.v128_store, 0, AREA.xmm + 16 * r);
  });
}
function saveX87(e: RoutineEmitter, at: Var, control: Var): void {
  storeAt(e, at, 8, control);
  storeAt(e, at, 8, pointer(e, e.state64(cpuState.fip.offset)), AREA.pointer);
  storeAt(e, at, 8, pointer(e, e.state64(cpuState.fdp.offset)), AREA.data);
  eachRegister(e, e.let(e.statusWord()), (register, place) => {
    storeAt(e, at, 8, e.let(loadAt(e, register, 8, FPR)), place);
    storeAt(e, at, 8, e.let(loadAt(e, register, 2, FPR + 8)), place + 8);
  });
}

/** Leaves unless the header is in order. Answers the components in the area. */
function header(e: RoutineEmitter, at: Var, layout: Var): Var {
  const present = e.let(loadAt(e, at, 8, AREA.header));
  const enabled = e.let(e.state64(cpuState.xcr0.offset));
  const rest = e.let(loadAt(e, at, 8, AREA.header + 16));
  const allowed = e.let(e.get(enabled));
  e.if(e.ne(e.get(layout), e.c(0)), () => {
    e.slowIf(e.notBool(e.lts(e.get(layout), e.c(0))));
    e.set(allowed, e.xor(e.get(layout), e.big(COMPACTED)));
    e.slowIf(e.ne(e.and(allowed, e.let(e.not(enabled))), e.c(0)));
    for (let k = AREA.header + 24; k < AREA.size; k += 8) e.set(rest, e.or(loadAt(e, at, 8, k), rest));
  });
  e.slowIf(e.ne(e.or(e.and(present, e.let(e.not(allowed))), rest), e.c(0)));
  return present;
}
const setField = (e: RoutineEmitter, f: { offset: number }, size: Size, v: V64): void => {
  const value = e.let(v);
  storeAt(e, e.let(e.cpuAddress()), size, value, f.offset);
};

function restore(e: RoutineEmitter): void {
  const at = area(e, KIND_READ);
  const want = asked(e);
  const layout = e.let(loadAt(e, at, 8, AREA.header + 8));
  const load = e.let(e.and(header(e, at, layout), want));
  const withMxcsr = e.let(e.select(load, want, e.ne(e.get(layout), e.c(0))));
  const mxcsr = e.let(e.c(MXCSR_RESET));
  e.if(has(e, withMxcsr, SSE), () => {
    e.set(mxcsr, loadAt(e, at, 4, AREA.mxcsr));
    e.slowIf(e.gtu(e.get(mxcsr), e.c(MXCSR_MASK)));
  });
  e.if(has(e, want, X87), () =>
    e.if(
      has(e, load, X87),
      () => restoreX87(e, at),
      () => resetX87(e),
    ),
  );
  e.if(has(e, want, SSE), () => {
    e.setState32(cpuState.mxcsr.offset, mxcsr);
    e.if(
      has(e, load, SSE),
      () => restoreSse(e, at),
      () => eachXmm(e, (r) => e.setVreg(r, e.vconst(0n, 0n))),
    );
  });
}
function restoreSse(e: RoutineEmitter, at: Var): void {
  eachXmm(e, (r) => {
    word(e, e.get(at));
    e.code.simdMem(SIMD.v128_load, 0, AREA.xmm + 16 * r);
    e.setVreg(r, {} as Vec);
  });
}
function restoreX87(e: RoutineEmitter, at: Var): void {
  const control = e.let(e.or(loadAt(e, at, 2), e.c(0x40)));
  const status = e.let(loadAt(e, at, 2, 2));
  e.setControlWord(e.get(control));
  const pending = e.let(e.and(e.and(status, e.let(e.not(control))), e.c(0x3f)));
  const summary = e.let(e.mul(e.bool(e.ne(e.get(pending), e.c(0))), e.c(SUMMARY)));
  e.setStatusWord(e.or(e.and(e.get(status), e.c(~SUMMARY)), summary));
  e.setUsed(loadAt(e, at, 2, 4));
  setField(e, cpuState.fop, 2, e.and(loadAt(e, at, 2, 6), e.c(0x7ff)));
  e.setState64(cpuState.fip.offset, pointer(e, loadAt(e, at, 8, AREA.pointer)));
  e.setState64(cpuState.fdp.offset, pointer(e, loadAt(e, at, 8, AREA.data)));
  eachRegister(e, status, (register, place) => {
    storeAt(e, register, 8, e.let(loadAt(e, at, 8, place)), FPR);
    storeAt(e, register, 2, e.let(loadAt(e, at, 2, place + 8)), FPR + 8);
  });
}
function resetX87(e: RoutineEmitter): void {
  e.setControlWord(e.c(CONTROL_RESET));
  e.setStatusWord(e.c(0));
  e.setUsed(e.c(0));
  setField(e, cpuState.fop, 2, e.c(0));
  e.setState64(cpuState.fip.offset, e.c(0));
  e.setState64(cpuState.fdp.offset, e.c(0));
  for (let k = 0; k < 16; k++) e.setState64(FPR + 8 * k, e.c(0));
}

/** Machine address of the word that LDMXCSR and STMXCSR access. */
function controlWord(e: RoutineEmitter, kind: number): Var {
  e.slowIf(e.ne(e.and(e.state32(cpuState.cr0.offset), e.c(CR0_EM | CR0_TS)), e.c(0)));
  e.slowIf(e.eqz(e.and(e.state32(cpuState.cr4.offset), e.c(CR4_OSFXSR))));
  const linear = operandAddress(e);
  e.slowIf(e.gtu(e.and(e.get(linear), e.c(4095)), e.c(4096 - 4)));
  return translated(e, linear, kind);
}
function loadMxcsr(e: RoutineEmitter): void {
  const v = e.let(loadAt(e, controlWord(e, KIND_READ), 4));
  e.slowIf(e.gtu(e.get(v), e.c(MXCSR_MASK)));
  e.setState32(cpuState.mxcsr.offset, v);
}

function fxArea(e: RoutineEmitter, kind: number): Var {
  e.slowIf(e.ne(e.and(e.state32(cpuState.cr0.offset), e.c(CR0_EM | CR0_TS)), e.c(0)));
  return piece(e, kind, FX_SIZE, 16);
}
function fxsave(e: RoutineEmitter): void {
  const at = fxArea(e, KIND_WRITE);
  saveX87(e, at, controlWords(e));
  saveMxcsr(e, at);
  saveSse(e, at);
}
function fxrstor(e: RoutineEmitter): void {
  const at = fxArea(e, KIND_READ);
  const mxcsr = e.let(loadAt(e, at, 4, AREA.mxcsr));
  e.slowIf(e.gtu(e.get(mxcsr), e.c(MXCSR_MASK)));
  restoreX87(e, at);
  restoreSse(e, at);
  e.setState32(cpuState.mxcsr.offset, mxcsr);
}

export const STATE_ROUTINES: readonly SystemRoutine[] = [
  systemRoutine('xsave', save),
  systemRoutine('xrstor', restore),
  systemRoutine('fxsave', fxsave),
  systemRoutine('fxrstor', fxrstor),
  systemRoutine('ldmxcsr', loadMxcsr),
  systemRoutine('stmxcsr', (e) => storeAt(e, controlWord(e, KIND_WRITE), 4, e.let(e.mxcsr()))),
];
