/** The local APIC by its MSRs, for guests that use it. @spec SDM 3A 11.12 */
import type { Asm } from '../asm.ts';
import type { Events } from '../events.ts';
import { mem, R } from '../registers.ts';

export const APIC_BASE = 0x1b;
export const BASE = { extd: 0x400, enable: 0x800 } as const;
/** Offsets of the registers in the page; the MSR is 0x800 + offset / 16. */
export const REG = {
  id: 0x20,
  version: 0x30,
  tpr: 0x80,
  ppr: 0xa0,
  eoi: 0xb0,
  ldr: 0xd0,
  dfr: 0xe0,
  svr: 0xf0,
  isr: 0x100,
  tmr: 0x180,
  irr: 0x200,
  esr: 0x280,
  icr: 0x300,
  icr2: 0x310,
  lvtTimer: 0x320,
  lvtThermal: 0x330,
  lvtPerf: 0x340,
  lint0: 0x350,
  lint1: 0x360,
  lvtError: 0x370,
  initial: 0x380,
  current: 0x390,
  divide: 0x3e0,
  selfIpi: 0x3f0,
} as const;
const PAGE = 0xfee00000;

export function writeMsr(a: Asm, msr: number, low: number | string, high = 0): void {
  a.mov(R.ecx, msr);
  a.mov(R.eax, low);
  a.mov(R.edx, high);
  a.op('wrmsr');
}
/** EDX:EAX, both in rax. */
export function readMsr(a: Asm, msr: number): void {
  a.mov(R.ecx, msr);
  a.op('rdmsr');
  a.shift('shl', R.rdx, 32);
  a.alu('or', R.rax, R.rdx);
}
export const x2 = (reg: number): number => 0x800 + reg / 16;

/** Interrupt command in x2APIC mode. */
export const sendIpi = (a: Asm, icr: number, to = 0): void => writeMsr(a, x2(REG.icr), icr, to);

/** The spurious vector is 0xff. */
export function enableX2apic(e: Events): void {
  const { a } = e.g;
  readMsr(a, APIC_BASE);
  a.alu('or', R.eax, BASE.extd | BASE.enable);
  a.op('wrmsr');
  writeMsr(a, x2(REG.svr), 0x1ff);
  a.mov(mem(32, 'ev.x2apic'), 1);
}

export function writeXapic(a: Asm, reg: number, v: number): void {
  a.mov(R.ecx, PAGE + reg);
  a.mov(mem(32, R.rcx), v);
}
/** Into eax. */
export function readXapic(a: Asm, reg: number): void {
  a.mov(R.ecx, PAGE + reg);
  a.mov(R.eax, mem(32, R.rcx));
}
