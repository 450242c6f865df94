/** Byte strings on which the decoder is compared with another: random, shaped like instructions, and every opcode. */
import type { CodeSize } from './insn.ts';

/** A small seeded generator (mulberry32): numbers from 0 to `n` - 1. */
export function random(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

const PREFIXES = [0x66, 0x66, 0xf3, 0xf3, 0xf2, 0xf2, 0xf0, 0x67, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

/** What leads to the maps behind the first: the two-byte map is the fullest. C4, C5 and 62 begin VEX and EVEX. */
const LEADS = [[0x0f], [0x0f], [0x0f, 0x38], [0x0f, 0x3a], [0xc4], [0xc5], [0x62]];

/** 18 to 26 bytes that look like an instruction: some prefixes, an opcode of any map, anything behind it. */
export function randomCode(pick: (n: number) => number, size: CodeSize, out: number[]): number[] {
  out.length = 0;
  for (let n = pick(8) < 5 ? pick(3) : 0; n > 0; n--) out.push(PREFIXES[pick(PREFIXES.length)]!);
  if (size === 64 && pick(2) === 0) out.push(0x40 + pick(16));
  const lead = LEADS[pick(LEADS.length + 3)] ?? [];
  out.push(...lead);
  if (lead[0] === 0xc4)
    out.push((pick(8) << 5) | (1 + pick(3)), pick(4) === 0 ? pick(256) : 0x78 | pick(4) | (pick(2) << 7));
  const tail = 18;
  for (let n = 0; n < tail; n++) out.push(pick(16) === 0 ? [0, 0x7f, 0x80, 0xff][pick(4)]! : pick(256));
  return out;
}

/** 18 bytes with nothing in mind. */
export function randomBytes(pick: (n: number) => number, out: number[]): number[] {
  out.length = 0;
  for (let n = 0; n < 18; n++) out.push(pick(256));
  return out;
}

/** ModRM bytes of each reg with a memory operand and a register. */
const MODRM = Array.from({ length: 16 }, (_, n) => ((n & 7) << 3) | (n < 8 ? 0x01 : 0xc1));
/** And with each register, for opcodes where rm is part of the opcode. */
const MODRM_RM = [...MODRM.slice(0, 8), ...Array.from({ length: 64 }, (_, n) => 0xc0 | n)];

/** Every opcode of the four legacy maps under each mandatory prefix. */
export function* everyOpcode(): Generator<number[]> {
  for (const prefix of [[], [0x66], [0xf3], [0xf2]]) {
    for (const lead of [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]) {
      for (let opcode = 0; opcode < 256; opcode++) {
        const x87 = lead.length === 0 && (opcode & 0xf8) === 0xd8;
        for (const modrm of x87 || lead.length === 1 ? MODRM_RM : MODRM) {
          yield [...prefix, ...lead, opcode, modrm, ...TAIL];
        }
      }
    }
  }
}

/** The same under VEX: all prefixes, W, and two values of vvvv and of L. */
export function* everyVexOpcode(): Generator<number[]> {
  for (let last = 0; last < 16; last++) {
    for (const vvvv of [0x78, 0x70]) {
      const payload = ((last & 8) << 4) | (last & 7) | vvvv;
      for (const map of [0xe1, 0xe2, 0xe3]) {
        for (let opcode = 0; opcode < 256; opcode++) {
          for (const modrm of [0x01, 0xc1, 0xc8, 0xd1, 0x1f])
            yield [0xc4, map, payload, opcode, modrm, ...TAIL];
        }
      }
    }
  }
}

const TAIL = [0x24, 0x80, 0x7f, 0x12, 0xff, 0x34, 0x56, 0x90, 0x90, 0x90];
