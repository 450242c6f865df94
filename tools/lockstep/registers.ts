/** A vCPU's architectural state as names and values, and where two of them differ. */
import { cpuState, GPR, SEG, segment } from '../../src/machine/cpu-state.ts';
import type { Core } from '../../src/machine/engine/core.ts';
import { RF } from '../../src/x86/flags.ts';

export type State = ReadonlyMap<string, bigint>;

interface Register {
  readonly name: string;
  read(c: Core): bigint;
}

/** An integer of 1, 2, 4, 8, 10 or 16 bytes somewhere in the record. */
function field(name: string, offset: number, bytes: number): Register {
  switch (bytes) {
    case 1:
      return { name, read: ({ m, cpu }) => BigInt(m.u8(cpu + offset)) };
    case 2:
      return { name, read: ({ m, cpu }) => BigInt(m.u16(cpu + offset)) };
    case 4:
      return { name, read: ({ m, cpu }) => BigInt(m.u32(cpu + offset)) };
    case 8:
      return { name, read: ({ m, cpu }) => m.u64(cpu + offset) };
    default: {
      const high = field(name, offset + 8, bytes - 8);
      return { name, read: (c) => (high.read(c) << 64n) | c.m.u64(c.cpu + offset) };
    }
  }
}
const quad = (name: string, offset: number): Register => field(name, offset, 8);

function segmentRegisters(): Register[] {
  return Object.entries(SEG).flatMap(([name, s]) => {
    const at = cpuState.seg.addr(0) + 16 * s;
    return [
      field(name, at + segment.sel.offset, 2),
      field(`${name}.attr`, at + segment.attr.offset, 2),
      field(`${name}.limit`, at + segment.limit.offset, 4),
      quad(`${name}.base`, at + segment.base.offset),
    ];
  });
}

const QUADS = [
  'cr0 cr2 cr3 cr4 cr8 efer star lstar cstar sfmask kernelGsBase sysenterCs sysenterEsp sysenterEip pat tscAux xcr0',
  'gdtBase idtBase fip fdp cpl',
]
  .join(' ')
  .split(' ') as (keyof typeof cpuState & string)[];
const WORDS = [
  ['gdtLimit', 4],
  ['idtLimit', 4],
  ['fcw', 2],
  ['fsw', 2],
  ['ftw', 1],
  ['fop', 2],
  ['mxcsr', 4],
  ['mode', 4],
  ['nmiBlocked', 4],
  ['debugCtl', 4],
] as const;
const offsetOf = (name: keyof typeof cpuState): number => (cpuState[name] as { offset: number }).offset;
const indices = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** RF stays set as long as nobody looks, so it is left out. */
const REGISTERS: readonly Register[] = [
  ...Object.entries(GPR).map(([name, i]) => quad(name, 8 * i)),
  quad('rip', cpuState.rip.offset),
  { name: 'rflags', read: (c) => BigInt((c.flags & ~RF) >>> 0) },
  ...segmentRegisters(),
  ...QUADS.map((name) => quad(name, offsetOf(name))),
  ...WORDS.map(([name, bytes]) => field(name, offsetOf(name), bytes)),
  ...indices(8).map((i) => quad(`dr${i}`, cpuState.dr.addr(0, i))),
  ...indices(8).map((i) => field(`fpr${i}`, cpuState.fpr.addr(0, i), 10)),
  ...indices(16).map((i) => field(`xmm${i}`, cpuState.xmm.addr(0, i), 16)),
];

export function readState(c: Core): State {
  return new Map(REGISTERS.map((r) => [r.name, r.read(c)]));
}

/** Names of the registers that are in both and differ; of RFLAGS, in bits that are not `undefinedFlags`. */
export function differences(a: State, b: State, undefinedFlags = 0): string[] {
  const names: string[] = [];
  for (const [name, value] of a) {
    const other = b.get(name);
    if (other === undefined || other === value) continue;
    if (name === 'rflags' && ((value ^ other) & ~BigInt(undefinedFlags)) === 0n) continue;
    names.push(name);
  }
  return names;
}

/** Takes over what an instruction may have read from outside: general registers, flags and XMM. */
export function adopt(c: Core, from: State): void {
  for (const [name, i] of Object.entries(GPR)) c.m.setU64(c.cpu + 8 * i, from.get(name)!);
  c.flags = Number(from.get('rflags'));
  for (const i of indices(16)) {
    const value = from.get(`xmm${i}`)!;
    c.m.setU64(cpuState.xmm.addr(c.cpu, i), BigInt.asUintN(64, value));
    c.m.setU64(cpuState.xmm.addr(c.cpu, i) + 8, value >> 64n);
  }
}
