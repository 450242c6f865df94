/** AES as tables of 32-bit words, a column's first byte the lowest. @spec FIPS 197 5.1, 5.3 */

export const rotl = (v: number, n: number): number => (v << n) | (v >>> (32 - n));

/** A product in GF(2^8). */
function times(a: number, b: number): number {
  let out = 0;
  for (let x = a, y = b; y !== 0; y >>= 1) {
    if (y & 1) out ^= x;
    x = x & 0x80 ? (x << 1) ^ 0x11b : x << 1;
  }
  return out;
}

/** The S-box: the inverse in GF(2^8), here as powers of 3 and of its inverse 0xf6, and an affine map. */
function makeSbox(): Uint8Array {
  const out = new Uint8Array(256);
  for (let n = 0, v = 1, inverse = 1; n < 255; n++) {
    const twice = inverse | (inverse << 8);
    out[v] = (inverse ^ (twice >> 4) ^ (twice >> 5) ^ (twice >> 6) ^ (twice >> 7) ^ 0x63) & 0xff;
    v = times(v, 3);
    inverse = times(inverse, 0xf6);
  }
  out[0] = 0x63;
  return out;
}
function inverseOf(box: Uint8Array): Uint8Array {
  const out = new Uint8Array(256);
  box.forEach((v, n) => {
    out[v] = n;
  });
  return out;
}
/** What a byte in the first row of a column gives, after `box`, to each of the column's rows. */
function columns(box: Uint8Array, factors: readonly [number, number, number, number]): Int32Array {
  const [a, b, c, d] = factors;
  return Int32Array.from(
    box,
    (s) => times(s, a) | (times(s, b) << 8) | (times(s, c) << 16) | (times(s, d) << 24),
  );
}

export const SBOX = makeSbox();
export const INVERSE_SBOX = inverseOf(SBOX);
/** SubBytes and MixColumns, and their inverses. */
export const ENCRYPT = columns(SBOX, [2, 1, 1, 3]);
export const DECRYPT = columns(INVERSE_SBOX, [14, 9, 13, 11]);
