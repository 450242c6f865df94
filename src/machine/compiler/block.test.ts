import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { VectorRunner } from '../../../tests/vector-runner.ts';
import { CODE_BASE, MEM_BASE, readVectors, type Vector } from '../../../tools/vectors/format.ts';
import { decode } from '../../x86/decoder.ts';
import { PF } from '../../x86/flags.ts';
import { Insn } from '../../x86/insn.ts';
import { cpuState } from '../cpu-state.ts';
import { GuestFault } from '../engine/core.ts';
import { LEAVE } from '../interp/record.ts';
import { instantiate } from '../wasm-api.ts';
import { type BlockInsn, compilable, compileBlocks, endsBlock } from './block.ts';

type Run = (cpu: number, rp: number, fuel: number) => number;
const BATCH = 200;

/** The vector's leading instructions that can be compiled; empty when the first cannot. */
function blockOf(v: Vector): BlockInsn[] {
  const block: BlockInsn[] = [];
  for (let at = 0; at < v.code.length; ) {
    const insn = new Insn();
    decode(v.code, at, v.code.length, 64, insn);
    if (insn.op === 0 || !compilable(insn)) break;
    block.push({ insn, rip: BigInt(CODE_BASE + at) });
    if (endsBlock(insn)) break;
    at += insn.length;
  }
  return block;
}

/** Runs the block until it is left for good; what is left then is the interpreter's. Answers true if it got through. */
function runBlock(r: VectorRunner, block: Run): boolean {
  const { m, cpu, engine } = r.t;
  for (;;) {
    const why = block(cpu, 0, 0);
    if (why === LEAVE.stop) return true;
    if (why !== LEAVE.miss) return false;
    try {
      if (!engine.plainFill(m.u32(cpu + cpuState.faultKind.offset))) return false;
    } catch (e) {
      if (!(e instanceof GuestFault)) throw e;
      return false;
    }
  }
}

describe('compiled blocks', () => {
  it('leave what a real CPU left, at the end of a block and at a fault in its middle', () => {
    const r = new VectorRunner();
    const { machine } = r.t;
    const cases = ['integer', 'bmi']
      .map((name) => readFileSync(new URL(`../../x86/vectors/${name}.vec.gz`, import.meta.url)))
      .flatMap((vectors) => [...readVectors(vectors)])
      .map((v) => ({ v, block: blockOf(v) }))
      .filter((c) => c.block.length > 0);
    const wrong: string[] = [];
    let through = 0;
    for (let i = 0; i < cases.length; i += BATCH) {
      const batch = cases.slice(i, i + BATCH);
      const module = compileBlocks(
        batch.map((c) => c.block),
        1,
        machine.maxPages,
      );
      const runs = instantiate(module, machine.memory) as Record<string, Run>;
      batch.forEach(({ v }, k) => {
        const differs = r.run(v, () => {
          if (runBlock(r, runs[`b${k}`] as Run)) through++;
        });
        if (differs.length > 0)
          wrong.push(`${v.name} ${Buffer.from(v.code).toString('hex')}: ${differs.join(', ')}`);
      });
    }
    expect(wrong).toEqual([]);
    // most cases must have gone all the way in compiled code
    expect(through).toBeGreaterThan(10_000);
    expect(through).toBeGreaterThan(cases.length / 2);
  });

  it('fault in the middle with what came before done and the rest not begun', () => {
    const r = new VectorRunner();
    // add rax, 1; mov rbx, [rdi]; add rax, 1
    const code = Uint8Array.of(0x48, 0x83, 0xc0, 0x01, 0x48, 0x8b, 0x1f, 0x48, 0x83, 0xc0, 0x01);
    const gpr = new BigUint64Array(16).fill(5n);
    gpr[7] = 0x3000_0000n;
    const before = {
      gpr,
      flags: 0,
      xmm: new Uint8Array(256),
      mxcsr: 0x1f80,
      mem: new Uint8Array(8192),
      memBase: MEM_BASE,
    };
    const after = { ...before, gpr: gpr.slice(), flags: PF };
    after.gpr[0] = 6n;
    const out = { ...after, fault: 14, errorCode: 4, cr2: gpr[7], rip: CODE_BASE + 4 };
    const v: Vector = { name: 'middle', code, in: before, out, undefinedFlags: 0 };
    const block = blockOf(v);
    expect(block).toHaveLength(3);
    const module = compileBlocks([block], 1, r.t.machine.maxPages);
    const { b0 } = instantiate(module, r.t.machine.memory) as { b0: Run };
    expect(r.run(v, () => void runBlock(r, b0))).toEqual([]);
    expect(r.run(v)).toEqual([]);
  });
});
