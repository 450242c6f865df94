/**
 * An I/O APIC with 48 pins, for domains with XEN_X86_EMU_IOAPIC. Only the HPET has lines to it.
 *
 * DIVERGES: Xen's local APICs tell it of the end of a level-triggered interrupt; here the device ends it, by letting its
 * line go.
 *
 * @spec Intel 82093AA
 */
import { XEN_X86_EMU_IOAPIC } from '../../abi/arch_x86.ts';
import type { Mem } from '../../base/mem.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord } from '../records.ts';
import { IOAPIC_BASE, IOAPIC_PINS, ioapicState } from './devices.ts';
import { sendIpi } from './ipi.ts';

const REG = { select: 0x00, window: 0x10 } as const;
const INDEX = { id: 0, version: 1, arbitration: 2, entries: 0x10 } as const;
const VERSION = ((IOAPIC_PINS - 1) << 16) | 0x11;
const ID_MASK = 0x0f00_0000;
/** Vector, delivery mode and destination mode, as in an interrupt command. */
const COMMAND = 0xfffn;
const DELIVERY_STATUS = 1n << 12n;
const REMOTE_IRR = 1n << 14n;
const LEVEL = 1n << 15n;
const MASKED = 1n << 16n;
const LOW_WORD = 0xffff_ffffn;

export const hasIoapic = (m: Mem, dom: number): boolean =>
  (domainRecord.emulationFlags.get(m, dom) & XEN_X86_EMU_IOAPIC) !== 0;
export const inIoapic = (gpa: number): boolean => gpa >= IOAPIC_BASE && gpa < IOAPIC_BASE + 0x100;

const entryAt = (dom: number, pin: number): number =>
  ioapicState.entries.addr(domainRecord.ioapic.addr(dom), pin);
const entry = (m: Mem, dom: number, pin: number): bigint => m.u64(entryAt(dom, pin)) ^ MASKED;
const setEntry = (m: Mem, dom: number, pin: number, value: bigint): void =>
  m.setU64(entryAt(dom, pin), value ^ MASKED);

export function ioapicRead(hv: Hypervisor, dom: number, offset: number): number {
  const { mem } = hv;
  const state = domainRecord.ioapic.addr(dom);
  const index = ioapicState.select.get(mem, state);
  if (offset === REG.select) return index;
  if (offset !== REG.window) return 0;
  if (index === INDEX.version) return VERSION;
  if (index === INDEX.id || index === INDEX.arbitration) return ioapicState.id.get(mem, state);
  const pin = (index - INDEX.entries) >> 1;
  if (index < INDEX.entries || pin >= IOAPIC_PINS) return 0;
  return Number((entry(mem, dom, pin) >> (index & 1 ? 32n : 0n)) & LOW_WORD);
}

/** Called with the hypervisor lock held. */
export function ioapicWrite(hv: Hypervisor, dom: number, offset: number, value: number): void {
  const { mem } = hv;
  const state = domainRecord.ioapic.addr(dom);
  if (offset === REG.select) ioapicState.select.set(mem, state, value & 0xff);
  if (offset !== REG.window) return;
  const index = ioapicState.select.get(mem, state);
  if (index === INDEX.id) ioapicState.id.set(mem, state, value & ID_MASK);
  const pin = (index - INDEX.entries) >> 1;
  if (index < INDEX.entries || pin >= IOAPIC_PINS) return;
  const old = entry(mem, dom, pin);
  const word = BigInt(value >>> 0);
  if (index & 1) return setEntry(mem, dom, pin, (old & LOW_WORD) | (word << 32n));
  const kept = (old & ~LOW_WORD) | ((word & LEVEL) !== 0n ? old & REMOTE_IRR : 0n);
  setEntry(mem, dom, pin, kept | (word & ~(REMOTE_IRR | DELIVERY_STATUS)));
}

/** A line rises. Called with the hypervisor lock held. */
export function ioapicRaise(hv: Hypervisor, dom: number, pin: number): void {
  const to = entry(hv.mem, dom, pin);
  const level = (to & LEVEL) !== 0n;
  if ((to & MASKED) !== 0n || (level && (to & REMOTE_IRR) !== 0n)) return;
  if (level) setEntry(hv.mem, dom, pin, to | REMOTE_IRR);
  sendIpi(hv, hv.vcpu(dom, 0), Number(to & COMMAND), Number(to >> 56n));
}

/** A line falls. */
export function ioapicLower(hv: Hypervisor, dom: number, pin: number): void {
  setEntry(hv.mem, dom, pin, entry(hv.mem, dom, pin) & ~REMOTE_IRR);
}
