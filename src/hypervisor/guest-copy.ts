/**
 * Who makes a hypercall, and its memory. A handler copies its arguments in once, into this thread's private scratch
 * memory, and looks only at that copy: guest memory is shared with other CPUs, so a second look may differ.
 *
 * Guest addresses are numbers; a 64-bit linear address is signed (the upper half is negative), so that every canonical
 * one is exact. For domain 0, which has no page tables, an address is guest-physical.
 *
 * One Caller per thread, reused: nothing here allocates.
 */
import { Mem } from '../base/mem.ts';
import { P2M, p2mEntry, p2mGet, p2mMfn, p2mType, p2mWritable } from '../machine/p2m.ts';
import type { Hypervisor } from './hypervisor.ts';
import { frameWritten } from './mm/code.ts';
import { domainRecord, vcpuRecord } from './records.ts';

const SCRATCH_BYTES = 256 << 10;
const CANONICAL = 2 ** 47;

export class Caller {
  readonly hv: Hypervisor;
  /** Machine memory. */
  readonly mem: Mem;
  /** This thread's private memory, where copied arguments lie. */
  readonly scratch = Mem.alloc(SCRATCH_BYTES);
  /** Records of the calling domain and vCPU. */
  dom = 0;
  vcpu = 0;
  domid = 0;
  /** 64-bit hypercall ABI. */
  wide = true;
  privileged = false;
  /** The call is run again after it answered -ERESTART: what it did before is done. */
  restarted = false;
  /** How far a call that is run again has come. */
  progress = 0;
  /** Inside HYPERVISOR_multicall. */
  inMulticall = false;
  /** Runs another call on this one's behalf, for multicall. */
  dispatch: (c: Caller, nr: number, a1: number, a2: number, a3: number, a4: number, a5: number) => number =
    () => 0;
  /** The machine's cpuState; 0 for domain 0. */
  cpu = 0;
  private top = 0;

  constructor(hv: Hypervisor) {
    this.hv = hv;
    this.mem = hv.mem;
  }

  /** Makes this the context of a call by `vcpu`. */
  bind(vcpu: number, wide: boolean): void {
    const { mem } = this;
    this.vcpu = vcpu;
    this.dom = vcpuRecord.domain.get(mem, vcpu);
    this.domid = domainRecord.domid.get(mem, this.dom);
    this.privileged = domainRecord.privileged.get(mem, this.dom) !== 0;
    this.cpu = vcpuRecord.cpu.get(mem, vcpu);
    this.wide = wide;
    this.restarted = false;
    this.progress = 0;
    this.inMulticall = false;
    this.top = 0;
  }

  /** `wide` or its 32-bit form, as the caller's ABI demands. */
  layout<T>(wide: T, narrow: T): T {
    return this.wide ? wide : narrow;
  }

  /** Scratch bytes, zeroed, until `release` or the end of the call. */
  alloc(len: number): number {
    const at = this.top;
    this.top = (at + len + 15) & ~15;
    if (this.top > SCRATCH_BYTES)
      throw new Error(`a hypercall needs more than ${SCRATCH_BYTES} bytes of scratch`);
    this.scratch.fill(at, len);
    return at;
  }
  mark(): number {
    return this.top;
  }
  release(mark: number): void {
    this.top = mark;
  }

  /** Copies guest memory to scratch: the scratch address, or -1 when any byte of it cannot be read. */
  copyIn(addr: number, len: number): number {
    const to = this.alloc(len);
    return this.copyInTo(to, addr, len) ? to : -1;
  }

  copyInTo(to: number, addr: number, len: number): boolean {
    for (let done = 0; done < len; ) {
      const from = this.translate(addr + done, false);
      if (from < 0) return false;
      const n = Math.min(len - done, 4096 - (from & 4095));
      this.scratch.bytes.set(this.mem.bytes.subarray(from, from + n), to + done);
      done += n;
    }
    return true;
  }

  /** Copies scratch to guest memory; false when any byte cannot be written (those before it are). */
  copyOut(addr: number, from: number, len: number): boolean {
    for (let done = 0; done < len; ) {
      const to = this.translate(addr + done, true);
      if (to < 0) return false;
      const n = Math.min(len - done, 4096 - (to & 4095));
      this.mem.bytes.set(this.scratch.bytes.subarray(from + done, from + done + n), to);
      frameWritten(this.hv, to >>> 12);
      done += n;
    }
    return true;
  }

  /** Machine address of one byte of the caller's memory; -1 when it is not there or not writable. */
  translate(addr: number, write: boolean): number {
    if (this.cpu === 0) return this.gpaToMaddr(addr, write);
    if (addr >= CANONICAL || addr < -CANONICAL) return -1;
    const { engine } = this.hv;
    if (engine === undefined) return -1;
    return engine.linearToMaddr(this.cpu, BigInt.asUintN(64, BigInt(addr)), write);
  }

  private gpaToMaddr(gpa: number, write: boolean): number {
    if (!(gpa >= 0)) return -1;
    const e = p2mGet(this.mem, domainRecord.p2mRoot.get(this.mem, this.dom), Math.floor(gpa / 4096));
    const type = p2mType(e);
    if (e === p2mEntry(0, P2M.none) || type === P2M.mmio || (write && !p2mWritable(type))) return -1;
    return p2mMfn(e) * 4096 + (gpa % 4096);
  }
}
