/** The locals of a region: registers for the whole of it, temporaries for an instruction. Numbered as they come. */
import { I32, I64, V128, type ValType } from '../../wasm/module.ts';
import { LOCAL } from '../emit/access.ts';

const FIRST = LOCAL.w2 + 1;

export interface Register {
  readonly local: number;
  written: boolean;
}

export class Locals {
  /** Types of the locals from FIRST on. */
  readonly types: ValType[] = [];
  /** By offset in the vCPU's state, and from `xmm`. */
  readonly registers = new Map<number, Register>();
  readonly vectors = new Map<number, Register>();
  /** rip of the first byte of the base page; where the region is left, of the page it is left on. */
  readonly base = this.add(I64);
  readonly leftBase = this.add(I64);
  /** What a dispatcher goes by. */
  readonly select = this.add(I32);
  private readonly pools = new Map<ValType, { free: number[]; used: number }>();
  private readonly pinned = new Set<number>();

  private add(type: ValType): number {
    return FIRST + this.types.push(type) - 1;
  }

  register(offset: number, written = false): number {
    return find(this.registers, offset, written, () => this.add(I64));
  }
  vector(offset: number, written = false): number {
    return find(this.vectors, offset, written, () => this.add(V128));
  }

  temporary(type: ValType): number {
    let pool = this.pools.get(type);
    if (!pool) this.pools.set(type, (pool = { free: [], used: 0 }));
    while (pool.used < pool.free.length && this.pinned.has(pool.free[pool.used] as number)) pool.used++;
    if (pool.used === pool.free.length) pool.free.push(this.add(type));
    return pool.free[pool.used++] as number;
  }
  /** The instruction's temporaries can be used again, but for those that are pinned. */
  release(): void {
    for (const pool of this.pools.values()) pool.used = 0;
  }
  /** These stay as they are, others no more. */
  pin(locals: readonly number[]): void {
    this.pinned.clear();
    for (const l of locals) this.pinned.add(l);
  }
}

function find(registers: Map<number, Register>, offset: number, written: boolean, add: () => number): number {
  let r = registers.get(offset);
  if (!r) registers.set(offset, (r = { local: add(), written: false }));
  if (written) r.written = true;
  return r.local;
}
