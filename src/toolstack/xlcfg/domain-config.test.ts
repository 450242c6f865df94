import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DomainConfig, readDomainConfig } from './domain-config.ts';
import { ConfigError } from './errors.ts';
import { OPTIONS } from './options.ts';
import { parseConfig } from './parser.ts';

const entropy = { fill: (bytes: Uint8Array) => bytes.set(bytes.map((_, i) => i * 17)) };
const base = 'name = "e1"\nkernel = "/root/vmlinuz"\nmemory = 64\n';

function read(text: string): { config: DomainConfig; warnings: string[] } {
  const warnings: string[] = [];
  const config = readDomainConfig(parseConfig(text, 'e1.cfg'), { entropy, warn: (l) => warnings.push(l) });
  return { config, warnings };
}

/** The settings of `base` with more lines. */
const withLines = (lines: string) => read(base + lines).config;

function refusal(text: string): string {
  try {
    read(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'none';
}

describe('a domain configuration', () => {
  it('has the defaults of xl 4.17', () => {
    expect(read('name = "e1"\nkernel = "/root/vmlinuz"')).toEqual({
      config: {
        type: 'pv',
        name: 'e1',
        uuid: '00112233-4455-4677-8899-aabbccddeeff',
        pool: 'Pool-0',
        vcpus: 1,
        maxVcpus: 1,
        targetMemkb: 32768,
        maxMemkb: 32768,
        kernel: '/root/vmlinuz',
        ramdisk: undefined,
        cmdline: '',
        onPoweroff: 'destroy',
        onReboot: 'restart',
        onWatchdog: 'destroy',
        onCrash: 'destroy',
        onSoftReset: 'soft-reset',
        maxGrantFrames: undefined,
        maxMaptrackFrames: undefined,
        maxGrantVersion: undefined,
        maxEventChannels: 1023,
        cpuWeight: undefined,
        cap: undefined,
        tscMode: 'default',
        cpuid: [],
        viridian: 0,
        hpet: false,
        nestedhvm: false,
        localtime: false,
        rtcTimeoffset: 0,
        nomigrate: false,
        xendSuspendEvtchnCompat: false,
        disks: [],
        vifs: [],
      },
      warnings: [],
    });
  });

  const cases: [lines: string, expected: Partial<DomainConfig>][] = [
    ['type = "pvh"', { type: 'pvh' }],
    ['type = "hvm"', { type: 'hvm' }],
    ['builder = "hvm"', { type: 'hvm' }],
    ['builder = "generic"', { type: 'pv' }],
    ['builder = "hvm"; type = "hvm"', { type: 'hvm' }],
    ['memory = 0x40', { targetMemkb: 65536, maxMemkb: 65536 }],
    ['memory = "64"', { targetMemkb: 65536 }],
    ['memory = 1', { targetMemkb: 1024, maxMemkb: 1024 }],
    ['maxmem = 128', { targetMemkb: 65536, maxMemkb: 131072 }],
    ['vcpus = 2', { vcpus: 2, maxVcpus: 2 }],
    ['maxvcpus = 3', { vcpus: 1, maxVcpus: 3 }],
    ['vcpus = 1000', { vcpus: 1000 }],
    ['cmdline = "quiet"', { cmdline: 'quiet' }],
    ['root = "/dev/xvda1 ro"', { cmdline: 'root=/dev/xvda1 ro' }],
    ['extra = "console=hvc0 mods"', { cmdline: 'console=hvc0 mods' }],
    ['extra = "a"; root = "/dev/x"', { cmdline: 'root=/dev/x a' }],
    [
      'on_reboot = "preserve"; on_crash = "rename-restart"',
      { onReboot: 'preserve', onCrash: 'rename-restart' },
    ],
    ['uuid = "11111111-1111-4111-8111-1111111111AB"', { uuid: '11111111-1111-4111-8111-1111111111ab' }],
    ['max_grant_frames = 0; max_maptrack_frames = -1', { maxGrantFrames: 0, maxMaptrackFrames: undefined }],
    ['tsc_mode = "native"', { tscMode: 'native' }],
    [
      'localtime = 1; rtc_timeoffset = "-3600"; nomigrate = 2',
      { localtime: true, rtcTimeoffset: -3600, nomigrate: true },
    ],
    ['cpu_weight = 512; cap = 50', { cpuWeight: 512, cap: 50 }],
    ['pool = "Pool-0"', { pool: 'Pool-0' }],
  ];
  it.each(cases)('takes %s', (lines, expected) => {
    expect(withLines(lines)).toMatchObject(expected);
  });

  const refused: [text: string, message: string][] = [
    ['', "e1.cfg: the domain has no name: 'name' must be given"],
    ['kernel = "/k"; memory = 64', "e1.cfg: the domain has no name: 'name' must be given"],
    ['name = ""', "e1.cfg:1:8: 'name' must not be empty"],
    ['name = "a/b"', "e1.cfg:1:8: 'name' must not contain '/' or control characters"],
    [
      'name = "e1"; memory = 64',
      "e1.cfg: there is nothing to boot: a pv guest needs 'kernel' or 'bootloader'",
    ],
    [
      'name = "e1"; type = "pvh"',
      "e1.cfg: there is nothing to boot: a pvh guest needs 'kernel' or 'bootloader'",
    ],
    [
      'name = "e1"\nbootloader = "pygrub"',
      "e1.cfg:2:14: there is no 'kernel', and 'bootloader' is not supported yet",
    ],
    [`${base}type = "bogus"`, 'e1.cfg:4:8: \'type\' cannot be "bogus"; it is one of hvm, pv, pvh'],
    [`${base}type = 1`, 'e1.cfg:4:8: \'type\' cannot be "1"; it is one of hvm, pv, pvh'],
    [`${base}type = "PV"`, 'e1.cfg:4:8: \'type\' cannot be "PV"; it is one of hvm, pv, pvh'],
    [`${base}builder = "linux"`, 'e1.cfg:4:11: \'builder\' cannot be "linux"; it is one of hvm, generic'],
    [`${base}builder = "hvm"\ntype = "pvh"`, 'e1.cfg:4:11: builder "hvm" contradicts type "pvh"'],
    [`${base}memory = -1`, "e1.cfg:4:10: 'memory' is -1; it must be at least 1"],
    [`${base}memory = "64M"`, 'e1.cfg:4:10: \'memory\' is not a number: "64M"'],
    [`${base}memory = 08`, 'e1.cfg:4:10: \'memory\' is not a number: "08"'],
    [
      `${base}memory = 99999999999999999999`,
      'e1.cfg:4:10: \'memory\' is not a number: "99999999999999999999"',
    ],
    [`${base}memory = [ 64 ]`, "e1.cfg:4:10: 'memory' is a list; it should be a single value"],
    [`${base}memory += 64`, "e1.cfg:4:11: '+=' cannot be used with the number 'memory'"],
    [`${base}maxmem = 32`, 'e1.cfg:4:10: maxmem (32 MB) is less than memory (64 MB)'],
    [`${base}vcpus = 0`, "e1.cfg:4:9: 'vcpus' is 0; it must be at least 1"],
    [`${base}type = "pvh"; vcpus = 129`, "e1.cfg:4:23: 'vcpus' is 129; it must be at most 128"],
    [`${base}vcpus = 4; maxvcpus = 2`, 'e1.cfg:4:23: maxvcpus (2) is less than vcpus (4)'],
    [`${base}uuid = "123"`, 'e1.cfg:4:8: \'uuid\' is not a UUID: "123"'],
    [`${base}pool = "nosuch"`, 'e1.cfg:4:8: there is no CPU pool "nosuch"; the only one is "Pool-0"'],
    [`${base}max_grant_version = 3`, "e1.cfg:4:21: 'max_grant_version' is 3; it must be at most 2"],
    [`${base}disk = "a"`, "e1.cfg:4:8: 'disk' is a single value; it should be a list"],
    [`${base}vif = [ [] ]`, "e1.cfg:4:7: item 1 of 'vif' is a list, not a string"],
  ];
  it.each(refused)('refuses %j and says why', (text, message) => {
    expect(refusal(text)).toBe(message);
  });

  it('names all actions where one is unknown', () => {
    expect(refusal(`${base}on_crash = "explode"`)).toContain('rename-restart, preserve, coredump-destroy');
  });

  it('or a refusal comes of any settings', () => {
    const text = fc.oneof(fc.string(), fc.integer().map(String), fc.constantFrom('pvh', 'hvm', '-1', '1'));
    const line = fc
      .tuple(fc.constantFrom(...OPTIONS.keys(), 'other'), text)
      .map(([k, v]) => `${k} = "${v}"\n`);
    fc.assert(fc.property(fc.array(line), (lines) => void refusal(base + lines.join(''))));
  });
});

describe('settings without effect', () => {
  const cases: [lines: string, warnings: string[]][] = [
    ['nosuchkey = 1', ["e1.cfg:4: warning: 'nosuchkey' is not an option of xl.cfg and is ignored"]],
    ['pvh = 1', ["e1.cfg:4: warning: 'pvh' is out of date and is ignored"]],
    ['cpus = "0-3"', ["e1.cfg:4: warning: 'cpus' is not supported yet and is ignored"]],
    ['disk = [ "/d,raw,xvda,w" ]', ["e1.cfg:4: warning: 'disk' is not supported yet and is ignored"]],
    ['boot = "c"', ["e1.cfg:4: warning: 'boot' has no meaning for a pv guest and is ignored"]],
    ['cpus = "all"; disk = []; e820_host = 0', []],
    ['tsc_mode = 2', ['e1.cfg:4:12: warning: a number for \'tsc_mode\' is out of date; write "native"']],
    [
      'cmdline = "a"; root = "b"; extra = "c"',
      [
        "e1.cfg:4:23: warning: 'root' is ignored in favour of 'cmdline'",
        "e1.cfg:4:36: warning: 'extra' is ignored in favour of 'cmdline'",
      ],
    ],
  ];
  it.each(cases)('%s: a warning with key and line, unless they ask for the default', (lines, warnings) => {
    expect(read(base + lines).warnings).toEqual(warnings);
  });

  it('leave the device specifications readable', () => {
    expect(withLines('disk = [ "/d,raw,xvda,w" ]\nvif = [ "bridge=xenbr0", "" ]')).toMatchObject({
      disks: ['/d,raw,xvda,w'],
      vifs: ['bridge=xenbr0', ''],
    });
  });
});

describe('the table of options', () => {
  it('has the 161 keys of the manual page and the five scheduler keys beside them', () => {
    const scheduler = ['period', 'budget', 'extratime', 'latency', 'slice'];
    expect(scheduler.every((key) => OPTIONS.has(key))).toBe(true);
    expect(OPTIONS.size).toBe(161 + scheduler.length);
  });
});
