/** The semantics' algebra with a record's fields known, memory: accesses near one that has been translated. */
import { OP } from '../../wasm/opcodes.ts';
import type { V32, V64 } from '../../x86/sem/sem.ts';
import { LOCAL } from '../emit/access.ts';
import { KIND_READ } from '../interp/record.ts';
import type { Address, Anchor } from './addresses.ts';
import { RegionFlags } from './region-flags.ts';

const V = {} as V64;

export abstract class RegionMemory extends RegionFlags {
  /** The record's access, where what is known of addresses is good for it and stays so. */
  nearAccess(size: number, kind: number, aligned: boolean): void {
    const write = kind !== KIND_READ;
    const address = this.addresses.of(this.record, this.page);
    const near = address && this.addresses.near(address, size, write);
    if (address && near) return this.reachFrom(near, address, size, kind, aligned);
    if (address) this.ha = this.locals.anchor(this.addresses.remember(address, size, write));
    this.reach(size, kind, aligned, this.ha);
  }

  /** Near an access that has been translated; on another page it is translated itself. */
  private reachFrom(anchor: Anchor, { add }: Address, size: number, kind: number, aligned: boolean): void {
    const { code } = this;
    const from = this.locals.anchor(anchor.place);
    const by = add - anchor.at;
    const within = by >= 0 && by + size <= anchor.size;
    if (within && by === 0) this.ha = from;
    else {
      code.get(from);
      code.i32(by);
      code.op(OP.i32_add);
      code.set(LOCAL.ha);
    }
    if (aligned) this.slowIf(this.misaligned(size));
    if (within) return;
    // its last byte, or its first where it is below the anchor, is on another page
    code.get(LOCAL.ha);
    if (by >= 0) {
      code.i32(size - 1);
      code.op(OP.i32_add);
    }
    code.get(from);
    code.op(OP.i32_xor);
    code.i32(4095);
    code.op(OP.i32_gt_u);
    this.open('inner', OP.if);
    this.reach(size, kind, false);
    this.end();
  }
  private misaligned(size: number): V32 {
    this.code.get(this.ha);
    this.code.op(OP.i64_extend_i32_u);
    this.and(V, this.c(size - 1));
    return this.ne(V, this.c(0));
  }
}
