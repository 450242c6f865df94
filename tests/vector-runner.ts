/** Runs recorded vectors on a test CPU and says what differs from the real one. */

import { cpuState } from '../src/machine/cpu-state.ts';
import { type Outcome, TestCpu } from '../src/machine/testing.ts';
import { CODE_BASE, FLAG_MASK, MEM_BASE, type Vector } from '../tools/vectors/format.ts';

export class VectorRunner {
  readonly t = new TestCpu();
  readonly code = this.t.map(CODE_BASE, true, false);
  readonly mem = [this.t.map(MEM_BASE), this.t.map(MEM_BASE + 4096)] as const;

  /** Runs a vector; `begin` may run a first part of it on another engine. Answers what differs. */
  run(v: Vector, begin: () => void = () => {}): string[] {
    const { m, cpu, engine } = this.t;
    engine.dropCode(this.code >>> 12);
    m.fill(this.code, 64, 0xcc);
    m.write(this.code, v.code);
    m.setU8(this.code + v.code.length, 0xf4);
    for (let i = 0; i < 16; i++) m.setU64(cpu + 8 * i, v.in.gpr[i]!);
    m.write(cpuState.xmm.addr(cpu), v.in.xmm);
    m.setU32(cpu + cpuState.mxcsr.offset, v.in.mxcsr);
    this.mem.forEach((page, i) => {
      m.write(page, v.in.mem.subarray(i * 4096, i * 4096 + 4096));
    });
    this.t.user(CODE_BASE, v.in.flags);
    let o: Outcome;
    try {
      begin();
      o = this.t.run();
    } catch (e) {
      return [String(e)];
    }
    return this.compare(v, o);
  }

  private compare(v: Vector, o: Outcome): string[] {
    const { m, cpu } = this.t;
    const wrong: string[] = [];
    const check = (what: string, got: unknown, want: unknown): void => {
      if (got !== want)
        wrong.push(
          `${what} ${typeof got === 'bigint' ? got.toString(16) : got} not ${typeof want === 'bigint' ? want.toString(16) : want}`,
        );
    };
    const ended = o.vector === 13 && o.rip === BigInt(CODE_BASE + v.code.length) && v.out.fault === -1;
    check('fault', ended ? -1 : o.vector, v.out.fault);
    if (v.out.fault === 14) {
      // the recording host maps its own kernel in the upper half, so P was set there
      const kernelHalf = v.out.cr2 >= 1n << 63n;
      check('error code', o.errorCode | (kernelHalf ? 1 : 0), v.out.errorCode);
      check('cr2', o.cr2, v.out.cr2);
    }
    if (!ended && v.out.fault >= 0) check('rip', o.rip, BigInt(v.out.rip));
    for (let i = 0; i < 16; i++) check(`r${i}`, i === 4 ? o.rsp : m.u64(cpu + 8 * i), v.out.gpr[i]);
    const mask = FLAG_MASK & ~v.undefinedFlags;
    check('flags', (o.flags & mask).toString(16), (v.out.flags & mask).toString(16));
    check('mxcsr', m.u32(cpu + cpuState.mxcsr.offset).toString(16), v.out.mxcsr.toString(16));
    for (let i = 0; i < 256; i += 8) {
      const want = new DataView(v.out.xmm.buffer, v.out.xmm.byteOffset).getBigUint64(i, true);
      check(`xmm${i >> 4}.${i & 8}`, m.u64(cpuState.xmm.addr(cpu) + i), want);
    }
    this.mem.forEach((page, i) => {
      const got = Buffer.from(m.copy(page, 4096));
      if (got.compare(v.out.mem.subarray(i * 4096, i * 4096 + 4096)) !== 0) wrong.push(`memory page ${i}`);
    });
    return wrong;
  }
}
