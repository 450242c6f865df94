/**
 * The nested table: guest frame number to machine frame, in the format that the machine's page walker reads.
 *
 * Two levels in machine memory. The root is four pages of 4096 u32 entries, each the machine address of a leaf page or
 * 0; a leaf page holds 1024 u32 entries. That covers 2^22 frames, 16 GiB of guest-physical space.
 *
 *   entry: 19:0 mfn (the machine is at most 4 GiB) | 27:24 type, 0 for a hole
 */
import type { Mem } from '../base/mem.ts';

export const P2M_ROOT_PAGES = 4;
export const P2M_FRAMES = 1 << 22;

export const P2M = {
  none: 0,
  ram: 1,
  ramRo: 2,
  /** Emulated device memory: every access is a call of `Platform.mmioRead` or `mmioWrite`. */
  mmio: 3,
  foreign: 4,
  grantRw: 5,
  grantRo: 6,
} as const;
export type P2mType = (typeof P2M)[keyof typeof P2M];

export const p2mEntry = (mfn: number, type: P2mType): number => (mfn | (type << 24)) >>> 0;
export const p2mMfn = (e: number): number => e & 0xf_ffff;
export const p2mType = (e: number): P2mType => ((e >>> 24) & 15) as P2mType;
export const p2mWritable = (t: P2mType): boolean => t === P2M.ram || t === P2M.foreign || t === P2M.grantRw;

/** The entry for `gfn`, 0 for a hole or a gfn out of range. */
export function p2mGet(m: Mem, root: number, gfn: number): number {
  if (gfn >= P2M_FRAMES) return 0;
  const leaf = m.u32(root + (gfn >>> 10) * 4);
  return leaf === 0 ? 0 : m.u32(leaf + (gfn & 1023) * 4);
}

/** Sets the entry for `gfn`; `allocLeaf` gives a zeroed page's machine address, or 0 when there is none. */
export function p2mSet(m: Mem, root: number, gfn: number, entry: number, allocLeaf: () => number): boolean {
  if (gfn >= P2M_FRAMES) return false;
  if (entry === 0 && m.u32(root + (gfn >>> 10) * 4) === 0) return true;
  const leaf = leafFor(m, root, gfn, allocLeaf);
  if (leaf !== 0) m.setU32(leaf + (gfn & 1023) * 4, entry);
  return leaf !== 0;
}

/** Sees to it that `count` gfns from one on have leaves; false when one of them has an entry, or there is no memory. */
export function p2mReserve(
  m: Mem,
  root: number,
  gfn: number,
  count: number,
  allocLeaf: () => number,
): boolean {
  for (let at = gfn; at < gfn + count; at++) {
    const leaf = leafFor(m, root, at, allocLeaf);
    if (leaf === 0 || m.u32(leaf + (at & 1023) * 4) !== 0) return false;
  }
  return true;
}

/** Sets the entries for as many gfns that `p2mReserve` found free, for consecutive frames. */
export function p2mSetRun(m: Mem, root: number, gfn: number, entry: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const leaf = m.u32(root + ((gfn + i) >>> 10) * 4);
    m.setU32(leaf + ((gfn + i) & 1023) * 4, entry + i);
  }
}

/** The leaf page for `gfn`, made if need be; 0 when there is no memory. */
function leafFor(m: Mem, root: number, gfn: number, allocLeaf: () => number): number {
  const slot = root + (gfn >>> 10) * 4;
  if (m.u32(slot) === 0) m.setU32(slot, allocLeaf());
  return m.u32(slot);
}
