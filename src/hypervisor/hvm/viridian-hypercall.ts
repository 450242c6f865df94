/**
 * Viridian's hypercalls. They come by the same instruction as Xen's, with bit 31 of EAX set, and have their own registers:
 * an input value, and guest-physical addresses of input and output, which nothing here has.
 *
 *           input value   input address   output address   result
 *   64-bit  RCX           RDX             R8               RAX
 *   32-bit  EDX:EAX       EBX:ECX         EDI:ESI          EDX:EAX
 */
import { Mem } from '../../base/mem.ts';
import { cpuState, GPR } from '../../machine/cpu-state.ts';
import { P2M_FRAMES } from '../../machine/p2m.ts';
import { forEachVcpu } from '../domain/domain.ts';
import { isRunning, vcpuSetIrq } from '../domain/vcpu.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { gfnToMfn } from '../mm/physmap.ts';
import { VCPU_CPU_OFFSET, vcpuRecord } from '../records.ts';
import {
  HV_FLUSH_ALL_PROCESSORS,
  HV_GENERIC_SET_ALL,
  HV_GENERIC_SET_SPARSE_4K,
  HV_STATUS_INVALID_HYPERCALL_CODE,
  HV_STATUS_INVALID_PARAMETER,
  HVCALL,
} from './viridian-abi.ts';
import { lapicEnabled } from './vlapic.ts';

const FAST = 0x1_0000n;
const BANK_VCPUS = 64;
const MAX_BANKS = 64;
/** FLUSH: address space, flags, then the mask or the set. */
const FLUSH = { flags: 8, mask: 16, size: 24, setSize: 32 } as const;
/** SEND_IPI: vector, VTL and reserved bytes, then the mask or the set. */
const IPI = { vtl: 4, mask: 8, size: 16, setSize: 24 } as const;
const FIRST_VECTOR = 0x10n;
const LAST_VECTOR = 0xffn;

interface Call {
  readonly hv: Hypervisor;
  readonly v: number;
  readonly dom: number;
  readonly fast: boolean;
  readonly input: bigint;
  readonly output: bigint;
}

const scratch = Mem.alloc(4096);

/** Copies guest-physical memory to scratch at 0; false where any of it is no memory. */
function copyIn(c: Call, gpa: bigint, len: number): boolean {
  for (let done = 0; done < len; ) {
    const at = gpa + BigInt(done);
    const gfn = at >> 12n;
    const offset = Number(at & 0xfffn);
    const mfn = gfn < P2M_FRAMES ? gfnToMfn(c.hv, c.dom, Number(gfn)) : -1;
    if (mfn < 0) return false;
    const n = Math.min(len - done, 4096 - offset);
    scratch.write(done, c.hv.mem.slice(mfn * 4096 + offset, n));
    done += n;
  }
  return true;
}

/** vCPUs by their ids; undefined for a set that cannot be read. */
type Targets = ((id: number) => boolean) | undefined;

const maskTargets =
  (mask: bigint): Targets =>
  (id) =>
    id < BANK_VCPUS && ((mask >> BigInt(id)) & 1n) !== 0n;
const everyone: Targets = () => true;

/** A set at offset `at` of what was copied in: its format, a mask of the banks that follow, and these. */
function setTargets(c: Call, at: number): Targets {
  const format = scratch.u64(at);
  if (format === HV_GENERIC_SET_ALL) return everyone;
  if (format !== HV_GENERIC_SET_SPARSE_4K) return undefined;
  const valid = scratch.u64(at + 8);
  const banks = Array.from({ length: MAX_BANKS }, (_, i) => i).filter((i) => (valid >> BigInt(i)) & 1n);
  if (!copyIn(c, c.input + BigInt(at + 16), banks.length * 8)) return undefined;
  const masks = new Map(banks.map((bank, i) => [bank, scratch.u64(i * 8)]));
  return (id) => (((masks.get(Math.floor(id / BANK_VCPUS)) ?? 0n) >> BigInt(id % BANK_VCPUS)) & 1n) !== 0n;
}

function vcpusOf(c: Call, targets: (id: number) => boolean): number[] {
  const all: number[] = [];
  forEachVcpu(c.hv, c.dom, (v) => {
    if (targets(vcpuRecord.id.get(c.hv.mem, v))) all.push(v);
  });
  return all;
}

/** Answers a status. Reads and marks under the lock; those that run elsewhere have flushed when it returns. */
function flush(c: Call, ex: boolean): number {
  const { hv } = c;
  const marked = hv.withLock(() => {
    if (c.fast || !copyIn(c, c.input, ex ? FLUSH.setSize : FLUSH.size)) return undefined;
    const all = (scratch.u32(FLUSH.flags) & HV_FLUSH_ALL_PROCESSORS) !== 0;
    const mask = scratch.u64(FLUSH.mask);
    const targets = all ? everyone : ex ? setTargets(c, FLUSH.mask) : maskTargets(mask);
    return targets === undefined ? undefined : vcpusOf(c, targets).filter((v) => markForFlush(hv, v));
  });
  if (marked === undefined) return HV_STATUS_INVALID_PARAMETER;
  while (hv.withLock(() => marked.some((v) => waitsToFlush(c, v)))) {
    // the other CPU takes the lock, flushes and comes out
  }
  return 0;
}

/** True for one that runs on another CPU now. */
function markForFlush(hv: Hypervisor, v: number): boolean {
  const { mem } = hv;
  if (vcpuRecord.cpuReady.get(mem, v) === 0) return false;
  vcpuRecord.flushPending.set(mem, v, 1);
  if (!isRunning(hv, v) || vcpuRecord.pcpu.get(mem, v) === hv.pcpu) return false;
  hv.kickPcpu(vcpuRecord.pcpu.get(mem, v));
  return true;
}

/** Two that wait for each other would wait for ever, so one flushes itself meanwhile. */
function waitsToFlush(c: Call, v: number): boolean {
  const { mem } = c.hv;
  if (vcpuRecord.flushPending.get(mem, c.v) !== 0) {
    vcpuRecord.flushPending.set(mem, c.v, 0);
    c.hv.engine?.flushTlb(c.v + VCPU_CPU_OFFSET);
  }
  return vcpuRecord.flushPending.get(mem, v) !== 0 && isRunning(c.hv, v);
}

function sendIpi(c: Call, ex: boolean): number {
  return c.hv.withLock(() => {
    const { hv } = c;
    const request = ipiRequest(c, ex);
    if (request === undefined) return HV_STATUS_INVALID_PARAMETER;
    const { vector, targets } = request;
    if (vector < FIRST_VECTOR || vector > LAST_VECTOR) return HV_STATUS_INVALID_PARAMETER;
    for (const v of vcpusOf(c, targets)) if (lapicEnabled(hv.mem, v)) vcpuSetIrq(hv, v, Number(vector));
    return 0;
  });
}

function ipiRequest(c: Call, ex: boolean) {
  if (c.fast) return ex ? undefined : { vector: c.input, targets: maskTargets(c.output)! };
  if (!copyIn(c, c.input, ex ? IPI.setSize : IPI.size) || scratch.u32(IPI.vtl) !== 0) return undefined;
  const vector = BigInt(scratch.u32(0));
  const targets = ex ? setTargets(c, IPI.mask) : maskTargets(scratch.u64(IPI.mask));
  return targets === undefined ? undefined : { vector, targets };
}

/** Runs a call; its result value. */
function perform(c: Call, code: number, repCount: bigint): bigint {
  switch (code) {
    case HVCALL.NOTIFY_LONG_SPIN_WAIT:
      c.hv.yielded = true;
      return 0n;
    case HVCALL.FLUSH_VIRTUAL_ADDRESS_SPACE:
    case HVCALL.FLUSH_VIRTUAL_ADDRESS_LIST:
    case HVCALL.FLUSH_VIRTUAL_ADDRESS_SPACE_EX:
    case HVCALL.FLUSH_VIRTUAL_ADDRESS_LIST_EX: {
      const status = flush(c, code >= HVCALL.FLUSH_VIRTUAL_ADDRESS_SPACE_EX);
      return status === 0 ? repCount << 32n : BigInt(status);
    }
    case HVCALL.SEND_IPI:
    case HVCALL.SEND_IPI_EX:
      return BigInt(sendIpi(c, code === HVCALL.SEND_IPI_EX));
    default:
      return BigInt(HV_STATUS_INVALID_HYPERCALL_CODE);
  }
}

/** A call by a vCPU at CPL 0, from and to its registers. `wide`: it is in 64-bit mode. */
export function viridianHypercall(hv: Hypervisor, v: number, wide: boolean): void {
  const { mem } = hv;
  const reg = (r: number): number => cpuState.gpr.addr(v + VCPU_CPU_OFFSET, r);
  const pair = (high: number, low: number): bigint =>
    (BigInt(mem.u32(reg(high))) << 32n) | BigInt(mem.u32(reg(low)));
  const control = wide ? mem.u64(reg(GPR.rcx)) : pair(GPR.rdx, GPR.rax);
  const call: Call = {
    hv,
    v,
    dom: vcpuRecord.domain.get(mem, v),
    fast: (control & FAST) !== 0n,
    input: wide ? mem.u64(reg(GPR.rdx)) : pair(GPR.rbx, GPR.rcx),
    output: wide ? mem.u64(reg(GPR.r8)) : pair(GPR.rdi, GPR.rsi),
  };
  const result = perform(call, Number(control & 0xffffn), (control >> 32n) & 0xfffn);
  if (wide) return mem.setU64(reg(GPR.rax), result);
  mem.setU64(reg(GPR.rdx), result >> 32n);
  mem.setU64(reg(GPR.rax), result & 0xffff_ffffn);
}
