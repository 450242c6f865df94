import { describe, expect, it } from 'vitest';
import { grown, type Memory, memoryOf } from './memory.ts';

const SMAPS = `00400000-00b6f000 r-xp 00000000 fe:00 260689 /usr/bin/node
Size:               7612 kB
Rss:                1024 kB
7fa077a60000-7fa0a5a60000 rw-p 00000000 00:00 0
Size:             753664 kB
Rss:              307200 kB
7fa0b5a60000-7fa0b6a60000 rwxp 00000000 00:00 0
Rss:                2048 kB
7fa277a63000-7fa27c000000 rw-p 00000000 00:00 0
Rss:                4096 kB
`;
const sample = (all: number): Memory => ({ all, machine: 0, code: 0, rest: all });

describe('the memory of a process', () => {
  it("is the machine's, code, and others", () => {
    expect(memoryOf(SMAPS)).toEqual({ all: 307, machine: 300, code: 2, rest: 5 });
  });

  it('has grown when there is a tenth more than in minute 5', () => {
    const minutes = [10, 20, 30, 40, 100, 90, 200, 110].map(sample);
    expect(grown(minutes)).toEqual({ text: 'memory since minute 5: +10.0 %', bad: false });
    expect(grown(minutes.slice(0, -1))).toMatchObject({ bad: true });
    expect(grown([...minutes, sample(50)])).toMatchObject({ bad: false });
  });

  it('is not judged before', () => {
    expect(grown([10, 20, 30, 40, 100].map(sample))).toBeUndefined();
  });
});
