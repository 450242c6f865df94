/** Nested page tables in the three forms that a monitor's own can have. */
import { describe, expect, test } from 'vitest';
import { Mem } from '../../../base/mem.ts';
import { ACCESS, type AccessKind } from '../../mmu.ts';
import { NestedPaging } from './nested-paging.ts';
import { PAGING, svmState } from './state.ts';
import { VmExit } from './vm-exit.ts';

const ROOT = 0x4000;
const TABLES = [0x5000, 0x6000, 0x7000] as const;
const FRAME = 0x9_a000;
const GPA = 0x40_3123;
const P = 1;
const RW = 2;
const US = 4;
const PS = 0x80;
const ALL = P | RW | US;
const FINAL = 1n << 32n;
const TABLE = 1n << 33n;

/** Where entries are that lead to GPA, from the root on, and how wide they are. */
const FORMS = {
  'four levels': {
    forms: PAGING.on | PAGING.pae | PAGING.long | PAGING.nx,
    entries: [ROOT, TABLES[0], TABLES[1] + 2 * 8, TABLES[2] + 3 * 8],
    first: ALL,
    bytes: 8,
  },
  'three levels': {
    forms: PAGING.on | PAGING.pae | PAGING.nx,
    entries: [ROOT, TABLES[1] + 2 * 8, TABLES[2] + 3 * 8],
    first: P,
    bytes: 8,
  },
  'two levels': {
    forms: PAGING.on | PAGING.pse,
    entries: [ROOT + 4, TABLES[2] + 3 * 4],
    first: ALL,
    bytes: 4,
  },
} as const;
type FormName = keyof typeof FORMS;

class World {
  readonly m = Mem.alloc(0x10_0000);
  readonly paging = new NestedPaging(this.m, (_cpu, at) => (at < this.m.size ? at : -1));
  readonly form: (typeof FORMS)[FormName];

  constructor(name: FormName) {
    this.form = FORMS[name];
    const { m, form } = this;
    svmState.paging.set(m, 0, form.forms);
    svmState.nestedCr3.set(m, 0, ROOT);
    form.entries.forEach((at, k) => {
      const next = form.entries[k + 1];
      const table = next === undefined ? FRAME : next & ~0xfff;
      this.set(k, table | (k === 0 ? form.first : ALL));
      expect(at % form.bytes).toBe(0);
    });
  }
  /** The entry at a level from the root, and its upper half. */
  set(level: number, low: number, high = 0): void {
    this.m.setU32(this.form.entries[level]!, low);
    if (this.form.bytes === 8) this.m.setU32(this.form.entries[level]! + 4, high);
  }
  entry(level: number): number {
    return this.m.u32(this.form.entries.at(level)!);
  }
  get last(): number {
    return this.form.entries.length - 1;
  }
  translate(access: AccessKind, table = false): number {
    return this.paging.translate(0, GPA, access, table);
  }
  /** EXITINFO1 of the exit that the access makes. */
  fault(access: AccessKind, table = false): bigint {
    try {
      this.translate(access, table);
    } catch (e) {
      expect(e).toBeInstanceOf(VmExit);
      expect(e).toMatchObject({ code: 0x400, info2: BigInt(GPA) });
      return (e as VmExit).info1;
    }
    throw new Error('no exit');
  }
}

describe.each(Object.keys(FORMS) as FormName[])('%s', (name) => {
  test('lead to the page, and are marked as used', () => {
    const w = new World(name);
    expect(w.translate(ACCESS.read)).toBe(FRAME + 0x123);
    expect(w.entry(-1) & 0x60).toBe(0x20);
    expect(w.translate(ACCESS.write)).toBe(FRAME + 0x123);
    expect(w.entry(-1) & 0x60).toBe(0x60);
    expect(w.entry(-2) & 0x60).toBe(0x20);
  });

  test('leave the guest for what is not there, at every level', () => {
    for (let level = 0; level < FORMS[name].entries.length; level++) {
      const w = new World(name);
      w.set(level, 0);
      expect(w.fault(ACCESS.read)).toBe(FINAL | 4n);
      expect(w.fault(ACCESS.write, true)).toBe(TABLE | 6n);
    }
  });

  test("count every access as a user's", () => {
    const w = new World(name);
    w.set(w.last, FRAME | P | RW);
    expect(w.fault(ACCESS.read)).toBe(FINAL | 5n);
    w.set(w.last, FRAME | P | US);
    expect(w.fault(ACCESS.write)).toBe(FINAL | 7n);
    expect(w.translate(ACCESS.read)).toBe(FRAME + 0x123);
  });

  test('say that a page is not there before they say that it may not be written', () => {
    const w = new World(name);
    const above = w.last - 1;
    w.set(above, (w.entry(above) & ~RW) | P);
    w.set(w.last, 0);
    expect(w.fault(ACCESS.write)).toBe(FINAL | 6n);
  });

  test('have large pages', () => {
    const w = new World(name);
    const at = w.last - 1;
    const size = FORMS[name].bytes === 8 ? 0x20_0000 : 0x40_0000;
    w.set(at, (3 * 0x40_0000) | PS | ALL);
    expect(w.translate(ACCESS.read)).toBe(3 * 0x40_0000 + (GPA % size));
    w.set(at, (3 * 0x40_0000) | PS | ALL | (FORMS[name].bytes === 8 ? 0x2000 : 0x20_0000));
    expect(w.fault(ACCESS.read)).toBe(FINAL | 13n);
  });
});

describe('no-execute', () => {
  test('leaves the guest for code', () => {
    const w = new World('four levels');
    w.set(3, FRAME | ALL, 0x8000_0000);
    expect(w.fault(ACCESS.exec)).toBe(FINAL | 21n);
    expect(w.translate(ACCESS.write)).toBe(FRAME + 0x123);
  });
  test('is reserved where the monitor has not turned it on', () => {
    const w = new World('four levels');
    svmState.paging.set(w.m, 0, FORMS['four levels'].forms & ~PAGING.nx);
    w.set(3, FRAME | ALL, 0x8000_0000);
    expect(w.fault(ACCESS.read)).toBe(FINAL | 13n);
  });
});

test('legacy tables map 4 GiB and no more', () => {
  const w = new World('three levels');
  expect(() => w.paging.translate(0, 0x1_0040_3123, ACCESS.read, false)).toThrow(VmExit);
});
