/** A domain's own pages by the frame number that the domain knows: the gfn, or the mfn for a PV domain. */
import { P2M, p2mMfn, p2mType } from '../../machine/p2m.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { getFrame, isDomainRam } from '../mm/frames.ts';
import { physmapEntry } from '../mm/physmap.ts';
import { DOMAIN_TYPE, domainRecord } from '../records.ts';

const isPv = (hv: Hypervisor, dom: number): boolean => domainRecord.type.get(hv.mem, dom) === DOMAIN_TYPE.pv;

/** The machine frame, -1 when `frame` is not memory of the domain's own, or not writable although that is needed. */
export function ownPage(hv: Hypervisor, dom: number, frame: number, write: boolean): number {
  if (isPv(hv, dom)) return frame < hv.machine.totalFrames && isDomainRam(hv, dom, frame) ? frame : -1;
  const entry = physmapEntry(hv, dom, frame);
  const type = p2mType(entry);
  return type === P2M.ram || (type === P2M.ramRo && !write) ? p2mMfn(entry) : -1;
}

/** The same, writable, with a reference that `putFrame` gives back. */
export function getOwnPage(hv: Hypervisor, dom: number, frame: number): number {
  const mfn = ownPage(hv, dom, frame, true);
  if (mfn >= 0) getFrame(hv, mfn);
  return mfn;
}
