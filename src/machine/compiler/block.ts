/**
 * Compiles one basic block of 64-bit code from the same decoded instructions and semantics as the interpreter. The
 * family: moves, arithmetic, logic, shifts, loads, stores, conditions, branches, calls. What is outside it ends the block.
 */
import type { Code } from '../../wasm/code.ts';
import { I32, I64, Module, type ValType } from '../../wasm/module.ts';
import { type Insn, OPK } from '../../x86/insn.ts';
import { type OpName, OP as X } from '../../x86/ops.ts';
import { SIZED_BY_OPERAND } from '../../x86/sem/bmi.ts';
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
    'bsr popcnt cbw cwd jcc andn bextr blsi blsmsk blsr bzhi mulx rorx sarx shlx shrx adcx adox'
  )
    .split(' ')
    .map((name) => [X[name as OpName], name]),
);
const ENDS = new Set([X.jcc, X.jmp]);

/** True when a block may hold the instruction. */
export function compilable(i: Insn): boolean {
  if (i.lock || i.rep !== 0) return false;
  if (
    i.operands.some((o) => o.kind !== OPK.none && ![OPK.gpr, OPK.mem, OPK.imm, OPK.rel].includes(o.kind as 1))
  )
    return false;
  return i.op === X.jmp ? i.operands[0].kind === OPK.rel : FAMILY.has(i.op);
}
export const endsBlock = (i: Insn): boolean => ENDS.has(i.op);

/** A module with a function `b0`, `b1`, ... for each block; (cpu, 0, 0) executes it once and answers a LEAVE. */
export function compileBlocks(
  blocks: readonly (readonly BlockInsn[])[],
  minPages: number,
  maxPages: number,
): Uint8Array {
  const m = new Module();
  m.importSharedMemory(minPages, maxPages);
  blocks.forEach((block, i) => {
    const locals = [...LOCAL_TYPES, ...Array<ValType>(GPR_LOCALS).fill(I64)];
    m.func([I32, I32, I32], [I32], locals, compileBlock(block), `b${i}`);
  });
  return m.bytes();
}

function compileBlock(block: readonly BlockInsn[]): Code {
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
  // what must be loaded first is known only now
  const body = e.code.done();
  e.code.length = 0;
  e.prologue();
  e.code.append(body);
  return e.code;
}

function emit(e: BlockEmitter, i: Insn): void {
  if (i.op === X.jmp) return e.jumpRel();
  const name = FAMILY.get(i.op) as string;
  const semantics = INTEGER[name]!;
  const own = SIZED_BY_OPERAND.has(i.op) ? i.operands[0].size : i.opSize;
  const z = (i.op === X.setcc ? 1 : own) as Size;
  const widening = i.op === X.movzx || i.op === X.movsx;
  const variant = widening ? i.operands[1].size : i.cc;
  const mem = i.operands.findIndex((o) => o.kind === OPK.mem);
  if (mem >= 0 && i.op !== X.lea) {
    const size = widening ? variant : z;
    e.access(size, mem === 0, semantics.dst as 'r' | 'w' | 'rw', false, false);
  }
  semantics.fn(e, z, variant);
}
