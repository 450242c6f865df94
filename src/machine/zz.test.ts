import { test } from 'vitest';
import { TestCpu } from './testing.ts';
import { cpuState } from './cpu-state.ts';
test('n', () => {
  const t0 = Date.now();
  const t = new TestCpu();
  console.log('create', Date.now() - t0);
  const base = 0x20000000;
  const code = t.map(base, true, false);
  t.map(0x10000000);
  const run = (name: string, hex: string, n: number, per: number, mxcsr: number) => {
    t.engine.dropCode(code >>> 12);
    const b = Buffer.from(`48c7c1${Buffer.from(new Uint32Array([n]).buffer).toString('hex')}${hex}48ffc975`, 'hex');
    const body = hex.length / 2 + 3 + 2;
    t.m.write(code, Buffer.concat([b, Buffer.from([256 - body, 0xf4])]));
    t.m.setU32(t.cpu + cpuState.mxcsr.offset, mxcsr);
    for (let i = 0; i < 16; i++) { t.m.setF64(cpuState.xmm.addr(t.cpu) + i * 16, 1.5 + i); t.m.setF64(cpuState.xmm.addr(t.cpu) + i * 16 + 8, 2.5 + i); t.m.setU64(t.cpu + 8 * i, 0x10000000n); }
    for (const k of [0, 1]) {
      t.user(base, 0x202);
      const s = performance.now();
      t.run();
      if (k) console.log(name, ((performance.now() - s) * 1e6 / n / per).toFixed(2), 'ns/insn', t.m.u32(t.cpu + cpuState.mxcsr.offset).toString(16));
    }
  };
  const N = 3_000_000;
  run('loop only', '', N, 2, 0x1fa0);
  run('mov', '4889d8'.repeat(8), N, 10, 0x1fa0);
  run('addsd', 'f20f58c1'.repeat(8), N, 10, 0x1fa0);
  run('addsd fresh exact', 'f20f58c1'.repeat(8), N, 10, 0x1f80);
  run('divsd', 'f20f5ed9'.repeat(8), N, 10, 0x1fa0);
  run('addps', '0f58d1'.repeat(8), N, 10, 0x1fa0);
  run('addpd', '660f58d1'.repeat(8), N, 10, 0x1fa0);
  run('pxor', '660fefd1'.repeat(8), N, 10, 0x1fa0);
  run('movdqa', '660f6fd1'.repeat(8), N, 10, 0x1fa0);
  run('movdqu load', 'f30f6f10'.repeat(8), N, 10, 0x1fa0);
  run('pcmpeqb mem', '660f7410'.repeat(8), N, 10, 0x1fa0);
  run('paddb mem', '660ffc10'.repeat(8), N, 10, 0x1fa0);
  run('pmovmskb', '660fd7d1'.repeat(8), N, 10, 0x1fa0);
  run('ucomisd', '660f2ec1'.repeat(8), N, 10, 0x1fa0);
  run('cvttsd2si', 'f2480f2cd1'.repeat(8), N, 10, 0x1fa0);
  run('slow divsd', 'f20f5ed9'.repeat(8), N / 30, 10, 0x9fc0);
});
