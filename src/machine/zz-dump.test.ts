import { readFileSync } from 'node:fs';
import { test } from 'vitest';
import { readVectors } from '../../tools/vectors/format.ts';
test('dump', () => {
  const [name, hex] = (process.env.DUMP ?? '').split('/');
  let n = 0;
  for (const v of readVectors(readFileSync(new URL('../x86/vectors/sse.vec.gz', import.meta.url)))) {
    if (!v.name.startsWith(name!)) continue;
    if (hex && Buffer.from(v.code).toString('hex') !== hex) continue;
    if (n++ > 3) return;
    const x = (b: Uint8Array) => Array.from({ length: 16 }, (_, i) => `${i}=${Buffer.from(b.slice(i * 16, i * 16 + 16)).reverse().toString('hex')}`).join(' ');
    console.log(v.name, Buffer.from(v.code).toString('hex'), 'mxcsr', v.in.mxcsr.toString(16), v.out.mxcsr.toString(16), 'fault', v.out.fault, '\n', x(v.in.xmm), '\n', x(v.out.xmm), [...v.in.gpr].map((g) => g.toString(16)).join(' '), '\n', [...v.out.gpr].map((g) => g.toString(16)).join(' '));
  }
});
