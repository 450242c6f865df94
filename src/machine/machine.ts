/**
 * The bare machine: memory, frame table, frame allocator, pending words of the physical CPUs.
 *
 *   0         one page never handed out, so that address 0 can mean "none"
 *   0x1000    machine header (locks, allocator state)
 *   ...       frame bitmap, frame table, then free frames up to `size`
 *
 * The memory grows as frames are first handed out. All of this state is in machine memory, under the allocator's lock,
 * so any thread can allocate.
 */
import { n64, struct, u16, u32 } from '../base/layout.ts';
import { Mem } from '../base/mem.ts';
import { lock, unlock } from './lock.ts';

export interface WasmMemory {
  readonly buffer: SharedArrayBuffer;
  grow(pages: number): number;
}

const header = struct('machine_header', {
  magic: u32,
  allocLock: u32,
  size: n64,
  frames: u32,
  freeFrames: u32,
  hint: u32,
  bitmap: u32,
  frameTable: u32,
  /** For the layer above: the address of its own root record. */
  root: u32,
  rootLock: u32,
});

/** Owner of a frame that belongs to no domain: free or the hypervisor's own. */
export const OWNER_NONE = 0xffff;

/** One record per machine frame. */
export const frameInfo = struct('frame_info', {
  owner: u16,
  flags: u16,
  /** References: 1 for the owner's p2m entry, more for grant and foreign maps. */
  count: u32,
  /** PV page type and its count. */
  typeInfo: u32,
  /** 64-byte lines of the frame (bit i of the pair) that hold translated code. */
  codeLo: u32,
  codeHi: u32,
  reserved: u32,
  reserved2: u32,
  reserved3: u32,
});

/** frameInfo.flags: the frame may be in a write TLB. */
export const FRAME_WRITTEN = 1;
/** frameInfo.flags of a free frame: it has been used. */
const FRAME_DIRTY = 0x4000;

const HEADER = 0x1000;
/** Where the address of the frame table is. */
export const FRAME_TABLE_AT = header.frameTable.addr(HEADER);
const MAGIC = 0x444d5a30;
const GROW_BYTES = 16 << 20;

export class OutOfFrames extends Error {}

export class Machine {
  readonly memory: WasmMemory;
  readonly mem: Mem;
  /** Asked before the memory grows; answers bytes the host can still give. */
  available: () => number = () => Number.POSITIVE_INFINITY;

  private constructor(memory: WasmMemory) {
    this.memory = memory;
    this.mem = new Mem(() => memory.buffer);
  }

  /** Takes a fresh memory as a machine of `size` bytes (a multiple of 4 MiB, at most 4 GiB). */
  static create(memory: WasmMemory, size: number): Machine {
    const m = new Machine(memory);
    const frames = size / 4096;
    const bitmap = HEADER + 0x1000;
    const bitmapBytes = frames / 8;
    const table = bitmap + bitmapBytes;
    const end = table + frames * frameInfo.$.size;
    m.ensure(end);
    const { mem } = m;
    header.size.set(mem, HEADER, size);
    header.frames.set(mem, HEADER, frames);
    header.bitmap.set(mem, HEADER, bitmap);
    header.frameTable.set(mem, HEADER, table);
    header.freeFrames.set(mem, HEADER, frames);
    const first = Math.ceil(end / 4096);
    for (let f = 0; f < first; f++) m.mark(f, true);
    for (let f = 0; f < frames; f++) frameInfo.owner.set(mem, m.frame(f), OWNER_NONE);
    header.hint.set(mem, HEADER, first);
    header.freeFrames.set(mem, HEADER, frames - first);
    header.magic.set(mem, HEADER, MAGIC);
    return m;
  }

  /** Another thread's view of a machine made by `create`. */
  static attach(memory: WasmMemory): Machine {
    const m = new Machine(memory);
    if (header.magic.get(m.mem, HEADER) !== MAGIC) throw new Error('not a machine memory');
    return m;
  }

  /** The memory's maximum in 64 KiB pages, as it was created. */
  get maxPages(): number {
    return Math.ceil(this.size / 65536);
  }
  get size(): number {
    return header.size.get(this.mem, HEADER);
  }
  get totalFrames(): number {
    return header.frames.get(this.mem, HEADER);
  }
  get freeFrames(): number {
    return header.freeFrames.get(this.mem, HEADER);
  }
  /** Machine address of the layer above's root record, 0 before it sets one. */
  get root(): number {
    return header.root.get(this.mem, HEADER);
  }
  set root(addr: number) {
    header.root.set(this.mem, HEADER, addr);
  }
  /** Address of the lock word of the layer above. */
  get rootLock(): number {
    return header.rootLock.addr(HEADER);
  }

  /** Address of the frame_info record of a frame. */
  frame(mfn: number): number {
    return header.frameTable.get(this.mem, HEADER) + mfn * frameInfo.$.size;
  }

  /** One frame, zeroed, owned by `owner`; -1 when there is none. */
  allocFrame(owner = OWNER_NONE): number {
    return this.allocFrames(1, owner);
  }

  /** `count` contiguous zeroed frames, the first one's number; -1 when there is no such run. */
  allocFrames(count: number, owner = OWNER_NONE): number {
    const { mem } = this;
    lock(mem, header.allocLock.addr(HEADER));
    try {
      const mfn = this.findRun(count);
      if (mfn < 0 || !this.ensure((mfn + count) * 4096)) return -1;
      for (let f = mfn; f < mfn + count; f++) {
        this.mark(f, true);
        const info = this.frame(f);
        if (frameInfo.flags.get(mem, info) & FRAME_DIRTY) mem.fill(f * 4096, 4096);
        mem.fill(info, frameInfo.$.size);
        frameInfo.owner.set(mem, info, owner);
        frameInfo.count.set(mem, info, 1);
      }
      header.hint.set(mem, HEADER, mfn + count);
      header.freeFrames.set(mem, HEADER, this.freeFrames - count);
      return mfn;
    } finally {
      unlock(mem, header.allocLock.addr(HEADER));
    }
  }

  /** Frees frames; what is in them is cleared before the next owner gets them. */
  freeFrameRun(mfn: number, count = 1): void {
    const { mem } = this;
    lock(mem, header.allocLock.addr(HEADER));
    for (let f = mfn; f < mfn + count; f++) {
      this.mark(f, false);
      const info = this.frame(f);
      frameInfo.owner.set(mem, info, OWNER_NONE);
      frameInfo.count.set(mem, info, 0);
      frameInfo.flags.set(mem, info, FRAME_DIRTY);
    }
    header.hint.set(mem, HEADER, Math.min(header.hint.get(mem, HEADER), mfn));
    header.freeFrames.set(mem, HEADER, this.freeFrames + count);
    unlock(mem, header.allocLock.addr(HEADER));
  }

  private mark(f: number, used: boolean): void {
    const a = header.bitmap.get(this.mem, HEADER) + (f >>> 3);
    const bit = 1 << (f & 7);
    this.mem.setU8(a, used ? this.mem.u8(a) | bit : this.mem.u8(a) & ~bit);
  }

  private findRun(count: number): number {
    const frames = this.totalFrames;
    const hint = header.hint.get(this.mem, HEADER);
    const found = this.scan(hint, frames, count);
    return found >= 0 ? found : this.scan(0, Math.min(frames, hint + count), count);
  }

  private scan(from: number, to: number, count: number): number {
    const bitmap = header.bitmap.get(this.mem, HEADER);
    let run = 0;
    for (let f = from; f < to; f++) {
      if (run === 0 && (f & 7) === 0 && this.mem.u8(bitmap + (f >>> 3)) === 0xff) {
        f += 7;
        continue;
      }
      run = this.mem.u8(bitmap + (f >>> 3)) & (1 << (f & 7)) ? 0 : run + 1;
      if (run === count) return f - count + 1;
    }
    return -1;
  }

  /** Grows the memory to hold `end` bytes; false when the host has no more. */
  private ensure(end: number): boolean {
    this.mem.refresh();
    if (end <= this.mem.size) return true;
    const limit = this.mem.size === 0 || header.size.get(this.mem, HEADER) === 0 ? end : this.size;
    const want = Math.min(Math.ceil(end / GROW_BYTES) * GROW_BYTES, Math.max(limit, end));
    const grow = Math.ceil((want - this.mem.size) / 65536);
    if (grow * 65536 > this.available()) return false;
    try {
      this.memory.grow(grow);
    } catch {
      return false;
    }
    this.mem.refresh();
    return end <= this.mem.size;
  }
}
