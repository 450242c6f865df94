/**
 * The recorded files: for each form its key, a checksum of the inputs (which are generated, not stored) and what the CPU
 * changed. Brotli; inside, the columns of columns.ts. Only what `differences` looks at is kept.
 */
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { ColumnReader, Columns } from './columns.ts';
import type { VectorForm } from './forms.ts';
import { generate } from './generate.ts';
import { usesUnit } from './prepare-unit.ts';
import { AT, FAULT_NONE, FAULT_STRAY, FLAG_MASK, Kase, Rec } from './record.ts';
import {
  readGpr,
  readMemory,
  readUnit,
  readXmm,
  writeGpr,
  writeMemory,
  writeUnit,
  writeXmm,
} from './store-state.ts';

const NONE = 255;
const STRAY = 254;
const FORM_END = 0;

/** FNV-1a over an input's words. */
export function checksum(sum: number, input: Rec): number {
  let h = sum;
  const end = input.length >> 2;
  for (let i = 0; i < end; i++) h = Math.imul(h ^ input.words[i]!, 0x0100_0193);
  return h >>> 0;
}

/** Where RIP is when nothing special happens: behind the snippet, or at its start after a fault. */
const expectedRip = (kase: Kase, fault: number): bigint =>
  BigInt(fault === FAULT_NONE ? kase.end : kase.start);

export class VectorWriter {
  private readonly c = new Columns();
  private readonly kase = new Kase();
  cases = 0;

  /** Writes a form's cases 0, 1, ...; `outcomes` yields a record for each. */
  form(form: VectorForm, outcomes: readonly Rec[]): void {
    const { c, kase } = this;
    c.u8('key', form.key.length);
    c.bytes('key', Buffer.from(form.key, 'latin1'));
    c.u16('count', outcomes.length);
    let sum = 0;
    let changing = 0;
    outcomes.forEach((out, n) => {
      generate(form, n, kase);
      sum = checksum(sum, kase.input);
      if (out.fault !== FAULT_STRAY) changing |= (kase.input.u32(AT.flags) ^ out.u32(AT.flags)) & FLAG_MASK;
    });
    c.varint('checksum', BigInt(sum));
    c.varint('changing', BigInt(changing));
    outcomes.forEach((out, n) => {
      generate(form, n, kase);
      this.outcome(kase, out, changing);
    });
    this.cases += outcomes.length;
  }

  private outcome(kase: Kase, out: Rec, changing: number): void {
    const { c } = this;
    const { fault } = out;
    c.u8('fault', fault === FAULT_NONE ? NONE : fault === FAULT_STRAY ? STRAY : fault);
    if (fault === FAULT_STRAY) return;
    c.varint('rip', out.u64(AT.rip) - expectedRip(kase, fault));
    if (fault !== FAULT_NONE) c.varint('error', BigInt(out.u32(AT.error)));
    if (fault === 14) c.varint('cr2', out.u64(AT.cr2) - kase.address);
    const flags = out.u32(AT.flags) & changing;
    c.u16(
      'flags',
      (flags & 0xfff) | ((flags >> 2) & 0x1000) | ((flags >> 5) & 0x2000) | ((flags >> 7) & 0x4000),
    );
    this.segments(kase.input, out);
    writeGpr(c, kase, out);
    writeXmm(c, kase.input, out);
    if (usesUnit(kase.form)) writeUnit(c, kase, out);
    writeMemory(c, kase, out);
  }

  /** Selectors and bases, seldom. */
  private segments(input: Rec, out: Rec): void {
    const { c } = this;
    let mask = 0;
    for (let i = 0; i < 6; i++) if (input.u16(AT.sel + 2 * i) !== out.u16(AT.sel + 2 * i)) mask |= 1 << i;
    if (input.u64(AT.fsBase) !== out.u64(AT.fsBase)) mask |= 64;
    if (input.u64(AT.gsBase) !== out.u64(AT.gsBase)) mask |= 128;
    c.u8('segments', mask);
    for (let i = 0; i < 6; i++) if (mask & (1 << i)) c.u16('sel', out.u16(AT.sel + 2 * i));
    if (mask & 64) c.bytes('base', out.bytes.subarray(AT.fsBase, AT.fsBase + 8));
    if (mask & 128) c.bytes('base', out.bytes.subarray(AT.gsBase, AT.gsBase + 8));
  }

  done(): Uint8Array {
    this.c.u8('key', FORM_END);
    const plain = this.c.done();
    return brotliCompressSync(plain, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: 11,
        [constants.BROTLI_PARAM_LGWIN]: 24,
        [constants.BROTLI_PARAM_SIZE_HINT]: plain.length,
      },
    });
  }
}

/** What a case of a file hands over: both are the same objects for every case. */
export interface Recorded {
  readonly kase: Kase;
  readonly want: Rec;
}

export class VectorReader {
  private readonly c: ColumnReader;
  private readonly kase = new Kase();
  private readonly want = new Rec();
  private readonly forms: ReadonlyMap<string, VectorForm>;

  constructor(file: Uint8Array, forms: Iterable<VectorForm>) {
    this.c = new ColumnReader(brotliDecompressSync(file));
    this.forms = new Map([...forms].map((f) => [f.key, f]));
  }

  /** Every case that can be run. Throws where a form is gone or its inputs are no longer those recorded. */
  *cases(): Iterable<Recorded> {
    const { c } = this;
    for (let length = c.u8('key'); length !== FORM_END; length = c.u8('key')) {
      const key = Buffer.from(c.bytes('key', length)).toString('latin1');
      const form = this.forms.get(key);
      if (!form) throw new Error(`vectors of "${key}", which the decoder's table no longer has: record anew`);
      yield* this.formCases(form);
    }
  }

  private *formCases(form: VectorForm): Iterable<Recorded> {
    const { c, kase, want } = this;
    const count = c.u16('count');
    const recorded = Number(c.varint('checksum'));
    const changing = Number(c.varint('changing'));
    let sum = 0;
    for (let n = 0; n < count; n++) {
      generate(form, n, kase);
      sum = checksum(sum, kase.input);
      if (this.outcome(changing)) yield { kase, want };
    }
    if (sum !== recorded)
      throw new Error(`the generator's inputs of "${form.key}" are not those recorded: record anew`);
  }

  private outcome(changing: number): boolean {
    const { c, kase, want } = this;
    const { input } = kase;
    const code = c.u8('fault');
    if (code === STRAY) return false;
    want.bytes.set(input.bytes.subarray(0, input.length));
    const fault = code === NONE ? FAULT_NONE : code;
    want.fault = fault;
    want.setU64(AT.rip, BigInt.asUintN(64, expectedRip(kase, fault) + c.varint('rip')));
    want.setU32(AT.error, fault === FAULT_NONE ? 0 : Number(c.varint('error')));
    want.setU64(AT.cr2, fault === 14 ? BigInt.asUintN(64, kase.address + c.varint('cr2')) : 0n);
    const f = c.u16('flags');
    const flags = (f & 0xfff) | ((f & 0x1000) << 2) | ((f & 0x2000) << 5) | ((f & 0x4000) << 7);
    want.setU32(AT.flags, ((input.u32(AT.flags) & ~changing) | flags) >>> 0);
    this.segments();
    readGpr(c, kase, want);
    readXmm(c, want);
    if (usesUnit(kase.form)) readUnit(c, kase, want);
    readMemory(c, kase, want);
    return true;
  }

  private segments(): void {
    const { c, want } = this;
    const mask = c.u8('segments');
    if (mask === 0) return;
    for (let i = 0; i < 6; i++) if (mask & (1 << i)) want.setU16(AT.sel + 2 * i, c.u16('sel'));
    if (mask & 64) want.bytes.set(c.bytes('base', 8), AT.fsBase);
    if (mask & 128) want.bytes.set(c.bytes('base', 8), AT.gsBase);
  }
}

/** The forms of a file with their numbers of cases that can be run. */
export function* formCounts(file: Uint8Array): Iterable<[key: string, cases: number]> {
  const c = new ColumnReader(brotliDecompressSync(file));
  for (let length = c.u8('key'); length !== FORM_END; length = c.u8('key')) {
    const key = Buffer.from(c.bytes('key', length)).toString('latin1');
    const faults = c.bytes('fault', c.u16('count'));
    yield [key, faults.filter((code) => code !== STRAY).length];
  }
}
