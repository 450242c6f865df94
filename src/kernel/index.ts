/** Domain 0's kernel: the face of the layer. */
import type { Timers } from '../base/host.ts';
import { type LogSink, makeLogger } from '../base/log.ts';
import { CpuPolicies } from './cpu-policy.ts';
import { Domctl } from './domctl.ts';
import { EventChannels } from './events.ts';
import type { Gate } from './gate.ts';
import { Hypercalls } from './hypercall.ts';
import { KernelMemory } from './memory.ts';

export { ByteRing } from './byte-ring.ts';
export { type CpuidLeaf, CpuPolicies } from './cpu-policy.ts';
export type { CreateDomain, DomainInfo, E820Entry } from './domain-info.ts';
export { Domctl } from './domctl.ts';
export { EventChannels, type EventHandler } from './events.ts';
export type { Gate } from './gate.ts';
export { Hypercalls, KernelError } from './hypercall.ts';
export { Mapping } from './mapping.ts';
export { KernelMemory } from './memory.ts';
export { readState, switchState, waitForState, watchState, XenbusState, type Xenstore } from './xenbus.ts';

export interface Kernel {
  readonly calls: Hypercalls;
  readonly memory: KernelMemory;
  readonly events: EventChannels;
  readonly domctl: Domctl;
  readonly cpuPolicies: CpuPolicies;
}

export function startKernel(gate: Gate, timers: Timers, sink: LogSink): Kernel {
  const calls = new Hypercalls(gate);
  const memory = new KernelMemory(gate, calls);
  const shared = memory.mapSharedInfo().addr(0);
  const events = new EventChannels(gate, calls, shared, timers, makeLogger('kernel', sink));
  const domctl = new Domctl(calls, events, timers);
  return { calls, memory, events, domctl, cpuPolicies: new CpuPolicies(calls, domctl) };
}
