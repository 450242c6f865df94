/**
 * The walk of page tables (of four levels, and of legacy PAE) and of the nested table in WebAssembly, and what it is
 * asked for. As in mmu.ts.
 */
import { OP } from '../../wasm/opcodes.ts';
import { AC } from '../../x86/flags.ts';
import type { V32, V64, Var } from '../../x86/sem/sem.ts';
import { cpuState } from '../cpu-state.ts';
import { svmState } from '../engine/svm/state.ts';
import { CR0_WP, CR4_PAE, CR4_PGE, CR4_SMAP, EFER_LMA, EFER_NX, PTE } from '../mmu.ts';
import { P2M, P2M_FRAMES, p2mWritable } from '../p2m.ts';
import { FUNCTION, loadAt, storeAt, word } from './function.ts';
import { ENTRY_FLAG, KIND_ATOMIC, KIND_READ, TLB_ENTRY } from './record.ts';
import type { RoutineEmitter } from './routine-emitter.ts';

export const CODE64 = 64;
/** Bits 39:12 of an entry. */
const ADDRESS = 0xff_ffff_f000n;
export const NX = 1n << 63n;
const TYPES = Object.values(P2M);
const bits = (types: readonly number[]): number => types.reduce((mask, t) => mask | (1 << t), 0);
/** Types of guest frames that are memory, and those that can be written; a bit each. */
export const MEMORY = bits(TYPES.filter((t) => t !== P2M.none && t !== P2M.mmio));
export const WRITABLE = bits(TYPES.filter(p2mWritable));

/** Leaves if somebody else has a say in what addresses mean. */
export function slowIfWatched(e: RoutineEmitter): void {
  const nests = e.let(e.state32(svmState.paging.offset));
  e.slowIf(e.ne(e.or(e.state32(cpuState.watched.offset), nests), e.c(0)));
}
export const slowUnlessCanonical = (e: RoutineEmitter, v: Var): void =>
  e.slowIf(e.ne(e.shrs(e.shl(e.get(v), e.c(16)), e.c(16)), v));
/** Leaves unless it is an address in the mode that the vCPU is in, as it stands. */
export function slowUnlessLinear(e: RoutineEmitter, v: Var): void {
  e.slowIf(e.ne(e.and(v, e.let(e.state64(cpuState.linMask.offset))), v));
  slowUnlessCanonical(e, v);
}

const ZERO = (e: RoutineEmitter): V64 => e.c(0);
const unless = (e: RoutineEmitter, v: V64 | Var): void => e.slowIf(e.eqz(v));
export const isSet = (e: RoutineEmitter, v: Var, mask: number): V64 =>
  e.bool(e.ne(e.and(e.get(v), e.c(mask)), e.c(0)));

/** Machine address behind a guest-physical one, whose frame is of one of `types` (a Var or a constant). */
export function nested(e: RoutineEmitter, gpa: Var, types: Var): Var {
  const at = e.let(e.get(gpa));
  const root = e.let(e.state32(cpuState.p2mRoot.offset));
  e.if(
    e.eqz(root),
    () => {
      e.code.op(OP.memory_size);
      e.code.byte(0);
      e.code.op(OP.i64_extend_i32_u);
      const pages = e.let({} as V64);
      e.slowIf(e.notBool(e.ltu(e.shru(e.get(gpa), e.c(16)), pages)));
    },
    () => {
      const frame = e.let(e.shru(e.get(gpa), e.c(12)));
      e.slowIf(e.gtu(e.get(frame), e.c(P2M_FRAMES - 1)));
      const slot = e.let(e.add(e.shl(e.shru(e.get(frame), e.c(10)), e.c(2)), root));
      const leaf = e.let(loadAt(e, slot, 4));
      unless(e, leaf);
      const place = e.let(e.add(e.shl(e.and(e.get(frame), e.c(1023)), e.c(2)), leaf));
      const entry = e.let(loadAt(e, place, 4));
      const type = e.let(e.and(e.shru(e.get(entry), e.c(24)), e.c(15)));
      unless(e, e.and(e.shru(types, type), e.c(1)));
      const offset = e.let(e.and(e.get(gpa), e.c(4095)));
      e.set(at, e.or(e.shl(e.and(e.get(entry), e.c(0xf_ffff)), e.c(12)), offset));
    },
  );
  return at;
}

export interface Access {
  linear: Var;
  /** 1 or 0. */
  write: Var;
}
/** What missed, if it lies in one page and is not a misaligned locked access. */
export function missed(e: RoutineEmitter): Access {
  const linear = e.let(e.state64(cpuState.faultAddr.offset));
  const kind = e.let(e.state32(cpuState.faultKind.offset));
  const how = e.let(e.and(e.get(kind), e.c(255)));
  const size = e.let(e.shru(e.get(kind), e.c(8)));
  slowUnlessLinear(e, linear);
  e.slowIf(e.gtu(e.add(e.and(e.get(linear), e.c(4095)), size), e.c(4096)));
  e.if(e.eq(e.get(how), e.c(KIND_ATOMIC)), () => {
    const low = e.let(e.sub(e.get(size), e.c(1)));
    e.slowIf(e.ne(e.and(linear, low), e.c(0)));
  });
  return { linear, write: e.let(e.bool(e.ne(e.get(how), e.c(KIND_READ)))) };
}

export interface Leaf {
  entry: Var;
  /** Where it is. */
  at: Var;
  /** What all levels have in common, and what any of them has. */
  rights: Var;
  any: Var;
  /** log2 of the page's size. */
  shift: Var;
}
/** Legacy PAE: the walk starts at an entry that is a register, two levels from the page; other tables are the engine's. */
function startLegacy(
  e: RoutineEmitter,
  linear: Var,
  { table, reserved, shift }: { table: Var; reserved: Var; shift: Var },
  absent: (e: RoutineEmitter, c: V32) => void,
): void {
  const paging = e.let(e.shru(e.state32(cpuState.cr0.offset), e.c(31)));
  const pae = e.let(e.shru(e.state32(cpuState.cr4.offset), e.c(Math.log2(CR4_PAE))));
  unless(e, e.and(e.and(paging, pae), e.c(1)));
  const at = e.let(e.add(e.shl(e.shru(e.get(linear), e.c(30)), e.c(3)), e.let(e.cpuAddress())));
  const entry = e.let(loadAt(e, at, 8, cpuState.pdpte.offset));
  absent(e, e.eqz(e.and(e.get(entry), e.c(PTE.present))));
  e.slowIf(e.ne(e.and(e.get(entry), e.big(BigInt.asIntN(64, PTE.reservedPdpte))), e.c(0)));
  e.set(table, e.and(e.get(entry), e.big(ADDRESS)));
  e.set(reserved, e.or(e.get(reserved), e.big(PTE.reservedLegacy)));
  e.set(shift, e.c(21));
}
/** The entry that maps a page; `absent` is given the test for one that is not present. */
export function walk(
  e: RoutineEmitter,
  linear: Var,
  absent: (e: RoutineEmitter, c: V32) => void = (_e, c) => e.slowIf(c),
): Leaf {
  const nx = e.let(e.and(e.state32(cpuState.efer.offset), e.c(EFER_NX)));
  const without = e.let(e.big(BigInt.asIntN(64, PTE.reserved | NX)));
  const reserved = e.let(e.select(e.let(e.big(PTE.reserved)), without, e.ne(e.get(nx), e.c(0))));
  const table = e.let(e.and(e.state64(cpuState.cr3.offset), e.big(ADDRESS)));
  const [entryOf, at, any] = [e.let(ZERO(e)), e.let(ZERO(e)), e.let(ZERO(e))];
  const leaf = { entry: entryOf, at, any, rights: e.let(e.c(-1)), shift: e.let(e.c(39)) };
  const long = e.let(e.and(e.state32(cpuState.efer.offset), e.c(EFER_LMA)));
  e.if(e.eqz(long), () => startLegacy(e, linear, { table, reserved, shift: leaf.shift }, absent));
  // an entry is marked, so that its frame must be the guest's to write
  const writable = e.let(e.c(WRITABLE));
  e.loop(() => {
    const index = e.let(e.and(e.shru(linear, leaf.shift), e.c(511)));
    const gpa = e.let(e.add(e.shl(e.get(index), e.c(3)), table));
    const at = nested(e, gpa, writable);
    const entry = e.let(loadAt(e, at, 8));
    absent(e, e.eqz(e.and(e.get(entry), e.c(PTE.present))));
    e.slowIf(e.ne(e.and(entry, reserved), e.c(0)));
    e.set(leaf.rights, e.and(leaf.rights, entry));
    e.set(leaf.any, e.or(leaf.any, entry));
    e.set(leaf.entry, e.get(entry));
    e.set(leaf.at, e.get(at));
    const last = e.let(e.or(isSet(e, entry, PTE.large), e.let(e.bool(e.eq(e.get(leaf.shift), e.c(12))))));
    e.if(e.eqz(last), () => {
      e.if(e.eqz(e.and(e.get(entry), e.c(PTE.accessed))), () =>
        storeAt(e, at, 4, e.let(e.or(e.get(entry), e.c(PTE.accessed)))),
      );
      e.set(table, e.and(e.get(entry), e.big(ADDRESS)));
      e.set(leaf.shift, e.sub(e.get(leaf.shift), e.c(9)));
    });
    return e.eqz(last);
  });
  // no page is that large
  e.slowIf(e.eq(e.get(leaf.shift), e.c(39)));
  return leaf;
}

/** Whether the access is denied, and whether the page is a user's, let in under SMAP (1 or 0). */
export function check(e: RoutineEmitter, { write }: Access, { rights }: Leaf): { denied: Var; open: Var } {
  const writable = e.let(isSet(e, rights, PTE.writable));
  const user = e.let(isSet(e, rights, PTE.user));
  const open = e.let(ZERO(e));
  const denied = e.let(ZERO(e));
  e.if(
    e.eq(e.cpl(), e.c(3)),
    () => e.set(denied, e.bool(e.eqz(user))),
    () => {
      const smap = e.let(e.bool(e.ne(e.and(e.state32(cpuState.cr4.offset), e.c(CR4_SMAP)), e.c(0))));
      e.set(open, e.and(smap, user));
      const shut = e.let(e.bool(e.eqz(e.and(e.flagsRest(), e.c(AC)))));
      e.set(denied, e.and(open, shut));
      const free = e.let(e.bool(e.eqz(e.and(e.state32(cpuState.cr0.offset), e.c(CR0_WP)))));
      e.set(writable, e.or(writable, free));
    },
  );
  const locked = e.let(e.bool(e.ltu(writable, write)));
  e.set(denied, e.or(denied, locked));
  return { denied, open };
}

/** The part of a leaf's address that lies in its page, and is to be 0 but for the PAT bit of a large one. */
export function slowIfUneven(
  e: RoutineEmitter,
  { entry, shift }: Leaf,
): { base: Var; low: Var; inPage: Var } {
  const inPage = e.let(e.sub(e.shl(e.let(e.c(1)), shift), e.c(1)));
  const base = e.let(e.and(e.get(entry), e.big(ADDRESS)));
  const low = e.let(e.and(base, inPage));
  e.slowIf(e.ne(e.and(e.get(low), e.c(~0x1000)), e.c(0)));
  return { base, low, inPage };
}
/** Guest-physical address in the page of a leaf; sets its accessed and dirty bits. */
export function use(e: RoutineEmitter, { linear, write }: Access, leaf: Leaf): Var {
  const { entry, at } = leaf;
  const { base, low, inPage } = slowIfUneven(e, leaf);
  const want = e.let(e.or(e.mul(e.get(write), e.c(PTE.dirty)), e.c(PTE.accessed)));
  const marked = e.let(e.or(entry, want));
  e.if(e.ne(marked, entry), () => storeAt(e, at, 4, marked));
  return e.let(e.or(e.sub(base, low), e.let(e.and(linear, inPage))));
}

export function flagsOf(e: RoutineEmitter, { entry, shift }: Leaf, open: Var): Var {
  const pge = e.let(e.and(e.shru(e.state32(cpuState.cr4.offset), e.c(Math.log2(CR4_PGE))), e.c(1)));
  const global = e.let(e.and(e.shru(e.get(entry), e.c(Math.log2(PTE.global))), pge));
  const large = e.let(e.bool(e.ne(e.get(shift), e.c(12))));
  const flag = (v: Var, value: number): Var => e.let(e.mul(e.get(v), e.c(value)));
  const two = e.let(e.or(flag(global, ENTRY_FLAG.global), flag(open, ENTRY_FLAG.open)));
  return e.let(e.or(two, flag(large, ENTRY_FLAG.large)));
}

/** Enters a page in a TLB, by the number of the entry. */
export function enterAt(
  e: RoutineEmitter,
  tlb: number,
  number: Var,
  linear: Var,
  value: Var,
  flags: Var,
): void {
  e.code.get(0);
  word(e, e.add(e.mul(e.get(number), e.c(TLB_ENTRY.size)), e.c(tlb)));
  word(e, e.get(linear));
  word(e, e.shru(e.get(linear), e.c(32)));
  word(e, e.get(value));
  word(e, e.get(flags));
  e.code.call(FUNCTION.enter);
  e.code.op(OP.drop);
}
