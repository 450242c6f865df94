/**
 * Every form that vectors are made for, derived from the decoder's tables: the tree that selects an opcode's form is
 * walked with all answers, and each form found is taken apart by what changes what it does: code size, operand size,
 * register or memory operand, LOCK, REP.
 */
import { FORM, IN_MODRM, K, SIZE } from '../../src/x86/opcode-form.ts';
import {
  ASK,
  FORM_COUNT,
  FORM_FLAGS,
  FORM_OP,
  FORM_OPERANDS,
  MODE64,
  NODES,
  ROOTS,
} from '../../src/x86/opcode-table.ts';
import { OP_NAMES, type OpName } from '../../src/x86/ops.ts';

/** One way through an opcode's tree: what each question was answered, -1 where it was not asked. */
export interface Path {
  readonly prefix: number;
  /** 0 memory, 1 register. */
  readonly mod: number;
  readonly reg: number;
  readonly rm: number;
  readonly w: number;
  readonly b: number;
}

export interface Operand {
  readonly kind: number;
  readonly registerSize: number;
  readonly memorySize: number;
  readonly register: number;
}

/** What vectors are recorded for. */
export interface VectorForm {
  /** Unique and lasting: cases are seeded from it, and files name it. */
  readonly key: string;
  readonly op: OpName;
  readonly mode: 16 | 32 | 64;
  /** 0 one-byte, 1 0F, 2 0F38, 3 0F3A; `vex` tells whether with a VEX prefix. */
  readonly map: number;
  readonly vex: boolean;
  readonly opcode: number;
  readonly flags: number;
  readonly operands: readonly Operand[];
  readonly paths: readonly Path[];
  readonly rm: 'none' | 'm' | 'r';
  /** Operand size in bytes, and what of prefix 66 and REX.W gives it. */
  readonly size: number;
  readonly p66: boolean;
  readonly w: number;
  readonly lock: boolean;
  readonly rep: 0 | 0xf2 | 0xf3;
}

const MODREG_ANSWERS = 16;
const ANSWERS = [4, MODREG_ANSWERS, 8, 2, 2];
const ANYTHING: Path = { prefix: -1, mod: -1, reg: -1, rm: -1, w: -1, b: -1 };

function answered(path: Path, question: number, answer: number): Path {
  switch (question) {
    case ASK.prefix:
      return { ...path, prefix: answer };
    case ASK.modReg:
      return { ...path, mod: answer >> 3, reg: answer & 7 };
    case ASK.rm:
      return { ...path, rm: answer };
    case ASK.w:
      return { ...path, w: answer };
    default:
      return { ...path, b: answer };
  }
}

/** Calls `found` with every form below node `n` and the way to it. */
function walk(n: number, path: Path, found: (form: number, path: Path) => void): void {
  if (n >= 0) {
    if (n > 0) found(n, path);
    return;
  }
  const question = NODES[-n]!;
  for (let a = 0; a < ANSWERS[question]!; a++) walk(NODES[1 - n + a]!, answered(path, question, a), found);
}

const SIZED = new Set<number>([SIZE.v, SIZE.z, SIZE.p, SIZE.a, SIZE.e, SIZE.f]);
/** One-byte opcodes without sized operands that mind the operand size. */
// biome-ignore format: a word list
const IMPLICIT = new Set<OpName>([
  'movs', 'cmps', 'stos', 'lods', 'scas', 'ins', 'outs', 'cbw', 'cwd', 'pusha', 'popa', 'pushf', 'popf', 'iret',
  'ret', 'retf', 'leave', 'enter', 'push', 'pop', 'call', 'jmp', 'fxsave', 'fxrstor', 'xsave', 'xrstor', 'xsavec',
  'xsaveopt',
]);
const STRINGS = new Set<OpName>(['movs', 'cmps', 'stos', 'lods', 'scas', 'ins', 'outs']);

interface Sizing {
  size: number;
  p66: boolean;
  w: number;
}

/** The operand sizes that a form has in a mode, each with the prefixes that give it. */
function sizesOf(mode: number, op: OpName, flags: number, operands: readonly Operand[]): Sizing[] {
  const sizes = operands.flatMap((o) => [o.registerSize, o.memorySize]);
  const by66 = (flags & FORM.byte) === 0 && (IMPLICIT.has(op) || sizes.some((s) => SIZED.has(s)));
  const byW = mode === 64 && (by66 || sizes.includes(SIZE.y));
  const one: Sizing[] = [{ size: flags & FORM.byte ? 1 : mode === 16 && by66 ? 2 : 4, p66: false, w: 0 }];
  // near branches ignore 66 on Intel's CPUs and not on AMD's: what is decoded is Intel's
  if (mode === 64 && flags & FORM.f64) return [{ size: 8, p66: false, w: 0 }];
  if (mode === 64 && flags & FORM.d64)
    return [
      { size: 8, p66: false, w: 0 },
      { size: 2, p66: true, w: 0 },
    ];
  if (by66 && (flags & FORM.uses66) === 0) one.push({ size: mode === 16 ? 4 : 2, p66: true, w: 0 });
  if (byW && (flags & FORM.z) === 0) one.push({ size: 8, p66: false, w: 1 });
  return one;
}

/** Operand sizes of a form that only exists with REX.W. */
function wideOnly(sizings: readonly Sizing[]): Sizing[] {
  return sizings.filter((s) => !s.p66).map((s) => ({ ...s, size: 8, w: 1 }));
}

/** Does the tree lead this way with these prefixes? */
function fits(path: Path, rm: 'none' | 'm' | 'r', s: Sizing): boolean {
  if (path.mod >= 0 && rm !== 'none' && path.mod !== (rm === 'r' ? 1 : 0)) return false;
  if (path.w >= 0 && path.w !== s.w) return false;
  if (path.prefix === 0) return !s.p66;
  return path.prefix !== 1 || s.p66;
}

const PREFIX_NAMES = ['np', '66', 'f3', 'f2'];
const list = (values: readonly number[]): string => [...new Set(values)].sort().join('');
const hex = (n: number): string => n.toString(16).padStart(2, '0');

/** What the paths have in common, in the tables' notation. */
function conditions(paths: readonly Path[]): string {
  const regs = list(paths.map((p) => p.reg).filter((n) => n >= 0));
  const rms = list(paths.map((p) => p.rm).filter((n) => n >= 0));
  const prefixes = [...new Set(paths.map((p) => p.prefix))].filter((p) => p >= 0).map((p) => PREFIX_NAMES[p]);
  const reg = regs && regs !== '01234567' ? `/${regs}` : '';
  const rm = rms && rms !== '01234567' ? `:${rms}` : '';
  return `${reg}${rm}${prefixes.length > 0 ? ` ${prefixes.join('+')}` : ''}`;
}

function operandsOf(form: number): Operand[] {
  return Array.from({ length: FORM_COUNT[form]! }, (_, i) => {
    const packed = FORM_OPERANDS[form * 4 + i]!;
    return {
      kind: packed & 31,
      registerSize: (packed >> 5) & 31,
      memorySize: (packed >> 10) & 31,
      register: packed >> 15,
    };
  });
}

const MAP_NAMES = ['', '0f.', '0f38.', '0f3a.'];

/** The forms of one opcode's one operation. `index` is its map in ROOTS. */
function expand(mode: 16 | 32 | 64, index: number, opcode: number, id: number, paths: Path[]): VectorForm[] {
  const op = OP_NAMES[FORM_OP[id]!]!;
  const flags = FORM_FLAGS[id]!;
  const operands = operandsOf(id);
  const vex = index > 3;
  const map = vex ? index - 3 : index;
  const asked = paths.some((p) => p.mod >= 0 || p.rm >= 0 || p.reg >= 0);
  const memoryOnly = operands.some((o) => o.kind === K.far || o.kind === K.moffs);
  const modrm = !memoryOnly && (asked || operands.some((o) => IN_MODRM.has(o.kind)));
  const either = modrm && operands.every((o) => o.kind !== K.gprRm);
  const out: VectorForm[] = [];
  const any = sizesOf(mode, op, flags, operands);
  const sizings = mode === 64 && paths.every((p) => p.w === 1) ? wideOnly(any) : any;
  const reps = STRINGS.has(op) ? ([0, 0xf3, 0xf2] as const) : ([0] as const);
  for (const rm of modrm ? (either ? (['m', 'r'] as const) : (['r'] as const)) : (['none'] as const))
    for (const sizing of sizings) {
      // 66 as a mandatory prefix is there whatever the size
      const mandatory = flags & FORM.uses66 ? { ...sizing, p66: true } : sizing;
      const fitting = paths.filter((p) => fits(p, rm, mandatory));
      if (fitting.length === 0) continue;
      for (const rep of reps)
        for (const lock of flags & FORM.lock && rm === 'm' ? [false, true] : [false]) {
          const size = ` ${sizing.size * 8}`;
          const shape = `${rm === 'none' ? '' : ` ${rm}`}${lock ? ' lock' : ''}${rep ? ` ${hex(rep)}` : ''}`;
          const where = `${vex ? 'vex.' : ''}${MAP_NAMES[map]}${hex(opcode)}${conditions(paths)}`;
          const key = `${mode} ${where} ${op}${size}${shape}`;
          const rest = { size: sizing.size, p66: mandatory.p66, w: sizing.w, lock, rep };
          out.push({ key, op, mode, map, vex, opcode, flags, operands, paths: fitting, rm, ...rest });
        }
    }
  return out;
}

/** Every form of a code size, in the order of the tables. */
export function formsOf(mode: 16 | 32 | 64): VectorForm[] {
  const out: VectorForm[] = [];
  for (let index = 0; index * 256 < MODE64; index++)
    for (let opcode = 0; opcode < 256; opcode++) {
      const byForm = new Map<number, Path[]>();
      walk(ROOTS[(mode === 64 ? MODE64 : 0) + index * 256 + opcode]!, ANYTHING, (form, path) => {
        const known = byForm.get(form);
        if (known) known.push(path);
        else byForm.set(form, [path]);
      });
      for (const [form, paths] of byForm) {
        if (FORM_OP[form] !== 0) out.push(...expand(mode, index, opcode, form, paths));
      }
    }
  return out;
}
