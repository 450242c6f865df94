/**
 * RETF and IRET in legacy protected mode, in all their directions, and what ring 3 may not do.
 * @spec SDM 3A 5.8.6, 6.12.1, 19.5; SDM 2 IRET, RET
 */
import type { Asm } from '../asm.ts';
import type { Guest } from '../guest.ts';
import { descriptor, OPEN_PORT, PLACE, SEL } from '../probe-tables.ts';
import { type Probe, Probes } from '../probes.ts';
import { mem, R, S } from '../registers.ts';

const [NP, SS, GP] = [11, 12, 13];
const [TOP0, , , TOP3] = PLACE.stacks;
const FLAT = 0xfffff;

export function returns(g: Guest): void {
  const p = new Probes(g);
  const land = g.a.addressOf('pr.land');
  const sel = {
    conforming: p.add(descriptor(0, FLAT, 0xc9f)),
    conforming3: p.add(descriptor(0, FLAT, 0xcff)),
    absentCode: p.add(descriptor(0, FLAT, 0xc7b)),
    absentStack: p.add(descriptor(0, FLAT, 0xc73)),
    short: p.add(descriptor(0, 0xfff, 0x4fb)),
    low3: p.add(descriptor(land & ~0xffff, 0xffff, 0x4fb)),
    stack16: p.add(descriptor(PLACE.stacks[3]! - 0x8000, 0xffff, 0x0f3)),
  };
  p.all({ ...retf(land, sel), ...iret(land, sel), ...privileged(), ...ports() });
}

type Selectors = Record<
  'conforming' | 'conforming3' | 'absentCode' | 'absentStack' | 'short' | 'low3' | 'stack16',
  number
>;
const push =
  (...words: number[]) =>
  (a: Asm): void => {
    for (const w of words) a.push(w);
  };

function retf(land: number, sel: Selectors): Record<string, Probe> {
  const code = (a: Asm): void => a.op('retf');
  const refused = (cs: number, vector: number, error = cs & ~3, ip = land): Probe => ({
    prelude: push(SEL.data3, TOP3!, cs, ip),
    code,
    vector,
    error,
  });
  const outer = (ss: number, vector: number, error = ss & ~3): Probe => ({
    prelude: push(ss, TOP3!, SEL.code3, land),
    code,
    vector,
    error,
  });
  return {
    'RETF to the same level': { prelude: push(SEL.code, land), code, is: { s1: SEL.code } },
    'RETF to an outer level': {
      setup: (a) => {
        a.mov(R.eax, SEL.data3);
        a.mov(S.fs, R.eax);
        a.mov(R.eax, sel.conforming);
        a.mov(S.gs, R.eax);
      },
      prelude: push(SEL.data3, TOP3! - 0x100, SEL.code3, land),
      code,
      is: {
        s1: SEL.code3,
        s3: TOP3! - 0x100,
        s4: SEL.data3,
        ds: 0,
        es: 0,
        fs: SEL.data3,
        gs: sel.conforming,
      },
    },
    'RETF n to an outer level releases on both stacks': {
      prelude: push(SEL.data3, TOP3! - 0x100, 0, 0, SEL.code3, land),
      code: (a) => a.db(0xca, 8, 0),
      is: { s1: SEL.code3, s3: TOP3! - 0x100 + 8 },
    },
    'a 16-bit RETF to an outer level': {
      prelude: (a) => {
        for (const w of [sel.stack16 | 3, 0x7000, sel.low3 | 3, land & 0xffff])
          a.db(0x66, 0x68, w & 255, w >> 8);
      },
      code: (a) => a.db(0x66, 0xcb),
      is: { s1: sel.low3 | 3, s4: sel.stack16 | 3 },
    },
    'RETF to an inner level': { ...refused(SEL.code, GP), level: 'ring3' },
    'RETF to null': refused(0, GP),
    'RETF to data': refused(SEL.data, GP),
    'RETF beyond the GDT': refused(0x7ff0, GP),
    'RETF to absent code': refused(sel.absentCode | 3, NP),
    'RETF to a level that is not the DPL': refused(SEL.code1 | 3, GP),
    'RETF to conforming code of an outer level': refused(sel.conforming3, GP),
    'RETF beyond the segment': refused(sel.short | 3, GP, 0, 0x1000),
    'RETF to a null stack': outer(0, GP),
    'RETF to an inner stack': outer(SEL.data | 3, GP),
    'RETF to a stack with another RPL': outer(SEL.data3 & ~3, GP),
    'RETF to a stack of code': outer(SEL.code3, GP),
    'RETF to an absent stack': outer(sel.absentStack | 3, SS),
  };
}

const VM = 0x20000;
const IOPL3 = 0x3002;
const NT = 0x4000;

function iret(land: number, sel: Selectors): Record<string, Probe> {
  const code = (a: Asm): void => a.op('iretd');
  const refused = (cs: number, vector: number, error = cs & ~3, ip = land): Probe => ({
    prelude: push(SEL.data3, TOP3!, 2, cs, ip),
    code,
    vector,
    error,
  });
  const outer = (ss: number, vector: number, error = ss & ~3): Probe => ({
    prelude: push(ss, TOP3!, 2, SEL.code3, land),
    code,
    vector,
    error,
  });
  const flags = (value: number, seen: number, level: 'ring0' | 'ring3'): Probe => ({
    level,
    prelude: push(value, level === 'ring0' ? SEL.code : SEL.code3, land),
    code,
    is: { s2: seen },
  });
  return {
    'IRET to the same level': { prelude: push(2, SEL.code, land), code, is: { s1: SEL.code, s2: 2 } },
    'IRET to an outer level': {
      prelude: push(SEL.data3, TOP3! - 0x40, 0xad7, SEL.code3, land),
      code,
      is: { s1: SEL.code3, s2: 0xad7, s3: TOP3! - 0x40, s4: SEL.data3, ds: 0, sp: TOP0! - 20 },
    },
    'IRETW to an outer level with a 16-bit stack': {
      prelude: (a) => {
        for (const w of [sel.stack16 | 3, 0x7000, 2, sel.low3 | 3, land & 0xffff])
          a.db(0x66, 0x68, w & 255, w >> 8);
      },
      code: (a) => a.op('iretw'),
      is: { s1: sel.low3 | 3, s4: sel.stack16 | 3 },
    },
    'IRET to an inner level': { ...refused(SEL.code, GP), level: 'ring3' },
    'IRET to null': refused(0, GP),
    'IRET to data': refused(SEL.data, GP),
    'IRET to absent code': refused(sel.absentCode | 3, NP),
    'IRET beyond the segment': refused(sel.short | 3, GP, 0, 0x1000),
    'IRET to a null stack': outer(0, GP),
    'IRET to an inner stack': outer(SEL.data | 3, GP),
    'IRET to an absent stack': outer(sel.absentStack | 3, SS),
    'IRET in ring 0 sets IOPL, AC and ID': flags(0x243002, 0x243002, 'ring0'),
    'IRET in ring 3 leaves IF, IOPL, VIF, VIP and VM': flags(0x3e3202, 0x240002, 'ring3'),
    'IRET with NT set in ring 3 ends a task that has no link': {
      level: 'ring3',
      prelude: (a) => {
        a.push(NT | 2);
        a.op('popf');
      },
      code,
      vector: 10,
      error: 0,
    },
    'IRET with VM set in ring 0 goes to virtual-8086 mode': {
      setup: (a) => a.mov(mem(16, PLACE.low), 0x40cd),
      prelude: push(0x55, 0x44, 0x33, 0x22, 0x1000, 0x7ffe, VM | IOPL3, PLACE.low >> 4, 0),
      code,
      is: {
        s0: 2,
        s1: PLACE.low >> 4,
        s2: VM | IOPL3,
        s3: 0x7ffe,
        s4: 0x1000,
        s5: 0x22,
        s6: 0x33,
        s7: 0x44,
        s8: 0x55,
        ds: 0,
        gs: 0,
      },
    },
  };
}

/** Instructions of ring 0, and what depends on IOPL. */
function privileged(): Record<string, Probe> {
  const ring3 = (...bytes: number[]): Probe => ({ level: 'ring3', code: (a) => a.db(...bytes), vector: GP });
  const flags = (value: number, seen: number): Probe => ({
    level: 'ring3',
    prelude: push(value),
    code: (a) => a.op('popf'),
    is: { s2: seen },
  });
  return {
    HLT: ring3(0xf4),
    CLTS: ring3(0x0f, 0x06),
    CLI: ring3(0xfa),
    STI: ring3(0xfb),
    INVD: ring3(0x0f, 0x08),
    WBINVD: ring3(0x0f, 0x09),
    RDMSR: ring3(0x0f, 0x32),
    WRMSR: ring3(0x0f, 0x30),
    LGDT: ring3(0x0f, 0x01, 0x15, 0, 0, 0, 0),
    LIDT: ring3(0x0f, 0x01, 0x1d, 0, 0, 0, 0),
    INVLPG: ring3(0x0f, 0x01, 0x3d, 0, 0, 0, 0),
    LMSW: ring3(0x0f, 0x01, 0xf0),
    'MOV from CR0': ring3(0x0f, 0x20, 0xc0),
    'MOV to CR3': ring3(0x0f, 0x22, 0xd8),
    'MOV from DR7': ring3(0x0f, 0x21, 0xf8),
    'LTR of null in ring 3': ring3(0x0f, 0x00, 0xd8),
    'POPF in ring 3 leaves IF and IOPL': flags(0x3202, 2),
    'POPF clears RF and leaves VM': flags(0x30002, 2),
    'POPF sets AC, ID and NT': flags(0x244002, 0x244002),
    'LOCK of an instruction that cannot be': { ...ring3(0xf0, 0x90), vector: 6 },
    'UD2 before any privilege': { ...ring3(0x0f, 0x0b), vector: 6 },
    'CLI at IOPL 3': {
      level: 'ring3',
      setup: (a) => {
        a.push(0x3002);
        a.op('popf');
      },
      code: (a) => a.db(0xfa),
      vector: GP,
    },
  };
}

/** The I/O permission bitmap: all ports are closed but OPEN_PORT. */
function ports(): Record<string, Probe> {
  const io = (port: number, op: number, vector?: number, setup?: (a: Asm) => void): Probe => ({
    level: 'ring3',
    prelude: (a) => a.mov(R.edx, port),
    code: (a) => a.db(op),
    ...(vector === undefined ? {} : { vector }),
    ...(setup ? { setup } : {}),
  });
  const [IN, INW] = [0xec, 0xed];
  const limit = (to: number) => (a: Asm) => {
    a.mov(mem(16, PLACE.gdt + SEL.tss), to);
    a.mov(mem(8, PLACE.gdt + SEL.tss + 5), 0x89);
    a.mov(R.eax, SEL.tss);
    a.db(0x0f, 0x00, 0xd8);
    a.mov(R.eax, 0);
  };
  return {
    'a port that is open': io(OPEN_PORT, IN),
    'a port that is closed': io(OPEN_PORT + 1, IN, GP),
    'a dword of which one port is open': io(OPEN_PORT, INW, GP),
    'a port beyond the bitmap': io(0x1000, IN, GP),
    'a bitmap that ends before its second byte': io(OPEN_PORT, IN, GP, limit(0x88 + (OPEN_PORT >> 3))),
    'a bitmap that has its second byte': io(OPEN_PORT, IN, undefined, limit(0x88 + (OPEN_PORT >> 3) + 1)),
    'a bitmap beyond the TSS': io(OPEN_PORT, IN, GP, (a) => a.mov(mem(16, PLACE.tss + 102), 0xdfff)),
    'INS from a closed port': io(OPEN_PORT + 1, 0x6c, GP),
  };
}
