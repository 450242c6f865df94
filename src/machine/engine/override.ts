/**
 * Accesses that the TLB cannot serve: across two pages, to a device, to a page that holds code, locked and misaligned.
 *
 * Such an instruction is run on its own. Its operand is first copied into a scratch buffer, a TLB entry is bent so that
 * exactly this access lands there, and afterwards what it wrote is copied to where it belongs. So every instruction has
 * these cases without knowing of them, a device is read and written once, and nothing is written before all is checked.
 */
import { cpuState } from '../cpu-state.ts';
import { KIND_ATOMIC, KIND_READ, KIND_WRITE, TLB_READ, TLB_WRITE, tlbPlace } from '../interp/record.ts';
import type { Core } from './core.ts';
import { HIGH } from './registers.ts';

interface Override {
  entry: number;
  linear: number;
  size: number;
  write: boolean;
  buffer: number;
}

const BUFFERS = cpuState.scratch.offset + 384;

export class Overrides {
  private readonly c: Core;
  private readonly list: Override[] = [];

  constructor(c: Core) {
    this.c = c;
  }

  begin(): void {
    this.list.length = 0;
  }

  /** Redirects the access at `linear`; faults if any part of it would. */
  add(linear: number, kind: number): void {
    const { c } = this;
    const size = kind >>> 8;
    const how = kind & 255;
    const write = how !== KIND_READ;
    if (this.list.length === 2) throw new Error('an instruction with more than two odd accesses');
    if (write) c.probeWrite(linear, size);
    // a device is read only by what reads
    if (how !== KIND_WRITE) c.load(linear, size);
    else for (let k = 0; k < size; k++) c.buf.setUint8(k, 0);
    const buffer = c.cpu + BUFFERS + this.list.length * 64;
    for (let k = 0; k < size; k++) c.m.setU8(buffer + k, c.buf.getUint8(k));
    this.list.push({ entry: this.bend(linear, size, how, buffer), linear, size, write, buffer });
  }

  /** Makes the TLB slot of the address match this one access. Answers the entry's address. */
  private bend(linear: number, size: number, how: number, buffer: number): number {
    const { c } = this;
    const { m, cpu } = c;
    const tlb = how === KIND_READ ? TLB_READ : TLB_WRITE;
    const entry = cpu + tlb + tlbPlace(linear, c.get32(cpuState.tlbCtx)) * 16;
    // the address as the interpreter has it: not wrapped in legacy modes
    const lo = m.u32(cpu + cpuState.faultAddr.offset);
    const full = m.s32(cpu + cpuState.faultAddr.offset + 4) * HIGH + lo;
    const tag = how === KIND_ATOMIC ? full - (lo & 0xfff) + (lo & (size - 1)) : tagOf(full + size - 1);
    m.setU32(entry, ((tag >>> 0) | c.get32(cpuState.tlbCtx)) >>> 0);
    m.setU32(entry + 4, Math.floor(tag / HIGH) | 0);
    m.setU32(entry + 8, (buffer - lo) | 0);
    return entry;
  }

  /** Writes back what the instruction stored. */
  commit(): void {
    const { c } = this;
    for (const o of this.list) {
      if (!o.write) continue;
      for (let k = 0; k < o.size; k++) c.buf.setUint8(k, c.m.u8(o.buffer + k));
      c.store(o.linear, o.size);
    }
  }

  end(): void {
    for (const o of this.list) this.c.m.setU32(o.entry, 0);
    this.list.length = 0;
  }
}

function tagOf(linear: number): number {
  return linear - (((linear % 4096) + 4096) % 4096);
}
