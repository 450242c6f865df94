/**
 * A vCPU's local APIC: xAPIC registers and x2APIC, as a state machine over its record. The register page has the layout
 * of the MMIO window, so a save record is a copy of it. What leaves the APIC (IPIs, the time, a changed deadline) goes
 * through `LapicEnv`.
 *
 * IRR words may be set by any thread (atomically); everything else is the owning vCPU's.
 *
 * @spec SDM 3A ch. 11; @abi public/arch-x86/hvm/save.h hvm_hw_lapic, hvm_hw_lapic_regs
 */
import type { Mem } from '../../base/mem.ts';
import { vcpuRecord } from '../records.ts';
import { assistOffer, assistTaken, assistWithdraw, endsItself } from './viridian-assist.ts';

export const APIC = {
  ID: 0x20,
  VERSION: 0x30,
  TPR: 0x80,
  PPR: 0xa0,
  EOI: 0xb0,
  LDR: 0xd0,
  DFR: 0xe0,
  SVR: 0xf0,
  ISR: 0x100,
  TMR: 0x180,
  IRR: 0x200,
  ESR: 0x280,
  ICR: 0x300,
  ICR2: 0x310,
  LVTT: 0x320,
  LVTTHMR: 0x330,
  LVTPC: 0x340,
  LVT0: 0x350,
  LVT1: 0x360,
  LVTERR: 0x370,
  TMICT: 0x380,
  TMCCT: 0x390,
  TDCR: 0x3e0,
  SELF_IPI: 0x3f0,
} as const;

/** Error status bits. */
export const ESR = { sendIllegal: 0x20, receiveIllegal: 0x40 } as const;

export const APIC_BASE_ADDRESS = 0xfee00000;
export const APIC_BASE_BSP = 0x100;
export const APIC_BASE_EXTD = 0x400;
export const APIC_BASE_ENABLE = 0x800;
const HW_DISABLED = 1;
const SW_DISABLED = 2;
const SVR_ENABLE = 0x100;
const LVT_MASKED = 0x1_0000;
/** Ns per tick of the timer's bus clock, as Xen has it. */
export const BUS_CYCLE_NS = 10;
const TIMER_ONESHOT = 0;
const TIMER_PERIODIC = 1;
const TIMER_TSC_DEADLINE = 2;

/** Writable bits of each LVT. */
const LVT_WRITABLE: Readonly<Record<number, number>> = {
  [APIC.LVTT]: 0x700ff,
  [APIC.LVTTHMR]: 0x107ff,
  [APIC.LVTPC]: 0x107ff,
  [APIC.LVT0]: 0x1a7ff,
  [APIC.LVT1]: 0x1a7ff,
  [APIC.LVTERR]: 0x100ff,
};
const LVTS = Object.keys(LVT_WRITABLE).map(Number);

export interface LapicEnv {
  readonly mem: Mem;
  /** System time, ns. */
  now(): number;
  /** System time at which the vCPU's TSC reaches a value. */
  tscToSystem(vcpu: number, tsc: number): number;
  /** Carries out an interrupt command; `dest` is the APIC id or logical destination. */
  sendIpi(vcpu: number, icr: number, dest: number): void;
  /** The timer's deadline was set or moved. */
  timerArmed(vcpu: number, deadline: number): void;
  /** A lower priority or an EOI may let a pending interrupt through. */
  recheck(vcpu: number): void;
}

const page = (v: number): number => vcpuRecord.lapic.addr(v);
export const lapicReg = (m: Mem, v: number, reg: number): number => m.u32(page(v) + reg);
export const lapicSetReg = (m: Mem, v: number, reg: number, value: number): void =>
  m.setU32(page(v) + reg, value);

export const apicIdOf = (vcpuId: number): number => vcpuId * 2;
const x2apicLdr = (id: number): number => (((id >>> 4) << 16) | (1 << (id & 15))) >>> 0;

export const isX2apic = (m: Mem, v: number): boolean =>
  (vcpuRecord.apicBase.get(m, v) & (APIC_BASE_ENABLE | APIC_BASE_EXTD)) ===
  (APIC_BASE_ENABLE | APIC_BASE_EXTD);
export const lapicEnabled = (m: Mem, v: number): boolean => vcpuRecord.lapicDisabled.get(m, v) === 0;
/** The MMIO window is there: enabled in the base MSR and not in x2APIC mode. */
export const lapicMapped = (m: Mem, v: number): boolean =>
  (vcpuRecord.apicBase.get(m, v) & APIC_BASE_ENABLE) !== 0 && !isX2apic(m, v);

/** State after power-up; `keepMode` for INIT, which leaves the base MSR and the id alone. */
export function lapicReset(m: Mem, v: number, keepMode = false): void {
  const id = vcpuRecord.id.get(m, v);
  m.fill(page(v), 1024);
  if (!keepMode) {
    const bsp = id === 0 ? APIC_BASE_BSP : 0;
    vcpuRecord.apicBase.set(m, v, APIC_BASE_ADDRESS + APIC_BASE_ENABLE + bsp);
  }
  lapicSetReg(m, v, APIC.VERSION, 0x50014);
  lapicSetReg(m, v, APIC.DFR, 0xffff_ffff);
  lapicSetReg(m, v, APIC.SVR, 0xff);
  for (const lvt of LVTS) lapicSetReg(m, v, lvt, LVT_MASKED);
  setId(m, v);
  vcpuRecord.lapicDisabled.set(m, v, SW_DISABLED);
  vcpuRecord.lapicDivisor.set(m, v, 2);
  vcpuRecord.lapicErrors.set(m, v, 0);
  stopTimer(m, v);
}

function setId(m: Mem, v: number): void {
  const id = apicIdOf(vcpuRecord.id.get(m, v));
  const x2 = isX2apic(m, v);
  lapicSetReg(m, v, APIC.ID, x2 ? id : (id << 24) >>> 0);
  if (x2) lapicSetReg(m, v, APIC.LDR, x2apicLdr(id));
}

/** Writes the base MSR; false where hardware gives #GP. */
export function lapicSetBase(m: Mem, v: number, value: number): boolean {
  const old = vcpuRecord.apicBase.get(m, v);
  const mode = value & (APIC_BASE_ENABLE | APIC_BASE_EXTD);
  const oldMode = old & (APIC_BASE_ENABLE | APIC_BASE_EXTD);
  if (mode === APIC_BASE_EXTD) return false;
  if (mode !== oldMode && oldMode === (APIC_BASE_ENABLE | APIC_BASE_EXTD) && mode !== 0) return false;
  if (oldMode === 0 && mode === (APIC_BASE_ENABLE | APIC_BASE_EXTD)) return false;
  if ((value & 0x2ff) !== 0 || value >= 2 ** 40) return false;
  vcpuRecord.apicBase.set(m, v, value);
  const disabled = vcpuRecord.lapicDisabled.get(m, v);
  if (mode === 0) {
    lapicReset(m, v, true);
    vcpuRecord.lapicDisabled.set(m, v, HW_DISABLED | SW_DISABLED);
  } else {
    vcpuRecord.lapicDisabled.set(m, v, disabled & ~HW_DISABLED);
  }
  if (mode !== oldMode) setId(m, v);
  return true;
}

// Interrupts

const bitWord = (base: number, v: number, vector: number): number => page(v) + base + ((vector >>> 5) << 4);

/** Makes a vector pending; true if it was not. */
export function lapicSetIrq(m: Mem, v: number, vector: number): boolean {
  if (vector < 16) {
    lapicError(m, v, ESR.receiveIllegal);
    return false;
  }
  const bit = 1 << (vector & 31);
  m.atomicAnd(bitWord(APIC.TMR, v, vector), ~bit);
  return (m.atomicOr(bitWord(APIC.IRR, v, vector), bit) & bit) === 0;
}

/** Notes an error for the guest's next look at ESR, and raises LVTERR if it is the first. */
export function lapicError(m: Mem, v: number, error: number): void {
  const before = vcpuRecord.lapicErrors.get(m, v);
  vcpuRecord.lapicErrors.set(m, v, before | error);
  const lvt = lapicReg(m, v, APIC.LVTERR);
  if ((before & error) === 0 && (lvt & LVT_MASKED) === 0) lapicSetIrq(m, v, lvt & 0xff);
}

/** The highest vector set in a 256-bit register, -1 for none. */
function highest(m: Mem, v: number, reg: number): number {
  for (let i = 7; i >= 0; i--) {
    const w = m.u32(page(v) + reg + i * 16);
    if (w !== 0) return i * 32 + 31 - Math.clz32(w);
  }
  return -1;
}

function processorPriority(m: Mem, v: number): number {
  const tpr = lapicReg(m, v, APIC.TPR) & 0xff;
  const isr = Math.max(0, highest(m, v, APIC.ISR));
  return (tpr & 0xf0) >= (isr & 0xf0) ? tpr : isr & 0xf0;
}

/** The vector that would be delivered now, -1 for none. */
export function lapicPending(m: Mem, v: number): number {
  if (!lapicEnabled(m, v)) return -1;
  const irr = highest(m, v, APIC.IRR);
  return irr >= 0 && (irr & 0xf0) > (processorPriority(m, v) & 0xf0) ? irr : -1;
}

/** Takes a pending vector into service. */
export function lapicAck(m: Mem, v: number, vector: number): void {
  const bit = 1 << (vector & 31);
  m.atomicAnd(bitWord(APIC.IRR, v, vector), ~bit);
  if (endsItself(m, v, vector)) return;
  if (highest(m, v, APIC.ISR) < 0) assistOffer(m, v, vector);
  m.atomicOr(bitWord(APIC.ISR, v, vector), bit);
}

function retire(m: Mem, v: number): void {
  const vector = highest(m, v, APIC.ISR);
  if (vector >= 0) m.atomicAnd(bitWord(APIC.ISR, v, vector), ~(1 << (vector & 31)));
}

/** The guest's EOI: for the vector in service, or for the one below if that one's was spared. */
function endOfInterrupt(m: Mem, v: number): void {
  if (assistTaken(m, v)) retire(m, v);
  else assistWithdraw(m, v);
  retire(m, v);
}

/** Makes up for an EOI that was spared; asks for one if a vector waits for it. */
export function lapicSettle(m: Mem, v: number): void {
  if (assistTaken(m, v)) retire(m, v);
  else if (highest(m, v, APIC.IRR) >= 0 && lapicPending(m, v) < 0) assistWithdraw(m, v);
}

// Timer

const timerMode = (m: Mem, v: number): number => (lapicReg(m, v, APIC.LVTT) >>> 17) & 3;
const tickNs = (m: Mem, v: number): number => BUS_CYCLE_NS * vcpuRecord.lapicDivisor.get(m, v);

function stopTimer(m: Mem, v: number): void {
  vcpuRecord.lapicDeadline.set(m, v, 0);
  vcpuRecord.lapicPeriod.set(m, v, 0);
  vcpuRecord.lapicTdt.set(m, v, 0n);
}

function startCounter(env: LapicEnv, v: number): void {
  const { mem } = env;
  const count = lapicReg(mem, v, APIC.TMICT);
  stopTimer(mem, v);
  if (count === 0 || timerMode(mem, v) === TIMER_TSC_DEADLINE) return;
  const ns = count * tickNs(mem, v);
  const now = env.now();
  vcpuRecord.lapicStart.set(mem, v, now);
  vcpuRecord.lapicDeadline.set(mem, v, now + ns);
  vcpuRecord.lapicPeriod.set(mem, v, timerMode(mem, v) === TIMER_PERIODIC ? ns : 0);
  env.timerArmed(v, now + ns);
}

function currentCount(env: LapicEnv, v: number): number {
  const { mem } = env;
  const count = lapicReg(mem, v, APIC.TMICT);
  if (count === 0 || vcpuRecord.lapicDeadline.get(mem, v) === 0) return 0;
  const passed = Math.floor((env.now() - vcpuRecord.lapicStart.get(mem, v)) / tickNs(mem, v));
  return vcpuRecord.lapicPeriod.get(mem, v) > 0 ? count - (passed % count) : Math.max(0, count - passed);
}

/** After a restore: the count starts anew, a TSC deadline stands. */
export function lapicRearm(env: LapicEnv, v: number): void {
  const tdt = vcpuRecord.lapicTdt.get(env.mem, v);
  if (timerMode(env.mem, v) !== TIMER_TSC_DEADLINE) startCounter(env, v);
  else lapicSetTscDeadline(env, v, Number(tdt & 0xffff_ffffn), Number(tdt >> 32n));
}

/** The timer's deadline has passed: arms the next period; answers the vector to raise, -1 if masked. */
export function lapicTimerFired(m: Mem, v: number, now: number): number {
  const period = vcpuRecord.lapicPeriod.get(m, v);
  if (period > 0) {
    const start = vcpuRecord.lapicStart.get(m, v);
    vcpuRecord.lapicDeadline.set(m, v, start + (Math.floor((now - start) / period) + 1) * period);
  } else {
    vcpuRecord.lapicDeadline.set(m, v, 0);
    vcpuRecord.lapicTdt.set(m, v, 0n);
  }
  const lvtt = lapicReg(m, v, APIC.LVTT);
  return lvtt & LVT_MASKED ? -1 : lvtt & 0xff;
}

export function lapicSetTscDeadline(env: LapicEnv, v: number, lo: number, hi: number): void {
  const { mem } = env;
  if (timerMode(mem, v) !== TIMER_TSC_DEADLINE) return;
  stopTimer(mem, v);
  if (lo === 0 && hi === 0) return;
  vcpuRecord.lapicTdt.set(mem, v, (BigInt(hi) << 32n) | BigInt(lo));
  const deadline = Math.max(1, env.tscToSystem(v, hi * 2 ** 32 + lo));
  vcpuRecord.lapicDeadline.set(mem, v, deadline);
  env.timerArmed(v, deadline);
}

// Registers

/** Reads a register by its MMIO offset. */
export function lapicRead(env: LapicEnv, v: number, reg: number): number {
  if (reg === APIC.PPR) return processorPriority(env.mem, v);
  if (reg === APIC.TMCCT) return currentCount(env, v);
  return lapicReg(env.mem, v, reg);
}

/** Writes a register by its MMIO offset. Bits that are reserved are dropped; x2APIC has checked them before. */
export function lapicWrite(env: LapicEnv, v: number, reg: number, value: number): void {
  const { mem } = env;
  switch (reg) {
    case APIC.TPR:
      lapicSetReg(mem, v, reg, value & 0xff);
      env.recheck(v);
      return;
    case APIC.EOI:
      endOfInterrupt(mem, v);
      env.recheck(v);
      return;
    case APIC.LDR:
      lapicSetReg(mem, v, reg, (value & 0xff00_0000) >>> 0);
      return;
    case APIC.DFR:
      lapicSetReg(mem, v, reg, (value | 0x0fff_ffff) >>> 0);
      return;
    case APIC.SVR:
      writeSpurious(env, v, value);
      return;
    case APIC.ESR:
      // a write of any value shows what has gathered
      lapicSetReg(mem, v, reg, vcpuRecord.lapicErrors.get(mem, v));
      vcpuRecord.lapicErrors.set(mem, v, 0);
      return;
    case APIC.ICR:
      lapicSetReg(mem, v, reg, (value & ~0x1000) >>> 0);
      env.sendIpi(v, value, lapicReg(mem, v, APIC.ICR2) >>> 24);
      return;
    case APIC.ICR2:
      lapicSetReg(mem, v, reg, (value & 0xff00_0000) >>> 0);
      return;
    case APIC.TMICT:
      lapicSetReg(mem, v, reg, value);
      startCounter(env, v);
      return;
    case APIC.TDCR:
      writeDivide(env, v, value);
      return;
    default:
      if (LVT_WRITABLE[reg] !== undefined) writeLvt(env, v, reg, value);
  }
}

function writeSpurious(env: LapicEnv, v: number, value: number): void {
  const { mem } = env;
  lapicSetReg(mem, v, APIC.SVR, value & 0x1ff);
  const disabled = vcpuRecord.lapicDisabled.get(mem, v);
  if (value & SVR_ENABLE) {
    vcpuRecord.lapicDisabled.set(mem, v, disabled & ~SW_DISABLED);
    env.recheck(v);
    return;
  }
  vcpuRecord.lapicDisabled.set(mem, v, disabled | SW_DISABLED);
  for (const lvt of LVTS) lapicSetReg(mem, v, lvt, lapicReg(mem, v, lvt) | LVT_MASKED);
}

function writeLvt(env: LapicEnv, v: number, reg: number, value: number): void {
  const { mem } = env;
  const soft = vcpuRecord.lapicDisabled.get(mem, v) & SW_DISABLED ? LVT_MASKED : 0;
  const was = timerMode(mem, v);
  lapicSetReg(mem, v, reg, (value & LVT_WRITABLE[reg]!) | soft);
  if (reg !== APIC.LVTT || timerMode(mem, v) === was) return;
  // Between one-shot and periodic the count goes on; to and from TSC deadline it stops.
  if (was === TIMER_TSC_DEADLINE || timerMode(mem, v) === TIMER_TSC_DEADLINE) {
    lapicSetReg(mem, v, APIC.TMICT, 0);
    stopTimer(mem, v);
  } else {
    const deadline = vcpuRecord.lapicDeadline.get(mem, v);
    const ns = lapicReg(mem, v, APIC.TMICT) * tickNs(mem, v);
    vcpuRecord.lapicPeriod.set(mem, v, timerMode(mem, v) !== TIMER_ONESHOT && deadline > 0 ? ns : 0);
  }
}

function writeDivide(env: LapicEnv, v: number, value: number): void {
  const { mem } = env;
  lapicSetReg(mem, v, APIC.TDCR, value & 0xb);
  vcpuRecord.lapicDivisor.set(mem, v, lapicDivisorOf(value));
  if (vcpuRecord.lapicDeadline.get(mem, v) === 0 || timerMode(mem, v) === TIMER_TSC_DEADLINE) return;
  startCounter(env, v);
}

export function lapicDivisorOf(tdcr: number): number {
  return 1 << ((((tdcr & 3) | ((tdcr & 8) >>> 1)) + 1) & 7);
}
