/**
 * SSE to SSE4.2, a row per form. RCPPS, RSQRTPS and their scalars are absent: their results differ between
 * makes of CPU. @spec SDM vol. 2, instruction pages
 */
import type { Form } from './form.ts';
import type { Lane } from './random.ts';

const hex = (n: number): string => n.toString(16).padStart(2, '0');

/** "name encoding" rows that share everything else; the encoding's /r is implied. */
function rows(list: string, more: Partial<Form>, suffix = '/r'): Form[] {
  return list
    .trim()
    .split(/\s*\n\s*/)
    .map((line) => {
      const [name, ...enc] = line.split(' ') as [string, ...string[]];
      return {
        name,
        enc: `${enc.join(' ')} ${suffix}`,
        sizes: 'd',
        fixed: true,
        files: 'xx',
        cases: 24,
        ...more,
      };
    });
}

const KINDS: readonly { suffix: string; prefix: string; lane: Lane; src: number }[] = [
  { suffix: 'ps', prefix: '', lane: 'f32', src: 16 },
  { suffix: 'pd', prefix: '66 ', lane: 'f64', src: 16 },
  { suffix: 'ss', prefix: 'f3 ', lane: 'f32', src: 4 },
  { suffix: 'sd', prefix: 'f2 ', lane: 'f64', src: 8 },
];

const floatForms = KINDS.flatMap(({ suffix, prefix, lane, src }): Form[] => {
  const more: Partial<Form> = { lane, src, align: src === 16, rounds: true, cases: 60 };
  const arithmetic = ['sqrt:51', 'add:58', 'mul:59', 'sub:5c', 'min:5d', 'div:5e', 'max:5f'];
  return [
    ...arithmetic.flatMap((row) => {
      const [name, opcode] = row.split(':');
      return rows(`${name}${suffix} ${prefix}0f ${opcode}`, more);
    }),
    ...Array.from({ length: 8 }, (_, i) => i).flatMap((i) =>
      rows(`cmp${suffix}${i} ${prefix}0f c2`, { ...more, cases: 24, immRange: [i, i + 1] }, '/r ib'),
    ),
  ];
});

const packedFloatForms = (['', '66 '] as const).flatMap((p): Form[] => {
  const s = p === '' ? 's' : 'd';
  const lane: Lane = p === '' ? 'f32' : 'f64';
  const scalar: Partial<Form> = { lane, src: p === '' ? 4 : 8, rounds: true, cases: 60 };
  return [
    ...rows(
      `andp${s} ${p}0f 54
       andnp${s} ${p}0f 55
       orp${s} ${p}0f 56
       xorp${s} ${p}0f 57
       unpcklp${s} ${p}0f 14
       unpckhp${s} ${p}0f 15
       movap${s} ${p}0f 28
       movap${s}-store ${p}0f 29`,
      { lane, align: true, cases: 16 },
    ),
    ...rows(`movup${s} ${p}0f 10\nmovup${s}-store ${p}0f 11`, { lane, cases: 16 }),
    ...rows(`movntp${s} ${p}0f 2b`, { lane, rm: 'm', align: true, cases: 12 }),
    ...rows(`shufp${s} ${p}0f c6`, { lane, align: true }, '/r ib'),
    ...rows(`ucomis${s} ${p}0f 2e\ncomis${s} ${p}0f 2f`, scalar),
    ...rows(`movlp${s} ${p}0f 12\nmovhp${s} ${p}0f 16`, { lane, rm: 'm', src: 8, cases: 12 }),
    ...rows(`movlp${s}-store ${p}0f 13\nmovhp${s}-store ${p}0f 17`, { lane, rm: 'm', src: 8, cases: 12 }),
    ...rows(`movmskp${s} ${p}0f 50`, { lane, rm: 'r', files: 'gx' }),
  ];
});

const moveForms: Form[] = [
  ...rows('movhlps 0f 12\nmovlhps 0f 16', { lane: 'f32', rm: 'r', cases: 12 }),
  ...rows('movss f3 0f 10\nmovss-store f3 0f 11', { lane: 'f32', src: 4, cases: 16 }),
  ...rows('movsd f2 0f 10\nmovsd-store f2 0f 11', { lane: 'f64', src: 8, cases: 16 }),
  ...rows('movdqa 66 0f 6f\nmovdqa-store 66 0f 7f', { align: true, cases: 16 }),
  ...rows('movdqu f3 0f 6f\nmovdqu-store f3 0f 7f', { cases: 16 }),
  ...rows('lddqu f2 0f f0', { rm: 'm', cases: 12 }),
  ...rows('movntdq 66 0f e7\nmovntdqa 66 0f 38 2a', { rm: 'm', align: true, cases: 12 }),
  ...rows('movq f3 0f 7e\nmovq-store 66 0f d6', { src: 8, cases: 16 }),
  ...rows('movd 66 0f 6e\nmovd-store 66 0f 7e', { files: 'xg', sizes: 'dq', fixed: false, cases: 16 }),
  ...rows('movddup f2 0f 12', { lane: 'f64', src: 8, cases: 16 }),
  ...rows('movsldup f3 0f 12\nmovshdup f3 0f 16', { lane: 'f32', align: true, cases: 16 }),
  ...rows('maskmovdqu 66 0f f7', { rm: 'r', prep: 'maskmov' }),
  ...rows('pmovmskb 66 0f d7', { lane: 'i8', rm: 'r', files: 'gx' }),
  ...rows('ldmxcsr 0f ae', { rm: 'm', files: 'gg', src: 4, prep: 'csr' }, '/2'),
  ...rows('stmxcsr 0f ae', { rm: 'm', files: 'gg', src: 4, rounds: true }, '/3'),
];

const conversionForms: Form[] = [
  ...rows('cvtps2pd 0f 5a', { lane: 'f32', src: 8, rounds: true, cases: 60 }),
  ...rows('cvtss2sd f3 0f 5a', { lane: 'f32', src: 4, rounds: true, cases: 60 }),
  ...rows('cvtpd2ps 66 0f 5a', { lane: 'f64', align: true, rounds: true, cases: 60 }),
  ...rows('cvtsd2ss f2 0f 5a', { lane: 'f64', src: 8, rounds: true, cases: 60 }),
  ...rows('cvtdq2ps 0f 5b', { lane: 'i32', align: true, rounds: true, cases: 60 }),
  ...rows('cvtdq2pd f3 0f e6', { lane: 'i32', src: 8, rounds: true, cases: 40 }),
  ...rows('cvtps2dq 66 0f 5b\ncvttps2dq f3 0f 5b', { lane: 'f32', align: true, rounds: true, cases: 60 }),
  ...rows('cvtpd2dq f2 0f e6\ncvttpd2dq 66 0f e6', { lane: 'f64', align: true, rounds: true, cases: 60 }),
  ...rows('cvtsi2ss f3 0f 2a\ncvtsi2sd f2 0f 2a', {
    files: 'xg',
    sizes: 'dq',
    fixed: false,
    rounds: true,
    cases: 40,
  }),
  ...['cvttss2si f3 0f 2c', 'cvtss2si f3 0f 2d'].flatMap((row) =>
    rows(row, { lane: 'f32', files: 'gx', src: 4, sizes: 'dq', fixed: false, rounds: true, cases: 60 }),
  ),
  ...['cvttsd2si f2 0f 2c', 'cvtsd2si f2 0f 2d'].flatMap((row) =>
    rows(row, { lane: 'f64', files: 'gx', src: 8, sizes: 'dq', fixed: false, rounds: true, cases: 60 }),
  ),
];

/** 66 0F forms xmm, xmm/m128: lane, then name:opcode. */
const PACKED = `
  i8 punpcklbw:60 packsswb:63 pcmpgtb:64 packuswb:67 punpckhbw:68 pcmpeqb:74 psubusb:d8 pminub:da paddusb:dc
  i8 pmaxub:de pavgb:e0 psubsb:e8 paddsb:ec psadbw:f6 psubb:f8 paddb:fc
  i16 punpcklwd:61 pcmpgtw:65 punpckhwd:69 pcmpeqw:75 pmullw:d5 psubusw:d9 paddusw:dd pavgw:e3 pmulhuw:e4
  i16 pmulhw:e5 psubsw:e9 pminsw:ea paddsw:ed pmaxsw:ee pmaddwd:f5 psubw:f9 paddw:fd packsswb:63 packuswb:67
  i32 punpckldq:62 pcmpgtd:66 punpckhdq:6a packssdw:6b pcmpeqd:76 pmuludq:f4 psubd:fa paddd:fe
  i64 punpcklqdq:6c punpckhqdq:6d paddq:d4 psubq:fb pand:db pandn:df por:eb pxor:ef`;

/** 66 0F 38 forms (SSSE3, SSE4.1, SSE4.2). */
const PACKED38 = `
  i8 pshufb:00 pmaddubsw:04 psignb:08 pabsb:1c pminsb:38 pmaxsb:3c
  i16 phaddw:01 phaddsw:03 phsubw:05 phsubsw:07 psignw:09 pmulhrsw:0b pabsw:1d pminuw:3a pmaxuw:3e phminposuw:41
  i32 phaddd:02 phsubd:06 psignd:0a pabsd:1e pmuldq:28 packusdw:2b pminsd:39 pminud:3b pmaxsd:3d pmaxud:3f
  i32 pmulld:40
  i64 pcmpeqq:29 pcmpgtq:37 ptest:17`;

function packed(table: string, map: string): Form[] {
  return table
    .trim()
    .split(/\s*\n\s*/)
    .flatMap((line) => {
      const [lane, ...list] = line.split(/\s+/) as [Lane, ...string[]];
      const text = list.map((item) => item.replace(':', ` ${map} `)).join('\n');
      return rows(text, { lane, align: true });
    });
}

const EXTEND = ['bw:8:i8', 'bd:4:i8', 'bq:2:i8', 'wd:8:i16', 'wq:4:i16', 'dq:8:i32'];
const extendForms = [0x20, 0x30].flatMap((base, unsigned) =>
  EXTEND.flatMap((row, i) => {
    const [name, src, lane] = row.split(':') as [string, string, Lane];
    const full = `${unsigned ? 'pmovzx' : 'pmovsx'}${name} 66 0f 38 ${hex(base + i)}`;
    return rows(full, { lane, src: Number(src), cases: 16 });
  }),
);

const packedShiftForms: Form[] = [
  ...rows(
    `psrlw 66 0f d1
     psraw 66 0f e1
     psllw 66 0f f1`,
    { lane: 'i16', align: true, prep: 'packedCount' },
  ),
  ...rows(
    `psrld 66 0f d2
     psrad 66 0f e2
     pslld 66 0f f2`,
    { lane: 'i32', align: true, prep: 'packedCount' },
  ),
  ...rows('psrlq 66 0f d3\npsllq 66 0f f3', { lane: 'i64', align: true, prep: 'packedCount' }),
  ...['psrlw:71:2', 'psraw:71:4', 'psllw:71:6', 'psrld:72:2', 'psrad:72:4', 'pslld:72:6'].flatMap((row) => {
    const [name, opcode, digit] = row.split(':');
    const lane: Lane = opcode === '71' ? 'i16' : 'i32';
    return rows(`${name}-imm 66 0f ${opcode}`, { lane, rm: 'r', immRange: [0, 40] }, `/${digit} ib`);
  }),
  ...['psrlq:2', 'psrldq:3', 'psllq:6', 'pslldq:7'].flatMap((row) => {
    const [name, digit] = row.split(':');
    const immRange: [number, number] = name!.endsWith('dq') ? [0, 20] : [0, 72];
    return rows(`${name}-imm 66 0f 73`, { lane: 'i64', rm: 'r', immRange }, `/${digit} ib`);
  }),
];

const shuffleForms: Form[] = [
  ...rows('pshufd 66 0f 70', { lane: 'i32', align: true }, '/r ib'),
  ...rows('pshufhw f3 0f 70\npshuflw f2 0f 70', { lane: 'i16', align: true }, '/r ib'),
  ...rows('palignr 66 0f 3a 0f', { lane: 'i8', align: true, immRange: [0, 36] }, '/r ib'),
  ...rows('pblendw 66 0f 3a 0e', { lane: 'i16', align: true }, '/r ib'),
  ...rows('blendps 66 0f 3a 0c', { lane: 'f32', align: true }, '/r ib'),
  ...rows('blendpd 66 0f 3a 0d', { lane: 'f64', align: true }, '/r ib'),
  ...rows('mpsadbw 66 0f 3a 42', { lane: 'i8', align: true }, '/r ib'),
  ...rows('pblendvb 66 0f 38 10', { lane: 'i8', align: true, prep: 'mask' }),
  ...rows('blendvps 66 0f 38 14', { lane: 'f32', align: true, prep: 'mask' }),
  ...rows('blendvpd 66 0f 38 15', { lane: 'f64', align: true, prep: 'mask' }),
  ...rows('pinsrw 66 0f c4', { lane: 'i16', files: 'xg', src: 2 }, '/r ib'),
  ...rows('pinsrb 66 0f 3a 20', { lane: 'i8', files: 'xg', src: 1 }, '/r ib'),
  ...rows('pinsrd 66 0f 3a 22', { lane: 'i32', files: 'xg', sizes: 'dq', fixed: false }, '/r ib'),
  ...rows('insertps 66 0f 3a 21', { lane: 'f32', src: 4 }, '/r ib'),
  ...rows('pextrw 66 0f c5', { lane: 'i16', files: 'gx', rm: 'r' }, '/r ib'),
  ...rows('pextrb 66 0f 3a 14', { lane: 'i8', files: 'xg', src: 1 }, '/r ib'),
  ...rows('pextrw-sse4.1 66 0f 3a 15', { lane: 'i16', files: 'xg', src: 2 }, '/r ib'),
  ...rows('pextrd 66 0f 3a 16', { lane: 'i32', files: 'xg', sizes: 'dq', fixed: false }, '/r ib'),
  ...rows('extractps 66 0f 3a 17', { lane: 'f32', files: 'xg', src: 4 }, '/r ib'),
];

const horizontalFloatForms: Form[] = [
  ...rows(
    `haddps f2 0f 7c
     hsubps f2 0f 7d
     addsubps f2 0f d0`,
    { lane: 'f32', align: true, rounds: true, cases: 50 },
  ),
  ...rows(
    `haddpd 66 0f 7c
     hsubpd 66 0f 7d
     addsubpd 66 0f d0`,
    { lane: 'f64', align: true, rounds: true, cases: 50 },
  ),
  ...rows(
    'roundps 66 0f 3a 08',
    { lane: 'f32', align: true, rounds: true, immRange: [0, 16], cases: 60 },
    '/r ib',
  ),
  ...rows(
    'roundpd 66 0f 3a 09',
    { lane: 'f64', align: true, rounds: true, immRange: [0, 16], cases: 60 },
    '/r ib',
  ),
  ...rows(
    'roundss 66 0f 3a 0a',
    { lane: 'f32', src: 4, rounds: true, immRange: [0, 16], cases: 60 },
    '/r ib',
  ),
  ...rows(
    'roundsd 66 0f 3a 0b',
    { lane: 'f64', src: 8, rounds: true, immRange: [0, 16], cases: 60 },
    '/r ib',
  ),
  ...rows('dpps 66 0f 3a 40', { lane: 'f32', align: true, rounds: true, cases: 60 }, '/r ib'),
  ...rows('dppd 66 0f 3a 41', { lane: 'f64', align: true, rounds: true, cases: 60 }, '/r ib'),
];

const textForms = rows(
  `pcmpestrm 66 0f 3a 60
   pcmpestri 66 0f 3a 61
   pcmpistrm 66 0f 3a 62
   pcmpistri 66 0f 3a 63`,
  { lane: 'i8', prep: 'stringCompare', cases: 200 },
  '/r ib',
);

export const SSE_FORMS: readonly Form[] = [
  ...floatForms,
  ...packedFloatForms,
  ...moveForms,
  ...conversionForms,
  ...packed(PACKED, '66 0f'),
  ...packed(PACKED38, '66 0f 38'),
  ...extendForms,
  ...packedShiftForms,
  ...shuffleForms,
  ...horizontalFloatForms,
  ...textForms,
];
