/**
 * CPU policies: what CPUID says in a domain. A domain has the default until its toolstack sets another, which gets what
 * the CPU has and no more; asking for what is not there is not an error.
 *
 * @abi public/arch-x86/xen.h xen_cpuid_leaf
 */
import { XEN_CPUID_NO_SUBLEAF, xen_cpuid_leaf } from '../../abi/arch_x86.ts';
import { XEN_CPUID_FIRST_LEAF, XEN_CPUID_MAX_NUM_LEAVES } from '../../abi/cpuid.ts';
import { XEN_DOMCTL_CDF_nested_virt } from '../../abi/domctl.ts';
import type { Mem } from '../../base/mem.ts';
import { baseCpuid, MAX_EXT_LEAF, MAX_LEAF, maxCpuid } from '../../x86/cpuid.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord } from '../records.ts';
import { type Leaf, type Policy, sanitise } from './cpu-features.ts';

const EXT_FIRST = 0x8000_0000;
/** A policy's page: the number of its leaves, then the leaves. */
const LEAVES_AT = 8;
const { size: LEAF_BYTES } = xen_cpuid_leaf.$;
/** As many as a toolstack may send. */
export const MAX_POLICY_LEAVES = Math.floor((4096 - LEAVES_AT) / LEAF_BYTES);
/** Subleaves of the leaves that have some. */
const SUBLEAVES: Readonly<Record<number, number>> = { 4: 1, 7: 1, 11: 2, 13: 3 };

type Answer = (leaf: number, subleaf: number, out: Uint32Array) => void;

function enumerate(answer: Answer): Leaf[] {
  const leaves: Leaf[] = [];
  const add = (leaf: number, subleaf: number): void => {
    const words = new Uint32Array(4);
    answer(leaf, subleaf === XEN_CPUID_NO_SUBLEAF ? 0 : subleaf, words);
    leaves.push({ leaf, subleaf, words });
  };
  for (let leaf = 0; leaf <= MAX_LEAF; leaf++) {
    const count = SUBLEAVES[leaf];
    if (count === undefined) add(leaf, XEN_CPUID_NO_SUBLEAF);
    else for (let subleaf = 0; subleaf < count; subleaf++) add(leaf, subleaf);
  }
  add(XEN_CPUID_FIRST_LEAF, XEN_CPUID_NO_SUBLEAF);
  leaves.at(-1)!.words[0] = XEN_CPUID_FIRST_LEAF + XEN_CPUID_MAX_NUM_LEAVES;
  for (let leaf = EXT_FIRST; leaf <= MAX_EXT_LEAF; leaf++) add(leaf, XEN_CPUID_NO_SUBLEAF);
  return leaves;
}

export const defaultPolicy = (): Policy => enumerate(baseCpuid);
export const maxPolicy = (): Policy => enumerate(maxCpuid);
/** The leaves where SVM is: the feature, and what there is of it. */
const SVM_LEAVES = [0x8000_0001, 0x8000_000a];
const SVM_BIT = 1 << 2;
const unnestedPolicy = (): Policy =>
  enumerate((leaf, subleaf, out) => {
    maxCpuid(leaf, subleaf, out);
    if (leaf === SVM_LEAVES[0]) out[2] = out[2]! & ~SVM_BIT;
  });
/** What a domain can have at most: nested virtualisation only if it was created for that. */
const domainMax = (m: Mem, dom: number): Policy =>
  domainRecord.createFlags.get(m, dom) & XEN_DOMCTL_CDF_nested_virt ? maxPolicy() : unnestedPolicy();

/** The domain's policy: its own, or the default. */
export function domainPolicy(m: Mem, dom: number): Policy {
  const page = domainRecord.cpuPolicy.get(m, dom);
  return page === 0 ? defaultPolicy() : readLeaves(m, page + LEAVES_AT, m.u32(page));
}

/** Reads `count` leaves of a toolstack's list. */
export function readLeaves(m: Mem, at: number, count: number): Leaf[] {
  return Array.from({ length: count }, (_, i) => {
    const entry = at + i * LEAF_BYTES;
    const a = xen_cpuid_leaf.a.addr(entry);
    return {
      leaf: xen_cpuid_leaf.leaf.get(m, entry),
      subleaf: xen_cpuid_leaf.subleaf.get(m, entry),
      words: Uint32Array.from([0, 4, 8, 12], (k) => m.u32(a + k)),
    };
  });
}

export function writeLeaves(m: Mem, at: number, policy: Policy): void {
  policy.forEach(({ leaf, subleaf, words }, i) => {
    const entry = at + i * LEAF_BYTES;
    xen_cpuid_leaf.leaf.set(m, entry, leaf);
    xen_cpuid_leaf.subleaf.set(m, entry, subleaf);
    words.forEach((word, k) => {
      m.setU32(xen_cpuid_leaf.a.addr(entry) + k * 4, word);
    });
  });
}

/** The first of the leaves that is not such as the CPU has. */
export function unknownLeaf(leaves: Policy): Leaf | undefined {
  const known = maxPolicy();
  return leaves.find((l) => !known.some((k) => k.leaf === l.leaf && k.subleaf === l.subleaf));
}

/** Lays `leaves` over the domain's policy, as far as the CPU goes. False: no memory. */
export function setDomainPolicy(hv: Hypervisor, dom: number, leaves: Policy): boolean {
  const { mem } = hv;
  const now = domainPolicy(mem, dom);
  const wanted = now.map((l) => leaves.find((x) => x.leaf === l.leaf && x.subleaf === l.subleaf) ?? l);
  const policy = sanitise(wanted, domainMax(mem, dom));
  let page = domainRecord.cpuPolicy.get(mem, dom);
  if (page === 0) {
    const frame = hv.machine.allocFrame();
    if (frame < 0) return false;
    page = frame * 4096;
    domainRecord.cpuPolicy.set(mem, dom, page);
  }
  mem.setU32(page, policy.length);
  writeLeaves(mem, page + LEAVES_AT, policy);
  return true;
}

/** A new domain that was created for nested virtualisation has it by default. False: no memory. */
export function offerNested(hv: Hypervisor, dom: number): boolean {
  if ((domainRecord.createFlags.get(hv.mem, dom) & XEN_DOMCTL_CDF_nested_virt) === 0) return true;
  return setDomainPolicy(
    hv,
    dom,
    maxPolicy().filter((l) => SVM_LEAVES.includes(l.leaf)),
  );
}

export function releasePolicy(hv: Hypervisor, dom: number): void {
  const page = domainRecord.cpuPolicy.get(hv.mem, dom);
  if (page !== 0) hv.machine.freeFrameRun(page / 4096);
}

/** What the domain's policy says of a leaf, all zeroes of one that it has not. */
export function policyCpuid(m: Mem, dom: number, leaf: number, subleaf: number, out: Uint32Array): void {
  const page = domainRecord.cpuPolicy.get(m, dom);
  if (page === 0) return baseCpuid(leaf, subleaf, out);
  out.fill(0);
  const count = m.u32(page);
  for (let i = 0; i < count; i++) {
    const entry = page + LEAVES_AT + i * LEAF_BYTES;
    if (m.u32(entry) !== leaf) continue;
    const of = m.u32(entry + 4);
    if (of !== XEN_CPUID_NO_SUBLEAF && of !== subleaf) continue;
    const a = xen_cpuid_leaf.a.addr(entry);
    for (let k = 0; k < 4; k++) out[k] = m.u32(a + k * 4);
    return;
  }
}

const lastOf = (m: Mem, dom: number, first: number): number => {
  const page = domainRecord.cpuPolicy.get(m, dom);
  if (page === 0) return first === 0 ? MAX_LEAF : MAX_EXT_LEAF;
  policyCpuid(m, dom, first, 0, scratch);
  return scratch[0]!;
};
const scratch = new Uint32Array(4);

/** Whether a leaf is within what the policy says is there. */
export const hasLeaf = (m: Mem, dom: number, leaf: number): boolean =>
  leaf <= lastOf(m, dom, leaf >= EXT_FIRST ? EXT_FIRST : 0);

/** Whether the policy has a feature: a bit of a leaf's word (0 EAX to 3 EDX). */
export function policyHas(m: Mem, dom: number, leaf: number, word: number, bit: number): boolean {
  policyCpuid(m, dom, leaf, 0, scratch);
  return ((scratch[word]! >>> bit) & 1) !== 0;
}
