/**
 * GNTTABOP_copy: bytes between two pages, each a page of the caller's own or one that a grant entry names. An entry is in
 * use while the copy runs, so that its owner cannot take the page back in the middle of it.
 */
import * as abi from '../../abi/grant_table.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import type { Caller } from '../guest-copy.ts';
import { frameWritten } from '../mm/code.ts';
import { domainRecord } from '../records.ts';
import { acquire, release } from './entry.ts';
import { ownPage } from './page.ts';
import { activeRecord } from './record.ts';

/** One side: the page, the part of it that may be used, and the entries in use for it (two if transitive). */
interface Side {
  mfn: number;
  start: number;
  end: number;
  held: { dom: number; ref: number }[];
}

const source: Side = { mfn: 0, start: 0, end: 0, held: [] };
const dest: Side = { mfn: 0, start: 0, end: 0, held: [] };

export function grantCopy(c: Caller, a: number): number {
  const s = c.layout(abi.gnttab_copy, abi.gnttab_copy_32);
  const { scratch } = c;
  const flags = s.flags.get(scratch, a);
  const len = s.len.get(scratch, a);
  const from = s.source_offset.get(scratch, a);
  const to = s.dest_offset.get(scratch, a);
  if (from + len > 4096 || to + len > 4096) return abi.GNTST_bad_copy_arg;
  const byRef = (bit: number): boolean => (flags & bit) !== 0;
  const sourceRef = byRef(abi.GNTCOPY_source_gref);
  const destRef = byRef(abi.GNTCOPY_dest_gref);
  try {
    const sourceFrame = (sourceRef ? s.source_ref : s.source_gmfn).get(scratch, a);
    const first = claim(c, source, sourceRef, s.source_domid.get(scratch, a), sourceFrame, true);
    if (first < 0) return first;
    const destFrame = (destRef ? s.dest_ref : s.dest_gmfn).get(scratch, a);
    const second = claim(c, dest, destRef, s.dest_domid.get(scratch, a), destFrame, false);
    if (second < 0) return second;
    if (from < source.start || from + len > source.end) return abi.GNTST_general_error;
    if (to < dest.start || to + len > dest.end) return abi.GNTST_general_error;
    c.mem.move(dest.mfn * 4096 + to, source.mfn * 4096 + from, len);
    frameWritten(c.hv, dest.mfn);
    return abi.GNTST_okay;
  } finally {
    drop(c, source, true);
    drop(c, dest, false);
  }
}

function claim(
  c: Caller,
  side: Side,
  byRef: boolean,
  domid: number,
  frame: number,
  readonly: boolean,
): number {
  const { hv } = c;
  const dom = domid === DOMID_SELF ? c.dom : hv.domain(domid);
  if (dom === 0) return abi.GNTST_bad_domain;
  if (byRef) return claimEntry(c, side, dom, frame, c.domid, readonly, true);
  if (domid !== DOMID_SELF) return abi.GNTST_permission_denied;
  side.mfn = ownPage(hv, dom, frame, false);
  side.start = 0;
  side.end = 4096;
  if (side.mfn < 0) return abi.GNTST_bad_page;
  if (!readonly && ownPage(hv, dom, frame, true) < 0) return abi.GNTST_general_error;
  return abi.GNTST_okay;
}

/** A transitive entry leads to one entry of a third domain, which must not be transitive itself. */
function claimEntry(
  c: Caller,
  side: Side,
  dom: number,
  ref: number,
  domid: number,
  readonly: boolean,
  mayPassOn: boolean,
): number {
  const { hv, mem } = c;
  const r = activeRecord;
  const act = acquire(hv, dom, ref, { domid, readonly, forMap: false });
  if (act < 0) return act;
  side.held.push({ dom, ref });
  if (r.transitive.get(mem, act) !== 0) {
    const next = hv.domain(r.transDomid.get(mem, act));
    if (!mayPassOn || next === 0 || next === dom) return abi.GNTST_general_error;
    const self = domainRecord.domid.get(mem, dom);
    return claimEntry(c, side, next, r.transRef.get(mem, act), self, readonly, false);
  }
  side.mfn = r.mfn.get(mem, act);
  side.start = r.start.get(mem, act);
  side.end = side.start + r.length.get(mem, act);
  return abi.GNTST_okay;
}

function drop(c: Caller, side: Side, readonly: boolean): void {
  for (const { dom, ref } of side.held) release(c.hv, dom, ref, readonly);
  side.held.length = 0;
}
