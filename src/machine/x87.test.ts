/** Where x87 and MMX instructions do not run; what they do is compared with a real CPU in vectors-unit.test.ts. */
import { describe, expect, test } from 'vitest';
import { cpuState } from './cpu-state.ts';
import { type Outcome, TestCpu } from './testing.ts';

const CODE_BASE = 0x2000_0000;
const MEM_BASE = 0x1000_0000;

class Runner {
  readonly t = new TestCpu();
  readonly code = this.t.map(CODE_BASE, true, false);
  readonly mem = this.t.map(MEM_BASE);
}

/** Runs one snippet from a fresh unit with 1 in ST0; `prepare` may change more. */
function once(hexCode: string, prepare: (r: Runner) => void = () => {}): { r: Runner; o: Outcome } {
  const r = new Runner();
  const { m, cpu } = r.t;
  m.write(r.code, Buffer.from(`${hexCode}f4`, 'hex'));
  m.setU8(cpu + cpuState.ftw.offset, 0x80);
  m.setU16(cpu + cpuState.fsw.offset, 0x3800);
  m.setU64(cpuState.fpr.addr(cpu, 7), 1n << 63n);
  m.setU16(cpuState.fpr.addr(cpu, 7) + 8, 0x3fff);
  m.setU64(cpu + 7 * 8, BigInt(MEM_BASE));
  prepare(r);
  r.t.user(CODE_BASE, 2);
  return { r, o: r.t.run() };
}
/** What a store to [rdi] leaves there where rdi is in the page of the code. */
function storedInCode(hexCode: string, bytes: number): string {
  const at = 0x800;
  let page = 0;
  const { r } = once(hexCode, (q) => {
    page = q.t.map(CODE_BASE, true, true, q.code);
    q.t.m.fill(page + at, bytes + 1, 0xee);
    q.t.m.setU64(q.t.cpu + 7 * 8, BigInt(CODE_BASE + at));
  });
  return Buffer.from(r.t.m.copy(page + at, bytes + 1)).toString('hex');
}
function setCr0(r: Runner, bits: bigint): void {
  r.t.engine.core.cpu = r.t.cpu;
  r.t.engine.core.set(cpuState.cr0, 0x8005_0033n | bits);
}

describe('faults of x87 and MMX', () => {
  test('a store that faults leaves stack and status as they were', () => {
    // fstp qword [rdi], beyond the mapped page
    const { r, o } = once('dd1f', (q) => q.t.m.setU64(q.t.cpu + 7 * 8, BigInt(MEM_BASE + 4092)));
    expect(o.vector).toBe(14);
    expect(o.rip).toBe(BigInt(CODE_BASE));
    expect(r.t.m.u16(r.t.cpu + cpuState.fsw.offset)).toBe(0x3800);
    expect(r.t.m.u8(r.t.cpu + cpuState.ftw.offset)).toBe(0x80);
  });
  test('a store to a page with code is whole', () => {
    // fnclex, so that the page is known to have code; fstp tword [rdi] and fnstenv [rdi]
    expect(storedInCode('dbe2db3f', 10)).toBe('0000000000000080ff3fee');
    expect(storedInCode('dbe2d937', 28)).toBe(`7f03ffff0038ffffff3fffff${'0'.repeat(28)}ffffee`);
  });
  test('a task switch pending makes both raise #NM', () => {
    for (const code of ['d9e8', '0ffec1', '0f77', 'd93f', '9b']) {
      expect(once(code, (r) => setCr0(r, 8n)).o.vector).toBe(7);
    }
  });
  test('emulation makes x87 raise #NM and MMX #UD', () => {
    expect(once('d9e8', (r) => setCr0(r, 4n)).o.vector).toBe(7);
    expect(once('0ffec1', (r) => setCr0(r, 4n)).o.vector).toBe(6);
  });
  test('an unmasked exception is raised by the next waiting instruction', () => {
    // fldcw [rdi] with ZE unmasked, fldz, fdivp, fnstsw ax, fwait
    const { r, o } = once('d92fd9eedef9dfe09b', (q) => q.t.m.setU16(q.mem, 0x37b));
    expect(o.vector).toBe(16);
    expect(o.rip).toBe(BigInt(CODE_BASE + 8));
    expect(r.t.m.u16(r.t.cpu) & 0x80ff).toBe(0x8084);
  });
  test('it has to wait while CR0.NE is clear', () => {
    const { o } = once('d92fd9eedef9dfe09b', (q) => {
      q.t.m.setU16(q.mem, 0x37b);
      q.t.engine.core.cpu = q.t.cpu;
      q.t.engine.core.set(cpuState.cr0, 0x8005_0013n);
    });
    expect(o.vector).toBe(13);
  });
});
