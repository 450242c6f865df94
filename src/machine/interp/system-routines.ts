/** System instructions as routines, in the plain case: RDTSC, RDTSCP, INVLPG, MOV to CR3, null selectors, IN. */
import { OP } from '../../wasm/opcodes.ts';
import { CPU_MAX_PHYS_BITS } from '../../x86/cpuid.ts';
import { RAX, RCX, RDX } from '../../x86/sem/common.ts';
import type { V64, Var } from '../../x86/sem/sem.ts';
import { cpuState, SEG, segment } from '../cpu-state.ts';
import { LOCAL } from '../emit/access.ts';
import { CR4_PAE, CR4_PCIDE, EFER_LMA, PTE } from '../mmu.ts';
import {
  FUNCTION,
  loadAt,
  operandAddress,
  type SystemRoutine,
  storeAt,
  systemRoutine,
  word,
} from './function.ts';
import {
  EXEC_ENTRIES,
  LARGE_REGIONS,
  TLB_ENTRIES,
  TLB_ENTRY,
  TLB_EXEC,
  TLB_READ,
  TLB_WRITE,
} from './record.ts';
import type { RoutineEmitter } from './routine-emitter.ts';
import { regionOf } from './tlb-functions.ts';
import { MEMORY, nested } from './walk.ts';

const CR4_TSD = 4;
const PCID_MASK = 0xfff;
const PDPTES = [0, 1, 2, 3] as const;

/** The clock is asked outside; below 0: not from here. */
function readTsc(e: RoutineEmitter): void {
  const denied = e.and(e.state32(cpuState.cr4.offset), e.c(CR4_TSD));
  e.slowIf(e.andBool(e.ne(denied, e.c(0)), e.ne(e.cpl(), e.c(0))));
  e.code.call(FUNCTION.ticks);
  e.code.op(OP.i64_trunc_f64_s);
  const now = e.let({} as V64);
  e.slowIf(e.lts(e.get(now), e.c(0)));
  e.set(now, e.add(e.state64(cpuState.tscOffset.offset), now));
  e.setReg(RAX, 8, e.zx(now, 4));
  e.setReg(RDX, 8, e.shru(e.get(now), e.c(32)));
}

function invlpg(e: RoutineEmitter): void {
  e.slowIf(e.ne(e.cpl(), e.c(0)));
  const linear = operandAddress(e);
  // the code that runs is looked up anew by whoever goes on after a helper
  const based = e.add(e.state64(cpuState.segBase.addr(0, SEG.cs)), e.let(e.state64(cpuState.ripBase.offset)));
  const own = e.let(e.and(based, e.let(e.state64(cpuState.linMask.offset))));
  e.slowIf(e.eqz(e.shru(e.xor(own, linear), e.c(12))));
  const cpu = e.let(e.cpuAddress());
  e.if(e.ne(e.state32(cpuState.largeSeen.offset), e.c(0)), () => {
    const region = e.let(e.add(regionOf(e, linear), cpu));
    e.slowIf(e.ne(loadAt(e, region, 1, LARGE_REGIONS), e.c(0)));
  });
  const none = e.let(e.c(0));
  const clear = (entries: number, tlb: number, turn: number): void => {
    const number = e.let(e.and(e.xor(e.shru(e.get(linear), e.c(12)), e.c(turn)), e.c(entries - 1)));
    storeAt(e, e.let(e.add(e.mul(e.get(number), e.c(TLB_ENTRY.size)), cpu)), 4, none, tlb);
  };
  for (const turn of [0, TLB_ENTRIES / 2]) {
    clear(TLB_ENTRIES, TLB_READ, turn);
    clear(TLB_ENTRIES, TLB_WRITE, turn);
  }
  clear(EXEC_ENTRIES, TLB_EXEC, 0);
}

/** Whether page tables are those of legacy PAE, whose first four entries are registers: 1 or 0. */
function legacyPae(e: RoutineEmitter): Var {
  const pae = e.let(e.shru(e.state32(cpuState.cr4.offset), e.c(Math.log2(CR4_PAE))));
  const paging = e.let(e.and(e.shru(e.state32(cpuState.cr0.offset), e.c(31)), pae));
  const long = e.shru(e.state32(cpuState.efer.offset), e.c(Math.log2(EFER_LMA)));
  const legacy = e.let(e.xor(long, e.let(e.c(1))));
  return e.let(e.and(e.and(e.get(legacy), paging), e.c(1)));
}
/** The entries that CR3 then points at; leaves if one is not in order. @spec SDM 3A 4.4.1 */
function pdptes(e: RoutineEmitter, cr3: Var): readonly Var[] {
  const at = nested(e, e.let(e.and(e.get(cr3), e.c(~31))), e.let(e.c(MEMORY)));
  return PDPTES.map((k) => {
    const entry = e.let(loadAt(e, at, 8, 8 * k));
    const reserved = e.let(e.and(e.get(entry), e.big(BigInt.asIntN(64, PTE.reservedPdpte))));
    const present = e.let(e.sub(e.c(0), e.let(e.and(e.get(entry), e.c(PTE.present)))));
    e.slowIf(e.ne(e.and(reserved, present), e.c(0)));
    return entry;
  });
}

function movToCr3(e: RoutineEmitter): void {
  e.slowIf(e.ne(e.or(e.cpl(), e.let(e.userOpen())), e.c(0)));
  const v = e.let(e.and(e.read(1, 8), e.let(e.state64(cpuState.linMask.offset))));
  const pcids = e.let(e.bool(e.ne(e.and(e.state32(cpuState.cr4.offset), e.c(CR4_PCIDE)), e.c(0))));
  const keep = e.let(e.and(e.shru(e.get(v), e.c(63)), pcids));
  const next = e.let(e.xor(e.shl(e.get(keep), e.c(63)), v));
  e.slowIf(e.ne(e.shru(e.get(next), e.c(CPU_MAX_PHYS_BITS)), e.c(0)));
  const legacy = legacyPae(e);
  const entries = PDPTES.map(() => e.let(e.c(0)));
  e.if(e.ne(e.get(legacy), e.c(0)), () => {
    pdptes(e, next).forEach((entry, k) => {
      e.set(entries[k] as Var, e.get(entry));
    });
  });
  e.code.get(LOCAL.cpu);
  word(e, e.mul(e.and(e.get(next), e.c(PCID_MASK)), pcids));
  word(e, e.get(keep));
  e.code.call(FUNCTION.switchSpace);
  e.brIf('slow');
  e.setState64(cpuState.cr3.offset, next);
  e.if(e.ne(e.get(legacy), e.c(0)), () => {
    PDPTES.forEach((k) => {
      e.setState64(cpuState.pdpte.addr(0, k), entries[k] as Var);
    });
  });
}

/** A null selector for ES, DS, FS or GS, whose number the immediate is, in 64-bit code. */
function loadNull(e: RoutineEmitter): void {
  const selector = e.let(e.and(e.read(1, 8), e.c(0xffff)));
  e.slowIf(e.gtu(e.get(selector), e.c(3)));
  const zero = e.let(e.c(0));
  const register = e.let(e.add(e.shl(e.imm(), e.c(4)), e.let(e.cpuAddress())));
  // no attributes, no limit, no base
  storeAt(e, register, 8, selector, cpuState.seg.offset);
  storeAt(e, register, 8, zero, cpuState.seg.offset + segment.base.offset);
  storeAt(e, e.let(e.add(e.shl(e.imm(), e.c(3)), e.let(e.cpuAddress()))), 8, zero, cpuState.segBase.offset);
}

/** IN where no port is there, and ring 0 asks: all ones. The immediate is the size. */
function readPort(e: RoutineEmitter): void {
  const busy = e.let(e.or(e.cpl(), e.let(e.state32(cpuState.watched.offset))));
  e.slowIf(e.ne(e.get(busy), e.c(0)));
  e.slowIf(e.eqz(e.state32(cpuState.noPorts.offset)));
  for (const size of [1, 2, 4] as const)
    e.if(e.eq(e.imm(), e.c(size)), () => e.setReg(RAX, size, e.let(e.c(-1))));
}

export const SYSTEM_ROUTINES: readonly SystemRoutine[] = [
  systemRoutine('rdtsc', readTsc, true),
  systemRoutine(
    'rdtscp',
    (e) => {
      readTsc(e);
      e.setReg(RCX, 8, e.state32(cpuState.tscAux.offset));
    },
    true,
  ),
  systemRoutine('invlpg', invlpg, true),
  systemRoutine('movToCr3', movToCr3),
  systemRoutine('loadNull', loadNull),
  systemRoutine('in', readPort, true),
];
