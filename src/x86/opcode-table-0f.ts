/** Two-byte opcodes (0F, map 1) in the notation of opcode-table.ts. @spec SDM vol. 2 A.3, APM vol. 3 A.2 */

/** An MMX operation with its SSE2 twin. */
export function mmxSse(name: string, memory = 'q'): string {
  return `np ${name} Pq,Q${memory} | 66 ${name} Vo,Wo`;
}

/** The packed pair of a floating-point operation. */
function packed(name: string, tail = ''): string {
  return `np ${name}ps Vo,Wo${tail} | 66 ${name}pd Vo,Wo${tail}`;
}

/** Packed and scalar, single and double. */
function float(name: string, tail = ''): string {
  return `${packed(name, tail)} | f3 ${name}ss Vo,Wd${tail} | f2 ${name}sd Vo,Wq${tail}`;
}

function shiftGroup(...members: readonly (readonly [reg: number, name: string])[]): string {
  return members.map(([n, name]) => `np /${n} ${name} Nq,Ib | 66 /${n} ${name} Uo,Ib`).join(' | ');
}

function repeat(n: number, spec: string): string[] {
  return Array<string>(n).fill(spec);
}

const DESCRIPTOR_TABLES = [
  'm /0 sgdt Ms | m /1 sidt Ms | m /2 lgdt Ms | m /3 lidt Ms | /4 smsw Rv/Mw | /6 lmsw Ew | m /7 invlpg M',
  'np r /0 :1 vmcall | np r /0 :2 vmlaunch | np r /0 :3 vmresume | np r /0 :4 vmxoff',
  'np r /1 :0 monitor | np r /1 :1 mwait | np r /1 :2 clac | np r /1 :3 stac',
  'np r /2 :0 xgetbv | np r /2 :1 xsetbv | np r /2 :4 vmfunc',
  'r /3 :0 vmrun | r /3 :1 vmmcall | r /3 :2 vmload | r /3 :3 vmsave',
  'r /3 :4 stgi | r /3 :5 clgi | r /3 :6 skinit | r /3 :7 invlpga',
  'np r /5 :0 serialize | np r /5 :6 rdpkru | np r /5 :7 wrpkru',
  'o64 r /7 :0 swapgs | r /7 :1 rdtscp | np r /7 :2 monitorx | np r /7 :3 mwaitx | r /7 :4 clzero | np r /7 :5 rdpru',
].join(' | ');

const STATE_AND_FENCES = [
  'np m /0 fxsave Mk | np m /1 fxrstor Mk | np m /2 ldmxcsr Md | np m /3 stmxcsr Md',
  'np m /4 xsave M | np m /5 xrstor M | np m /6 xsaveopt M | np m /7 clflush M | 66 m /6 clwb M | 66 m /7 clflushopt M',
  'o64 f3 r /0 rdfsbase Ry | o64 f3 r /1 rdgsbase Ry | o64 f3 r /2 wrfsbase Ry | o64 f3 r /3 wrgsbase Ry',
  'np r /5 lfence | np r /6 mfence | np r /7 sfence',
].join(' | ');

const EXCHANGE_AND_VMX = [
  'm w0 /1 cmpxchg8b Mq lock | m w1 /1 cmpxchg16b Mo lock | np m /3 xrstors M | np m /4 xsavec M | np m /5 xsaves M',
  'np m /6 vmptrld Mq | 66 m /6 vmclear Mq | f3 m /6 vmxon Mq | np m /7 vmptrst Mq',
  'f3 r /7 rdpid Rn | np 66 r /6 rdrand Rv | np 66 r /7 rdseed Rv',
].join(' | ');

export const TWO_BYTE: Readonly<Record<number, string | readonly string[]>> = {
  0: '/0 sldt Rv/Mw | /1 str Rv/Mw | /2 lldt Ew | /3 ltr Ew | /4 verr Ew | /5 verw Ew',
  1: [DESCRIPTOR_TABLES, 'lar Gv,Ew', 'lsl Gv,Ew'],
  5: ['syscall', 'clts', 'sysret', 'invd', 'f3 wbinvd | wbinvd'],
  11: 'ud2',
  13: 'm prefetch M | nop Ev',
  16: float('movu').replace('movuss', 'movss').replace('movusd', 'movsd'),
  17: 'np movups Wo,Vo | 66 movupd Wo,Vo | f3 movss Wd,Vo | f2 movsd Wq,Vo',
  18: 'np m movlps Vo,Mq | np movhlps Vo,Uo | 66 movlpd Vo,Mq | f3 movsldup Vo,Wo | f2 movddup Vo,Wq',
  19: 'np movlps Mq,Vo | 66 movlpd Mq,Vo',
  20: packed('unpckl'),
  21: packed('unpckh'),
  22: 'np m movhps Vo,Mq | np movlhps Vo,Uo | 66 movhpd Vo,Mq | f3 movshdup Vo,Wo',
  23: 'np movhps Mq,Vo | 66 movhpd Mq,Vo',
  24: 'm /0123 prefetch M | nop Ev',
  25: repeat(5, 'nop Ev'),
  30: ['f3 r /7 :23 nop | nop Ev', 'nop Ev'],
  32: ['mov_cr Hn,C', 'mov_dr Hn,D', 'mov_cr C,Hn', 'mov_dr D,Hn'],
  40: packed('mova'),
  41: 'np movaps Wo,Vo | 66 movapd Wo,Vo',
  42: 'np cvtpi2ps Vo,Qq | 66 cvtpi2pd Vo,Qq | f3 cvtsi2ss Vo,Ey | f2 cvtsi2sd Vo,Ey',
  43: 'np movntps Mo,Vo | 66 movntpd Mo,Vo | f3 movntss Md,Vo | f2 movntsd Mq,Vo',
  44: 'np cvttps2pi Pq,Wq | 66 cvttpd2pi Pq,Wo | f3 cvttss2si Gy,Wd | f2 cvttsd2si Gy,Wq',
  45: 'np cvtps2pi Pq,Wq | 66 cvtpd2pi Pq,Wo | f3 cvtss2si Gy,Wd | f2 cvtsd2si Gy,Wq',
  46: 'np ucomiss Vo,Wd | 66 ucomisd Vo,Wq',
  47: 'np comiss Vo,Wd | 66 comisd Vo,Wq',
  48: ['wrmsr', 'rdtsc', 'rdmsr', 'rdpmc', 'sysenter', 'sysexit'],
  55: 'np getsec',
  64: repeat(16, 'cmovcc Gv,Ev'),
  80: 'np movmskps Gy,Uo | 66 movmskpd Gy,Uo',
  81: float('sqrt'),
  82: 'np rsqrtps Vo,Wo | f3 rsqrtss Vo,Wd',
  83: 'np rcpps Vo,Wo | f3 rcpss Vo,Wd',
  84: [packed('and'), packed('andn'), packed('or'), packed('xor')],
  88: [float('add'), float('mul')],
  90: 'np cvtps2pd Vo,Wq | 66 cvtpd2ps Vo,Wo | f3 cvtss2sd Vo,Wd | f2 cvtsd2ss Vo,Wq',
  91: 'np cvtdq2ps Vo,Wo | 66 cvtps2dq Vo,Wo | f3 cvttps2dq Vo,Wo',
  92: [float('sub'), float('min'), float('div'), float('max')],
  96: ['punpcklbw', 'punpcklwd', 'punpckldq'].map((name) => mmxSse(name, 'd')),
  99: ['packsswb', 'pcmpgtb', 'pcmpgtw', 'pcmpgtd', 'packuswb'].map((name) => mmxSse(name)),
  104: ['punpckhbw', 'punpckhwd', 'punpckhdq', 'packssdw'].map((name) => mmxSse(name)),
  108: ['66 punpcklqdq Vo,Wo', '66 punpckhqdq Vo,Wo', 'np movd Pq,Ey | 66 movd Vo,Ey'],
  111: 'np movq Pq,Qq | 66 movdqa Vo,Wo | f3 movdqu Vo,Wo',
  112: 'np pshufw Pq,Qq,Ib | 66 pshufd Vo,Wo,Ib | f3 pshufhw Vo,Wo,Ib | f2 pshuflw Vo,Wo,Ib',
  113: shiftGroup([2, 'psrlw'], [4, 'psraw'], [6, 'psllw']),
  114: shiftGroup([2, 'psrld'], [4, 'psrad'], [6, 'pslld']),
  115: `${shiftGroup([2, 'psrlq'], [6, 'psllq'])} | 66 /3 psrldq Uo,Ib | 66 /7 pslldq Uo,Ib`,
  116: ['pcmpeqb', 'pcmpeqw', 'pcmpeqd'].map((name) => mmxSse(name)),
  119: 'np emms',
  120: 'np vmread En,Gn | 66 /0 extrq Uo,Ib,I2 | f2 insertq Vo,Uo,Ib,I2',
  121: 'np vmwrite Gn,En | 66 extrq Vo,Uo | f2 insertq Vo,Uo',
  124: ['66 haddpd Vo,Wo | f2 haddps Vo,Wo', '66 hsubpd Vo,Wo | f2 hsubps Vo,Wo'],
  126: 'np movd Ey,Pq | 66 movd Ey,Vo | f3 movq Vo,Wq',
  127: 'np movq Qq,Pq | 66 movdqa Wo,Vo | f3 movdqu Wo,Vo',
  128: repeat(16, 'jcc Jz f64'),
  144: repeat(16, 'setcc Eb'),
  160: ['push FS d64', 'pop FS d64', 'cpuid', 'bt Ev,Gv', 'shld Ev,Gv,Ib', 'shld Ev,Gv,CL'],
  168: ['push GS d64', 'pop GS d64', 'rsm', 'bts Ev,Gv lock', 'shrd Ev,Gv,Ib', 'shrd Ev,Gv,CL'],
  174: [STATE_AND_FENCES, 'imul Gv,Ev', 'cmpxchg Eb,Gb lock', 'cmpxchg Ev,Gv lock'],
  178: ['lss Gv,Mp', 'btr Ev,Gv lock', 'lfs Gv,Mp', 'lgs Gv,Mp', 'movzx Gv,Eb', 'movzx Gv,Ew'],
  184: ['f3 popcnt Gv,Ev', 'ud1 Gv,Ev'],
  186: '/4 bt Ev,Ib | /5 bts Ev,Ib lock | /6 btr Ev,Ib lock | /7 btc Ev,Ib lock',
  187: ['btc Ev,Gv lock', 'f3 tzcnt Gv,Ev | bsf Gv,Ev', 'f3 lzcnt Gv,Ev | bsr Gv,Ev'],
  190: ['movsx Gv,Eb', 'movsx Gv,Ew'],
  192: ['xadd Eb,Gb lock', 'xadd Ev,Gv lock', float('cmp', ',Ib'), 'np movnti My,Gy'],
  196: 'np pinsrw Pq,Ry/Mw,Ib | 66 pinsrw Vo,Ry/Mw,Ib',
  197: 'np pextrw Gy,Nq,Ib | 66 pextrw Gy,Uo,Ib',
  198: [packed('shuf', ',Ib'), EXCHANGE_AND_VMX],
  200: repeat(8, 'bswap Zv'),
  208: '66 addsubpd Vo,Wo | f2 addsubps Vo,Wo',
  209: ['psrlw', 'psrld', 'psrlq', 'paddq', 'pmullw'].map((name) => mmxSse(name)),
  214: '66 movq Wq,Vo | f3 movq2dq Vo,Nq | f2 movdq2q Pq,Uo',
  215: 'np pmovmskb Gy,Nq | 66 pmovmskb Gy,Uo',
  216: ['psubusb', 'psubusw', 'pminub', 'pand', 'paddusb', 'paddusw', 'pmaxub', 'pandn'].map((name) =>
    mmxSse(name),
  ),
  224: ['pavgb', 'psraw', 'psrad', 'pavgw', 'pmulhuw', 'pmulhw'].map((name) => mmxSse(name)),
  230: '66 cvttpd2dq Vo,Wo | f3 cvtdq2pd Vo,Wq | f2 cvtpd2dq Vo,Wo',
  231: 'np movntq Mq,Pq | 66 movntdq Mo,Vo',
  232: ['psubsb', 'psubsw', 'pminsw', 'por', 'paddsb', 'paddsw', 'pmaxsw', 'pxor'].map((name) =>
    mmxSse(name),
  ),
  240: 'f2 lddqu Vo,Mo',
  241: ['psllw', 'pslld', 'psllq', 'pmuludq', 'pmaddwd', 'psadbw'].map((name) => mmxSse(name)),
  247: 'np maskmovq Pq,Nq | 66 maskmovdqu Vo,Uo',
  248: ['psubb', 'psubw', 'psubd', 'psubq', 'paddb', 'paddw', 'paddd'].map((name) => mmxSse(name)),
  255: 'ud0 Gv,Ev',
};
