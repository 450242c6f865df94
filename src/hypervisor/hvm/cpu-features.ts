/**
 * What a wish for a CPU policy comes down to: features that the CPU has, and whose own needs are met; sizes and leaves
 * that go with them. @spec AMD64 APM vol. 3 appendix E; @abi public/arch-x86/cpufeatureset.h
 */
import { XEN_CPUID_NO_SUBLEAF } from '../../abi/arch_x86.ts';
import { XEN_CPUID_FIRST_LEAF, XEN_CPUID_MAX_NUM_LEAVES } from '../../abi/cpuid.ts';

export interface Leaf {
  readonly leaf: number;
  readonly subleaf: number;
  /** EAX, EBX, ECX, EDX. */
  readonly words: Uint32Array;
}
export type Policy = readonly Leaf[];

const EXT1 = 0x8000_0001;
const EAX = 0;
const EBX = 1;
const ECX = 2;
const EDX = 3;

type Kind =
  /** Bits of which each is a feature. */
  | 'features'
  /** As the toolstack says: signatures, names. */
  | 'free'
  /** A number that can be made smaller. */
  | 'limit';
type Row = readonly [leaf: number, subleaf: number, word: number, kind: Kind];

/** Words that a toolstack has a say in; all others are the CPU's. */
const WORDS: readonly Row[] = [
  [0, 0, EAX, 'limit'],
  [0, 0, EBX, 'free'],
  [0, 0, ECX, 'free'],
  [0, 0, EDX, 'free'],
  [1, 0, EAX, 'free'],
  [1, 0, ECX, 'features'],
  [1, 0, EDX, 'features'],
  [7, 0, EBX, 'features'],
  [7, 0, ECX, 'features'],
  [7, 0, EDX, 'features'],
  [0xd, 1, EAX, 'features'],
  [XEN_CPUID_FIRST_LEAF, 0, EAX, 'limit'],
  [0x8000_0000, 0, EAX, 'limit'],
  [EXT1, 0, EAX, 'free'],
  [EXT1, 0, ECX, 'features'],
  [EXT1, 0, EDX, 'features'],
  ...[2, 3, 4].flatMap((n) => [EAX, EBX, ECX, EDX].map((word): Row => [0x8000_0000 + n, 0, word, 'free'])),
  [0x8000_0007, 0, EDX, 'features'],
  [0x8000_0008, 0, EBX, 'features'],
  [0x8000_000a, 0, EBX, 'limit'],
  [0x8000_000a, 0, EDX, 'features'],
  [0x8000_0021, 0, EAX, 'features'],
];

type Feature = readonly [leaf: number, subleaf: number, word: number, bit: number];
const edx1 = (bit: number): Feature => [1, 0, EDX, bit];
const ecx1 = (bit: number): Feature => [1, 0, ECX, bit];
const ebx7 = (bit: number): Feature => [7, 0, EBX, bit];
const ecx7 = (bit: number): Feature => [7, 0, ECX, bit];
const extd = (bit: number): Feature => [EXT1, 0, EDX, bit];
const extc = (bit: number): Feature => [EXT1, 0, ECX, bit];
const da1 = (bit: number): Feature => [0xd, 1, EAX, bit];

const SSE = edx1(25);
const SSE2 = edx1(26);
const LM = extd(29);
const XSAVE = ecx1(26);
const AVX = ecx1(28);
const AVX2 = ebx7(5);
/** A feature, and those that nobody has without it; in an order in which one pass is enough. */
const NEEDED: ReadonlyArray<readonly [Feature, readonly Feature[]]> = [
  [edx1(0), [edx1(23)]], // fpu: mmx
  [edx1(3), [edx1(17)]], // pse: pse36
  [edx1(4), [ecx1(24), extd(27), ebx7(1), [0x8000_0007, 0, EDX, 8]]], // tsc: tsc_deadline rdtscp tsc_adjust itsc
  [edx1(9), [ecx1(21), ecx1(24)]], // apic: x2apic tsc_deadline
  [edx1(24), [SSE, extd(25)]], // fxsr: sse ffxsr
  [SSE, [SSE2, extc(7)]], // misalignsse
  [SSE2, [ecx1(0), LM, ecx1(25), ecx1(1), ebx7(29), ecx7(8)]], // sse3 lm aes pclmulqdq sha gfni
  [ecx1(0), [ecx1(9), extc(6)]], // sse3: ssse3 sse4a
  [ecx1(9), [ecx1(19)]], // ssse3: sse4_1
  [ecx1(19), [ecx1(20)]], // sse4_1: sse4_2
  [edx1(6), [LM, extd(20)]], // pae: lm nx
  [LM, [ecx1(13), ecx1(17), extc(0), extd(26)]], // cx16 pcid lahf_lm page1gb
  [ecx1(17), [ebx7(10)]], // pcid: invpcid
  [XSAVE, [da1(0), da1(1), da1(2), da1(3), AVX, ecx7(3)]], // xsaveopt xsavec xgetbv1 xsaves avx pku
  [AVX, [ecx1(12), ecx1(29), AVX2, extc(11), extc(16), ecx7(9), ecx7(10)]], // fma f16c xop fma4 vaes vpclmulqdq
  [AVX2, [ebx7(16)]], // avx512f
];
const MONITOR = ecx1(3);
const MONITOR_LEAF = 5;
const SVM = extc(2);
const SVM_LEAF = 0x8000_000a;
const XSAVE_LEAF = 0xd;
/** The component that goes with AVX, and where its leaf says it lies. */
const YMM = 2;
const LEGACY_AREA = 576;

/** AMD's copy of leaf 1 EDX in the extended leaf. */
const COPIED = 0x0183_f3ff;

const find = (leaves: Policy, leaf: number, subleaf: number): Leaf | undefined =>
  leaves.find(
    (l) =>
      l.leaf === leaf && (l.subleaf === subleaf || (subleaf === 0 && l.subleaf === XEN_CPUID_NO_SUBLEAF)),
  );

/** The policy that comes of a wish on a CPU that has `max`. */
export function sanitise(wanted: Policy, max: Policy): Policy {
  const out = max.map((l) => ({ ...l, words: Uint32Array.from(l.words) }));
  for (const [leaf, subleaf, word, kind] of WORDS) {
    const has = find(out, leaf, subleaf);
    const want = find(wanted, leaf, subleaf)?.words[word];
    if (!has || want === undefined) continue;
    const cpu = has.words[word]!;
    has.words[word] = kind === 'free' ? want : kind === 'limit' ? limited(leaf, want, cpu) : want & cpu;
  }
  for (const [needed, dependents] of NEEDED) if (!get(out, needed)) for (const f of dependents) clear(out, f);
  const ext = find(out, EXT1, 0);
  if (ext) ext.words[EDX] = ext.words[EDX]! & (~COPIED | find(out, 1, 0)!.words[EDX]!);
  if (!get(out, MONITOR)) find(out, MONITOR_LEAF, 0)?.words.fill(0);
  if (!get(out, SVM)) find(out, SVM_LEAF, 0)?.words.fill(0);
  fitXsave(out);
  return out;
}

/** A last leaf is of its own range; Xen's are counted from any base. */
function limited(leaf: number, want: number, cpu: number): number {
  if (leaf !== XEN_CPUID_FIRST_LEAF) return want >>> 16 === cpu >>> 16 ? Math.min(want, cpu) : cpu;
  return XEN_CPUID_FIRST_LEAF + Math.min(want & 0xff, XEN_CPUID_MAX_NUM_LEAVES);
}

function get(leaves: Policy, [leaf, subleaf, word, bit]: Feature): boolean {
  return (((find(leaves, leaf, subleaf)?.words[word] ?? 0) >>> bit) & 1) !== 0;
}
function clear(leaves: Policy, [leaf, subleaf, word, bit]: Feature): void {
  const words = find(leaves, leaf, subleaf)?.words;
  if (words) words[word] = words[word]! & ~(1 << bit);
}

/** Without XSAVE its leaves are empty; without AVX its component is not there. */
function fitXsave(leaves: Policy): void {
  const own = leaves.filter((l) => l.leaf === XSAVE_LEAF);
  if (!get(leaves, XSAVE)) for (const l of own) l.words.fill(0);
  if (get(leaves, AVX)) return;
  const main = find(own, XSAVE_LEAF, 0)?.words;
  if (!main || (main[EAX]! & (1 << YMM)) === 0) return;
  main[EAX] = main[EAX]! & ~(1 << YMM);
  main[EBX] = LEGACY_AREA;
  main[ECX] = LEGACY_AREA;
  find(own, XSAVE_LEAF, YMM)?.words.fill(0);
}
