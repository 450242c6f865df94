/** Operands of the guests' assembler: registers and memory references. */

export type Bits = 8 | 16 | 32 | 64;

export interface Reg {
  kind: 'reg';
  /** What the encoding calls it; 4-7 of 8 bits without `rex` are AH CH DH BH. */
  num: number;
  bits: Bits;
  rex: boolean;
  name: string;
}

export interface SystemReg {
  kind: 'sreg' | 'cr' | 'dr';
  num: number;
}

export interface Mem {
  kind: 'mem';
  bits: Bits;
  base?: Reg;
  index?: Reg;
  scale: number;
  disp: number;
  /** A label whose address is added to `disp`. */
  label?: string;
}

/** An immediate: a number, or a label's address. */
export type Imm = number | bigint | string;
export type RegMem = Reg | Mem;

const CLASSIC = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'] as const;
const BYTES = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'] as const;
const NEW = [8, 9, 10, 11, 12, 13, 14, 15] as const;

const makeReg = (name: string, num: number, bits: Bits, rex = num >= 8): Reg => ({
  kind: 'reg',
  num,
  bits,
  rex,
  name,
});

export type Classic = (typeof CLASSIC)[number];
type RegName =
  | Classic
  | `e${Classic}`
  | `r${Classic}`
  | (typeof BYTES)[number]
  | 'ah'
  | 'ch'
  | 'dh'
  | 'bh'
  | `r${(typeof NEW)[number]}${'' | 'b' | 'w' | 'd'}`;

function makeRegs(): Record<RegName, Reg> {
  const out: Record<string, Reg> = {};
  const add = (name: string, num: number, bits: Bits, rex?: boolean): void => {
    out[name] = makeReg(name, num, bits, rex);
  };
  CLASSIC.forEach((name, num) => {
    add(name, num, 16);
    add(`e${name}`, num, 32);
    add(`r${name}`, num, 64);
  });
  BYTES.forEach((name, num) => {
    add(name, num, 8, num >= 4);
  });
  ['ah', 'ch', 'dh', 'bh'].forEach((name, i) => {
    add(name, i + 4, 8, false);
  });
  for (const n of NEW) {
    add(`r${n}b`, n, 8);
    add(`r${n}w`, n, 16);
    add(`r${n}d`, n, 32);
    add(`r${n}`, n, 64);
  }
  return out as Record<RegName, Reg>;
}

export const R = makeRegs();

/** A register by its 16-bit name in another width. */
export const widen = (name: Classic, bits: Bits): Reg => makeReg(name, CLASSIC.indexOf(name), bits);

const sreg = (num: number): SystemReg => ({ kind: 'sreg', num });
export const S = { es: sreg(0), cs: sreg(1), ss: sreg(2), ds: sreg(3), fs: sreg(4), gs: sreg(5) };
export const cr = (num: number): SystemReg => ({ kind: 'cr', num });
export const dr = (num: number): SystemReg => ({ kind: 'dr', num });

/** `mem(32, R.rbx, 8)`, `mem(64, 'label')`, `mem(8, 0xb8000)`. */
export function mem(bits: Bits, at: Reg | string | number, disp = 0): Mem {
  const rest = { kind: 'mem', bits, scale: 1 } as const;
  if (typeof at === 'string') return { ...rest, disp, label: at };
  return typeof at === 'number' ? { ...rest, disp: at + disp } : { ...rest, base: at, disp };
}

/** base (a register or a label) + index * scale + disp. */
export function indexed(bits: Bits, at: Reg | string, index: Reg, scale = 1, disp = 0): Mem {
  return { ...mem(bits, at, disp), index, scale };
}
