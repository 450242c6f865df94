/**
 * Settings to the configuration of a domain, by xl 4.17's rules.
 *
 * DIVERGES: where xl warns of a value of the wrong kind and goes on as if it were not there, we refuse it; and types
 * must be spelled out, where xl takes any beginning of one.
 */
import type { Entropy } from '../../base/host.ts';
import { type CpuidWish, readCpuid } from './cpuid.ts';
import { type GuestType, warnOfIgnored } from './options.ts';
import type { Config } from './parser.ts';
import { Settings } from './settings.ts';
import { parseUuid, randomUuid } from './uuid.ts';
import { readViridian } from './viridian.ts';

export const SHUTDOWN_ACTIONS = [
  'destroy',
  'restart',
  'rename-restart',
  'preserve',
  'coredump-destroy',
  'coredump-restart',
  'soft-reset',
] as const;
export type ShutdownAction = (typeof SHUTDOWN_ACTIONS)[number];

/** In the order of their numbers. */
export const TSC_MODES = ['default', 'always_emulate', 'native', 'native_paravirt'] as const;
export type TscMode = (typeof TSC_MODES)[number];

/** The one CPU pool there is. */
export const HOST_POOL = 'Pool-0';

/** What `-1` would say in xl: the hypervisor's own limit. */
export type Limit = number | undefined;

export interface DomainConfig {
  readonly type: GuestType;
  readonly name: string;
  /** In lower case, with dashes. */
  readonly uuid: string;
  readonly pool: string;
  /** vCPUs online at the start, and those there can be. */
  readonly vcpus: number;
  readonly maxVcpus: number;
  /** Memory at the start, and what the domain can balloon up to, in KiB. */
  readonly targetMemkb: number;
  readonly maxMemkb: number;
  readonly kernel: string | undefined;
  readonly ramdisk: string | undefined;
  readonly cmdline: string;
  readonly onPoweroff: ShutdownAction;
  readonly onReboot: ShutdownAction;
  readonly onWatchdog: ShutdownAction;
  readonly onCrash: ShutdownAction;
  readonly onSoftReset: ShutdownAction;
  readonly maxGrantFrames: Limit;
  readonly maxMaptrackFrames: Limit;
  readonly maxGrantVersion: Limit;
  readonly maxEventChannels: number;
  readonly cpuWeight: Limit;
  readonly cap: Limit;
  readonly tscMode: TscMode;
  /** What is wished for of the guest's CPUID; empty: the default. */
  readonly cpuid: readonly CpuidWish[];
  /** HVM_PARAM_VIRIDIAN; 0: none of these enlightenments. */
  readonly viridian: number;
  /** DIVERGES: a PVH guest may have one too, with an I/O APIC for its interrupts; xl has it for HVM guests alone. */
  readonly hpet: boolean;
  readonly nestedhvm: boolean;
  readonly localtime: boolean;
  /** Seconds that the guest's clock is ahead of the host's. */
  readonly rtcTimeoffset: number;
  readonly nomigrate: boolean;
  readonly xendSuspendEvtchnCompat: boolean;
  /** Device specifications as written. */
  readonly disks: readonly string[];
  readonly vifs: readonly string[];
}

export interface ReadOptions {
  readonly entropy: Entropy;
  /** Takes whole lines, each naming its place. */
  readonly warn: (line: string) => void;
}

const INT_MAX = 0x7fffffff;
const UINT16_MAX = 0xffff;
/** 16 TiB, in MiB. */
const MAX_MEMORY_MB = 16 << 20;
const DEFAULT_MEMORY_MB = 32;
const DEFAULT_EVENT_CHANNELS = 1023;
/** Xen takes 8192 vCPUs of a PV guest. @abi public/hvm/hvm_info_table.h (HVM_MAX_VCPUS) */
const MAX_VCPUS = { pv: 8192, pvh: 128, hvm: 128 } as const;

/** Reads a parsed configuration; a ConfigError names what is wrong, and every setting without effect makes a warning. */
export function readDomainConfig(config: Config, { entropy, warn }: ReadOptions): DomainConfig {
  const s = new Settings(config, warn);
  const type = readType(s);
  const domain: DomainConfig = {
    type,
    name: readName(s),
    uuid: readUuid(s, entropy),
    pool: readPool(s),
    ...readVcpus(s, type),
    ...readMemory(s),
    ...readBoot(s, type),
    ...readActions(s),
    maxGrantFrames: s.limit('max_grant_frames', 0, INT_MAX),
    maxMaptrackFrames: s.limit('max_maptrack_frames', 0, INT_MAX),
    maxGrantVersion: s.limit('max_grant_version', 0, 2),
    maxEventChannels: s.int('max_event_channels', 1, INT_MAX) ?? DEFAULT_EVENT_CHANNELS,
    cpuWeight: s.int('cpu_weight', 1, UINT16_MAX),
    cap: s.int('cap', 0, UINT16_MAX),
    tscMode: readTscMode(s),
    cpuid: readCpuid(s),
    viridian: readViridian(s),
    hpet: s.has('hpet') ? s.bool('hpet') : type === 'hvm',
    nestedhvm: s.bool('nestedhvm'),
    localtime: s.bool('localtime'),
    rtcTimeoffset: s.int('rtc_timeoffset', -INT_MAX - 1, INT_MAX) ?? 0,
    nomigrate: s.bool('nomigrate'),
    xendSuspendEvtchnCompat: s.bool('xend_suspend_evtchn_compat'),
    disks: s.strings('disk'),
    vifs: s.strings('vif'),
  };
  warnOfIgnored(config, type, warn);
  return domain;
}

function readType(s: Settings): GuestType {
  const type = s.choice('type', ['hvm', 'pv', 'pvh']);
  const builder = s.choice('builder', ['hvm', 'generic']);
  if (!builder) return type ?? 'pv';
  const built = builder === 'hvm' ? 'hvm' : 'pv';
  if (type && type !== built) s.fail('builder', `builder "${builder}" contradicts type "${type}"`);
  return built;
}

function readName(s: Settings): string {
  const name = s.string('name');
  if (name === undefined) return s.fail('name', "the domain has no name: 'name' must be given");
  if (!name) s.fail('name', "'name' must not be empty");
  // A name is a XenStore value, a path component of log files and a command line argument.
  if (/[\p{Cc}/]/u.test(name)) s.fail('name', "'name' must not contain '/' or control characters");
  return name;
}

function readUuid(s: Settings, entropy: Entropy): string {
  const text = s.string('uuid');
  if (text === undefined) return randomUuid(entropy);
  return parseUuid(text) ?? s.fail('uuid', `'uuid' is not a UUID: "${text}"`);
}

function readPool(s: Settings): string {
  const pool = s.string('pool') ?? HOST_POOL;
  if (pool !== HOST_POOL) s.fail('pool', `there is no CPU pool "${pool}"; the only one is "${HOST_POOL}"`);
  return pool;
}

function readVcpus(s: Settings, type: GuestType): Pick<DomainConfig, 'vcpus' | 'maxVcpus'> {
  const given = s.int('vcpus', 1, MAX_VCPUS[type]);
  const maxVcpus = s.int('maxvcpus', 1, MAX_VCPUS[type]) ?? given ?? 1;
  const vcpus = given ?? 1;
  if (maxVcpus < vcpus) s.fail('maxvcpus', `maxvcpus (${maxVcpus}) is less than vcpus (${vcpus})`);
  return { vcpus, maxVcpus };
}

function readMemory(s: Settings): Pick<DomainConfig, 'targetMemkb' | 'maxMemkb'> {
  const memory = s.int('memory', 1, MAX_MEMORY_MB);
  const maxmem = s.int('maxmem', 1, MAX_MEMORY_MB);
  const max = maxmem ?? memory ?? DEFAULT_MEMORY_MB;
  const target = memory ?? max;
  if (max < target) s.fail('maxmem', `maxmem (${max} MB) is less than memory (${target} MB)`);
  return { targetMemkb: target * 1024, maxMemkb: max * 1024 };
}

function readBoot(s: Settings, type: GuestType): Pick<DomainConfig, 'kernel' | 'ramdisk' | 'cmdline'> {
  const kernel = s.string('kernel') || undefined;
  if (!kernel && type !== 'hvm') {
    const other = ['bootloader', 'firmware'].find((key) => s.has(key));
    s.fail(
      other ?? 'kernel',
      other
        ? `there is no 'kernel', and '${other}' is not supported yet`
        : `there is nothing to boot: a ${type} guest needs 'kernel' or 'bootloader'`,
    );
  }
  return { kernel, ramdisk: s.string('ramdisk') || undefined, cmdline: readCmdline(s) };
}

/** `cmdline` as it is, or else made of `root` and `extra`. */
function readCmdline(s: Settings): string {
  const cmdline = s.string('cmdline');
  const root = s.string('root');
  const extra = s.string('extra');
  if (cmdline === undefined) {
    return [root === undefined ? undefined : `root=${root}`, extra].filter((t) => t !== undefined).join(' ');
  }
  for (const key of ['root', 'extra'])
    if (s.has(key)) s.warn(key, `'${key}' is ignored in favour of 'cmdline'`);
  return cmdline;
}

type Actions = 'onPoweroff' | 'onReboot' | 'onWatchdog' | 'onCrash' | 'onSoftReset';

function readActions(s: Settings): Pick<DomainConfig, Actions> {
  return {
    onPoweroff: s.choice('on_poweroff', SHUTDOWN_ACTIONS) ?? 'destroy',
    onReboot: s.choice('on_reboot', SHUTDOWN_ACTIONS) ?? 'restart',
    onWatchdog: s.choice('on_watchdog', SHUTDOWN_ACTIONS) ?? 'destroy',
    onCrash: s.choice('on_crash', SHUTDOWN_ACTIONS) ?? 'destroy',
    onSoftReset: s.choice('on_soft_reset', SHUTDOWN_ACTIONS) ?? 'soft-reset',
  };
}

/** By name, or by number as long ago. */
function readTscMode(s: Settings): TscMode {
  if (!/^[0-3]$/.test(s.string('tsc_mode') ?? '')) return s.choice('tsc_mode', TSC_MODES) ?? 'default';
  const mode = TSC_MODES[s.int('tsc_mode', 0, 3)!]!;
  s.warn('tsc_mode', `a number for 'tsc_mode' is out of date; write "${mode}"`);
  return mode;
}
