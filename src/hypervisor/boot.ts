/**
 * Starting the hypervisor in a fresh machine: the root record, a record for each physical CPU, and domain 0 with its
 * memory. Domain 0 has no CPU of the machine's: its vCPU 0 is the thread that makes the hypercalls.
 */
import type { Clock } from '../base/host.ts';
import type { LogSink } from '../base/log.ts';
import { fromLatin1 } from '../base/text.ts';
import type { Machine } from '../machine/machine.ts';
import { parseCommandLine } from './command-line.ts';
import { CON_RING_BYTES } from './console.ts';
import { createDomain, createVcpu, type DomainSpec } from './domain/domain.ts';
import { Hypervisor, type HypervisorOptions } from './hypervisor.ts';
import { populatePages } from './mm/physmap.ts';
import {
  DOMAIN_TYPE,
  domainRecord,
  MAX_PCPUS,
  pcpuRecord,
  RUNSTATE,
  rootRecord,
  vcpuRecord,
} from './records.ts';
import { TSC_KHZ } from './time.ts';
import { XEN_BANNER } from './version.ts';

export interface BootOptions extends HypervisorOptions {
  /** Physical CPUs that will run guests. */
  pcpus?: number;
  dom0MiB?: number;
  /** The hypervisor's own command line, see command-line.ts. */
  commandLine?: string;
  /** Guests are profiled. */
  profile?: boolean;
}

const DEFAULT_DOM0_MIB = 64;
const DOM0_EVTCHN_PORTS = -1;

export function bootHypervisor(
  machine: Machine,
  clock: Clock,
  sink: LogSink,
  options: BootOptions = {},
): Hypervisor {
  const pcpus = Math.min(MAX_PCPUS, Math.max(1, options.pcpus ?? 1));
  makeRoot(machine, clock, pcpus);
  const hv = new Hypervisor(machine, clock, sink, options);
  const mib = options.dom0MiB ?? DEFAULT_DOM0_MIB;
  hv.withLock(() => {
    hv.print(XEN_BANNER);
    takeCommandLine(hv, options.commandLine ?? '');
    rootRecord.profiling.set(hv.mem, hv.root, options.profile ? 1 : 0);
    hv.print(`System RAM: ${machine.size >>> 20}MB (${machine.totalFrames * 4}kB)`);
    hv.print('Using scheduler: SMP Credit Scheduler rev2 (credit2)');
    hv.print(`Brought up ${pcpus} CPUs`);
    makeDom0(hv, mib);
  });
  return hv;
}

function makeRoot(machine: Machine, clock: Clock, pcpus: number): void {
  const { mem } = machine;
  const pages = (bytes: number): number => Math.ceil(bytes / 4096);
  const take = (bytes: number): number => {
    const mfn = machine.allocFrames(pages(bytes));
    if (mfn < 0) throw new Error('the machine is too small for the hypervisor');
    return mfn * 4096;
  };
  const root = take(rootRecord.$.size);
  rootRecord.conRing.set(mem, root, take(CON_RING_BYTES));
  rootRecord.nextDomid.set(mem, root, 1);
  rootRecord.pcpuCount.set(mem, root, pcpus);
  const first = take(pcpuRecord.$.size * pcpus);
  for (let id = 0; id < pcpus; id++) {
    const at = first + id * pcpuRecord.$.size;
    mem.setU32(rootRecord.pcpus.addr(root, id), at);
    pcpuRecord.id.set(mem, at, id);
  }
  rootRecord.bootNs.set(mem, root, Math.round(clock.now()));
  const wall = clock.wall();
  rootRecord.wallSec.set(mem, root, Math.floor(wall / 1e9));
  rootRecord.wallNsec.set(mem, root, Math.floor(wall % 1e9));
  rootRecord.tscKhz.set(mem, root, TSC_KHZ);
  rootRecord.nextDeadline.set(mem, root, Number.MAX_SAFE_INTEGER);
  machine.root = root;
}

function takeCommandLine(hv: Hypervisor, text: string): void {
  const line = rootRecord.commandLine;
  hv.mem.write(line.addr(hv.root), fromLatin1(text).subarray(0, line.type.size - 1));
  hv.print(`Command line: ${text}`);
  const options = parseCommandLine(text, (warning) => hv.print(warning, 'warn'));
  rootRecord.hvmFep.set(hv.mem, hv.root, options.hvm_fep ? 1 : 0);
}

function makeDom0(hv: Hypervisor, mib: number): void {
  const { mem } = hv;
  const spec: DomainSpec = {
    domid: 0,
    type: DOMAIN_TYPE.dom0,
    createFlags: 0,
    emulationFlags: 0,
    privileged: true,
    ssidref: 0,
    handle: new Uint8Array(16),
    maxVcpus: 1,
    maxEvtchnPort: DOM0_EVTCHN_PORTS,
    maxGrantFrames: 64,
    maxMaptrackFrames: 1024,
    maxGrantVersion: 1,
  };
  const dom = createDomain(hv, spec);
  if (dom < 0) throw new Error('no memory for domain 0');
  const pages = mib * 256;
  domainRecord.maxPages.set(mem, dom, pages);
  if (populatePages(hv, dom, 0, pages) !== 0) throw new Error(`no memory for domain 0's ${mib} MiB`);
  const v = createVcpu(hv, dom, 0);
  if (v < 0) throw new Error('no memory for the vCPU of domain 0');
  vcpuRecord.online.set(mem, v, 1);
  vcpuRecord.initialised.set(mem, v, 1);
  vcpuRecord.runstate.set(mem, v, RUNSTATE.running);
  domainRecord.pauseCount.set(mem, dom, 0);
  domainRecord.controllerPaused.set(mem, dom, 0);
  hv.print(`Domain 0 has ${mib}MB of RAM`);
}
