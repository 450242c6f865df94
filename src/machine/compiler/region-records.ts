/** What the records of a region do, one after the other. */
import type { Mem } from '../../base/mem.ts';
import type { Size } from '../../x86/sem/sem.ts';
import { accessKind } from '../emit/access.ts';
import { HANDLERS, type Handler, SPECIAL, type Special } from '../interp/handlers.ts';
import { KIND_RMW, LEAVE, REC } from '../interp/record.ts';
import { isPlain } from '../interp/routine-list.ts';
import { emitBitAddress, emitMovs, emitStos } from '../interp/strings.ts';
import { constantChange, keepsTlb } from './addresses.ts';
import type { RegionEmitter } from './region-emitter.ts';

export class RegionRecords {
  private readonly mem: Mem;
  private readonly e: RegionEmitter;

  constructor(mem: Mem, e: RegionEmitter) {
    this.mem = mem;
    this.e = e;
  }

  /** A record of a block on a page, with `done` instructions of the block before it. */
  emit(r: number, page: number, done: number): void {
    const { e, mem } = this;
    const index = mem.u16(r + REC.handler);
    if (index < SPECIAL.length) {
      e.begin(r, page, done, ['r1', 'mem'], 8);
      return this.special(r, SPECIAL[index] as Special);
    }
    const h = HANDLERS[index - SPECIAL.length] as Handler;
    e.begin(r, page, done, h.places, h.z);
    if (h.places.includes('mem')) this.access(h);
    const change = constantChange(mem, r, h, e.addresses);
    h.semantics.fn(e, h.z, h.s);
    if (change) e.addresses.become(change.register, change.from, change.by);
    if (!keepsTlb(h)) e.addresses.forget();
  }
  private access(h: Handler): void {
    const dst = h.places[0] === 'mem';
    const rw = h.semantics.dst as 'r' | 'w' | 'rw';
    const locked = h.name.startsWith('lock.');
    // these want the linear address, or more than one access
    if (locked || h.name === 'cmpxchgPair' || !keepsTlb(h))
      return this.e.access(h.memSize, dst, rw, locked, h.aligned);
    this.e.nearAccess(h.memSize, accessKind(dst, rw, locked), h.aligned);
  }

  private special(r: number, name: Special): void {
    const { e, mem } = this;
    switch (name) {
      case 'helper':
        return e.leaveHere(LEAVE.helper);
      case 'routine':
        return isPlain(mem.u32(r + REC.slot)) ? e.routine() : e.leaveHere(LEAVE.resume);
      case 'loadRmw':
        return this.loadRmw(e.immediate as Size);
      case 'bitAddress':
      case 'movs':
      case 'stos':
        return this.string(name);
      default:
        return e.leaveHere(LEAVE.resume);
    }
  }
  private string(name: 'bitAddress' | 'movs' | 'stos'): void {
    const { e } = this;
    e.branching(() => {
      e.open('handler');
      if (name === 'movs') emitMovs(e);
      else if (name === 'stos') emitStos(e);
      else emitBitAddress(e);
      e.end();
    });
  }
  private loadRmw(z: Size): void {
    const { e } = this;
    e.nearAccess(z, KIND_RMW, false);
    e.write(z, e.read(1, z));
  }
}
