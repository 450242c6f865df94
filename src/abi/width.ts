/**
 * The two guest widths. A hypercall structure that holds a C `long`, a frame number, a pointer or a 64-bit integer has
 * one layout for 64-bit guests and one, suffixed `_32`, for 32-bit guests, where those are 4 bytes wide or align to 4
 * (the i386 ABI). Structures without a `_32` serve both.
 *
 * Both are made from one declaration over a `Width`, so they have the same fields of the same TypeScript types:
 *
 *   const layout = wide ? xen_add_to_physmap : xen_add_to_physmap_32;
 */
import { n64, packed, s32, type Type, u32, u64 } from '../base/layout.ts';

/**
 * 64 bits as a signed number, exact within 2^53 of zero: seconds, results, and above all linear addresses. A canonical
 * address of the upper half reads as a negative number, so that none loses its low bits.
 */
export const sn64: Type<number> = {
  size: 8,
  align: 8,
  get: (m, a) => m.u32(a) + m.s32(a + 4) * 0x1_0000_0000,
  set: (m, a, v) => m.setN64(a, v),
};

/** XEN_GUEST_HANDLE_64: domctl and sysctl have one layout for both widths. */
export const handle64 = sn64;

/** 32 bits as a BigInt: the 32-bit form of a register-sized word. */
const big32: Type<bigint> = {
  size: 4,
  align: 4,
  get: (m, a) => BigInt(m.u32(a)),
  set: (m, a, v) => m.setU32(a, Number(BigInt.asUintN(32, v))),
};

export interface Width {
  /** xen_ulong_t, xen_pfn_t: counts, sizes, frame numbers. */
  readonly ulong: Type<number>;
  /** long: results, 0 or positive or -errno. */
  readonly long: Type<number>;
  /** XEN_GUEST_HANDLE, or a linear address in an unsigned long; see `sn64`. */
  readonly handle: Type<number>;
  /** unsigned long as a word of bits or a register. */
  readonly word: Type<bigint>;
  /** uint64_t */
  readonly u64: Type<bigint>;
  readonly n64: Type<number>;
  /** uint64_t that holds a linear address. */
  readonly va: Type<number>;
  /** The size of an unsigned long in bits. */
  readonly bits: 32 | 64;
}

export const W64: Width = { ulong: n64, long: sn64, handle: sn64, word: u64, u64, n64, va: sn64, bits: 64 };

export const W32: Width = {
  ulong: u32,
  long: s32,
  handle: u32,
  word: big32,
  u64: packed(u64, 4),
  n64: packed(n64, 4),
  va: packed(sn64, 4),
  bits: 32,
};

/** Domain handles (UUIDs) are 16 bytes in the order of their text form. @abi public/xen.h xen_domain_handle_t */
export const XEN_DOMAIN_HANDLE_BYTES = 16;
