/**
 * MOVS and STOS, with and without REP: as much as fits in the pages at hand in one memory.copy or memory.fill, then
 * again from the same record. Backward the last of the elements is the one that is addressed.
 *
 * The record: z in the immediate's low byte, bit 8 set for REP; `seg` of MOVS's source; `mask` of the address size.
 */
import { OP } from '../../wasm/opcodes.ts';
import { DF } from '../../x86/flags.ts';
import { RAX, RCX, RDI, RSI } from '../../x86/sem/common.ts';
import type { V64, Var } from '../../x86/sem/sem.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { LOCAL } from '../emit/access.ts';
import type { RecordEmitter } from '../emit/record-emitter.ts';
import { KIND_READ, KIND_WRITE } from './record.ts';

/** Elements to do now: min(count, what is left of the page) but at least 1; a straddling element leaves by the miss. */
function chunk(e: RecordEmitter, { left, z, back }: Setup, addrs: readonly Var[]): Var {
  const end = e.let(e.or(e.and(e.get(z), back), e.and(e.c(4097), e.not(back))));
  let n = left;
  for (const a of addrs) {
    // what is left is 4096 less the offset in the page, or downwards that and the element
    const inPage = e.xor(e.and(e.get(a), e.c(4095)), e.not(back));
    const room = e.let(e.divu(e.add(inPage, end), e.get(z)));
    const less = e.ltu(room, n);
    n = e.let(e.select(room, n, less));
  }
  const none = e.eqz(n);
  return e.let(e.select(e.let(e.c(1)), n, none));
}

interface Setup {
  z: Var;
  rep: Var;
  left: Var;
  /** All ones: from high addresses to low ones; else 0. */
  back: Var;
}

function setup(e: RecordEmitter): Setup {
  e.beginHandler(['none'], 8);
  const z = e.let(e.and(e.imm(), e.c(15)));
  const rep = e.let(e.shru(e.imm(), e.c(8)));
  const count = e.let(e.and(e.reg(RCX, 8), e.let(e.maskField())));
  const one = e.let(e.c(1));
  const left = e.let(e.select(count, one, e.ne(e.get(rep), e.c(0))));
  e.if(e.eqz(left), () => e.advance());
  const back = e.let(e.sub(e.c(0), e.and(e.shru(e.flagsRest(), e.c(Math.log2(DF))), e.c(1))));
  return { z, rep, left, back };
}

/** Linear address of a string operand into `ea`, and as a Var. */
function address(e: RecordEmitter, reg: number, seg: () => void): Var {
  e.and(e.reg(reg, 8), e.let(e.maskField()));
  seg();
  e.code.op(OP.i64_add);
  return e.let({} as never);
}

/** Element size is only known at run time, the TLB's page-crossing check wants it as a constant: one per size. */
function translateSized(e: RecordEmitter, ea: Var, z: Var, kind: number): void {
  e.code.get(ea.slot);
  e.code.set(LOCAL.ea);
  for (const size of [1, 2, 4, 8] as const) {
    e.if(e.eq(e.get(z), e.c(size)), () => e.translate(size, kind));
  }
}

/** A distance in the direction that the elements go. */
const turned = (e: RecordEmitter, { back }: Setup, v: V64): V64 => e.sub(e.xor(v, back), back);

/** Registers move by n elements; with REP and more to do the record runs again. */
function finish(e: RecordEmitter, s: Setup, n: Var, bytes: Var, regs: readonly number[]): void {
  for (const r of regs) e.setAddressReg(r, e.add(e.reg(r, 8), turned(e, s, e.get(bytes))));
  e.if(e.ne(e.get(s.rep), e.c(0)), () => {
    e.setAddressReg(RCX, e.sub(e.reg(RCX, 8), n));
    e.if(e.ne(e.get(s.left), e.get(n)), () => e.again());
  });
  e.advance();
}

/** Makes the machine addresses of elements, in locals, those of the first of so many bytes. */
function toLowest(e: RecordEmitter, s: Setup, bytes: Var, locals: readonly number[]): void {
  const above = e.let(e.and(e.sub(bytes, s.z), s.back));
  for (const local of locals) {
    e.code.get(local);
    e.code.get(above.slot);
    e.code.op(OP.i32_wrap_i64);
    e.code.op(OP.i32_sub);
    e.code.set(local);
  }
}

const esBase = (e: RecordEmitter) => (): void => {
  e.code.get(LOCAL.cpu);
  e.code.mem(OP.i64_load, 3, cpuState.segBase.offset + 8 * SEG.es);
};

export function emitMovs(e: RecordEmitter): void {
  const s = setup(e);
  const src = address(e, RSI, () => e.segBaseField());
  const dst = address(e, RDI, esBase(e));
  const n = chunk(e, s, [src, dst]);
  const bytes = e.let(e.mul(n, s.z));
  translateSized(e, src, s.z, KIND_READ);
  e.code.get(LOCAL.ha);
  e.code.set(LOCAL.c32);
  translateSized(e, dst, s.z, KIND_WRITE);
  // a destination less than `bytes` ahead of its source repeats a pattern: element by element in the helper
  const gap = e.let(turned(e, s, e.sub(dst, src)));
  const overlaps = e.let(e.bool(e.andBool(e.ltu(gap, bytes), e.ne(e.get(gap), e.c(0)))));
  e.slowIf(e.andBool(e.ne(e.get(overlaps), e.c(0)), e.ne(e.get(n), e.c(1))));
  toLowest(e, s, bytes, [LOCAL.ha, LOCAL.c32]);
  e.code.get(LOCAL.ha);
  e.code.get(LOCAL.c32);
  e.code.get(bytes.slot);
  e.code.op(OP.i32_wrap_i64);
  e.code.memoryCopy();
  finish(e, s, n, bytes, [RSI, RDI]);
}

export function emitStos(e: RecordEmitter): void {
  const s = setup(e);
  const dst = address(e, RDI, esBase(e));
  const n = chunk(e, s, [dst]);
  const bytes = e.let(e.mul(n, s.z));
  translateSized(e, dst, s.z, KIND_WRITE);
  toLowest(e, s, bytes, [LOCAL.ha]);
  const v = e.let(e.reg(RAX, 8));
  const b = e.let(e.and(e.get(v), e.c(255)));
  // the usual fill is of equal bytes; otherwise the first element is stored and the chunk copied upwards by doubling
  const all = e.mul(e.get(b), e.big(0x0101_0101_0101_0101n));
  const same = e.eqz(e.shl(e.xor(all, v), e.sub(e.c(64), e.shl(e.get(s.z), e.c(3)))));
  e.if(
    same,
    () => {
      e.code.get(LOCAL.ha);
      e.code.get(b.slot);
      e.code.op(OP.i32_wrap_i64);
      e.code.get(bytes.slot);
      e.code.op(OP.i32_wrap_i64);
      e.code.memoryFill();
    },
    () => pattern(e, s, v, bytes),
  );
  finish(e, s, n, bytes, [RDI]);
}

function pattern(e: RecordEmitter, s: Setup, v: Var, bytes: Var): void {
  const { code } = e;
  for (const [size, store] of [
    [2, OP.i64_store16],
    [4, OP.i64_store32],
    [8, OP.i64_store],
  ] as const)
    e.if(e.eq(e.get(s.z), e.c(size)), () => {
      code.get(LOCAL.ha);
      code.get(v.slot);
      code.mem(store, 0, 0);
    });
  const done = e.let(e.get(s.z));
  e.open('inner', OP.loop);
  e.if(e.ltu(done, bytes), () => {
    const rest = e.let(e.sub(bytes, done));
    const m = e.let(e.select(done, rest, e.ltu(done, rest)));
    code.get(LOCAL.ha);
    code.get(done.slot);
    code.op(OP.i32_wrap_i64);
    code.op(OP.i32_add);
    code.get(LOCAL.ha);
    code.get(m.slot);
    code.op(OP.i32_wrap_i64);
    code.memoryCopy();
    e.set(done, e.add(done, m));
    code.br(1);
  });
  e.end();
}

/** r1 += the byte offset of the word of `imm` bytes in which bit number r2 (signed) lies. */
export function emitBitAddress(e: RecordEmitter): void {
  e.beginHandler(['r1', 'r2'], 8);
  const z = e.let(e.imm());
  const log = e.let(e.ctz(z));
  // sign-extend the bit number from its operand size
  const unused = e.let(e.sub(e.c(64), e.shl(e.get(z), e.c(3))));
  const bit = e.let(e.shrs(e.shl(e.read(1, 8), unused), unused));
  const units = e.shrs(e.get(bit), e.add(e.get(log), e.c(3)));
  const bytes = e.let(e.shl(units, log));
  e.write(8, e.add(e.read(0, 8), bytes));
  e.advance();
}
