/** Accesses to the pages of the devices that a domain has beside its local APICs. */
import type { Hypervisor } from '../hypervisor.ts';
import { HPET_BASE, IOAPIC_BASE } from './devices.ts';
import { hasHpet, hpetRead, hpetWrite, inHpet } from './hpet.ts';
import { hasIoapic, inIoapic, ioapicRead, ioapicWrite } from './ioapic.ts';

/** False where the domain has no device. */
export function deviceRead(
  hv: Hypervisor,
  dom: number,
  gpa: number,
  size: number,
  out: Uint32Array,
): boolean {
  const hpet = inHpet(gpa) && hasHpet(hv.mem, dom);
  if (!hpet && !(inIoapic(gpa) && hasIoapic(hv.mem, dom))) return false;
  const value = hv.withLock(() =>
    hpet ? hpetRead(hv, dom, gpa - HPET_BASE, size) : BigInt(ioapicRead(hv, dom, gpa - IOAPIC_BASE) >>> 0),
  );
  out[0] = Number(value & 0xffff_ffffn);
  out[1] = Number(value >> 32n);
  return true;
}

export function deviceWrite(
  hv: Hypervisor,
  dom: number,
  gpa: number,
  size: number,
  lo: number,
  hi: number,
): boolean {
  const hpet = inHpet(gpa) && hasHpet(hv.mem, dom);
  if (!hpet && !(inIoapic(gpa) && hasIoapic(hv.mem, dom))) return false;
  hv.withLock(() => {
    if (!hpet) ioapicWrite(hv, dom, gpa - IOAPIC_BASE, lo >>> 0);
    else hpetWrite(hv, dom, gpa - HPET_BASE, size, (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
  });
  return true;
}
