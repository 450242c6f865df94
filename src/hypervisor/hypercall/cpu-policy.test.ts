import { describe, expect, it } from 'vitest';
import { XEN_CPUID_NO_SUBLEAF, xen_cpuid_leaf } from '../../abi/arch_x86.ts';
import {
  XEN_DOMCTL_CDF_nested_virt,
  XEN_DOMCTL_destroydomain,
  XEN_DOMCTL_get_cpu_policy,
  XEN_DOMCTL_set_cpu_policy,
  xen_domctl_cpu_policy,
} from '../../abi/domctl.ts';
import { XEN_E2BIG, XEN_EEXIST, XEN_EFAULT, XEN_ENOBUFS, XEN_ERANGE } from '../../abi/errno.ts';
import { policyHas } from '../hvm/cpu-policy.ts';
import { LIST, World } from '../testing/world.ts';

const o = xen_domctl_cpu_policy;
const EXT1 = 0x8000_0001;
const SVM_LEAF = 0x8000_000a;
/** In ECX of EXT1. */
const SVM = 2;

/** XEN_DOMCTL_set_cpu_policy with one leaf: its result. */
function set(w: World, domid: number, leaf: number, words: readonly number[], nr = 1, list = LIST): number {
  const at = w.dom0(LIST);
  w.hv.mem.fill(at, 4096);
  xen_cpuid_leaf.leaf.set(w.hv.mem, at, leaf);
  xen_cpuid_leaf.subleaf.set(w.hv.mem, at, XEN_CPUID_NO_SUBLEAF);
  words.forEach((word, k) => {
    w.hv.mem.setU32(xen_cpuid_leaf.a.addr(at) + 4 * k, word);
  });
  return w.domctl(XEN_DOMCTL_set_cpu_policy, domid, (u) => {
    o.nr_leaves.set(w.hv.mem, u, nr);
    o.leaves.set(w.hv.mem, u, list);
  });
}
const get = (w: World, domid: number, nr: number): number =>
  w.domctl(XEN_DOMCTL_get_cpu_policy, domid, (u) => {
    o.nr_leaves.set(w.hv.mem, u, nr);
    o.leaves.set(w.hv.mem, u, LIST);
  });

describe("a domain's CPU policy", () => {
  it('is set a leaf at a time, up to what the CPU has', () => {
    const w = new World();
    const domid = w.createDomain();
    const dom = w.hv.domain(domid);
    expect(policyHas(w.hv.mem, dom, 1, 2, 3)).toBe(false);
    expect(set(w, domid, 1, [0x12, 0, 0x8 | (1 << 5), 0xffff_ffff])).toBe(0);
    expect(policyHas(w.hv.mem, dom, 1, 2, 3)).toBe(true); // monitor
    expect(policyHas(w.hv.mem, dom, 1, 2, 5)).toBe(false); // vmx
    expect(policyHas(w.hv.mem, dom, 1, 2, 0)).toBe(false); // sse3
    expect(policyHas(w.hv.mem, dom, 0x8000_0001, 3, 29)).toBe(true);
    const room = get(w, domid, 100);
    expect(room).toBe(0);
    expect(o.nr_leaves.get(w.hv.mem, w.u)).toBeGreaterThan(40);
    expect(w.hv.mem.u32(w.dom0(LIST))).toBe(0);
  });

  it('is not set by a list that is too long, unreadable or of leaves unknown, nor once the domain runs', () => {
    const w = new World();
    const domid = w.createDomain();
    expect(set(w, domid, 1, [], 1000)).toBe(-XEN_E2BIG);
    expect(set(w, domid, 1, [], 1, 0x7fff_0000)).toBe(-XEN_EFAULT);
    expect(set(w, domid, 0x1234, [])).toBe(-XEN_ERANGE);
    expect([o.err_leaf, o.err_subleaf, o.err_msr].map((field) => field.get(w.hv.mem, w.u))).toEqual([
      0x1234,
      XEN_CPUID_NO_SUBLEAF,
      0xffff_ffff,
    ]);
    expect(get(w, domid, 3)).toBe(-XEN_ENOBUFS);
    w.unpause(domid);
    expect(set(w, domid, 1, [])).toBe(-XEN_EEXIST);
  });

  it('has SVM in a domain that was created for nested virtualisation, and in no other', () => {
    const w = new World();
    const has = (domid: number, leaf: number, word: number, bit: number): boolean =>
      policyHas(w.hv.mem, w.hv.domain(domid), leaf, word, bit);
    const nested = w.createDomain(1, 64, XEN_DOMCTL_CDF_nested_virt);
    expect([has(nested, EXT1, 2, SVM), has(nested, SVM_LEAF, 3, 0)]).toEqual([true, true]);
    expect(set(w, nested, EXT1, [0, 0, 0, 0xffff_ffff])).toBe(0);
    expect([has(nested, EXT1, 2, SVM), has(nested, SVM_LEAF, 3, 0)]).toEqual([false, false]);
    const plain = w.createDomain();
    expect(has(plain, EXT1, 2, SVM)).toBe(false);
    expect(set(w, plain, EXT1, [0, 0, 0xffff_ffff, 0xffff_ffff])).toBe(0);
    expect([has(plain, EXT1, 2, SVM), has(plain, EXT1, 2, 0)]).toEqual([false, true]);
  });

  it('goes with the domain', () => {
    const w = new World();
    const before = w.hv.machine.freeFrames;
    const domid = w.createDomain();
    set(w, domid, 1, [0, 0, 0, 0]);
    expect(w.domctl(XEN_DOMCTL_destroydomain, domid)).toBe(0);
    expect(w.hv.machine.freeFrames).toBe(before);
  });
});
