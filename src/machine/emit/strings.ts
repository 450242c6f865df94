/**
 * LODS, SCAS and CMPS of one element, forward. What is repeated is in interp/strings.ts; backward it is the helper's
 * (engine/strings.ts).
 */
import { DF, flagsSub } from '../../x86/flags.ts';
import { RDI, RSI, type Semantics, sem } from '../../x86/sem/common.ts';
import type { Sem, Size } from '../../x86/sem/sem.ts';
import type { RecordEmitter } from './record-emitter.ts';

export const slowIfBackward = (e: RecordEmitter): void =>
  e.slowIf(e.ne(e.and(e.flagsRest(), e.c(DF)), e.c(0)));

function element(dst: 'r' | 'w', registers: readonly number[], use: (e: Sem, z: Size) => void): Semantics {
  return sem(dst, (sem, z) => {
    const e = sem as RecordEmitter;
    slowIfBackward(e);
    use(e, z);
    for (const r of registers) e.setAddressReg(r, e.add(e.reg(r, 8), e.c(z)));
  });
}
function compare(e: Sem, z: Size): void {
  const a = e.let(e.read(0, z));
  const b = e.let(e.read(1, z));
  flagsSub(e, z, a, b, e.let(e.sx(e.sub(a, b), z)));
}

export const STRINGS: Readonly<Record<string, Semantics>> = {
  lods: element('w', [RSI], (e, z) => e.write(z, e.read(1, z))),
  scas: element('r', [RDI], compare),
  // the first element was loaded before
  cmps: element('r', [RSI, RDI], compare),
};
