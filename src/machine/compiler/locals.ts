/** The locals of a region: registers for the whole of it, temporaries for an instruction. Numbered as they come. */
import { I32, I64, V128, type ValType } from '../../wasm/module.ts';
import { LOCAL } from '../emit/access.ts';

const FIRST = LOCAL.w2 + 1;

export class Locals {
  /** Types of the locals from FIRST on. */
  readonly types: ValType[] = [];
  /** By offset in the vCPU's state, and from `xmm`. */
  private readonly registers = new Map<number, number>();
  private readonly vectors = new Map<number, number>();
  /** rip of the first byte of the base page; where the region is left, of the page it is left on. */
  readonly base = this.add(I64);
  readonly leftBase = this.add(I64);
  /** What a dispatcher goes by. */
  readonly select = this.add(I32);
  private readonly anchors: number[] = [];
  private readonly pools = new Map<ValType, { free: number[]; used: number }>();
  private readonly pinned = new Set<number>();

  private add(type: ValType): number {
    return FIRST + this.types.push(type) - 1;
  }

  register(offset: number): number {
    return this.find(this.registers, offset, I64);
  }
  vector(offset: number): number {
    return this.find(this.vectors, offset, V128);
  }
  private find(locals: Map<number, number>, offset: number, type: ValType): number {
    let local = locals.get(offset);
    if (local === undefined) locals.set(offset, (local = this.add(type)));
    return local;
  }

  /** Where the machine address of an access is remembered. */
  anchor(place: number): number {
    this.anchors[place] ??= this.add(I32);
    return this.anchors[place];
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
