import { beforeEach, describe, expect, it } from 'vitest';
import { XEN_X86_EMU_LAPIC } from '../../abi/arch_x86.ts';
import { XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm, XEN_DOMCTL_resumedomain } from '../../abi/domctl.ts';
import { makeLogger, silent } from '../../base/log.ts';
import { connectLocal, XenStore, type XsClient } from '../../control/xenstore/index.ts';
import { makeWorld, type World } from '../../hypervisor/evtchn/testing/world.ts';
import { doHypercall } from '../../hypervisor/hypercall/dispatch.ts';
import { physmapEntry } from '../../hypervisor/mm/physmap.ts';
import { type Gate, type Kernel, startKernel } from '../../kernel/index.ts';
import { P2M_FRAMES, p2mMfn, p2mType, p2mWritable } from '../../machine/p2m.ts';
import { actionFor, type DomainEnd, DomainWatcher, requestShutdown } from './lifecycle.ts';

const RAM = 256;

/** Domain 0's gate on a real hypervisor; upcalls come later, as from an event loop. */
function gateOf(w: World): Gate {
  const gate: Gate = {
    mem: w.hv.mem,
    mapStart: RAM + 16,
    mapEnd: P2M_FRAMES,
    ramFrames: RAM,
    onUpcall: undefined,
    hypercall: (nr, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0) =>
      doHypercall(w.caller(w.dom0), nr, a1, a2, a3, a4, a5),
    resolve: (gfn, write) => {
      const e = physmapEntry(w.hv, w.dom0, gfn);
      return e === 0 || (write && !p2mWritable(p2mType(e))) ? -1 : p2mMfn(e) * 4096;
    },
  };
  w.hv.doorbell = { ring: () => void Promise.resolve().then(() => gate.onUpcall?.()) };
  return gate;
}

let kernel: Kernel;
let told: string[];
let watcher: DomainWatcher;
beforeEach(() => {
  kernel = startKernel(gateOf(makeWorld()), { after: () => ({ cancel: () => {} }) }, silent);
  told = [];
  watcher = new DomainWatcher(kernel, {
    domainShutdown: (domid) => told.push(`shutdown ${domid}`),
    domainDied: (domid) => told.push(`died ${domid}`),
  });
});

const create = (): number => {
  const domid = kernel.domctl.createDomain({
    handle: new Uint8Array(16),
    flags: XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
    emulationFlags: XEN_X86_EMU_LAPIC,
    maxVcpus: 1,
    maxEvtchnPort: 1023,
    maxGrantFrames: 4,
    maxMaptrackFrames: 4,
    grantVersion: 2,
  });
  kernel.domctl.maxVcpus(domid, 1);
  return domid;
};
const settle = async (): Promise<void> => {
  for (let i = 0; i < 8; i++) await Promise.resolve();
};

describe("a domain's end", () => {
  it.each([
    [0, 'poweroff'],
    [1, 'reboot'],
    [2, 'suspend'],
    [3, 'crash'],
    [4, 'watchdog'],
    [5, 'soft_reset'],
    [77, 'unknown'],
  ])('has the reason of code %i: %s', async (code, reason) => {
    const domid = create();
    const end = watcher.ended(domid);
    kernel.domctl.remoteShutdown(domid, code);
    expect(await end).toEqual({ domid, reason });
    expect(told).toEqual([`shutdown ${domid}`]);
  });

  it('is seen by all that wait for it, and by nobody else', async () => {
    const [a, b] = [create(), create()];
    const ends: DomainEnd[] = [];
    for (const domid of [a, a, b]) void watcher.ended(domid).then((end) => ends.push(end));
    kernel.domctl.remoteShutdown(a, 0);
    await settle();
    expect(ends).toEqual([
      { domid: a, reason: 'poweroff' },
      { domid: a, reason: 'poweroff' },
    ]);
  });

  it('is known at once where it has come already', async () => {
    const domid = create();
    kernel.domctl.remoteShutdown(domid, 1);
    expect(await watcher.ended(domid)).toEqual({ domid, reason: 'reboot' });
    await settle();
    expect(await watcher.ended(domid)).toEqual({ domid, reason: 'reboot' });
    await kernel.domctl.destroy(domid);
    expect(await watcher.ended(domid)).toEqual({ domid, reason: 'gone' });
    await settle();
    expect(told).toEqual([`shutdown ${domid}`, `died ${domid}`]);
  });

  it('is being gone for one that is destroyed', async () => {
    const domid = create();
    const end = watcher.ended(domid);
    await kernel.domctl.destroy(domid);
    expect(await end).toEqual({ domid, reason: 'gone' });
    expect(told).toEqual([`died ${domid}`]);
  });

  it('is gone for a domain that never was', async () => {
    expect(await watcher.ended(99)).toEqual({ domid: 99, reason: 'gone' });
    expect(told).toEqual([]);
  });

  it('can come again after the domain was resumed', async () => {
    const domid = create();
    const first = watcher.ended(domid);
    kernel.domctl.remoteShutdown(domid, 2);
    expect((await first).reason).toBe('suspend');
    kernel.domctl.domctl('resuming', XEN_DOMCTL_resumedomain, domid);
    const second = watcher.ended(domid);
    kernel.domctl.remoteShutdown(domid, 0);
    expect((await second).reason).toBe('poweroff');
    expect(told).toEqual([`shutdown ${domid}`, `shutdown ${domid}`]);
  });

  it('goes unseen once the watcher is closed', async () => {
    const domid = create();
    let seen = false;
    void watcher.ended(domid).then(() => (seen = true));
    watcher.close();
    kernel.domctl.remoteShutdown(domid, 0);
    await settle();
    expect(seen).toBe(false);
    new DomainWatcher(kernel).close();
  });
});

it('what comes after an end is what the configuration says for its reason', () => {
  const config = {
    onPoweroff: 'destroy',
    onReboot: 'restart',
    onCrash: 'preserve',
    onWatchdog: 'rename-restart',
    onSoftReset: 'soft-reset',
  } as const;
  const reasons = ['poweroff', 'reboot', 'crash', 'watchdog', 'soft_reset', 'suspend', 'unknown'] as const;
  expect(reasons.map((reason) => actionFor(config, reason))).toEqual([
    'destroy',
    'restart',
    'preserve',
    'rename-restart',
    'soft-reset',
    undefined,
    'destroy',
  ]);
});

describe('a request to shut down', () => {
  let xs: XsClient;
  beforeEach(() => {
    xs = connectLocal(new XenStore({ log: makeLogger('xenstore', silent) }), 'toolstack');
  });

  it('stands in the node that the guest watches', async () => {
    await xs.write('/local/domain/3/control/shutdown', '');
    await requestShutdown(xs, 3, 'poweroff');
    expect(await xs.read('/local/domain/3/control/shutdown')).toBe('poweroff');
  });

  it('to a domain that does not exist is refused, and leaves nothing behind', async () => {
    await expect(requestShutdown(xs, 3, 'reboot')).rejects.toThrow('no domain 3');
    expect(await xs.exists('/local/domain/3')).toBe(false);
  });
});
