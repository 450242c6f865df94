/** Whether VMRUN can enter what a VMCB describes. @spec APM 2 15.5.1 */
import { CPU_MAX_PHYS_BITS } from '../../../x86/cpuid.ts';
import { SEG, segment } from '../../cpu-state.ts';
import { CR0_PE, CR0_PG, CR4_PAE } from '../../mmu.ts';
import type { Core } from '../core.ts';
import { cr4Offered, eferOffered } from '../offered.ts';
import { ATTR_D, ATTR_L } from '../registers.ts';
import { injectionLegal } from './injection.ts';
import { IOPM_BYTES, MSRPM_BYTES } from './permissions.ts';
import { controls, intercepts, svmState } from './state.ts';
import { VMEXIT, vmcbControl, vmcbSave } from './vmcb.ts';

const CR0_NW = 0x2000_0000;
const CR0_CD = 0x4000_0000;
const EFER_LME = 0x100;
const EFER_SVME = 0x1000n;
const PHYSICAL = BigInt(CPU_MAX_PHYS_BITS);
const LIMIT = 2n ** PHYSICAL;
/** Memory types there are, for a field of the PAT. */
const PAT_TYPES = [0n, 1n, 4n, 5n, 6n, 7n];

/** Physical addresses from here on are not. */
export const PHYSICAL_END = Number(LIMIT);
export const patLegal = (v: bigint): boolean =>
  [0n, 8n, 16n, 24n, 32n, 40n, 48n, 56n].every((k) => PAT_TYPES.includes((v >> k) & 0xffn));

/** Whether the copies of the VMCB's two areas are in order. */
export const saveLegal = (c: Core, cr4Allowed: number): boolean =>
  controlLegal(c) && registersLegal(c, cr4Allowed);

function controlLegal(c: Core): boolean {
  const { m } = c;
  const at = controls(c);
  const map = (base: { get(mem: typeof m, a: number): bigint }, bytes: number): boolean =>
    (base.get(m, at) & ~0xfffn) + BigInt(bytes) <= LIMIT;
  if (vmcbControl.asid.get(m, at) === 0 || !intercepts(c, VMEXIT.vmrun)) return false;
  if (intercepts(c, VMEXIT.ioio) && !map(vmcbControl.iopmBase, IOPM_BYTES)) return false;
  if (intercepts(c, VMEXIT.msr) && !map(vmcbControl.msrpmBase, MSRPM_BYTES)) return false;
  if (!injectionLegal(vmcbControl.eventInjection.get(m, at))) return false;
  if (!(vmcbControl.nestedPaging.get(m, at) & 1n)) return true;
  const pat = vmcbSave.gPat.get(m, svmState.save.addr(c.cpu));
  return vmcbControl.nestedCr3.get(m, at) < LIMIT && patLegal(pat);
}

function registersLegal(c: Core, cr4Allowed: number): boolean {
  const { m } = c;
  const at = svmState.save.addr(c.cpu);
  const cr0 = vmcbSave.cr0.get(m, at);
  const cr4 = vmcbSave.cr4.get(m, at);
  const efer = vmcbSave.efer.get(m, at);
  if (!(efer & EFER_SVME) || efer & ~BigInt(eferOffered(c))) return false;
  if (cr0 >> 32n || vmcbSave.dr6.get(m, at) >> 32n || vmcbSave.dr7.get(m, at) >> 32n) return false;
  if (cr4 & ~BigInt((cr4Allowed & cr4Offered(c)) >>> 0) || vmcbSave.cr3.get(m, at) >> PHYSICAL) return false;
  return modeLegal(
    Number(cr0),
    Number(cr4),
    Number(efer),
    segment.attr.get(m, vmcbSave.seg.addr(at, SEG.cs)),
  );
}

function modeLegal(cr0: number, cr4: number, efer: number, cs: number): boolean {
  if (cr0 & CR0_NW && !(cr0 & CR0_CD)) return false;
  if (!(efer & EFER_LME) || !(cr0 & CR0_PG)) return true;
  if (!(cr4 & CR4_PAE) || !(cr0 & CR0_PE)) return false;
  return (cs & (ATTR_L | ATTR_D)) !== (ATTR_L | ATTR_D);
}
