/** The local APIC: its registers by page and by MSR, priorities, destinations, errors. @spec SDM 3A 11 */
import type { Asm } from '../asm.ts';
import { Events } from '../events.ts';
import type { Guest } from '../guest.ts';
import { mem, R } from '../registers.ts';
import { REG, readXapic, writeXapic } from './apic-kit.ts';
import { x2apic } from './apic-x2.ts';

const SELF = 0x44000;
const VECTOR = 0x51;
const MASKED = 0x1_0000;
const LVTS = [REG.lvtTimer, REG.lvtThermal, REG.lvtPerf, REG.lint0, REG.lint1, REG.lvtError];

/** Lets in what is pending. */
const open = (a: Asm): void => a.op('sti', 'nop', 'nop', 'nop', 'cli');
const irq = (vector = VECTOR) => ({ vector });

function register(e: Events, name: string, reg: number, wrote: number, is: number): void {
  const { a } = e.g;
  writeXapic(a, reg, wrote);
  readXapic(a, reg);
  e.value(name, is);
}

function registers(e: Events): void {
  const { a } = e.g;
  readXapic(a, REG.version);
  a.alu('and', R.eax, 0xff);
  e.range('version', 0x10, 0x15);
  register(e, 'TPR', REG.tpr, 0xffffff35, 0x35);
  a.db(0x44, 0x0f, 0x20, 0xc0); // mov rax, cr8
  e.value('CR8 is the upper half of TPR', 3);
  readXapic(a, REG.ppr);
  e.value('PPR is TPR', 0x35);
  a.mov(R.eax, 4);
  a.db(0x44, 0x0f, 0x22, 0xc0); // mov cr8, rax
  readXapic(a, REG.tpr);
  e.value('TPR by CR8', 0x40);
  register(e, 'TPR', REG.tpr, 0, 0);
  register(e, 'LDR', REG.ldr, 0xffffffff, 0xff000000);
  register(e, 'DFR', REG.dfr, 0, 0x0fffffff);
  register(e, 'DFR', REG.dfr, 0xffffffff, 0xffffffff);
  register(e, 'SVR', REG.svr, 0x1ff, 0x1ff);
  register(e, 'ICR2', REG.icr2, 0xffffffff, 0xff000000);
  register(e, 'LVT timer', REG.lvtTimer, MASKED | 0x200ff, MASKED | 0x200ff);
  register(e, 'LVT error', REG.lvtError, 0xfffff0ff, MASKED | 0xff);
  register(e, 'divide', REG.divide, 0xffffffff, 0xb);
  register(e, 'PPR cannot be written', REG.ppr, 0x77, 0);
  register(e, 'version cannot be written', REG.isr, 0x77, 0);
}

/** Vector classes against TPR and what is in service. */
function priorities(e: Events): void {
  const { a } = e.g;
  const pend = (vector: number): void => writeXapic(a, REG.icr, SELF | vector);
  e.check('TPR holds off its own class', [], () => {
    writeXapic(a, REG.tpr, 0x50);
    pend(VECTOR);
    open(a);
  });
  readXapic(a, REG.irr + 0x20);
  e.value('it is in IRR', 1 << (VECTOR & 31));
  readXapic(a, REG.isr + 0x20);
  e.value('and not in ISR', 0);
  e.check('a lower TPR lets it in', [irq()], () => {
    a.op('sti');
    writeXapic(a, REG.tpr, 0x4f);
    a.op('nop', 'cli');
  });
  readXapic(a, REG.irr + 0x20);
  e.value('IRR behind it', 0);
  e.check('CR8 lets it in too', [irq()], () => {
    writeXapic(a, REG.tpr, 0xf0);
    pend(VECTOR);
    a.op('sti');
    a.alu('xor', R.eax, R.eax);
    a.db(0x44, 0x0f, 0x22, 0xc0);
    a.op('nop', 'cli');
  });
  const skip = a.fresh('skip');
  a.jmp(skip);
  a.label('apic.inService');
  readXapic(a, REG.isr + 0x20);
  a.mov(mem(32, 'apic.isr'), R.eax);
  readXapic(a, REG.ppr);
  a.mov(mem(32, 'apic.ppr'), R.eax);
  a.mov(e.g.word('ev.hookVector'), -1);
  // its own class waits for EOI, a higher one does not
  pend(0x52);
  pend(0x63);
  a.op('sti', 'nop', 'nop', 'cli', 'ret');
  a.label(skip);
  e.hook(VECTOR, 'apic.inService');
  e.check('a higher class interrupts, the same waits', [irq(), irq(0x63), irq(0x52)], () => {
    pend(VECTOR);
    open(a);
  });
  e.hook(0, undefined);
  a.mov(R.eax, mem(32, 'apic.isr'));
  e.value('ISR in the handler', 1 << (VECTOR & 31));
  a.mov(R.eax, mem(32, 'apic.ppr'));
  e.value('PPR in the handler', VECTOR & 0xf0);
  e.check('EOI of nothing', [], (x) => writeXapic(x, REG.eoi, 0));
  e.check('twice pending is once', [irq()], () => {
    pend(VECTOR);
    pend(VECTOR);
    open(a);
  });
}

/** ICR commands, and whether they reach this APIC. */
function destinations(e: Events): void {
  const { a } = e.g;
  const command = (
    name: string,
    hits: boolean,
    icr: number,
    to: number | 'own',
    logical?: [dfr: number, ldr: number],
  ): void =>
    e.check(name, hits ? [irq()] : [], () => {
      if (logical) {
        writeXapic(a, REG.dfr, logical[0]);
        writeXapic(a, REG.ldr, logical[1]);
      }
      if (to === 'own') {
        readXapic(a, REG.id);
        a.mov(R.ecx, 0xfee00000 + REG.icr2);
        a.mov(mem(32, R.rcx), R.eax);
      } else writeXapic(a, REG.icr2, to * 2 ** 24);
      writeXapic(a, REG.icr, icr | VECTOR);
      open(a);
    });
  const physical = 0x4000;
  const logical = 0x4800;
  const flat = 0xffffffff;
  const cluster = 0x0fffffff;
  command('physical', true, physical, 'own');
  command('physical, another', false, physical, 0x77);
  command('physical broadcast', true, physical, 0xff);
  command('shorthand self', true, 0x44000, 0x77);
  command('shorthand all', true, 0x84000, 0x77);
  command('shorthand others', false, 0xc4000, 'own');
  command('flat', true, logical, 0x06, [flat, 0x02000000]);
  command('flat, another', false, logical, 0x05, [flat, 0x02000000]);
  command('flat broadcast', true, logical, 0xff, [flat, 0x02000000]);
  command('cluster', true, logical, 0x13, [cluster, 0x12000000]);
  command('another of the cluster', false, logical, 0x11, [cluster, 0x12000000]);
  command('another cluster', false, logical, 0x22, [cluster, 0x12000000]);
  command('lowest priority', true, logical | 0x100, 0x02, [flat, 0x02000000]);
  readXapic(a, REG.icr);
  e.value('ICR reads back', 0x4900 | VECTOR);
}

function errors(e: Events): void {
  const { a } = e.g;
  const clear = (): void => {
    writeXapic(a, REG.esr, 0);
    writeXapic(a, REG.esr, 0);
  };
  clear();
  writeXapic(a, REG.lvtError, 0x60);
  e.check('an illegal vector raises the error interrupt', [irq(0x60)], () => {
    writeXapic(a, REG.icr, SELF | 5);
    open(a);
  });
  writeXapic(a, REG.esr, 0);
  readXapic(a, REG.esr);
  a.alu('and', R.eax, 0x20);
  e.value('ESR: send illegal vector', 0x20);
  clear();
  readXapic(a, REG.esr);
  e.value('ESR is cleared by writing', 0);
  writeXapic(a, REG.lvtError, MASKED);
}

/** SVR's enable bit. */
function softwareDisable(e: Events): void {
  const { a } = e.g;
  for (const lvt of LVTS) writeXapic(a, lvt, 0x40);
  writeXapic(a, REG.svr, 0xff);
  for (const lvt of LVTS) {
    readXapic(a, lvt);
    a.alu('and', R.eax, MASKED);
    e.value(`LVT ${lvt.toString(16)} is masked by disabling`, MASKED);
  }
  register(e, 'a mask cannot be cleared while disabled', REG.lvtError, 0x40, MASKED | 0x40);
  e.check('nothing comes in while disabled', [], () => {
    writeXapic(a, REG.icr, SELF | VECTOR);
    open(a);
  });
  writeXapic(a, REG.svr, 0x1ff);
  readXapic(a, REG.lvtError);
  e.value('enabling clears no mask', MASKED | 0x40);
}

export function apicRegisters(g: Guest): void {
  const e = new Events(g);
  g.variable('apic.isr', 8);
  g.variable('apic.ppr', 8);
  writeXapic(g.a, REG.svr, 0x1ff);
  registers(e);
  priorities(e);
  destinations(e);
  errors(e);
  softwareDisable(e);
  x2apic(e);
  e.done('things the local APIC does');
}
