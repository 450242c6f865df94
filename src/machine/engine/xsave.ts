/**
 * XSAVE and its kin for what there is: x87 and SSE, after which comes the header at 512. Components that are in their
 * initial state are told by the header alone where the instruction allows it. @spec SDM 1 13
 */
import type { Insn } from '../../x86/insn.ts';
import { cpuState } from '../cpu-state.ts';
import { CR0_TS } from '../mmu.ts';
import { type Area, areaAt } from './areas.ts';
import type { Core } from './core.ts';
import { finit, fxImage, loadSse, loadX87, MXCSR_MASK, MXCSR_RESET } from './fpu.ts';
import { checkAligned } from './limits.ts';
import { xcr0Offered } from './offered.ts';
import { EXC } from './registers.ts';

const CR4_OSXSAVE = 0x4_0000;
const X87 = 1;
const SSE = 2;
const SUPPORTED = X87 | SSE;
const HEADER = 512;
const AREA = 576;
const COMPACTED = 1n << 63n;
/** In the legacy region: the x87 words, MXCSR with its mask, the x87 registers, XMM0 to 15. */
const PARTS = { control: [0, 24], mxcsr: [24, 32], st: [32, 160], xmm: [160, 416] } as const;

export type SaveKind = 'xsave' | 'xsaveopt' | 'xsavec';

export const requireXsave = (c: Core): void => {
  if ((c.get32(cpuState.cr4) & CR4_OSXSAVE) === 0) c.ud();
};

export function xgetbv(c: Core): void {
  requireXsave(c);
  if (c.gpr32(1) !== 0) c.gp();
  c.setGpr32(0, c.get32(cpuState.xcr0));
  c.setGpr32(2, 0);
}

export function xsetbv(c: Core): void {
  requireXsave(c);
  c.requireCpl0();
  const v = c.gpr32(0);
  if (c.gpr32(1) !== 0 || c.gpr32(2) !== 0 || v & ~(SUPPORTED & xcr0Offered(c)) || (v & X87) === 0) c.gp();
  c.set(cpuState.xcr0, BigInt(v));
}

/** What all of them check; answers the area's address. */
function area(c: Core, i: Insn, write: boolean, first: Area['first']): number {
  requireXsave(c);
  if (c.get32(cpuState.cr0) & CR0_TS) c.fault(EXC.NM);
  checkAligned(c, i, 64);
  return areaAt(c, i, { size: AREA, write, word: 1, first });
}
/** Components the instruction is asked for. */
const requested = (c: Core): number => c.gpr32(0) & c.get32(cpuState.xcr0);

/** Components that are not in their initial state, from the image in `buf`. */
function inUse(c: Core): number {
  const zero = (from: number, to: number): boolean => {
    for (let k = from; k < to; k += 4) if (c.buf.getUint32(k, true) !== 0) return false;
    return true;
  };
  const x87 = c.buf.getUint16(0, true) !== 0x37f || c.buf.getUint16(2, true) !== 0 || !zero(4, 24);
  return (x87 || !zero(32, 160) ? X87 : 0) | (zero(160, 416) ? 0 : SSE);
}

export function xsave(c: Core, i: Insn, kind: SaveKind): void {
  const at = area(c, i, true, [
    [0, 1],
    [AREA - 1, 1],
  ]);
  const asked = requested(c);
  c.probeWrite(at, AREA);
  const known = kind === 'xsavec' ? 0n : c.read(at + HEADER, 8);
  fxImage(c, i.opSize === 8);
  let used = inUse(c);
  // the compacted form keeps MXCSR with the rest of SSE
  if (kind === 'xsavec' && c.get32(cpuState.mxcsr) !== MXCSR_RESET) used |= SSE;
  const saved = kind === 'xsave' ? asked : asked & used;
  const mxcsr = kind === 'xsavec' ? saved : asked;
  if (saved & X87) for (const part of [PARTS.control, PARTS.st]) storePart(c, at, part);
  if (mxcsr & SSE) storePart(c, at, PARTS.mxcsr);
  if (saved & SSE) storePart(c, at, c.code64 ? PARTS.xmm : [160, 288]);
  c.write(at + HEADER, 8, (known & ~BigInt(asked)) | BigInt(asked & used));
  if (kind === 'xsavec') c.write(at + HEADER + 8, 8, COMPACTED | BigInt(asked));
}

function storePart(c: Core, at: number, [from, to]: readonly [number, number]): void {
  c.store(at + from, to - from, undefined, from);
}

export function xrstor(c: Core, i: Insn): void {
  const at = area(c, i, false, [
    [0, 1],
    [HEADER, 1],
  ]);
  const asked = requested(c);
  c.load(at, AREA);
  const { buf } = c;
  const present = buf.getBigUint64(HEADER, true);
  const layout = buf.getBigUint64(HEADER + 8, true);
  checkHeader(c, present, layout);
  const load = Number(present & 3n) & asked;
  const mxcsr = layout === 0n ? asked & SSE : load & SSE;
  if (mxcsr && buf.getUint32(24, true) & ~MXCSR_MASK) c.gp();
  if (load & X87) loadX87(c, i.opSize === 8);
  else if (asked & X87) initX87(c);
  if (load & SSE) loadSse(c);
  else if (asked & SSE) c.m.fill(cpuState.xmm.addr(c.cpu), c.code64 ? 256 : 128);
  if (asked & SSE) c.set32(cpuState.mxcsr, mxcsr ? buf.getUint32(24, true) : MXCSR_RESET);
}

function checkHeader(c: Core, present: bigint, layout: bigint): void {
  const enabled = c.get(cpuState.xcr0);
  const standard = (layout & COMPACTED) === 0n;
  if (standard ? layout !== 0n : layout & ~COMPACTED & ~enabled) c.gp();
  if (present & ~(standard ? enabled : layout & ~COMPACTED)) c.gp();
  // reserved: to byte 23 in the standard form, all of the rest in the compacted one
  for (let k = HEADER + 16; k < (standard ? HEADER + 24 : AREA); k += 4)
    if (c.buf.getUint32(k, true) !== 0) c.gp();
}

function initX87(c: Core): void {
  finit(c);
  c.m.fill(cpuState.fpr.addr(c.cpu), 128);
}
