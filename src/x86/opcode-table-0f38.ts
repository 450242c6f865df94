/** Three-byte opcodes (0F 38 and 0F 3A, maps 2 and 3) in the notation of opcode-table.ts. @spec SDM vol. 2 A.3 */
import { mmxSse } from './opcode-table-0f.ts';

/** SSE4 operations: 66 prefix, xmm with xmm or memory. */
function sse(names: readonly string[], memory = 'o', tail = ''): string[] {
  return names.map((name) => `66 ${name} Vo,W${memory}${tail}`);
}

/** PMOVSX or PMOVZX: the source holds only the elements that are widened. */
function widen(name: string): string[] {
  return [`q:${name}bw`, `d:${name}bd`, `w:${name}bq`, `q:${name}wd`, `d:${name}wq`, `q:${name}dq`].map(
    (entry) => `66 ${entry.slice(2)} Vo,W${entry[0]}`,
  );
}

export const MAP_0F38: Readonly<Record<number, string | readonly string[]>> = {
  0: ['pshufb', 'phaddw', 'phaddd', 'phaddsw', 'pmaddubsw', 'phsubw'].map((name) => mmxSse(name)),
  6: ['phsubd', 'phsubsw', 'psignb', 'psignw', 'psignd', 'pmulhrsw'].map((name) => mmxSse(name)),
  // XMM0, the mask of the three variable blends and of sha256rnds2, is implicit.
  16: '66 pblendvb Vo,Wo',
  20: '66 blendvps Vo,Wo',
  21: '66 blendvpd Vo,Wo',
  23: '66 ptest Vo,Wo',
  28: ['pabsb', 'pabsw', 'pabsd'].map((name) => mmxSse(name)),
  32: widen('pmovsx'),
  40: ['66 pmuldq Vo,Wo', '66 pcmpeqq Vo,Wo', '66 movntdqa Vo,Mo', '66 packusdw Vo,Wo'],
  48: widen('pmovzx'),
  55: sse(['pcmpgtq', 'pminsb', 'pminsd', 'pminuw', 'pminud', 'pmaxsb', 'pmaxsd', 'pmaxuw', 'pmaxud']),
  64: sse(['pmulld', 'phminposuw']),
  128: ['66 invept Gn,Mo', '66 invvpid Gn,Mo', '66 invpcid Gn,Mo'],
  200: ['sha1nexte', 'sha1msg1', 'sha1msg2', 'sha256rnds2', 'sha256msg1', 'sha256msg2'].map(
    (name) => `np ${name} Vo,Wo`,
  ),
  207: '66 gf2p8mulb Vo,Wo',
  219: sse(['aesimc', 'aesenc', 'aesenclast', 'aesdec', 'aesdeclast']),
  240: ['f2 crc32 Gy,Eb | f3 invalid | movbe Gv,Mv', 'f2 crc32 Gy,Ev | f3 invalid | movbe Mv,Gv'],
  246: '66 adcx Gy,Ey | f3 adox Gy,Ey',
};

export const MAP_0F3A: Readonly<Record<number, string | readonly string[]>> = {
  8: sse(['roundps', 'roundpd'], 'o', ',Ib'),
  10: ['66 roundss Vo,Wd,Ib', '66 roundsd Vo,Wq,Ib'],
  12: sse(['blendps', 'blendpd', 'pblendw'], 'o', ',Ib'),
  15: 'np palignr Pq,Qq,Ib | 66 palignr Vo,Wo,Ib',
  20: ['66 pextrb Ry/Mb,Vo,Ib', '66 pextrw Ry/Mw,Vo,Ib', '66 pextrd Ey,Vo,Ib', '66 extractps Ry/Md,Vo,Ib'],
  32: ['66 pinsrb Vo,Ry/Mb,Ib', '66 insertps Vo,Wd,Ib', '66 pinsrd Vo,Ey,Ib'],
  64: sse(['dpps', 'dppd', 'mpsadbw'], 'o', ',Ib'),
  68: '66 pclmulqdq Vo,Wo,Ib',
  96: sse(['pcmpestrm', 'pcmpestri', 'pcmpistrm', 'pcmpistri'], 'o', ',Ib'),
  204: 'np sha1rnds4 Vo,Wo,Ib',
  206: sse(['gf2p8affineqb', 'gf2p8affineinvqb'], 'o', ',Ib'),
  223: '66 aeskeygenassist Vo,Wo,Ib',
};
