/** CPU policies: what CPUID says in a domain, and what the CPU could say. Each throws KernelError when it is refused. */
import { xen_cpuid_leaf } from '../abi/arch_x86.ts';
import {
  XEN_DOMCTL_get_cpu_policy,
  XEN_DOMCTL_set_cpu_policy,
  xen_domctl_cpu_policy,
} from '../abi/domctl.ts';
import {
  XEN_SYSCTL_cpu_policy_host,
  XEN_SYSCTL_get_cpu_policy,
  xen_sysctl_cpu_policy,
} from '../abi/sysctl.ts';
import type { Mem } from '../base/mem.ts';
import type { Domctl } from './domctl.ts';
import type { Hypercalls } from './hypercall.ts';

export interface CpuidLeaf {
  readonly leaf: number;
  readonly subleaf: number;
  /** EAX, EBX, ECX, EDX. */
  readonly words: readonly number[];
}

const { size: LEAF_BYTES } = xen_cpuid_leaf.$;
const MAX_LEAVES = Math.floor(4096 / LEAF_BYTES);
const WORDS = ['a', 'b', 'c', 'd'] as const;

export class CpuPolicies {
  private readonly calls: Hypercalls;
  private readonly domctl: Domctl;
  private readonly mem: Mem;

  constructor(calls: Hypercalls, domctl: Domctl) {
    this.calls = calls;
    this.domctl = domctl;
    this.mem = calls.mem;
  }

  /** Everything that the CPU has. */
  host(): CpuidLeaf[] {
    const o = xen_sysctl_cpu_policy;
    return this.calls.withArgs([MAX_LEAVES * LEAF_BYTES], (list) =>
      this.domctl.sysctl("reading the host's CPU policy", XEN_SYSCTL_get_cpu_policy, (u) => {
        o.index.set(this.mem, u, XEN_SYSCTL_cpu_policy_host);
        o.nr_leaves.set(this.mem, u, MAX_LEAVES);
        o.leaves.set(this.mem, u, list!.gpa);
        return () => this.read(list!.at, o.nr_leaves.get(this.mem, u));
      }),
    );
  }

  get(domid: number): CpuidLeaf[] {
    const o = xen_domctl_cpu_policy;
    const what = `reading the CPU policy of domain ${domid}`;
    return this.calls.withArgs([MAX_LEAVES * LEAF_BYTES], (list) =>
      this.domctl.domctl(what, XEN_DOMCTL_get_cpu_policy, domid, (u) => {
        o.nr_leaves.set(this.mem, u, MAX_LEAVES);
        o.leaves.set(this.mem, u, list!.gpa);
        return () => this.read(list!.at, o.nr_leaves.get(this.mem, u));
      }),
    );
  }

  /** Before the domain first runs. What the CPU has not is left out, see `get`. */
  set(domid: number, policy: readonly CpuidLeaf[]): void {
    const o = xen_domctl_cpu_policy;
    this.calls.withArgs([MAX_LEAVES * LEAF_BYTES], (list) => {
      policy.forEach(({ leaf, subleaf, words }, i) => {
        const at = list!.at + i * LEAF_BYTES;
        xen_cpuid_leaf.leaf.set(this.mem, at, leaf);
        xen_cpuid_leaf.subleaf.set(this.mem, at, subleaf);
        WORDS.forEach((w, k) => {
          xen_cpuid_leaf[w].set(this.mem, at, words[k]!);
        });
      });
      this.domctl.domctl(`the CPU policy of domain ${domid}`, XEN_DOMCTL_set_cpu_policy, domid, (u) => {
        o.nr_leaves.set(this.mem, u, policy.length);
        o.leaves.set(this.mem, u, list!.gpa);
      });
    });
  }

  private read(list: number, count: number): CpuidLeaf[] {
    return Array.from({ length: count }, (_, i) => {
      const at = list + i * LEAF_BYTES;
      return {
        leaf: xen_cpuid_leaf.leaf.get(this.mem, at),
        subleaf: xen_cpuid_leaf.subleaf.get(this.mem, at),
        words: WORDS.map((w) => xen_cpuid_leaf[w].get(this.mem, at)),
      };
    });
  }
}
