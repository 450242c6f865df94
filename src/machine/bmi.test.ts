/** Where instructions of the newer families do not run; what they do is compared with a real CPU in vectors-integer.test.ts. */
import { describe, expect, test } from 'vitest';
import { cpuState, SEG } from './cpu-state.ts';
import { EXIT, type Exit } from './platform.ts';
import { TestCpu } from './testing.ts';

const HLT = 0xf4;
const PE = 0x01;
const CODE = 0x2000_0000;

/** 16- or 32-bit code without paging and without handlers: a fault is a triple fault. */
class Unpaged {
  readonly t = new TestCpu();
  private readonly code = this.t.machine.allocFrame() * 4096;

  run(cr0: number, attr: number, code: readonly number[]): Exit {
    const { t } = this;
    const c = t.engine.core;
    t.engine.dropCode(this.code >>> 12);
    t.m.write(this.code, Uint8Array.from([...code, HLT]));
    c.cpu = t.cpu;
    c.set(cpuState.cr0, BigInt(0x10 | cr0));
    c.set(cpuState.efer, 0n);
    t.m.setU64(t.cpu + cpuState.cpl.offset, 0n);
    c.set32(cpuState.idtLimit, 0);
    c.setSeg(SEG.cs, 8, attr, 0xffff_ffff, this.code);
    for (const s of [SEG.es, SEG.ss, SEG.ds]) c.setSeg(s, 16, 0xc93, 0xffff_ffff, 0);
    c.flags = 2;
    c.setGpr32(1, 0xff);
    c.setGpr32(2, 0x8234_5678);
    c.setLin(cpuState.rip, 0);
    t.engine.stateChanged(t.cpu);
    return t.engine.run(t.cpu, 1000) as Exit;
  }
  get eax(): number {
    return this.t.engine.core.gpr32(0);
  }
}

const CODE16 = 0x9b;
const CODE32 = 0xc9b;
/** andn eax, ecx, edx; pext eax, edx, ecx; blsr eax, edx */
const ANDN = [0xc4, 0xe2, 0x70, 0xf2, 0xc2];
const PEXT = [0xc4, 0xe2, 0x6a, 0xf5, 0xc1];
const BLSR = [0xc4, 0xe2, 0x78, 0xf3, 0xca];

describe('instructions with a VEX prefix', () => {
  test('are of 32 bits in 16- and 32-bit code', () => {
    const u = new Unpaged();
    for (const attr of [CODE16, CODE32]) {
      expect(u.run(PE, attr, ANDN)).toBe(EXIT.hlt);
      expect(u.eax).toBe(0x8234_5600);
      expect(u.run(PE, attr, PEXT)).toBe(EXIT.hlt);
      expect(u.eax).toBe(0x78);
      expect(u.run(PE, attr, BLSR)).toBe(EXIT.hlt);
      expect(u.eax).toBe(0x8234_5670);
    }
  });

  test('do not exist in real mode', () => {
    const u = new Unpaged();
    expect(u.run(0, CODE16, [])).toBe(EXIT.hlt);
    for (const code of [ANDN, PEXT, BLSR]) expect(u.run(0, CODE16, code)).toBe(EXIT.tripleFault);
  });

  test('ignore W outside 64-bit code', () => {
    const u = new Unpaged();
    expect(u.run(PE, CODE32, ANDN.with(2, 0xf0))).toBe(EXIT.hlt);
    expect(u.eax).toBe(0x8234_5600);
  });
});

test('ADOX with an operand-size prefix is of 32 bits all the same', () => {
  const u = new Unpaged();
  // adox eax, edx
  expect(u.run(PE, CODE32, [0x31, 0xc0, 0x66, 0xf3, 0x0f, 0x38, 0xf6, 0xc2])).toBe(EXIT.hlt);
  expect(u.eax).toBe(0x8234_5678);
});

describe('AES and SHA instructions', () => {
  /** aesenc xmm1, xmm2; sha256msg1 xmm1, xmm2 */
  const each = [
    [0x66, 0x0f, 0x38, 0xdc, 0xca],
    [0x0f, 0x38, 0xcc, 0xca],
  ];
  function vectorWith(code: readonly number[], cr0: bigint, cr4: bigint): number {
    const t = new TestCpu();
    t.m.write(t.map(CODE, true, false), Uint8Array.from([...code, HLT]));
    const c = t.engine.core;
    c.cpu = t.cpu;
    c.set(cpuState.cr0, c.get(cpuState.cr0) | cr0);
    c.set(cpuState.cr4, c.get(cpuState.cr4) & ~cr4);
    t.user(CODE, 0);
    return t.run().vector;
  }
  test('are #NM after a task switch and #UD without OSFXSR', () => {
    for (const code of each) {
      expect(vectorWith(code, 8n, 0n)).toBe(7);
      expect(vectorWith(code, 0n, 0x200n)).toBe(6);
      expect(vectorWith(code, 0n, 0n)).toBe(13);
    }
  });
});
