/** Instructions that a monitor may intercept, and those after which its interrupts are looked at. */
import { OP as X } from '../../../x86/ops.ts';

/** In a guest they are all for the helper, which asks the monitor. */
export const INTERCEPTABLE: ReadonlySet<number> = new Set(
  [
    ...['rdtsc', 'rdtscp', 'rdpmc', 'rdmsr', 'wrmsr', 'pushf', 'popf', 'cpuid', 'rsm', 'iret'],
    ...[
      'int',
      'int3',
      'into',
      'int1',
      'bound',
      'invd',
      'wbinvd',
      'pause',
      'hlt',
      'invlpg',
      'invlpga',
      'invpcid',
    ],
    ...['in', 'out', 'ins', 'outs', 'mov_cr', 'mov_dr', 'lmsw', 'smsw', 'clts', 'xsetbv', 'monitor', 'mwait'],
    ...['lgdt', 'lidt', 'lldt', 'ltr', 'sgdt', 'sidt', 'sldt', 'str', 'mov_sreg', 'pop', 'sti'],
    ...['vmcall', 'vmmcall', 'vmrun', 'vmload', 'vmsave', 'stgi', 'clgi', 'skinit'],
  ].map((name) => X[name as keyof typeof X]),
);
