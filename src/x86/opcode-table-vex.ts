/** VEX opcodes: the general-register ones of BMI1 and BMI2; maps 1 to 3 in the notation of opcode-table.ts. */

/** `vvvv` is operand B; L must be 0 for all of these. */
export const VEX_0F38: Readonly<Record<number, string | readonly string[]>> = {
  242: 'np andn Gy,By,Ey l0',
  243: 'np /1 blsr By,Ey l0 | np /2 blsmsk By,Ey l0 | np /3 blsi By,Ey l0',
  245: 'np bzhi Gy,Ey,By l0 | f3 pext Gy,By,Ey l0 | f2 pdep Gy,By,Ey l0',
  246: 'f2 mulx Gy,By,Ey l0',
  247: 'np bextr Gy,Ey,By l0 | 66 shlx Gy,Ey,By l0 | f3 sarx Gy,Ey,By l0 | f2 shrx Gy,Ey,By l0',
};

export const VEX_0F3A: Readonly<Record<number, string | readonly string[]>> = {
  240: 'f2 rorx Gy,Ey,Ib l0',
};
