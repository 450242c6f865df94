/**
 * The CPU that guests see, as CPUID reports it: an AMD processor with what the engines implement and nothing else.
 * Features are listed by name so that an engine's author can see at a glance what is promised.
 *
 * @spec AMD64 APM vol. 3 appendix E
 */
export const CPU_VENDOR = 'AuthenticAMD';
/** Family 0x17, model 1, stepping 2: extended family 8, base family 15. */
export const CPU_SIGNATURE = 0x0080_0f12;
export const CPU_BRAND = 'Domzero Virtual CPU';
/** Physical and linear address widths. */
export const CPU_MAX_PHYS_BITS = 40;
export const CPU_LINEAR_BITS = 48;

const bits = (...positions: number[]): number => positions.reduce((w, b) => w + 2 ** b, 0);

/** Feature words, by leaf and register. Bits that depend on the vCPU (APIC, OSXSAVE, x2APIC mode) are added by who answers. */
export const CpuFeatures = {
  /** fpu de pse tsc msr pae cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 */
  leaf1Edx: bits(0, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 23, 24, 25, 26),
  /** sse3 pclmulqdq ssse3 cx16 pcid sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline aes xsave rdrand hypervisor */
  leaf1Ecx: bits(0, 1, 9, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 30, 31),
  /** fsgsbase bmi1 smep bmi2 invpcid rdseed adx smap sha; fcs and fds are not kept. */
  leaf7Ebx: bits(0, 3, 7, 8, 10, 13, 18, 19, 20, 29),
  /** umip rdpid */
  leaf7Ecx: bits(2, 22),
  leaf7Edx: 0,
  /** The same as leaf 1 where AMD repeats it, and syscall nx pdpe1gb rdtscp lm. */
  ext1Edx: bits(0, 2, 3, 4, 5, 6, 8, 9, 12, 13, 14, 15, 16, 17, 23, 24) + bits(11, 20, 26, 27, 29),
  /** lahf_lm abm */
  ext1Ecx: bits(0, 5),
  /** Invariant TSC. */
  ext7Edx: bits(8),
  /** xsaveerptr: saved states have the x87's pointers always. ssb_no btc_no: nothing here runs speculatively. */
  ext8Ebx: bits(2, 26, 29),
  /** lfence_always_serializing null_selector_clears_base automatic_ibrs srso_no, for the same reason. */
  ext21Eax: bits(2, 6, 8, 29),
} as const;

/** What is there too, for guests whose configuration asks for it. */
export const HiddenFeatures = {
  /** monitor */
  leaf1Ecx: bits(3),
  /** svm */
  ext1Ecx: bits(2),
  /** Of SVM: npt nrips vmcb_clean flush_by_asid decode_assists pause_filter pause_thresh */
  extAEdx: bits(0, 3, 5, 6, 7, 10, 12),
} as const;
const SVM_REVISION = 1;
/** Address space identifiers, one of which is the monitor's own. */
const SVM_ASIDS = 0x40;
const FEATURE_MONITOR = 1 << 3;

export const MAX_LEAF = 0xd;
export const MAX_EXT_LEAF = 0x8000_0021;

const text = (s: string, at: number): number => {
  let v = 0;
  for (let i = 3; i >= 0; i--) v = v * 256 + (at + i < s.length ? s.charCodeAt(at + i) : 0);
  return v;
};

/** Xen's featureset words, in the order of cpufeatureset.h: 1d 1c e1d e1c Da1 7b0 7c0 e7d e8b 7d0. */
export function featureWords(): number[] {
  const f = CpuFeatures;
  return [f.leaf1Edx, f.leaf1Ecx, f.ext1Edx, f.ext1Ecx, 0, f.leaf7Ebx, f.leaf7Ecx, f.ext7Edx, 0, f.leaf7Edx];
}

/** What of a leaf is the same for every vCPU. Topology and APIC ids are left 0. */
export function baseCpuid(leaf: number, subleaf: number, out: Uint32Array): void {
  out.fill(0);
  if (leaf >= 0x8000_0000) extended(leaf, out);
  else basic(leaf, subleaf, out);
}

/** The same with everything there is, hidden or not. */
export function maxCpuid(leaf: number, subleaf: number, out: Uint32Array): void {
  baseCpuid(leaf, subleaf, out);
  if (leaf === 1) out[2] = (out[2]! | HiddenFeatures.leaf1Ecx) >>> 0;
  if (leaf === 0x8000_0001) out[2] = (out[2]! | HiddenFeatures.ext1Ecx) >>> 0;
  if (leaf === 0x8000_000a) {
    out[0] = SVM_REVISION;
    out[1] = SVM_ASIDS;
    out[3] = HiddenFeatures.extAEdx;
  }
  if (leaf === 5 && (HiddenFeatures.leaf1Ecx | CpuFeatures.leaf1Ecx) & FEATURE_MONITOR) monitorLeaf(out);
}

/** MONITOR's line is 64 bytes; MWAIT has C1 alone, and interrupts end it even while they are masked, if it says so. */
function monitorLeaf(out: Uint32Array): void {
  out[0] = 64;
  out[1] = 64;
  out[2] = 3;
  out[3] = 0x10;
}

function basic(leaf: number, subleaf: number, out: Uint32Array): void {
  const f = CpuFeatures;
  switch (leaf) {
    case 0:
      out[0] = MAX_LEAF;
      out[1] = text(CPU_VENDOR, 0);
      out[3] = text(CPU_VENDOR, 4);
      out[2] = text(CPU_VENDOR, 8);
      return;
    case 1:
      out[0] = CPU_SIGNATURE;
      out[1] = 8 << 8; // CLFLUSH line of 64 bytes
      out[2] = f.leaf1Ecx;
      out[3] = f.leaf1Edx;
      return;
    case 7:
      if (subleaf !== 0) return;
      out[1] = f.leaf7Ebx;
      out[2] = f.leaf7Ecx;
      out[3] = f.leaf7Edx;
      return;
    case 0xd: // state of x87 and SSE, 512 bytes and a header; xsaveopt xsavec
      if (subleaf > 1) return;
      out[0] = 3;
      out[1] = 576;
      if (subleaf === 0) out[2] = 576;
      return;
  }
}

function extended(leaf: number, out: Uint32Array): void {
  const f = CpuFeatures;
  switch (leaf) {
    case 0x8000_0000:
      out[0] = MAX_EXT_LEAF;
      out[1] = text(CPU_VENDOR, 0);
      out[3] = text(CPU_VENDOR, 4);
      out[2] = text(CPU_VENDOR, 8);
      return;
    case 0x8000_0001:
      out[0] = CPU_SIGNATURE;
      out[2] = f.ext1Ecx;
      out[3] = f.ext1Edx;
      return;
    case 0x8000_0002:
    case 0x8000_0003:
    case 0x8000_0004:
      for (let i = 0; i < 4; i++) out[i] = text(CPU_BRAND, (leaf - 0x8000_0002) * 16 + i * 4);
      return;
    case 0x8000_0005: // L1: 32 KiB 8-way data and 64 KiB 4-way code, lines of 64 bytes
      out[0] = 0xff40_ff40;
      out[1] = 0xff40_ff40;
      out[2] = 0x2008_0140;
      out[3] = 0x4004_0140;
      return;
    case 0x8000_0006: // L2: 512 KiB 8-way
      out[0] = 0x2600_6400;
      out[1] = 0x6600_6400;
      out[2] = 0x0200_6140;
      return;
    case 0x8000_0007:
      out[3] = f.ext7Edx;
      return;
    case 0x8000_0008:
      out[0] = CPU_MAX_PHYS_BITS | (CPU_LINEAR_BITS << 8);
      out[1] = f.ext8Ebx;
      return;
    case 0x8000_0021:
      out[0] = f.ext21Eax;
      return;
  }
}

/** CR4 bits that go with these features: TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT UMIP FSGSBASE PCIDE OSXSAVE SMEP SMAP. */
export const GUEST_CR4 = bits(2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 20, 21);
