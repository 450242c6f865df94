/** The routines of a monitor in guests/: running a guest, making its VMCB anew, comparing. @spec APM 2 15.5, appendix B */
import { VMEXIT } from '../src/machine/engine/svm/vmcb.ts';
import type { Guest } from './guest.ts';
import { cr, mem, R } from './registers.ts';
import { AT, controlAt, MSR, saveAt, segAt } from './svm-layout.ts';

export class MonitorRoutines {
  readonly g: Guest;

  constructor(g: Guest) {
    this.g = g;
  }

  /** Runs the guest; its registers but rax and rsp are the monitor's. */
  protected emitRun(): void {
    const { a } = this.g;
    a.label('nv.run');
    a.push(R.rbp);
    a.op('clgi');
    a.mov(R.eax, AT.host);
    a.op('vmsave');
    a.mov(R.eax, AT.vmcb);
    const masked = a.fresh('masked');
    a.alu('cmp', mem(32, 'nv.hostIf'), 0);
    a.j('z', masked);
    a.op('sti');
    a.label(masked);
    a.op('vmload', 'vmrun', 'vmsave', 'cli');
    a.mov(R.eax, AT.host);
    a.op('vmload', 'stgi');
    a.pop(R.rbp);
    a.op('ret');
  }

  /** The VMCB of a guest in long mode in the monitor's address space, nested tables, and an IDT of VMMCALLs. */
  protected emitReset(): void {
    const { a } = this.g;
    a.label('nv.reset');
    a.mov(mem(32, 'nv.hostIf'), 0);
    a.mov(R.edi, AT.vmcb);
    a.alu('xor', R.eax, R.eax);
    a.mov(R.ecx, 1024);
    a.op('repStosd');
    a.mov(R.edi, AT.iopm);
    a.mov(R.ecx, 5 * 1024);
    a.op('repStosd');
    // one to one, everything allowed
    a.mov(mem(32, AT.nestedPml4), AT.nestedPdpt | 7);
    for (let k = 0; k < 4; k++) a.mov(mem(32, AT.nestedPdpt + 8 * k), (AT.nestedPd + 4096 * k) | 7);
    this.fill(AT.nestedPd, 2048, 0x87, 0x20_0000, 8);
    this.fill(AT.stubs, 256, 0x00d9_010f, 0, 8);
    this.fill(AT.idt, 256, (0x18 << 16) | (AT.stubs & 0xffff), 8, 16);
    this.fill(AT.idt + 4, 256, (AT.stubs & 0xffff_0000) | 0x8e00, 0, 16);
    this.defaults();
    a.op('ret');
  }
  /** `count` dwords, `step` bytes apart, each `by` more than the one before. */
  private fill(at: number, count: number, first: number, by: number, step: number): void {
    const { a } = this.g;
    const next = a.fresh('fill');
    a.mov(R.edi, at);
    a.mov(R.eax, first);
    a.mov(R.ecx, count);
    a.label(next);
    a.mov(mem(32, R.rdi), R.eax);
    a.alu('add', R.eax, by);
    a.alu('add', R.edi, step);
    a.dec(R.ecx);
    a.j('nz', next);
  }
  private defaults(): void {
    const { a } = this.g;
    this.intercept([VMEXIT.vmrun, VMEXIT.vmmcall, VMEXIT.shutdown]);
    a.mov(mem(32, controlAt('asid')), 1);
    a.mov(mem(8, controlAt('tlbControl')), 1);
    a.mov(mem(32, controlAt('iopmBase')), AT.iopm);
    a.mov(mem(32, controlAt('msrpmBase')), AT.msrpm);
    a.mov(mem(32, controlAt('nestedCr3')), AT.nestedPml4);
    for (const s of [0, 1, 2, 3]) this.segment(s, s === 1 ? 0x18 : 0x10, s === 1 ? 0xa9b : 0xc93);
    a.mov(mem(32, saveAt('idtr', 4)), 0xfff);
    a.mov(mem(32, saveAt('idtr', 8)), AT.idt);
    a.mov(mem(32, saveAt('gdtr', 4)), 31);
    a.mov(mem(32, saveAt('gdtr', 8)), 'rt.gdt');
    a.mov(R.ecx, MSR.efer);
    a.op('rdmsr');
    a.mov(mem(32, saveAt('efer')), R.eax);
    for (const [field, n] of [
      ['cr0', 0],
      ['cr3', 3],
      ['cr4', 4],
    ] as const) {
      a.mov(R.rax, cr(n));
      a.mov(mem(64, saveAt(field)), R.rax);
    }
    a.mov(mem(32, saveAt('rflags')), 2);
    a.mov(mem(32, saveAt('rsp')), AT.stack);
    a.mov(mem(32, saveAt('dr6')), 0xffff_0ff0);
    a.mov(mem(32, saveAt('dr7')), 0x400);
    for (const k of [0, 4]) a.mov(mem(32, saveAt('gPat', k)), 0x0007_0406);
  }
  segment(s: number, sel: number, attr: number, limit = 0xffff_ffff): void {
    const { a } = this.g;
    const at = segAt(s);
    a.mov(mem(32, at.sel), (attr << 16) | sel);
    a.mov(mem(32, at.limit), limit);
  }
  /** Sets intercepts by their exit codes. */
  intercept(codes: readonly number[]): void {
    for (const code of codes)
      this.g.a.alu('or', mem(32, controlAt('intercepts', ((code - 0x60) >> 5) * 4)), (2 ** (code & 31)) | 0);
  }

  /** ESI: address of the word, rcx: what is expected of it; nv.field names it. */
  protected emitCompare(): void {
    const { g } = this;
    const { a } = g;
    const differs = a.fresh('differs');
    a.label('nv.compare');
    a.mov(R.rax, mem(64, R.rsi));
    a.alu('cmp', R.rax, R.rcx);
    a.j('nz', differs);
    a.op('ret');
    a.label(differs);
    a.mov(g.word('nv.found'), R.rax);
    a.mov(g.word('nv.expected'), R.rcx);
    g.fail(
      { text: g.word('nv.name'), length: g.word('nv.nameLength') },
      ': ',
      { text: g.word('nv.field'), length: g.word('nv.eight') },
      ' is ',
      { hex: g.word('nv.found') },
      ', expected ',
      { hex: g.word('nv.expected') },
    );
    a.op('ret');
    g.data('nv.eight', () => g.emitWord(8));
  }
}
