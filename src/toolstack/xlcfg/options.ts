/**
 * Every option of xl.cfg: what its value is, what holds where it is not given, which guests it concerns, and what we
 * do with it. @xen docs/man/xl.cfg.5.pod.in
 */
import type { Config, Setting, Value } from './parser.ts';

export type GuestType = 'pv' | 'pvh' | 'hvm';

export type OptionType =
  | 'string'
  | 'path'
  | 'int'
  | 'MB'
  | 'bool'
  | 'list'
  | 'uuid'
  | 'action'
  | 'cpulist'
  | 'string-or-list'
  | 'string-or-int'
  | 'bool-or-string'
  | 'bool-or-list';

export interface Option {
  readonly key: string;
  readonly type: OptionType;
  /** The value where none is given, or the key whose value it is; undefined: nothing. */
  readonly byDefault: string | undefined;
  /** Guest types that the option concerns, joined with commas; `any` for all. */
  readonly guests: string;
  /** `ignored` options make a warning, unless they ask for what holds anyway. */
  readonly status: 'supported' | 'ignored';
}

type Row = readonly [key: string, type: OptionType, byDefault: string, guests: string, status: 's' | 'i'];

/** `-`: no default; s: supported, i: ignored with a warning. */
const rows: readonly Row[] = [
  // General
  ['name', 'string', 'required', 'any', 's'],
  ['type', 'string', 'pv', 'any', 's'],
  ['builder', 'string', '-', 'any', 's'],
  ['pool', 'string', 'Pool-0', 'any', 's'],
  // Processors and scheduling
  ['vcpus', 'int', '1', 'any', 's'],
  ['maxvcpus', 'int', 'vcpus', 'any', 's'],
  ['cpus', 'cpulist', 'all', 'any', 'i'],
  ['cpus_soft', 'cpulist', 'all', 'any', 'i'],
  ['cpu_weight', 'int', '256', 'any', 's'],
  ['cap', 'int', '0', 'any', 's'],
  ['period', 'int', '-', 'any', 'i'],
  ['budget', 'int', '-', 'any', 'i'],
  ['extratime', 'int', '-', 'any', 'i'],
  ['latency', 'int', '-', 'any', 'i'],
  ['slice', 'int', '-', 'any', 'i'],
  // Memory
  ['memory', 'MB', '32', 'any', 's'],
  ['maxmem', 'MB', 'memory', 'any', 's'],
  ['vnuma', 'list', '-', 'any', 'i'],
  // Life cycle
  ['on_poweroff', 'action', 'destroy', 'any', 's'],
  ['on_reboot', 'action', 'restart', 'any', 's'],
  ['on_watchdog', 'action', 'destroy', 'any', 's'],
  ['on_crash', 'action', 'destroy', 'any', 's'],
  ['on_soft_reset', 'action', 'soft-reset', 'any', 's'],
  // Direct boot
  ['kernel', 'path', '-', 'any', 's'],
  ['ramdisk', 'path', '-', 'any', 's'],
  ['cmdline', 'string', '-', 'any', 's'],
  ['root', 'string', '-', 'any', 's'],
  ['extra', 'string', '-', 'any', 's'],
  // Other ways to boot
  ['firmware', 'string', '-', 'any', 'i'],
  ['bootloader', 'string', '-', 'pv,pvh', 'i'],
  ['bootloader_args', 'list', '-', 'pv,pvh', 'i'],
  ['bootloader_restrict', 'bool', '0', 'pv,pvh', 'i'],
  ['bootloader_user', 'string', '-', 'pv,pvh', 'i'],
  ['pvshim', 'bool', '0', 'pvh', 'i'],
  ['pvshim_path', 'path', '-', 'pvh', 'i'],
  ['pvshim_cmdline', 'string', '-', 'pvh', 'i'],
  ['pvshim_extra', 'string', '-', 'pvh', 'i'],
  // Identity and limits
  ['uuid', 'uuid', 'random', 'any', 's'],
  ['seclabel', 'string', '-', 'any', 'i'],
  ['init_seclabel', 'string', '-', 'any', 'i'],
  ['max_grant_frames', 'int', '64', 'any', 's'],
  ['max_maptrack_frames', 'int', '1024', 'any', 's'],
  ['max_grant_version', 'int', '2', 'any', 's'],
  ['max_event_channels', 'int', '1023', 'any', 's'],
  ['nomigrate', 'bool', '0', 'any', 's'],
  ['driver_domain', 'bool', '0', 'any', 'i'],
  ['device_tree', 'path', '-', 'any', 'i'],
  ['passthrough', 'string', 'default', 'any', 'i'],
  ['xend_suspend_evtchn_compat', 'bool', '0', 'any', 's'],
  ['vmtrace_buf_kb', 'int', '0', 'any', 'i'],
  ['vpmu', 'bool', '0', 'any', 'i'],
  ['xenstore_feature_mask', 'int', '-', 'any', 'i'],
  ['xenstore_quota', 'list', '-', 'any', 'i'],
  // Devices
  ['disk', 'list', '-', 'any', 'i'],
  ['vif', 'list', '-', 'any', 'i'],
  ['vtpm', 'list', '-', 'any', 'i'],
  ['p9', 'list', '-', 'any', 'i'],
  ['pvcalls', 'list', '-', 'any', 'i'],
  ['vfb', 'list', '-', 'any', 'i'],
  ['vkb', 'list', '-', 'any', 'i'],
  ['vdispl', 'list', '-', 'any', 'i'],
  ['vsnd', 'list', '-', 'any', 'i'],
  ['channel', 'list', '-', 'any', 'i'],
  ['virtio', 'list', '-', 'any', 'i'],
  ['usbctrl', 'list', '-', 'any', 'i'],
  ['usbdev', 'list', '-', 'any', 'i'],
  ['pci', 'list', '-', 'any', 'i'],
  ['pci_permissive', 'bool', '0', 'any', 'i'],
  ['pci_msitranslate', 'bool', '0', 'any', 'i'],
  ['pci_seize', 'bool', '0', 'any', 'i'],
  ['pci_power_mgmt', 'bool', '0', 'any', 'i'],
  ['rdm', 'string', '-', 'any', 'i'],
  ['rdm_mem_boundary', 'MB', '2048', 'hvm', 'i'],
  ['gfx_passthru', 'bool-or-string', '0', 'hvm', 'i'],
  ['dtdev', 'list', '-', 'any', 'i'],
  ['ioports', 'list', '-', 'any', 'i'],
  ['iomem', 'list', '-', 'any', 'i'],
  ['irqs', 'list', '-', 'any', 'i'],
  ['dm_restrict', 'bool', '0', 'hvm', 'i'],
  ['device_model_user', 'string', '-', 'hvm', 'i'],
  ['tee', 'string', 'none', 'any', 'i'],
  // PV and HVM platform
  ['e820_host', 'bool', '0', 'pv', 'i'],
  ['boot', 'string', 'cd', 'hvm', 'i'],
  ['hdtype', 'string', 'ide', 'hvm', 'i'],
  ['hap', 'bool', '1', 'hvm,pvh', 'i'],
  ['oos', 'bool', '1', 'hvm,pvh', 'i'],
  ['shadow_memory', 'MB', '-', 'hvm,pvh', 'i'],
  ['bios', 'string', 'seabios', 'hvm', 'i'],
  ['bios_path_override', 'path', '-', 'hvm', 'i'],
  ['pae', 'bool', '1', 'hvm', 'i'],
  ['acpi', 'bool', '1', 'hvm,pvh', 'i'],
  ['acpi_s3', 'bool', '1', 'hvm', 'i'],
  ['acpi_s4', 'bool', '1', 'hvm', 'i'],
  ['acpi_laptop_slate', 'bool', '0', 'hvm', 'i'],
  ['apic', 'bool', '1', 'hvm', 'i'],
  ['nx', 'bool', '1', 'hvm', 'i'],
  ['hpet', 'bool', '-', 'hvm,pvh', 's'],
  ['nestedhvm', 'bool', '0', 'hvm,pvh', 's'],
  ['altp2m', 'string-or-int', 'disabled', 'hvm', 'i'],
  ['altp2mhvm', 'bool', '0', 'hvm', 'i'],
  ['altp2m_count', 'int', '10', 'hvm', 'i'],
  ['cpuid', 'string-or-list', '-', 'any', 's'],
  ['acpi_firmware', 'path', '-', 'hvm', 'i'],
  ['smbios_firmware', 'path', '-', 'hvm', 'i'],
  ['smbios', 'list', '-', 'hvm', 'i'],
  ['ms_vm_genid', 'string', 'none', 'hvm', 'i'],
  ['tsc_mode', 'string-or-int', 'default', 'any', 's'],
  ['localtime', 'bool', '0', 'any', 's'],
  ['rtc_timeoffset', 'int', '0', 'any', 's'],
  ['vpt_align', 'bool', '1', 'hvm', 'i'],
  ['timer_mode', 'string-or-int', 'no_delay_for_missed_ticks', 'hvm,pvh', 'i'],
  ['mmio_hole', 'MB', '256', 'hvm', 'i'],
  ['xen_platform_pci', 'bool', '1', 'hvm', 'i'],
  ['xen_platform_pci_bar_uc', 'bool', '1', 'hvm', 'i'],
  ['viridian', 'bool-or-list', '0', 'hvm,pvh', 's'],
  ['hvm_pirq', 'bool', '-', 'hvm', 'i'],
  // HVM graphics
  ['videoram', 'MB', '-', 'hvm', 'i'],
  ['stdvga', 'bool', '0', 'hvm', 'i'],
  ['vga', 'string', 'cirrus', 'hvm', 'i'],
  ['vnc', 'bool', '1', 'hvm', 'i'],
  ['vnclisten', 'string', '127.0.0.1', 'hvm', 'i'],
  ['vncdisplay', 'int', '-', 'hvm', 'i'],
  ['vncunused', 'bool', '1', 'hvm', 'i'],
  ['vncpasswd', 'string', '-', 'hvm', 'i'],
  ['keymap', 'string', 'en-us', 'hvm', 'i'],
  ['sdl', 'bool', '0', 'hvm', 'i'],
  ['nographic', 'bool', '0', 'hvm', 'i'],
  ['spice', 'bool', '0', 'hvm', 'i'],
  ['spicehost', 'string', '-', 'hvm', 'i'],
  ['spiceport', 'int', '-', 'hvm', 'i'],
  ['spicetls_port', 'int', '-', 'hvm', 'i'],
  ['spicedisable_ticketing', 'bool', '0', 'hvm', 'i'],
  ['spicepasswd', 'string', '-', 'hvm', 'i'],
  ['spiceagent_mouse', 'bool', '1', 'hvm', 'i'],
  ['spicevdagent', 'bool', '0', 'hvm', 'i'],
  ['spice_clipboard_sharing', 'bool', '0', 'hvm', 'i'],
  ['spiceusbredirection', 'int', '0', 'hvm', 'i'],
  ['spice_image_compression', 'string', '-', 'hvm', 'i'],
  ['spice_streaming_video', 'string', '-', 'hvm', 'i'],
  // HVM hardware
  ['serial', 'string-or-list', 'vc', 'hvm', 'i'],
  ['soundhw', 'string', '-', 'hvm', 'i'],
  ['usb', 'bool', '0', 'hvm', 'i'],
  ['usbversion', 'int', '0', 'hvm', 'i'],
  ['usbdevice', 'string-or-list', '-', 'hvm', 'i'],
  ['vkb_device', 'bool', '1', 'hvm', 'i'],
  ['vendor_device', 'string', 'none', 'hvm', 'i'],
  // Device model
  ['device_model_version', 'string', 'qemu-xen', 'any', 'i'],
  ['device_model_override', 'path', '-', 'any', 'i'],
  ['stubdomain_kernel', 'path', '-', 'hvm', 'i'],
  ['stubdomain_cmdline', 'string', '-', 'hvm', 'i'],
  ['stubdomain_ramdisk', 'path', '-', 'hvm', 'i'],
  ['stubdomain_memory', 'MB', '-', 'hvm', 'i'],
  ['device_model_stubdomain_override', 'bool', '0', 'hvm', 'i'],
  ['device_model_stubdomain_seclabel', 'string', '-', 'hvm', 'i'],
  ['device_model_args', 'list', '-', 'any', 'i'],
  ['device_model_args_pv', 'list', '-', 'pv', 'i'],
  ['device_model_args_hvm', 'list', '-', 'hvm', 'i'],
  // Architecture specific
  ['gic_version', 'string', 'default', 'any', 'i'],
  ['vuart', 'string', '-', 'any', 'i'],
  ['sve', 'string-or-int', '-', 'any', 'i'],
  ['llc_colors', 'list', '-', 'any', 'i'],
  ['nr_spis', 'int', '-', 'any', 'i'],
  ['trap_unmapped_accesses', 'bool', '1', 'any', 'i'],
  ['arm_sci', 'string', '-', 'any', 'i'],
  ['mca_caps', 'list', '-', 'hvm', 'i'],
  ['msr_relaxed', 'bool', '0', 'any', 'i'],
];

export const OPTIONS: ReadonlyMap<string, Option> = new Map(
  rows.map(([key, type, byDefault, guests, status]) => [
    key,
    {
      key,
      type,
      byDefault: byDefault === '-' ? undefined : byDefault,
      guests,
      status: status === 's' ? 'supported' : 'ignored',
    },
  ]),
);

/** Keys that xl reads, or read once, without naming them in its manual page. All are ignored. */
const undocumented = new Set(
  'device_model display features firmware_override opengl pvh vif2 vncviewer xauthority'.split(' '),
);

/** Warns of every setting that has no effect. */
export function warnOfIgnored(config: Config, guest: GuestType, warn: (line: string) => void): void {
  for (const setting of config.settings.values()) {
    const reason = whyIgnored(setting, guest);
    const { file, line } = setting.place;
    if (reason) warn(`${file}:${line}: warning: '${setting.key}' ${reason} and is ignored`);
  }
}

function whyIgnored({ key, value }: Setting, guest: GuestType): string | undefined {
  const option = OPTIONS.get(key);
  if (!option) return undocumented.has(key) ? 'is out of date' : 'is not an option of xl.cfg';
  if (option.status === 'supported' || asksForDefault(option, value)) return undefined;
  if (option.guests === 'any' || option.guests.split(',').includes(guest)) return 'is not supported yet';
  return `has no meaning for a ${guest} guest`;
}

function asksForDefault(option: Option, value: Value): boolean {
  return value.kind === 'list' ? value.items.length === 0 : value.text === (option.byDefault ?? '');
}
