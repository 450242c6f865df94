/** Compares the decoder with iced-x86, one instruction at a time. What they are compared on: decoder-strings.fuzz.ts. */
import {
  Code,
  Decoder,
  DecoderError,
  DecoderOptions,
  CodeSize as IcedCodeSize,
  Instruction,
  MemorySizeExt,
  Mnemonic,
  OpKind,
  Register,
} from 'iced-x86';
import { DECODE_OK, DECODE_TOO_LONG, DECODE_TRUNCATED, decode } from './decoder.ts';
import { BASE_RIP, type CodeSize, Insn, NO_REG, OPK, type Operand } from './insn.ts';
import { OP, OP_NAMES } from './ops.ts';

const insn = new Insn();
const theirs = new Instruction();

interface Reg {
  readonly kind: number;
  readonly reg: number;
  readonly size: number;
}

/** Every iced register we have, by its number. */
const REGISTERS = new Map<number, Reg>();
const NAMES = Register as unknown as Record<string, number>;

function addRegisters(names: string, kind: number, size: number): void {
  names.split(' ').forEach((name, n) => {
    REGISTERS.set(NAMES[name]!, { kind, reg: n, size });
  });
}

function numbered(prefix: string, count: number): string {
  return Array.from({ length: count }, (_, n) => `${prefix}${n}`).join(' ');
}

addRegisters('AL CL DL BL SPL BPL SIL DIL R8L R9L R10L R11L R12L R13L R14L R15L AH CH DH BH', OPK.gpr, 1);
addRegisters('AX CX DX BX SP BP SI DI R8W R9W R10W R11W R12W R13W R14W R15W', OPK.gpr, 2);
addRegisters('EAX ECX EDX EBX ESP EBP ESI EDI R8D R9D R10D R11D R12D R13D R14D R15D', OPK.gpr, 4);
addRegisters('RAX RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15', OPK.gpr, 8);
addRegisters('ES CS SS DS FS GS', OPK.sreg, 2);
addRegisters(numbered('XMM', 16), OPK.xmm, 16);
addRegisters(numbered('MM', 8), OPK.mm, 8);
addRegisters(numbered('ST', 8), OPK.st, 10);
addRegisters(numbered('CR', 16), OPK.cr, 0);
addRegisters(numbered('DR', 16), OPK.dr, 0);

const MNEMONICS = Object.fromEntries(
  Object.entries(Mnemonic)
    .filter(([, id]) => typeof id === 'number')
    .map(([name, id]) => [id, name.toLowerCase()]),
) as Record<number, string>;

/** iced's name for what we call otherwise: `ours` and, where the name told it, the operand size. */
const RENAMED: Record<string, string> = {
  sal: 'shl',
  movsxd: 'movsx',
  xlatb: 'xlat',
  wait: 'fwait',
  jcxz: 'jrcxz',
  jecxz: 'jrcxz',
  cbw: 'cbw:2',
  cwde: 'cbw:4',
  cdqe: 'cbw:8',
  cwd: 'cwd:2',
  cdq: 'cwd:4',
  cqo: 'cwd:8',
  iret: 'iret:2',
  iretd: 'iret:4',
  iretq: 'iret:8',
  pusha: 'pusha:2',
  pushad: 'pusha:4',
  popa: 'popa:2',
  popad: 'popa:4',
  pushf: 'pushf:2',
  pushfd: 'pushf:4',
  pushfq: 'pushf:8',
  popf: 'popf:2',
  popfd: 'popf:4',
  popfq: 'popf:8',
  sysretq: 'sysret:8',
  sysexitq: 'sysexit:8',
  getsecq: 'getsec:8',
  pextrq: 'pextrd',
  pinsrq: 'pinsrd',
  pcmpestri64: 'pcmpestri:8',
  pcmpestrm64: 'pcmpestrm:8',
  wbnoinvd: 'wbinvd',
  vmgexit: 'vmmcall',
  // Hints, what processors without CET ignore, and what the 80387 and later ignore.
  ...rename('prefetch', 'prefetchw prefetchwt1 prefetchnta prefetcht0 prefetcht1 prefetcht2'),
  ...rename('nop', 'reservednop prefetchit0 prefetchit1 cldemote endbr32 endbr64 rdsspd rdsspq'),
  ...rename('fnop', 'fneni fndisi fnsetpm'),
};

function rename(ours: string, theirs: string): Record<string, string> {
  return Object.fromEntries(theirs.split(' ').map((name) => [name, ours]));
}

const CODES = Code as unknown as Record<number, string>;
const CONDITIONS = 'o no b ae e ne be a s ns p np l ge le g'.split(' ');

function expectedOp(i: Instruction): { name: string; size?: number; cc?: number } {
  const name = MNEMONICS[i.mnemonic]!;
  const condition = /^(j|set|cmov)(\w+)$/.exec(name);
  if (condition && CONDITIONS.includes(condition[2]!)) {
    return { name: `${condition[1]}cc`, cc: CONDITIONS.indexOf(condition[2]!) };
  }
  if (i.isStringInstruction) return { name: name.slice(0, -1), size: 1 << 'bwdq'.indexOf(name.at(-1)!) };
  if (i.isJmpFar || i.isJmpFarIndirect || i.isCallFar || i.isCallFarIndirect) return { name: `${name}f` };
  if (name === 'mov') {
    const kinds = [0, 1].map((n) => REGISTERS.get(i.opRegister(n))?.kind);
    if (kinds.includes(OPK.sreg)) return { name: 'mov_sreg' };
    if (kinds.includes(OPK.cr)) return { name: 'mov_cr' };
    if (kinds.includes(OPK.dr)) return { name: 'mov_dr' };
  }
  if (name === 'movq' && /rm64/.test(CODES[i.code]!)) return { name: 'movd' };
  const [ours, size] = (RENAMED[name] ?? /^(.*?)(64)?$/.exec(name)![1]!).split(':');
  return size === undefined ? { name: ours! } : { name: ours!, size: Number(size) };
}

/** Our list of operands leaves out those an operation always has; where that is, what of iced's list remains. */
function listedOperands(i: Instruction, name: string): number[] {
  const all = Array.from({ length: i.opCount }, (_, n) => n);
  if (i.isStringInstruction || IMPLICIT_ALL.has(name)) return [];
  if (IMPLICIT_FIRST.has(name)) return all.slice(1);
  return IMPLICIT_LAST.has(name) ? all.slice(0, 2) : all;
}

const IMPLICIT_ALL = new Set('xlat nop vmrun vmload vmsave invlpga skinit clzero monitor mwait'.split(' '));
const IMPLICIT_FIRST = new Set(['maskmovq', 'maskmovdqu']);
const IMPLICIT_LAST = new Set(['pblendvb', 'blendvps', 'blendvpd', 'sha256rnds2']);
/** 16-bit sources for which iced names the register by operand size. */
const WORD_SOURCE = new Set('mov_sreg lldt ltr verr verw lmsw lar lsl arpl'.split(' '));

function mask(value: bigint, bytes: number): bigint {
  return BigInt.asUintN(bytes * 8, value);
}

function join(low: number, high: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low >>> 0);
}

function compareRegister(i: Instruction, n: number, got: Operand, name: string): string | undefined {
  const want = REGISTERS.get(i.opRegister(n));
  if (want === undefined) return `operand ${n}: unknown register ${NAMES[i.opRegister(n)]}`;
  if (got.kind !== want.kind || got.reg !== want.reg) return `operand ${n}: register`;
  const sized = want.kind === OPK.gpr && !(WORD_SOURCE.has(name) && got.size === 2);
  return sized && got.size !== want.size ? `operand ${n}: register size ${got.size}` : undefined;
}

function registerOrNone(reg: number): number {
  return reg === Register.None ? NO_REG : (REGISTERS.get(reg)?.reg ?? -1);
}

function compareSegment(i: Instruction): string | undefined {
  // iced shows an ES, CS, SS or DS override in 64-bit mode although it does nothing.
  const shown = REGISTERS.get(i.memorySegment)!.reg;
  const idle = i.codeSize === IcedCodeSize.Code64 && shown < 4 && i.segmentPrefix !== Register.None;
  return (idle ? insn.segOverride : insn.seg !== shown) ? 'segment' : undefined;
}

function compareMemory(i: Instruction, n: number, got: Operand): string | undefined {
  if (got.kind !== OPK.mem) return `operand ${n}: memory`;
  const rip = i.memoryBase === Register.RIP || i.memoryBase === Register.EIP;
  if (insn.base !== (rip ? BASE_RIP : registerOrNone(i.memoryBase))) return 'base';
  if (insn.index !== registerOrNone(i.memoryIndex)) return 'index';
  if (insn.index !== NO_REG && 1 << insn.scale !== i.memoryIndexScale) return 'scale';
  const named = REGISTERS.get(i.memoryBase) ?? REGISTERS.get(i.memoryIndex);
  const addrSize = rip ? (i.memoryBase === Register.RIP ? 8 : 4) : (named?.size ?? i.memoryDisplSize);
  if (addrSize !== 0 && addrSize !== insn.addrSize) return 'address size';
  const disp = join(insn.disp, insn.dispHi) + (rip ? i.nextIP : 0n);
  if (mask(disp, insn.addrSize) !== mask(i.memoryDisplacement, insn.addrSize)) return 'displacement';
  const segment = compareSegment(i);
  if (segment !== undefined) return segment;
  const bytes = MemorySizeExt.size(i.memorySize);
  return bytes !== 0 && got.size !== 0 && bytes !== got.size
    ? `memory size ${got.size}, not ${bytes}`
    : undefined;
}

const IMMEDIATE_BYTES = new Map<number, number>([
  [OpKind.Immediate8, 1],
  [OpKind.Immediate8_2nd, 1],
  [OpKind.Immediate16, 2],
  [OpKind.Immediate8to16, 2],
  [OpKind.Immediate32, 4],
  [OpKind.Immediate8to32, 4],
]);

function compareImmediate(i: Instruction, n: number, got: Operand): string | undefined {
  if (got.kind !== OPK.imm) return `operand ${n}: immediate`;
  const bytes = IMMEDIATE_BYTES.get(i.opKind(n)) ?? 8;
  const value = i.opKind(n) === OpKind.Immediate8_2nd ? BigInt(insn.imm2) : join(insn.imm, insn.immHi);
  return mask(value, bytes) === mask(i.immediate(n), bytes) ? undefined : `operand ${n}: immediate`;
}

function compareBranch(i: Instruction, n: number, got: Operand): string | undefined {
  const kind = i.opKind(n);
  if (kind === OpKind.FarBranch16 || kind === OpKind.FarBranch32) {
    const offset = kind === OpKind.FarBranch16 ? i.farBranch16 : i.farBranch32;
    const same = insn.imm >>> 0 === offset && insn.immHi === i.farBranchSelector;
    return same && got.kind === OPK.far ? undefined : 'far pointer';
  }
  if (got.kind !== OPK.rel) return `operand ${n}: branch`;
  const bytes = kind === OpKind.NearBranch16 ? 2 : kind === OpKind.NearBranch32 ? 4 : 8;
  if (insn.opSize !== bytes) return `branch size ${insn.opSize}`;
  return mask(i.nextIP + BigInt(insn.imm), bytes) === i.nearBranchTarget ? undefined : 'branch target';
}

function compareOperand(i: Instruction, n: number, got: Operand, name: string): string | undefined {
  const kind = i.opKind(n);
  if (kind === OpKind.Register) return compareRegister(i, n, got, name);
  if (kind === OpKind.Memory) return compareMemory(i, n, got);
  return kind <= OpKind.FarBranch32 ? compareBranch(i, n, got) : compareImmediate(i, n, got);
}

/** Bytes of one stack element of what has no operand to tell them; undefined for the others. */
function stackWidth(i: Instruction, name: string): number | undefined {
  const moved = i.stackPointerIncrement;
  switch (name) {
    case 'ret':
      return i.opCount > 0 ? moved - Number(i.immediate(0)) : moved;
    case 'retf':
      return (i.opCount > 0 ? moved - Number(i.immediate(0)) : moved) / 2;
    case 'call':
    case 'push':
      return -moved;
    case 'callf':
      return -moved / 2;
    case 'pop':
      return moved;
    case 'enter':
    case 'leave':
      return 1 << 'bwdq'.indexOf(/^[a-z]+?([wdq])(_|$)/i.exec(CODES[i.code]!)![1]!);
    default:
      return undefined;
  }
}

/** Segment and address size of the memory that string instructions and their like have without an operand. */
function compareImplicit(i: Instruction, name: string): string | undefined {
  if (!i.isStringInstruction && name !== 'xlat' && !IMPLICIT_FIRST.has(name)) return undefined;
  const kinds = Array.from({ length: i.opCount }, (_, n) => i.opKind(n));
  const strings = kinds.filter((kind) => kind >= OpKind.MemorySegSI && kind <= OpKind.MemoryESRDI);
  const bytes = strings.map((kind) => 2 << ((kind - OpKind.MemorySegSI) % 3));
  if (bytes.some((size) => size !== insn.addrSize)) return 'address size';
  const overridable = name === 'xlat' || strings.some((kind) => kind <= OpKind.MemorySegRDI);
  return overridable ? compareSegment(i) : undefined;
}

/** Everything about a valid instruction; the first difference in words. */
function compareInstruction(i: Instruction): string | undefined {
  const want = expectedOp(i);
  if (OP_NAMES[insn.op] !== want.name) return `operation ${OP_NAMES[insn.op]}, not ${want.name}`;
  if (insn.length !== i.length) return 'length';
  if (want.size !== undefined && insn.opSize !== want.size) return `operand size ${insn.opSize}`;
  if (want.cc !== undefined && insn.cc !== want.cc) return 'condition';
  if (insn.lock !== i.hasLockPrefix) return 'lock';
  const width = stackWidth(i, want.name);
  if (width !== undefined && insn.opSize !== width) return `operand size ${insn.opSize}, not ${width}`;
  if (i.isStringInstruction) {
    const rep = i.hasRepPrefix ? 0xf3 : i.hasRepnePrefix ? 0xf2 : 0;
    if (insn.rep !== rep) return `rep ${insn.rep}, not ${rep}`;
  }
  const implicit = compareImplicit(i, want.name);
  if (implicit !== undefined) return implicit;
  const listed = listedOperands(i, want.name);
  if (insn.count !== listed.length && want.name !== 'nop') return `${insn.count} operands`;
  for (const [ours, n] of listed.entries()) {
    const difference = compareOperand(i, n, insn.operands[ours]!, want.name);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

const ERRORS: Record<number, string> = { [DECODE_TRUNCATED]: 'truncated', [DECODE_TOO_LONG]: 'too long' };

/** What iced makes of an instruction, and how the decoder differs. */
export interface Verdict {
  /** iced's Code, or `invalid` or `truncated`. */
  readonly code: string;
  readonly mnemonic: string;
  readonly length: number;
  readonly difference: string | undefined;
}

/** Decodes the instruction at `offset` of the bytes `decoder` was made for with both. */
export function compareAt(decoder: Decoder, bytes: Uint8Array, offset: number, ip: bigint): Verdict {
  decoder.position = offset;
  decoder.ip = ip;
  decoder.decodeOut(theirs);
  const status = decode(bytes, offset, bytes.length, decoder.bitness as CodeSize, insn);
  const ours = status !== DECODE_OK ? ERRORS[status]! : insn.op === OP.invalid ? 'invalid' : 'valid';
  const length = theirs.length;
  if (decoder.lastError === DecoderError.None) {
    const difference = ours === 'valid' ? compareInstruction(theirs) : ours;
    return { code: CODES[theirs.code]!, mnemonic: MNEMONICS[theirs.mnemonic]!, length, difference };
  }
  const code = decoder.lastError === DecoderError.NoMoreBytes ? 'truncated' : 'invalid';
  const same = ours === code || (ours === 'too long' && code === 'invalid');
  return { code, mnemonic: code, length, difference: same ? undefined : ours };
}

export function newDecoder(bytes: Uint8Array, size: CodeSize): Decoder {
  return new Decoder(size, bytes, DecoderOptions.None);
}
