/**
 * Layouts and constants against golden.json, which tools/abi-golden.mjs makes from Xen's headers with a C compiler.
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Field } from '../base/layout.ts';
import { Mem } from '../base/mem.ts';
import { errnoName, XEN_EINVAL } from './errno.ts';
import golden from './golden.json';
import { specialGfn } from './hvm_layout.ts';
import { ringEntries } from './io_ring.ts';
import { vcpu_runstate_info_32 } from './vcpu.ts';
import { sn64, W32 } from './width.ts';
import { multicall_entry, multicall_entry_32 } from './xen.ts';

type Layout = { $: { name: string; size: number; fields: string[] } } & Record<string, Field<unknown>>;

const lp64: Record<string, string> = golden.lp64;
const ilp32: Record<string, string> = golden.ilp32;
const constants: Record<string, string> = golden.constants;
const own = new Set(golden.notInHeaders);

const files = readdirSync(new URL('.', import.meta.url)).filter((f) => /^\w+\.ts$/.test(f) && !own.has(f));
const modules = await Promise.all(
  files.map(async (f) => (await import(/* @vite-ignore */ `./${f}`)) as Record<string, unknown>),
);
const exported = modules.flatMap((m) => Object.entries(m)).filter(([name]) => !own.has(name));

const isObject = (v: unknown): v is object => typeof v === 'object' && v !== null && !Array.isArray(v);
const isLayout = (v: unknown): v is Layout => isObject(v) && '$' in v;

/** In the golden table's words; fields that stand for bit fields have a ? there. */
function words(layout: Layout, expected: string): string {
  const fields = layout.$.fields.map((f) =>
    expected.includes(` ${f} ?`) ? ` ${f} ?` : ` ${f} ${layout[f]!.offset}+${layout[f]!.type.size}`,
  );
  return `${layout.$.size}:${fields.join(',')}`;
}

const layouts = exported.filter((e): e is [string, Layout] => isLayout(e[1]));
const numbers = exported.flatMap(([name, v]): [string, number | bigint][] => {
  if (typeof v === 'number' || typeof v === 'bigint') return [[name, v]];
  if (!isObject(v) || isLayout(v)) return [];
  return Object.entries(v)
    .filter((e): e is [string, number] => typeof e[1] === 'number')
    .map(([key, n]): [string, number] => [`${name}.${key}`, n])
    .filter(([key]) => key in constants);
});

describe('layouts', () => {
  it('every layout is in the golden table, and the other way round', () => {
    const names = new Set(layouts.map(([name]) => name));
    expect([...names].sort()).toEqual([...new Set([...Object.keys(lp64), ...Object.keys(ilp32)])].sort());
  });

  it('sizes and field offsets are those of the C headers for 64-bit guests', () => {
    for (const [name, layout] of layouts.filter(([n]) => n in lp64)) {
      expect(`${name} ${words(layout, lp64[name]!)}`).toBe(`${name} ${lp64[name]}`);
    }
  });

  it('sizes and field offsets are those of the C headers for 32-bit guests', () => {
    for (const [name, layout] of layouts.filter(([n]) => n in ilp32)) {
      expect(`${name} ${words(layout, ilp32[name]!)}`).toBe(`${name} ${ilp32[name]}`);
    }
  });

  it('a 32-bit layout has the fields of its 64-bit one, except for register frames and callbacks', () => {
    const differ = new Set(['cpu_user_regs_32', 'vcpu_guest_context_32', 'callback_register_32']);
    const byName = new Map(layouts);
    for (const [name, layout] of layouts.filter(([n, l]) => n !== l.$.name && !differ.has(n))) {
      expect([name, layout.$.fields]).toEqual([name, byName.get(layout.$.name)!.$.fields]);
    }
  });

  it('a wrong offset or a wrong size is noticed', () => {
    const [name, layout] = layouts.find(([n]) => n === 'evtchn_status')!;
    const moved = { ...layout, vcpu: { ...layout.vcpu!, offset: 8 } } as unknown as Layout;
    expect(words(moved, lp64[name]!)).not.toBe(lp64[name]);
    const longer = { ...layout, $: { ...layout.$, size: 32 } } as Layout;
    expect(words(longer, lp64[name]!)).not.toBe(lp64[name]);
  });
});

describe('constants', () => {
  it('every constant has the value it has in the C headers', () => {
    const found = Object.fromEntries(numbers.map(([name, v]) => [name, v.toString()]));
    expect(found).toEqual(constants);
  });

  it('errors are named by number, negative or positive, the first name winning', () => {
    expect(errnoName(-XEN_EINVAL)).toBe('EINVAL');
    expect(errnoName(11)).toBe('EAGAIN');
    expect(errnoName(-4000)).toBe('4000');
  });
});

describe('widths', () => {
  const m = Mem.alloc(64);

  it('a kernel address survives as a negative number', () => {
    m.setU64(0, 0xffff888012345678n);
    const va = sn64.get(m, 0);
    expect(BigInt.asUintN(64, BigInt(va))).toBe(0xffff888012345678n);
    sn64.set(m, 8, va);
    expect(m.u64(8)).toBe(0xffff888012345678n);
  });

  it('a negative result is stored in full', () => {
    multicall_entry.result.set(m, 0, -XEN_EINVAL);
    expect(m.s64(8)).toBe(-22n);
    multicall_entry_32.result.set(m, 0, -XEN_EINVAL);
    expect(m.u32(4)).toBe(0xffffffea);
  });

  it('64-bit fields of 32-bit guests are read where no 8-byte alignment holds', () => {
    vcpu_runstate_info_32.state_entry_time.set(m, 0, 0x123456789abcdefn);
    expect(m.u64(4)).toBe(0x123456789abcdefn);
  });

  it('a word of a 32-bit guest keeps its low half', () => {
    W32.word.set(m, 0, 0x1_2345_6789n);
    expect(W32.word.get(m, 0)).toBe(0x23456789n);
  });
});

describe('rings and frames', () => {
  it('a one-page ring holds 32 block requests and 256 network transmit requests', () => {
    expect(ringEntries(4096, 112)).toBe(32);
    expect(ringEntries(4096, 12)).toBe(256);
  });

  it('the special pages of a PVH domain are where the toolstack says', () => {
    expect(specialGfn('xenstore')).toBe(0xfeffc);
    expect(specialGfn('console')).toBe(0xfefff);
  });
});
