/** Which instruction does what: registers the x87 with the engine's helpers. */
import type { Insn } from '../../../x86/insn.ts';
import type { OpName } from '../../../x86/ops.ts';
import type { Core } from '../core.ts';
import { checkX87 } from '../fpu.ts';
import { fcom, ftst, fxam } from './compare.ts';
import {
  CONDITIONS,
  CONSTANTS,
  fbld,
  fbstp,
  fcmov,
  fild,
  fist,
  fld,
  fst,
  fxch,
  loadConstant,
  loadZero,
} from './data.ts';
import { CONTROL, control, fwait } from './environment.ts';
import { absolute, BINARY, binary, changeSign, fprem, fscale, fxtract, rndint, sqrt } from './operate.ts';
import { f2xm1, fpatan, fptan, fsincos, fyl2x, fyl2xp1, trig } from './transcendental.ts';
import { Unit } from './unit.ts';

/** Registers one helper for each name. */
export type Register = (names: readonly OpName[], run: (c: Core, i: Insn) => void) => void;

const unit = new Unit();

export function registerX87(register: Register): void {
  const on: On = (name, run, keepC1 = false) =>
    register([name], (c, i) => {
      unit.begin(c, i, keepC1);
      run(unit);
      unit.commit();
    });
  for (const { op, waits, run } of CONTROL) register([op], (c, i) => control(c, i, waits, run));
  register(['fwait'], fwait);
  register(['fnop'], (c, i) => fnop(c, i, unit));
  registerData(on);
  registerArithmetic(on);
  registerComparisons(on);
}

/** FNOP proper is an instruction like others; FNENI, FNDISI and FNSETPM leave no trace. */
function fnop(c: Core, i: Insn, u: Unit): void {
  if (i.opcode === 0xdb) {
    checkX87(c);
    return;
  }
  u.begin(c, i, true);
  u.commit();
}

type On = (name: OpName, run: (u: Unit) => void, keepC1?: boolean) => void;

function registerData(on: On): void {
  on('fld', fld);
  on('fild', fild);
  on('fbld', fbld);
  on('fst', (u) => fst(u, false));
  on('fstp', (u) => fst(u, true));
  on('fstpnce', (u) => {
    if (!u.empty(0)) u.set(u.i.operands[0].reg, u.get(0));
    u.pop();
  });
  on('fist', (u) => fist(u, false, false));
  on('fistp', (u) => fist(u, true, false));
  on('fisttp', (u) => fist(u, true, true));
  on('fbstp', fbstp);
  on('fxch', fxch);
  on('fldz', loadZero);
  for (const name of Object.keys(CONSTANTS) as (keyof typeof CONSTANTS)[])
    on(name, (u) => loadConstant(u, CONSTANTS[name]));
  for (const name of Object.keys(CONDITIONS) as (keyof typeof CONDITIONS)[]) {
    on(`fcmov${name}`, (u) => fcmov(u, CONDITIONS[name], false), true);
    on(`fcmovn${name}`, (u) => fcmov(u, CONDITIONS[name], true), true);
  }
  on('ffree', (u) => u.free(u.i.operands[0].reg));
  on('ffreep', (u) => {
    u.free(u.i.operands[0].reg);
    u.pop();
  });
  on('fincstp', (u) => u.rotate(1));
  on('fdecstp', (u) => u.rotate(-1));
}

function registerArithmetic(on: On): void {
  for (const name of Object.keys(BINARY) as (keyof typeof BINARY)[]) {
    const f = BINARY[name];
    on(name, (u) => binary(u, f, false, false));
    on(`${name}p`, (u) => binary(u, f, false, true));
    on(`fi${name.slice(1)}` as OpName, (u) => binary(u, f, true, false));
  }
  on('fchs', changeSign);
  on('fabs', absolute);
  on('fsqrt', sqrt);
  on('frndint', rndint);
  on('fscale', fscale);
  on('fxtract', fxtract);
  on('fprem', (u) => fprem(u, false));
  on('fprem1', (u) => fprem(u, true));
  on('f2xm1', f2xm1);
  on('fyl2x', fyl2x);
  on('fyl2xp1', fyl2xp1);
  on('fpatan', fpatan);
  on('fsin', (u) => trig(u, 'sin'));
  on('fcos', (u) => trig(u, 'cos'));
  on('fsincos', fsincos);
  on('fptan', fptan);
}

function registerComparisons(on: On): void {
  for (const [prefix, quiet] of [
    ['fcom', false],
    ['fucom', true],
  ] as const) {
    on(prefix, (u) => fcom(u, { quiet }));
    on(`${prefix}p`, (u) => fcom(u, { quiet, pops: 1 }));
    on(`${prefix}pp`, (u) => fcom(u, { quiet, pops: 2 }));
    on(`${prefix}i`, (u) => fcom(u, { quiet, toFlags: true }), true);
    on(`${prefix}ip`, (u) => fcom(u, { quiet, toFlags: true, pops: 1 }), true);
  }
  on('ficom', (u) => fcom(u, { integer: true }));
  on('ficomp', (u) => fcom(u, { integer: true, pops: 1 }));
  on('ftst', ftst);
  on('fxam', fxam);
}
