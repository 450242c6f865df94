/** Finding and decoding the instruction at rip, in the mode that the vCPU is in. */
import { DECODE_OK, DECODE_TOO_LONG, decode } from '../../x86/decoder.ts';
import { type CodeSize, Insn } from '../../x86/insn.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { ACCESS, FAULT, MMIO } from '../mmu.ts';
import { type Mode, modeKey } from './code-cache.ts';
import type { Core } from './core.ts';
import { alignmentOn, limitedSegments, limitOf } from './limits.ts';
import { EXC } from './registers.ts';
import { inGuest } from './svm/state.ts';

/** Above a mode key in execMode: when the last flush was. */
const MODE_SHIFT = 0x1_0000;

export class Fetcher {
  readonly mode: Mode = {
    codeSize: 64,
    stackMask: -1,
    sse: true,
    vex: true,
    limited: 0,
    aligned: false,
    guest: false,
  };
  readonly insn = new Insn();
  private readonly c: Core;
  private readonly clearCode: (cpu: number) => void;
  /** An instruction's bytes from two pages. */
  private readonly bytes = new Uint8Array(4096 + 16);

  constructor(c: Core, clearCode: (cpu: number) => void) {
    this.c = c;
    this.clearCode = clearCode;
  }

  /**
   * The code TLB's tags tell privilege and generation, not the mode: where this privilege's mode is another one than when
   * its entries were made, they go. Unless all have gone since by a flush.
   */
  keepMode(): void {
    const c = this.c;
    const at = cpuState.execMode.addr(c.cpu, c.cpl === 3 ? 1 : 0);
    const is = c.get32(cpuState.flushedAt) * MODE_SHIFT + modeKey(this.currentMode());
    const was = c.m.u32(at);
    if (was === is) return;
    c.m.setU32(at, is);
    if (Math.floor(was / MODE_SHIFT) === Math.floor(is / MODE_SHIFT)) this.clearCode(c.cpu);
  }

  currentMode(): Mode {
    const c = this.c;
    this.mode.codeSize = c.get32(cpuState.mode) as CodeSize;
    this.mode.stackMask = c.stackMask;
    this.mode.limited = limitedSegments(c);
    this.mode.aligned = alignmentOn(c);
    this.mode.sse = (c.get32(cpuState.cr0) & 12) === 0 && (c.get32(cpuState.cr4) & 0x200) !== 0;
    this.mode.vex = c.protectedMode && !c.vm86;
    this.mode.guest = inGuest(c);
    return this.mode;
  }

  /** Linear address of rip; faults when it is not canonical. */
  fetchAddress(): number {
    const c = this.c;
    const rip = c.lin(cpuState.rip);
    if (c.code64) {
      if (rip >= 2 ** 47 || rip < -(2 ** 47)) c.gp();
      return rip;
    }
    if (rip > limitOf(c, SEG.cs)) c.gp(0);
    return (rip + c.segBase(SEG.cs)) >>> 0;
  }
  /** Whether the code segment ends in this page, so that its instructions have to be looked at one by one. */
  limitInPage(linear: number): boolean {
    const c = this.c;
    return !c.code64 && limitOf(c, SEG.cs) < c.lin(cpuState.rip) + 4095 - (linear & 4095);
  }

  /**
   * Machine address of the code byte at a linear address; faults. Code of a device or of nothing is #GP(0), as in
   * Xen, which tries to emulate the instruction and cannot fetch it.
   */
  translateFetch(linear: number): number {
    const c = this.c;
    const a = c.mmu.translate(c.cpu, linear, ACCESS.exec, c.cpl === 3);
    if (a === FAULT) {
      c.setLin(cpuState.cr2, linear);
      c.fault(EXC.PF, c.mmu.errorCode);
    }
    if (a === MMIO) {
      c.platform.cannotRun(c.cpu, `code at guest-physical ${c.mmu.gpa.toString(16)}, where there is no RAM`);
      c.gp();
    }
    return a;
  }

  /** Whether the code at rip is these bytes; what cannot be fetched is not. */
  isAt(bytes: readonly number[]): boolean {
    const c = this.c;
    const rip = c.lin(cpuState.rip);
    const { limited } = this.currentMode();
    if (limited & (1 << SEG.cs) && rip + bytes.length - 1 > limitOf(c, SEG.cs)) return false;
    return bytes.every((byte, i) => {
      const linear = c.code64 ? rip + i : (rip + i + c.segBase(SEG.cs)) >>> 0;
      const a = c.mmu.translate(c.cpu, linear, ACCESS.exec, c.cpl === 3);
      return a !== FAULT && a !== MMIO && c.m.u8(a) === byte;
    });
  }

  /** Decodes at rip, from one page or two. */
  decodeAt(): Insn {
    const c = this.c;
    const linear = this.fetchAddress();
    const a = this.translateFetch(linear);
    const { codeSize } = this.currentMode();
    const room = 4096 - (a & 4095);
    let status = decode(c.m.bytes, a, a + room, codeSize, this.insn);
    if (status !== DECODE_OK && status !== DECODE_TOO_LONG) {
      const b = this.translateFetch(c.code64 ? linear + room : (linear + room) >>> 0);
      this.bytes.set(c.m.bytes.subarray(a, a + room));
      this.bytes.set(c.m.bytes.subarray(b, b + 16), room);
      status = decode(this.bytes, 0, room + 16, codeSize, this.insn);
    }
    if (status !== DECODE_OK) c.gp();
    if (!c.code64 && c.ip + this.insn.length - 1 > limitOf(c, SEG.cs)) c.gp();
    c.nextIp = c.ip + this.insn.length;
    if (!c.code64) c.nextIp >>>= 0;
    return this.insn;
  }
}
