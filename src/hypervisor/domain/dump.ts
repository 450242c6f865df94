/** A vCPU's registers, as lines of the log. */
import { cpuState, segment } from '../../machine/cpu-state.ts';
import { readRflags } from '../hvm/context.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { vcpuRecord } from '../records.ts';

const NAMES = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];
const SEG_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const hex16 = (v: bigint): string => v.toString(16).padStart(16, '0');

export function dumpRegisters(hv: Hypervisor, v: number): void {
  const { mem } = hv;
  const cpu = vcpuRecord.cpu.get(mem, v);
  if (cpu === 0) return;
  const cs = segment.sel.get(mem, cpuState.seg.addr(cpu, 1));
  hv.print(`RIP:    ${cs.toString(16).padStart(4, '0')}:[<${hex16(cpuState.rip.get(mem, cpu))}>]`);
  const flags = BigInt(readRflags(mem, cpu) >>> 0);
  hv.print(`RFLAGS: ${hex16(flags)}   CONTEXT: hvm guest (cpl ${cpuState.cpl.get(mem, cpu)})`);
  for (let i = 0; i < NAMES.length; i += 3) {
    const part = NAMES.slice(i, i + 3).map(
      (name, k) => `${name}: ${hex16(mem.u64(cpuState.gpr.addr(cpu, i + k)))}`,
    );
    hv.print(part.join('   '));
  }
  const cr = `cr0: ${hex16(cpuState.cr0.get(mem, cpu))}   cr4: ${hex16(cpuState.cr4.get(mem, cpu))}`;
  hv.print(`${cr}   efer: ${hex16(cpuState.efer.get(mem, cpu))}`);
  hv.print(`cr3: ${hex16(cpuState.cr3.get(mem, cpu))}   cr2: ${hex16(cpuState.cr2.get(mem, cpu))}`);
  const segs = SEG_NAMES.map((name, i) => {
    const sel = segment.sel.get(mem, cpuState.seg.addr(cpu, i));
    return `${name}: ${sel.toString(16).padStart(4, '0')}`;
  });
  hv.print(segs.join('   '));
}
