import { describe, expect, it } from 'vitest';
import { cpuState } from '../cpu-state.ts';
import { TestCpu } from '../testing.ts';

const CODE = 0x2000_0000;
const HLT = 0xf4; // in ring 3: #GP where it stands

/** A CPU with three code pages of HLT at CODE; `put` writes bytes across them. */
function cpuWithPages() {
  const t = new TestCpu();
  const pages = [0, 1, 2].map((i) => t.map(CODE + i * 4096));
  for (const page of pages) t.m.fill(page, 4096, HLT);
  const put = (offset: number, bytes: readonly number[]): void => {
    bytes.forEach((b, i) => {
      t.m.setU8(pages[(offset + i) >> 12]! + ((offset + i) & 4095), b);
    });
  };
  const run = (offset: number): number => {
    t.user(CODE + offset, 0);
    const o = t.run();
    expect(o.vector).toBe(13);
    return Number(o.rip) - CODE;
  };
  return { t, pages, put, run, reg: (r: number) => t.m.u64(cpuState.gpr.addr(t.cpu, r)) };
}

describe('code at the end of a page', () => {
  it('goes on in the next page, whatever was translated of others', () => {
    const { put, run } = cpuWithPages();
    put(0xffe, [0x90, 0x90]);
    expect(run(0)).toBe(0);
    expect(run(0x2000)).toBe(0x2000);
    expect(run(0xffe)).toBe(0x1000);
  });

  it.each([
    ['a load through a segment', 0xff9, [0x65, 0x48, 0x8b, 0x04, 0x25, 0x28, 0x00, 0x00, 0x20], 0x1002],
    ['a register move', 0xffe, [0x48, 0x89, 0xd8], 0x1001],
    ['a jump', 0xfff, [0xeb, 0x07], 0x1008],
    ['a branch that is not taken', 0xffc, [0x48, 0x39, 0xc0, 0x75, 0x07], 0x1001],
    ['a long jump back', 0xffd, [0xe9, 0x0e, 0xf0, 0xff, 0xff], 0x10],
  ])('may lie across two pages: %s', (_what, at, bytes, next) => {
    const { put, run } = cpuWithPages();
    put(at, bytes);
    expect(run(at)).toBe(next);
  });
});

describe('code that changes', () => {
  it('runs as it was written from another page, however often', () => {
    const { t, pages, put, run, reg } = cpuWithPages();
    put(0x1000, [0xb0, 0x00]); // mov al, 0
    expect(run(0x1000)).toBe(0x1002);
    for (let k = 1; k < 12; k++) {
      t.engine.dropCode(pages[0]! / 4096);
      put(0, [0xc6, 0x05, 0xf9, 0x17, 0, 0, k]); // mov byte [data], k
      put(7, [0xc6, 0x05, 0xf3, 0x0f, 0, 0, k]); // the immediate
      put(14, [0xe9, 0xed, 0x0f, 0, 0]); // jmp there
      expect(run(0)).toBe(0x1002);
      expect(reg(0) & 0xffn).toBe(BigInt(k));
      expect(t.m.u8(pages[1]! + 0x800)).toBe(k);
    }
  });

  it('runs as it was written, an instruction after the write', () => {
    const { put, run, reg } = cpuWithPages();
    // mov byte [rip+1], 0x07 ; mov al, 0x01  -> the immediate of the second becomes 7
    put(0, [0xc6, 0x05, 0x01, 0x00, 0x00, 0x00, 0x07, 0xb0, 0x01]);
    expect(run(0)).toBe(9);
    expect(reg(0) & 0xffn).toBe(7n);
    // and again, now that it is known that the page holds both code and data
    put(8, [0x02]);
    expect(run(0)).toBe(9);
    expect(reg(0) & 0xffn).toBe(7n);
  });

  it('keeps data beside it writable', () => {
    const { t, put, run, pages } = cpuWithPages();
    // 1000 times: add qword [rip+0x400], 1
    put(
      0,
      [0xb9, 0xe8, 0x03, 0x00, 0x00, 0x48, 0x83, 0x05, 0xf8, 0x03, 0x00, 0x00, 0x01, 0xff, 0xc9, 0x75, 0xf4],
    );
    t.m.setU64(pages[0]! + 0x405, 0n);
    expect(run(0)).toBe(17);
    expect(t.m.u64(pages[0]! + 0x405)).toBe(1000n);
  });

  it('is seen when it was written through another address', () => {
    const { t, put, run, pages, reg } = cpuWithPages();
    const alias = 0x3000_0000;
    t.map(alias, true, true, pages[1]);
    put(0x1000, [0xb0, 0x01]);
    expect(run(0x1000)).toBe(0x1002);
    expect(reg(0) & 0xffn).toBe(1n);
    // mov byte [rdi+1], 9 ; jmp to the second page
    put(0, [0xc6, 0x47, 0x01, 0x09, 0xe9, 0xf7, 0x0f, 0x00, 0x00]);
    t.m.setU64(cpuState.gpr.addr(t.cpu, 7), BigInt(alias));
    expect(run(0)).toBe(0x1002);
    expect(reg(0) & 0xffn).toBe(9n);
  });
});

describe('a near branch out of the canonical addresses', () => {
  const AWAY = 0x8000_0000_0000_0000n;
  it.each([
    ['JMP', [0xff, 0xe0], 0],
    ['CALL', [0xff, 0xd0], 0],
    ['CALL through memory', [0xff, 0x14, 0x24], 0],
    ['PUSH and RET', [0x50, 0xc3], 1],
  ])('faults where it stands, having done nothing: %s', (_what, bytes, at) => {
    const { t, put } = cpuWithPages();
    const stack = t.map(CODE + 0x1_0000);
    t.m.setU64(stack + 0x800, AWAY);
    t.m.setU64(cpuState.gpr.addr(t.cpu, 0), AWAY);
    t.m.setU64(cpuState.gpr.addr(t.cpu, 4), BigInt(CODE + 0x1_0800));
    put(0, bytes);
    t.user(CODE, 0);
    const { vector, errorCode, rip, rsp } = t.run();
    expect({ vector, errorCode, rip, rsp }).toEqual({
      vector: 13,
      errorCode: 0,
      rip: BigInt(CODE + at),
      rsp: BigInt(CODE + 0x1_0800 - at * 8),
    });
  });
});

describe('a software interrupt', () => {
  it('by the vector of #DF faults as any other', () => {
    const { t, put } = cpuWithPages();
    // the gate asks for ring 0
    t.m.setU8(t.engine.linearToMaddr(t.cpu, 0x8000_0000n + 8n * 16n + 5n, false), 0x8e);
    put(0, [0xcd, 0x08]);
    t.user(CODE, 0);
    expect(t.run()).toMatchObject({ vector: 13, errorCode: 0x42 });
  });
});
