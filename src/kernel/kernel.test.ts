import { beforeEach, describe, expect, it } from 'vitest';
import { XEN_X86_EMU_LAPIC } from '../abi/arch_x86.ts';
import { XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm } from '../abi/domctl.ts';
import * as gnt from '../abi/grant_table.ts';
import { HVM_PARAM_STORE_PFN } from '../abi/hvm_params.ts';
import { silent } from '../base/log.ts';
import { doEventChannelOp } from '../hypervisor/evtchn/index.ts';
import { makeWorld, type World } from '../hypervisor/evtchn/testing/world.ts';
import { grantFrame } from '../hypervisor/gnttab/index.ts';
import { doHypercall } from '../hypervisor/hypercall/dispatch.ts';
import { gfnToMfn, physmapEntry } from '../hypervisor/mm/physmap.ts';
import { P2M_FRAMES, p2mMfn, p2mType, p2mWritable } from '../machine/p2m.ts';
import type { Gate } from './gate.ts';
import { type Kernel, KernelError, startKernel } from './index.ts';
import { FrameRanges } from './ranges.ts';

const RAM = 256;

/** Domain 0's gate on a real hypervisor. */
class TestGate implements Gate {
  readonly mem;
  readonly mapStart = RAM + 16;
  readonly mapEnd = P2M_FRAMES;
  readonly ramFrames = RAM;
  onUpcall: (() => void) | undefined;
  private readonly w: World;
  constructor(w: World) {
    this.w = w;
    this.mem = w.hv.mem;
    w.hv.doorbell = { ring: () => void Promise.resolve().then(() => this.onUpcall?.()) };
  }
  hypercall(nr: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): number {
    return doHypercall(this.w.caller(this.w.dom0), nr, a1, a2, a3, a4, a5);
  }
  resolve(gfn: number, write: boolean): number {
    const e = physmapEntry(this.w.hv, this.w.dom0, gfn);
    return e === 0 || (write && !p2mWritable(p2mType(e))) ? -1 : p2mMfn(e) * 4096;
  }
}

let w: World;
let gate: TestGate;
let kernel: Kernel;
let dom: number;
beforeEach(() => {
  w = makeWorld();
  dom = w.domain(1);
  gate = new TestGate(w);
  const timers = { after: () => ({ cancel: () => {} }) };
  kernel = startKernel(gate, timers, silent);
});

const settle = async () => {
  for (let i = 0; i < 4; i++) await Promise.resolve();
};
const guestPage = (gfn: number) => gfnToMfn(w.hv, dom, gfn) * 4096;
const code = (run: () => unknown): string => {
  try {
    run();
  } catch (e) {
    if (e instanceof KernelError) return e.code;
    throw e;
  }
  return 'none';
};

describe('memory', () => {
  it('is given out zeroed, and again after it was given back', () => {
    const a = kernel.memory.allocPages(3);
    a.write(4090, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    expect([...a.read(4094, 4)]).toEqual([5, 6, 7, 8]);
    a.close();
    const b = kernel.memory.allocPages(3);
    expect([b.gfn, b.read(4090, 8).every((x) => x === 0)]).toEqual([a.gfn, true]);
    expect(code(() => kernel.memory.allocPages(RAM))).toBe('ENOMEM');
  });

  it('cannot be used after it was closed, nor beyond its end', () => {
    const a = kernel.memory.allocPages(1);
    expect(() => a.addr(4096)).toThrow(RangeError);
    a.close();
    expect(() => a.addr(0)).toThrow('after it was closed');
  });

  it('maps frames of another domain in the order asked', () => {
    w.hv.mem.setU32(guestPage(5), 55);
    w.hv.mem.setU32(guestPage(2), 22);
    const m = kernel.memory.mapForeign(1, [5, 2]);
    expect([w.hv.mem.u32(m.addr(0)), w.hv.mem.u32(m.addr(4096))]).toEqual([55, 22]);
    m.write(8, Uint8Array.of(9));
    expect(w.hv.mem.u8(guestPage(5) + 8)).toBe(9);
    const { gfn } = m;
    m.close();
    expect(gate.resolve(gfn, false)).toBe(-1);
  });

  it('maps nothing of a range of which one frame is not there', () => {
    expect(code(() => kernel.memory.mapForeign(1, [5, 4000, 6]))).not.toBe('none');
    const m = kernel.memory.mapForeign(1, [5]);
    expect(gate.resolve(m.gfn + 2, false)).toBe(-1);
    expect(code(() => kernel.memory.mapForeign(77, [0]))).toBe('ESRCH');
  });

  it('maps grants, all or none', () => {
    const entry = (ref: number) => grantFrame(w.hv, dom, 0, false) * 4096 + ref * 8;
    for (const [ref, gfn] of [
      [8, 5],
      [9, 6],
    ] as const) {
      w.hv.mem.setU16(entry(ref), gnt.GTF_permit_access);
      w.hv.mem.setU32(entry(ref) + 4, gfn);
    }
    const m = kernel.memory.mapGrants(1, [8, 9]);
    expect([m.addr(0), m.addr(4096)]).toEqual([guestPage(5), guestPage(6)]);
    m.close();
    expect(w.hv.mem.u16(entry(8))).toBe(gnt.GTF_permit_access);
    expect(code(() => kernel.memory.mapGrants(1, [8, 10, 9]))).toBe('GNTST_general_error');
    expect([w.hv.mem.u16(entry(8)), w.hv.mem.u16(entry(9))]).toEqual([1, 1]);
    kernel.memory.mapGrants(1, [8, 9]).close();
  });

  it('joins free ranges again, and notices what is given back twice', () => {
    const r = new FrameRanges(10, 20);
    const [a, b, c] = [r.take(3), r.take(3), r.take(4)];
    expect([a, b, c, r.take(1)]).toEqual([10, 13, 16, -1]);
    r.give(a, 3);
    r.give(c, 4);
    r.give(b, 3);
    expect(r.take(10)).toBe(10);
    r.give(10, 10);
    expect(() => r.give(12, 2)).toThrow('twice');
  });
});

describe('event channels', () => {
  /** A port of the guest, connected to domain 0 with a handler that notes its calls. */
  const connect = (calls: number[]) => {
    const remote = kernel.events.allocUnboundFor(1, 0);
    const port = kernel.events.bindInterdomain(1, remote, (p) => calls.push(p));
    return { remote, port };
  };
  const guestSends = (port: number) => {
    const c = w.caller(dom);
    w.hv.mem.setU32(guestPage(3), port);
    w.hv.withLock(() => doEventChannelOp(c, 4, 0x3000));
  };

  it('call the handler of the port that is pending', async () => {
    const calls: number[] = [];
    const a = connect(calls);
    const b = connect(calls);
    await settle();
    expect(calls.sort()).toEqual([a.port, b.port]);
    calls.length = 0;
    guestSends(b.remote);
    await settle();
    expect(calls).toEqual([b.port]);
  });

  it('are held back while masked, and come once they are not', async () => {
    const calls: number[] = [];
    const a = connect(calls);
    await settle();
    calls.length = 0;
    kernel.events.mask(a.port);
    guestSends(a.remote);
    guestSends(a.remote);
    await settle();
    expect(calls).toEqual([]);
    kernel.events.unmask(a.port);
    await settle();
    expect(calls).toEqual([a.port]);
  });

  it('go on when a handler throws', async () => {
    const calls: number[] = [];
    const remote = kernel.events.allocUnboundFor(1, 0);
    kernel.events.bindInterdomain(1, remote, () => {
      throw new Error('broken');
    });
    connect(calls);
    await settle();
    expect(calls).toHaveLength(1);
  });

  it('are not called after they were closed', async () => {
    const calls: number[] = [];
    const a = connect(calls);
    kernel.events.close(a.port);
    await settle();
    expect(calls).toEqual([]);
    expect(code(() => kernel.events.notify(a.port))).toBe('EINVAL');
  });

  it('reach ports of the second half of a selector word and beyond', async () => {
    const calls: number[] = [];
    const ports = Array.from({ length: 70 }, () => connect(calls).port);
    await settle();
    expect(calls.sort((x, y) => x - y)).toEqual(ports);
  });
});

describe('domctl', () => {
  const create = () =>
    kernel.domctl.createDomain({
      handle: new Uint8Array(16).fill(7),
      flags: XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
      emulationFlags: XEN_X86_EMU_LAPIC,
      maxVcpus: 2,
      maxEvtchnPort: 1023,
      maxGrantFrames: 4,
      maxMaptrackFrames: 4,
      grantVersion: 2,
    });

  it('builds a domain, describes it, and destroys it', async () => {
    const domid = create();
    kernel.domctl.maxVcpus(domid, 2);
    kernel.domctl.maxMem(domid, 700 * 4);
    kernel.domctl.populatePhysmap(domid, 0, 600);
    kernel.domctl.setMemoryMap(domid, [{ addr: 0, size: 600 * 4096, type: 1 }]);
    kernel.domctl.hvmSetParam(domid, HVM_PARAM_STORE_PFN, 599);
    expect(kernel.domctl.hvmGetParam(domid, HVM_PARAM_STORE_PFN)).toBe(599n);
    const info = kernel.domctl.getDomainInfo(domid)!;
    expect(info).toMatchObject({ domid, paused: true, hvm: true, totPages: 600, maxVcpuId: 1 });
    expect(info.handle[3]).toBe(7);
    expect(kernel.domctl.listDomains().map((d) => d.domid)).toEqual([0, 1, domid]);
    expect(kernel.domctl.allocUnboundFor(domid)).toBe(1);
    await kernel.domctl.destroy(domid);
    expect(kernel.domctl.getDomainInfo(domid)).toBeUndefined();
  });

  it('gives memory in large pieces, contiguous in the machine, where it is aligned', () => {
    const domid = create();
    kernel.domctl.maxMem(domid, 1100 * 4);
    kernel.domctl.populatePhysmap(domid, 500, 600);
    const at = (gfn: number): number => gfnToMfn(w.hv, w.hv.domain(domid), gfn);
    expect(at(1023)).toBe(at(512) + 511);
    expect([at(499), at(1100)]).toEqual([-1, -1]);
    expect(kernel.domctl.getDomainInfo(domid)?.totPages).toBe(600);
  });

  it('replaces the memory that a large piece is put upon', () => {
    const domid = create();
    kernel.domctl.maxMem(domid, 600 * 4);
    kernel.domctl.populatePhysmap(domid, 5, 1);
    kernel.domctl.populatePhysmap(domid, 0, 512);
    expect(kernel.domctl.getDomainInfo(domid)?.totPages).toBe(512);
  });

  it('says how much memory there was when it runs out', () => {
    const domid = create();
    kernel.domctl.maxMem(domid, 10 * 4);
    expect(() => kernel.domctl.populatePhysmap(domid, 0, 600)).toThrow('10 of 600 pages: ENOMEM');
  });

  it('names the operation and the domain in an error', () => {
    expect(() => kernel.domctl.pause(77)).toThrow('pausing domain 77: ESRCH');
  });

  it("reads the hypervisor's log on from where it was", () => {
    const { text, next } = kernel.domctl.readConsole();
    expect(text).toContain('(XEN) ');
    w.hv.withLock(() => w.hv.print('one more'));
    expect(kernel.domctl.readConsole(next).text).toBe('(XEN) one more\n');
  });
});
