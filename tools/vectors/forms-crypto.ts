/**
 * AES-NI, PCLMULQDQ and the SHA extensions, a row per form. Recorded on an AMD CPU, where misaligned operands of the SHA
 * extensions do not fault. @spec SDM vol. 2, instruction pages
 */
import type { Form } from './form.ts';

const rows = (list: string, more: Partial<Form>): Form[] =>
  list
    .trim()
    .split(/\s*\n\s*/)
    .map((line) => {
      const [name, ...enc] = line.split(' ') as [string, ...string[]];
      return {
        name,
        enc: enc.join(' '),
        sizes: 'd',
        fixed: true,
        files: 'xx',
        align: true,
        cases: 40,
        ...more,
      };
    });

export const CRYPTO_FORMS: readonly Form[] = [
  ...rows(
    `aesimc 66 0f 38 db /r
     aesenc 66 0f 38 dc /r
     aesenclast 66 0f 38 dd /r
     aesdec 66 0f 38 de /r
     aesdeclast 66 0f 38 df /r
     aeskeygenassist 66 0f 3a df /r ib`,
    { lane: 'i8' },
  ),
  ...rows('pclmulqdq 66 0f 3a 44 /r ib', { lane: 'i64', cases: 80 }),
  ...rows('sha1rnds4 0f 3a cc /r ib', { lane: 'i32', cases: 80 }),
  ...rows(
    `sha1nexte 0f 38 c8 /r
     sha1msg1 0f 38 c9 /r
     sha1msg2 0f 38 ca /r
     sha256msg1 0f 38 cc /r
     sha256msg2 0f 38 cd /r`,
    { lane: 'i32' },
  ),
  ...rows('sha256rnds2 0f 38 cb /r', { lane: 'i32', prep: 'mask', cases: 60 }),
];
