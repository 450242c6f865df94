/**
 * Builds a PVH domain's memory: RAM, kernel, modules, start info, ACPI tables, special pages and the first vCPU.
 *
 *   0 ................. RAM ................. min(memory, 0xfc000000)      the rest from 4 GiB on
 *   kernel at its ELF addresses, then hvm_start_info with all that it names but the ramdisk, then the ramdisk
 *   0xfc000000 ACPI tables | 0xfeff8000 special pages (XenStore, console)
 *
 * @xen docs/misc/pvh.pandoc
 */
import {
  GNTTAB_RESERVED_CONSOLE,
  GNTTAB_RESERVED_XENSTORE,
  GTF_permit_access,
  grant_entry_v1,
} from '../../abi/grant_table.ts';
import { E820_ACPI, E820_RAM, E820_RESERVED } from '../../abi/hvm_e820.ts';
import {
  HIGH_RAM_START,
  HVM_SPECIAL_END,
  HVM_SPECIAL_START,
  PVH_LOW_RAM_END,
  specialGfn,
} from '../../abi/hvm_layout.ts';
import {
  HVM_PARAM_CONSOLE_EVTCHN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_STORE_PFN,
} from '../../abi/hvm_params.ts';
import {
  hvm_memmap_table_entry,
  hvm_modlist_entry,
  hvm_start_info,
  XEN_HVM_START_MAGIC_VALUE,
} from '../../abi/hvm_start_info.ts';
import { Mem } from '../../base/mem.ts';
import { utf8 } from '../../base/text.ts';
import type { Kernel as Dom0, E820Entry, Mapping } from '../../kernel/index.ts';
import type { Kernel } from '../loader/kernel.ts';
import { buildAcpi } from './acpi.ts';
import { pvhContext } from './cpu-context.ts';
import { BuildError } from './errors.ts';

export interface PvhSpec {
  readonly domid: number;
  /** Bytes, a multiple of 4096. */
  readonly memory: number;
  /** All vCPUs that there can be, and how many of them are online at the start. */
  readonly vcpus: number;
  readonly online: number;
  /** It has a grant table. */
  readonly hasGrants: boolean;
  readonly kernel: Kernel;
  readonly ramdisk: Uint8Array | undefined;
  readonly cmdline: string;
}

export interface BuiltDomain {
  readonly storeGfn: number;
  readonly storePort: number;
  readonly consoleGfn: number;
  readonly consolePort: number;
}

const DOM0 = 0;
const PAGE = 4096;
const pageUp = (n: number): number => Math.ceil(n / PAGE) * PAGE;
/** Frames mapped at a time while something is copied in. */
const COPY_FRAMES = 512;

export function buildPvh(dom0: Dom0, spec: PvhSpec): BuiltDomain {
  const low = Math.min(spec.memory, PVH_LOW_RAM_END);
  const layout = place(spec, low);
  const acpi = buildAcpi({ vcpus: spec.vcpus, online: spec.online });
  populate(dom0, spec, low, acpi);
  const map = memoryMap(spec.memory, low, acpi);
  dom0.domctl.setMemoryMap(spec.domid, map);
  for (const s of spec.kernel.segments) copyIn(dom0, spec.domid, s.paddr, s.data);
  if (spec.ramdisk) copyIn(dom0, spec.domid, layout.ramdisk, spec.ramdisk);
  copyIn(dom0, spec.domid, layout.startInfo, startInfo(spec, layout, map, acpi.rsdp));
  copyIn(dom0, spec.domid, acpi.base, acpi.bytes);
  const built = specialPages(dom0, spec.domid);
  if (spec.hasGrants) seedGrants(dom0, spec.domid, built);
  dom0.domctl.setHvmContext(spec.domid, pvhContext(spec.kernel.entry32 as number, layout.startInfo));
  return built;
}

/** What is loaded. */
export type PvhImages = Pick<PvhSpec, 'kernel' | 'ramdisk' | 'cmdline'>;

interface Layout {
  readonly ramdisk: number;
  readonly startInfo: number;
}

/**
 * Where the parts go; they must all fit in the RAM below the MMIO hole. A 32-bit Linux reads the start info when it has
 * mapped its own image and some 2 MiB more, so the ramdisk comes last.
 */
export function place(spec: PvhImages, low: number): Layout {
  const { segments } = spec.kernel;
  const end = Math.max(...segments.map((s) => s.paddr + s.memsz));
  const startInfo = pageUp(end);
  const ramdisk = startInfo + 2 * PAGE + pageUp(utf8(spec.cmdline).length + 1);
  const needed = pageUp(ramdisk + (spec.ramdisk?.length ?? 0));
  if (needed > low) {
    const mib = (n: number): string => `${Math.ceil(n / (1 << 20))} MiB`;
    throw new BuildError(
      'memory',
      `kernel and ramdisk need ${mib(needed)} of memory, the domain has ${mib(low)}`,
    );
  }
  return { ramdisk, startInfo };
}

interface Acpi {
  readonly base: number;
  readonly bytes: Uint8Array;
  readonly rsdp: number;
}

function populate(dom0: Dom0, spec: PvhSpec, low: number, acpi: Acpi): void {
  const { domctl } = dom0;
  domctl.populatePhysmap(spec.domid, 0, low / PAGE);
  if (spec.memory > low)
    domctl.populatePhysmap(spec.domid, HIGH_RAM_START / PAGE, (spec.memory - low) / PAGE);
  domctl.populatePhysmap(spec.domid, acpi.base / PAGE, pageUp(acpi.bytes.length) / PAGE);
}

function memoryMap(memory: number, low: number, acpi: Acpi): E820Entry[] {
  const map = [
    { addr: 0, size: low, type: E820_RAM },
    { addr: acpi.base, size: acpi.bytes.length, type: E820_ACPI },
    { addr: HVM_SPECIAL_START, size: HVM_SPECIAL_END - HVM_SPECIAL_START, type: E820_RESERVED },
  ];
  if (memory > low) map.push({ addr: HIGH_RAM_START, size: memory - low, type: E820_RAM });
  return map;
}

/** Writes bytes at a guest-physical address. */
function copyIn(dom0: Dom0, domid: number, paddr: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    const at = paddr + done;
    const offset = at % PAGE;
    const n = Math.min(bytes.length - done, COPY_FRAMES * PAGE - offset);
    const first = Math.floor(at / PAGE);
    const frames = Array.from({ length: Math.ceil((offset + n) / PAGE) }, (_, i) => first + i);
    const window: Mapping = dom0.memory.mapForeign(domid, frames);
    window.write(offset, bytes.subarray(done, done + n));
    window.close();
    done += n;
  }
}

/** Start info, module list, memory map and command line, as one block that starts at `layout.startInfo`. */
export function startInfo(
  spec: PvhImages,
  layout: Layout,
  map: readonly E820Entry[],
  rsdp: number,
): Uint8Array {
  const s = hvm_start_info;
  const modlist = s.$.size;
  const memmap = modlist + hvm_modlist_entry.$.size;
  const cmdline = memmap + map.length * hvm_memmap_table_entry.$.size;
  const text = utf8(spec.cmdline);
  const m = Mem.alloc(cmdline + text.length + 1);
  s.magic.set(m, 0, XEN_HVM_START_MAGIC_VALUE);
  s.version.set(m, 0, 1);
  s.cmdline_paddr.set(m, 0, layout.startInfo + cmdline);
  s.rsdp_paddr.set(m, 0, rsdp);
  s.memmap_paddr.set(m, 0, layout.startInfo + memmap);
  s.memmap_entries.set(m, 0, map.length);
  if (spec.ramdisk) {
    s.nr_modules.set(m, 0, 1);
    s.modlist_paddr.set(m, 0, layout.startInfo + modlist);
    hvm_modlist_entry.paddr.set(m, modlist, layout.ramdisk);
    hvm_modlist_entry.size.set(m, modlist, spec.ramdisk.length);
  }
  map.forEach((entry, i) => {
    const at = memmap + i * hvm_memmap_table_entry.$.size;
    hvm_memmap_table_entry.addr.set(m, at, entry.addr);
    hvm_memmap_table_entry.size.set(m, at, entry.size);
    hvm_memmap_table_entry.type.set(m, at, entry.type);
  });
  m.write(cmdline, text);
  return m.copy(0, m.size);
}

/** The rings' pages and ports, and the parameters that tell the guest. */
function specialPages(dom0: Dom0, domid: number): BuiltDomain {
  const { domctl } = dom0;
  const storeGfn = specialGfn('xenstore');
  const consoleGfn = specialGfn('console');
  domctl.populatePhysmap(domid, storeGfn, 1);
  domctl.populatePhysmap(domid, consoleGfn, 1);
  const storePort = domctl.allocUnboundFor(domid);
  const consolePort = domctl.allocUnboundFor(domid);
  domctl.hvmSetParam(domid, HVM_PARAM_STORE_PFN, storeGfn);
  domctl.hvmSetParam(domid, HVM_PARAM_STORE_EVTCHN, storePort);
  domctl.hvmSetParam(domid, HVM_PARAM_CONSOLE_PFN, consoleGfn);
  domctl.hvmSetParam(domid, HVM_PARAM_CONSOLE_EVTCHN, consolePort);
  return { storeGfn, storePort, consoleGfn, consolePort };
}

/** Grants the rings' pages to domain 0, for services that want no more than that. */
function seedGrants(dom0: Dom0, domid: number, { consoleGfn, storeGfn }: BuiltDomain): void {
  const table = dom0.memory.mapGrantTable(domid);
  const grant = (ref: number, gfn: number): void => {
    const entry = table.addr(ref * grant_entry_v1.$.size);
    grant_entry_v1.frame.set(table.mem, entry, gfn);
    grant_entry_v1.domid.set(table.mem, entry, DOM0);
    grant_entry_v1.flags.set(table.mem, entry, GTF_permit_access);
  };
  grant(GNTTAB_RESERVED_CONSOLE, consoleGfn);
  grant(GNTTAB_RESERVED_XENSTORE, storeGfn);
  table.close();
}
