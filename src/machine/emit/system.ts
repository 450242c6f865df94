/**
 * System instructions that run too often to leave compiled code for: a system call's way in and out. In the plain case,
 * which is 64-bit code on both sides; everything else is the helper's, which is the whole instruction (engine/far.ts).
 */
import { AC, NT, packStatus, RF, TF, unpackStatus, VIF, VIP, VM } from '../../x86/flags.ts';
import { RCX, RSP, type Semantics, sem } from '../../x86/sem/common.ts';
import type { Sem, V64, Var } from '../../x86/sem/sem.ts';
import { cpuState, OPEN_ENTRIES, SEG, segment } from '../cpu-state.ts';
import { TAG_CLOSED, TLB_ENTRIES } from '../interp/record.ts';
import type { RecordEmitter } from './record-emitter.ts';

const EFER_SCE = 1;
const R11 = 11;
const CPL3 = 3;
const ATTR_S = 0x10;
/** RFLAGS bits that SYSRET takes from R11. */
const SYSRET_FLAGS = 0x3c_7fd7;
/** Attributes of the flat segments that these instructions load without looking at descriptors. */
export const ATTR = { kernelCode: 0xa9b, kernelData: 0xc93, userCode: 0xafb, userData: 0xcf3 } as const;

const system = (fn: (e: RecordEmitter) => void): Semantics => sem('r', (e: Sem) => fn(e as RecordEmitter));
const any = (e: RecordEmitter, ...values: (() => V64)[]): Var => {
  const sum = e.let(e.c(0));
  for (const v of values) e.set(sum, e.or(v(), sum));
  return sum;
};

/** Nonzero where the two privileges' code does not mean the same, see Fetcher.keepMode. */
export function codeDiffers(e: RecordEmitter): V64 {
  const kernel = cpuState.execMode.addr(0, 0);
  const user = cpuState.execMode.addr(0, 1);
  return e.xor(e.state32(kernel), e.let(e.state32(user)));
}
/** So, or SMAP let something in. */
const modesDiffer = (e: RecordEmitter): V64 => e.or(e.userOpen(), e.let(codeDiffers(e)));
const noSce = (e: RecordEmitter): V64 =>
  e.and(e.xor(e.state64(cpuState.efer.offset), e.let(e.c(EFER_SCE))), e.c(EFER_SCE));

/** A flat segment of this selector; in 64-bit mode its base counts for nothing. */
export function flatSegment(e: RecordEmitter, s: number, sel: Var, attr: number): void {
  const at = cpuState.seg.addr(0, s);
  const fixed = e.big(BigInt.asIntN(64, (0xffff_ffffn << 32n) | BigInt(attr << 16)));
  e.setState64(at, e.or(fixed, sel));
  e.setState64(at + segment.base.offset, e.c(0));
}
/** Bits of RFLAGS that are neither status flags nor always 0. */
const REST = 0x3f_7700;
export function setFlags(e: RecordEmitter, flags: Var): void {
  unpackStatus(e, flags);
  e.setFlagsRest(e.or(e.and(e.get(flags), e.c(REST)), e.c(2)));
}

const syscall = system((e) => {
  e.slowIf(
    e.ne(
      any(
        e,
        () => modesDiffer(e),
        () => noSce(e),
      ),
      e.let(e.c(0)),
    ),
  );
  const flags = e.let(e.or(e.flagsRest(), packStatus(e)));
  e.setReg(RCX, 8, e.nextRip());
  e.setReg(R11, 8, e.and(e.get(flags), e.c(~RF)));
  const masked = e.or(e.state64(cpuState.sfmask.offset), e.c(RF | VM));
  const left = e.let(e.and(flags, e.let(e.not(masked))));
  const cs = e.let(e.and(e.shru(e.state64(cpuState.star.offset), e.c(32)), e.c(0xfffc)));
  flatSegment(e, SEG.cs, cs, ATTR.kernelCode);
  flatSegment(e, SEG.ss, e.let(e.add(e.get(cs), e.c(8))), ATTR.kernelData);
  setFlags(e, left);
  e.setPrivilege(0);
  e.jump(e.state64(cpuState.lstar.offset));
});

const sysret = system((e) => {
  const target = e.let(e.reg(RCX, 8));
  const flags = e.let(e.and(e.reg(R11, 8), e.c(SYSRET_FLAGS & ~(RF | VM))));
  const busy = any(
    e,
    () => modesDiffer(e),
    () => noSce(e),
    () => e.cpl(),
    () => e.irqWindow(),
    () => e.and(e.get(flags), e.c(TF | AC)),
    () => e.shru(e.get(target), e.c(47)),
  );
  e.slowIf(e.ne(e.get(busy), e.c(0)));
  const base = e.let(e.shru(e.state64(cpuState.star.offset), e.c(48)));
  const selector = (more: number): Var =>
    e.let(e.and(e.or(e.add(e.get(base), e.c(more)), e.c(CPL3)), e.c(0xffff)));
  flatSegment(e, SEG.cs, selector(16), ATTR.userCode);
  flatSegment(e, SEG.ss, selector(8), ATTR.userData);
  setFlags(e, flags);
  e.setPrivilege(CPL3);
  e.jump(target);
});

const swapgs = system((e) => {
  e.slowIf(e.ne(e.cpl(), e.c(0)));
  const base = cpuState.seg.addr(0, SEG.gs) + segment.base.offset;
  const other = e.let(e.state64(cpuState.kernelGsBase.offset));
  e.setState64(cpuState.kernelGsBase.offset, e.state64(base));
  e.setState64(base, other);
  e.setState64(cpuState.segBase.addr(0, SEG.gs), other);
});

/** Turns TLB entries that let the supervisor into user pages from one state into the other, see Tlb.listOpen. */
export function turnEntries(e: RecordEmitter, to: 'open' | 'closed'): void {
  for (let k = 0; k < OPEN_ENTRIES; k++) {
    const at = e.let(e.state32(cpuState.openEntry.addr(0, k)));
    const open = e.let(e.state32(cpuState.openTag.addr(0, k)));
    const closed = e.let(e.or(e.get(open), e.c(TAG_CLOSED)));
    const [was, is] = to === 'open' ? [closed, open] : [open, closed];
    e.if(e.eq(e.word(at), was), () => e.setWord(at, is));
  }
  e.setState32(cpuState.userOpen.offset, e.c(to === 'open' ? 1 : 0));
}
const stac = system((e) => {
  e.slowIf(e.ne(e.cpl(), e.c(0)));
  turnEntries(e, 'open');
  e.setFlagsRest(e.or(e.flagsRest(), e.c(AC)));
});
const clac = system((e) => {
  e.slowIf(e.ne(e.cpl(), e.c(0)));
  turnEntries(e, 'closed');
  e.setFlagsRest(e.and(e.flagsRest(), e.c(~AC)));
});

/** Descriptors of flat segments, accessed: 64-bit code of ring 0 and 3, data of ring 0 and 3. */
export const FLAT = {
  kernelCode: 0x00af_9b00_0000_ffffn,
  userCode: 0x00af_fb00_0000_ffffn,
  kernelData: 0x00cf_9300_0000_ffffn,
  userData: 0x00cf_f300_0000_ffffn,
} as const;
/** Attributes of a null stack segment of ring 0. */
export const NULL_SS = 0x40;

/** The GDT's descriptor for a selector; leaves for the helper where it is beyond its end. */
function descriptor(e: RecordEmitter, selector: Var): Var {
  const beyond = e.let(
    e.bool(e.gtu(e.or(e.get(selector), e.c(7)), e.let(e.state32(cpuState.gdtLimit.offset)))),
  );
  e.slowIf(e.ne(e.or(e.and(e.get(selector), e.c(4)), beyond), e.c(0)));
  const offset = e.let(e.and(e.get(selector), e.c(0xfff8)));
  const at = e.let(e.add(e.state64(cpuState.gdtBase.offset), offset));
  // a TLB has one entry for both pages: each would put the other out for ever
  e.slowIf(e.eqz(e.and(e.shru(e.xor(e.reg(RSP, 8), at), e.c(12)), e.c(TLB_ENTRIES - 1))));
  e.accessAt(e.get(at), 8);
  return e.let(e.memRead(0, 8));
}
const choose = (e: RecordEmitter, user: Var, forUser: bigint, forKernel: bigint): Var => {
  const one = e.let(e.big(forUser));
  const other = e.let(e.big(forKernel));
  return e.let(e.select(one, other, e.ne(e.get(user), e.c(0))));
};

/** IRETQ between flat rings 0 and 3; the frame's five words are read at the stack pointer. */
const iretq = system((e) => {
  const [rip, cs, flags, rsp, ss] = [0, 8, 16, 24, 32].map((at) => e.let(e.memRead(at, 8))) as [
    Var,
    Var,
    Var,
    Var,
    Var,
  ];
  const code = e.let(e.and(e.get(cs), e.c(0xffff)));
  const stack = e.let(e.and(e.get(ss), e.c(0xffff)));
  const user = e.let(e.and(e.get(code), e.c(3)));
  const dataAttr = (s: number): V64 => e.shru(e.state32(cpuState.seg.addr(0, s)), e.c(16));
  const busy = any(
    e,
    () => e.cpl(),
    () => e.userOpen(),
    // to itself the kernel returns before there is a user
    () => e.and(codeDiffers(e), e.let(e.sub(e.c(0), e.let(e.bool(e.ne(e.get(user), e.c(0))))))),
    () => e.irqWindow(),
    () => e.and(e.flagsRest(), e.c(NT)),
    () => e.and(e.get(flags), e.c(TF | VM | VIF | VIP)),
    // the kernel may have AC: what that lets in is looked up again
    () => e.and(e.and(e.shru(e.get(flags), e.c(Math.log2(AC))), user), e.c(1)),
    () => e.xor(e.shrs(e.shl(e.get(rip), e.c(16)), e.c(16)), rip),
    // ring 0 or 3, the same in both selectors
    () => e.and(e.xor(user, stack), e.c(3)),
    () => e.bool(e.eqz(e.and(e.sub(e.get(user), e.c(1)), e.c(2)))),
    // segments that ring 3 may have to lose
    ...[SEG.es, SEG.ds, SEG.fs, SEG.gs].map((s) => () => e.and(dataAttr(s), e.c(ATTR_S))),
  );
  e.slowIf(e.ne(e.get(busy), e.c(0)));
  e.slowIf(e.ne(descriptor(e, code), choose(e, user, FLAT.userCode, FLAT.kernelCode)));
  const noStack = e.let(e.bool(e.eqz(stack)));
  const found = descriptor(e, stack);
  const differs = e.let(e.bool(e.ne(found, choose(e, user, FLAT.userData, FLAT.kernelData))));
  e.slowIf(e.ne(e.and(e.get(differs), e.let(e.xor(e.get(noStack), e.c(1)))), e.c(0)));
  e.setState32(cpuState.nmiBlocked.offset, e.c(0));
  setFlags(e, flags);
  e.setReg(RSP, 8, rsp);
  e.if(
    e.ne(e.get(user), e.c(0)),
    () => {
      flatSegment(e, SEG.cs, code, ATTR.userCode);
      flatSegment(e, SEG.ss, stack, ATTR.userData);
      e.setPrivilege(CPL3);
    },
    () => {
      flatSegment(e, SEG.cs, code, ATTR.kernelCode);
      e.if(
        e.ne(e.get(noStack), e.c(0)),
        () => {
          e.setState64(cpuState.seg.addr(0, SEG.ss), e.c(NULL_SS << 16));
          e.setState64(cpuState.seg.addr(0, SEG.ss) + segment.base.offset, e.c(0));
        },
        () => flatSegment(e, SEG.ss, stack, ATTR.kernelData),
      );
    },
  );
  e.jump(rip);
});

/** MOV from CR0, CR2, CR3 and CR4. */
const movFromCr = sem('w', (e: Sem, z) => {
  e.slowIf(e.ne((e as RecordEmitter).cpl(), e.c(0)));
  e.write(z, e.read(1, z));
});

const CR4_FSGSBASE = 0x1_0000;
const baseOf = (s: number): number => cpuState.seg.addr(0, s) + segment.base.offset;
const unlessFsgsbase = (e: RecordEmitter): void =>
  e.slowIf(e.eqz(e.and(e.state32(cpuState.cr4.offset), e.c(CR4_FSGSBASE))));
const readBase = (s: number): Semantics =>
  sem('w', (e: Sem) => {
    unlessFsgsbase(e as RecordEmitter);
    e.write(8, (e as RecordEmitter).state64(baseOf(s)));
  });
const writeBase = (s: number): Semantics =>
  system((e) => {
    unlessFsgsbase(e);
    const v = e.let(e.read(0, 8));
    e.slowIf(e.ne(e.shrs(e.shl(e.get(v), e.c(16)), e.c(16)), v));
    e.setState64(baseOf(s), v);
    e.setState64(cpuState.segBase.addr(0, s), v);
  });

export const SYSTEM: Readonly<Record<string, Semantics>> = {
  syscall,
  sysret,
  swapgs,
  iretq,
  stac,
  clac,
  movFromCr,
  rdfsbase: readBase(SEG.fs),
  rdgsbase: readBase(SEG.gs),
  wrfsbase: writeBase(SEG.fs),
  wrgsbase: writeBase(SEG.gs),
};
