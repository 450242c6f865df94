import { beforeEach, describe, expect, test } from 'vitest';
import { Mem } from '../../base/mem.ts';
import { domainRecord, vcpuRecord } from '../records.ts';
import {
  APIC,
  APIC_BASE_ENABLE,
  APIC_BASE_EXTD,
  ESR,
  type LapicEnv,
  lapicAck,
  lapicError,
  lapicPending,
  lapicRead,
  lapicReset,
  lapicSetBase,
  lapicSetIrq,
  lapicTimerFired,
  lapicWrite,
} from './vlapic.ts';
import { x2apicRead, x2apicWrite } from './x2apic.ts';

const V = 4096;
let mem = Mem.alloc(0);
let now = 0;
let ipis: Array<[number, number]> = [];
let armed: number[] = [];
let env: LapicEnv;

beforeEach(() => {
  mem = new Mem(new SharedArrayBuffer(16384));
  now = 1e6;
  ipis = [];
  armed = [];
  env = {
    mem,
    now: () => now,
    tscToSystem: (_v, tsc) => tsc,
    sendIpi: (_v, icr, dest) => void ipis.push([icr, dest]),
    timerArmed: (_v, deadline) => void armed.push(deadline),
    recheck: () => {},
  };
  vcpuRecord.id.set(mem, V, 1);
  lapicReset(mem, V);
  lapicWrite(env, V, APIC.SVR, 0x1ff);
});

const x2apic = (): void => {
  lapicSetBase(mem, V, 0xfee00000 + APIC_BASE_ENABLE + APIC_BASE_EXTD);
};

test('records fit their pages', () => {
  expect(vcpuRecord.$.size).toBeLessThanOrEqual(4096);
  expect(domainRecord.$.size).toBeLessThanOrEqual(4096);
});

describe('priorities', () => {
  test('the highest vector comes first, and only one above what is in service', () => {
    lapicSetIrq(mem, V, 0x31);
    lapicSetIrq(mem, V, 0xf3);
    expect(lapicPending(mem, V)).toBe(0xf3);
    lapicAck(mem, V, 0xf3);
    expect(lapicPending(mem, V)).toBe(-1);
    lapicWrite(env, V, APIC.EOI, 0);
    expect(lapicPending(mem, V)).toBe(0x31);
  });

  test('the task priority holds back its class and those below', () => {
    lapicSetIrq(mem, V, 0x45);
    lapicWrite(env, V, APIC.TPR, 0x40);
    expect(lapicPending(mem, V)).toBe(-1);
    expect(lapicRead(env, V, APIC.PPR)).toBe(0x40);
    lapicWrite(env, V, APIC.TPR, 0x3f);
    expect(lapicPending(mem, V)).toBe(0x45);
  });

  test('a disabled APIC delivers nothing and masks its LVTs', () => {
    lapicWrite(env, V, APIC.LVTT, 0x20);
    lapicSetIrq(mem, V, 0x45);
    lapicWrite(env, V, APIC.SVR, 0xff);
    expect(lapicPending(mem, V)).toBe(-1);
    expect(lapicRead(env, V, APIC.LVTT)).toBe(0x10020);
  });
});

describe('the timer', () => {
  test('counts down once and stops', () => {
    lapicWrite(env, V, APIC.TDCR, 0xb); // divide by 1: 10 ns
    lapicWrite(env, V, APIC.LVTT, 0x20);
    lapicWrite(env, V, APIC.TMICT, 1000);
    expect(armed).toEqual([now + 10_000]);
    now += 4000;
    expect(lapicRead(env, V, APIC.TMCCT)).toBe(600);
    now += 6000;
    expect(lapicTimerFired(mem, V, now)).toBe(0x20);
    expect(lapicRead(env, V, APIC.TMCCT)).toBe(0);
  });

  test('repeats in periodic mode without drifting', () => {
    lapicWrite(env, V, APIC.TDCR, 0xb);
    lapicWrite(env, V, APIC.LVTT, 0x20020);
    lapicWrite(env, V, APIC.TMICT, 1000);
    expect(lapicTimerFired(mem, V, now + 10_500)).toBe(0x20);
    expect(vcpuRecord.lapicDeadline.get(mem, V)).toBe(now + 20_000);
  });
});

describe('x2APIC', () => {
  test('has no registers as MSRs before it is enabled', () => {
    expect(x2apicRead(env, V, 0x802, new Uint32Array(2))).toBe(false);
  });

  test('gives an id of twice the vCPU id, and a logical id from it', () => {
    x2apic();
    const out = new Uint32Array(2);
    expect(x2apicRead(env, V, 0x802, out)).toBe(true);
    expect(out[0]).toBe(2);
    x2apicRead(env, V, 0x80d, out);
    expect(out[0]).toBe(1 << 2);
  });

  test('sends an IPI with a 32-bit destination in one write', () => {
    x2apic();
    expect(x2apicWrite(env, V, 0x830, 0xfd, 4)).toBe(true);
    expect(ipis).toEqual([[0xfd, 4]]);
  });

  test('raises a self IPI, and refuses reserved bits', () => {
    x2apic();
    expect(x2apicWrite(env, V, 0x83f, 0x55, 0)).toBe(true);
    expect(lapicPending(mem, V)).toBe(0x55);
    expect(x2apicWrite(env, V, 0x80b, 1, 0)).toBe(false);
    expect(x2apicWrite(env, V, 0x802, 0, 0)).toBe(false);
  });
});

describe('errors', () => {
  test('gather until ESR is written, which shows them', () => {
    lapicSetIrq(mem, V, 0xf);
    expect(lapicRead(env, V, APIC.ESR)).toBe(0);
    lapicWrite(env, V, APIC.ESR, 0);
    expect(lapicRead(env, V, APIC.ESR)).toBe(ESR.receiveIllegal);
    lapicWrite(env, V, APIC.ESR, 0);
    expect(lapicRead(env, V, APIC.ESR)).toBe(0);
  });

  test('raise LVTERR once, and an illegal vector there is an error too', () => {
    lapicWrite(env, V, APIC.LVTERR, 0xfe);
    lapicError(mem, V, ESR.sendIllegal);
    expect(lapicPending(mem, V)).toBe(0xfe);
    lapicWrite(env, V, APIC.LVTERR, 0xf);
    lapicWrite(env, V, APIC.ESR, 0);
    lapicError(mem, V, ESR.sendIllegal);
    lapicWrite(env, V, APIC.ESR, 0);
    expect(lapicRead(env, V, APIC.ESR)).toBe(ESR.sendIllegal | ESR.receiveIllegal);
  });
});
