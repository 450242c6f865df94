/** The guests by name, and their ELF images. */
import { writeElf } from './elf.ts';
import { Guest, LAYOUT, LOAD_ADDRESS } from './guest.ts';
import { alignmentChecks } from './programs/alignment.ts';
import { apicForms } from './programs/apic-forms.ts';
import { apicNmi } from './programs/apic-nmi.ts';
import { apicRegisters } from './programs/apic-registers.ts';
import { atomicPair } from './programs/atomic-pair.ts';
import { codeLimits } from './programs/code-limits.ts';
import { cpuid } from './programs/cpuid.ts';
import { debugBreakpoints } from './programs/debug-breakpoints.ts';
import { debugRegisters } from './programs/debug-registers.ts';
import { debugStep } from './programs/debug-step.ts';
import { doubleFaults } from './programs/double-faults.ts';
import { faultProbe } from './programs/fault-probe.ts';
import { gates } from './programs/gates.ts';
import { hello } from './programs/hello.ts';
import { hypercallProbe } from './programs/hypercall-probe.ts';
import { longMode } from './programs/long-mode.ts';
import { longReturns } from './programs/long-returns.ts';
import { memoryCode } from './programs/memory-code.ts';
import { memoryCrossing } from './programs/memory-crossing.ts';
import { memoryStrings } from './programs/memory-strings.ts';
import { modes } from './programs/modes.ts';
import { msrs } from './programs/msr.ts';
import { controlRegisterProbe } from './programs/msr-control.ts';
import { pagingFlush } from './programs/paging-flush.ts';
import { pagingRegisters } from './programs/paging-registers.ts';
import { pagingRights } from './programs/paging-rights.ts';
import { priorities } from './programs/priorities.ts';
import { realMode } from './programs/real-mode.ts';
import { returns } from './programs/returns.ts';
import { segments } from './programs/segments.ts';
import { crash, flood, reboot, silent, tripleFault } from './programs/simple.ts';
import { smp } from './programs/smp.ts';
import { smpCode } from './programs/smp-code.ts';
import { svmEvents } from './programs/svm-events.ts';
import { svmIntercepts } from './programs/svm-intercepts.ts';
import { svmState } from './programs/svm-state.ts';
import { syscalls } from './programs/syscalls.ts';
import { tasks } from './programs/tasks.ts';
import { timer } from './programs/timer.ts';
import { vm86 } from './programs/vm86.ts';
import { emitGuest } from './runtime.ts';

interface Recipe {
  bits: 32 | 64;
  program: (g: Guest) => void;
}

export const GUESTS = {
  hello: { bits: 64, program: hello },
  hello32: { bits: 32, program: hello },
  'hypercall-probe': { bits: 64, program: hypercallProbe },
  'hypercall-probe32': { bits: 32, program: hypercallProbe },
  'fault-probe': { bits: 64, program: faultProbe },
  gates: { bits: 32, program: gates },
  returns: { bits: 32, program: returns },
  vm86: { bits: 32, program: vm86 },
  'real-mode': { bits: 32, program: realMode },
  'svm-events': { bits: 64, program: svmEvents },
  'svm-state': { bits: 64, program: svmState },
  'svm-intercepts': { bits: 64, program: svmIntercepts },
  tasks: { bits: 32, program: tasks },
  'long-mode': { bits: 64, program: longMode },
  syscalls: { bits: 64, program: syscalls },
  syscalls32: { bits: 32, program: syscalls },
  'double-faults': { bits: 64, program: doubleFaults },
  priorities: { bits: 32, program: priorities },
  alignment: { bits: 64, program: alignmentChecks },
  alignment32: { bits: 32, program: alignmentChecks },
  modes: { bits: 32, program: modes },
  'long-returns': { bits: 64, program: longReturns },
  'code-limits': { bits: 32, program: codeLimits },
  segments: { bits: 32, program: segments },
  'debug-breakpoints': { bits: 64, program: debugBreakpoints },
  'apic-nmi': { bits: 64, program: apicNmi },
  msr: { bits: 64, program: msrs },
  'msr-control': { bits: 64, program: controlRegisterProbe },
  'apic-registers': { bits: 64, program: apicRegisters },
  timer: { bits: 64, program: timer },
  smp: { bits: 64, program: smp },
  'smp-code': { bits: 64, program: smpCode },
  'apic-forms': { bits: 64, program: apicForms },
  'atomic-pair': { bits: 64, program: atomicPair },
  cpuid: { bits: 64, program: cpuid },
  'debug-registers': { bits: 64, program: debugRegisters },
  'debug-step': { bits: 64, program: debugStep },
  'paging-long': { bits: 64, program: pagingRights('long') },
  'paging-pae': { bits: 32, program: pagingRights('pae') },
  'paging-two-level': { bits: 32, program: pagingRights('two-level') },
  'paging-flush': { bits: 64, program: pagingFlush },
  'memory-crossing': { bits: 64, program: memoryCrossing },
  'memory-code': { bits: 64, program: memoryCode },
  'memory-strings': { bits: 64, program: memoryStrings },
  'paging-registers': { bits: 32, program: pagingRegisters },
  'triple-fault': { bits: 64, program: tripleFault },
  silent: { bits: 32, program: silent },
  flood: { bits: 64, program: flood },
  crash: { bits: 64, program: crash },
  reboot: { bits: 64, program: reboot },
} as const satisfies Record<string, Recipe>;

export type GuestName = keyof typeof GUESTS;
export const GUEST_NAMES = Object.keys(GUESTS) as GuestName[];

/** An ELF image that boots as PVH (`kernel=`, type "pvh") or in place of hvmloader (`firmware_override`). */
export function buildGuest(name: GuestName): Uint8Array {
  const { bits, program } = GUESTS[name];
  const g = new Guest(bits);
  emitGuest(g, program);
  const data = g.finish();
  const bss = LAYOUT.end - LOAD_ADDRESS - data.length;
  return writeElf({ bits: 32, address: LOAD_ADDRESS, entry: g.a.addressOf('rt.entry'), data, bss });
}
