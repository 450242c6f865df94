/** Control registers, XCR0, and what CR4 turns on or keeps from user code. @spec SDM 3A 2.5, 2.6; APM 2 3.1 */
import type { Asm } from '../asm.ts';
import { Events } from '../events.ts';
import type { Guest } from '../guest.ts';
import { cr, mem, R } from '../registers.ts';

const UD = 6;
const GP = 13;
const CR4 = {
  TSD: 1 << 2,
  PAE: 1 << 5,
  PCE: 1 << 8,
  UMIP: 1 << 11,
  FSGSBASE: 1 << 16,
  PCIDE: 1 << 17,
  OSXSAVE: 1 << 18,
};
const NON_CANONICAL = 0x8000_0000_0000n;

function set(a: Asm, bits: number): void {
  a.mov(R.rax, cr(4));
  a.alu('or', R.eax, bits);
  a.mov(cr(4), R.rax);
}
function clear(a: Asm, bits: number): void {
  a.mov(R.rax, cr(4));
  a.alu('and', R.eax, ~bits);
  a.mov(cr(4), R.rax);
}

/** MOV to a control register of its value, changed. */
function change(e: Events, name: string, n: number, how: (a: Asm) => void, ok = false): void {
  const { a } = e.g;
  const at = a.fresh('at');
  e.check(name, ok ? [] : [{ vector: GP, error: 0, ip: at }], () => {
    a.mov(R.rax, cr(n));
    a.mov(R.rbp, R.rax);
    how(a);
    a.label(at);
    a.mov(cr(n), R.rax);
    if (ok) a.mov(cr(n), R.rbp);
  });
}
const or =
  (v: bigint) =>
  (a: Asm): void => {
    a.mov(R.rcx, v);
    a.alu('or', R.rax, R.rcx);
  };
const without =
  (v: number) =>
  (a: Asm): void =>
    a.alu('and', R.rax, ~v);

function controlRegisters(e: Events): void {
  const { a } = e.g;
  change(e, 'CR0 beyond 32 bits', 0, or(1n << 32n));
  change(e, 'CR0 without PE', 0, without(1));
  change(e, 'CR0 without PG in 64-bit code', 0, (x) => {
    x.mov(R.rcx, 0x7fff_ffffn);
    x.alu('and', R.rax, R.rcx);
  });
  change(e, 'CR0.NW without CD', 0, or(0x2000_0000n));
  change(e, 'CR0.CD', 0, or(0x4000_0000n), true);
  change(e, 'reserved bits of CR0', 0, or(0x1ffaffc0n), true);
  change(e, 'CR3 beyond physical addresses', 3, or(1n << 52n));
  change(e, 'CR3 bit 63 without PCIDs', 3, or(1n << 63n));
  for (const bit of [15n, 19n, 26n, 31n, 32n, 63n]) change(e, `CR4 bit ${bit}`, 4, or(1n << bit));
  change(e, 'CR4 without PAE', 4, without(CR4.PAE));
  e.check('a PCID other than 0 keeps PCIDE off', [{ vector: GP, error: 0 }], () => {
    a.mov(R.rax, cr(3));
    a.alu('or', R.eax, 0x18); // PCD PWT are PCID bits with PCIDE
    a.mov(cr(3), R.rax);
    a.mov(R.rax, cr(4));
    a.alu('or', R.eax, CR4.PCIDE);
    a.mov(cr(4), R.rax);
  });
  a.mov(R.rax, cr(3));
  a.alu('and', R.eax, ~0x18);
  a.mov(cr(3), R.rax);
  e.check('CR8 above 15', [{ vector: GP, error: 0 }], () => {
    a.mov(R.eax, 16);
    a.db(0x44, 0x0f, 0x22, 0xc0); // mov cr8, rax
  });
  for (const n of [1, 5, 7]) e.check(`CR${n}`, [{ vector: UD }], () => a.mov(R.rax, cr(n)));
  e.checkUser('CR0 in user code', [{ vector: GP, error: 0 }], (x) => x.mov(R.rax, cr(0)));
  e.checkUser('CLTS in user code', [{ vector: GP, error: 0 }], (x) => x.op('clts'));
  e.checkUser('HLT in user code', [{ vector: GP, error: 0 }], (x) => x.op('hlt'));
}

const XSETBV = [0x0f, 0x01, 0xd1];
const XGETBV = [0x0f, 0x01, 0xd0];

function extendedControl(e: Events): void {
  const { a } = e.g;
  const xsetbv =
    (low: number, high = 0, index = 0) =>
    (x: Asm): void => {
      x.mov(R.ecx, index);
      x.mov(R.eax, low);
      x.mov(R.edx, high);
      x.db(...XSETBV);
    };
  clear(a, CR4.OSXSAVE);
  e.check('XSETBV without OSXSAVE', [{ vector: UD }], xsetbv(1));
  e.check('XGETBV without OSXSAVE', [{ vector: UD }], () => a.db(...XGETBV));
  set(a, CR4.OSXSAVE);
  a.mov(R.eax, 1);
  a.op('cpuid');
  a.mov(R.eax, R.ecx);
  a.alu('and', R.eax, 1 << 27);
  e.value('OSXSAVE in CPUID', 1 << 27);
  for (const v of [1, 3]) {
    e.check(`XCR0 takes ${v}`, [], xsetbv(v));
    a.alu('xor', R.ecx, R.ecx);
    a.db(...XGETBV);
    e.value('XCR0', v);
  }
  for (const v of [0, 2, 5, 0x41, 0xc001])
    e.check(`XCR0 refuses ${v.toString(16)}`, [{ vector: GP, error: 0 }], xsetbv(v));
  e.check('XCR0 refuses bit 63', [{ vector: GP, error: 0 }], xsetbv(3, 0x8000_0000));
  e.check('there is no XCR2', [{ vector: GP, error: 0 }], xsetbv(3, 0, 2));
  e.checkUser('XSETBV in user code', [{ vector: GP, error: 0 }], xsetbv(3));
  e.checkUser('XGETBV in user code', [], (x) => {
    x.alu('xor', R.ecx, R.ecx);
    x.db(...XGETBV);
  });
}

/** Instructions of user code, without a bit of CR4 and with it. */
function userCode(e: Events): void {
  const { a } = e.g;
  const at = mem(64, 0x20c000);
  const both = (name: string, bit: number, off: number, on: number, code: (a: Asm) => void): void => {
    const expected = (vector: number) =>
      vector === 0 ? [] : [vector === GP ? { vector, error: 0 } : { vector }];
    clear(a, bit);
    e.checkUser(`${name} without`, expected(off), code);
    set(a, bit);
    e.checkUser(`${name} with`, expected(on), code);
    e.check(`${name} in the kernel`, [], code);
    clear(a, bit);
  };
  both('SGDT and UMIP', CR4.UMIP, 0, GP, (x) => x.db(0x0f, 0x01, 0x04, 0x25, 0, 0xc0, 0x20, 0));
  both('SIDT and UMIP', CR4.UMIP, 0, GP, (x) => x.db(0x0f, 0x01, 0x0c, 0x25, 0, 0xc0, 0x20, 0));
  both('SLDT and UMIP', CR4.UMIP, 0, GP, (x) => x.db(0x0f, 0x00, 0xc0));
  both('STR and UMIP', CR4.UMIP, 0, GP, (x) => x.db(0x0f, 0x00, 0xc8));
  both('SMSW and UMIP', CR4.UMIP, 0, GP, (x) => x.db(0x0f, 0x01, 0xe0));
  both('RDTSC and TSD', CR4.TSD, 0, GP, (x) => x.op('rdtsc'));
  both('RDTSCP and TSD', CR4.TSD, 0, GP, (x) => x.db(0x0f, 0x01, 0xf9));
  both('RDPMC and PCE', CR4.PCE, GP, 0, (x) => {
    x.alu('xor', R.ecx, R.ecx);
    x.db(0x0f, 0x33);
  });
  e.check('RDPMC of a counter that is not there', [{ vector: GP, error: 0 }], () => {
    a.mov(R.ecx, 0x100);
    a.db(0x0f, 0x33);
  });
  const bases: readonly [string, number][] = [
    ['RDFSBASE', 0xc0],
    ['RDGSBASE', 0xc8],
    ['WRFSBASE', 0xd0],
    ['WRGSBASE', 0xd8],
  ];
  for (const [name, modrm] of bases) {
    const insn = (x: Asm): void => x.db(0xf3, 0x48, 0x0f, 0xae, modrm);
    clear(a, CR4.FSGSBASE);
    e.check(`${name} without FSGSBASE`, [{ vector: UD }], insn);
    set(a, CR4.FSGSBASE);
    e.checkUser(`${name} with`, [], (x) => {
      x.mov(R.eax, 0);
      insn(x);
    });
    if (name.startsWith('WR'))
      e.check(`${name} of a bad address`, [{ vector: GP, error: 0 }], (x) => {
        x.mov(R.rax, NON_CANONICAL);
        insn(x);
      });
  }
  e.check('the bases read as written', [], () => {
    a.mov(R.rax, 0xffff_8000_1234_5678n);
    a.db(0xf3, 0x48, 0x0f, 0xae, 0xd0);
    a.alu('xor', R.eax, R.eax);
    a.db(0xf3, 0x48, 0x0f, 0xae, 0xc0);
    a.mov(at, R.rax);
  });
  a.mov(R.rax, at);
  e.value('FS base', 0xffff_8000_1234_5678n);
  e.check('32 bits of it', [], () => {
    a.db(0xf3, 0x0f, 0xae, 0xc0);
    a.mov(at, R.rax);
  });
  a.mov(R.rax, at);
  e.value('the low half', 0x1234_5678);
}

export function controlRegisterProbe(g: Guest): void {
  const e = new Events(g);
  controlRegisters(e);
  extendedControl(e);
  userCode(e);
  e.done('things control registers do');
}
