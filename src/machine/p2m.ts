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
  let leaf = m.u32(root + (gfn >>> 10) * 4);
  if (leaf === 0) {
    if (entry === 0) return true;
    leaf = allocLeaf();
    if (leaf === 0) return false;
    m.setU32(root + (gfn >>> 10) * 4, leaf);
  }
  m.setU32(leaf + (gfn & 1023) * 4, entry);
  return true;
}
