import { describe, expect, test } from 'vitest';
import { decode } from '../x86/decoder.ts';
import { Insn } from '../x86/insn.ts';
import { cpuState } from './cpu-state.ts';
import { runHelper } from './engine/helpers.ts';
import { TestCpu } from './testing.ts';

const CODE = 0x40_0000;
const DATA = 0x50_0000;
const HLT = 0xf4;
/** Bytes of it that are looked at. */
const MEMORY = 32;

/** [rdi] forms of all sizes, two register forms of each operation, and what has no operand. */
const INSTRUCTIONS =
  'd907 dd07 db2f df07 db07 df2f d9c2 d9e8 d9ee d807 dc07 de07 da07 d8c1 dcc1 dec1 d8c9 dcc9 dec9 d80f dc0f da0f ' +
  'd8e1 dce1 dee1 d8e9 dce9 dee9 d827 dc27 d82f dc2f da27 da2f d8f1 dcf1 def1 d8f9 dcf9 def9 d837 dc37 dc3f de3f ' +
  'd8d1 d8d9 d817 dc1f de1f ded9 dae9 ddc0 dde1 dde9 dbf1 dff1 dbe9 dfe9 d9c9 d9e0 d9e1 ddd1 ddd9 d917 d91f dd17 dd1f ' +
  'db3f df17 df1f db17 db1f df3f df0f db0f dd0f d92f d93f dfe0 dd3f d9fa d9fc d9fd d9f8 d9f4 d9e4 d9e5 d9e9 d9ea d9eb ' +
  'd9ec d9ed d9f6 d9f7 ddc2 dfc2 9b dbe2 dac1 dac9 dad1 dad9 dbc1 dbc9 dbd1 dbd9 d937 d927';

/** The same numbers on every run. */
class Random {
  private state = 0x1234_5678;
  below(n: number): number {
    this.state = (Math.imul(this.state, 1_664_525) + 1_013_904_223) >>> 0;
    return (this.state >>> 8) % n;
  }
  bits(n: number): bigint {
    let v = 0n;
    for (let at = 0; at < n; at += 16) v = (v << 16n) | BigInt(this.below(0x1_0000));
    return BigInt.asUintN(n, v);
  }
  /** Few bits, many ones, those of a double, nearly a square, next to a power of two, or any. */
  significand(): bigint {
    const v = this.bits(64);
    const word = (v >> 32n) | (1n << 31n);
    const near = BigInt(this.below(5) - 2);
    const kinds = [
      (v >> BigInt(this.below(64))) << BigInt(this.below(64)),
      ~0n << BigInt(this.below(64)),
      v & ~0x7ffn,
      word * word + near,
      near * BigInt(this.below(500)) + BigInt(this.below(2)),
      v,
      v,
      v,
    ];
    return BigInt.asUintN(64, kinds[this.below(kinds.length)]! | (1n << 63n));
  }
}

class Pair {
  readonly t = new TestCpu();
  readonly r = new Random();
  private readonly code = this.t.map(CODE, true, false);
  private readonly data = this.t.map(DATA);
  private readonly state = this.t.cpu + cpuState.fpr.offset;
  private readonly size = cpuState.mxcsr.offset - cpuState.fpr.offset;

  /** An instruction's bytes, and the unit's and memory's states that differ after routine and helper. */
  differs(hex: string): string | undefined {
    const { m, cpu, engine } = this.t;
    const bytes = Uint8Array.from(Buffer.from(hex, 'hex'));
    engine.dropCode(this.code >>> 12);
    m.write(this.code, bytes);
    m.setU8(this.code + bytes.length, HLT);
    this.fill(hex);
    const unit = m.copy(this.state, this.size);
    const memory = m.copy(this.data, MEMORY);
    const status = this.r.below(0x1000) & 0x8d5;
    const routine = this.after(status, () => this.t.run());
    m.write(this.state, unit);
    m.write(this.data, memory);
    const helper = this.after(status, () => this.help(bytes));
    if (routine === helper) return undefined;
    return `${hex} on ${Buffer.from(unit).toString('hex')} ${Buffer.from(memory).toString('hex')}:\n${routine}\n${helper} (${cpu})`;
  }
  private after(status: number, run: () => void): string {
    const { m, cpu } = this.t;
    m.setU64(cpu, 0n);
    m.setU64(cpu + 8 * 7, BigInt(DATA));
    this.t.user(CODE, status);
    run();
    const flags = this.t.engine.core.flags & 0x8d5;
    return [m.copy(this.state, this.size), m.copy(this.data, MEMORY), m.copy(cpu, 8)]
      .map((b) => Buffer.from(b).toString('hex'))
      .concat(flags.toString(16))
      .join(' ');
  }
  private help(bytes: Uint8Array): void {
    const c = this.t.engine.core;
    const i = new Insn();
    decode(bytes, 0, bytes.length, 64, i);
    c.cpu = this.t.cpu;
    c.ip = CODE;
    c.nextIp = CODE + bytes.length;
    try {
      runHelper(c, i, this.t.engine.services);
    } catch {
      // a fault leaves what there was
    }
  }

  /** Numbers mostly of similar size, with now and then another, a zero, an empty register or another rounding. */
  private fill(hex: string): void {
    const { r } = this;
    const { m, cpu } = this.t;
    const control = [0x37f, 0x37f, 0x37f, 0xf7f, 0x27f, 0x77f, 0xb7f, 0x35f][r.below(8)]!;
    m.setU16(cpu + cpuState.fcw.offset, control);
    m.setU16(
      cpu + cpuState.fsw.offset,
      (r.below(8) << 11) | (r.below(2) * 0x4700) | (r.below(2) * (control & 0x20)),
    );
    m.setU8(cpu + cpuState.ftw.offset, r.below(4) === 0 ? r.below(256) : 0x7e << r.below(2));
    const middle = [0x3fff, 0x3fff, 0x403e, 0x7ff0, 20, 0x3c10, 0x43f0][r.below(7)]!;
    for (let n = 0; n < 8; n++) {
      const at = cpuState.fpr.addr(cpu, n);
      const zero = r.below(8) === 0;
      const spread = [2, 10, 70, 200][r.below(4)]!;
      m.setU64(at, zero ? 0n : r.significand());
      const exp = zero ? 0 : Math.min(0x7ffe, Math.max(1, middle + r.below(2 * spread + 1) - spread));
      m.setU16(at + 8, (r.below(2) << 15) | exp);
      if (r.below(24) === 0) this.odd(at);
    }
    m.setU64(this.data, this.number(hex));
    m.setU16(this.data + 8, 0x3ff0 + r.below(32));
    if (hex === 'd927') this.environment();
  }
  /** Mostly with nothing pending. */
  private environment(): void {
    const { r } = this;
    for (let at = 0; at < MEMORY; at += 8) this.t.m.setU64(this.data + at, r.bits(64));
    if (r.below(4) !== 0) this.t.m.setU8(this.data, 0x7f);
  }
  /** Infinities, NaNs, denormals, and what has no meaning. */
  private odd(at: number): void {
    const { r } = this;
    const significands = [0n, 1n, 1n << 63n, 3n << 62n, r.bits(64)];
    this.t.m.setU64(at, significands[r.below(significands.length)]!);
    this.t.m.setU16(at + 8, (r.below(2) << 15) | [0, 1, 0x3fff, 0x7ffe, 0x7fff][r.below(5)]!);
  }
  private number(hex: string): bigint {
    const { r } = this;
    if (hex === 'd92f') return BigInt(0x37f ^ (r.below(4) << 10));
    if (r.below(8) === 0) return 0n;
    const sign = BigInt(r.below(2));
    const size = { d: 23n, D: 52n }[hex[1] === '9' || hex[1] === '8' ? 'd' : 'D'] as bigint;
    const bias = size === 23n ? 127 : 1023;
    if (r.below(3) === 0) return BigInt.asUintN(64, (sign ? -1n : 1n) * (r.bits(64) >> BigInt(r.below(64))));
    const exp = BigInt(bias + r.below(40) - 20);
    return (((sign << (size === 23n ? 8n : 11n)) | exp) << size) | (r.significand() & ((1n << size) - 1n));
  }
}

describe("the x87's routines", () => {
  test('leave what the exact helpers leave', () => {
    const pair = new Pair();
    const bad: string[] = [];
    for (let n = 0; n < Number(process.env.N ?? 150); n++)
      for (const hex of INSTRUCTIONS.split(' ')) {
        const wrong = pair.differs(hex);
        if (wrong) bad.push(wrong);
      }
    expect(bad.slice(0, 5)).toEqual([]);
  }, 120_000);
});
