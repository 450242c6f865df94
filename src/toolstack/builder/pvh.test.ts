import { beforeEach, describe, expect, it } from 'vitest';
import { XEN_X86_EMU_LAPIC } from '../../abi/arch_x86.ts';
import { XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm } from '../../abi/domctl.ts';
import { GNTTAB_RESERVED_CONSOLE, GNTTAB_RESERVED_XENSTORE } from '../../abi/grant_table.ts';
import { hvm_modlist_entry, hvm_start_info, XEN_HVM_START_MAGIC_VALUE } from '../../abi/hvm_start_info.ts';
import { silent } from '../../base/log.ts';
import { Mem } from '../../base/mem.ts';
import { cString } from '../../base/text.ts';
import { Dom0Gate } from '../../hypervisor/index.ts';
import { World } from '../../hypervisor/testing/world.ts';
import { type Kernel as Dom0, startKernel } from '../../kernel/index.ts';
import type { Kernel } from '../loader/kernel.ts';
import { buildPvh, type PvhSpec } from './pvh.ts';

const MIB = 1 << 20;
const PAGE = 4096;
/** One page of code at 1 MiB. */
const KERNEL = {
  segments: [{ paddr: MIB, memsz: PAGE, data: Uint8Array.of(0xf4) }],
  entry32: MIB,
} as unknown as Kernel;
const START_INFO = MIB + PAGE;

let dom0: Dom0;
let domid: number;
beforeEach(() => {
  dom0 = startKernel(new Dom0Gate(new World().hv), { after: () => ({ cancel: () => {} }) }, silent);
  domid = dom0.domctl.createDomain({
    handle: new Uint8Array(16),
    flags: XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
    emulationFlags: XEN_X86_EMU_LAPIC,
    maxVcpus: 2,
    maxEvtchnPort: 1023,
    maxGrantFrames: 4,
    maxMaptrackFrames: 4,
    grantVersion: 2,
  });
  dom0.domctl.maxVcpus(domid, 2);
  dom0.domctl.maxMem(domid, 8 * 1024);
});

const build = (more: Partial<PvhSpec> = {}) =>
  buildPvh(dom0, {
    domid,
    memory: 4 * MIB,
    vcpus: 2,
    online: 2,
    hasGrants: true,
    kernel: KERNEL,
    ramdisk: undefined,
    cmdline: '',
    ...more,
  });

function read(paddr: number, length: number): Uint8Array {
  const page = dom0.memory.mapForeign(domid, [Math.floor(paddr / PAGE)], true);
  const bytes = page.read(paddr % PAGE, length);
  page.close();
  return bytes;
}

describe('a PVH domain that was built', () => {
  it("lets domain 0 map its rings by grant, at the table's reserved entries", () => {
    const { consoleGfn, storeGfn } = build();
    for (const [ref, gfn] of [
      [GNTTAB_RESERVED_CONSOLE, consoleGfn],
      [GNTTAB_RESERVED_XENSTORE, storeGfn],
    ] as const) {
      const granted = dom0.memory.mapGrants(domid, [ref]);
      const foreign = dom0.memory.mapForeign(domid, [gfn]);
      expect(granted.addr(0)).toBe(foreign.addr(0));
      granted.close();
      foreign.close();
    }
  });

  it('needs no grant table', () => {
    build({ hasGrants: false });
    expect(() => dom0.memory.mapGrants(domid, [GNTTAB_RESERVED_CONSOLE])).toThrow();
  });

  it('has its start info right behind the kernel, however large the ramdisk', () => {
    build({ ramdisk: new Uint8Array(2 * MIB).fill(7) });
    const info = new Mem(read(START_INFO, hvm_start_info.$.size).slice().buffer);
    expect(hvm_start_info.magic.get(info, 0)).toBe(XEN_HVM_START_MAGIC_VALUE);
    const list = Number(hvm_start_info.modlist_paddr.get(info, 0));
    expect(list - START_INFO).toBeLessThan(PAGE);
    const module = new Mem(read(list, hvm_modlist_entry.$.size).slice().buffer);
    const ramdisk = Number(hvm_modlist_entry.paddr.get(module, 0));
    expect(Number(hvm_modlist_entry.size.get(module, 0))).toBe(2 * MIB);
    expect([...read(ramdisk, 1), ...read(ramdisk + 2 * MIB - 1, 1)]).toEqual([7, 7]);
  });

  it('has its command line in UTF-8', () => {
    build({ cmdline: 'name=G\u00f6del' });
    const at = new DataView(read(START_INFO, hvm_start_info.$.size).slice().buffer).getUint32(
      hvm_start_info.cmdline_paddr.offset,
      true,
    );
    expect(cString(read(at, 64))).toBe('name=G\u00c3\u00b6del');
  });
});
