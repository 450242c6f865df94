/** Registers, ports and MSRs of a guest of a guest whose accesses leave it. @spec APM 2 15.8 to 15.11 */
import { VMEXIT } from '../../src/machine/engine/svm/vmcb.ts';
import type { Asm } from '../asm.ts';
import { cr, mem, R } from '../registers.ts';
import { bytes, type Check, type Monitor } from '../svm-kit.ts';
import { AT, controlAt, MSR } from '../svm-layout.ts';

const CR_MOV = 1n << 63n;
export function registerAccesses(m: Monitor): void {
  const all = (field: 'crReads' | 'crWrites' | 'drReads' | 'drWrites') => (a: Asm) =>
    a.mov(mem(16, controlAt(field)), 0xffff);
  for (const n of [0, 2, 3, 4, 8]) {
    const rex = n === 8 ? [0x44] : [];
    const read = [...rex, 0x0f, 0x20, 0xc0 | ((n & 7) << 3) | 6];
    const write = [...rex, 0x0f, 0x22, 0xc0 | ((n & 7) << 3) | 6];
    m.check(`a read of CR${n}`, {
      setup: all('crReads'),
      code: bytes(...read),
      exit: VMEXIT.crRead + n,
      tellsNext: true,
      assisted: { info1: CR_MOV | 6n },
    });
    m.check(`a write of CR${n}`, {
      setup: all('crWrites'),
      code: bytes(...write),
      exit: VMEXIT.crWrite + n,
      tellsNext: true,
      assisted: { info1: CR_MOV | 6n },
    });
  }
  for (const n of [0, 3, 6, 7]) {
    m.check(`a read of DR${n}`, {
      setup: all('drReads'),
      code: bytes(0x0f, 0x21, 0xc3 | (n << 3)),
      exit: VMEXIT.drRead + n,
      assisted: { info1: 3 },
    });
    m.check(`a write of DR${n}`, {
      setup: all('drWrites'),
      code: bytes(0x0f, 0x23, 0xc3 | (n << 3)),
      exit: VMEXIT.drWrite + n,
      assisted: { info1: 3 },
    });
  }
  const selective: Partial<Check> = { intercept: [VMEXIT.cr0Selective], exit: VMEXIT.cr0Selective };
  const change = (bits: number) => (a: Asm) => {
    a.mov(R.rax, cr(0));
    a.alu('xor', R.eax, bits);
  };
  m.all({
    'CLTS is a write of CR0': { setup: all('crWrites'), code: (a) => a.op('clts'), exit: VMEXIT.crWrite },
    'SMSW is a read of CR0': { setup: all('crReads'), code: bytes(0x0f, 0x01, 0xe0), exit: VMEXIT.crRead },
    'LMSW is a write of CR0': { setup: all('crWrites'), code: bytes(0x0f, 0x01, 0xf0), exit: VMEXIT.crWrite },
    'the selective intercept: CD': {
      ...selective,
      prelude: change(0x4000_0000),
      code: (a) => a.mov(cr(0), R.rax),
    },
    'the selective intercept lets TS by': {
      intercept: [VMEXIT.cr0Selective],
      prelude: change(8),
      code: (a) => a.mov(cr(0), R.rax),
    },
    'LMSW is intercepted selectively in any case': { ...selective, code: bytes(0x0f, 0x01, 0xf0) },
  });
}

/** EXITINFO1 of a port: the port, then its size and address bits. */
const io = (port: number, size: number, more: number): number => ((port << 16) | (size << 4) | more) >>> 0;
export function portAccesses(m: Monitor): void {
  const intercepted = (port: number) => (a: Asm) =>
    a.alu('or', mem(8, AT.iopm + (port >> 3)), 1 << (port & 7));
  const leave = (port: number, p: Partial<Check>): Partial<Check> => ({
    intercept: [VMEXIT.ioio],
    setup: intercepted(port),
    exit: VMEXIT.ioio,
    tellsNext: true,
    ...p,
  });
  const dx = (port: number) => (a: Asm) => a.mov(R.edx, port);
  m.all({
    'IN AL, imm': { ...leave(0x71, { is: { info1: io(0x71, 1, 1) } }), code: bytes(0xe4, 0x71) },
    'OUT DX, AX': {
      ...leave(0x1234, { prelude: dx(0x1234), is: { info1: io(0x1234, 2, 0) } }),
      code: bytes(0x66, 0xef),
    },
    'IN EAX, DX, one port of four': {
      ...leave(0x1237, { prelude: dx(0x1234), is: { info1: io(0x1234, 4, 1) } }),
      code: bytes(0xed),
    },
    'OUTSB from FS': {
      ...leave(0x80, { prelude: dx(0x80), assisted: { info1: io(0x80, 1, 4) | (8 << 6) | (4 << 10) } }),
      code: bytes(0x64, 0x6e),
    },
    'REP INSW by EDI': {
      ...leave(0x80, {
        prelude: (a) => {
          dx(0x80)(a);
          a.mov(R.ecx, 3);
          a.mov(R.edi, AT.data);
        },
        assisted: { info1: io(0x80, 2, 13) | (4 << 6) },
      }),
      code: bytes(0x67, 0xf3, 0x66, 0x6d),
    },
    'a port that is let by': {
      ...leave(0x81, { prelude: dx(0x80) }),
      code: bytes(0xee),
      exit: VMEXIT.vmmcall,
      tellsNext: false,
    },
    'the last ports': {
      ...leave(0xffff, {
        prelude: dx(0xffff),
        setup: (a) => a.alu('or', mem(8, AT.iopm + 0x2000), 1),
        is: { info1: io(0xffff, 2, 1) },
      }),
      code: bytes(0x66, 0xed),
    },
  });
}

export function msrAccesses(m: Monitor): void {
  const map = (at: number, bits: number) => (a: Asm) => a.mov(mem(8, AT.msrpm + at), bits);
  const star = 0x800 + (0x81 >> 2);
  const access = (msr: number, write: boolean): Partial<Check> => ({
    intercept: [VMEXIT.msr],
    prelude: (a) => {
      a.mov(R.ecx, msr);
      a.mov(R.eax, 0);
      a.mov(R.edx, 0);
    },
    code: bytes(0x0f, write ? 0x30 : 0x32),
  });
  const left: Partial<Check> = { exit: VMEXIT.msr, tellsNext: true };
  const run = (name: string, ...parts: Partial<Check>[]): void =>
    m.check(name, Object.assign({}, ...parts) as Check);
  run('RDMSR of the second range', access(0xc000_0081, false), left, {
    setup: map(star, 4),
    is: { info1: 0 },
  });
  run('WRMSR of the second range', access(0xc000_0081, true), left, {
    setup: map(star, 8),
    is: { info1: 1 },
  });
  run('RDMSR where writes are intercepted', access(0xc000_0081, false), { setup: map(star, 8) });
  run('RDMSR of the first range', access(0x10, false), left, { setup: map(4, 1) });
  run('RDMSR of the third range', access(MSR.vmCr, false), left, { setup: map(0x1000 + (0x114 >> 2), 1) });
  run('RDMSR beyond the ranges', access(0x4000_0000, false), left);
}
