/** AES-NI, PCLMULQDQ and the SHA extensions, on 32-bit words. @spec SDM 2, FIPS 180-4 6.1, 6.2 */
import { OP as X } from '../../x86/ops.ts';
import { DECRYPT, ENCRYPT, INVERSE_SBOX, rotl, SBOX } from './aes-tables.ts';
import type { Operands } from './sse-operands.ts';

type Words = readonly [number, number, number, number];
/** What becomes of operand 0, given operand 1 and the immediate. */
type Compute = (d: Words, s: Words, imm: number, o: Operands) => Words;
type Register = (op: number, run: (o: Operands) => void) => void;

// --- AES -----------------------------------------------------------------------------------------------------------------

/** The word that the rows of four columns make together, each byte through a table of words, or of bytes. */
function mix(table: Int32Array, a: number, b: number, c: number, d: number): number {
  const first = table[a & 255]! ^ rotl(table[(b >>> 8) & 255]!, 8);
  return first ^ rotl(table[(c >>> 16) & 255]!, 16) ^ rotl(table[d >>> 24]!, 24);
}
function substitute(box: Uint8Array, a: number, b: number, c: number, d: number): number {
  const low = box[a & 255]! | (box[(b >>> 8) & 255]! << 8);
  return low | (box[(c >>> 16) & 255]! << 16) | (box[d >>> 24]! << 24);
}
type Round<T> = (table: T, a: number, b: number, c: number, d: number) => number;

/** ShiftRows takes row r of column j from column j + r, its inverse from j - r. */
function encrypt<T>(table: T, round: Round<T>): Compute {
  return ([a, b, c, d], k) => [
    round(table, a, b, c, d) ^ k[0],
    round(table, b, c, d, a) ^ k[1],
    round(table, c, d, a, b) ^ k[2],
    round(table, d, a, b, c) ^ k[3],
  ];
}
function decrypt<T>(table: T, round: Round<T>): Compute {
  return ([a, b, c, d], k) => [
    round(table, a, d, c, b) ^ k[0],
    round(table, b, a, d, c) ^ k[1],
    round(table, c, b, a, d) ^ k[2],
    round(table, d, c, b, a) ^ k[3],
  ];
}
const subWord = (w: number): number => substitute(SBOX, w, w, w, w);
/** InvMixColumns alone: DECRYPT's table would take the bytes through the inverse S-box first. */
const unmix = (w: number): number => {
  const s = subWord(w);
  return mix(DECRYPT, s, s, s, s);
};
function keyAssist(_d: Words, s: Words, imm: number): Words {
  const [a, b] = [subWord(s[1]), subWord(s[3])];
  return [a, rotl(a, 24) ^ imm, b, rotl(b, 24) ^ imm];
}

// --- PCLMULQDQ -----------------------------------------------------------------------------------------------------------

/** Adds the 64-bit carry-less product of two words into `out` from word `at` on. */
function multiplyInto(out: Int32Array, at: number, a: number, b: number): void {
  let lo = 0;
  let hi = 0;
  for (let rest = a; rest !== 0; rest &= rest - 1) {
    const n = 31 - Math.clz32(rest & -rest);
    lo ^= b << n;
    if (n !== 0) hi ^= b >>> (32 - n);
  }
  out[at]! ^= lo;
  out[at + 1]! ^= hi;
}
function carryless(d: Words, s: Words, imm: number): Words {
  const out = new Int32Array(4);
  const a = imm & 1 ? 2 : 0;
  const b = imm & 16 ? 2 : 0;
  for (let i = 0; i < 2; i++) for (let j = 0; j < 2; j++) multiplyInto(out, i + j, d[a + i]!, s[b + j]!);
  return [out[0]!, out[1]!, out[2]!, out[3]!];
}

// --- SHA -----------------------------------------------------------------------------------------------------------------

const choose = (x: number, y: number, z: number): number => (x & y) ^ (~x & z);
const parity = (x: number, y: number, z: number): number => x ^ y ^ z;
const majority = (x: number, y: number, z: number): number => (x & y) ^ (x & z) ^ (y & z);
const SHA1_F = [choose, parity, majority, parity] as const;
const SHA1_K = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6] as const;

/** Four rounds; E has been added to the first message word (SHA1NEXTE). */
function sha1Rounds(state: Words, message: Words, imm: number): Words {
  const f = SHA1_F[imm & 3]!;
  const k = SHA1_K[imm & 3]!;
  let [d, c, b, a] = state;
  let e = 0;
  for (let n = 3; n >= 0; n--) {
    const next = (f(b, c, d) + rotl(a, 5) + message[n]! + e + k) | 0;
    [e, d, c, b, a] = [d, c, rotl(b, 30), a, next];
  }
  return [d, c, b, a];
}
function sha1Message2(d: Words, s: Words): Words {
  const w16 = rotl(d[3] ^ s[2], 1);
  return [rotl(d[0] ^ w16, 1), rotl(d[1] ^ s[0], 1), rotl(d[2] ^ s[1], 1), w16];
}

const sum0 = (x: number): number => rotl(x, 30) ^ rotl(x, 19) ^ rotl(x, 10);
const sum1 = (x: number): number => rotl(x, 26) ^ rotl(x, 21) ^ rotl(x, 7);
const sigma0 = (x: number): number => rotl(x, 25) ^ rotl(x, 14) ^ (x >>> 3);
const sigma1 = (x: number): number => rotl(x, 15) ^ rotl(x, 13) ^ (x >>> 10);

/** Two rounds, their words plus constants in XMM0: C D G H in operand 0, A B E F in operand 1. */
function sha256Rounds(dst: Words, src: Words, _imm: number, o: Operands): Words {
  let [h, g, d, c] = dst;
  let [f, e, b, a] = src;
  const wk = o.xmm0();
  for (let n = 0; n < 2; n++) {
    const t = (choose(e, f, g) + sum1(e) + wk[n]! + h) | 0;
    const next = (t + majority(a, b, c) + sum0(a)) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (t + d) | 0, c, b, a, next];
  }
  return [f, e, b, a];
}
function sha256Message2(d: Words, s: Words): Words {
  const a = (d[0] + sigma1(s[2])) | 0;
  const b = (d[1] + sigma1(s[3])) | 0;
  return [a, b, d[2] + sigma1(a), d[3] + sigma1(b)];
}

const TABLE: readonly (readonly [number, Compute])[] = [
  [X.aesenc, encrypt(ENCRYPT, mix)],
  [X.aesenclast, encrypt(SBOX, substitute)],
  [X.aesdec, decrypt(DECRYPT, mix)],
  [X.aesdeclast, decrypt(INVERSE_SBOX, substitute)],
  [X.aesimc, (_d, s) => [unmix(s[0]), unmix(s[1]), unmix(s[2]), unmix(s[3])]],
  [X.aeskeygenassist, keyAssist],
  [X.pclmulqdq, carryless],
  [X.sha1rnds4, sha1Rounds],
  [X.sha1nexte, (d, s) => [s[0], s[1], s[2], s[3] + rotl(d[3], 30)]],
  [X.sha1msg1, (d, s) => [d[0] ^ s[2], d[1] ^ s[3], d[2] ^ d[0], d[3] ^ d[1]]],
  [X.sha1msg2, sha1Message2],
  [X.sha256rnds2, sha256Rounds],
  [
    X.sha256msg1,
    (d, s) => [d[0] + sigma0(d[1]), d[1] + sigma0(d[2]), d[2] + sigma0(d[3]), d[3] + sigma0(s[0])],
  ],
  [X.sha256msg2, sha256Message2],
];

export function registerSseCrypto(register: Register): void {
  for (const [op, compute] of TABLE)
    register(op, (o) => {
      const s = o.words(1);
      o.setWords(compute(o.words(0), s, o.imm, o));
    });
}
