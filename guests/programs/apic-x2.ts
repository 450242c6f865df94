/** The local APIC by MSR: what they take and refuse, and destinations of 32 bits. @spec SDM 3A 11.12 */
import type { Asm } from '../asm.ts';
import type { Events } from '../events.ts';
import { R } from '../registers.ts';
import { enableX2apic, REG, readMsr, sendIpi, writeMsr, x2 } from './apic-kit.ts';

const GP = 13;
const VECTOR = 0x51;
const irq = { vector: VECTOR };
const open = (a: Asm): void => a.op('sti', 'nop', 'nop', 'nop', 'cli');

/** Nothing where CPUID has no x2APIC. */
export function x2apic(e: Events): void {
  const { a } = e.g;
  const skip = a.fresh('skip');
  a.mov(R.eax, 1);
  a.op('cpuid');
  a.test(R.ecx, 1 << 21);
  a.j('z', skip);
  enableX2apic(e);
  const refused = (name: string, msr: number, low?: number, high = 0): void =>
    e.check(`x2APIC: ${name}`, [{ vector: GP, error: 0 }], (x) =>
      low === undefined ? readMsr(x, msr) : writeMsr(x, msr, low, high),
    );
  for (const [name, reg] of [
    ['ID', REG.id],
    ['version', REG.version],
    ['PPR', REG.ppr],
    ['LDR', REG.ldr],
    ['count', REG.current],
    ['ISR', REG.isr],
  ] as const)
    refused(`${name} is read-only`, x2(reg), 0);
  refused('EOI is write-only', x2(REG.eoi));
  refused('EOI takes 0 alone', x2(REG.eoi), 1);
  refused('self IPI is write-only', x2(REG.selfIpi));
  refused('DFR is not there', x2(REG.dfr));
  refused('ICR2 is not there', x2(REG.icr2));
  refused('nor is the first', 0x800);
  refused('nor the last', 0x8ff);
  refused('TPR has 8 bits', x2(REG.tpr), 0x100);
  refused('SVR has its bits', x2(REG.svr), 0x2000);
  refused('ESR takes 0 alone', x2(REG.esr), 1);
  refused('LVT has its bits', x2(REG.lvtTimer), 0x80_0000);
  refused('self IPI has 8 bits', x2(REG.selfIpi), 0x100);
  refused('TPR has no upper half', x2(REG.tpr), 0, 1);
  refused('ICR has its bits', x2(REG.icr), 0x10_0000);
  e.check('self IPI', [irq], () => {
    writeMsr(a, x2(REG.selfIpi), VECTOR);
    open(a);
  });
  e.check('to its own logical id', [irq], () => {
    readMsr(a, x2(REG.ldr));
    a.mov(R.edx, R.eax);
    a.mov(R.eax, 0x4800 | VECTOR);
    a.mov(R.ecx, x2(REG.icr));
    a.op('wrmsr');
    open(a);
  });
  e.check('to the one of lowest priority, by logical id', [irq], () => {
    readMsr(a, x2(REG.ldr));
    a.mov(R.edx, R.eax);
    a.mov(R.eax, 0x4900 | VECTOR);
    a.mov(R.ecx, x2(REG.icr));
    a.op('wrmsr');
    open(a);
  });
  e.check('to the one of lowest priority among nobody', [], () => {
    sendIpi(a, 0x4900 | VECTOR, 0x00020001);
    open(a);
  });
  e.check('what TPR holds back again leaves no spurious interrupt', [irq], () => {
    writeMsr(a, x2(REG.selfIpi), VECTOR);
    writeMsr(a, x2(REG.tpr), 0xf0);
    open(a);
    writeMsr(a, x2(REG.tpr), 0);
    open(a);
  });
  e.check('to everyone', [irq], () => {
    sendIpi(a, 0x4000 | VECTOR, 0xffffffff);
    open(a);
  });
  e.check('to nobody', [], () => {
    sendIpi(a, 0x4000 | VECTOR, 0x12345678);
    open(a);
  });
  readMsr(a, x2(REG.icr));
  e.value('ICR reads back whole', 0x12345678_00004051n);
  readMsr(a, x2(REG.id));
  a.mov(R.rbp, R.rax);
  readMsr(a, x2(REG.ldr));
  a.mov(R.rbx, R.rax);
  a.mov(R.ecx, R.ebp);
  a.alu('and', R.ecx, 15);
  a.mov(R.eax, 1);
  a.shift('shl', R.eax, 'cl');
  a.shift('shr', R.ebp, 4);
  a.shift('shl', R.ebp, 16);
  a.alu('or', R.eax, R.ebp);
  a.alu('xor', R.rax, R.rbx);
  e.value('the logical id is made of the other', 0);
  a.label(skip);
}
