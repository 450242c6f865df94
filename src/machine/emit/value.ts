/**
 * The semantics' algebra of numbers as WebAssembly: labels, locals, operations. Where operands are is for the classes
 * that extend this. Locals: the named ones, then a pool that each instruction starts afresh.
 */
import { Code } from '../../wasm/code.ts';
import { F32, F64, I32, I64, V128, type ValType } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import type { Bin, Size, Un, V32, V64, Var } from '../../x86/sem/sem.ts';

export const LOCAL = {
  cpu: 0,
  rp: 1,
  fuel: 2,
  bn: 3,
  ic: 4,
  ha: 5,
  ti: 6,
  kind: 7,
  code: 8,
  c32: 9,
  /** What `ctx` turns in the place of a TLB's entry, see tlbPlace. */
  turn: 10,
  ea: 11,
  lip: 12,
  ctx: 13,
  w1: 14,
  w2: 15,
} as const;
const FIRST_POOL = 16;
const POOL64 = 40;
export const POOLV = 12;
export const FIRST_V = FIRST_POOL + POOL64;
export const VW = FIRST_V + POOLV;
export const POOLF = 6;
export const FIRST_F = { 4: VW + 1, 8: VW + 1 + POOLF } as const;
/** Number of locals, parameters included: where an engine's own begin. */
export const LOCAL_COUNT = VW + 1 + 2 * POOLF;
/** Types of the locals after the three parameters. */
export const LOCAL_TYPES: ValType[] = [
  ...Array<ValType>(LOCAL.ea - 3).fill(I32),
  ...Array<ValType>(FIRST_V - LOCAL.ea).fill(I64),
  ...Array<ValType>(POOLV + 1).fill(V128),
  ...Array<ValType>(POOLF).fill(F32),
  ...Array<ValType>(POOLF).fill(F64),
];

const V = {} as V64;
const B = {} as V32;

/** What branches name; numbers are a region's own. */
export type Label = 'leave' | 'slow' | 'miss' | 'outer' | 'jump' | 'next' | 'handler' | 'inner' | number;

export class ValueEmitter {
  readonly code = new Code();
  protected readonly labels: Label[] = [];
  protected pool = 0;
  protected vpool = 0;
  protected fpool = 0;
  open(label: Label, opcode: number = OP.block): void {
    this.code.open(opcode);
    this.labels.push(label);
  }
  end(): void {
    this.code.end();
    this.labels.pop();
  }
  protected depth(label: Label): number {
    const at = this.labels.lastIndexOf(label);
    if (at < 0) throw new Error(`no enclosing ${label}`);
    return this.labels.length - 1 - at;
  }
  br(label: Label): void {
    this.code.br(this.depth(label));
  }
  brIf(label: Label): void {
    this.code.brIf(this.depth(label));
  }
  /** Leaves a token in `local`; a Var stays where it is. */
  protected take(local: number, v: V64 | Var): void {
    if (!('slot' in v)) this.code.set(local);
  }
  protected slot(local: number, v: V64 | Var): number {
    return 'slot' in v ? v.slot : local;
  }
  protected push(v: V64 | Var): void {
    if ('slot' in v) this.code.get(v.slot);
  }
  /** Takes from a budget in a local; pushes whether that was used up. */
  spend(local: number, n = 1): void {
    const { code } = this;
    code.get(local);
    code.i32(n);
    code.op(OP.i32_sub);
    code.tee(local);
    code.i32(0);
    code.op(OP.i32_lt_s);
  }
  c(n: number): V64 {
    this.code.i64(n);
    return V;
  }
  big(n: bigint): V64 {
    this.code.i64big(n);
    return V;
  }
  let(_v: V64): Var {
    if (this.pool === POOL64) throw new Error('out of pool locals');
    const slot = FIRST_POOL + this.pool++;
    this.code.set(slot);
    return { slot };
  }
  get(x: Var): V64 {
    this.code.get(x.slot);
    return V;
  }
  set(x: Var, _v: V64): void {
    this.code.set(x.slot);
  }
  protected bin(opcode: number): Bin<never> {
    return ((a: V64 | Var, b: V64 | Var) => {
      this.push(a);
      this.push(b);
      this.code.op(opcode);
      return V;
    }) as unknown as Bin<never>;
  }
  protected un(opcode: number): Un<never> {
    return ((a: V64 | Var) => {
      this.push(a);
      this.code.op(opcode);
      return V;
    }) as unknown as Un<never>;
  }
  readonly add = this.bin(OP.i64_add);
  readonly sub = this.bin(OP.i64_sub);
  readonly mul = this.bin(OP.i64_mul);
  readonly and = this.bin(OP.i64_and);
  readonly or = this.bin(OP.i64_or);
  readonly xor = this.bin(OP.i64_xor);
  readonly shl = this.bin(OP.i64_shl);
  readonly shru = this.bin(OP.i64_shr_u);
  readonly shrs = this.bin(OP.i64_shr_s);
  readonly rotl = this.bin(OP.i64_rotl);
  readonly divu = this.bin(OP.i64_div_u);
  readonly divs = this.bin(OP.i64_div_s);
  readonly remu = this.bin(OP.i64_rem_u);
  readonly rems = this.bin(OP.i64_rem_s);
  readonly eq = this.bin(OP.i64_eq);
  readonly ne = this.bin(OP.i64_ne);
  readonly ltu = this.bin(OP.i64_lt_u);
  readonly lts = this.bin(OP.i64_lt_s);
  readonly gtu = this.bin(OP.i64_gt_u);
  readonly eqz = this.un(OP.i64_eqz);
  readonly clz = this.un(OP.i64_clz);
  readonly ctz = this.un(OP.i64_ctz);
  readonly popcnt = this.un(OP.i64_popcnt);
  rotl32(a: Var, n: Var): V64 {
    for (const v of [a, n]) {
      this.code.get(v.slot);
      this.code.op(OP.i32_wrap_i64);
    }
    this.code.op(OP.i32_rotl);
    this.code.op(OP.i64_extend_i32_u);
    return V;
  }
  not(a: V64 | Var): V64 {
    this.push(a);
    this.code.i64(-1);
    this.code.op(OP.i64_xor);
    return V;
  }
  sx(a: V64 | Var, z: Size): V64 {
    this.push(a);
    if (z !== 8) this.code.op(z === 1 ? OP.i64_extend8_s : z === 2 ? OP.i64_extend16_s : OP.i64_extend32_s);
    return V;
  }
  zx(a: V64 | Var, z: Size): V64 {
    this.push(a);
    if (z === 4) {
      this.code.op(OP.i32_wrap_i64);
      this.code.op(OP.i64_extend_i32_u);
    } else if (z !== 8) {
      this.code.i64big((1n << BigInt(8 * z)) - 1n);
      this.code.op(OP.i64_and);
    }
    return V;
  }
  bool(_c: V32): V64 {
    this.code.op(OP.i64_extend_i32_u);
    return V;
  }
  notBool(_c: V32): V32 {
    this.code.op(OP.i32_eqz);
    return B;
  }
  andBool(_a: V32, _b: V32): V32 {
    this.code.op(OP.i32_and);
    return B;
  }
  orBool(_a: V32, _b: V32): V32 {
    this.code.op(OP.i32_or);
    return B;
  }
  select(a: V64 | Var, b: V64 | Var, _c: V32): V64 {
    if ('slot' in a && 'slot' in b) {
      this.code.set(LOCAL.c32);
      this.code.get(a.slot);
      this.code.get(b.slot);
      this.code.get(LOCAL.c32);
    }
    this.code.op(OP.select);
    return V;
  }
  if(_c: V32, then: () => void, otherwise?: () => void): void {
    this.open('inner', OP.if);
    this.branch(then);
    if (otherwise) {
      this.code.op(OP.else);
      this.branch(otherwise);
    }
    this.end();
  }
  private branch(body: () => void): void {
    const { pool, vpool, fpool } = this;
    body();
    this.pool = pool;
    this.vpool = vpool;
    this.fpool = fpool;
  }
  loop(body: () => V32): void {
    this.open('inner', OP.loop);
    body();
    this.brIf('inner');
    this.end();
  }
  /** A new instruction: its temporaries start afresh. */
  protected resetPools(): void {
    this.pool = 0;
    this.vpool = 0;
    this.fpool = 0;
  }
}
