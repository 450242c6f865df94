/** BMI1, BMI2 and ADX, a row per form. @spec SDM vol. 2, instruction pages */
import type { Form } from './form.ts';
import { FLAG } from './undefined-flags.ts';

const { PF, AF, SF } = FLAG;

/** Every one is of 32 and 64 bits. */
const rows = (list: string, more: Partial<Form>): Form[] =>
  list
    .trim()
    .split(/\s*\n\s*/)
    .map((line) => {
      const [name, ...enc] = line.split(' ') as [string, ...string[]];
      return { name, enc: enc.join(' '), sizes: 'dq', cases: 60, ...more };
    });

export const BMI_FORMS: readonly Form[] = [
  ...rows(
    `andn vex 0f 38 f2 /r
     blsr vex 0f 38 f3 /1
     blsmsk vex 0f 38 f3 /2
     blsi vex 0f 38 f3 /3`,
    { undef: AF | PF },
  ),
  ...rows('bextr vex 0f 38 f7 /r', { undef: AF | PF | SF, prep: 'bitRange', cases: 120 }),
  ...rows('bzhi vex 0f 38 f5 /r', { undef: AF | PF, prep: 'bitRange', cases: 120 }),
  ...rows('mulx vex f2 0f 38 f6 /r', { named: [2] }),
  ...rows(
    `pdep vex f2 0f 38 f5 /r
     pext vex f3 0f 38 f5 /r`,
    {},
  ),
  ...rows('rorx vex0 f2 0f 3a f0 /r ib', {}),
  ...rows(
    `shlx vex 66 0f 38 f7 /r
     sarx vex f3 0f 38 f7 /r
     shrx vex f2 0f 38 f7 /r`,
    { prep: 'bitRange' },
  ),
  ...rows(
    `adcx 66 0f 38 f6 /r
     adox f3 0f 38 f6 /r`,
    {},
  ),
];
