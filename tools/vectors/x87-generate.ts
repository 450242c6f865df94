/** Records src/x86/vectors/x87.vec.gz: builds cases for every x87 form, has x87.c run them, writes what came out. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Random } from './random.ts';
import { FLAG_MASK, initialUnit, MEM_SIZE, type UnitState, writeX87, type X87Vector } from './x87-format.ts';
import { chooseMemory, chooseMmx, chooseValues, edgeExtended, X87_FORMS, type X87Form } from './x87-forms.ts';

/** Offsets in x87.c's `struct kase`. */
const KASE = { image: 0, fault: 108, rax: 112, flags: 120, length: 128, code: 136, mem: 152 };
const KASE_SIZE = KASE.mem + MEM_SIZE;

function putExtended(to: Uint8Array, at: number, v: bigint): void {
  for (let k = 0; k < 10; k++) to[at + k] = Number((v >> BigInt(8 * k)) & 255n);
}

function chooseControl(r: Random): { fcw: number; exceptions: number } {
  const precision = r.pick([0, 2, 3, 3, 3]);
  const masks = r.chance(78) ? 0x3f : r.chance(50) ? 0x3f & ~(1 << r.below(6)) : r.below(64);
  // flags whose exception is unmasked would raise #MF at once
  const exceptions = r.chance(30) ? r.below(64) & (r.chance(95) ? masks : 0x3f) : 0;
  return { fcw: 0x40 | masks | (precision << 8) | ((r.chance(40) ? 0 : r.below(4)) << 10), exceptions };
}

function chooseTags(r: Random, top: number, sti: number, pushes: boolean): number {
  let empty = r.below(256);
  const set = (st: number, percent: number): void => {
    const bit = 1 << ((top + st) & 7);
    empty = r.chance(percent) ? empty | bit : empty & ~bit;
  };
  if (pushes) set(7, 94);
  set(sti, 4);
  set(1, 4);
  set(0, 4);
  let tags = 0;
  for (let n = 0; n < 8; n++) if ((empty >> n) & 1) tags |= 3 << (2 * n);
  return tags;
}

/** An environment or a whole image in memory, in either format. */
function imageBytes(r: Random): Uint8Array {
  const mem = r.bytes(108);
  for (let n = 0; n < 8; n++) putExtended(mem, 28 + 10 * n, edgeExtended(r));
  return mem;
}

function build(r: Random, form: X87Form): X87Vector {
  const s = initialUnit();
  const { fcw, exceptions } = chooseControl(r);
  const top = r.below(8);
  const sti = form.st ? r.below(8) : 1;
  s.fcw = fcw;
  const summary = exceptions & ~fcw & 0x3f ? 0x8080 : 0;
  s.fsw = exceptions | (top << 11) | (r.u32() & 0x4740) | summary;
  s.tags = chooseTags(r, top, sti, form.pushes ?? false);
  s.fop = r.u32() & 0x7ff;
  s.fip = r.u32();
  s.fdp = r.u32();
  s.ax = r.u32() & 0xffff;
  s.flags = r.u32() & FLAG_MASK;
  if (form.mmx) putMmx(r, form, s, sti);
  else {
    const [a, b] = chooseValues(r, form);
    putExtended(s.regs, ((top + sti) & 7) * 10, b);
    putExtended(s.regs, (top & 7) * 10, a);
  }
  if (form.mem === 'image') s.mem.set(imageBytes(r));
  else if (form.mem !== undefined && form.mem !== 'out') {
    const [bits, bytes] = chooseMemory(r, form.mem);
    for (let k = 0; k < bytes; k++) s.mem[k] = Number((bits >> BigInt(8 * k)) & 255n);
  }
  const run = { in: s, out: undefined, fault: -1 };
  const code = Uint8Array.from([...(form.prefix ?? []), form.opcode, ...modrm(form, sti)]);
  if (form.imm !== undefined)
    return { name: form.name, code: Uint8Array.from([...code, r.below(form.imm)]), ...run };
  return { name: form.name, code, ...run };
}

/** MMX operands are the low 64 bits of physical registers. */
function putMmx(r: Random, form: X87Form, s: UnitState, source: number): void {
  const [a, b] = chooseMmx(r, form);
  putExtended(s.regs, 10 * source, (0x3fffn << 64n) | b);
  putExtended(s.regs, 0, (0x3fffn << 64n) | a);
}

/** ModRM, where there is one. */
function modrm(form: X87Form, sti: number): number[] {
  if (form.modrm < 0) return []; // the opcode ends a whole snippet
  if (form.mem !== undefined) return [(form.modrm << 3) | 7];
  return [form.modrm + (form.st ? sti : 0)];
}

/** FNSAVE's image: registers in stack order. */
function pack(v: X87Vector): Buffer {
  const b = Buffer.alloc(KASE_SIZE);
  const s = v.in;
  [s.fcw, s.fsw, s.tags, s.fip, s.fop << 16, s.fdp, 0].forEach((w, k) => {
    b.writeUInt32LE(w >>> 0, 4 * k);
  });
  const top = (s.fsw >> 11) & 7;
  for (let st = 0; st < 8; st++)
    b.set(s.regs.subarray(((top + st) & 7) * 10, ((top + st) & 7) * 10 + 10), 28 + 10 * st);
  b.writeBigUInt64LE(BigInt(s.ax), KASE.rax);
  b.writeUInt32LE(s.flags | 0x202, KASE.flags);
  b.writeUInt32LE(v.code.length, KASE.length);
  b.set(v.code, KASE.code);
  b.set(s.mem, KASE.mem);
  return b;
}

function unpack(b: Buffer, at: number): UnitState {
  const word = (k: number): number => b.readUInt32LE(at + 4 * k);
  const fsw = word(1) & 0xffff;
  const regs = new Uint8Array(80);
  for (let st = 0; st < 8; st++) {
    const from = at + 28 + 10 * st;
    regs.set(b.subarray(from, from + 10), ((((fsw >> 11) & 7) + st) & 7) * 10);
  }
  return {
    fcw: word(0) & 0xffff,
    fsw,
    tags: word(2) & 0xffff,
    fop: word(4) >>> 16,
    fip: word(3),
    fdp: word(5),
    ax: b.readUInt16LE(at + KASE.rax),
    flags: b.readUInt32LE(at + KASE.flags) & FLAG_MASK,
    regs,
    mem: Uint8Array.prototype.slice.call(b, at + KASE.mem, at + KASE_SIZE),
  };
}

function run(native: string, cases: readonly X87Vector[]): X87Vector[] {
  const input = Buffer.concat(cases.map(pack));
  const { status, stdout } = spawnSync(native, { input, maxBuffer: input.length + 4096 });
  if (status !== 0 || stdout.length !== input.length)
    throw new Error(`recorder stopped with status ${status}`);
  return cases.map((v, n) => {
    const fault = stdout.readInt32LE(n * KASE_SIZE + KASE.fault);
    return { ...v, fault, out: fault < 0 ? unpack(stdout, n * KASE_SIZE) : undefined };
  });
}
/** Vectors whose pointers went away: on some CPUs a switch to another task drops FIP, FDP and FOP. */
function lost(vectors: readonly X87Vector[]): number[] {
  const out: number[] = [];
  vectors.forEach(({ name, in: before, out: after }, n) => {
    if (!after || /^(fninit|fnsave|frstor|fldenv)/.test(name)) return;
    if (after.fip === 0 || (after.fdp === 0 && before.fdp !== 0)) out.push(n);
  });
  return out;
}

export function recordX87(root: string): void {
  const work = mkdtempSync(join(tmpdir(), 'vectors-'));
  try {
    const native = join(work, 'x87');
    const source = join(root, 'tools/vectors/x87.c');
    execFileSync('gcc', ['-O1', '-Wall', '-static', '-fno-pie', '-no-pie', '-o', native, source], {
      stdio: 'inherit',
    });
    const r = new Random(3);
    const cases = X87_FORMS.flatMap((form) => Array.from({ length: form.cases }, () => build(r, form)));
    const vectors = run(native, cases);
    for (let again = lost(vectors); again.length > 0; again = lost(vectors)) {
      const repeated = run(
        native,
        again.map((n) => vectors[n]!),
      );
      again.forEach((n, k) => {
        vectors[n] = repeated[k]!;
      });
    }
    const file = writeX87(vectors);
    writeFileSync(join(root, 'src/x86/vectors/x87.vec.gz'), file);
    const faults = vectors.filter((v) => v.fault >= 0).length;
    process.stdout.write(`x87: ${vectors.length} vectors, ${file.length} bytes; faults: ${faults}\n`);
  } finally {
    rmSync(work, { recursive: true });
  }
}
