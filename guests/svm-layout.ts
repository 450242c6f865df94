/** Where a monitor in guests/ keeps what it needs, and the VMCB's fields there. */
import { vmcbControl as control, SAVE_AT, vmcbSave as save } from '../src/machine/engine/svm/vmcb.ts';

/** Physical memory beyond the image's. */
export const AT = {
  vmcb: 0x300000,
  hsave: 0x301000,
  iopm: 0x302000,
  msrpm: 0x305000,
  host: 0x307000,
  nestedPml4: 0x308000,
  nestedPdpt: 0x309000,
  nestedPd: 0x30a000,
  idt: 0x30e000,
  stubs: 0x30f000,
  stack: 0x311000,
  data: 0x312000,
  /** For checks that need tables of their own. */
  pages: 0x314000,
  /** 2 MB that checks may take away from the nested tables. */
  away: 0x600000,
} as const;
export const MSR = { efer: 0xc000_0080, vmCr: 0xc001_0114, hsave: 0xc001_0117 } as const;
export const SVME = 0x1000;

type ControlField = Exclude<keyof typeof control, '$'>;
type SaveField = Exclude<keyof typeof save, '$'>;
export const controlAt = (f: ControlField, plus = 0): number => AT.vmcb + control[f].offset + plus;
export const saveAt = (f: SaveField, plus = 0): number => AT.vmcb + SAVE_AT + save[f].offset + plus;
/** A segment register's parts in the save area. */
export const segAt = (s: number): { sel: number; attr: number; limit: number; base: number } => {
  const at = saveAt('seg', s * 16);
  return { sel: at, attr: at + 2, limit: at + 4, base: at + 8 };
};

export type GuestMode = 'real' | 'protected' | 'long';
export const CODE_BITS = { real: 16, protected: 32, long: 64 } as const;
/** Words of the VMCB that may be compared. */
export const FIELDS = {
  exit: controlAt('exitCode'),
  info1: controlAt('exitInfo1'),
  info2: controlAt('exitInfo2'),
  intInfo: controlAt('exitIntInfo'),
  inject: controlAt('eventInjection'),
  next: controlAt('nextRip'),
  virtual: controlAt('virtual'),
  shadow: controlAt('interruptShadow'),
  rip: saveAt('rip'),
  rax: saveAt('rax'),
  rsp: saveAt('rsp'),
  cr0: saveAt('cr0'),
  cr2: saveAt('cr2'),
  cr4: saveAt('cr4'),
  efer: saveAt('efer'),
  flags: saveAt('rflags'),
  dr6: saveAt('dr6'),
} as const;
export type FieldName = keyof typeof FIELDS;
