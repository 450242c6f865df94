/**
 * SCAS and CMPS under REPE or REPNE, forward: the elements of the pages at hand in a loop, and so on with the next pages.
 * Where an element is not to be read, or in two pages, the helper goes on from there (engine/strings.ts).
 */
import { flagsSub } from '../../x86/flags.ts';
import { RAX, RCX, RDI, RSI } from '../../x86/sem/common.ts';
import type { Size, V64, Var } from '../../x86/sem/sem.ts';
import { SEG } from '../cpu-state.ts';
import { LOCAL } from '../emit/access.ts';
import { slowIfBackward } from '../emit/strings.ts';
import { type SystemRoutine, systemRoutine, translated, word } from './function.ts';
import { KIND_READ } from './record.ts';
import type { RoutineEmitter } from './routine-emitter.ts';

/** In the immediate, above log2 of the element's size: log2 of the address's, the source's segment, and the prefix. */
export const SCAN = { addressSize: 2, segment: 4, repe: 0x80 } as const;
const SIZES = [1, 2, 4, 8] as const;
/** Pieces, each within a page, before others are let in. */
const PIECES = 16;

interface Scan {
  readonly e: RoutineEmitter;
  /** log2 of an element's size. */
  readonly log: Var;
  readonly mask: Var;
  readonly repe: Var;
  /** Registers that point at the elements that are compared; where there is one, RAX is the other. */
  readonly pointers: readonly { readonly register: number; readonly segment: Var }[];
}

/** Writes as much of a register as the address size covers; 32 bits clear the upper half. */
function setMasked({ e, mask }: Scan, register: number, v: Var): void {
  const all = e.let(e.reg(register, 8));
  const kept = e.let(e.and(all, e.let(e.not(mask))));
  const is16 = e.eq(e.get(mask), e.c(0xffff));
  const upper = e.let(e.select(kept, e.let(e.c(0)), is16));
  e.setReg(register, 8, e.or(e.and(v, mask), upper));
}

/** Compares elements of one piece; `goesOn` becomes whether the instruction does, and `left` is what is left of its count. */
function piece(scan: Scan, left: Var, goesOn: Var): void {
  const { e, log, mask, pointers } = scan;
  const n = e.let(e.get(left));
  const places = pointers.map(({ register, segment }) => {
    const offset = e.let(e.and(e.reg(register, 8), mask));
    // beyond what is an address it is in no TLB, and not put there
    const linear = e.let(e.add(e.segmentBaseOf(segment), offset));
    const room = e.let(e.shru(e.sub(e.c(4096), e.let(e.and(e.get(linear), e.c(4095)))), log));
    e.set(n, e.select(room, n, e.ltu(room, n)));
    return linear;
  });
  e.slowIf(e.eqz(n));
  const bases = places.map((linear) => translated(e, linear, KIND_READ));
  const done = e.let(e.c(0));
  const bytes = e.let(e.shl(e.get(n), log));
  for (const z of SIZES)
    e.if(e.eq(e.get(log), e.c(Math.log2(z))), () => compare(scan, z, bases, done, bytes, goesOn));
  for (const { register } of pointers) setMasked(scan, register, e.let(e.add(e.reg(register, 8), done)));
  e.set(left, e.sub(left, e.let(e.shru(done, log))));
  setMasked(scan, RCX, left);
}

function compare(
  { e, repe }: Scan,
  z: Size,
  bases: readonly Var[],
  done: Var,
  bytes: Var,
  goesOn: Var,
): void {
  const element = (base: Var): V64 => {
    word(e, e.add(base, done));
    e.code.set(LOCAL.ha);
    return e.memRead(0, z);
  };
  const [a, b] = [e.let(e.reg(RAX, z)), e.let(e.c(0))];
  e.loop(() => {
    bases.forEach((base, k) => {
      e.set(k === bases.length - 1 ? b : a, element(base));
    });
    e.set(done, e.add(e.get(done), e.c(z)));
    e.set(goesOn, e.bool(e.eq(e.bool(e.eq(a, b)), repe)));
    return e.gtu(e.mul(bytes, goesOn), done);
  });
  flagsSub(e, z, a, b, e.let(e.sx(e.sub(a, b), z)));
}

const scanRoutine =
  (two: boolean) =>
  (e: RoutineEmitter): void => {
    slowIfBackward(e);
    const field = (shift: number, mask: number): Var => e.let(e.and(e.shru(e.imm(), e.c(shift)), e.c(mask)));
    const addressBits = e.let(e.shl(e.c(8), field(SCAN.addressSize, 3)));
    const mask = e.let(e.shru(e.c(-1), e.let(e.sub(e.c(64), addressBits))));
    const es = { register: RDI, segment: e.let(e.c(SEG.es)) };
    const source = { register: RSI, segment: field(SCAN.segment, 7) };
    const scan: Scan = {
      e,
      log: field(0, 3),
      mask,
      repe: e.let(e.bool(e.ne(e.and(e.imm(), e.c(SCAN.repe)), e.c(0)))),
      pointers: two ? [source, es] : [es],
    };
    const left = e.let(e.and(e.reg(RCX, 8), mask));
    const goesOn = e.let(e.c(0));
    const pieces = e.let(e.c(PIECES));
    e.if(e.ne(e.get(left), e.c(0)), () =>
      e.loop(() => {
        e.slowIf(e.eqz(pieces));
        e.set(pieces, e.sub(pieces, e.let(e.c(1))));
        piece(scan, left, goesOn);
        return e.ne(e.mul(left, goesOn), e.let(e.c(0)));
      }),
    );
  };

export const SCAN_ROUTINES: readonly SystemRoutine[] = [
  systemRoutine('scas', scanRoutine(false)),
  systemRoutine('cmps', scanRoutine(true)),
];
