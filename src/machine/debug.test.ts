/** Debug exceptions and what software interrupts push, in 64-bit ring 3. */
import { describe, expect, test } from 'vitest';
import { cpuState } from './cpu-state.ts';
import { TestCpu } from './testing.ts';

const CODE = 0x40_0000;
const DATA = 0x50_0000;
const TF = 0x100;
const RF = 0x1_0000;
const DB = 1;
/** DR7 with breakpoint 0 enabled. */
const dr7 = (rw: number, len: number): bigint => BigInt((len << 18) | (rw << 16) | 0x401);
const EXEC = dr7(0, 0);
const WRITE_1 = dr7(1, 0);
const WRITE_4 = dr7(1, 3);
const ACCESS_4 = dr7(3, 3);

interface Setup {
  flags?: number;
  dr0?: number;
  dr7?: bigint;
}

function start(code: readonly number[], setup: Setup = {}): TestCpu {
  const t = new TestCpu();
  const at = t.map(CODE);
  t.map(DATA);
  t.map(0x60_0000);
  code.forEach((b, i) => {
    t.m.setU8(at + i, b);
  });
  t.engine.core.cpu = t.cpu;
  t.m.setU64(cpuState.gpr.addr(t.cpu, 3), BigInt(DATA)); // rbx
  t.m.setU64(cpuState.gpr.addr(t.cpu, 4), 0x60_0800n);
  t.m.setU64(cpuState.dr.addr(t.cpu, 0), BigInt(setup.dr0 ?? 0));
  if (setup.dr7 !== undefined) t.m.setU64(cpuState.dr.addr(t.cpu, 7), setup.dr7);
  t.user(CODE, setup.flags ?? 0);
  return t;
}
const dr6 = (t: TestCpu): number => t.m.u32(cpuState.dr.addr(t.cpu, 6)) & 0xe00f;

const NOP = 0x90;
const UD2 = [0x0f, 0x0b];

describe('single-stepping', () => {
  test('traps after the instruction, with BS', () => {
    const t = start([NOP, ...UD2], { flags: TF });
    const out = t.run();
    expect(out).toMatchObject({ vector: DB, rip: BigInt(CODE + 1) });
    expect(out.flags & (TF | RF)).toBe(TF);
    expect(dr6(t)).toBe(0x4000);
  });

  test('a fault comes in place of the trap', () => {
    expect(start(UD2, { flags: TF }).run()).toMatchObject({ vector: 6, rip: BigInt(CODE) });
  });

  test('POPF that sets TF lets one instruction pass, and the one that clears it traps', () => {
    // pushf; or dword [rsp], 0x100; popf; nop
    const on = [0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d];
    expect(start([...on, NOP, NOP]).run()).toMatchObject({ vector: DB, rip: BigInt(CODE + 10) });
    const t = start([0x9d, NOP], { flags: TF });
    t.m.setU32(t.map(0x60_0000) + 0x800, 2);
    expect(t.run()).toMatchObject({ vector: DB, rip: BigInt(CODE + 1) });
  });

  test('MOV SS holds the trap off for one instruction', () => {
    const t = start([0x8e, 0xd0, NOP, NOP], { flags: TF }); // mov ss, eax
    t.m.setU32(cpuState.gpr.addr(t.cpu, 0), 0x23);
    expect(t.run()).toMatchObject({ vector: DB, rip: BigInt(CODE + 3) });
  });

  test('REP stops after each element, at the instruction', () => {
    const t = start([0xf3, 0xaa, NOP], { flags: TF }); // rep stosb
    t.m.setU64(cpuState.gpr.addr(t.cpu, 7), BigInt(DATA));
    t.m.setU64(cpuState.gpr.addr(t.cpu, 1), 3n);
    expect(t.run()).toMatchObject({ vector: DB, rip: BigInt(CODE) });
    expect(t.m.u32(cpuState.gpr.addr(t.cpu, 1))).toBe(2);
  });
});

describe('breakpoints', () => {
  test('on an instruction are faults before it, with RF in the image', () => {
    const t = start([NOP, NOP, NOP, ...UD2], { dr0: CODE + 2, dr7: EXEC });
    const out = t.run();
    expect(out).toMatchObject({ vector: DB, rip: BigInt(CODE + 2) });
    expect(out.flags & RF).toBe(RF);
    expect(dr6(t)).toBe(1);
  });

  test('RF lets the instruction run once', () => {
    expect(start([NOP, NOP, ...UD2], { dr0: CODE, dr7: EXEC, flags: RF }).run()).toMatchObject({ vector: 6 });
    // jmp back to the first one: there RF is over
    const loop = [NOP, 0xeb, 0xfd];
    expect(start(loop, { dr0: CODE, dr7: EXEC, flags: RF }).run()).toMatchObject({
      vector: DB,
      rip: BigInt(CODE),
    });
  });

  test('on a write trap behind it, and let reads pass', () => {
    const code = [0x8b, 0x03, 0x89, 0x03, NOP]; // mov eax, [rbx]; mov [rbx], eax
    const t = start(code, { dr0: DATA, dr7: WRITE_4 });
    expect(t.run()).toMatchObject({ vector: DB, rip: BigInt(CODE + 4) });
    expect(dr6(t)).toBe(1);
  });

  test('on reads and writes trap at reads too', () => {
    expect(start([0x8b, 0x03, NOP], { dr0: DATA, dr7: ACCESS_4 }).run()).toMatchObject({
      rip: BigInt(CODE + 2),
    });
  });

  test('cover their length and no more', () => {
    const byteAt = (n: number): number[] => [0xc6, 0x43, n, 7, ...UD2]; // mov byte [rbx+n], 7
    expect(start(byteAt(3), { dr0: DATA, dr7: WRITE_4 }).run().vector).toBe(DB);
    expect(start(byteAt(4), { dr0: DATA, dr7: WRITE_4 }).run().vector).toBe(6);
    expect(start(byteAt(1), { dr0: DATA, dr7: WRITE_1 }).run().vector).toBe(6);
  });

  test('see pushes', () => {
    expect(start([0x50, NOP], { dr0: 0x60_07f8, dr7: WRITE_4 }).run()).toMatchObject({ vector: DB });
  });
});

describe('software interrupts', () => {
  test('push the address behind them', () => {
    expect(start([0xcd, 0x80]).run()).toMatchObject({ vector: 0x80, rip: BigInt(CODE + 2) });
    expect(start([0xcc]).run()).toMatchObject({ vector: 3, rip: BigInt(CODE + 1) });
    expect(start([0xf1]).run()).toMatchObject({ vector: DB, rip: BigInt(CODE + 1) });
  });

  test('that cannot be delivered have not been executed', () => {
    const t = start([NOP, 0xcd, 0xff]);
    t.engine.core.set32(cpuState.idtLimit, 0xff * 16 - 1);
    expect(t.run()).toMatchObject({ vector: 13, errorCode: 0xff * 8 + 2, rip: BigInt(CODE + 1) });
  });

  test('ICEBP that cannot be delivered is an external event', () => {
    const t = start([0xf1]);
    const idt = t.engine.linearToMaddr(t.cpu, 0x8000_0000n, false);
    t.m.setU32(idt + 16 + 4, t.m.u32(idt + 16 + 4) & ~0x8000);
    expect(t.run()).toMatchObject({ vector: 11, errorCode: DB * 8 + 3, rip: BigInt(CODE) });
  });
});

test('IRET lets NMIs in again, even one that faults', () => {
  const blocked = (code: readonly number[]): number => {
    const t = start(code);
    cpuState.nmiBlocked.set(t.m, t.cpu, 1);
    t.run();
    return cpuState.nmiBlocked.get(t.m, t.cpu);
  };
  expect(blocked(UD2)).toBe(1);
  expect(blocked([0x48, 0xcf])).toBe(0);
});

test('what CPUID does not offer is #UD', () => {
  expect(start([0x0f, 0x01, 0xc1 + 1]).run().vector).toBe(6); // vmlaunch
  expect(start([0x0f, 0x01, 0xd8]).run().vector).toBe(6); // vmrun
  expect(start([0x0f, 0x01, 0xc8]).run().vector).toBe(6); // monitor
});
