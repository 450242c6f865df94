/** The local APIC as MSRs 0x800 to 0x8ff. Accesses that hardware refuses answer false: #GP. @spec SDM 3A 11.12 */
import { vcpuRecord } from '../records.ts';
import {
  APIC,
  ESR,
  isX2apic,
  type LapicEnv,
  lapicError,
  lapicRead,
  lapicReg,
  lapicSetIrq,
  lapicSetReg,
  lapicWrite,
} from './vlapic.ts';

/** Bits a write may set, by register offset. Registers not here cannot be written. */
const WRITABLE: Readonly<Record<number, number>> = {
  [APIC.TPR]: 0xff,
  [APIC.EOI]: 0,
  [APIC.SVR]: 0x1ff,
  [APIC.ESR]: 0,
  [APIC.ICR]: 0xcdfff,
  [APIC.LVTT]: 0x700ff,
  [APIC.LVTTHMR]: 0x117ff,
  [APIC.LVTPC]: 0x117ff,
  [APIC.LVT0]: 0x1f7ff,
  [APIC.LVT1]: 0x1f7ff,
  [APIC.LVTERR]: 0x110ff,
  [APIC.TMICT]: 0xffff_ffff,
  [APIC.TDCR]: 0xb,
  [APIC.SELF_IPI]: 0xff,
};

function readable(reg: number): boolean {
  if (reg >= APIC.ISR && reg < APIC.ESR) return true;
  if (reg === APIC.EOI || reg === APIC.SELF_IPI) return false;
  if (reg === APIC.ID || reg === APIC.VERSION || reg === APIC.PPR || reg === APIC.LDR || reg === APIC.TMCCT) {
    return true;
  }
  return WRITABLE[reg] !== undefined;
}

export function x2apicRead(env: LapicEnv, v: number, msr: number, out: Uint32Array): boolean {
  const reg = (msr & 0xff) << 4;
  if (!isX2apic(env.mem, v) || !readable(reg)) return false;
  out[0] = lapicRead(env, v, reg);
  out[1] = reg === APIC.ICR ? lapicReg(env.mem, v, APIC.ICR2) : 0;
  return true;
}

export function x2apicWrite(env: LapicEnv, v: number, msr: number, lo: number, hi: number): boolean {
  const reg = (msr & 0xff) << 4;
  const allowed = WRITABLE[reg];
  if (!isX2apic(env.mem, v) || allowed === undefined) return false;
  if ((lo & ~allowed) !== 0 || (hi !== 0 && reg !== APIC.ICR)) return false;
  if (reg === APIC.ICR) {
    lapicSetReg(env.mem, v, APIC.ICR, lo);
    lapicSetReg(env.mem, v, APIC.ICR2, hi);
    env.sendIpi(v, lo, hi);
  } else if (reg === APIC.SELF_IPI) {
    if (lo < 16) lapicError(env.mem, v, ESR.sendIllegal);
    if (lapicSetIrq(env.mem, v, lo)) env.recheck(v);
  } else {
    lapicWrite(env, v, reg, lo);
  }
  return true;
}

/** The low 32 bits of the deadline MSR, for the save record. */
export const tscDeadline = (env: LapicEnv, v: number): bigint => vcpuRecord.lapicTdt.get(env.mem, v);
