/**
 * Structures in memory, declared once: field, type, offset. Accessors do not allocate.
 *
 *   const evtchn_send = struct('evtchn_send', { port: u32 });
 *   const port = evtchn_send.port.get(mem, addr);
 *
 * Offsets follow the C rules (natural alignment) unless a field gives one with `at`. A field's own alignment can be
 * lowered with `packed`, for structures the public headers pack.
 */
import type { Mem } from './mem.ts';

export interface Type<T> {
  readonly size: number;
  readonly align: number;
  get(m: Mem, a: number): T;
  set(m: Mem, a: number, v: T): void;
}

/** A type of raw bytes or of a nested structure: reads as the address of its first byte. */
export interface Place extends Type<number> {}

const scalar = <T>(
  size: number,
  get: (m: Mem, a: number) => T,
  set: (m: Mem, a: number, v: T) => void,
): Type<T> => ({ size, align: size, get, set });

export const u8 = scalar<number>(
  1,
  (m, a) => m.u8(a),
  (m, a, v) => m.setU8(a, v),
);
export const u16 = scalar<number>(
  2,
  (m, a) => m.u16(a),
  (m, a, v) => m.setU16(a, v),
);
export const u32 = scalar<number>(
  4,
  (m, a) => m.u32(a),
  (m, a, v) => m.setU32(a, v),
);
export const s8 = scalar<number>(
  1,
  (m, a) => m.s8(a),
  (m, a, v) => m.setU8(a, v),
);
export const s16 = scalar<number>(
  2,
  (m, a) => m.s16(a),
  (m, a, v) => m.setU16(a, v),
);
export const s32 = scalar<number>(
  4,
  (m, a) => m.s32(a),
  (m, a, v) => m.setU32(a, v),
);
/** 64 bits as a BigInt, exact. */
export const u64 = scalar<bigint>(
  8,
  (m, a) => m.u64(a),
  (m, a, v) => m.setU64(a, v),
);
/** 64 bits as a number: frame numbers, addresses, nanoseconds; exact below 2^53. */
export const n64 = scalar<number>(
  8,
  (m, a) => m.n64(a),
  (m, a, v) => m.setN64(a, v),
);

/** `count` bytes (or any block) of the given alignment; get answers its address. */
export function block(size: number, align = 1): Place {
  return {
    size,
    align,
    get: (_m, a) => a,
    set: () => {
      throw new TypeError('a block is written through its address');
    },
  };
}

/** An array field: get answers the address of element 0; use `at(base, i)` of the field for element i. */
export function array<T>(of: Type<T>, count: number): Type<number> & { of: Type<T>; count: number } {
  return { ...block(of.size * count, of.align), of, count };
}

/** The same type with its alignment lowered to `align`. */
export function packed<T>(of: Type<T>, align = 1): Type<T> {
  return { ...of, align };
}

/** The type at a fixed offset instead of the next aligned one. */
export function at<T>(offset: number, of: Type<T>): Type<T> & { offset: number } {
  return { ...of, offset };
}

export class Field<T> {
  readonly name: string;
  readonly offset: number;
  readonly type: Type<T>;
  constructor(name: string, offset: number, type: Type<T>) {
    this.name = name;
    this.offset = offset;
    this.type = type;
  }
  get(m: Mem, base: number): T {
    return this.type.get(m, base + this.offset);
  }
  set(m: Mem, base: number, v: T): void {
    this.type.set(m, base + this.offset, v);
  }
  /** The field's address in the structure at `base`; with `i`, that of element i of an array field. */
  addr(base: number, i = 0): number {
    const of = (this.type as { of?: Type<unknown> }).of;
    return base + this.offset + (of ? i * of.size : 0);
  }
}

// biome-ignore lint/suspicious/noExplicitAny: Type is invariant in its value; a table of mixed fields needs this
type Fields = Record<string, Type<any>>;
type Value<T> = T extends Type<infer V> ? V : never;
export type Struct<F extends Fields> = { readonly [K in keyof F]: Field<Value<F[K]>> } & {
  readonly $: {
    readonly name: string;
    readonly size: number;
    readonly align: number;
    readonly fields: string[];
  };
};

/** Declares a structure. `size` overrides the computed one (trailing padding, unions). */
export function struct<F extends Fields>(name: string, fields: F, size?: number): Struct<F> {
  let offset = 0;
  let align = 1;
  let end = 0;
  const out: Record<string, unknown> = {};
  for (const [key, type] of Object.entries(fields)) {
    const fixed = (type as { offset?: number }).offset;
    offset = fixed ?? Math.ceil(offset / type.align) * type.align;
    out[key] = new Field(key, offset, type);
    offset += type.size;
    end = Math.max(end, offset);
    align = Math.max(align, type.align);
  }
  out.$ = {
    name,
    size: size ?? Math.ceil(end / align) * align,
    align,
    fields: Object.keys(fields),
  };
  return out as Struct<F>;
}

/** A structure as a field of another: get answers its address. */
export function nested<F extends Fields>(s: Struct<F>): Place {
  return block(s.$.size, s.$.align);
}
