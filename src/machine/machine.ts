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
  /** Frames from here on were never handed out: they are zero. */
  fresh: u32,
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
    m.mark(0, first, true);
    m.own(0, frames, OWNER_NONE, 0);
    header.hint.set(mem, HEADER, first);
    header.fresh.set(mem, HEADER, first);
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
      this.mark(mfn, count, true);
      this.own(mfn, count, owner, 1);
      const fresh = header.fresh.get(mem, HEADER);
      mem.fill(mfn * 4096, Math.max(0, Math.min(fresh - mfn, count)) * 4096);
      header.fresh.set(mem, HEADER, Math.max(fresh, mfn + count));
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
    this.mark(mfn, count, false);
    for (let f = mfn; f < mfn + count; f++) {
      const info = this.frame(f);
      frameInfo.owner.set(mem, info, OWNER_NONE);
      frameInfo.count.set(mem, info, 0);
      frameInfo.flags.set(mem, info, 0);
    }
    header.hint.set(mem, HEADER, Math.min(header.hint.get(mem, HEADER), mfn));
    header.freeFrames.set(mem, HEADER, this.freeFrames + count);
    unlock(mem, header.allocLock.addr(HEADER));
  }

  /** Marks a run of frames in the bitmap, by the byte where it can. */
  private mark(first: number, count: number, used: boolean): void {
    const { mem } = this;
    const bitmap = header.bitmap.get(mem, HEADER);
    for (let f = first, left = count; left > 0; ) {
      const a = bitmap + (f >>> 3);
      const bytes = f & 7 ? 0 : left >>> 3;
      const bit = 1 << (f & 7);
      if (bytes > 0) mem.fill(a, bytes, used ? 0xff : 0);
      else mem.setU8(a, used ? mem.u8(a) | bit : mem.u8(a) & ~bit);
      f += bytes * 8 || 1;
      left -= bytes * 8 || 1;
    }
  }

  /** New records for a run of frames: the first is copied to one, those to two more, and so on. */
  private own(mfn: number, count: number, owner: number, references: number): void {
    const { mem } = this;
    const { size } = frameInfo.$;
    const info = this.frame(mfn);
    mem.fill(info, size);
    frameInfo.owner.set(mem, info, owner);
    frameInfo.count.set(mem, info, references);
    for (let done = 1; done < count; done *= 2) {
      mem.move(info + done * size, info, Math.min(done, count - done) * size);
    }
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
      if ((f & 7) === 0 && count - run > 8 && this.mem.u8(bitmap + (f >>> 3)) === 0) {
        run += 8;
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
