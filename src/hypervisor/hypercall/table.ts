/**
 * The hypercall table: who may call what, and how complete it is. A handler gets its arguments as numbers: a 64-bit
 * register as a signed one (exact within 2^53 of zero, which every valid address, count and time is), a 32-bit one as
 * unsigned. It answers 0 or positive, or -errno, or -ERESTART to be run again with the lock let go in between.
 *
 * @abi public/xen.h
 */
import { XEN_ENOSYS } from '../../abi/errno.ts';
import * as nr from '../../abi/xen.ts';
import { doEventChannelOp } from '../evtchn/index.ts';
import { doGrantTableOp } from '../gnttab/index.ts';
import type { Caller } from '../guest-copy.ts';
import { doDomctl } from './domctl.ts';
import { doHvmOp } from './hvm-op.ts';
import { doMemoryOp } from './memory.ts';
import { doConsoleIo, doVmAssist } from './misc.ts';
import { doMulticall } from './multicall.ts';
import { doPlatformOp } from './platform.ts';
import { doSchedOp, doSetTimerOp } from './sched.ts';
import { doSysctl } from './sysctl.ts';
import { doVcpuOp } from './vcpu.ts';
import { doXenVersion } from './version.ts';

export type Handler = (c: Caller, a1: number, a2: number, a3: number, a4: number, a5: number) => number;

/** `complete`, or what is missing. */
export type Status = 'complete' | `partial: ${string}` | 'absent';
export const partial = (what: string): Status => `partial: ${what}`;

export interface HypercallRow {
  readonly nr: number;
  readonly name: string;
  readonly pv: boolean;
  readonly hvm: boolean;
  readonly fn: Handler;
  readonly status: Status;
}

const absent: Handler = () => -XEN_ENOSYS;

export const HYPERCALLS: readonly HypercallRow[] = [
  {
    nr: nr.__HYPERVISOR_platform_op,
    name: 'platform_op',
    pv: true,
    hvm: true,
    fn: doPlatformOp,
    status: 'absent',
  },
  {
    nr: nr.__HYPERVISOR_memory_op,
    name: 'memory_op',
    pv: true,
    hvm: true,
    fn: doMemoryOp,
    status: partial('no paging, sharing, access, exchange, vnuma'),
  },
  {
    nr: nr.__HYPERVISOR_multicall,
    name: 'multicall',
    pv: true,
    hvm: true,
    fn: doMulticall,
    status: 'complete',
  },
  {
    nr: nr.__HYPERVISOR_set_timer_op,
    name: 'set_timer_op',
    pv: true,
    hvm: true,
    fn: doSetTimerOp,
    status: 'complete',
  },
  {
    nr: nr.__HYPERVISOR_xen_version,
    name: 'xen_version',
    pv: true,
    hvm: true,
    fn: doXenVersion,
    status: 'complete',
  },
  {
    nr: nr.__HYPERVISOR_console_io,
    name: 'console_io',
    pv: true,
    hvm: true,
    fn: doConsoleIo,
    status: partial('nothing to read'),
  },
  {
    nr: nr.__HYPERVISOR_grant_table_op,
    name: 'grant_table_op',
    pv: true,
    hvm: true,
    fn: doGrantTableOp,
    status: partial('no maps into page tables, no transfer: PV guests'),
  },
  {
    nr: nr.__HYPERVISOR_vm_assist,
    name: 'vm_assist',
    pv: true,
    hvm: true,
    fn: doVmAssist,
    status: partial('none of the assists for PV guests'),
  },
  {
    nr: nr.__HYPERVISOR_vcpu_op,
    name: 'vcpu_op',
    pv: true,
    hvm: true,
    fn: doVcpuOp,
    status: partial('no initialise for PV guests'),
  },
  { nr: nr.__HYPERVISOR_mmuext_op, name: 'mmuext_op', pv: true, hvm: true, fn: absent, status: 'absent' },
  { nr: nr.__HYPERVISOR_xsm_op, name: 'xsm_op', pv: true, hvm: true, fn: absent, status: 'absent' },
  {
    nr: nr.__HYPERVISOR_sched_op,
    name: 'sched_op',
    pv: true,
    hvm: true,
    fn: doSchedOp,
    status: partial('no pin_override'),
  },
  {
    nr: nr.__HYPERVISOR_event_channel_op,
    name: 'event_channel_op',
    pv: true,
    hvm: true,
    fn: doEventChannelOp,
    status: 'complete',
  },
  {
    nr: nr.__HYPERVISOR_physdev_op,
    name: 'physdev_op',
    pv: true,
    hvm: true,
    fn: absent,
    status: 'absent',
  },
  {
    nr: nr.__HYPERVISOR_hvm_op,
    name: 'hvm_op',
    pv: true,
    hvm: true,
    fn: doHvmOp,
    status: partial('no altp2m, mem_access'),
  },
  {
    nr: nr.__HYPERVISOR_sysctl,
    name: 'sysctl',
    pv: true,
    hvm: true,
    fn: doSysctl,
    status: partial('what the toolstack uses'),
  },
  {
    nr: nr.__HYPERVISOR_domctl,
    name: 'domctl',
    pv: true,
    hvm: true,
    fn: doDomctl,
    status: partial('what the toolstack uses'),
  },
  { nr: nr.__HYPERVISOR_argo_op, name: 'argo_op', pv: true, hvm: true, fn: absent, status: 'absent' },
  { nr: nr.__HYPERVISOR_xenpmu_op, name: 'xenpmu_op', pv: true, hvm: true, fn: absent, status: 'absent' },
  { nr: nr.__HYPERVISOR_dm_op, name: 'dm_op', pv: true, hvm: true, fn: absent, status: 'absent' },
  { nr: nr.__HYPERVISOR_hypfs_op, name: 'hypfs_op', pv: true, hvm: true, fn: absent, status: 'absent' },
];

const BY_NUMBER: Array<HypercallRow | undefined> = [];
for (const row of HYPERCALLS) BY_NUMBER[row.nr] = row;

/** The row of a call that the domain type has, undefined for any other number. */
export function hypercallRow(n: number, pv: boolean): HypercallRow | undefined {
  const row = BY_NUMBER[n];
  return row !== undefined && (pv ? row.pv : row.hvm) ? row : undefined;
}
