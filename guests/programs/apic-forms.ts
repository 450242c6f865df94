/**
 * Every kind of instruction that a device's memory can be an operand of, on the page of the local APIC: it takes what was
 * written and gives what is there, once. That a write was one is seen in ESR, where a second clears what the first brought.
 */
import { Events } from '../events.ts';
import type { Guest } from '../guest.ts';
import { mem, R } from '../registers.ts';
import { REG, readXapic, writeXapic } from './apic-kit.ts';

const PAGE = 0xfee00000;
const ILLEGAL = 0x44005;
const SENT_ILLEGAL = 0x20;
/** TPR before a form. */
const OLD = 0x21;
/** ECX, XMM0 and the word at RSI. */
const NEW = 0x42;

interface Write {
  /** TPR behind it. */
  is: number;
  code: readonly number[];
  /** Writes only what it finds to be in EAX. */
  compares?: boolean;
}
const lock = (w: Write): Write => ({ ...w, code: [0xf0, ...w.code] });
const STC = 0xf9;
const ALU: Readonly<Record<string, Write>> = {
  add: { is: OLD + NEW, code: [0x01, 0x0b] },
  or: { is: OLD | NEW, code: [0x09, 0x0b] },
  and: { is: OLD & NEW, code: [0x21, 0x0b] },
  xor: { is: OLD ^ NEW, code: [0x31, 0x0b] },
  sub: { is: (OLD - NEW) & 0xff, code: [0x29, 0x0b] },
  'add imm': { is: OLD + 5, code: [0x83, 0x03, 5] },
  inc: { is: OLD + 1, code: [0xff, 0x03] },
  dec: { is: OLD - 1, code: [0xff, 0x0b] },
  not: { is: ~OLD & 0xff, code: [0xf7, 0x13] },
  neg: { is: -OLD & 0xff, code: [0xf7, 0x1b] },
  bts: { is: OLD | 8, code: [0x0f, 0xba, 0x2b, 3] },
  btr: { is: OLD & ~32, code: [0x0f, 0xba, 0x33, 5] },
  btc: { is: OLD & ~1, code: [0x0f, 0xba, 0x3b, 0] },
  xadd: { is: OLD + NEW, code: [0x0f, 0xc1, 0x0b] },
  cmpxchg: { is: NEW, code: [0x0f, 0xb1, 0x0b], compares: true },
};
const WRITES: Readonly<Record<string, Write>> = {
  mov: { is: NEW, code: [0x89, 0x0b] },
  'mov imm': { is: 0x43, code: [0xc7, 0x03, 0x43, 0, 0, 0] },
  xchg: { is: NEW, code: [0x87, 0x0b] },
  ...ALU,
  ...Object.fromEntries(Object.entries(ALU).map(([name, w]) => [`lock ${name}`, lock(w)])),
  adc: { is: OLD + NEW + 1, code: [STC, 0x11, 0x0b] },
  sbb: { is: (OLD - NEW - 1) & 0xff, code: [STC, 0x19, 0x0b] },
  'lock adc': { is: OLD + NEW + 1, code: [STC, 0xf0, 0x11, 0x0b] },
  'shl 1': { is: OLD << 1, code: [0xd1, 0x23] },
  'shl 2': { is: OLD << 2, code: [0xc1, 0x23, 2] },
  ror: { is: OLD >> 1, code: [0xd1, 0x0b] },
  rcl: { is: (OLD << 1) | 1, code: [STC, 0xd1, 0x13] },
  shld: { is: (OLD << 2) & 0xff, code: [0x0f, 0xa4, 0x0b, 2] },
  stos: { is: NEW, code: [0x89, 0xc8, 0xab] },
  'rep stos': { is: NEW, code: [0x89, 0xc8, 0xb9, 1, 0, 0, 0, 0xf3, 0xab] },
  movs: { is: NEW, code: [0xa5] },
  'rep movs': { is: NEW, code: [0xb9, 1, 0, 0, 0, 0xf3, 0xa5] },
  movnti: { is: NEW, code: [0x0f, 0xc3, 0x0b] },
  movd: { is: NEW, code: [0x66, 0x0f, 0x7e, 0x03] },
  movss: { is: NEW, code: [0xf3, 0x0f, 0x11, 0x03] },
  pextrd: { is: NEW, code: [0x66, 0x0f, 0x3a, 0x16, 0x03, 0] },
  movbe: { is: NEW, code: [0x0f, 0xc9, 0x0f, 0x38, 0xf1, 0x0b] },
  fist: { is: NEW, code: [0xdb, 0x06, 0xdb, 0x13, 0xdd, 0xd8] },
  fistp: { is: NEW, code: [0xdb, 0x06, 0xdb, 0x1b] },
  fisttp: { is: NEW, code: [0xdb, 0x06, 0xdb, 0x0b] },
  stmxcsr: { is: 0x80, code: [0x0f, 0xae, 0x1b] },
};

/** To EAX. */
const READS: Readonly<Record<string, { is: number; code: readonly number[] }>> = {
  mov: { is: OLD, code: [0x8b, 0x03] },
  movsxd: { is: OLD, code: [0x48, 0x63, 0x03] },
  add: { is: OLD + NEW, code: [0x89, 0xc8, 0x03, 0x03] },
  'imul imm': { is: 3 * OLD, code: [0x6b, 0x03, 3] },
  cmov: { is: OLD, code: [0x31, 0xc0, 0x0f, 0x44, 0x03] },
  bsr: { is: 5, code: [0x0f, 0xbd, 0x03] },
  popcnt: { is: 2, code: [0xf3, 0x0f, 0xb8, 0x03] },
  'bt, setc': { is: 1, code: [0x31, 0xc0, 0x0f, 0xba, 0x23, 5, 0x0f, 0x92, 0xc0] },
  'cmp, sete': { is: 1, code: [0x31, 0xc0, 0x83, 0x3b, OLD, 0x0f, 0x94, 0xc0] },
  'test, sete': { is: 1, code: [0x31, 0xc0, 0x85, 0x0b, 0x0f, 0x94, 0xc0] },
  andn: { is: OLD & ~NEW, code: [0xc4, 0xe2, 0x70, 0xf2, 0x03] },
  rorx: { is: OLD * 2, code: [0xc4, 0xe3, 0x7b, 0xf0, 0x03, 31] },
  lods: { is: OLD, code: [0x89, 0xde, 0xad] },
  'scas, sete': { is: 1, code: [0xb8, OLD, 0, 0, 0, 0xaf, 0xb8, 0, 0, 0, 0, 0x0f, 0x94, 0xc0] },
  movbe: { is: OLD, code: [0x0f, 0x38, 0xf0, 0x03, 0x0f, 0xc8] },
  movd: { is: OLD, code: [0x66, 0x0f, 0x6e, 0x03, 0x66, 0x0f, 0x7e, 0xc0] },
  movss: { is: OLD, code: [0xf3, 0x0f, 0x10, 0x03, 0x66, 0x0f, 0x7e, 0xc0] },
  pinsrd: { is: OLD, code: [0x66, 0x0f, 0x3a, 0x22, 0x03, 0, 0x66, 0x0f, 0x7e, 0xc0] },
  cvtsi2sd: { is: OLD, code: [0xf2, 0x0f, 0x2a, 0x03, 0xf2, 0x0f, 0x2c, 0xc0] },
  fild: { is: OLD, code: [0xdb, 0x03, 0xdb, 0x1e, 0x8b, 0x06] },
};

function run(e: Events, reg: number, eax: number, code: readonly number[]): void {
  const { a } = e.g;
  a.mov(R.ebx, PAGE + reg);
  a.mov(R.edi, PAGE + reg);
  a.mov(R.esi, 'af.word');
  a.mov(mem(32, R.rsi), NEW);
  a.mov(R.eax, eax);
  a.mov(R.ecx, NEW);
  a.db(0x66, 0x0f, 0x6e, 0xc1); // movd xmm0, ecx
  a.db(...code);
}

function writing(e: Events, name: string, w: Write): void {
  const { a } = e.g;
  writeXapic(a, REG.tpr, OLD);
  run(e, REG.tpr, OLD, w.code);
  readXapic(a, REG.tpr);
  e.value(`${name} to TPR`, w.is & 0xff);
  for (let i = 0; i < 2; i++) writeXapic(a, REG.esr, 0);
  writeXapic(a, REG.icr, ILLEGAL);
  run(e, REG.esr, w.compares ? 0 : OLD, w.code);
  readXapic(a, REG.esr);
  a.alu('and', R.eax, SENT_ILLEGAL);
  e.value(`${name} writes once`, SENT_ILLEGAL);
}

export function apicForms(g: Guest): void {
  const e = new Events(g);
  const { a } = g;
  g.variable('af.word', 8);
  a.db(0xdb, 0xe3); // fninit
  a.mov(R.esi, 'af.word');
  a.db(0x0f, 0xae, 0x1e); // stmxcsr [rsi]
  a.mov(R.eax, mem(32, R.rsi));
  e.value('MXCSR at the start', 0x1f80);
  writeXapic(a, REG.svr, 0x1ff);
  for (const [name, w] of Object.entries(WRITES)) writing(e, name, w);
  writeXapic(a, REG.tpr, OLD);
  for (const [name, r] of Object.entries(READS)) {
    run(e, REG.tpr, OLD, r.code);
    e.value(`${name} from TPR`, r.is);
  }
  writeXapic(a, REG.tpr, 0);
  e.done('accesses to a device');
}
