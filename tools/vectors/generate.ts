/**
 * Records the vector files: builds cases for every form, has native.c run them, writes what came out.
 *
 *   node tools/vectors/run.mjs [integer|sse|bmi|crypto|x87]...
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildCase, type Case, type OperandKind } from './build.ts';
import { parseEncoding, type SizeLetter } from './encode.ts';
import type { Form } from './form.ts';
import {
  CODE_BASE,
  FLAG_MASK,
  MEM_BASE,
  MEM_SIZE,
  type Outcome,
  type Recorded,
  type State,
  writeVectors,
} from './format.ts';
import { BMI_FORMS } from './forms-bmi.ts';
import { CRYPTO_FORMS } from './forms-crypto.ts';
import { INTEGER_FORMS } from './forms-integer.ts';
import { SSE_FORMS } from './forms-sse.ts';
import { Random } from './random.ts';
import { recordX87 } from './x87-generate.ts';

/** Offsets in native.c's `struct kase`. */
const KASE = {
  flags: 128,
  rip: 136,
  xmm: 144,
  mxcsr: 400,
  length: 404,
  code: 408,
  fault: 472,
  error: 476,
  cr2: 480,
  mem: 488,
};
const KASE_SIZE = KASE.mem + MEM_SIZE;
const BATCH = 1000;

const SETS: Readonly<Record<string, { forms: readonly Form[]; seed: number; lane: 'int' | 'float' }>> = {
  integer: { forms: INTEGER_FORMS, seed: 1, lane: 'int' },
  sse: { forms: SSE_FORMS, seed: 2, lane: 'float' },
  bmi: { forms: BMI_FORMS, seed: 3, lane: 'int' },
  crypto: { forms: CRYPTO_FORMS, seed: 4, lane: 'int' },
};

function makeBackground(r: Random): State {
  const gpr = BigUint64Array.from({ length: 16 }, () => r.u64());
  gpr[4] = BigInt(MEM_BASE + 0x1000 + r.below(64) * 16);
  return { gpr, flags: 0, xmm: r.bytes(256), mxcsr: 0x1f80, mem: r.bytes(MEM_SIZE), memBase: MEM_BASE };
}

function kindsOf(form: Form): OperandKind[] {
  const enc = parseEncoding(form.enc);
  if (enc.modrm === 'none') return ['none'];
  const kinds: OperandKind[] = [];
  if (form.rm !== 'm') kinds.push('reg');
  if (form.rm !== 'r') kinds.push('mem');
  if (form.lock) kinds.push('lock');
  return kinds;
}

function buildAll(
  forms: readonly Form[],
  r: Random,
  backgrounds: State[],
): { made: Case; background: number }[] {
  const out: { made: Case; background: number }[] = [];
  for (const form of forms) {
    for (const size of form.sizes) {
      for (const kind of kindsOf(form)) {
        const count = kind === 'lock' ? 8 : (form.cases ?? (kind === 'none' ? 40 : 28));
        for (let i = 0; i < count; i++) {
          const background = r.below(backgrounds.length);
          const made = buildCase(r, form, size as SizeLetter, kind, backgrounds[background]!);
          out.push({ made, background });
        }
      }
    }
  }
  return out;
}

function pack(batch: Case[]): Buffer {
  const buffer = Buffer.alloc(batch.length * KASE_SIZE);
  batch.forEach(({ state, code }, n) => {
    const at = n * KASE_SIZE;
    state.gpr.forEach((v, i) => {
      buffer.writeBigUInt64LE(v, at + i * 8);
    });
    buffer.writeUInt32LE(state.flags | 0x202, at + KASE.flags);
    buffer.set(state.xmm, at + KASE.xmm);
    buffer.writeUInt32LE(state.mxcsr, at + KASE.mxcsr);
    buffer.writeUInt32LE(code.length, at + KASE.length);
    buffer.set(code, at + KASE.code);
    buffer.set(state.mem, at + KASE.mem);
  });
  return buffer;
}

function unpack(buffer: Buffer, n: number): Outcome {
  const at = n * KASE_SIZE;
  return {
    gpr: BigUint64Array.from({ length: 16 }, (_, i) => buffer.readBigUInt64LE(at + i * 8)),
    flags: buffer.readUInt32LE(at + KASE.flags) & FLAG_MASK,
    xmm: Uint8Array.prototype.slice.call(buffer, at + KASE.xmm, at + KASE.mxcsr),
    mxcsr: buffer.readUInt32LE(at + KASE.mxcsr),
    mem: Uint8Array.prototype.slice.call(buffer, at + KASE.mem, at + KASE_SIZE),
    memBase: MEM_BASE,
    fault: buffer.readInt32LE(at + KASE.fault),
    errorCode: buffer.readUInt32LE(at + KASE.error),
    cr2: buffer.readBigUInt64LE(at + KASE.cr2),
    rip: Number(buffer.readBigUInt64LE(at + KASE.rip)),
  };
}

function runBatch(native: string, batch: Case[]): Outcome[] {
  const result = spawnSync(native, { input: pack(batch), maxBuffer: batch.length * KASE_SIZE + 4096 });
  const done = Math.floor((result.stdout?.length ?? 0) / KASE_SIZE);
  if (result.status !== 0 || done !== batch.length) {
    const at = batch[done];
    const code = Buffer.from(at?.code ?? []).toString('hex');
    throw new Error(
      `recorder stopped (status ${result.status}, signal ${result.signal}) at ${at?.name} ${code}`,
    );
  }
  return batch.map((_, n) => unpack(result.stdout, n));
}

function record(name: string, native: string, folder: string): void {
  const set = SETS[name];
  if (set === undefined) throw new Error(`no set of forms is called ${name}; there are ${Object.keys(SETS)}`);
  const r = new Random(set.seed);
  const backgrounds = Array.from({ length: 4 }, () => makeBackground(r));
  const cases = buildAll(set.forms, r, backgrounds);
  const recorded: Recorded[] = [];
  const faults = new Map<number, number>();
  for (let i = 0; i < cases.length; i += BATCH) {
    const batch = cases.slice(i, i + BATCH);
    const outcomes = runBatch(
      native,
      batch.map((c) => c.made),
    );
    batch.forEach(({ made, background }, n) => {
      const out = outcomes[n]!;
      if (out.rip < CODE_BASE || out.rip > CODE_BASE + 255)
        throw new Error(`${made.name} ran away to ${out.rip}`);
      faults.set(out.fault, (faults.get(out.fault) ?? 0) + 1);
      const vector = {
        name: made.name,
        code: made.code,
        in: made.state,
        out,
        undefinedFlags: made.undefinedFlags,
      };
      recorded.push({ vector, background });
    });
  }
  const file = writeVectors(backgrounds, recorded);
  writeFileSync(join(folder, `${name}.vec.gz`), file);
  const tally = [...faults]
    .map(([fault, count]) => `${fault < 0 ? 'none' : `#${fault}`} ${count}`)
    .join(', ');
  process.stdout.write(`${name}: ${recorded.length} vectors, ${file.length} bytes; faults: ${tally}\n`);
}

/** `root` is the project's folder. */
export function main(root: string, sets: string[]): void {
  const work = mkdtempSync(join(tmpdir(), 'vectors-'));
  try {
    const native = join(work, 'native');
    const source = join(root, 'tools/vectors/native.c');
    execFileSync('gcc', ['-O1', '-Wall', '-static', '-fno-pie', '-no-pie', '-o', native, source], {
      stdio: 'inherit',
    });
    const folder = join(root, 'src/x86/vectors');
    mkdirSync(folder, { recursive: true });
    for (const name of sets.length > 0 ? sets : [...Object.keys(SETS), 'x87']) {
      if (name === 'x87') recordX87(root);
      else record(name, native, folder);
    }
  } finally {
    rmSync(work, { recursive: true });
  }
}
