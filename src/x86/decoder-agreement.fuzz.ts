/**
 * Where the decoder must agree with iced-x86, and the few places where it deliberately does not: by whole sources of
 * byte strings, with their number and the first differences. Run by the decoder's test and by `npm run decoder`.
 */
import { compareAt, newDecoder, type Verdict } from './decoder.fuzz.ts';
import { everyOpcode, everyVexOpcode, random, randomBytes, randomCode } from './decoder-strings.fuzz.ts';
import type { CodeSize } from './insn.ts';

/**
 * Where iced finds an instruction and the decoder deliberately finds none: features that no CPUID of ours offers, by
 * reason. All other differences fail.
 */
export const UNSUPPORTED: Readonly<Record<string, string>> = {
  'AMD 3DNow': 'femms',
  'restricted transactional memory': 'xbegin xend xabort xtest',
  'shadow stacks (CET)': 'incsspd incsspq saveprevssp rstorssp wrssd wrssq wrussd wrussq setssbsy clrssbsy',
  'enclaves and TDX': 'encls enclu enclv tdcall seamret seamops seamcall pconfig pbndkb',
  'SEV-SNP and AMD broadcast TLB': 'pvalidate rmpadjust rmpupdate rmpquery psmash invlpgb tlbsync mcommit',
  'user interrupts and FRED': 'uiret testui clui stui senduipi eretu erets lkgs',
  'MSR lists and history reset': 'wrmsrns rdmsrlist wrmsrlist hreset',
  'load tracking and user wait': 'xsusldtrk xresldtrk umonitor umwait tpause ptwrite',
  'direct stores and remote atomics': 'movdiri movdir64b enqcmd enqcmds aadd aand aor axor',
  'key locker':
    'loadiwkey encodekey128 encodekey256 aesenc128kl aesdec128kl aesenc256kl aesdec256kl ' +
    'aesencwide128kl aesdecwide128kl aesencwide256kl aesdecwide256kl',
  'VIA PadLock':
    'xstore xstore_alt xcryptecb xcryptcbc xcryptctr xcryptcfb xcryptofb montmul xsha1 xsha256 xsha512 ' +
    'xsha512_alt ccs_hash ccs_encrypt undoc',
};
const UNSUPPORTED_NAMES = new Set(Object.values(UNSUPPORTED).join(' ').split(' '));
const BMI = /^(andn|bextr|bls(i|r|msk)|bzhi|mulx|p(dep|ext)|rorx|s[ah][rl]x)$/;

/** Is this no difference, or one that is meant? VEX beyond BMI, EVEX, XOP and 3DNow are not in the tables at all. */
export function isExpected(verdict: Verdict): boolean {
  if (verdict.difference === undefined) return true;
  if (verdict.difference !== 'invalid') return false;
  if (verdict.code.startsWith('VEX_')) return !BMI.test(verdict.mnemonic);
  return /^(EVEX|XOP|D3NOW)_/.test(verdict.code) || UNSUPPORTED_NAMES.has(verdict.mnemonic);
}

/** How one source of byte strings went. */
export interface Agreement {
  readonly source: string;
  readonly strings: number;
  /** Of these, how many iced finds valid: what a comparison of random bytes is worth. */
  readonly valid: number;
  /** The first of `count` differences. */
  readonly differences: readonly string[];
  readonly count: number;
}

const SHOWN = 20;

class Tally {
  private readonly source: string;
  private strings = 0;
  private valid = 0;
  private count = 0;
  private readonly differences: string[] = [];

  constructor(source: string) {
    this.source = source;
  }

  add(verdict: Verdict, bytes: Uint8Array, offset: number, expected = isExpected(verdict)): void {
    this.strings++;
    if (verdict.length > 0 && verdict.code !== 'invalid' && verdict.code !== 'truncated') this.valid++;
    if (expected) return;
    if (this.count++ >= SHOWN) return;
    const hex = [...bytes.subarray(offset, offset + 16)].map((b) => b.toString(16).padStart(2, '0'));
    this.differences.push(`${hex.join(' ')}: ${verdict.code}: ${verdict.difference}`);
  }

  result(): Agreement {
    const { source, strings, valid, differences, count } = this;
    return { source, strings, valid, differences, count };
  }
}

const SLOT = 32;
const BATCH = 10_000;

function* batches(codes: Iterable<readonly number[]>): Generator<Uint8Array> {
  let batch = new Uint8Array(BATCH * SLOT);
  let used = 0;
  for (const code of codes) {
    batch.set(code, used++ * SLOT);
    if (used < BATCH) continue;
    yield batch;
    batch = new Uint8Array(BATCH * SLOT);
    used = 0;
  }
  yield batch.subarray(0, used * SLOT);
}

/** Compares strings, each with bytes enough behind it. */
function compareStrings(source: string, size: CodeSize, codes: Iterable<readonly number[]>): Agreement {
  const tally = new Tally(`${source}, ${size}-bit`);
  for (const batch of batches(codes)) {
    const decoder = newDecoder(batch, size);
    for (let at = 0; at < batch.length; at += SLOT)
      tally.add(compareAt(decoder, batch, at, 0x7fff_1000n), batch, at);
    decoder.free();
  }
  return tally.result();
}

function* times(count: number, make: (out: number[]) => number[]): Generator<number[]> {
  for (let n = 0; n < count; n++) yield make([]);
}

/** `count` strings of bytes that are wholly random. */
export function compareRandom(size: CodeSize, count: number, seed: number): Agreement {
  const pick = random(seed * 64 + size);
  return compareStrings(
    'random bytes',
    size,
    times(count, (out) => randomBytes(pick, out)),
  );
}

/** `count` strings of prefixes, an opcode and random bytes. */
export function compareShaped(size: CodeSize, count: number, seed: number): Agreement {
  const pick = random(seed * 64 + size + 1);
  return compareStrings(
    'random instructions',
    size,
    times(count, (out) => randomCode(pick, size, out)),
  );
}

export function compareEveryOpcode(size: CodeSize): Agreement[] {
  return [
    compareStrings('every opcode', size, everyOpcode()),
    compareStrings('every VEX opcode', size, everyVexOpcode()),
  ];
}

/**
 * Strings that end somewhere in the instruction. iced reads a ModRM byte before it refuses some opcodes; we may call
 * those invalid at once, and then they must be so with more bytes too.
 */
export function compareTruncated(size: CodeSize, count: number, seed: number): Agreement {
  const pick = random(seed * 64 + size + 2);
  const tally = new Tally(`cut instructions, ${size}-bit`);
  const code: number[] = [];
  for (let n = 0; n < count; n++) {
    const whole = Uint8Array.from(randomCode(pick, size, code));
    const cut = whole.slice(0, 1 + pick(10));
    const verdict = compareOnce(cut, size);
    const early = verdict.code === 'truncated' && verdict.difference === 'invalid';
    tally.add(verdict, cut, 0, isExpected(verdict) || (early && isExpected(compareOnce(whole, size))));
  }
  return tally.result();
}

function compareOnce(bytes: Uint8Array, size: CodeSize): Verdict {
  const decoder = newDecoder(bytes, size);
  const verdict = compareAt(decoder, bytes, 0, 0x1000n);
  decoder.free();
  return verdict;
}

/**
 * A program's code, from its first byte: one instruction after the other as iced finds them, or (`dense`) what begins
 * at each single byte. `limit` strings at most.
 */
export function compareText(source: string, text: Uint8Array, dense = false, limit = Infinity): Agreement {
  const tally = new Tally(source);
  const decoder = newDecoder(text, 64);
  for (let at = 0, n = 0; at < text.length && n < limit; n++) {
    const verdict = compareAt(decoder, text, at, BigInt(at));
    tally.add(verdict, text, at);
    at += dense ? 1 : Math.max(verdict.length, 1);
  }
  decoder.free();
  return tally.result();
}
