/** What compiled code knows of addresses, flags and registers within a region, and what a fault shows of it. */
import { describe, expect, test } from 'vitest';
import { cpuState } from '../cpu-state.ts';
import { nullPlatform, TestCpu } from '../testing.ts';
import { COMPILE_ALL } from './regions.ts';

const CODE = 0x40_0000;
const DATA = 0x50_0000;
/** A page table is mapped here. */
const TABLE = 0x60_0000;
const [RAX, RCX, RDX, RBX, RSP, RSI, RDI] = [0, 1, 2, 3, 4, 6, 7];
const PF = 14;
const UD = 6;
const SMAP = 1 << 21;
const STATUS = 0x8d5;

/** Compiled before it runs; DATA and the page behind it are mapped, to frames that are not neighbours. */
function start(code: string, supervisor = false): TestCpu {
  const t = new TestCpu(nullPlatform, { compile: COMPILE_ALL });
  const at = t.map(CODE, !supervisor);
  [...Buffer.from(`${code.replace(/\s/g, '')}0f0b`, 'hex')].forEach((b, i) => {
    t.m.setU8(at + i, b);
  });
  t.map(DATA + 4096);
  t.map(DATA);
  set(t, RBX, DATA);
  if (supervisor) t.supervisor(CODE);
  else t.user(CODE, 0);
  return t;
}
function set(t: TestCpu, r: number, v: number): void {
  t.m.setU64(cpuState.gpr.addr(t.cpu, r), BigInt(v));
}
const reg = (t: TestCpu, r: number): number => Number(t.m.u64(cpuState.gpr.addr(t.cpu, r)));
const frameOf = (t: TestCpu, linear: number): number => t.m.u32(t.entry(linear)) & ~0xfff;

describe('accesses near one that has been looked up', () => {
  test('go to the next page where they are on it, or on both', () => {
    // mov eax,[rbx]; mov ecx,[rbx+4]; mov edx,[rbx+2]; mov esi,[rbx-4]
    const t = start('8b03 8b4b04 8b5302 8b73fc');
    set(t, RBX, DATA + 0xffc);
    t.m.setU64(frameOf(t, DATA) + 0xff8, 0x0403_0201_1413_1211n);
    t.m.setU32(frameOf(t, DATA + 4096), 0x0807_0605);
    expect(t.run().vector).toBe(UD);
    expect([RAX, RCX, RDX, RSI].map((r) => reg(t, r))).toEqual([
      0x0403_0201, 0x0807_0605, 0x0605_0403, 0x1413_1211,
    ]);
  });

  test('of a stack that goes on below a page fault there, with what was pushed before', () => {
    // push rax; push rcx; push rdx
    const t = start('50 51 52');
    set(t, RSP, DATA + 16);
    set(t, RAX, 1);
    set(t, RCX, 2);
    const { vector, cr2, rip, rsp } = t.run();
    expect([vector, cr2, rip, rsp]).toEqual([PF, BigInt(DATA - 8), BigInt(CODE + 2), BigInt(DATA)]);
    expect(t.m.u64(frameOf(t, DATA))).toBe(2n);
    expect(t.m.u64(frameOf(t, DATA) + 8)).toBe(1n);
  });

  test('are looked up for writing where that one was for reading', () => {
    // mov eax,[rbx]; mov [rbx],ecx
    const t = start('8b03 890b');
    t.map(DATA, true, false);
    expect(t.run()).toMatchObject({ vector: PF, errorCode: 7, rip: BigInt(CODE + 2) });
  });

  test('go where the register has gone meanwhile', () => {
    // mov eax,[rbx]; lea rdi,[rbx+8]; mov ecx,[rdi-4]; mov rbx,rsi; mov edx,[rbx]
    const t = start('8b03 488d7b08 8b4ffc 4889f3 8b13');
    set(t, RSI, DATA + 4096);
    t.m.setU64(frameOf(t, DATA), 0x2_0000_0001n);
    t.m.setU32(frameOf(t, DATA + 4096), 3);
    expect(t.run().vector).toBe(UD);
    expect([RAX, RCX, RDX].map((r) => reg(t, r))).toEqual([1, 2, 3]);
  });

  test('are shut out again by CLAC', () => {
    // stac; mov eax,[rbx]; clac; mov ecx,[rbx]
    const t = start('0f01cb 8b03 0f01ca 8b0b', true);
    t.m.setU32(cpuState.cr4.addr(t.cpu), 0x6b0 | SMAP);
    t.engine.stateChanged(t.cpu);
    t.m.setU32(frameOf(t, DATA), 7);
    expect(t.run()).toMatchObject({ vector: PF, errorCode: 1, rip: BigInt(CODE + 8) });
    expect(reg(t, RAX)).toBe(7);
  });

  test('see another page after INVLPG', () => {
    // mov eax,[rbx]; mov [rdi],rsi; invlpg [rbx]; mov ecx,[rbx]
    const t = start('8b03 488937 0f013b 8b0b', true);
    const entry = t.entry(DATA);
    t.map(TABLE, false, true, entry & ~0xfff);
    set(t, RDI, TABLE + (entry & 0xfff));
    set(t, RSI, frameOf(t, DATA + 4096) + 3);
    t.m.setU32(frameOf(t, DATA), 1);
    t.m.setU32(frameOf(t, DATA + 4096), 2);
    expect(t.run().vector).toBe(UD);
    expect([reg(t, RAX), reg(t, RCX)]).toEqual([1, 2]);
  });
});

describe('a fault in a loop', () => {
  test.each([
    // loop: mov eax,[rbx]; add rbx,4096; cmp ecx,5; jne loop
    ['a comparison', '8b03 4881c300100000 83f905 75f2', 0x91],
    // loop: mov eax,[rbx]; add rbx,4096; stc; dec ecx; jmp loop
    ['DEC, and the carry from before it', '8b03 4881c300100000 f9 ffc9 ebf2', 0x01],
    // loop: mov eax,[rbx]; add rbx,4096; xor edx,edx; jmp loop
    ['a logical operation', '8b03 4881c300100000 31d2 ebf3', 0x44],
    // loop: mov eax,[rbx]; add rbx,4096; add dl,0xff; jmp loop
    ['an addition of bytes', '8b03 4881c300100000 80c2ff ebf2', 0x15],
  ])('shows the flags of %s in the turn before', (_name, code, flags) => {
    const t = start(code);
    set(t, RCX, 3);
    set(t, RDX, 0x80);
    const outcome = t.run();
    expect(outcome).toMatchObject({ vector: PF, cr2: BigInt(DATA + 8192), rip: BigInt(CODE) });
    expect(outcome.flags & STATUS).toBe(flags);
  });

  test('shows what the registers have become', () => {
    // loop: add rax,rdx; mov [rbx+rcx*8],rax; add rcx,1; cmp rcx,5000; jne loop
    const t = start('4801d0 488904cb 4883c101 4881f988130000 75ec');
    set(t, RDX, 3);
    expect(t.run()).toMatchObject({ vector: PF, cr2: BigInt(DATA + 8192) });
    expect([reg(t, RAX), reg(t, RCX)]).toEqual([3 * 1025, 1024]);
    expect(t.m.u64(frameOf(t, DATA + 4096) + 0xff8)).toBe(3n * 1024n);
  });
});
