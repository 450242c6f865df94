/**
 * A guest of a guest: the states that VMRUN enters or refuses, its memory under nested paging, and the instructions and
 * MSRs around it. @spec APM 2 15.5, 15.25, 15.30, 15.31
 */
import { EVENT, VMEXIT } from '../../src/machine/engine/svm/vmcb.ts';
import type { Asm } from '../asm.ts';
import { type Guest, LAYOUT } from '../guest.ts';
import { cr, mem, R } from '../registers.ts';
import { type Check, Monitor, writeMsr } from '../svm-kit.ts';
import { AT, controlAt, MSR, SVME, saveAt, segAt } from '../svm-layout.ts';

const UD = 6;
const GP = 13;

function refused(m: Monitor): void {
  const set = (at: number, v: number) => (a: Asm) => a.mov(mem(32, at), v);
  const or = (at: number, bits: number) => (a: Asm) => a.alu('or', mem(32, at), bits);
  const and = (at: number, bits: number) => (a: Asm) => a.alu('and', mem(32, at), bits);
  const states: Record<string, (a: Asm) => void> = {
    'EFER.SVME clear': and(saveAt('efer'), ~SVME),
    'a reserved bit of EFER': or(saveAt('efer'), 0x2000_0000),
    'CR0.NW without CD': or(saveAt('cr0'), 0x2000_0000),
    'CR0 beyond 32 bits': set(saveAt('cr0', 4), 1),
    'CR3 beyond physical addresses': set(saveAt('cr3', 4), 0x10_0000),
    'a reserved bit of CR4': or(saveAt('cr4'), 0x8000_0000),
    'CR4 beyond 32 bits': set(saveAt('cr4', 4), 1),
    'DR6 beyond 32 bits': set(saveAt('dr6', 4), 1),
    'DR7 beyond 32 bits': set(saveAt('dr7', 4), 1),
    'long mode without PAE': and(saveAt('cr4'), ~0x20),
    'long mode without PE': and(saveAt('cr0'), ~1),
    'long mode with CS.L and CS.D': or(segAt(1).sel, 0xe9b_0000),
    'no VMRUN intercept': and(controlAt('intercepts', 4), ~1),
    'ASID 0': set(controlAt('asid'), 0),
    'an event of a reserved type': set(controlAt('eventInjection'), EVENT.valid | (1 << 8)),
    'an exception beyond 31': set(controlAt('eventInjection'), EVENT.valid | (3 << 8) | 32),
    'an exception 2': set(controlAt('eventInjection'), EVENT.valid | (3 << 8) | 2),
    'a map beyond physical addresses': (a) => {
      a.alu('or', mem(32, controlAt('intercepts')), 1 << (VMEXIT.msr & 31));
      a.mov(mem(32, controlAt('msrpmBase', 4)), 0x1000_0000);
    },
  };
  for (const [name, setup] of Object.entries(states))
    m.check(name, {
      setup,
      code: (a) => a.op('ud2'),
      exit: VMEXIT.invalid,
      is: { info1: 0, info2: 0 },
      rip: 'any',
    });
  m.check('EFER.LME without paging', {
    mode: 'protected',
    setup: or(saveAt('efer'), 0x100),
    code: (a) => a.op('nop'),
    is: { efer: SVME | 0x100 },
  });
}

const NPF = { final: 1n << 32n, table: 1n << 33n };
const AWAY = AT.nestedPd + (AT.away / 0x20_0000) * 8;
function nestedPaging(m: Monitor): void {
  const away =
    (entry: number, high = 0) =>
    (a: Asm) => {
      a.mov(mem(32, AWAY), entry);
      a.mov(mem(32, AWAY + 4), high);
    };
  const reads: Pick<Check, 'code' | 'prelude'> = {
    prelude: (a) => a.mov(R.ebx, AT.away + 0x123),
    code: (a) => a.mov(R.al, mem(8, R.rbx)),
  };
  const writes: Pick<Check, 'code' | 'prelude'> = { ...reads, code: (a) => a.mov(mem(8, R.rbx), R.al) };
  const fault = (info1: bigint, info2: number, p: Partial<Check>): Partial<Check> => ({
    nested: true,
    exit: VMEXIT.npf,
    ...p,
    is: { info1, info2, ...p.is },
  });
  const run = (name: string, ...parts: Partial<Check>[]): void =>
    m.check(name, Object.assign({}, ...parts) as Check);
  const page = AT.away + 0x123;
  run('a read of what is not there', reads, fault(NPF.final | 4n, page, { setup: away(0) }));
  run('a write of it', writes, fault(NPF.final | 6n, page, { setup: away(0) }));
  run('a write of a read-only page', writes, fault(NPF.final | 7n, page, { setup: away(AT.away | 0x85) }));
  run('a read of a read-only page', reads, { nested: true, setup: away(AT.away | 0x85) });
  run("a supervisor's page", reads, fault(NPF.final | 5n, page, { setup: away(AT.away | 0x83) }));
  run('reserved bits', reads, fault(NPF.final | 13n, page, { setup: away(AT.away | 0x87, 0x1_0000) }));
  run(
    'code where none may be',
    fault(NPF.final | 21n, AT.away + 0x10, {
      setup: away(AT.away | 0x87, -0x8000_0000),
      code: (a) => {
        a.mov(R.eax, AT.away + 0x10);
        a.jmp(R.rax);
      },
      rip: AT.away + 0x10,
    }),
  );
  run(
    "the guest's own tables are written to",
    reads,
    fault(NPF.table | 7n, AT.away, {
      setup: (a) => {
        a.mov(R.rax, mem(64, LAYOUT.pml4));
        a.mov(mem(64, AT.away), R.rax);
        a.mov(mem(32, saveAt('cr3')), AT.away);
        away(AT.away | 0x85)(a);
      },
      rip: 'any',
    }),
  );
  run('a page of its own elsewhere', reads, {
    nested: true,
    setup: (a: Asm) => {
      a.mov(mem(32, AT.data), 0x5a5a);
      a.mov(mem(32, AWAY), AT.pages | 7);
      a.mov(mem(32, AT.pages), AT.data | 7);
    },
    prelude: (a: Asm) => a.mov(R.ebx, AT.away),
    code: (a: Asm) => a.mov(R.eax, mem(32, R.rbx)),
    is: { rax: 0x5a5a },
    look: (a: Asm) => {
      a.mov(R.eax, mem(32, AT.pages));
      a.alu('and', R.eax, 0x60);
    },
    value: 0x20,
  });
  run('the bytes of the instruction', writes, fault(NPF.final | 6n, page, { setup: away(0) }), {
    look: (a: Asm) => {
      // 88 03: mov [rbx], al
      a.movzx(R.eax, mem(16, controlAt('bytesFetched', 1)));
      a.test(mem(32, 'nv.features'), 0x80);
      const there = a.fresh('assisted');
      a.j('nz', there);
      a.mov(R.eax, 0x0388);
      a.label(there);
    },
    value: 0x0388,
  });
}

function instructions(g: Guest, m: Monitor): void {
  const { a } = g;
  const withRax = (v: number | bigint, name: 'vmrun' | 'vmload' | 'vmsave') => (x: Asm) => {
    x.mov(R.rax, v);
    x.op(name);
  };
  for (const name of ['vmrun', 'vmload', 'vmsave'] as const) {
    m.faults(`${name} of a misaligned address`, GP, withRax(AT.vmcb + 8, name));
    m.faults(`${name} beyond physical addresses`, GP, withRax(1n << 52n, name));
  }
  m.faults('an address of VM_HSAVE_PA that is misaligned', GP, (x) => writeMsr(x, MSR.hsave, AT.hsave + 1));
  m.faults('or beyond physical addresses', GP, (x) => writeMsr(x, MSR.hsave, 0, 0x10_0000));
  m.faults('a reserved bit of VM_CR', GP, (x) => writeMsr(x, MSR.vmCr, 0x20));
  m.value('VM_HSAVE_PA', AT.hsave, (x) => {
    x.mov(R.ecx, MSR.hsave);
    x.op('rdmsr');
  });
  m.value('VMLOAD loads what VMSAVE does', 0x1234_5000, (x) => {
    x.mov(R.edi, AT.data);
    x.mov(R.eax, AT.host);
    x.op('vmsave');
    x.mov(mem(32, AT.host + 0x400 + 0x220), 0x1234_5000); // KernelGsBase
    x.op('vmload');
    x.mov(R.ecx, 0xc000_0102);
    x.op('rdmsr');
  });
  m.check('the TSC offset', {
    setup: (x) => x.mov(mem(32, controlAt('tscOffset', 4)), 0x10_0000),
    code: (x) => {
      x.op('rdtsc');
      x.mov(R.eax, R.edx);
      x.shift('shr', R.eax, 20);
    },
    is: { rax: 1 },
    rip: 'any',
  });
  m.check('memory of the guest is that of the monitor', {
    code: (x) => x.mov(mem(32, AT.data), 0x77),
    look: (x) => x.mov(R.eax, mem(32, AT.data)),
    value: 0x77,
  });
  m.check("an invalid page table entry is the guest's own #PF", {
    nested: true,
    setup: (x) => x.mov(mem(32, controlAt('exceptions')), 1 << 14),
    prelude: (x) => x.mov(R.rbx, 0x7f_0000_0000n),
    code: (x) => x.mov(R.al, mem(8, R.rbx)),
    exit: VMEXIT.exception + 14,
    is: { info1: 0, info2: 0x7f_0000_0000n },
  });
  m.check('control registers are kept apart', {
    setup: (x) => x.mov(mem(32, saveAt('cr2')), 0x55),
    code: (x) => {
      x.mov(R.rax, cr(0));
      x.alu('or', R.eax, 8);
      x.mov(cr(0), R.rax);
      x.mov(R.eax, 0x66);
      x.mov(cr(2), R.rax);
    },
    rip: 'any',
    is: { cr0: 0x8001_003b, cr2: 0x66 },
    look: (x) => x.mov(R.rax, cr(0)),
    value: 0x8001_0033,
  });
  a.mov(R.ecx, MSR.efer);
  a.op('rdmsr');
  a.alu('and', R.eax, ~SVME);
  a.op('wrmsr');
  for (const name of ['vmrun', 'vmload', 'vmsave', 'clgi', 'invlpga', 'skinit'] as const)
    m.faults(`${name} without EFER.SVME`, UD, (x) => {
      x.mov(R.eax, AT.vmcb);
      x.op(name);
    });
}

export function svmState(g: Guest): void {
  const m = new Monitor(g);
  nestedPaging(m);
  refused(m);
  instructions(g, m);
  m.end();
}
