/**
 * The HPET, for domains with XEN_X86_EMU_HPET and HVM_PARAM_HPET_ENABLED: a counter of 62.5 MHz and three timers, routed
 * to pins 20 to 23 of the I/O APIC, or two of them to the pins of the PIT and the RTC. As with Xen's, there is no delivery
 * by message (FSB). All of it under the hypervisor lock.
 *
 * @spec IA-PC HPET 1.0a
 */
import { XEN_X86_EMU_HPET } from '../../abi/arch_x86.ts';
import { HVM_PARAM_HPET_ENABLED } from '../../abi/hvm_params.ts';
import type { Mem } from '../../base/mem.ts';
import { noteDeadline } from '../deadline.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord } from '../records.ts';
import { HPET_BASE, HPET_BYTES, HPET_TIMERS, hpetState } from './devices.ts';
import { ioapicLower, ioapicRaise } from './ioapic.ts';

const REG = { id: 0x000, config: 0x010, status: 0x020, counter: 0x0f0, timers: 0x100 } as const;
const TIMER_BYTES = 0x20;
const TIMER_REG = { config: 0, comparator: 8, route: 0x10 } as const;
const TICK_NS = 16;
/** Vendor 0x8086, three timers, 64 bits, legacy routes, revision 1; the period in fs above. */
const ID = (BigInt(TICK_NS * 1_000_000) << 32n) | 0x8086_a201n;
const CONFIG = { enable: 1, legacy: 2 } as const;
const TIMER = { level: 2n, enable: 4n, periodic: 8n, setValue: 0x40n, mode32: 0x100n } as const;
const ROUTE = 0x3e00n;
const TIMER_WRITABLE = TIMER.level | TIMER.enable | TIMER.periodic | TIMER.setValue | TIMER.mode32 | ROUTE;
/** Periodic, 64 bits, and the pins that there are. */
const TIMER_CAN = 0x30n | (0x00f0_0000n << 32n);
const FIRST_PIN = 20n;
const LAST_PIN = 23n;
const LEGACY_PINS = [2, 8] as const;
const MIN_PERIOD = BigInt(100_000 / TICK_NS);
/** A comparator of 32 bits that is behind by more than about a millisecond is ahead. */
const BEHIND = 61_035n;
const mod64 = (n: bigint): bigint => BigInt.asUintN(64, n);

export const hasHpet = (m: Mem, dom: number): boolean =>
  (domainRecord.emulationFlags.get(m, dom) & XEN_X86_EMU_HPET) !== 0 &&
  m.u32(domainRecord.hvmParams.addr(dom, HVM_PARAM_HPET_ENABLED)) !== 0;
export const inHpet = (gpa: number): boolean => gpa >= HPET_BASE && gpa < HPET_BASE + HPET_BYTES;

/** One domain's HPET: short names for its registers. */
class Hpet {
  private readonly hv: Hypervisor;
  private readonly dom: number;
  private readonly at: number;

  constructor(hv: Hypervisor, dom: number) {
    this.hv = hv;
    this.dom = dom;
    this.at = domainRecord.hpet.addr(dom);
  }

  private get ticks(): bigint {
    return BigInt(Math.floor(this.hv.now() / TICK_NS));
  }
  private get config(): number {
    return hpetState.config.get(this.hv.mem, this.at);
  }
  private get running(): boolean {
    return (this.config & CONFIG.enable) !== 0;
  }
  private get counter(): bigint {
    const value = hpetState.counter.get(this.hv.mem, this.at);
    return this.running ? mod64(value + this.ticks) : value;
  }
  private timer(i: number): bigint {
    return this.hv.mem.u64(hpetState.timerConfig.addr(this.at, i));
  }
  private is(i: number, bit: bigint): boolean {
    return (this.timer(i) & bit) !== 0n;
  }
  private period(i: number): bigint {
    return this.hv.mem.u64(hpetState.period.addr(this.at, i));
  }
  private setDeadline(i: number, ns: number): void {
    this.hv.mem.setN64(hpetState.deadline.addr(this.at, i), ns);
  }
  private setComparator(i: number, value: bigint): void {
    this.hv.mem.setU64(hpetState.comparator.addr(this.at, i), mod64(~value));
  }

  /** That of a periodic timer has moved on with the counter. */
  private comparator(i: number): bigint {
    let value = mod64(~this.hv.mem.u64(hpetState.comparator.addr(this.at, i)));
    const period = this.period(i);
    if (this.running && this.is(i, TIMER.periodic) && period !== 0n) {
      const passed = BigInt.asIntN(64, this.counter - value);
      if (passed >= 0n) value = mod64(value + (passed / period + 1n) * period);
      this.setComparator(i, value);
    }
    return this.is(i, TIMER.mode32) ? BigInt.asUintN(32, value) : value;
  }

  read(offset: number): bigint {
    const { mem } = this.hv;
    if (offset === REG.id) return ID;
    if (offset === REG.config) return BigInt(this.config);
    if (offset === REG.status) return BigInt(hpetState.status.get(mem, this.at));
    if (offset === REG.counter) return this.counter;
    const i = Math.floor((offset - REG.timers) / TIMER_BYTES);
    if (i < 0 || i >= HPET_TIMERS) return 0n;
    const reg = offset % TIMER_BYTES;
    if (reg === TIMER_REG.config) return this.timer(i) | TIMER_CAN;
    if (reg === TIMER_REG.comparator) return this.comparator(i);
    return reg === TIMER_REG.route ? mem.u64(hpetState.route.addr(this.at, i)) : 0n;
  }

  write(offset: number, value: bigint): void {
    const { mem } = this.hv;
    if (offset === REG.config) return this.writeConfig(Number(value & 3n));
    if (offset === REG.status) return this.writeStatus(Number(value & 7n));
    if (offset === REG.counter) {
      hpetState.counter.set(mem, this.at, this.running ? mod64(value - this.ticks) : value);
      for (let i = 0; i < HPET_TIMERS; i++) this.arm(i);
      return;
    }
    const i = Math.floor((offset - REG.timers) / TIMER_BYTES);
    if (i < 0 || i >= HPET_TIMERS) return;
    const reg = offset % TIMER_BYTES;
    if (reg === TIMER_REG.config) this.writeTimer(i, value & TIMER_WRITABLE);
    else if (reg === TIMER_REG.comparator) this.writeComparator(i, value);
    else if (reg === TIMER_REG.route) mem.setU64(hpetState.route.addr(this.at, i), value);
  }

  private writeConfig(value: number): void {
    const { mem } = this.hv;
    const counter = this.counter;
    const was = this.running;
    hpetState.config.set(mem, this.at, value);
    if (was === this.running) return;
    hpetState.counter.set(mem, this.at, this.running ? mod64(counter - this.ticks) : counter);
    for (let i = 0; i < HPET_TIMERS; i++) this.arm(i);
  }

  /** Ones clear. */
  private writeStatus(mask: number): void {
    const { mem } = this.hv;
    const active = hpetState.status.get(mem, this.at) & mask;
    hpetState.status.set(mem, this.at, hpetState.status.get(mem, this.at) & ~mask);
    for (let i = 0; i < HPET_TIMERS; i++) {
      if ((active & (1 << i)) === 0) continue;
      ioapicLower(this.hv, this.dom, this.pin(i));
      if (this.is(i, TIMER.level) && this.is(i, TIMER.periodic)) this.arm(i);
    }
  }

  private writeTimer(i: number, value: bigint): void {
    const { mem } = this.hv;
    const old = this.timer(i);
    const pin = (value & ROUTE) >> 9n;
    let next = value;
    if (pin < FIRST_PIN || pin > LAST_PIN)
      next = (value & ~ROUTE) | (value & TIMER.enable ? FIRST_PIN << 9n : 0n);
    mem.setU64(hpetState.timerConfig.addr(this.at, i), next);
    if (next & TIMER.mode32) {
      this.setComparator(i, BigInt.asUintN(32, this.comparator(i)));
      mem.setU64(hpetState.period.addr(this.at, i), BigInt.asUintN(32, this.period(i)));
    }
    if ((next & TIMER.enable) === 0n) this.setDeadline(i, 0);
    else if ((old & TIMER.enable) === 0n || ((next ^ old) & (TIMER.periodic | TIMER.mode32)) !== 0n)
      this.arm(i);
  }

  /** The period of a periodic timer, unless the comparator itself was asked for once. */
  private writeComparator(i: number, value: bigint): void {
    const { mem } = this.hv;
    const config = this.timer(i);
    if (config & TIMER.periodic && !(config & TIMER.setValue)) {
      const most = (config & TIMER.mode32 ? 0xffff_ffffn : 2n ** 64n - 1n) >> 1n;
      const period = value < MIN_PERIOD ? MIN_PERIOD : value > most ? most : value;
      mem.setU64(hpetState.period.addr(this.at, i), period);
    } else {
      mem.setU64(hpetState.timerConfig.addr(this.at, i), config & ~TIMER.setValue);
      this.setComparator(i, value);
    }
    this.arm(i);
  }

  private pin(i: number): number {
    const legacy = (this.config & CONFIG.legacy) !== 0 ? LEGACY_PINS[i] : undefined;
    return legacy ?? Number((this.timer(i) & ROUTE) >> 9n);
  }

  /** Finds out when a timer expires next, if it can. */
  private arm(i: number): void {
    this.setDeadline(i, 0);
    const waits = this.is(i, TIMER.level) && (hpetState.status.get(this.hv.mem, this.at) & (1 << i)) !== 0;
    if (!this.running || !this.is(i, TIMER.enable) || waits) return;
    const narrow = this.is(i, TIMER.mode32);
    const target = this.comparator(i);
    const counter = narrow ? BigInt.asUintN(32, this.counter) : this.counter;
    let left = BigInt.asIntN(64, target - counter);
    if (left < 0n) left = narrow && -left > BEHIND ? BigInt.asUintN(32, left) : 0n;
    const deadline = Math.min(this.hv.now() + Number(left) * TICK_NS, Number.MAX_SAFE_INTEGER);
    this.setDeadline(i, Math.max(1, Math.round(deadline)));
    noteDeadline(this.hv, deadline);
  }

  /** Expires what is due; the next deadline, Infinity for none. */
  run(now: number): number {
    const { mem } = this.hv;
    let next = Number.POSITIVE_INFINITY;
    for (let i = 0; i < HPET_TIMERS; i++) {
      const at = hpetState.deadline.addr(this.at, i);
      if (mem.n64(at) !== 0 && mem.n64(at) <= now) this.expire(i);
      if (mem.n64(at) !== 0) next = Math.min(next, mem.n64(at));
    }
    return next;
  }

  /** A level-triggered timer waits until its status is cleared. */
  private expire(i: number): void {
    const { mem } = this.hv;
    this.setDeadline(i, 0);
    if (this.is(i, TIMER.level))
      hpetState.status.set(mem, this.at, hpetState.status.get(mem, this.at) | (1 << i));
    else if (this.is(i, TIMER.periodic) && this.period(i) >= MIN_PERIOD) this.arm(i);
    ioapicRaise(this.hv, this.dom, this.pin(i));
  }
}

/** A register, or a part of one that does not cross its end; all ones for others. */
export function hpetRead(hv: Hypervisor, dom: number, offset: number, size: number): bigint {
  const bits = BigInt(size * 8);
  if (offset % size !== 0) return BigInt.asUintN(Number(bits), -1n);
  const value = new Hpet(hv, dom).read(offset & ~7);
  return BigInt.asUintN(Number(bits), value >> BigInt((offset & 7) * 8));
}

export function hpetWrite(hv: Hypervisor, dom: number, offset: number, size: number, value: bigint): void {
  if (offset % size !== 0) return;
  const hpet = new Hpet(hv, dom);
  const shift = BigInt((offset & 7) * 8);
  const mask = BigInt.asUintN(size * 8, -1n) << shift;
  // writing a part of the status clears nothing in the others
  const rest = (offset & ~7) === REG.status ? 0n : hpet.read(offset & ~7) & ~mask;
  hpet.write(offset & ~7, rest | ((value << shift) & mask));
}

/** Expires the domain's timers that are due; the next deadline, Infinity for none. */
export const runHpet = (hv: Hypervisor, dom: number, now: number): number =>
  hasHpet(hv.mem, dom) ? new Hpet(hv, dom).run(now) : Number.POSITIVE_INFINITY;
