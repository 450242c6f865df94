/** x87 and SSE registers between cpuState and the 64-bit FXSAVE image. @spec SDM 1 10.5.1 */
import type { Mem } from '../../base/mem.ts';
import { cpuState } from '../../machine/cpu-state.ts';

const FXSAVE_BYTES = 512;
const ST = 32;
const XMM = 160;
const MXCSR_MASK = 0xffff;
const MXCSR_RESET = 0x1f80;
const FCW_RESET = 0x40;

/** ST(i) is physical register (TOP + i) mod 8; the image has them in stack order. */
const top = (m: Mem, cpu: number): number => (cpuState.fsw.get(m, cpu) >>> 11) & 7;

function copy(from: Mem, a: number, to: Mem, b: number, len: number): void {
  for (let i = 0; i < len; i++) to.setU8(b + i, from.u8(a + i));
}

export function saveFxsave(m: Mem, cpu: number, out: Mem, to: number): void {
  out.fill(to, FXSAVE_BYTES);
  out.setU16(to, cpuState.fcw.get(m, cpu));
  out.setU16(to + 2, cpuState.fsw.get(m, cpu));
  out.setU8(to + 4, cpuState.ftw.get(m, cpu));
  out.setU16(to + 6, cpuState.fop.get(m, cpu));
  out.setU64(to + 8, cpuState.fip.get(m, cpu));
  out.setU64(to + 16, cpuState.fdp.get(m, cpu));
  out.setU32(to + 24, cpuState.mxcsr.get(m, cpu));
  out.setU32(to + 28, MXCSR_MASK);
  for (let i = 0; i < 8; i++)
    copy(m, cpuState.fpr.addr(cpu, (top(m, cpu) + i) & 7), out, to + ST + i * 16, 10);
  for (let i = 0; i < 16; i++) copy(m, cpuState.xmm.addr(cpu, i), out, to + XMM + i * 16, 16);
}

export function loadFxsave(m: Mem, cpu: number, src: Mem, from: number): void {
  cpuState.fcw.set(m, cpu, src.u16(from));
  cpuState.fsw.set(m, cpu, src.u16(from + 2));
  cpuState.ftw.set(m, cpu, src.u8(from + 4));
  cpuState.fop.set(m, cpu, src.u16(from + 6));
  cpuState.fip.set(m, cpu, src.u64(from + 8));
  cpuState.fdp.set(m, cpu, src.u64(from + 16));
  cpuState.mxcsr.set(m, cpu, src.u32(from + 24) & MXCSR_MASK);
  for (let i = 0; i < 8; i++)
    copy(src, from + ST + i * 16, m, cpuState.fpr.addr(cpu, (top(m, cpu) + i) & 7), 10);
  for (let i = 0; i < 16; i++) copy(src, from + XMM + i * 16, m, cpuState.xmm.addr(cpu, i), 16);
}

/** At power-on: FNINIT has not been, and SSE's exceptions are masked. @spec SDM 3A table 9-1 */
export function resetFxsave(m: Mem, cpu: number): void {
  m.fill(cpuState.fpr.addr(cpu), 8 * 16);
  m.fill(cpuState.xmm.addr(cpu), 16 * 16);
  cpuState.fcw.set(m, cpu, FCW_RESET);
  cpuState.fsw.set(m, cpu, 0);
  cpuState.ftw.set(m, cpu, 0);
  cpuState.fop.set(m, cpu, 0);
  cpuState.fip.set(m, cpu, 0n);
  cpuState.fdp.set(m, cpu, 0n);
  cpuState.mxcsr.set(m, cpu, MXCSR_RESET);
}
