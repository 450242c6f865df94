import { beforeEach, describe, expect, it } from 'vitest';
import * as abi from '../../abi/event_channel.ts';
import { VIRQ_CONSOLE, VIRQ_DOM_EXC, VIRQ_TIMER } from '../../abi/xen.ts';
import { frameInfo } from '../../machine/machine.ts';
import type { Caller } from '../guest-copy.ts';
import { gfnToMfn } from '../mm/physmap.ts';
import { domainRecord, vcpuRecord } from '../records.ts';
import {
  destroyEvtchns,
  doEventChannelOp,
  evtchnPendingForPoll,
  raiseGlobalVirq,
  raiseVirq,
} from './index.ts';
import { ARGS, makeWorld, type World } from './testing/world.ts';
import { recheckPending } from './upcall.ts';

let w: World;
let dom: number;
let c: Caller;
let c0: Caller;
beforeEach(() => {
  w = makeWorld();
  dom = w.domain(1, { vcpus: 2 });
  c = w.caller(dom);
  c0 = w.caller(w.dom0);
});

type Fields = Record<string, number>;
interface AnyStruct {
  [field: string]: { set(m: unknown, a: number, v: number): void; get(m: unknown, a: number): number };
}

/** Makes a call with the given argument fields; answers the code and a reader of the argument afterwards. */
function call(
  by: Caller,
  cmd: number,
  layout: unknown,
  args: Fields,
): { code: number; out: (field: string) => number } {
  const s = layout as AnyStruct;
  const at = gfnToMfn(w.hv, by.dom, ARGS >> 12) * 4096;
  w.hv.mem.fill(at, 64);
  for (const [k, v] of Object.entries(args)) s[k]!.set(w.hv.mem, at, v);
  by.bind(by.vcpu, true);
  by.cpu = 0;
  const code = doEventChannelOp(by, cmd, ARGS);
  return { code, out: (field) => s[field]!.get(w.hv.mem, at) };
}

const unbound = (by: Caller, d: number, remote: number) =>
  call(by, abi.EVTCHNOP_alloc_unbound, abi.evtchn_alloc_unbound, { dom: d, remote_dom: remote });
const connect = (by: Caller, d: number, port: number) =>
  call(by, abi.EVTCHNOP_bind_interdomain, abi.evtchn_bind_interdomain, { remote_dom: d, remote_port: port });
const status = (by: Caller, port: number, d = 0x7ff0) =>
  call(by, abi.EVTCHNOP_status, abi.evtchn_status, { dom: d, port });
const send = (by: Caller, port: number) => call(by, abi.EVTCHNOP_send, abi.evtchn_send, { port }).code;
const close = (by: Caller, port: number) => call(by, abi.EVTCHNOP_close, abi.evtchn_close, { port }).code;
const bindVirq = (by: Caller, virq: number, vcpu: number) =>
  call(by, abi.EVTCHNOP_bind_virq, abi.evtchn_bind_virq, { virq, vcpu });

const shared = (d: number) => domainRecord.sharedInfo.get(w.hv.mem, d);
const pendingBit = (d: number, port: number) =>
  (w.hv.mem.u8(shared(d) + 0x800 + (port >> 3)) >> (port & 7)) & 1;
const setMask = (d: number, port: number) => w.hv.mem.setU8(shared(d) + 0xa00 + (port >> 3), 1 << (port & 7));
const info = (d: number, vcpu = 0) => vcpuRecord.vcpuInfo.get(w.hv.mem, w.hv.vcpu(d, vcpu));
const upcall = (d: number, vcpu = 0) => w.hv.mem.u8(info(d, vcpu));

function channel(): { guest: number; dom0: number } {
  const guest = unbound(c0, 1, 0).out('port');
  const dom0 = connect(c0, 1, guest).out('local_port');
  w.hv.mem.fill(shared(w.dom0) + 0x800, 0x200);
  w.hv.mem.fill(info(w.dom0), 16);
  return { guest, dom0 };
}

describe('ports', () => {
  it('are given out from 1 upwards, the lowest free one first', () => {
    expect([unbound(c, 0x7ff0, 0).out('port'), unbound(c, 0x7ff0, 0).out('port')]).toEqual([1, 2]);
    expect(close(c, 1)).toBe(0);
    expect(unbound(c, 0x7ff0, 0).out('port')).toBe(1);
  });

  it('run out at the limit of the domain', () => {
    const small = w.caller(w.domain(2, { maxPort: 3 }));
    for (let i = 0; i < 3; i++) expect(unbound(small, 0x7ff0, 0).code).toBe(0);
    expect(unbound(small, 0x7ff0, 0).code).toBe(-28);
  });

  it('are not for an unprivileged domain to make in another', () => {
    w.domain(2);
    expect(unbound(c, 2, 0).code).toBe(-1);
    expect(unbound(c, 99, 0).code).toBe(-3);
  });

  it('report their state', () => {
    const { guest, dom0 } = channel();
    const s = status(c, guest);
    expect([s.out('status'), s.out('interdomain_dom'), s.out('interdomain_port')]).toEqual([2, 0, dom0]);
    expect(status(c, 100).out('status')).toBe(0);
    expect(status(c, 5000).code).toBe(-22);
    expect(status(c, 1, 0).code).toBe(-1);
  });

  it('are left waiting for the same domain when the peer closes', () => {
    const { guest, dom0 } = channel();
    expect(close(c0, dom0)).toBe(0);
    const s = status(c, guest);
    expect([s.out('status'), s.out('unbound_dom')]).toEqual([1, 0]);
    expect(connect(c0, 1, guest).code).toBe(0);
  });

  it('are left waiting when the peer dies', () => {
    const port = unbound(c0, 0x7ff0, 1).out('port');
    connect(c, 0, port);
    destroyEvtchns(w.hv, dom);
    expect(status(c0, port).out('status')).toBe(1);
  });

  it('refuse to be closed twice, and port 0 altogether', () => {
    const { guest } = channel();
    expect([close(c, guest), close(c, guest), close(c, 0), send(c, 0)]).toEqual([0, -22, -22, -22]);
  });

  it('cannot be connected to by anyone but the domain they wait for', () => {
    const port = unbound(c0, 0x7ff0, 2).out('port');
    expect(connect(c, 0, port).code).toBe(-22);
  });
});

describe('the 2-level ABI', () => {
  it('sets bit, selector and upcall on a send', () => {
    const { guest, dom0 } = channel();
    expect(send(c0, dom0)).toBe(0);
    expect([pendingBit(dom, guest), w.hv.mem.u32(info(dom) + 8), upcall(dom)]).toEqual([1, 1, 1]);
    expect(evtchnPendingForPoll(w.hv, dom, guest)).toBe(true);
  });

  it('makes a new interdomain port pending once', () => {
    const guest = unbound(c0, 1, 0).out('port');
    const port = connect(c0, 1, guest).out('local_port');
    expect(pendingBit(w.dom0, port)).toBe(1);
  });

  it('holds a masked event back until it is unmasked', () => {
    const { guest, dom0 } = channel();
    setMask(dom, guest);
    send(c0, dom0);
    expect([pendingBit(dom, guest), upcall(dom)]).toEqual([1, 0]);
    expect(call(c, abi.EVTCHNOP_unmask, abi.evtchn_unmask, { port: guest }).code).toBe(0);
    expect(upcall(dom)).toBe(1);
  });

  it('notifies the vCPU that the port was bound to', () => {
    const { guest, dom0 } = channel();
    expect(call(c, abi.EVTCHNOP_bind_vcpu, abi.evtchn_bind_vcpu, { port: guest, vcpu: 1 }).code).toBe(0);
    send(c0, dom0);
    expect([upcall(dom, 0), upcall(dom, 1)]).toEqual([0, 1]);
    expect(call(c, abi.EVTCHNOP_bind_vcpu, abi.evtchn_bind_vcpu, { port: guest, vcpu: 2 }).code).toBe(-2);
  });

  it('selects everything again after vcpu_info moved', () => {
    recheckPending(w.hv, w.hv.vcpu(dom, 0));
    expect([upcall(dom), w.hv.mem.u32(info(dom) + 8), w.hv.mem.u32(info(dom) + 12)]).toEqual([
      1, 0xffffffff, 0xffffffff,
    ]);
  });
});

describe('virtual interrupts', () => {
  it('have a port for each vCPU if they are per vCPU', () => {
    const port = bindVirq(c, VIRQ_TIMER, 1).out('port');
    expect(bindVirq(c, VIRQ_TIMER, 1).code).toBe(-17);
    expect(bindVirq(c, VIRQ_TIMER, 0).code).toBe(0);
    raiseVirq(w.hv, w.hv.vcpu(dom, 1), VIRQ_TIMER);
    expect([pendingBit(dom, port), upcall(dom, 1), upcall(dom, 0)]).toEqual([1, 1, 0]);
  });

  it('are bound on vCPU 0 if there is one for all', () => {
    expect(bindVirq(c, VIRQ_CONSOLE, 1).code).toBe(-22);
    expect(bindVirq(c, 24, 0).code).toBe(-22);
    expect(bindVirq(c, VIRQ_TIMER, 7).code).toBe(-2);
  });

  it('of the system go to the domain that handles them, and no further once closed', () => {
    const port = bindVirq(c0, VIRQ_DOM_EXC, 0).out('port');
    raiseGlobalVirq(w.hv, VIRQ_DOM_EXC);
    expect(pendingBit(w.dom0, port)).toBe(1);
    close(c0, port);
    raiseGlobalVirq(w.hv, VIRQ_DOM_EXC);
    expect(pendingBit(w.dom0, port)).toBe(0);
  });

  it('between vCPUs are sent by the domain itself', () => {
    const port = call(c, abi.EVTCHNOP_bind_ipi, abi.evtchn_bind_ipi, { vcpu: 1 }).out('port');
    expect(send(c, port)).toBe(0);
    expect(upcall(dom, 1)).toBe(1);
  });

  it('of devices can be bound by a PVH domain, though none ever comes', () => {
    const pirq = (n: number) => call(c, abi.EVTCHNOP_bind_pirq, abi.evtchn_bind_pirq, { pirq: n }).code;
    expect([pirq(20), pirq(20), pirq(4000)]).toEqual([0, -17, -22]);
  });
});

describe('the FIFO ABI', () => {
  const CONTROL = 8;
  const ARRAY = 9;
  const control = () => gfnToMfn(w.hv, dom, CONTROL) * 4096;
  const word = (port: number) => gfnToMfn(w.hv, dom, ARRAY) * 4096 + port * 4;
  const initControl = (args: Fields) =>
    call(c, abi.EVTCHNOP_init_control, abi.evtchn_init_control, { control_gfn: CONTROL, ...args });
  const expand = (gfn = ARRAY) =>
    call(c, abi.EVTCHNOP_expand_array, abi.evtchn_expand_array, { array_gfn: gfn }).code;
  const count = (gfn: number) => frameInfo.count.get(w.hv.mem, w.hv.machine.frame(gfnToMfn(w.hv, dom, gfn)));
  const LINKED_PENDING = 0xa0000000;

  it('refuses a control block that is misplaced or given twice', () => {
    expect(initControl({ offset: 4 }).code).toBe(-22);
    expect(initControl({ offset: 4096 - 64 }).code).toBe(-22);
    expect(initControl({ control_gfn: 500 }).code).toBe(-22);
    expect(initControl({ vcpu: 9 }).code).toBe(-2);
    expect(expand()).toBe(-95);
    expect(initControl({}).out('link_bits')).toBe(17);
    expect(initControl({}).code).toBe(-22);
  });

  it('links events of one priority into a queue', () => {
    const [a, b] = [channel(), channel()];
    initControl({});
    expect(expand()).toBe(0);
    send(c0, a.dom0);
    send(c0, b.dom0);
    expect(w.hv.mem.u32(control())).toBe(1 << 7);
    expect(w.hv.mem.u32(control() + 8 + 7 * 4)).toBe(a.guest);
    expect(w.hv.mem.u32(word(a.guest))).toBe((LINKED_PENDING | b.guest) >>> 0);
    expect(w.hv.mem.u32(word(b.guest))).toBe(LINKED_PENDING);
    expect(upcall(dom)).toBe(1);
  });

  it('keeps priorities apart', () => {
    const { guest, dom0 } = channel();
    const priority = (p: number) =>
      call(c, abi.EVTCHNOP_set_priority, abi.evtchn_set_priority, { port: guest, priority: p }).code;
    expect(priority(3)).toBe(-38);
    initControl({});
    expand();
    expect([priority(3), priority(16)]).toEqual([0, -22]);
    send(c0, dom0);
    expect([w.hv.mem.u32(control()), w.hv.mem.u32(control() + 8 + 12)]).toEqual([8, guest]);
  });

  it('delivers what was pending when it took over', () => {
    const { guest, dom0 } = channel();
    send(c0, dom0);
    initControl({});
    expect(w.hv.mem.u32(control())).toBe(0);
    expand();
    expect(w.hv.mem.u32(word(guest))).toBe(LINKED_PENDING);
  });

  it('leaves a masked event unlinked until it is unmasked', () => {
    const { guest, dom0 } = channel();
    initControl({});
    expand();
    w.hv.mem.setU32(word(guest), 0x40000000);
    send(c0, dom0);
    expect(w.hv.mem.u32(word(guest))).toBe(0xc0000000);
    call(c, abi.EVTCHNOP_unmask, abi.evtchn_unmask, { port: guest });
    expect(w.hv.mem.u32(word(guest))).toBe(LINKED_PENDING);
  });

  it('does not use a closed port again while the guest still has it linked', () => {
    const { guest, dom0 } = channel();
    initControl({});
    expand();
    send(c0, dom0);
    close(c, guest);
    expect(unbound(c, 0x7ff0, 0).out('port')).not.toBe(guest);
    w.hv.mem.setU32(word(guest), 0);
    expect(unbound(c, 0x7ff0, 0).out('port')).toBe(guest);
  });

  it('survives a guest that scribbles over its queues', () => {
    const channels = Array.from({ length: 8 }, channel);
    initControl({});
    expand();
    let seed = 1;
    const random = () => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0);
    for (let i = 0; i < 2000; i++) {
      w.hv.mem.setU32(word(random() % 1024), random());
      w.hv.mem.setU32(control() + (random() % 18) * 4, random());
      const { dom0, guest } = channels[random() % 8]!;
      expect(send(c0, dom0)).toBe(0);
      call(c, abi.EVTCHNOP_unmask, abi.evtchn_unmask, { port: guest });
    }
  });

  it('gives its pages back on reset, and goes back to bitmaps', () => {
    channel();
    const before = [count(CONTROL), count(ARRAY)];
    initControl({});
    expand();
    expect([count(CONTROL), count(ARRAY)]).toEqual(before.map((n) => n + 1));
    expect(call(c, abi.EVTCHNOP_reset, abi.evtchn_reset, { dom: 0x7ff0 }).code).toBe(0);
    expect([count(CONTROL), count(ARRAY)]).toEqual(before);
    const { guest, dom0 } = channel();
    send(c0, dom0);
    expect(pendingBit(dom, guest)).toBe(1);
  });
});

describe('event_channel_op', () => {
  it('refuses unknown operations and bad pointers', () => {
    expect(doEventChannelOp(c, 99, ARGS)).toBe(-38);
    expect(doEventChannelOp(c, abi.EVTCHNOP_send, 0x1000_0000)).toBe(-14);
  });

  it('resets another domain only if privileged and with that domain paused', () => {
    w.domain(2);
    const reset = (by: Caller, d: number) => call(by, abi.EVTCHNOP_reset, abi.evtchn_reset, { dom: d }).code;
    expect([reset(c, 2), reset(c0, 2)]).toEqual([-1, 0]);
    domainRecord.controllerPaused.set(w.hv.mem, w.hv.domain(2), 0);
    expect(reset(c0, 2)).toBe(-22);
  });
});
