/**
 * Makes hypercalls an unprivileged HVM or PVH guest can make, and compares what they answer: results, refusals,
 * bad pointers. The expectations are Xen 4.17's.
 */
import * as errno from '../../src/abi/errno.ts';
import * as nr from '../../src/abi/xen.ts';
import type { Asm } from '../asm.ts';
import type { Arg, Guest } from '../guest.ts';
import { mem, R } from '../registers.ts';

type Expected = number | 'positive' | 'version';

interface Probe {
  what: string;
  nr: number;
  args: Arg[];
  expect: Expected;
  /** After the call: a 32-bit field of an argument structure. */
  check?: { label: string; at: number; bits?: 16 | 32; is?: number; has?: number; not?: number };
}

const SELF = nr.DOMID_SELF;
const NO_DOMAIN = 0x1234;
/** Mapped by the guest, backed by nothing. */
const BAD_POINTER = 0xf0000000;
const SHARED_INFO_GFN = 0x700;

const off = (label: string, disp: number): Arg => ({ label, disp });

/** Argument structures: label and contents, in the guest's width where that matters. */
function emitStructures(g: Guest): void {
  const u32s = (label: string, ...values: number[]): void => {
    g.data(label, (a) => a.dd(...values));
  };
  const custom = (label: string, emit: (a: Asm) => void): void => {
    g.data(label, emit);
  };
  g.variable('buffer', 4096);
  u32s('features0', 0, 0);
  u32s('features1', 1, 0);
  custom('poll', (a) => {
    g.emitWord('buffer');
    a.dd(129);
    a.align(g.wordBytes);
    a.dq(0);
  });
  u32s('pastTimer', 1, 0, 1, 0);
  custom('memoryMap', (a) => {
    a.dd(64);
    a.align(g.wordBytes);
    g.emitWord('buffer');
  });
  u32s('domainSelf', SELF);
  const physmap = (label: string, space: number, gfn: number): void =>
    custom(label, (a) => {
      a.dw(SELF);
      a.dw(0);
      a.dd(space);
      g.emitWord(0);
      g.emitWord(gfn);
    });
  physmap('mapSharedInfo', 0, SHARED_INFO_GFN);
  physmap('mapNothing', 9, SHARED_INFO_GFN);
  u32s('unbound', SELF | (SELF << 16), 0, 0, 0, 0, 0);
  u32s('ipi', 0, 0);
  u32s('ipiNowhere', 999, 0);
  u32s('virqTimer', nr.VIRQ_TIMER, 0, 0);
  u32s('virqUnknown', 24, 0, 0);
  u32s('portZero', 0);
  u32s('portHuge', 0x7fffffff);
  u32s('interdomain', NO_DOMAIN, 1, 0);
  u32s('querySize', SELF, 0, 0, 0x7777);
  u32s('setVersion1', 1);
  u32s('setVersion9', 9);
  u32s('getVersion', SELF, 0);
  for (const index of [0, 1, 2, 4, 5, 10, 17, 18, 39]) u32s(`param${index}`, SELF, index, 0, 0);
  u32s('paramElsewhere', NO_DOMAIN, 17, 0, 0);
  custom('multicall', (a) => {
    g.emitWord(nr.__HYPERVISOR_xen_version);
    a.label('multicallResult');
    a.zero(7 * g.wordBytes);
  });
  const envelope = (label: string, ...head: number[]): void =>
    custom(label, (a) => {
      a.dd(...head);
      a.zero(160);
    });
  envelope('sysctl', 3, 0x15);
  envelope('sysctlOld', 3, 1);
  envelope('domctl', 3, 0x15, 0);
  envelope('domctlOld', 3, 1, 0);
  envelope('platform', 55, 0x03000001);
}

const {
  XEN_EPERM,
  XEN_ENOENT,
  XEN_ESRCH,
  XEN_EACCES,
  XEN_EFAULT,
  XEN_EEXIST,
  XEN_EINVAL,
  XEN_ENOSYS,
  XEN_ETIME,
} = errno;

/** Calls that do not exist, or not for HVM. */
const ABSENT = [
  0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 14, 16, 22, 23, 25, 28, 30, 37, 38, 43, 47, 50, 55, 63, 64, 1000,
];

const absentProbes = ABSENT.map(
  (n): Probe => ({ what: `hypercall ${n}`, nr: n, args: [0, 0, 0], expect: -XEN_ENOSYS }),
);

const row = (what: string, n: number, args: Arg[], expect: Expected, check?: Probe['check']): Probe =>
  check === undefined ? { what, nr: n, args, expect } : { what, nr: n, args, expect, check };

const VERSION = nr.__HYPERVISOR_xen_version;
const versionProbes: Probe[] = [
  row('version', VERSION, [0, 0], 'version'),
  row('extraversion', VERSION, [1, 'buffer'], 0),
  row('extraversion, bad pointer', VERSION, [1, BAD_POINTER], -XEN_EFAULT),
  row('capabilities', VERSION, [3, 'buffer'], 0),
  row('features 0', VERSION, [6, 'features0'], 0, { label: 'features0', at: 4, has: 0x304 }),
  row('features 1', VERSION, [6, 'features1'], -XEN_EINVAL),
  row('features, bad pointer', VERSION, [6, BAD_POINTER], -XEN_EFAULT),
  row('page size', VERSION, [7, 0], 4096),
  row('guest handle', VERSION, [8, 'buffer'], 0),
  row('version sub-op 99', VERSION, [99, 'buffer'], -XEN_ENOSYS),
];

const SCHED = nr.__HYPERVISOR_sched_op;
const VCPU = nr.__HYPERVISOR_vcpu_op;
const schedulerProbes: Probe[] = [
  row('yield', SCHED, [0, 0], 0),
  row('shutdown, bad pointer', SCHED, [2, BAD_POINTER], -XEN_EFAULT),
  row('poll of 129 ports', SCHED, [3, 'poll'], -XEN_EINVAL),
  row('poll, bad pointer', SCHED, [3, BAD_POINTER], -XEN_EFAULT),
  row('sched_op sub-op 99', SCHED, [99, 0], -XEN_ENOSYS),
  row('is_up', VCPU, [3, 0, 0], 1),
  row('stop_periodic_timer', VCPU, [7, 0, 0], 0),
  row('stop_singleshot_timer', VCPU, [9, 0, 0], 0),
  row('singleshot timer in the past', VCPU, [8, 0, 'pastTimer'], -XEN_ETIME),
  row('singleshot timer, bad pointer', VCPU, [8, 0, BAD_POINTER], -XEN_EFAULT),
  row('vCPU 8192', VCPU, [7, 8192, 0], -XEN_ENOENT),
  row('vcpu_op sub-op 99', VCPU, [99, 0, 0], -XEN_ENOSYS),
  row('set_timer_op 0', nr.__HYPERVISOR_set_timer_op, [0, 0], 0),
];

const MEMORY = nr.__HYPERVISOR_memory_op;
const memoryProbes: Probe[] = [
  row('memory_map', MEMORY, [9, 'memoryMap'], 0, { label: 'memoryMap', at: 0, not: 0 }),
  row('memory_map, bad pointer', MEMORY, [9, BAD_POINTER], -XEN_EFAULT),
  row('current_reservation', MEMORY, [3, 'domainSelf'], 'positive'),
  row('maximum_reservation', MEMORY, [4, 'domainSelf'], 'positive'),
  row('add_to_physmap of an unknown space', MEMORY, [7, 'mapNothing'], -XEN_EINVAL),
  row('add_to_physmap of shared_info', MEMORY, [7, 'mapSharedInfo'], 0),
  row('add_to_physmap, bad pointer', MEMORY, [7, BAD_POINTER], -XEN_EFAULT),
  row('memory_op sub-op 63', MEMORY, [63, 'buffer'], -XEN_ENOSYS),
];

const EVTCHN = nr.__HYPERVISOR_event_channel_op;
const eventProbes: Probe[] = [
  row('alloc_unbound', EVTCHN, [6, 'unbound'], 0, { label: 'unbound', at: 4, not: 0 }),
  row('status of it', EVTCHN, [5, 'unbound'], 0, { label: 'unbound', at: 8, is: 1 }),
  row('close', EVTCHN, [3, off('unbound', 4)], 0),
  row('status when closed', EVTCHN, [5, 'unbound'], 0, { label: 'unbound', at: 8, is: 0 }),
  row('close again', EVTCHN, [3, off('unbound', 4)], -XEN_EINVAL),
  row('bind_ipi', EVTCHN, [7, 'ipi'], 0, { label: 'ipi', at: 4, not: 0 }),
  row('send', EVTCHN, [4, off('ipi', 4)], 0),
  row('unmask', EVTCHN, [9, off('ipi', 4)], 0),
  row('close of an IPI', EVTCHN, [3, off('ipi', 4)], 0),
  row('send when closed', EVTCHN, [4, off('ipi', 4)], -XEN_EINVAL),
  row('bind_ipi to vCPU 999', EVTCHN, [7, 'ipiNowhere'], -XEN_ENOENT),
  row('bind_virq', EVTCHN, [1, 'virqTimer'], 0, { label: 'virqTimer', at: 8, not: 0 }),
  row('bind_virq again', EVTCHN, [1, 'virqTimer'], -XEN_EEXIST),
  row('bind_virq 24', EVTCHN, [1, 'virqUnknown'], -XEN_EINVAL),
  row('bind_interdomain to no domain', EVTCHN, [0, 'interdomain'], -XEN_ESRCH),
  row('send to port 0', EVTCHN, [4, 'portZero'], -XEN_EINVAL),
  row('send to a huge port', EVTCHN, [4, 'portHuge'], -XEN_EINVAL),
  row('event channel, bad pointer', EVTCHN, [6, BAD_POINTER], -XEN_EFAULT),
  row('event_channel_op sub-op 99', EVTCHN, [99, 'buffer'], -XEN_ENOSYS),
];

const GRANT = nr.__HYPERVISOR_grant_table_op;
const grantProbes: Probe[] = [
  row('query_size', GRANT, [6, 'querySize', 1], 0, { label: 'querySize', at: 12, bits: 16, is: 0 }),
  row('query_size, bad pointer', GRANT, [6, BAD_POINTER, 1], -XEN_EFAULT),
  row('set_version 1', GRANT, [8, 'setVersion1', 1], 0),
  row('set_version 9', GRANT, [8, 'setVersion9', 1], -XEN_EINVAL),
  row('get_version', GRANT, [10, 'getVersion', 1], 0, { label: 'getVersion', at: 4, is: 1 }),
  row('grant_table_op, negative count', GRANT, [6, 'querySize', 0xffffffff], -XEN_EINVAL),
  row('grant_table_op sub-op 99', GRANT, [99, 'buffer', 1], -XEN_ENOSYS),
];

const HVM = nr.__HYPERVISOR_hvm_op;
const paramProbes: Probe[] = [
  ...[0, 1, 2, 17, 18].map((i) => row(`get_param ${i}`, HVM, [1, `param${i}`], 0)),
  row('get_param 4', HVM, [1, 'param4'], -XEN_EINVAL),
  row('get_param 5', HVM, [1, 'param5'], -XEN_EPERM),
  row('get_param 10', HVM, [1, 'param10'], -XEN_EPERM),
  row('get_param 39', HVM, [1, 'param39'], -XEN_EINVAL),
  row('set_param 17', HVM, [0, 'param17'], -XEN_EPERM),
  row('get_param of no domain', HVM, [1, 'paramElsewhere'], -XEN_ESRCH),
  row('get_param, bad pointer', HVM, [1, BAD_POINTER], -XEN_EFAULT),
  row('hvm_op sub-op 99', HVM, [99, 'buffer'], -XEN_ENOSYS),
];

const otherProbes: Probe[] = [
  row('multicall', nr.__HYPERVISOR_multicall, ['multicall', 1], 0, {
    label: 'multicallResult',
    at: 0,
    not: 0,
  }),
  row('console_io read', nr.__HYPERVISOR_console_io, [1, 16, 'buffer'], -XEN_EPERM),
  row('vm_assist runstate_update_flag', nr.__HYPERVISOR_vm_assist, [0, 5], 0),
  row('vm_assist type 99', nr.__HYPERVISOR_vm_assist, [0, 99], -XEN_EINVAL),
  row('vm_assist sub-op 7', nr.__HYPERVISOR_vm_assist, [7, 5], -XEN_ENOSYS),
  row('physdev_op sub-op 99', nr.__HYPERVISOR_physdev_op, [99, 'buffer'], -XEN_ENOSYS),
  row('xsm_op', nr.__HYPERVISOR_xsm_op, ['buffer'], -XEN_ENOSYS),
  row('sysctl', nr.__HYPERVISOR_sysctl, ['sysctl'], -XEN_EPERM),
  row('sysctl, old version', nr.__HYPERVISOR_sysctl, ['sysctlOld'], -XEN_EACCES),
  row('sysctl, bad pointer', nr.__HYPERVISOR_sysctl, [BAD_POINTER], -XEN_EFAULT),
  row('domctl', nr.__HYPERVISOR_domctl, ['domctl'], -XEN_EPERM),
  row('domctl, old version', nr.__HYPERVISOR_domctl, ['domctlOld'], -XEN_EACCES),
  row('platform_op', nr.__HYPERVISOR_platform_op, ['platform'], -XEN_EPERM),
];

const PROBES: readonly Probe[] = [
  ...absentProbes,
  ...versionProbes,
  ...schedulerProbes,
  ...memoryProbes,
  ...eventProbes,
  ...grantProbes,
  ...paramProbes,
  ...otherProbes,
];

function emitCheck(g: Guest, what: string, check: NonNullable<Probe['check']>): void {
  const { a } = g;
  const field = mem(check.bits ?? 32, check.label, check.at);
  const register = { ...R.eax, bits: check.bits ?? 32 } as const;
  a.alu('xor', R.eax, R.eax);
  a.mov(register, field);
  a.mov(g.word('got'), g.r('ax'));
  if (check.has !== undefined) a.alu('and', R.eax, check.has);
  a.alu('cmp', R.eax, check.has ?? check.is ?? check.not ?? 0);
  g.when(check.not === undefined ? 'nz' : 'z', () =>
    g.fail(`${what}: the field at ${check.at} is `, { hex: g.word('got') }),
  );
}

function emitProbe(g: Guest, p: Probe): void {
  const { a } = g;
  const good = a.fresh('good');
  const next = a.fresh('next');
  g.hypercall(p.nr, ...p.args);
  a.mov(g.word('got'), g.r('ax'));
  if (p.expect === 'version') a.alu('cmp', R.eax, mem(32, 'rt.xenVersion'));
  else a.alu('cmp', g.r('ax'), p.expect === 'positive' ? 0 : p.expect);
  a.j(p.expect === 'positive' ? 'g' : 'z', good);
  g.fail(`${p.what}: returned `, { dec: g.word('got') }, `, expected ${p.expect}`);
  a.jmp(next);
  a.label(good);
  if (p.check !== undefined) emitCheck(g, p.what, p.check);
  a.label(next);
}

/** vcpu_info[0].time in the shared_info page that was mapped has a TSC multiplier. */
function checkSharedInfo(g: Guest): void {
  g.a.alu('cmp', mem(32, SHARED_INFO_GFN * 4096 + 32 + 24), 0);
  g.when('z', () => g.fail('shared_info: tsc_to_system_mul is zero'));
}

export function hypercallProbe(g: Guest): void {
  g.variable('got', 8);
  emitStructures(g);
  g.a.alu('cmp', mem(32, 'rt.xenBase'), 0);
  g.when('z', () => {
    g.print('There is no Xen here.\n');
    g.note('SKIP');
    g.end();
  });
  for (const p of PROBES) emitProbe(g, p);
  checkSharedInfo(g);
  g.print(`${PROBES.length} hypercalls probed\n`);
}
