/** What leaves a guest of a guest: each intercept of SVM, and what the exit tells. @spec APM 2 15.7 to 15.14 */
import { VMEXIT } from '../../src/machine/engine/svm/vmcb.ts';
import type { Asm } from '../asm.ts';
import { type Guest, LAYOUT } from '../guest.ts';
import { cr, mem, R } from '../registers.ts';
import { bytes, type Check, Monitor } from '../svm-kit.ts';
import { AT, controlAt, type GuestMode, saveAt } from '../svm-layout.ts';
import { msrAccesses, portAccesses, registerAccesses } from './svm-accesses.ts';

const CR4_OSXSAVE = 0x4_0000;

/** Instructions with an intercept of their own: name, bytes, exit code, and what must hold before. */
const OWN: readonly [string, number[], number, Partial<Check>?][] = [
  ['CPUID', [0x0f, 0xa2], VMEXIT.cpuid],
  ['RDTSC', [0x0f, 0x31], VMEXIT.rdtsc],
  ['RDTSCP', [0x0f, 0x01, 0xf9], VMEXIT.rdtscp],
  ['RDPMC', [0x0f, 0x33], VMEXIT.rdpmc],
  ['PUSHF', [0x9c], VMEXIT.pushf],
  ['POPF', [0x9d], VMEXIT.popf],
  ['IRET', [0x48, 0xcf], VMEXIT.iret],
  ['RSM', [0x0f, 0xaa], VMEXIT.rsm],
  ['INVD', [0x0f, 0x08], VMEXIT.invd],
  ['WBINVD', [0x0f, 0x09], VMEXIT.wbinvd],
  ['PAUSE', [0xf3, 0x90], VMEXIT.pause],
  ['HLT', [0xf4], VMEXIT.hlt],
  [
    'INVLPG',
    [0x0f, 0x01, 0x38],
    VMEXIT.invlpg,
    { prelude: (a) => a.mov(R.eax, 0x1234), assisted: { info1: 0x1234 } },
  ],
  ['INVLPGA', [0x0f, 0x01, 0xdf], VMEXIT.invlpga],
  ['VMRUN', [0x0f, 0x01, 0xd8], VMEXIT.vmrun],
  ['VMLOAD', [0x0f, 0x01, 0xda], VMEXIT.vmload],
  ['VMSAVE', [0x0f, 0x01, 0xdb], VMEXIT.vmsave],
  ['STGI', [0x0f, 0x01, 0xdc], VMEXIT.stgi],
  ['CLGI', [0x0f, 0x01, 0xdd], VMEXIT.clgi],
  ['SGDT', [0x0f, 0x01, 0x04, 0x25, 0, 0x20, 0x31, 0], VMEXIT.gdtrRead],
  ['SIDT', [0x0f, 0x01, 0x0c, 0x25, 0, 0x20, 0x31, 0], VMEXIT.idtrRead],
  ['LGDT', [0x0f, 0x01, 0x14, 0x25, 0, 0x20, 0x31, 0], VMEXIT.gdtrWrite],
  ['LIDT', [0x0f, 0x01, 0x1c, 0x25, 0, 0x20, 0x31, 0], VMEXIT.idtrWrite],
  ['SLDT', [0x0f, 0x00, 0xc0], VMEXIT.ldtrRead],
  ['STR', [0x0f, 0x00, 0xc8], VMEXIT.trRead],
  ['LLDT', [0x0f, 0x00, 0xd0], VMEXIT.ldtrWrite],
  ['LTR', [0x0f, 0x00, 0xd8], VMEXIT.trWrite],
  ['INT n', [0xcd, 0x55], VMEXIT.swint, { assisted: { info1: 0x55 } }],
];

function own(m: Monitor): void {
  for (const [name, code, exit, more] of OWN)
    m.check(name, { ...more, code: bytes(...code), intercept: [exit], exit, tellsNext: true });
  m.check('XSETBV', {
    setup: (a) => a.alu('or', mem(32, saveAt('cr4')), CR4_OSXSAVE),
    code: bytes(0x0f, 0x01, 0xd1),
    intercept: [VMEXIT.xsetbv],
    exit: VMEXIT.xsetbv,
    tellsNext: true,
  });
}

const EXCEPTIONS = (a: Asm): void => a.mov(mem(32, controlAt('exceptions')), 0xffff_ffff);
const exceptions = (p: Check): Check => ({
  ...p,
  setup: (a) => {
    EXCEPTIONS(a);
    p.setup?.(a);
  },
});

/** What is not intercepted just runs, or has the fault that it has anyway. */
function through(m: Monitor): void {
  m.all({
    'CPUID lets by': { code: bytes(0x0f, 0xa2) },
    'PUSHF and POPF let by': { code: bytes(0x9c, 0x9d), is: { rsp: AT.stack } },
    'MOV CR0 lets by': {
      code: (a) => {
        a.mov(R.rax, cr(0));
        a.mov(cr(0), R.rax);
      },
    },
    'VMMCALL that is not intercepted is #UD': exceptions({
      setup: (a) => a.alu('and', mem(32, controlAt('intercepts', 4)), ~2),
      code: (a) => a.op('vmmcall'),
      exit: VMEXIT.exception + 6,
      is: { info1: 0 },
    }),
    'VMMCALL that is intercepted': { code: () => {}, tellsNext: true },
    'RSM is #UD': exceptions({ code: bytes(0x0f, 0xaa), exit: VMEXIT.exception + 6 }),
    'SKINIT is #UD or intercepted first': {
      code: bytes(0x0f, 0x01, 0xde),
      intercept: [VMEXIT.skinit],
      exit: VMEXIT.skinit,
    },
    'HLT in user code is #GP before it is intercepted': exceptions({
      setup: (a) => {
        a.mov(mem(8, saveAt('cpl')), 3);
        m.segment(1, 0x1b, 0xafb);
        m.segment(2, 0x13, 0xcf3);
        for (const at of [LAYOUT.pml4, LAYOUT.pdpt, LAYOUT.pd]) a.alu('or', mem(32, at), 4);
        a.alu('or', mem(32, LAYOUT.pd + 8), 4);
      },
      code: (a) => a.op('hlt'),
      intercept: [VMEXIT.hlt],
      exit: VMEXIT.exception + 13,
      is: { info1: 0 },
    }),
  });
}

function faults(m: Monitor): void {
  m.all({
    '#UD': exceptions({ code: (a) => a.op('ud2'), exit: VMEXIT.exception + 6, is: { info1: 0 } }),
    '#DE': exceptions({
      prelude: (a) => a.alu('xor', R.ecx, R.ecx),
      code: (a) => a.unary('div', R.ecx),
      exit: VMEXIT.exception,
    }),
    '#BP': exceptions({ code: (a) => a.op('int3'), exit: VMEXIT.exception + 3, tellsNext: true }),
    '#GP': exceptions({
      prelude: (a) => a.mov(R.eax, 0x20),
      code: bytes(0x8e, 0xd8), // mov ds, ax
      exit: VMEXIT.exception + 13,
      is: { info1: 0x20 },
    }),
    '#PF leaves CR2 alone': exceptions({
      setup: (a) => a.mov(mem(32, saveAt('cr2')), 0x77),
      prelude: (a) => a.mov(R.rax, 0x7fff_1234_5678n),
      code: (a) => a.mov(mem(8, R.rax), R.cl),
      exit: VMEXIT.exception + 14,
      is: { info1: 2, info2: 0x7fff_1234_5678n, cr2: 0x77 },
    }),
    '#DB of a single step': exceptions({
      prelude: (a) => {
        a.push(0x102);
        a.op('popf');
      },
      code: (a) => a.op('nop'),
      exit: VMEXIT.exception + 1,
      rip: 'after',
      is: { dr6: 0xffff_4ff0 },
    }),
    '#DB behind an IRET that clears TF': exceptions({
      prelude: (a) => {
        for (const v of [0x10, AT.stack, 2, 0x18, AT.data]) a.push(v);
        a.push(0x102);
        a.op('popf');
      },
      code: (a) => a.op('iretq'),
      exit: VMEXIT.exception + 1,
      rip: AT.data,
      is: { flags: 2 },
    }),
    'ICEBP has an intercept of its own': exceptions({
      code: bytes(0xf1),
      intercept: [VMEXIT.icebp],
      exit: VMEXIT.icebp,
    }),
    'a #PF that is not intercepted sets CR2': {
      prelude: (a) => a.mov(R.rax, 0x7fff_1234_5678n),
      code: (a) => a.mov(mem(8, R.rax), R.cl),
      rip: AT.stubs + 14 * 8,
      is: { cr2: 0x7fff_1234_5678n, rsp: AT.stack - 48 },
    },
    'a fault on the way to a handler tells of the event': {
      setup: (a) => {
        a.mov(mem(32, controlAt('exceptions')), 1 << 11);
        a.mov(mem(8, AT.idt + 6 * 16 + 5), 0x0e); // not present
      },
      code: (a) => a.op('ud2'),
      exit: VMEXIT.exception + 11,
      is: { info1: 0x33, intInfo: 0x8000_0306 },
    },
    'an x87 error that would wait for the outside': {
      setup: (a) => a.alu('and', mem(32, saveAt('cr0')), ~0x20),
      prelude: (a) => {
        a.mov(mem(32, AT.data), 0x37b); // division by zero is not masked
        a.db(0xdb, 0xe3, 0xd9, 0x2c, 0x25);
        a.dd(AT.data);
        a.db(0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9); // fld1; fldz; fdivp
      },
      code: (a) => a.db(0x9b),
      intercept: [VMEXIT.ferrFreeze],
      exit: VMEXIT.ferrFreeze,
    },
    'a triple fault': {
      setup: (a) => a.mov(mem(32, saveAt('idtr', 4)), 0),
      code: (a) => a.op('ud2'),
      exit: VMEXIT.shutdown,
      rip: 'any',
    },
  });
}

function others(m: Monitor): void {
  const gdt = AT.pages;
  m.all({
    'a task switch': {
      mode: 'protected',
      setup: (a) => {
        a.mov(mem(32, saveAt('gdtr', 8)), gdt);
        a.mov(mem(32, gdt + 0x18), ((AT.data & 0xffff) << 16) | 0x67);
        a.mov(mem(32, gdt + 0x1c), 0x8900 | (AT.data >> 16));
      },
      code: (a) => a.farJmp(0x18, 0),
      intercept: [VMEXIT.taskSwitch],
      exit: VMEXIT.taskSwitch,
      is: { info1: 0x18, info2: 1n << 38n },
    },
    'one PAUSE too many': {
      setup: (a) => a.mov(mem(16, controlAt('pauseCount')), 3),
      prelude: (a) => a.op('pause', 'pause', 'pause'),
      code: (a) => a.op('pause'),
      intercept: [VMEXIT.pause],
      exit: VMEXIT.pause,
    },
    INVPCID: {
      code: bytes(0x66, 0x0f, 0x38, 0x82, 0x03),
      intercept: [VMEXIT.invpcid],
      exit: VMEXIT.invpcid,
      tellsNext: true,
    },
  });
}

/** HLT in every mode, with and without nested paging. */
function modes(m: Monitor): void {
  for (const mode of ['real', 'protected', 'long'] as GuestMode[])
    for (const nested of [false, true])
      m.check(`HLT in ${mode} mode${nested ? ', nested paging' : ''}`, {
        mode,
        nested,
        prelude: (a) => a.mov(R.ecx, 5),
        code: (a) => a.op('hlt'),
        intercept: [VMEXIT.hlt],
        exit: VMEXIT.hlt,
        tellsNext: true,
        is: { efer: mode === 'long' ? 0x1d00 : 0x1000 },
      });
}

export function svmIntercepts(g: Guest): void {
  const m = new Monitor(g);
  modes(m);
  own(m);
  through(m);
  registerAccesses(m);
  faults(m);
  others(m);
  portAccesses(m);
  msrAccesses(m);
  m.end();
}
