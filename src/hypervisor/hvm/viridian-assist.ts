/**
 * The pages that a Viridian guest shares with us by writing an MSR, and the first of them: the APIC assist page, by which
 * a guest learns that an interrupt in service needs no EOI. It clears the bit instead, and we see that later.
 */
import { HVM_PARAM_VIRIDIAN, HVMPV_apic_assist, HVMPV_synic } from '../../abi/hvm_params.ts';
import type { Mem } from '../../base/mem.ts';
import { P2M_FRAMES, p2mGet, p2mMfn, p2mType, p2mWritable } from '../../machine/p2m.ts';
import { domainRecord, vcpuRecord } from '../records.ts';
import { SINT, SINTS, viridianVcpu } from './viridian-abi.ts';

const PAGE_ENABLED = 1n;
const FIRST_VECTOR = 0x10;

/** The domain's HVMPV_* features, 0 for a domain without Viridian. */
export const viridianFeatures = (m: Mem, dom: number): number =>
  m.u32(domainRecord.hvmParams.addr(dom, HVM_PARAM_VIRIDIAN));

/** Address of a vCPU's Viridian state. */
export const viridianOf = (v: number): number => vcpuRecord.viridian.addr(v);

/** Machine address of the page that an MSR's value names; 0 while it is not enabled, or not memory the guest may write. */
export function viridianPage(m: Mem, dom: number, msr: bigint): number {
  const gfn = msr >> 12n;
  if ((msr & PAGE_ENABLED) === 0n || gfn >= P2M_FRAMES) return 0;
  const entry = p2mGet(m, domainRecord.p2mRoot.get(m, dom), Number(gfn));
  return p2mWritable(p2mType(entry)) ? p2mMfn(entry) * 4096 : 0;
}

const featuresOf = (m: Mem, v: number): number => viridianFeatures(m, vcpuRecord.domain.get(m, v));

export const assistPending = (m: Mem, v: number): boolean =>
  viridianVcpu.assistPending.get(m, viridianOf(v)) !== 0;

/** Address of the bit's word, 0 for none. */
const assistWord = (m: Mem, v: number): number =>
  viridianPage(m, vcpuRecord.domain.get(m, v), viridianVcpu.assist.get(m, viridianOf(v)));

/** A vector went into service with nothing else there: tells the guest, if it wants to know. */
export function assistOffer(m: Mem, v: number, vector: number): void {
  if ((featuresOf(m, v) & HVMPV_apic_assist) === 0 || vector <= FIRST_VECTOR) return;
  const word = assistWord(m, v);
  if (word === 0) return;
  viridianVcpu.assistPending.set(m, viridianOf(v), 1);
  m.setU32(word, 1);
}

/** True, once, when the guest has taken up the offer: the interrupt in service is through. */
export function assistTaken(m: Mem, v: number): boolean {
  if (!assistPending(m, v)) return false;
  const word = assistWord(m, v);
  if (word === 0 || m.u32(word) !== 0) return false;
  viridianVcpu.assistPending.set(m, viridianOf(v), 0);
  return true;
}

/** Takes the offer back: an EOI is wanted after all, or was made. */
export function assistWithdraw(m: Mem, v: number): void {
  if (!assistPending(m, v)) return;
  viridianVcpu.assistPending.set(m, viridianOf(v), 0);
  const word = assistWord(m, v);
  if (word !== 0) m.setU32(word, 0);
}

/** The vector belongs to a synthetic source that is never in service. */
export function endsItself(m: Mem, v: number, vector: number): boolean {
  if ((featuresOf(m, v) & HVMPV_synic) === 0) return false;
  for (let i = 0; i < SINTS; i++) {
    const sint = m.u64(viridianVcpu.sint.addr(viridianOf(v), i));
    if ((sint & SINT.autoEoi) !== 0n && (sint & SINT.vector) === BigInt(vector)) return true;
  }
  return false;
}
