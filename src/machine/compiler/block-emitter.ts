/**
 * The semantics' algebra with every operand known: what the compiler is made of. General registers live in locals, and
 * constants, addresses and the next rip are folded into the code.
 *
 * A block is left where it is left: at a miss, a jump or an instruction for the helper rip is set and all registers that
 * the block writes go back to the record, so state is precise at every instruction.
 */

import { OP } from '../../wasm/opcodes.ts';
import { BASE_RIP, type Insn, NO_REG, OPK, type Operand } from '../../x86/insn.ts';
import type { Flt, FltSize, FltVar, Size, V32, V64, Var, Vec, VecVar } from '../../x86/sem/sem.ts';
import { cpuState, SEG, SEG_NONE } from '../cpu-state.ts';
import { AccessEmitter, LOCAL, LOCAL_COUNT } from '../emit/access.ts';
import { LEAVE } from '../interp/record.ts';

const V = {} as V64;
/** Local of general register r. */
const gprLocal = (r: number): number => LOCAL_COUNT + r;
export const GPR_LOCALS = 16;

export class BlockEmitter extends AccessEmitter {
  /** Registers that are read before they are written, or written in part; and those written. */
  used = 0;
  written = 0;
  private insn: Insn = undefined as never;
  private rip = 0n;
  private retired = 0;

  /** The next instruction: at `rip`, the `n`th of the block. */
  begin(insn: Insn, rip: bigint, n: number): void {
    this.insn = insn;
    this.rip = rip;
    this.retired = n;
    this.resetPools();
  }

  // --- leaving -----------------------------------------------------------------------------------------------------

  /** Leaves with rip where it says, `retired` instructions done. */
  private leave(rip: bigint, why: number, retired: number): void {
    this.code.i64big(rip);
    this.code.set(LOCAL.lip);
    this.leaveAt(why, retired);
  }
  private leaveAt(why: number, retired: number): void {
    this.code.i32(retired);
    this.code.set(LOCAL.ic);
    this.code.i32(why);
    this.code.set(LOCAL.code);
    this.br('leave');
  }
  protected override onMiss(): void {
    this.open('inner', OP.if);
    this.leave(this.rip, LEAVE.miss, this.retired);
    this.end();
  }
  slowIf(_c: V32): void {
    this.open('inner', OP.if);
    this.leave(this.rip, LEAVE.helper, this.retired);
    this.end();
  }
  /** After the last instruction: on to what follows. */
  fallThrough(): void {
    this.leave(this.next(), LEAVE.stop, this.retired + 1);
  }
  private next(): bigint {
    return BigInt.asUintN(64, this.rip + BigInt(this.insn.length));
  }
  nextRip(): V64 {
    return this.big(BigInt.asIntN(64, this.next()));
  }
  jumpRel(): void {
    this.leave(BigInt.asIntN(64, this.next() + BigInt(this.insn.imm)), LEAVE.stop, this.retired + 1);
  }
  jump(v: V64 | Var): void {
    this.push(v);
    this.code.set(LOCAL.lip);
    this.leaveAt(LEAVE.stop, this.retired + 1);
  }

  /** The tail that every way out shares: registers, rip and counts go back to the record. */
  epilogue(): void {
    const { code } = this;
    for (let r = 0; r < GPR_LOCALS; r++) {
      if ((this.written & (1 << r)) === 0) continue;
      code.get(LOCAL.cpu);
      code.get(gprLocal(r));
      code.mem(OP.i64_store, 3, r * 8);
    }
    code.get(LOCAL.cpu);
    code.get(LOCAL.lip);
    code.mem(OP.i64_store, 3, cpuState.rip.offset);
    this.storeExit();
    code.get(LOCAL.code);
  }
  /** Loads what the block needs; to be put before its body. */
  prologue(): void {
    const { code } = this;
    code.get(LOCAL.cpu);
    code.mem(OP.i64_load, 3, cpuState.tlbCtx.offset);
    code.set(LOCAL.ctx);
    for (let r = 0; r < GPR_LOCALS; r++) {
      if (((this.used | this.written) & (1 << r)) === 0) continue;
      code.get(LOCAL.cpu);
      code.mem(OP.i64_load, 3, r * 8);
      code.set(gprLocal(r));
    }
  }

  // --- operands ----------------------------------------------------------------------------------------------------

  effectiveAddress(): V64 {
    const { insn: i, code } = this;
    if (i.base === BASE_RIP) return this.big(BigInt.asIntN(64, this.next() + BigInt(i.disp)));
    this.c(i.disp);
    if (i.base !== NO_REG) {
      this.register(i.base);
      code.op(OP.i64_add);
    }
    if (i.index !== NO_REG) {
      this.register(i.index);
      this.c(i.scale);
      code.op(OP.i64_shl);
      code.op(OP.i64_add);
    }
    return i.addrSize === 8 ? V : this.zx(V, i.addrSize as Size);
  }
  protected segmentBase(): boolean {
    const { seg } = this.insn;
    if (seg !== SEG.fs && seg !== SEG.gs) return false;
    this.code.get(LOCAL.cpu);
    this.code.mem(OP.i64_load, 3, cpuState.segBase.offset + 8 * (seg ?? SEG_NONE));
    return true;
  }
  private register(r: number): void {
    this.used |= 1 << r;
    this.code.get(gprLocal(r));
  }

  read(i: number, z: Size): V64 {
    const o = this.insn.operands[i] as Operand;
    if (o.kind === OPK.imm) return this.imm();
    if (o.kind === OPK.mem) return this.memRead(0, z);
    this.register(o.reg & 15);
    if (o.reg >= 16) {
      this.c(8);
      this.code.op(OP.i64_shr_u);
    }
    return this.sx(V, z);
  }
  write(z: Size, v: V64 | Var): void {
    this.writeTo(this.insn.operands[0] as Operand, z, v);
  }
  writeSrc(z: Size, v: V64 | Var): void {
    this.writeTo(this.insn.operands[1] as Operand, z, v);
  }
  private writeTo(o: Operand, z: Size, v: V64 | Var): void {
    if (o.kind === OPK.mem) return this.memWrite(0, z, v);
    this.assign(o.reg & 15, z, v, o.reg >= 16 ? 8 : 0);
  }
  /** Into a register's local: all of it for 8 and 4 bytes, else the part at bit `at`. */
  private assign(r: number, z: Size, v: V64 | Var, at = 0): void {
    const { code } = this;
    this.written |= 1 << r;
    if (z >= 4) {
      this.push(v);
      this.zx(V, z);
      return code.set(gprLocal(r));
    }
    const mask = ((1n << BigInt(8 * z)) - 1n) << BigInt(at);
    this.push(v);
    const value = this.let(V);
    this.register(r);
    this.big(BigInt.asIntN(64, ~mask));
    code.op(OP.i64_and);
    this.shl(this.get(value), this.c(at));
    this.big(BigInt.asIntN(64, mask));
    code.op(OP.i64_and);
    code.op(OP.i64_or);
    code.set(gprLocal(r));
  }
  reg(r: number, z: Size): V64 {
    this.register(r);
    return this.sx(V, z);
  }
  setReg(r: number, z: Size, v: V64 | Var): void {
    this.assign(r, z, v);
  }
  imm(): V64 {
    return this.big(BigInt.asIntN(64, (BigInt(this.insn.immHi) << 32n) | BigInt(this.insn.imm >>> 0)));
  }
  imm8(): V64 {
    return this.c(this.insn.imm & 255);
  }
  stackAdd(_z: Size, by: number): void {
    this.register(4);
    this.c(by);
    this.assign(4, 8, this.add(V, V));
  }
  stackAddVar(_z: Size, by: Var): void {
    this.register(4);
    this.assign(4, 8, this.add(V, by));
  }
  // vector operands are outside the family that is compiled
  vread(_i: number): Vec {
    return this.outside();
  }
  vwrite(_v: Vec | VecVar): void {
    this.outside();
  }
  fread(_i: number, _f: FltSize): Flt {
    return this.outside();
  }
  fwrite(_v: FltVar): void {
    this.outside();
  }
  private outside(): never {
    throw new Error('an operand that compiled blocks do not have');
  }
}
