/** The names that `cpuid="host,NAME=VALUE"` knows: fields of CPUID leaves. @xen docs/man/xl.cfg.5.pod.in, libxl */

export const REGISTERS = ['eax', 'ebx', 'ecx', 'edx'] as const;
export type Register = (typeof REGISTERS)[number];

export interface CpuidField {
  readonly leaf: number;
  /** Undefined for a leaf that has none. */
  readonly subleaf: number | undefined;
  readonly register: Register;
  /** Lowest bit, and how many. */
  readonly bit: number;
  readonly length: number;
}

type Row = readonly [leaf: number, subleaf: number | undefined, register: Register, names: string];

/** `name:bit`, or `name:bit:length` for what is more than a bit. */
const ROWS: readonly Row[] = [
  [0, undefined, 'eax', 'maxleaf:0:32'],
  [1, undefined, 'eax', 'stepping:0:4 model:4:8 family:8:8'],
  [1, undefined, 'ebx', 'brandid:0:8 clflush:8:8 proccount:16:8 localapicid:24:8'],
  [
    1,
    undefined,
    'ecx',
    `sse3:0 pclmulqdq:1 dtes64:2 monitor:3 dscpl:4 vmx:5 smx:6 est:7 tm2:8 ssse3:9 cntxid:10 fma:12 cmpxchg16:13 xtpr:14
    pdcm:15 pcid:17 dca:18 sse4.1:19 sse4_1:19 sse4.2:20 sse4_2:20 x2apic:21 movbe:22 popcnt:23 tsc-deadline:24 aes:25
    xsave:26 osxsave:27 avx:28 f16c:29 rdrand:30 hypervisor:31`,
  ],
  [
    1,
    undefined,
    'edx',
    `fpu:0 vme:1 de:2 pse:3 tsc:4 msr:5 pae:6 mce:7 cmpxchg8:8 apic:9 sysenter:11 mtrr:12 pge:13 mca:14 cmov:15 pat:16
    pse36:17 psn:18 clfsh:19 ds:21 acpi:22 mmx:23 fxsr:24 sse:25 sse2:26 ss:27 htt:28 tm:29 ia64:30 pbe:31`,
  ],
  [4, 0, 'eax', 'procpkg:26:6'],
  [6, undefined, 'eax', 'arat:2'],
  [
    7,
    0,
    'ebx',
    `fsgsbase:0 tsc_adjust:1 bmi1:3 hle:4 avx2:5 smep:7 bmi2:8 erms:9 invpcid:10 rtm:11 cmt:12 mpx:14 avx512f:16
    avx512dq:17 rdseed:18 adx:19 smap:20 avx512-ifma:21 clflushopt:23 clwb:24 proc-trace:25 avx512pf:26 avx512er:27
    avx512cd:28 sha:29 avx512bw:30 avx512vl:31`,
  ],
  [
    7,
    0,
    'ecx',
    `prefetchwt1:0 avx512-vbmi:1 umip:2 pku:3 ospke:4 avx512-vbmi2:6 cet-ss:7 gfni:8 vaes:9 vpclmulqdq:10 avx512-vnni:11
    avx512-bitalg:12 avx512-vpopcntdq:14 rdpid:22 cldemote:25 movdiri:27 movdir64b:28 enqcmd:29`,
  ],
  [
    7,
    0,
    'edx',
    `avx512-4vnniw:2 avx512-4fmaps:3 fsrm:4 avx512-vp2intersect:8 srbds-ctrl:9 md-clear:10 serialize:14 tsxldtrk:16
    cet-ibt:20 ibrsb:26 stibp:27 l1d-flush:28 arch-caps:29 core-caps:30 ssbd:31`,
  ],
  [7, 1, 'eax', 'avx-vnni:4 avx512-bf16:5 fzrm:10 fsrs:11 fsrcs:12'],
  [0xd, 1, 'eax', 'xsaveopt:0 xsavec:1 xgetbv1:2 xsaves:3'],
  [0x4000_0000, undefined, 'eax', 'maxhvleaf:0:8'],
  [
    0x8000_0001,
    undefined,
    'ecx',
    `lahfsahf:0 cmplegacy:1 svm:2 extapic:3 altmovcr8:4 abm:5 sse4a:6 misalignsse:7 3dnowprefetch:8 osvw:9 ibs:10 xop:11
    skinit:12 wdt:13 lwp:15 fma4:16 nodeid:19 tbm:21 topoext:22 perfctr_core:23 perfctr_nb:24`,
  ],
  [
    0x8000_0001,
    undefined,
    'edx',
    'syscall:11 nx:20 mmxext:22 ffxsr:25 page1gb:26 rdtscp:27 lm:29 3dnowext:30 3dnow:31',
  ],
  [0x8000_0007, undefined, 'edx', 'invtsc:8'],
  [
    0x8000_0008,
    undefined,
    'ebx',
    `clzero:0 rstr-fp-err-ptrs:2 wbnoinvd:9 ibpb:12 ibrs:14 amd-stibp:15 ibrs-always:16 stibp-always:17 ibrs-fast:18
    ibrs-same-mode:19 no-lmsl:20 ppin:23 amd-ssbd:24 virt-ssbd:25 ssb-no:26 psfd:28 btc-no:29 ibpb-ret:30`,
  ],
  [0x8000_0008, undefined, 'ecx', 'nc:0:8'],
  [
    0x8000_000a,
    undefined,
    'edx',
    'svm_npt:0 svm_lbrv:1 svm_nrips:3 svm_tscrate:4 svm_vmcbclean:5 svm_decode:7 svm_pausefilt:10',
  ],
  [0x8000_0021, undefined, 'eax', 'lfence+:2 nscb:6'],
];

export const CPUID_FIELDS: ReadonlyMap<string, CpuidField> = new Map(
  ROWS.flatMap(([leaf, subleaf, register, names]) =>
    names.split(/\s+/).map((entry): [string, CpuidField] => {
      const [name, bit, length] = entry.split(':') as [string, string, string | undefined];
      return [name, { leaf, subleaf, register, bit: Number(bit), length: Number(length ?? 1) }];
    }),
  ),
);
