/** Regions of 32-bit code: over pages and into functions as in 64-bit mode, though addresses wrap and segments have bases. */
import { describe, expect, test } from 'vitest';
import { cpuState, SEG } from '../cpu-state.ts';
import { codePage } from '../engine/code-tlb.ts';
import { TLB_EXEC } from '../interp/record.ts';
import { nullPlatform, TestCpu } from '../testing.ts';
import { formRegion } from './job.ts';
import { COMPILE_ALL, type CompileOptions } from './regions.ts';

const CODE = 0x40_0000;
const STACK = 0x50_0000;
const DATA = 0x60_0000;
const LAST_PAGE = 0xffff_f000;
const [RAX, RBX, RCX, RDX, RSP] = [0, 3, 1, 2, 4];
const GP = 13;
/** Hot soon, and in the middle of what runs. */
const SOON: CompileOptions = { sampleEvery: 4, hot: 2, batch: 1, patience: 0 };
const WAYS: [string, CompileOptions | undefined][] = [
  ['interpreted', undefined],
  ['compiled from the start', COMPILE_ALL],
  ['compiled once it is hot', SOON],
];

/** Ring 3 of a 32-bit program under a 64-bit kernel. */
class Compat {
  readonly t: TestCpu;
  constructor(compile: CompileOptions | undefined) {
    this.t = new TestCpu(nullPlatform, { compile });
    this.t.map(STACK - 4096);
  }
  /** A new page with code in hex at its start, and HLT behind. */
  page(linear: number, code: string, at = 0): number {
    const frame = this.t.map(linear);
    this.t.m.fill(frame, 4096, 0xf4);
    this.t.m.write(frame + at, Uint8Array.from(Buffer.from(code.replace(/\s/g, ''), 'hex')));
    return frame;
  }
  /** Until HLT, which is #GP there. */
  run(rip: number, codeBase = 0) {
    const { t } = this;
    const c = t.engine.core;
    t.user(rip, 0);
    c.setSeg(SEG.cs, 0x1b, 0xcfb, 0xffff_ffff, codeBase);
    t.engine.stateChanged(t.cpu);
    const outcome = t.run();
    expect(outcome.vector).toBe(GP);
    return outcome;
  }
  set(r: number, v: number): void {
    this.t.m.setU64(cpuState.gpr.addr(this.t.cpu, r), BigInt(v));
  }
  get(r: number): number {
    return Number(this.t.m.u64(cpuState.gpr.addr(this.t.cpu, r)));
  }
}

/** mov ecx,50; again: call the next page; dec ecx; jnz again; jmp 16 bytes into the next page, where a HLT is */
const CALLER = 'b932000000 e8f60f0000 49 75f8 e9fe0f0000';
/** inc eax; ret      and: add eax,5; ret */
const ONE = '40 c3';
const FIVE = '83c005 c3';

function caller(compile: CompileOptions | undefined) {
  const g = new Compat(compile);
  const first = g.page(CODE, CALLER);
  const second = g.page(CODE + 4096, ONE);
  g.set(RAX, 0);
  g.set(RSP, STACK);
  expect(g.run(CODE).rip).toBe(BigInt(CODE + 0x1010));
  expect(g.get(RAX)).toBe(50);
  g.set(RAX, 0);
  g.set(RSP, STACK);
  return { g, first, second };
}

test('a region of 32-bit code goes on into what it calls on another page', () => {
  const { g } = caller(undefined);
  const { t } = g;
  const tlb = t.cpu + TLB_EXEC;
  g.run(CODE);
  const context = t.m.u32(cpuState.tlbCtx.addr(t.cpu)) | 0x10;
  const tables = [CODE, CODE + 4096].map((page) => codePage(t.m, tlb, page, context));
  const starts = [{ page: 0, table: tables[0] as number, off: 5 }];
  const job = { id: 0x1_0000, base: CODE, starts, merged: false, tlb, context, samples: 0 };
  expect(formRegion(t.m, { ...job, codeSize: 32 })?.formed.tables.toSorted()).toEqual(tables.toSorted());
  expect(formRegion(t.m, { ...job, codeSize: 16 })?.formed.tables).toEqual([tables[0]]);
});

describe.each(WAYS)('32-bit code that is %s', (_, compile) => {
  test('goes on across pages, with an instruction that lies on both', () => {
    const g = new Compat(compile);
    // mov ecx,80; jmp 0xffe; at 0xffe: add eax,0x01020304 (5 bytes); dec ecx; jnz 0xffe; hlt
    const first = g.page(CODE, 'b950000000 e9f40f0000');
    const second = g.page(CODE + 4096, '020301 49 75f8');
    g.t.m.write(first + 0xffe, Uint8Array.of(0x05, 0x04));
    g.t.m.write(second, Uint8Array.of(0x03, 0x02, 0x01));
    g.set(RAX, 0);
    g.run(CODE);
    expect(g.get(RAX)).toBe((0x0102_0304 * 80) % 2 ** 32);
  });

  test('sees another page under what it called', () => {
    const { g } = caller(compile);
    g.page(CODE + 4096, FIVE);
    g.run(CODE);
    expect(g.get(RAX)).toBe(250);
  });

  test('wraps where the last page of all is followed by the first', () => {
    const { g, first, second } = caller(compile);
    g.t.map(LAST_PAGE, true, true, first);
    g.t.map(0, true, true, second);
    expect(g.run(LAST_PAGE).rip).toBe(0x10n);
    expect(g.get(RAX)).toBe(50);
  });

  test('counts from the base of its segment, whatever that was when it was compiled', () => {
    const { g, first } = caller(compile);
    const base = 0x10_0000;
    // the page behind in the segment calls the one that would be behind without a base
    g.t.map(CODE + base, true, true, first);
    g.page(CODE + base + 4096, `e8${word(-base - 5 + 0)} 83c004 c3`);
    expect(g.run(CODE, base).rip).toBe(BigInt(CODE + 0x1010));
    expect(g.get(RAX)).toBe(250);
  });

  test('accesses what is near across the end of all addresses', () => {
    const g = new Compat(compile);
    const [last, first] = [g.t.map(LAST_PAGE), g.t.map(0)];
    g.t.m.setU32(last + 0xffc, 1);
    g.t.m.setU64(first, 0x3_0000_0002n);
    // mov eax,[ebx]; add ebx,4; mov ecx,[ebx]; inc ebx; mov edx,[ebx+3]; dec ebx; mov ebx,[ebx-4]
    g.page(CODE, '8b03 83c304 8b0b 43 8b5303 4b 8b5bfc');
    g.set(RBX, 0xffff_fffc);
    g.run(CODE);
    expect([RAX, RCX, RDX, RBX].map((r) => g.get(r))).toEqual([1, 2, 3, 1]);
  });

  test('accesses its stack as wide as that is', () => {
    const g = new Compat(compile);
    const [bottom, top] = [g.t.map(DATA), g.t.map(DATA + 0x1_0000)];
    // mov edi,40; again: mov esp,2; mov eax,[esp]; mov [esp],eax; push ebx; mov ecx,[esp]; dec edi; jnz again; with a stack of 16 bits
    g.page(CODE, 'bf28000000 bc02000000 8b0424 890424 53 8b0c24 4f 75ee');
    const c = g.t.engine.core;
    const { user } = g.t;
    g.t.user = (rip, flags) => {
      user.call(g.t, rip, flags);
      c.setSeg(SEG.ss, 0x23, 0x8f3, 0xffff_ffff, DATA + 8);
    };
    g.t.m.setU32(bottom + 8 + 2, 7);
    g.set(RBX, 9);
    expect(g.run(CODE).rsp).toBe(0xfffen);
    expect([RAX, RCX].map((r) => g.get(r))).toEqual([7, 9]);
    expect([bottom, top].map((page) => g.t.m.u32(page + 6))).toEqual([0, 9]);
  });
});

/** A 32-bit word in hex. */
function word(v: number): string {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, v, true);
  return Buffer.from(bytes).toString('hex');
}
