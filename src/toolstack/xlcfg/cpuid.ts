/**
 * `cpuid` of xl.cfg, in either of its forms, as wishes about CPUID's registers:
 *
 *   cpuid = "host,tm=0,sse3=k,family=0x17"              what the guest gets anyway, but for these
 *   cpuid = ["1:ecx=xxxxxxxxxxxxxxxxxxxxxxxxxxxx0xxx,edx=...", "0xd,1:eax=..."]      bit 31 comes first
 *
 * Bits are 1, 0, x (as by default), k and s (as the CPU has it, s to stay so over a migration).
 *
 * DIVERGES: of a name or value that it does not know xl warns and goes on; we refuse the configuration.
 */
import { CPUID_FIELDS, type CpuidField, REGISTERS, type Register } from './cpuid-names.ts';
import { visible } from './lexer.ts';
import { parseInteger, type Settings } from './settings.ts';

/** What is wished for a leaf; each register is 32 characters of 01xks. */
export interface CpuidWish {
  readonly leaf: number;
  readonly subleaf: number | undefined;
  readonly registers: Readonly<Partial<Record<Register, string>>>;
}

interface Draft {
  leaf: number;
  subleaf: number | undefined;
  registers: Partial<Record<Register, string>>;
}

const ANY = 'x'.repeat(32);
/** A family above 15 is 15 and the rest in the extended field. */
const BASE_FAMILY = 15;
const MAX_FAMILY = BASE_FAMILY + 255;

export function readCpuid(s: Settings): CpuidWish[] {
  const value = s.stringOrList('cpuid');
  if (value === undefined) return [];
  const drafts: Draft[] = [];
  if (typeof value === 'string') readFeatures(s, value, drafts);
  else for (const item of value) readLeaf(s, item, drafts);
  return drafts;
}

/** Refuses the text, at the character where it stopped making sense. */
function refuse(s: Settings, text: string, at: number, why: string): never {
  return s.fail('cpuid', `'cpuid': "${visible(text)}", character ${at + 1}: ${why}`);
}

function draftOf(drafts: Draft[], leaf: number, subleaf: number | undefined): Draft {
  const known = drafts.find((d) => d.leaf === leaf && d.subleaf === subleaf);
  if (known) return known;
  const draft: Draft = { leaf, subleaf, registers: {} };
  drafts.push(draft);
  return draft;
}

function readFeatures(s: Settings, text: string, drafts: Draft[]): void {
  const [first, ...rest] = text.split(',');
  if (first!.trim() !== 'host') refuse(s, text, 0, 'it must begin with "host"');
  let at = first!.length + 1;
  for (const part of rest) {
    const [name, value] = part.split('=', 2).map((t) => t.trim()) as [string, string | undefined];
    const field = CPUID_FIELDS.get(name);
    if (value === undefined) refuse(s, text, at, `"${visible(part)}" is not of the form name=value`);
    if (!field) refuse(s, text, at, `there is no feature "${visible(name)}"`);
    const bits = fieldBits(name, field, value);
    if (bits === undefined)
      refuse(s, text, at + part.indexOf('=') + 1, `"${visible(value)}" is no value of "${name}"`);
    const { registers } = draftOf(drafts, field.leaf, field.subleaf);
    const { register } = field;
    registers[register] = place(name, field, bits, registers[register] ?? ANY);
    at += part.length + 1;
  }
}

/** A field's value as characters, its highest bit first; undefined for what is none. */
function fieldBits(name: string, { length }: CpuidField, value: string): string | undefined {
  if (/^[xks]$/.test(value)) return value.repeat(name === 'family' ? 12 : length);
  const n = parseInteger(value);
  if (n === undefined || n < 0) return undefined;
  if (name === 'family') return n > MAX_FAMILY ? undefined : familyBits(n);
  return n >= 2 ** length ? undefined : n.toString(2).padStart(length, '0');
}

/** The extended field, then the base one. */
function familyBits(family: number): string {
  const base = Math.min(family, BASE_FAMILY);
  return (family - base).toString(2).padStart(8, '0') + base.toString(2).padStart(4, '0');
}

/** Writes a field into a register. Family and model have an upper part elsewhere. */
function place(name: string, { bit, length }: CpuidField, bits: string, register: string): string {
  if (name === 'family') return put(put(register, 20, bits.slice(0, 8)), 8, bits.slice(8));
  if (name === 'model') return put(put(register, 16, bits.slice(0, 4)), 4, bits.slice(4));
  return put(register, bit, bits.slice(-length));
}

function put(register: string, bit: number, bits: string): string {
  const end = 32 - bit;
  return register.slice(0, end - bits.length) + bits + register.slice(end);
}

/** `leaf[,subleaf]:register=bits,...` */
function readLeaf(s: Settings, text: string, drafts: Draft[]): void {
  const colon = text.indexOf(':');
  if (colon < 0) refuse(s, text, text.length, 'there is no ":" after the leaf');
  const [leaf, subleaf] = text
    .slice(0, colon)
    .split(',', 2)
    .map((n) => leafNumber(s, text, n));
  const { registers } = draftOf(drafts, leaf!, subleaf);
  let at = colon + 1;
  for (const part of text.slice(at).split(',')) {
    const [name, bits] = part.split('=', 2).map((t) => t.trim()) as [string, string | undefined];
    const register = REGISTERS.find((r) => r === name);
    if (!register) refuse(s, text, at, `"${visible(name)}" is not one of ${REGISTERS.join(', ')}`);
    const from = at + part.indexOf('=') + 1;
    if (bits === undefined || bits.length !== 32)
      refuse(s, text, from, `"${name}" needs 32 bits, of 0, 1, x, k and s`);
    const bad = bits.search(/[^01xks]/);
    if (bad >= 0) refuse(s, text, from + bad, `"${visible(bits[bad]!)}" is not one of 0, 1, x, k and s`);
    registers[register] = bits;
    at += part.length + 1;
  }
}

function leafNumber(s: Settings, text: string, number: string): number {
  const n = parseInteger(number);
  if (n === undefined || n < 0 || n >= 2 ** 32)
    refuse(s, text, 0, `"${visible(number)}" is not a leaf's number`);
  return n;
}
