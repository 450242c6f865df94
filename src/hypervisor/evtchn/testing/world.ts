/** For tests: a booted machine of 16 MiB with domains that make hypercalls with guest-physical addresses. */
import { silent } from '../../../base/log.ts';
import { Machine } from '../../../machine/machine.ts';
import { bootHypervisor } from '../../boot.ts';
import { createDomain, createVcpu } from '../../domain/domain.ts';
import { Caller } from '../../guest-copy.ts';
import type { Hypervisor } from '../../hypervisor.ts';
import { populatePage } from '../../mm/physmap.ts';
import { DOMAIN_TYPE, domainRecord } from '../../records.ts';

const SIZE = 16 << 20;
/** Guest-physical page that tests put arguments in. */
export const ARGS = 0x3000;

export interface World {
  hv: Hypervisor;
  dom0: number;
  /** A PVH domain with `pages` of RAM from gfn 0; its record. */
  domain(
    domid: number,
    options?: { pages?: number; vcpus?: number; maxPort?: number; grantFrames?: number },
  ): number;
  /** The calling context of a domain's vCPU. */
  caller(dom: number, vcpu?: number): Caller;
}

export function makeWorld(): World {
  const buffer = new SharedArrayBuffer(SIZE);
  const memory = {
    buffer,
    grow: (): number => {
      throw new Error('the test machine does not grow');
    },
  };
  let now = 1e9;
  const clock = { now: () => (now += 1000), wall: () => 1.7e18 };
  const hv = bootHypervisor(Machine.create(memory, SIZE), clock, silent, { dom0MiB: 1 });
  return {
    hv,
    dom0: hv.domain(0),
    domain(domid, options = {}) {
      const { pages = 16, vcpus = 1, maxPort = 1023, grantFrames = 4 } = options;
      const dom = createDomain(hv, {
        domid,
        type: DOMAIN_TYPE.pvh,
        createFlags: 0,
        emulationFlags: 0,
        privileged: false,
        ssidref: 0,
        handle: new Uint8Array(16),
        maxVcpus: vcpus,
        maxEvtchnPort: maxPort,
        maxGrantFrames: grantFrames,
        maxMaptrackFrames: 4,
        maxGrantVersion: 2,
      });
      for (let id = 0; id < vcpus; id++) createVcpu(hv, dom, id);
      domainRecord.maxPages.set(hv.mem, dom, pages);
      for (let gfn = 0; gfn < pages; gfn++) populatePage(hv, dom, gfn);
      return dom;
    },
    caller(dom, vcpu = 0) {
      const c = new Caller(hv);
      c.bind(hv.vcpu(dom, vcpu), true);
      c.cpu = 0; // guest-physical addresses, whatever the domain
      return c;
    },
  };
}
