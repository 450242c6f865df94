/**
 * Which handlers the interpreter has: (operation, size, operand form, variant). What is not here is made of several
 * records by the lowering, or runs in a helper. V8 compiles one function of a few hundred of these well.
 */
import type { Mem } from '../../base/mem.ts';
import type { Semantics } from '../../x86/sem/common.ts';
import { INTEGER } from '../../x86/sem/integer.ts';
import type { Size } from '../../x86/sem/sem.ts';
import { VECTOR } from '../../x86/sem/vector.ts';
import { STRINGS } from '../emit/strings.ts';
import { SYSTEM } from '../emit/system.ts';
import type { Place } from './emitter.ts';
import { REC } from './record.ts';

export const FORM = {
  none: 0,
  r: 1,
  m: 2,
  rr: 3,
  ri: 4,
  rm: 5,
  mr: 6,
  mi: 7,
  rc: 8,
  rri: 9,
  rrc: 10,
  rrr: 11,
} as const;
export type Form = keyof typeof FORM;
const PLACES: Record<Form, readonly Place[]> = {
  none: ['none'],
  r: ['r1'],
  m: ['mem'],
  rr: ['r1', 'r2'],
  ri: ['r1', 'imm'],
  rm: ['r1', 'mem'],
  mr: ['mem', 'r1'],
  mi: ['mem', 'imm'],
  rc: ['r1', 'cl'],
  rri: ['r1', 'r2', 'imm'],
  rrc: ['r1', 'r2', 'cl'],
  rrr: ['r1', 'r2', 'r3'],
};

export interface Handler {
  readonly name: string;
  readonly z: Size;
  /** Source size, condition code, or 0. */
  readonly s: number;
  readonly form: Form;
  readonly places: readonly Place[];
  readonly semantics: Semantics;
  /** Bytes of the memory access, 0 without one. */
  readonly memSize: number;
  /** A misaligned address is for the helper (which faults). */
  readonly aligned: boolean;
}

/** Handlers written by hand in build.ts; they come first. */
export const SPECIAL = [
  'helper',
  'stop',
  'goto',
  'nextPage',
  'loadRmw',
  'movs',
  'stos',
  'bitAddress',
  'routine',
  'region',
  'straddle',
] as const;
export type Special = (typeof SPECIAL)[number];

const B: readonly Size[] = [1];
const ALL: readonly Size[] = [1, 2, 4, 8];
const WIDE: readonly Size[] = [2, 4, 8];
const CONDITIONS = Array.from({ length: 16 }, (_, cc) => cc);

const list: Handler[] = [];

function define(
  names: string,
  sizes: readonly Size[],
  forms: string,
  variants: readonly number[] = [0],
): void {
  for (const name of names.split(' ')) {
    const semantics = INTEGER[name] ?? SYSTEM[name] ?? STRINGS[name];
    if (!semantics) throw new Error(`no semantics for ${name}`);
    for (const z of sizes)
      for (const form of forms.split(' ') as Form[])
        for (const s of variants)
          list.push({
            name,
            z,
            s,
            form,
            places: PLACES[form],
            semantics,
            memSize: memSize(name, z, s, form),
            aligned: false,
          });
  }
}

function memSize(name: string, z: Size, s: number, form: Form): number {
  if (!PLACES[form].includes('mem')) return 0;
  if (name === 'movzx' || name === 'movsx') return s;
  if (name === 'iretq') return 5 * z;
  return name === 'cmpxchgPair' ? 2 * z : z;
}

define('add or adc sbb and sub xor cmp', [1, 4, 8], 'rr ri rm mr mi');
define('add or adc sbb and sub xor cmp test', [2], 'rr ri');
define('test', [1, 4, 8], 'rr ri mr mi');
define('mov', ALL, 'rr ri rm mr mi');
define('movzx', [2], 'rr rm', [1]);
define('movzx', [4], 'rr rm', [1, 2]);
define('movsx', [2], 'rr rm', [1]);
define('movsx', [4], 'rr rm', [1, 2]);
define('movsx', [8], 'rr rm', [1, 2, 4]);
define('lea', WIDE, 'r');
define('inc dec neg not', ALL, 'r');
define('inc dec', [4, 8], 'm');
define('shl shr sar rol ror rcl rcr', ALL, 'ri rc');
define('shld shrd', WIDE, 'rri rrc');
define('mul imul1 div idiv', ALL, 'r');
define('imul2', WIDE, 'rr');
define('imul3', WIDE, 'rri');
define('bt bts btr btc', WIDE, 'rr ri');
define('bsf bsr tzcnt lzcnt popcnt', WIDE, 'rr');
define('andn bextr bzhi mulx shlx shrx sarx', [4, 8], 'rrr');
define('blsi blsmsk blsr adcx adox', [4, 8], 'rr');
define('rorx', [4, 8], 'rri');
define('xchg', ALL, 'rr');
define('xadd cmpxchg', ALL, 'rr mr');
define('cmpxchgPair', [4, 8], 'm');
define('bswap', WIDE, 'r');
define('lock.add lock.sub lock.and lock.or lock.xor lock.xadd lock.xchg lock.cmpxchg', ALL, 'mr');
define('lock.adc lock.sbb', ALL, 'mr');
define('lock.inc lock.dec lock.neg lock.not', ALL, 'm');
define('lock.cmpxchg8b', [8], 'm');
define('lock.bts lock.btr lock.btc', WIDE, 'mr');
define('setcc', B, 'r', CONDITIONS);
define('cmovcc', WIDE, 'rr', CONDITIONS);
define('jcc', [8], 'none', CONDITIONS);
define('cbw cwd', WIDE, 'none');
define('lahf sahf clc stc cmc cld std cli sti stac clac nop jmpRel', [8], 'none');
define('syscall sysret swapgs', [8], 'none');
define('movFromCr', [4, 8], 'rr');
define('rdfsbase rdgsbase wrfsbase wrgsbase', [8], 'r');
define('iretq', [8], 'm');
define('pushf popf callRel ret leave', WIDE, 'm');
define('lods scas cmps', ALL, 'rm');
define('push', WIDE, 'mr mi');
define('call', WIDE, 'mr');
define('pop', WIDE, 'rm');
define('jmp', WIDE, 'r');
for (const v of VECTOR) list.push({ ...v, s: 0, places: PLACES[v.form], semantics: v, memSize: v.mem });

export const HANDLERS: readonly Handler[] = list;

/** Handler index by name, size, form and variant; -1 where there is none. */
const index = new Map<string, number>();
list.forEach((h, i) => {
  index.set(`${h.name}/${h.z}/${h.form}/${h.s}`, SPECIAL.length + i);
});
export function handlerOf(name: string, z: number, form: Form, s = 0): number {
  return index.get(`${name}/${z}/${form}/${s}`) ?? -1;
}
export const specialOf = (name: Special): number => SPECIAL.indexOf(name);
const JUMPS = new Set('jcc jmpRel jmp callRel call ret syscall sysret iretq'.split(' '));
/** Its records remember where they went, see REC.hint. */
export const isJump = (handler: number): boolean =>
  JUMPS.has(HANDLERS[handler - SPECIAL.length]?.name as string);
const REGION = specialOf('region');
/** The record behind a compiled region's entry, which is gone when the region is; any other record as it is. */
export const originalRecord = (mem: Mem, record: number): number =>
  record !== 0 && mem.u16(record + REC.handler) === REGION ? mem.u32(record + REC.slot) : record;
