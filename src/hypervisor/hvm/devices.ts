/**
 * State of the devices that a PVH domain may be given beside its local APICs, and where they are. Zero is what they are
 * after power-up: registers that begin otherwise are kept inverted where they do.
 */
import { array, n64, struct, u32, u64 } from '../../base/layout.ts';

export const IOAPIC_BASE = 0xfec0_0000;
export const IOAPIC_PINS = 48;
export const HPET_BASE = 0xfed0_0000;
export const HPET_BYTES = 1024;
export const HPET_TIMERS = 3;

export const ioapicState = struct('ioapic_state', {
  /** The register that the window shows. */
  select: u32,
  id: u32,
  /** Redirection entries, with their mask bits inverted. */
  entries: array(u64, IOAPIC_PINS),
});

export const hpetState = struct('hpet_state', {
  config: u32,
  /** Level-triggered timers that have expired, as a mask. */
  status: u32,
  /** The main counter while it stands still; while it runs, what is to be added to the time. */
  counter: u64,
  timerConfig: array(u64, HPET_TIMERS),
  /** Inverted. */
  comparator: array(u64, HPET_TIMERS),
  period: array(u64, HPET_TIMERS),
  route: array(u64, HPET_TIMERS),
  /** System time at which a timer expires, ns; 0 never. */
  deadline: array(n64, HPET_TIMERS),
});
