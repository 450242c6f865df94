/** MSRs: what they take, what they refuse, what comes back. @spec SDM 4 2; APM 2 3.1, 7.7, 7.8, 12.1; SDM 3A 11.4, 11.11, 11.12 */
import type { Asm } from '../asm.ts';
import { Events, SEL } from '../events.ts';
import type { Guest } from '../guest.ts';
import { mem, R } from '../registers.ts';
import { APIC_BASE, BASE } from './apic-kit.ts';

const GP = 13;
const NON_CANONICAL = 0x8000_0000_0000n;
const KERNEL = 0xffff_8000_0000_1000n;
const MSR = {
  tsc: 0x10,
  tscAdjust: 0x3b,
  mtrrCap: 0xfe,
  sysenterCs: 0x174,
  sysenterEsp: 0x175,
  debugctl: 0x1d9,
  miscEnable: 0x1a0,
  physBase0: 0x200,
  physMask0: 0x201,
  fix64k: 0x250,
  pat: 0x277,
  defType: 0x2ff,
  tscDeadline: 0x6e0,
  efer: 0xc000_0080,
  star: 0xc000_0081,
  lstar: 0xc000_0082,
  cstar: 0xc000_0083,
  sfmask: 0xc000_0084,
  fsBase: 0xc000_0100,
  gsBase: 0xc000_0101,
  kernelGsBase: 0xc000_0102,
  tscAux: 0xc000_0103,
} as const;

function load(a: Asm, v: bigint): void {
  a.mov(R.rax, v);
  a.mov(R.rdx, R.rax);
  a.shift('shr', R.rdx, 32);
}
function write(a: Asm, msr: number, v: bigint): void {
  a.mov(R.ecx, msr);
  load(a, v);
  a.op('wrmsr');
}
function read(a: Asm, msr: number): void {
  a.mov(R.ecx, msr);
  a.op('rdmsr');
  a.shift('shl', R.rdx, 32);
  a.alu('or', R.rax, R.rdx);
}

/** Values that an MSR takes and gives back. */
function kept(e: Events, name: string, msr: number, values: readonly bigint[]): void {
  for (const v of values) {
    e.check(`${name} takes ${v.toString(16)}`, [], (a) => write(a, msr, v));
    read(e.g.a, msr);
    e.value(`${name} keeps`, BigInt.asUintN(64, v));
  }
}
/** Values that are #GP, and change nothing. */
function refused(e: Events, name: string, msr: number, values: readonly bigint[]): void {
  const { a } = e.g;
  read(a, msr);
  a.mov(e.g.word('msr.before'), R.rax);
  for (const v of values) {
    const at = a.fresh('at');
    e.check(`${name} refuses ${v.toString(16)}`, [{ vector: GP, error: 0, ip: at }], () => {
      a.mov(R.ecx, msr);
      load(a, v);
      a.label(at);
      a.op('wrmsr');
    });
  }
  read(a, msr);
  a.alu('xor', R.rax, e.g.word('msr.before'));
  e.value(`${name} is as before`, 0);
}
function unreadable(e: Events, name: string, msr: number): void {
  const { a } = e.g;
  const at = a.fresh('at');
  e.check(name, [{ vector: GP, error: 0, ip: at }], () => {
    a.mov(R.ecx, msr);
    a.label(at);
    a.op('rdmsr');
  });
}

function systemCalls(e: Events): void {
  kept(e, 'STAR', MSR.star, [0xffff_ffff_ffff_ffffn, 0n]);
  for (const [name, msr] of [
    ['LSTAR', MSR.lstar],
    ['CSTAR', MSR.cstar],
    ['FS base', MSR.fsBase],
    ['GS base', MSR.gsBase],
    ['kernel GS base', MSR.kernelGsBase],
  ] as const) {
    kept(e, name, msr, [KERNEL, 0x7fff_ffff_ffffn, 0n]);
    refused(e, name, msr, [NON_CANONICAL, 1n << 63n, 0xffff_0000_0000_0000n]);
  }
  kept(e, 'SFMASK', MSR.sfmask, [0xffff_ffffn, 0n]);
  kept(e, 'SYSENTER_CS', MSR.sysenterCs, [0xffffn, 0n]);
  kept(e, 'SYSENTER_ESP', MSR.sysenterEsp, [0x1234_5678n, 0n]);
  kept(e, 'TSC_AUX', MSR.tscAux, [0xffff_ffffn, 7n]);
}

function efer(e: Events): void {
  const { a } = e.g;
  kept(e, 'EFER', MSR.efer, [0xd01n, 0x501n, 0xd00n]);
  refused(e, 'EFER', MSR.efer, [0xd02n, 0x8000_0000_0000_0d00n, 0x1d01n & ~0x100n, 0xc00n]);
  e.check('EFER.LMA is not written', [], () => write(a, MSR.efer, 0x900n));
  read(a, MSR.efer);
  e.value('EFER with LMA', 0xd00);
  read(a, MSR.fsBase);
  a.mov(R.ebx, SEL.data);
  e.check('a selector load gives FS its base', [], () => {
    write(a, MSR.fsBase, KERNEL);
    a.db(0x8e, 0xe3); // mov fs, ebx
  });
  read(a, MSR.fsBase);
  e.value('FS base behind it', 0);
}

function memoryTypes(e: Events): void {
  kept(e, 'PAT', MSR.pat, [0x0007_0406_0007_0406n, 0x0105_0406_0007_0106n, 0x0007_0406_0007_0406n]);
  refused(e, 'PAT', MSR.pat, [2n, 3n << 8n, 8n << 56n, 0x80n]);
  kept(e, 'MTRR default type', MSR.defType, [0xc06n, 0x806n, 0n, 0xc06n]);
  refused(e, 'MTRR default type', MSR.defType, [0xc02n, 0xc03n, 0xc07n, 0x1006n, 1n << 32n]);
  kept(e, 'MTRR base', MSR.physBase0, [0x8000_0006n, 0x1000n, 0n]);
  refused(e, 'MTRR base', MSR.physBase0, [2n, 7n, 0x100n, 1n << 63n]);
  kept(e, 'MTRR mask', MSR.physMask0, [0xff_8000_0800n, 0n]);
  refused(e, 'MTRR mask', MSR.physMask0, [1n, 0x400n, 1n << 63n]);
  kept(e, 'fixed MTRR', MSR.fix64k, [0x0606_0505_0404_0100n, 0x0606_0606_0606_0606n]);
  refused(e, 'fixed MTRR', MSR.fix64k, [2n, 7n << 56n]);
  refused(e, 'MTRR capabilities', MSR.mtrrCap, [0n]);
}

function timeStamps(e: Events): void {
  const { a } = e.g;
  e.check('the TSC can be set', [], () => write(a, MSR.tsc, 0x1234_5678_0000_0000n));
  read(a, MSR.tsc);
  a.shift('shr', R.rax, 40);
  e.value('its upper bits', 0x12_3456);
  a.op('rdtsc');
  a.mov(R.eax, R.edx);
  a.shift('shr', R.eax, 8);
  e.value('RDTSC sees it', 0x12_3456);
  read(a, MSR.tscAdjust);
  a.shift('shr', R.rax, 40);
  e.value('TSC_ADJUST has what was added', 0x12_3456);
  e.check('TSC_ADJUST can be set', [], () => write(a, MSR.tscAdjust, 0n));
  read(a, MSR.tscAdjust);
  e.value('TSC_ADJUST', 0);
  read(a, MSR.tsc);
  a.shift('shr', R.rax, 40);
  e.value('and the TSC is as it was', 0);
  e.check('RDTSCP is there', [], () => {
    a.db(0x0f, 0x01, 0xf9);
    a.mov(e.g.word('msr.before'), R.rcx);
  });
  a.mov(R.rax, e.g.word('msr.before'));
  e.value('RDTSCP gives TSC_AUX', 7);
  e.check('RDPID is there', [], () => {
    a.db(0xf3, 0x0f, 0xc7, 0xf8);
    a.mov(e.g.word('msr.before'), R.rax);
  });
  a.mov(R.rax, e.g.word('msr.before'));
  e.value('RDPID gives TSC_AUX', 7);
}

function others(e: Events): void {
  const { a } = e.g;
  kept(e, 'DEBUGCTL', MSR.debugctl, [0n]);
  refused(e, 'DEBUGCTL', MSR.debugctl, [1n << 20n, 1n << 32n, 1n << 63n]);
  unreadable(e, 'an MSR that nobody has', 0xdead_beef);
  unreadable(e, 'another', 0x2000);
  const at = a.fresh('at');
  e.check('writing one', [{ vector: GP, error: 0, ip: at }], () => {
    a.mov(R.ecx, 0xdead_beef);
    load(a, 0n);
    a.label(at);
    a.op('wrmsr');
  });
  e.checkUser('RDMSR in user code', [{ vector: GP, error: 0 }], (x) => read(x, MSR.efer));
  e.checkUser('WRMSR in user code', [{ vector: GP, error: 0 }], (x) => write(x, MSR.star, 0n));
}

/** Off, xAPIC, x2APIC: which may follow which. Ends with x2APIC off again. */
function apicBase(e: Events): void {
  const { a } = e.g;
  const to = (mode: number): bigint => BigInt(0xfee0_0100 + mode);
  const { extd, enable } = BASE;
  refused(e, 'APIC base in xAPIC mode', APIC_BASE, [to(extd), to(enable | 1), to(enable) | (1n << 52n)]);
  a.mov(R.eax, 1);
  a.op('cpuid');
  a.shift('shr', R.ecx, 21);
  a.test(R.ecx, 1);
  const skip = a.fresh('skip');
  a.j('z', skip); // no x2APIC
  kept(e, 'x2APIC', APIC_BASE, [to(extd | enable)]);
  refused(e, 'APIC base in x2APIC mode', APIC_BASE, [to(enable), to(extd)]);
  kept(e, 'APIC off', APIC_BASE, [to(0)]);
  refused(e, 'APIC base while it is off', APIC_BASE, [to(extd | enable)]);
  a.mov(R.eax, 1);
  a.op('cpuid');
  a.mov(R.eax, R.edx);
  a.alu('and', R.eax, 1 << 9);
  e.value('CPUID while the APIC is off', 0);
  kept(e, 'xAPIC', APIC_BASE, [to(enable)]);
  a.label(skip);
}

export function msrs(g: Guest): void {
  const e = new Events(g);
  g.variable('msr.before', 8);
  g.a.mov(mem(32, 'ev.x2apic'), 0);
  systemCalls(e);
  efer(e);
  memoryTypes(e);
  timeStamps(e);
  others(e);
  apicBase(e);
  e.done('things MSRs do');
}
