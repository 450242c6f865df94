/** What one kind of save record of an HVM-type domain is. */
import type { Mem } from '../../base/mem.ts';
import type { Hypervisor } from '../hypervisor.ts';

export interface SaveRecord {
  readonly code: number;
  readonly name: string;
  readonly size: number;
  readonly perVcpu: boolean;
  /** Whether a domain has it; all do where this is absent. */
  present?(hv: Hypervisor, dom: number): boolean;
  /** Fills `size` zeroed bytes at `at` of `out`. */
  save(hv: Hypervisor, v: number, out: Mem, at: number): void;
  /** 0 or -errno. */
  load(hv: Hypervisor, v: number, src: Mem, at: number): number;
}
