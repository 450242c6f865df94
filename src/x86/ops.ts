/** The operations the decoder knows, under Intel's mnemonics without size suffixes; ids index OP_NAMES. */

// biome-ignore format: a word list
const INTEGER = [
  'add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp', 'mov', 'mov_sreg', 'mov_cr', 'mov_dr', 'movzx',
  'movsx', 'lea', 'push', 'pop', 'inc', 'dec', 'neg', 'not', 'mul', 'imul', 'div', 'idiv', 'test',
  'xchg', 'xadd', 'cmpxchg', 'cmpxchg8b', 'cmpxchg16b', 'rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'sar',
  'shld', 'shrd', 'bt', 'bts', 'btr', 'btc', 'bsf', 'bsr', 'tzcnt', 'lzcnt', 'popcnt', 'bswap', 'movbe',
  'crc32', 'adcx', 'adox', 'movnti', 'andn', 'bextr', 'blsi', 'blsmsk', 'blsr', 'bzhi', 'mulx', 'pdep',
  'pext', 'rorx', 'sarx', 'shlx', 'shrx', 'cbw', 'cwd', 'lahf', 'sahf', 'salc', 'daa', 'das', 'aaa',
  'aas', 'aad', 'aam', 'xlat', 'cli', 'sti', 'cld', 'std', 'clc', 'stc', 'cmc', 'nop', 'prefetch',
  'pause',
] as const;

// biome-ignore format: a word list
const CONTROL = [
  'jcc', 'setcc', 'cmovcc', 'jmp', 'call', 'ret', 'retf', 'jmpf', 'callf', 'iret', 'int', 'int3',
  'into', 'int1', 'loop', 'loope', 'loopne', 'jrcxz', 'bound', 'enter', 'leave', 'pusha', 'popa',
  'pushf', 'popf', 'les', 'lds', 'lss', 'lfs', 'lgs', 'ud0', 'ud1', 'ud2', 'movs', 'cmps', 'stos',
  'lods', 'scas', 'ins', 'outs', 'in', 'out',
] as const;

// biome-ignore format: a word list
const SYSTEM = [
  'hlt', 'syscall', 'sysret', 'sysenter', 'sysexit', 'cpuid', 'rdmsr', 'wrmsr', 'rdtsc', 'rdtscp',
  'rdpmc', 'lgdt', 'sgdt', 'lidt', 'sidt', 'lldt', 'sldt', 'ltr', 'str', 'lmsw', 'smsw', 'clts',
  'invlpg', 'invd', 'wbinvd', 'arpl', 'verr', 'verw', 'lar', 'lsl', 'swapgs', 'clac', 'stac', 'xgetbv',
  'xsetbv', 'monitor', 'mwait', 'monitorx', 'mwaitx', 'rdfsbase', 'rdgsbase', 'wrfsbase', 'wrgsbase',
  'rdpid', 'rdpkru', 'wrpkru', 'rdpru', 'rdrand', 'rdseed', 'lfence', 'mfence', 'sfence', 'clflush',
  'clflushopt', 'clwb', 'clzero', 'fxsave', 'fxrstor', 'xsave', 'xsaveopt', 'xsavec', 'xsaves',
  'xrstor', 'xrstors', 'ldmxcsr', 'stmxcsr', 'invpcid', 'rsm', 'getsec', 'serialize', 'vmcall',
  'vmlaunch', 'vmresume', 'vmxoff', 'vmxon', 'vmfunc', 'vmptrld', 'vmptrst', 'vmclear', 'vmread',
  'vmwrite', 'invept', 'invvpid', 'vmrun', 'vmmcall', 'vmload', 'vmsave', 'stgi', 'clgi', 'skinit',
  'invlpga',
] as const;

// biome-ignore format: a word list
const X87 = [
  'fld', 'fst', 'fstp', 'fstpnce', 'fild', 'fist', 'fistp', 'fisttp', 'fbld', 'fbstp', 'fxch', 'fadd',
  'faddp', 'fiadd', 'fmul', 'fmulp', 'fimul', 'fsub', 'fsubp', 'fisub', 'fsubr', 'fsubrp', 'fisubr',
  'fdiv', 'fdivp', 'fidiv', 'fdivr', 'fdivrp', 'fidivr', 'fcom', 'fcomp', 'fcompp', 'ficom', 'ficomp',
  'fucom', 'fucomp', 'fucompp', 'fcomi', 'fcomip', 'fucomi', 'fucomip', 'ftst', 'fxam', 'fcmovb',
  'fcmove', 'fcmovbe', 'fcmovu', 'fcmovnb', 'fcmovne', 'fcmovnbe', 'fcmovnu', 'fld1', 'fldl2t',
  'fldl2e', 'fldpi', 'fldlg2', 'fldln2', 'fldz', 'fchs', 'fabs', 'f2xm1', 'fyl2x', 'fptan', 'fpatan',
  'fxtract', 'fprem1', 'fprem', 'fyl2xp1', 'fsqrt', 'fsincos', 'frndint', 'fscale', 'fsin', 'fcos',
  'fdecstp', 'fincstp', 'ffree', 'ffreep', 'fnop', 'fldcw', 'fnstcw', 'fnstsw', 'fnclex', 'fninit',
  'fnstenv', 'fldenv', 'fnsave', 'frstor', 'fwait', 'emms',
] as const;

/** MMX and SSE share a mnemonic where both exist; the operand kinds (mm, xmm) tell them apart. */
// biome-ignore format: a word list
const INTEGER_VECTOR = [
  'movd', 'movq', 'movdqa', 'movdqu', 'movntq', 'movntdq', 'movntdqa', 'maskmovq', 'maskmovdqu',
  'movq2dq', 'movdq2q', 'lddqu', 'pmovmskb', 'packsswb', 'packssdw', 'packuswb', 'packusdw',
  'punpcklbw', 'punpcklwd', 'punpckldq', 'punpckhbw', 'punpckhwd', 'punpckhdq', 'punpcklqdq',
  'punpckhqdq', 'paddb', 'paddw', 'paddd', 'paddq', 'paddsb', 'paddsw', 'paddusb', 'paddusw', 'psubb',
  'psubw', 'psubd', 'psubq', 'psubsb', 'psubsw', 'psubusb', 'psubusw', 'pmullw', 'pmulhw', 'pmulhuw',
  'pmulld', 'pmuldq', 'pmuludq', 'pmulhrsw', 'pmaddwd', 'pmaddubsw', 'pand', 'pandn', 'por', 'pxor',
  'pcmpeqb', 'pcmpeqw', 'pcmpeqd', 'pcmpeqq', 'pcmpgtb', 'pcmpgtw', 'pcmpgtd', 'pcmpgtq', 'psllw',
  'pslld', 'psllq', 'pslldq', 'psrlw', 'psrld', 'psrlq', 'psrldq', 'psraw', 'psrad', 'pavgb', 'pavgw',
  'pmaxub', 'pmaxsw', 'pmaxsb', 'pmaxsd', 'pmaxuw', 'pmaxud', 'pminub', 'pminsw', 'pminsb', 'pminsd',
  'pminuw', 'pminud', 'psadbw', 'pextrb', 'pextrw', 'pextrd', 'pinsrb', 'pinsrw', 'pinsrd', 'pshufw',
  'pshufd', 'pshufhw', 'pshuflw', 'pshufb', 'palignr', 'psignb', 'psignw', 'psignd', 'pabsb', 'pabsw',
  'pabsd', 'phaddw', 'phaddd', 'phaddsw', 'phsubw', 'phsubd', 'phsubsw', 'phminposuw', 'pmovsxbw',
  'pmovsxbd', 'pmovsxbq', 'pmovsxwd', 'pmovsxwq', 'pmovsxdq', 'pmovzxbw', 'pmovzxbd', 'pmovzxbq',
  'pmovzxwd', 'pmovzxwq', 'pmovzxdq', 'pblendvb', 'pblendw', 'ptest', 'mpsadbw', 'pcmpestrm',
  'pcmpestri', 'pcmpistrm', 'pcmpistri', 'aesenc', 'aesenclast', 'aesdec', 'aesdeclast', 'aesimc',
  'aeskeygenassist', 'pclmulqdq', 'sha1rnds4', 'sha1nexte', 'sha1msg1', 'sha1msg2', 'sha256rnds2',
  'sha256msg1', 'sha256msg2', 'gf2p8mulb', 'gf2p8affineqb', 'gf2p8affineinvqb', 'extrq', 'insertq',
] as const;

// biome-ignore format: a word list
const FLOAT_VECTOR = [
  'movups', 'movupd', 'movss', 'movsd', 'movlps', 'movlpd', 'movhps', 'movhpd', 'movhlps', 'movlhps',
  'movaps', 'movapd', 'movntps', 'movntpd', 'movntss', 'movntsd', 'movsldup', 'movshdup', 'movddup',
  'movmskps', 'movmskpd', 'unpcklps', 'unpcklpd', 'unpckhps', 'unpckhpd', 'addps', 'addpd', 'addss',
  'addsd', 'mulps', 'mulpd', 'mulss', 'mulsd', 'subps', 'subpd', 'subss', 'subsd', 'divps', 'divpd',
  'divss', 'divsd', 'minps', 'minpd', 'minss', 'minsd', 'maxps', 'maxpd', 'maxss', 'maxsd', 'sqrtps',
  'sqrtpd', 'sqrtss', 'sqrtsd', 'rsqrtps', 'rsqrtss', 'rcpps', 'rcpss', 'andps', 'andpd', 'andnps',
  'andnpd', 'orps', 'orpd', 'xorps', 'xorpd', 'cmpps', 'cmppd', 'cmpss', 'cmpsd', 'shufps', 'shufpd',
  'comiss', 'comisd', 'ucomiss', 'ucomisd', 'haddps', 'haddpd', 'hsubps', 'hsubpd', 'addsubps',
  'addsubpd', 'cvtpi2ps', 'cvtpi2pd', 'cvtsi2ss', 'cvtsi2sd', 'cvttps2pi', 'cvttpd2pi', 'cvttss2si',
  'cvttsd2si', 'cvtps2pi', 'cvtpd2pi', 'cvtss2si', 'cvtsd2si', 'cvtps2pd', 'cvtpd2ps', 'cvtss2sd',
  'cvtsd2ss', 'cvtdq2ps', 'cvtps2dq', 'cvttps2dq', 'cvtdq2pd', 'cvtpd2dq', 'cvttpd2dq', 'blendps',
  'blendpd', 'blendvps', 'blendvpd', 'roundps', 'roundpd', 'roundss', 'roundsd', 'dpps', 'dppd',
  'extractps', 'insertps',
] as const;

export const OP_NAMES = [
  'invalid',
  ...INTEGER,
  ...CONTROL,
  ...SYSTEM,
  ...X87,
  ...INTEGER_VECTOR,
  ...FLOAT_VECTOR,
] as const;

/** The operations by family, for who shows them. */
export const OP_FAMILIES: Readonly<Record<string, readonly OpName[]>> = {
  'General registers': INTEGER,
  'Control flow, stack, strings and ports': CONTROL,
  System: SYSTEM,
  x87: X87,
  'Integer vectors: MMX, SSE, AES, SHA': INTEGER_VECTOR,
  'Floating-point vectors: SSE': FLOAT_VECTOR,
};

export type OpName = (typeof OP_NAMES)[number];

/** Mnemonic to id; `OP.invalid` is 0. */
export const OP = Object.fromEntries(OP_NAMES.map((name, id) => [name, id])) as {
  readonly [name in OpName]: number;
};
