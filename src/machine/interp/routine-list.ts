/** All routines in the order of their numbers: those of the instruction set's semantics, then the system's. */
import { ROUTINES, type Routine } from '../../x86/sem/routines.ts';
import type { SystemRoutine } from './function.ts';
import { GATE_ROUTINES } from './gate-routines.ts';
import { SCAN_ROUTINES } from './scan-routines.ts';
import { SEGMENT_ROUTINES } from './segment-routines.ts';
import { STATE_ROUTINES } from './state-routines.ts';
import { SYSTEM_ROUTINES } from './system-routines.ts';

const SYSTEM: readonly SystemRoutine[] = [
  ...SYSTEM_ROUTINES,
  ...STATE_ROUTINES,
  ...SCAN_ROUTINES,
  ...SEGMENT_ROUTINES,
  ...GATE_ROUTINES,
];
export const ROUTINE_LIST: readonly (Routine | SystemRoutine)[] = [...ROUTINES, ...SYSTEM];
/** Number of a system routine. */
export const systemRoutineNamed = (name: string): number =>
  ROUTINES.length + SYSTEM.findIndex((r) => r.name === name);
/** Whether a routine changes nothing but registers, flags and the x87, so that code can go on behind it as it was. */
export const isPlain = (routine: number): boolean =>
  routine < ROUTINES.length || SYSTEM[routine - ROUTINES.length]!.plain;
