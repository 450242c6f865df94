/** SYSCALL, SYSRET, SYSENTER and SYSEXIT, as AMD has them. @spec APM 3 */
import { IF, RF, VM } from '../../x86/flags.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { EFER_LMA } from '../mmu.ts';
import type { Core } from './core.ts';
import { modeChanged } from './segments.ts';

const EFER_SCE = 1;

function flat(c: Core, s: number, sel: number, attr: number): void {
  c.setSeg(s, sel, attr, 0xffff_ffff, 0);
}
function setCpl(c: Core, cpl: number): void {
  c.m.setU32(c.cpu + cpuState.cpl.offset, cpl);
}

/** @spec APM 3 SYSCALL: works in legacy mode too on this vendor. */
export function syscall(c: Core): void {
  if ((c.get32(cpuState.efer) & EFER_SCE) === 0 || !c.protectedMode) c.ud();
  const star = c.m.u32(c.cpu + cpuState.star.offset + 4);
  const flags = c.flags;
  const next = c.nextIp;
  const cs = star & 0xfffc;
  if (c.get32(cpuState.efer) & EFER_LMA) {
    const was64 = c.code64;
    c.setLin({ offset: 8 }, next);
    c.setGpr(11, 8, BigInt((flags & ~RF) >>> 0));
    setCpl(c, 0);
    flat(c, SEG.cs, cs, 0xa9b);
    flat(c, SEG.ss, cs + 8, 0xc93);
    modeChanged(c);
    c.setLin(cpuState.rip, c.lin(was64 ? cpuState.lstar : cpuState.cstar));
    c.flags = flags & ~(c.get32(cpuState.sfmask) | RF | VM);
    return;
  }
  c.setGpr32(1, next >>> 0);
  setCpl(c, 0);
  flat(c, SEG.cs, cs, 0xc9b);
  flat(c, SEG.ss, cs + 8, 0xc93);
  modeChanged(c);
  c.setLin(cpuState.rip, c.m.u32(c.cpu + cpuState.star.offset));
  c.flags = flags & ~(IF | RF | VM);
}

export function sysret(c: Core, z: number): void {
  if ((c.get32(cpuState.efer) & EFER_SCE) === 0) c.ud();
  if (!c.protectedMode || c.cpl !== 0) c.gp();
  const base = (c.m.u32(c.cpu + cpuState.star.offset + 4) >>> 16) & 0xffff;
  const long = (c.get32(cpuState.efer) & EFER_LMA) !== 0;
  const to64 = long && z === 8;
  const ip = to64 ? c.gprLin(1) : c.gpr32(1);
  const newFlags = long ? (c.gpr32(11) & 0x3c7fd7) | 2 : c.flags | IF;
  setCpl(c, 3);
  flat(c, SEG.cs, (to64 ? base + 16 : base) | 3, to64 ? 0xafb : 0xcfb);
  flat(c, SEG.ss, (base + 8) | 3, 0xcf3);
  modeChanged(c);
  c.flags = newFlags & ~(RF | VM);
  c.setLin(cpuState.rip, ip);
}

export function sysenter(c: Core): void {
  if (c.longMode) c.ud(); // this vendor has SYSENTER in legacy mode only
  const cs = c.get32(cpuState.sysenterCs) & 0xfffc;
  if (!c.protectedMode || cs === 0) c.gp(0);
  c.flags = c.flags & ~(IF | VM | RF);
  setCpl(c, 0);
  flat(c, SEG.cs, cs, 0xc9b);
  flat(c, SEG.ss, cs + 8, 0xc93);
  modeChanged(c);
  c.setGpr32(4, c.get32(cpuState.sysenterEsp));
  c.setLin(cpuState.rip, c.get32(cpuState.sysenterEip));
}

export function sysexit(c: Core): void {
  if (!c.protectedMode || c.cpl !== 0) c.gp(0);
  if (c.longMode) c.ud();
  const cs = c.get32(cpuState.sysenterCs) & 0xfffc;
  if (cs === 0) c.gp(0);
  setCpl(c, 3);
  flat(c, SEG.cs, (cs + 16) | 3, 0xcfb);
  flat(c, SEG.ss, (cs + 24) | 3, 0xcf3);
  modeChanged(c);
  c.setGpr32(4, c.gpr32(1));
  c.setLin(cpuState.rip, c.gpr32(2));
}
