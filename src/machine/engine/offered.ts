/**
 * What control registers take, as far as that depends on what CPUID offers. A platform may hide features; what they
 * turn on is then as reserved as on a CPU that never had them. Opcodes are not affected, as on hardware.
 *
 * @spec SDM 3A 2.5, 2.6; APM 2 3.1
 */
import type { Core } from './core.ts';

const EAX = 0;
const EBX = 1;
const ECX = 2;
const EDX = 3;
const EXT1 = 0x8000_0001;

type Row = readonly [bits: number, leaf: number, word: number, bit: number];
const b = (...positions: number[]): number => positions.reduce((w, p) => w | (1 << p), 0);

/** CR4 bits and the CPUID bit that goes with them. MCE and PCE are always there. */
const CR4_BITS: readonly Row[] = [
  [b(0, 1), 1, EDX, 1], // VME PVI: vme
  [b(2), 1, EDX, 4], // TSD: tsc
  [b(3), 1, EDX, 2], // DE: de
  [b(4), 1, EDX, 3], // PSE: pse
  [b(5), 1, EDX, 6], // PAE: pae
  [b(7), 1, EDX, 13], // PGE: pge
  [b(9), 1, EDX, 24], // OSFXSR: fxsr
  [b(10), 1, EDX, 25], // OSXMMEXCPT: sse
  [b(11), 7, ECX, 2], // UMIP: umip
  [b(12), 7, ECX, 16], // LA57: la57
  [b(16), 7, EBX, 0], // FSGSBASE: fsgsbase
  [b(17), 1, ECX, 17], // PCIDE: pcid
  [b(18), 1, ECX, 26], // OSXSAVE: xsave
  [b(20), 7, EBX, 7], // SMEP: smep
  [b(21), 7, EBX, 20], // SMAP: smap
  [b(22), 7, ECX, 3], // PKE: pku
];
const CR4_ALWAYS = b(6, 8);
/** EFER likewise. */
const EFER_BITS: readonly Row[] = [
  [b(0), EXT1, EDX, 11], // SCE: syscall
  [b(8, 10), EXT1, EDX, 29], // LME LMA: lm
  [b(11), EXT1, EDX, 20], // NXE: nx
  [b(12), EXT1, ECX, 2], // SVME: svm
  [b(21), 0x8000_0021, EAX, 8], // AIBRSE: automatic IBRS, which asks for nothing here
];
const XSAVE_LEAF = 0xd;

/** Whether CPUID has a feature. */
export function offers(c: Core, leaf: number, word: number, bit: number): boolean {
  c.platform.cpuid(c.cpu, leaf, 0, c.out4);
  return ((c.out4[word]! >>> bit) & 1) !== 0;
}

function offered(c: Core, rows: readonly Row[], always: number): number {
  let mask = always;
  let last = -1;
  for (const [bits, leaf, word, bit] of rows) {
    if (leaf !== last) c.platform.cpuid(c.cpu, leaf, 0, c.out4);
    last = leaf;
    if ((c.out4[word]! >>> bit) & 1) mask |= bits;
  }
  return mask >>> 0;
}

export const cr4Offered = (c: Core): number => offered(c, CR4_BITS, CR4_ALWAYS);
export const eferOffered = (c: Core): number => offered(c, EFER_BITS, 0);
/** Components of XSAVE. */
export function xcr0Offered(c: Core): number {
  c.platform.cpuid(c.cpu, XSAVE_LEAF, 0, c.out4);
  return c.out4[EAX]!;
}
export const svmOffered = (c: Core): boolean => offers(c, EXT1, ECX, 2);
export const monitorOffered = (c: Core): boolean => offers(c, 1, ECX, 3);
/** TSC_AUX comes with RDTSCP or RDPID. */
export const tscAuxOffered = (c: Core): boolean => offers(c, EXT1, EDX, 27) || offers(c, 7, ECX, 22);
