/**
 * sched_op: yielding, blocking, polling, shutting down.
 *
 * @abi public/sched.h
 */
import { s32, struct, u16, u32 } from '../base/layout.ts';
import { W32, W64, type Width } from './width.ts';

export const SCHEDOP_yield = 0;
export const SCHEDOP_block = 1;
export const SCHEDOP_shutdown = 2;
export const SCHEDOP_poll = 3;
export const SCHEDOP_remote_shutdown = 4;
export const SCHEDOP_shutdown_code = 5;
export const SCHEDOP_watchdog = 6;
export const SCHEDOP_pin_override = 7;

// Why a domain shut down.
export const SHUTDOWN_poweroff = 0; // Domain exited normally. Clean up and kill.
export const SHUTDOWN_reboot = 1; // Clean up, kill, and then restart.
export const SHUTDOWN_suspend = 2; // Clean up, save suspend info, kill.
export const SHUTDOWN_crash = 3; // Tell controller we've crashed.
export const SHUTDOWN_watchdog = 4; // Restart because watchdog time expired.
export const SHUTDOWN_soft_reset = 5;
export const SHUTDOWN_MAX = 5; // Maximum valid shutdown reason.

export const sched_shutdown = struct('sched_shutdown', { reason: u32 });

/** `timeout` is absolute system time in ns, 0 for none. */
const schedPoll = (w: Width) => struct('sched_poll', { ports: w.handle, nr_ports: u32, timeout: w.n64 });
export const sched_poll = schedPoll(W64);
export const sched_poll_32 = schedPoll(W32);

export const sched_remote_shutdown = struct('sched_remote_shutdown', { domain_id: u16, reason: u32 });

/** id 0 makes a timer and answers its id; timeout (seconds) 0 destroys it. */
export const sched_watchdog = struct('sched_watchdog', { id: u32, timeout: u32 });

export const sched_pin_override = struct('sched_pin_override', { pcpu: s32 });
