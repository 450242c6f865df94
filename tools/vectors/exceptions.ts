/** The forms without vectors, each with the reason. Privileged instructions are not among them: their #GP is a case. */
import type { OpName } from '../../src/x86/ops.ts';
import type { VectorForm } from './forms.ts';

interface Exception {
  readonly why: string;
  readonly ops: readonly OpName[];
  /** Only forms for which this holds. */
  readonly only?: (form: VectorForm) => boolean;
  /** This machine has no such instruction and raises #UD, which the test of the forms makes sure of. */
  readonly absent?: true;
}

export const EXCEPTIONS: readonly Exception[] = [
  {
    why: 'the result is not a function of the input: it is the clock, chance, or which CPU this is',
    ops: ['rdtsc', 'rdtscp', 'rdpmc', 'cpuid', 'rdrand', 'rdseed', 'rdpid'],
  },
  { why: "enters the host's kernel", ops: ['syscall', 'sysenter'] },
  {
    why: "UMIP makes it fault, and Linux's kernel then emulates it",
    ops: ['sgdt', 'sidt', 'sldt', 'str', 'smsw'],
  },
  { why: 'a hypercall: the hypervisor of the host, or of the case, answers', ops: ['vmcall', 'vmmcall'] },
  {
    why: 'the hypervisor below the host reports it at the instruction, the manuals behind it',
    ops: ['int1'],
  },
  {
    why: 'the recording CPU lacks it',
    ops: ['serialize', 'rdpkru', 'wrpkru'],
  },
  {
    why: 'AMD has no 64-bit far pointers in memory and ignores REX.W; what is decoded is what Intel has',
    ops: ['callf', 'jmpf', 'lss', 'lfs', 'lgs'],
    only: (form) => form.size === 8,
  },
  {
    why: '#UD on AMD, no operation on Intel, which is what is decoded',
    ops: ['nop'],
    only: (form) => form.map === 1 && form.opcode === 0x0d && form.rm === 'r',
  },
  {
    why: 'an extension that CPUID does not report',
    ops: [
      'movntss',
      'movntsd',
      'extrq',
      'insertq',
      'gf2p8mulb',
      'gf2p8affineqb',
      'gf2p8affineinvqb',
      'clzero',
    ],
    absent: true,
  },
  {
    why: 'an extension that CPUID does not report',
    ops: ['xsaves', 'xrstors', 'monitorx', 'mwaitx', 'rdpru'],
    absent: true,
  },
  {
    why: 'SVM, which CPUID does not report; the hypervisor below the host answers it',
    ops: ['vmrun', 'vmload', 'vmsave', 'stgi', 'clgi', 'skinit', 'invlpga'],
    absent: true,
  },
];

export function exceptionOf(form: VectorForm): Exception | undefined {
  return EXCEPTIONS.find((e) => e.ops.includes(form.op) && (e.only?.(form) ?? true));
}
