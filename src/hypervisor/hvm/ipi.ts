/** Interrupt commands: from a local APIC's ICR to the vCPUs of the same domain. Called with the hypervisor lock held. */

import { forEachVcpu } from '../domain/domain.ts';
import { vcpuKick, vcpuReconsider, vcpuSetIrq } from '../domain/vcpu.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { vcpuRecord } from '../records.ts';
import { APIC, apicIdOf, ESR, isX2apic, lapicEnabled, lapicError, lapicReg, lapicReset } from './vlapic.ts';

const SHORTHAND = { none: 0, self: 1, all: 2, others: 3 } as const;
const MODE = { fixed: 0, lowest: 1, nmi: 4, init: 5, startup: 6 } as const;
const LOGICAL = 0x800;
const LEVEL_ASSERT = 0x4000;
const LEVEL_TRIGGER = 0x8000;
const X2APIC_BROADCAST = 0xffff_ffff;
const XAPIC_BROADCAST = 0xff;

/** Whether a destination field names the vCPU. `from` decides how broadcast looks. */
function matches(hv: Hypervisor, from: number, v: number, dest: number, logical: boolean): boolean {
  const { mem } = hv;
  const broadcast = isX2apic(mem, from) ? X2APIC_BROADCAST : XAPIC_BROADCAST;
  if (dest === broadcast) return true;
  if (!logical) return dest === apicIdOf(vcpuRecord.id.get(mem, v));
  const ldr = lapicReg(mem, v, APIC.LDR);
  if (isX2apic(mem, v)) return ldr >>> 16 === dest >>> 16 && (ldr & dest & 0xffff) !== 0;
  const flat = lapicReg(mem, v, APIC.DFR) >>> 28 === 0xf;
  const id = ldr >>> 24;
  if (flat) return (id & dest) !== 0;
  return id >>> 4 === dest >>> 4 && (id & dest & 0xf) !== 0;
}

export function sendIpi(hv: Hypervisor, from: number, icr: number, dest: number): void {
  const shorthand = (icr >>> 18) & 3;
  const mode = (icr >>> 8) & 7;
  // The de-assert half of an INIT means nothing to anyone.
  if (mode === MODE.init && (icr & LEVEL_TRIGGER) !== 0 && (icr & LEVEL_ASSERT) === 0) return;
  if ((mode === MODE.fixed || mode === MODE.lowest) && (icr & 0xff) < 16)
    lapicError(hv.mem, from, ESR.sendIllegal);
  let lowestDone = false;
  forEachVcpu(hv, vcpuRecord.domain.get(hv.mem, from), (v) => {
    const hit =
      shorthand === SHORTHAND.self
        ? v === from
        : shorthand === SHORTHAND.all
          ? true
          : shorthand === SHORTHAND.others
            ? v !== from
            : matches(hv, from, v, dest, (icr & LOGICAL) !== 0);
    if (!hit || (mode === MODE.lowest && lowestDone)) return;
    if (mode === MODE.lowest) lowestDone = lapicEnabled(hv.mem, v);
    deliver(hv, v, mode, icr & 0xff);
  });
}

function deliver(hv: Hypervisor, v: number, mode: number, vector: number): void {
  const { mem } = hv;
  switch (mode) {
    case MODE.fixed:
    case MODE.lowest:
      if (lapicEnabled(mem, v)) vcpuSetIrq(hv, v, vector);
      return;
    case MODE.nmi:
      vcpuRecord.nmiPending.set(mem, v, 1);
      vcpuKick(hv, v);
      return;
    case MODE.init:
      init(hv, v);
      return;
    case MODE.startup:
      startup(hv, v, vector);
      return;
  }
}

/** A vCPU that is down stays so; one that runs stops and waits for a start-up IPI. */
function init(hv: Hypervisor, v: number): void {
  const { mem } = hv;
  if (vcpuRecord.online.get(mem, v) === 0) return;
  vcpuRecord.online.set(mem, v, 0);
  vcpuRecord.initialised.set(mem, v, 0);
  vcpuRecord.blocked.set(mem, v, 0);
  lapicReset(mem, v, true);
  vcpuReconsider(hv, v);
}

/** Ignored by a vCPU that is up. */
function startup(hv: Hypervisor, v: number, vector: number): void {
  const { mem } = hv;
  if (vcpuRecord.online.get(mem, v) !== 0) return;
  vcpuRecord.sipi.set(mem, v, 0x100 | vector);
  vcpuRecord.initialised.set(mem, v, 1);
  vcpuRecord.online.set(mem, v, 1);
  vcpuReconsider(hv, v);
}
