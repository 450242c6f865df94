/**
 * Compiles one basic block of 64-bit code from the same decoded instructions and semantics as the interpreter. The
 * family: moves, arithmetic, logic, shifts, loads, stores, conditions, branches, calls. What is outside it ends the block.
 */
import { Code } from '../../wasm/code.ts';
import { I32, I64, Module } from '../../wasm/module.ts';
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP as X, type OpName } from '../../x86/ops.ts';
import { INTEGER } from '../../x86/sem/integer.ts';
import type { Size } from '../../x86/sem/sem.ts';
import { LOCAL_TYPES } from '../emit/access.ts';
import { BlockEmitter, GPR_LOCALS } from './block-emitter.ts';

export interface BlockInsn {
  readonly insn: Insn;
  readonly rip: bigint;
}

/** Mnemonic to the semantics' name, where the instruction can be compiled. */
const FAMILY = new Map<number, string>(
  (
    'mov movzx movsx lea add or adc sbb and sub xor cmp test inc dec neg not shl shr sar rol ror setcc cmovcc bswap bsf ' +
    'bsr popcnt cbw cwd jcc'
  )
    .split(' ')
    .map((name) => [X[name as OpName], name]),
);
const ENDS = new Set([X.jcc, X.jmp]);

/** True when a block may hold the instruction. */
export function compilable(i: Insn): boolean {
  if (i.lock || i.rep !== 0) return false;
  if (i.operands.some((o) => o.kind !== OPK.none && ![OPK.gpr, OPK.mem, OPK.imm, OPK.rel].includes(o.kind as 1)))
    return false;
  return i.op === X.jmp ? i.operands[0].kind === OPK.rel : FAMILY.has(i.op);
}
export const endsBlock = (i: Insn): boolean => ENDS.has(i.op);


/** A module whose `run(cpu, 0, 0)` executes the block once; as the interpreter's it answers a LEAVE. */
export function compileBlock(block: readonly BlockInsn[], minPages: number, maxPages: number): Uint8Array {
  const e = new BlockEmitter();
  e.open('leave');
  block.forEach(({ insn, rip }, n) => {
    e.begin(insn, rip, n);
    emit(e, insn);
  });
  const last = block.at(-1)?.insn as Insn;
  if (last.op !== X.jmp) e.fallThrough();
  e.end();
  e.epilogue();
  const body = e.code.done();
  e.code.length = 0;
  e.prologue();
  const code = new Code();
  code.append(e.code.done());
  code.append(body);
  const m = new Module();
  m.importSharedMemory(minPages, maxPages);
  m.func([I32, I32, I32], [I32], [...LOCAL_TYPES, ...Array(GPR_LOCALS).fill(I64)], code, 'run');
  return m.bytes();
}

function emit(e: BlockEmitter, i: Insn): void {
  if (i.op === X.jmp) return e.jumpRel();
  const name = FAMILY.get(i.op) as string;
  const semantics = INTEGER[name]!;
  const z = (i.op === X.setcc ? 1 : i.opSize) as Size;
  const widening = i.op === X.movzx || i.op === X.movsx;
  const variant = widening ? i.operands[1].size : i.cc;
  const mem = i.operands.findIndex((o) => o.kind === OPK.mem);
  if (mem >= 0 && i.op !== X.lea) {
    const size = widening ? variant : z;
    e.access(size, mem === 0, semantics.dst as 'r' | 'w' | 'rw', false, false);
  }
  semantics.fn(e, z, variant);
}
