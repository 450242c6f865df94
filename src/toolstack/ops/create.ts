/** Creating a domain from its configuration, up to the moment before it is unpaused. */
import { XEN_X86_EMU_HPET, XEN_X86_EMU_IOAPIC, XEN_X86_EMU_LAPIC } from '../../abi/arch_x86.ts';
import { XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm, XEN_DOMCTL_CDF_nested_virt } from '../../abi/domctl.ts';
import { HVM_PARAM_HPET_ENABLED, HVM_PARAM_VIRIDIAN } from '../../abi/hvm_params.ts';
import { type Kernel as Dom0, KernelError } from '../../kernel/index.ts';
import { BuildError } from '../builder/errors.ts';
import { type BuiltDomain, buildPvh } from '../builder/pvh.ts';
import type { Kernel } from '../loader/kernel.ts';
import type { DomainConfig } from '../xlcfg/domain-config.ts';
import { parseUuid } from '../xlcfg/uuid.ts';
import { applyCpuid } from './cpuid.ts';

export interface Images {
  readonly kernel: Kernel;
  readonly ramdisk: Uint8Array | undefined;
}

export interface CreatedDomain extends BuiltDomain {
  readonly domid: number;
}

/** What Xen allows a domain beyond its memory: special pages, ACPI, tables. KiB. */
const MAXMEM_SLACK_KIB = 1024;
const DEFAULT_GRANT_FRAMES = -1;
const DEFAULT_GRANT_VERSION = 2;

/**
 * Builds a paused PVH domain. On failure nothing of it is left. Throws BuildError. `warn` is told what the domain does
 * without.
 */
export async function createDomain(
  dom0: Dom0,
  config: DomainConfig,
  images: Images,
  warn: (line: string) => void,
): Promise<CreatedDomain> {
  const domid = refusedAs('refused', config, () =>
    dom0.domctl.createDomain({
      handle: uuidBytes(config.uuid),
      flags: XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | (config.nestedhvm ? XEN_DOMCTL_CDF_nested_virt : 0),
      emulationFlags: XEN_X86_EMU_LAPIC | (config.hpet ? XEN_X86_EMU_HPET | XEN_X86_EMU_IOAPIC : 0),
      maxVcpus: config.maxVcpus,
      maxEvtchnPort: config.maxEventChannels,
      maxGrantFrames: config.maxGrantFrames ?? DEFAULT_GRANT_FRAMES,
      maxMaptrackFrames: config.maxMaptrackFrames ?? DEFAULT_GRANT_FRAMES,
      grantVersion: config.maxGrantVersion ?? DEFAULT_GRANT_VERSION,
    }),
  );
  try {
    return refusedAs('refused', config, () => ({ domid, ...fill(dom0, domid, config, images, warn) }));
  } catch (e) {
    await dom0.domctl.destroy(domid);
    throw e;
  }
}

function fill(
  dom0: Dom0,
  domid: number,
  config: DomainConfig,
  images: Images,
  warn: (line: string) => void,
): BuiltDomain {
  const { domctl } = dom0;
  const lacking = applyCpuid(dom0, domid, config.cpuid);
  if (lacking.length > 0)
    warn(`${config.name}: warning: 'cpuid' asks for what the CPU has not: ${lacking.join(', ')}`);
  domctl.maxVcpus(domid, config.maxVcpus);
  if (config.cpuWeight !== undefined || config.cap !== undefined)
    domctl.setScheduling(domid, config.cpuWeight, config.cap ?? 0);
  domctl.maxMem(domid, config.maxMemkb + MAXMEM_SLACK_KIB);
  if (config.rtcTimeoffset !== 0) domctl.setTimeOffset(domid, config.rtcTimeoffset);
  if (config.hpet) domctl.hvmSetParam(domid, HVM_PARAM_HPET_ENABLED, 1);
  if (config.viridian !== 0) domctl.hvmSetParam(domid, HVM_PARAM_VIRIDIAN, config.viridian);
  return buildPvh(dom0, {
    domid,
    memory: config.targetMemkb * 1024,
    vcpus: config.maxVcpus,
    online: config.vcpus,
    hasGrants: config.maxGrantFrames !== 0,
    kernel: images.kernel,
    ramdisk: images.ramdisk,
    cmdline: config.cmdline,
  });
}

function uuidBytes(uuid: string): Uint8Array {
  const digits = (parseUuid(uuid) ?? uuid).replaceAll('-', '');
  return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/** Runs one step; the hypervisor's refusal becomes the toolstack's error. */
function refusedAs<T>(code: 'refused', config: DomainConfig, run: () => T): T {
  try {
    return run();
  } catch (e) {
    if (e instanceof BuildError) throw new BuildError(e.code, `${config.name}: ${e.message}`, { cause: e });
    if (!(e instanceof KernelError)) throw e;
    if (e.code === 'ENOMEM') {
      const mib = Math.ceil(config.targetMemkb / 1024);
      throw new BuildError(
        'memory',
        `${config.name}: the machine has no room for ${mib} MiB (${e.message})`,
        { cause: e },
      );
    }
    throw new BuildError(code, `${config.name}: ${e.message}`, { cause: e });
  }
}
