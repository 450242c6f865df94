import { beforeEach, describe, expect, it } from 'vitest';
import * as abi from '../../abi/grant_table.ts';
import { frameInfo } from '../../machine/machine.ts';
import { P2M, p2mEntry, p2mMfn, p2mType } from '../../machine/p2m.ts';
import { makeWorld, type World } from '../evtchn/testing/world.ts';
import type { Caller } from '../guest-copy.ts';
import { gfnToMfn, physmapEntry, removePage } from '../mm/physmap.ts';
import { destroyGrants, doGrantTableOp, grantFrame, initGrants } from './index.ts';

const ARGS = 0x3000;
const HOLE = 0x8000; // a dom0 gfn above its RAM
let w: World;
let dom: number;
let c0: Caller;
let c: Caller;
beforeEach(() => {
  w = makeWorld();
  dom = w.domain(1);
  c0 = w.caller(w.dom0);
  c = w.caller(dom);
});

interface AnyStruct {
  [field: string]: { set(m: unknown, a: number, v: number): void; get(m: unknown, a: number): number };
}

function call(by: Caller, cmd: number, layout: unknown, args: Record<string, number>, count = 1) {
  const s = layout as AnyStruct;
  const at = gfnToMfn(w.hv, by.dom, ARGS >> 12) * 4096;
  w.hv.mem.fill(at, 64);
  for (const [k, v] of Object.entries(args)) s[k]!.set(w.hv.mem, at, v);
  by.bind(by.vcpu, true);
  by.cpu = 0;
  const code = doGrantTableOp(by, cmd, ARGS, count);
  return {
    code,
    out: (field: string) => s[field]!.get(w.hv.mem, at),
    status: () => s.status!.get(w.hv.mem, at),
  };
}

const page = (d: number, gfn: number) => gfnToMfn(w.hv, d, gfn) * 4096;
const entry = (d: number, ref: number) => grantFrame(w.hv, d, ref >> 9, false) * 4096 + (ref & 511) * 8;
function grant(ref: number, gfn: number, flags: number = abi.GTF_permit_access, to = 0): void {
  w.hv.mem.setU16(entry(dom, ref), flags);
  w.hv.mem.setU16(entry(dom, ref) + 2, to);
  w.hv.mem.setU32(entry(dom, ref) + 4, gfn);
}
const flagsOf = (ref: number) => w.hv.mem.u16(entry(dom, ref));
const map = (args: Record<string, number>) =>
  call(c0, abi.GNTTABOP_map_grant_ref, abi.gnttab_map_grant_ref, {
    host_addr: HOLE << 12,
    flags: abi.GNTMAP_host_map,
    dom: 1,
    ref: 9,
    ...args,
  });
const unmap = (handle: number, addr = HOLE << 12) =>
  call(c0, abi.GNTTABOP_unmap_grant_ref, abi.gnttab_unmap_grant_ref, { host_addr: addr, handle }).status();
const count = (mfn: number) => frameInfo.count.get(w.hv.mem, w.hv.machine.frame(mfn));

describe('mapping', () => {
  it('puts the page into the physmap, marks the entry, and undoes both', () => {
    grant(9, 5);
    const mfn = gfnToMfn(w.hv, dom, 5);
    const m = map({});
    expect([m.code, m.status(), m.out('dev_bus_addr')]).toEqual([0, 0, mfn * 4096]);
    expect(physmapEntry(w.hv, w.dom0, HOLE)).toBe(p2mEntry(mfn, P2M.grantRw));
    expect([flagsOf(9), count(mfn)]).toEqual([1 | abi.GTF_reading | abi.GTF_writing, 2]);
    expect(unmap(m.out('handle'))).toBe(0);
    expect([physmapEntry(w.hv, w.dom0, HOLE), flagsOf(9), count(mfn)]).toEqual([0, 1, 1]);
  });

  it('is read-only where that is all that is granted', () => {
    grant(9, 5, abi.GTF_permit_access | abi.GTF_readonly);
    expect(map({}).status()).toBe(-1);
    expect(flagsOf(9)).toBe(5);
    expect(map({ flags: abi.GNTMAP_host_map | abi.GNTMAP_readonly }).status()).toBe(0);
    expect(p2mType(physmapEntry(w.hv, w.dom0, HOLE))).toBe(P2M.grantRo);
    expect(flagsOf(9)).toBe(5 | abi.GTF_reading);
  });

  it('counts several users of one entry', () => {
    grant(9, 5);
    const [a, b] = [map({}).out('handle'), 0];
    const second = map({ host_addr: (HOLE + 1) << 12, flags: abi.GNTMAP_host_map | abi.GNTMAP_readonly });
    expect([second.status(), b]).toEqual([0, 0]);
    const handle = second.out('handle');
    unmap(a);
    expect(flagsOf(9)).toBe(1 | abi.GTF_reading);
    unmap(handle, (HOLE + 1) << 12);
    expect(flagsOf(9)).toBe(1);
  });

  it('refuses what is not granted, not there, or not for such a domain', () => {
    expect(map({}).status()).toBe(-1);
    grant(9, 5, abi.GTF_permit_access, 7);
    expect(map({}).status()).toBe(-1);
    grant(9, 4000);
    expect(map({}).status()).toBe(-9);
    expect(flagsOf(9)).toBe(1);
    expect(map({ ref: 512 * 4 }).status()).toBe(-3);
    expect(map({ dom: 44 }).status()).toBe(-2);
    grant(9, 5);
    expect(map({ flags: 0 }).status()).toBe(-3);
    expect(map({ flags: abi.GNTMAP_host_map | abi.GNTMAP_device_map }).status()).toBe(-1);
    expect(map({ host_addr: 0x1000 }).status()).toBe(-1);
    expect(map({ host_addr: -4096 }).status()).toBe(-1);
  });

  it('refuses handles that are not in use', () => {
    expect(unmap(0)).toBe(-4);
    grant(9, 5);
    const handle = map({}).out('handle');
    expect([unmap(handle, 0x5000), unmap(handle), unmap(handle), unmap(1 << 30)]).toEqual([-1, 0, -4, -4]);
  });

  it('keeps the page alive when its owner gives it up or dies', () => {
    grant(9, 5);
    const mfn = gfnToMfn(w.hv, dom, 5);
    w.hv.mem.setU32(mfn * 4096, 0x1234);
    const handle = map({}).out('handle');
    removePage(w.hv, dom, 5);
    destroyGrants(w.hv, dom);
    expect(w.hv.mem.u32(p2mMfn(physmapEntry(w.hv, w.dom0, HOLE)) * 4096)).toBe(0x1234);
    const free = w.hv.machine.freeFrames;
    expect(unmap(handle)).toBe(0);
    expect(w.hv.machine.freeFrames).toBe(free + 1);
  });

  it('ends with the mapping domain', () => {
    grant(9, 5);
    map({});
    destroyGrants(w.hv, w.dom0);
    expect([flagsOf(9), count(gfnToMfn(w.hv, dom, 5))]).toEqual([1, 1]);
  });

  it('runs out of handles, and reuses them', () => {
    grant(9, 5);
    let last = 0;
    for (let i = 0; i < 4 * 256; i++) {
      const m = map({ host_addr: (HOLE + i) << 12, dom: 1 });
      if (m.status() !== 0) throw new Error(`map ${i}: ${m.status()}`);
      last = m.out('handle');
      if (i > 0) continue;
      expect(last).toBe(0);
    }
    expect(unmap(last, (HOLE + 1023) << 12)).toBe(0);
    expect(map({ host_addr: (HOLE + 1023) << 12 }).out('handle')).toBe(last);
  });
});

describe('copying', () => {
  const copy = (by: Caller, args: Record<string, number>) =>
    call(by, abi.GNTTABOP_copy, abi.gnttab_copy, args).status();

  it('moves bytes from a granted page into one of the caller', () => {
    grant(9, 5, abi.GTF_permit_access | abi.GTF_readonly);
    w.hv.mem.write(page(dom, 5) + 100, Uint8Array.of(1, 2, 3, 4));
    const args = {
      source_ref: 9,
      source_domid: 1,
      source_offset: 100,
      dest_gmfn: 6,
      dest_domid: 0x7ff0,
      len: 4,
    };
    expect(copy(c0, { ...args, flags: abi.GNTCOPY_source_gref })).toBe(0);
    expect([...w.hv.mem.copy(page(w.dom0, 6), 4)]).toEqual([1, 2, 3, 4]);
    expect(flagsOf(9)).toBe(5);
  });

  it('keeps within a page and within rights', () => {
    grant(9, 5, abi.GTF_permit_access | abi.GTF_readonly);
    const to = {
      dest_ref: 9,
      dest_domid: 1,
      source_gmfn: 6,
      source_domid: 0x7ff0,
      flags: abi.GNTCOPY_dest_gref,
    };
    expect(copy(c0, { ...to, len: 8 })).toBe(-1);
    expect(copy(c0, { ...to, len: 8, dest_offset: 4090 })).toBe(-10);
    expect(copy(c0, { ...to, source_domid: 1, len: 8 })).toBe(-8);
    expect(copy(c0, { ...to, source_gmfn: 4000, len: 8 })).toBe(-9);
    expect(copy(c0, { ...to, dest_domid: 55, len: 8 })).toBe(-2);
  });

  it('honours the part of a page that a v2 entry grants, and passes a transitive one on', () => {
    const third = w.domain(2);
    const version = (by: Caller) =>
      call(by, abi.GNTTABOP_set_version, abi.gnttab_set_version, { version: 2 }).code;
    expect([version(c), version(w.caller(third))]).toEqual([0, 0]);
    const at = (d: number, ref: number) => grantFrame(w.hv, d, 0, false) * 4096 + ref * 16;
    const e = abi.grant_entry_v2;
    const { mem } = w.hv;
    // third grants bytes 16..47 of its page 5 to domain 1, which passes them on to domain 0
    e.flags.set(mem, at(third, 9), abi.GTF_permit_access | abi.GTF_sub_page);
    e.domid.set(mem, at(third, 9), 1);
    e.sub_page_page_off.set(mem, at(third, 9), 16);
    e.sub_page_length.set(mem, at(third, 9), 32);
    e.sub_page_frame.set(mem, at(third, 9), 5);
    e.flags.set(mem, at(dom, 10), abi.GTF_transitive);
    e.domid.set(mem, at(dom, 10), 0);
    e.transitive_trans_domid.set(mem, at(dom, 10), 2);
    e.transitive_gref.set(mem, at(dom, 10), 9);
    mem.write(page(third, 5) + 16, Uint8Array.of(7, 8));
    const from = (source_offset: number, len: number) =>
      copy(c0, {
        source_ref: 10,
        source_domid: 1,
        source_offset,
        dest_gmfn: 6,
        dest_domid: 0x7ff0,
        len,
        flags: abi.GNTCOPY_source_gref,
      });
    expect([from(16, 2), from(15, 2), from(40, 16)]).toEqual([0, -1, -1]);
    expect([...mem.copy(page(w.dom0, 6), 2)]).toEqual([7, 8]);
    const m = map({ ref: 10 });
    expect(m.status()).toBe(-1);
    for (const d of [dom, third]) {
      const status = grantFrame(w.hv, d, 0, true) * 4096;
      expect(mem.slice(status, 64).every((b) => b === 0)).toBe(true);
    }
  });
});

describe('the table', () => {
  it('grows as asked, up to its limit', () => {
    const size = () => {
      const q = call(c, abi.GNTTABOP_query_size, abi.gnttab_query_size, { dom: 0x7ff0 });
      return [q.status(), q.out('nr_frames'), q.out('max_nr_frames')];
    };
    expect(size()).toEqual([0, 1, 4]);
    const setup = (nr_frames: number) =>
      call(c, abi.GNTTABOP_setup_table, abi.gnttab_setup_table, {
        dom: 0x7ff0,
        nr_frames,
        frame_list: 0x4000,
      });
    expect(setup(3).status()).toBe(0);
    expect(w.hv.mem.u64(page(dom, 4))).toBe(0xffff_ffff_ffff_ffffn);
    expect(size()).toEqual([0, 3, 4]);
    expect(setup(5).status()).toBe(-1);
    expect([grantFrame(w.hv, dom, 3, false) > 0, grantFrame(w.hv, dom, 4, false)]).toEqual([true, -1]);
  });

  it('changes version only while nothing but reserved entries is in use', () => {
    const set = (version: number) =>
      call(c, abi.GNTTABOP_set_version, abi.gnttab_set_version, { version }).code;
    grant(1, 5);
    grant(9, 6);
    const mapped = map({ ref: 9 }).out('handle');
    expect([set(3), set(2)]).toEqual([-22, -16]);
    unmap(mapped);
    const store = map({ ref: 1 }).out('handle');
    expect(set(2)).toBe(0);
    const v2 = grantFrame(w.hv, dom, 0, false) * 4096;
    expect([w.hv.mem.u16(v2 + 16), w.hv.mem.n64(v2 + 24), w.hv.mem.u16(v2 + 9 * 16)]).toEqual([1, 5, 0]);
    const status = grantFrame(w.hv, dom, 0, true) * 4096;
    expect(w.hv.mem.u16(status + 2)).toBe(abi.GTF_reading | abi.GTF_writing);
    unmap(store);
    expect(w.hv.mem.u16(status + 2)).toBe(0);
    const get = call(c, abi.GNTTABOP_get_version, abi.gnttab_get_version, { dom: 0x7ff0 });
    expect([get.code, get.out('version')]).toEqual([0, 2]);
    expect(set(1)).toBe(0);
    expect(w.hv.mem.u32(v2 + 8 + 4)).toBe(5);
  });

  it('swaps entries that nobody uses', () => {
    grant(9, 5);
    const swap = (ref_a: number, ref_b: number) =>
      call(c, abi.GNTTABOP_swap_grant_ref, abi.gnttab_swap_grant_ref, { ref_a, ref_b }).status();
    expect([swap(9, 11), flagsOf(9), flagsOf(11), swap(9, 5000)]).toEqual([0, 0, 1, -3]);
    map({ ref: 11 });
    expect(swap(9, 11)).toBe(-12);
  });

  it('frees everything with the domain', () => {
    destroyGrants(w.hv, dom);
    const free = w.hv.machine.freeFrames;
    initGrants(w.hv, dom, 4, 4, 2);
    grantFrame(w.hv, dom, 2, false);
    call(c, abi.GNTTABOP_set_version, abi.gnttab_set_version, { version: 2 });
    expect(w.hv.machine.freeFrames).toBeLessThan(free);
    destroyGrants(w.hv, dom);
    expect(w.hv.machine.freeFrames).toBe(free);
    expect(grantFrame(w.hv, dom, 0, false)).toBe(-1);
  });
});

describe('grant_table_op', () => {
  it('answers privileges, counts and unknown operations as Xen does', () => {
    expect(call(c, abi.GNTTABOP_query_size, abi.gnttab_query_size, { dom: 0 }).status()).toBe(-8);
    expect(call(c0, abi.GNTTABOP_query_size, abi.gnttab_query_size, { dom: 1 }).status()).toBe(0);
    expect(call(c, abi.GNTTABOP_query_size, abi.gnttab_query_size, { dom: 0x7ff0 }, 2).code).toBe(-22);
    expect(call(c, abi.GNTTABOP_dump_table, abi.gnttab_dump_table, { dom: 0x7ff0 }).code).toBe(-38);
    expect(doGrantTableOp(c, abi.GNTTABOP_copy, 0x1000_0000, 1)).toBe(-14);
  });
});
