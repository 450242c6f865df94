/**
 * event_channel_op, and the two ways in which pending events reach a guest: bitmaps in shared_info (2-level), or linked
 * queues of event words (FIFO).
 *
 * @abi public/event_channel.h
 */
import { array, at, block, struct, u8, u16, u32 } from '../base/layout.ts';
import { W32, W64, type Width } from './width.ts';

export const EVTCHNOP_bind_interdomain = 0;
export const EVTCHNOP_bind_virq = 1;
export const EVTCHNOP_bind_pirq = 2;
export const EVTCHNOP_close = 3;
export const EVTCHNOP_send = 4;
export const EVTCHNOP_status = 5;
export const EVTCHNOP_alloc_unbound = 6;
export const EVTCHNOP_bind_ipi = 7;
export const EVTCHNOP_bind_vcpu = 8;
export const EVTCHNOP_unmask = 9;
export const EVTCHNOP_reset = 10;
export const EVTCHNOP_init_control = 11;
export const EVTCHNOP_expand_array = 12;
export const EVTCHNOP_set_priority = 13;

export const EVTCHNSTAT_closed = 0; // Channel is not in use.
export const EVTCHNSTAT_unbound = 1; // Channel is waiting interdom connection.
export const EVTCHNSTAT_interdomain = 2; // Channel is connected to remote domain.
export const EVTCHNSTAT_pirq = 3; // Channel is bound to a phys IRQ line.
export const EVTCHNSTAT_virq = 4; // Channel is bound to a virtual IRQ line
export const EVTCHNSTAT_ipi = 5; // Channel is bound to a virtual IPI line

export const BIND_PIRQ__WILL_SHARE = 1;

/** Ports of the 2-level ABI: a selector word of words. */
export const EVTCHN_2L_NR_CHANNELS = 4096;
export const EVTCHN_2L_NR_CHANNELS_32 = 1024;

export const EVTCHN_FIFO_PRIORITY_MAX = 0;
export const EVTCHN_FIFO_PRIORITY_DEFAULT = 7;
export const EVTCHN_FIFO_PRIORITY_MIN = 15;
export const EVTCHN_FIFO_MAX_QUEUES = 16;

// Bits of an event word; 16:0 link to the next port of the queue.
export const EVTCHN_FIFO_PENDING = 31;
export const EVTCHN_FIFO_MASKED = 30;
export const EVTCHN_FIFO_LINKED = 29;
export const EVTCHN_FIFO_BUSY = 28;
export const EVTCHN_FIFO_LINK_BITS = 17;
export const EVTCHN_FIFO_LINK_MASK = 0x1ffff;
export const EVTCHN_FIFO_NR_CHANNELS = 0x20000;

export const evtchn_alloc_unbound = struct('evtchn_alloc_unbound', {
  dom: u16,
  remote_dom: u16,
  /* OUT */ port: u32,
});

export const evtchn_bind_interdomain = struct('evtchn_bind_interdomain', {
  remote_dom: u16,
  remote_port: u32,
  /* OUT */ local_port: u32,
});

export const evtchn_bind_virq = struct('evtchn_bind_virq', { virq: u32, vcpu: u32, /* OUT */ port: u32 });

export const evtchn_bind_pirq = struct('evtchn_bind_pirq', { pirq: u32, flags: u32, /* OUT */ port: u32 });

export const evtchn_bind_ipi = struct('evtchn_bind_ipi', { vcpu: u32, /* OUT */ port: u32 });

export const evtchn_close = struct('evtchn_close', { port: u32 });

export const evtchn_send = struct('evtchn_send', { port: u32 });

/** `unbound_dom`, `interdomain_*`, `pirq` and `virq` share their place; which is valid depends on `status`. */
export const evtchn_status = struct('evtchn_status', {
  dom: u16,
  port: u32,
  /* OUT */ status: u32,
  /* OUT */ vcpu: u32,
  unbound_dom: at(16, u16),
  interdomain_dom: at(16, u16),
  interdomain_port: u32,
  pirq: at(16, u32),
  virq: at(16, u32),
});

export const evtchn_bind_vcpu = struct('evtchn_bind_vcpu', { port: u32, vcpu: u32 });

export const evtchn_unmask = struct('evtchn_unmask', { port: u32 });

export const evtchn_reset = struct('evtchn_reset', { dom: u16 });

const initControl = (w: Width) =>
  struct('evtchn_init_control', {
    control_gfn: w.n64,
    offset: u32,
    vcpu: u32,
    /* OUT */ link_bits: u8,
    _pad: block(7),
  });
export const evtchn_init_control = initControl(W64);
export const evtchn_init_control_32 = initControl(W32);

const expandArray = (w: Width) => struct('evtchn_expand_array', { array_gfn: w.n64 });
export const evtchn_expand_array = expandArray(W64);
export const evtchn_expand_array_32 = expandArray(W32);

export const evtchn_set_priority = struct('evtchn_set_priority', { port: u32, priority: u32 });

/** Argument of event_channel_op_compat: the command and one of the structures above. */
export const evtchn_op = struct('evtchn_op', { cmd: u32, u: block(evtchn_status.$.size, 4) });

/** Per vCPU: which queues have events, and the first port of each. */
export const evtchn_fifo_control_block = struct('evtchn_fifo_control_block', {
  ready: u32,
  _rsvd: u32,
  head: array(u32, EVTCHN_FIFO_MAX_QUEUES),
});
