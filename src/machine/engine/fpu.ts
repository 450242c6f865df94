/**
 * What x87, MMX and SSE have in common: when they may run, MXCSR, and saving state with FXSAVE and FXRSTOR. The x87
 * instructions themselves are in x87/.
 */
import type { Insn } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { usesXmm } from '../../x86/sem/vector.ts';
import { cpuState } from '../cpu-state.ts';
import { CR0_EM, CR0_MP, CR0_TS } from '../mmu.ts';
import { areaAt } from './areas.ts';
import type { Core } from './core.ts';
import { EXC } from './registers.ts';

export const MXCSR_MASK = 0xffff;
export const MXCSR_RESET = 0x1f80;
const CR4_OSFXSR = 0x200;

/** What WAIT and x87 instructions check first. */
export function checkX87(c: Core, wait = false): void {
  const cr0 = c.get32(cpuState.cr0);
  if (wait ? (cr0 & (CR0_MP | CR0_TS)) === (CR0_MP | CR0_TS) : cr0 & (CR0_EM | CR0_TS)) c.fault(EXC.NM);
}
export function checkSse(c: Core): void {
  const cr0 = c.get32(cpuState.cr0);
  if (cr0 & CR0_EM || (c.get32(cpuState.cr4) & CR4_OSFXSR) === 0) c.ud();
  if (cr0 & CR0_TS) c.fault(EXC.NM);
}

/** Whether there is a unit to run the instruction, which comes before all that its operand does. */
export function checkUnit(c: Core, i: Insn): void {
  if (usesXmm(i)) checkSse(c);
  else if (i.op >= X.fld && i.op < X.fwait) checkX87(c);
}

export function finit(c: Core): void {
  const { m, cpu } = c;
  m.setU16(cpu + cpuState.fcw.offset, 0x37f);
  m.setU16(cpu + cpuState.fsw.offset, 0);
  m.setU8(cpu + cpuState.ftw.offset, 0);
  m.setU16(cpu + cpuState.fop.offset, 0);
  c.set(cpuState.fip, 0n);
  c.set(cpuState.fdp, 0n);
}

/** Bit 7 (ES) and 15 (B) follow from unmasked exceptions. */
function summarise(c: Core): void {
  const at = c.cpu + cpuState.fsw.offset;
  const fsw = c.m.u16(at);
  const pending = fsw & ~c.m.u16(c.cpu + cpuState.fcw.offset) & 0x3f;
  c.m.setU16(at, pending ? fsw | 0x8080 : fsw & ~0x8080);
}

export function mxcsr(c: Core, i: Insn, store: boolean): void {
  checkSse(c);
  if (store) return c.write(c.ea(i), 4, BigInt(c.get32(cpuState.mxcsr)));
  const v = Number(c.read(c.ea(i), 4));
  if (v & ~MXCSR_MASK) c.gp();
  c.set32(cpuState.mxcsr, v);
}

/** Puts the 512-byte FXSAVE image in `buf`. @spec SDM 1 10.5.1 */
export function fxImage(c: Core, wide: boolean): void {
  const { m, cpu, buf } = c;
  for (let k = 0; k < 512; k += 4) buf.setUint32(k, 0, true);
  buf.setUint16(0, m.u16(cpu + cpuState.fcw.offset), true);
  buf.setUint16(2, m.u16(cpu + cpuState.fsw.offset), true);
  buf.setUint8(4, m.u8(cpu + cpuState.ftw.offset));
  buf.setUint16(6, m.u16(cpu + cpuState.fop.offset), true);
  buf.setBigUint64(8, wide ? c.get(cpuState.fip) : c.get(cpuState.fip) & 0xffff_ffffn, true);
  buf.setBigUint64(16, wide ? c.get(cpuState.fdp) : c.get(cpuState.fdp) & 0xffff_ffffn, true);
  buf.setUint32(24, c.get32(cpuState.mxcsr), true);
  buf.setUint32(28, MXCSR_MASK, true);
  const top = (m.u16(cpu + cpuState.fsw.offset) >>> 11) & 7;
  for (let r = 0; r < 8; r++) {
    const at = cpuState.fpr.addr(cpu) + 16 * ((top + r) & 7);
    for (let k = 0; k < 10; k++) buf.setUint8(32 + 16 * r + k, m.u8(at + k));
  }
  const xmms = c.code64 ? 16 : 8;
  for (let k = 0; k < xmms * 16; k += 4) buf.setUint32(160 + k, m.u32(cpuState.xmm.addr(cpu) + k), true);
}

/** What of the image is written: the rest of the 512 bytes is reserved, or the program's own. */
export const imageBytes = (c: Core): number => (c.code64 ? 416 : 288);

const IMAGE = { size: 512, word: 4, aligned: 16, first: [[511, 1]] } as const;

export function fxsave(c: Core, i: Insn): void {
  checkX87(c);
  const at = areaAt(c, i, { ...IMAGE, write: true });
  c.probeWrite(at, IMAGE.size);
  fxImage(c, i.opSize === 8);
  c.store(at, imageBytes(c));
}

export function fxrstor(c: Core, i: Insn): void {
  checkX87(c);
  c.load(areaAt(c, i, { ...IMAGE, write: false }), IMAGE.size);
  if (c.buf.getUint32(24, true) & ~MXCSR_MASK) c.gp();
  loadX87(c, i.opSize === 8);
  loadSse(c);
  c.set32(cpuState.mxcsr, c.buf.getUint32(24, true));
}

/** Takes the x87's part of the image in `buf`. */
export function loadX87(c: Core, wide: boolean): void {
  const { m, cpu, buf } = c;
  const pointer = (at: number): bigint =>
    wide ? buf.getBigUint64(at, true) : BigInt(buf.getUint32(at, true));
  m.setU16(cpu + cpuState.fcw.offset, buf.getUint16(0, true) | 0x40);
  m.setU16(cpu + cpuState.fsw.offset, buf.getUint16(2, true));
  m.setU8(cpu + cpuState.ftw.offset, buf.getUint8(4));
  m.setU16(cpu + cpuState.fop.offset, buf.getUint16(6, true) & 0x7ff);
  c.set(cpuState.fip, pointer(8));
  c.set(cpuState.fdp, pointer(16));
  const top = (m.u16(cpu + cpuState.fsw.offset) >>> 11) & 7;
  for (let r = 0; r < 8; r++) {
    const to = cpuState.fpr.addr(cpu) + 16 * ((top + r) & 7);
    for (let k = 0; k < 10; k++) m.setU8(to + k, buf.getUint8(32 + 16 * r + k));
  }
  summarise(c);
}

/** Takes the XMM registers of the image in `buf`. */
export function loadSse(c: Core): void {
  const size = c.code64 ? 256 : 128;
  for (let k = 0; k < size; k += 4) c.m.setU32(cpuState.xmm.addr(c.cpu) + k, c.buf.getUint32(160 + k, true));
}
