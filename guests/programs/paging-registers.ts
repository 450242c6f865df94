/**
 * The four entries of legacy PAE's topmost table are registers: loaded, and checked, by writes of CR3, CR0 and CR4, and
 * by nothing else. @spec SDM 3A 4.4.1
 */
import type { Guest } from '../guest.ts';
import { cr, mem, R } from '../registers.ts';
import {
  CR0,
  CR4,
  EFER,
  emitTables,
  emitWorld,
  entryAt,
  MSR_EFER,
  P,
  PLACE,
  testAddress,
} from './paging-world.ts';

const V = testAddress('pae');
const ENTRY = entryAt('pae', 3, V);
const GOOD = PLACE.tables[2]! | P.P;
const PAGED = (CR0.base | CR0.PG | CR0.WP) >>> 0;
const BASE_CR4 = CR4.PAE | CR4.SSE;

/** Bits of an entry that are reserved, in the low and the high word. */
const RESERVED: readonly [number, number][] = [
  ...[1, 2, 5, 6, 7, 8].map((bit): [number, number] => [1 << bit, 0]),
  [0, 1 << 20],
  [0, 0x80000000],
];

class Registers {
  readonly g: Guest;
  private count = 0;
  constructor(g: Guest) {
    this.g = g;
  }
  set(low: number, high = 0): void {
    this.g.a.mov(mem(32, ENTRY), low);
    this.g.a.mov(mem(32, ENTRY, 4), high);
  }
  load(n: number, v: number): void {
    this.g.a.mov(R.eax, v);
    this.g.a.mov(cr(n), R.eax);
  }
  /** Runs code that ends in this vector. */
  expect(name: string, vector: number, code: () => void): void {
    const { g } = this;
    const { a } = g;
    const [run, done] = [a.fresh('run'), a.fresh('ran')] as [string, string];
    this.count++;
    a.call(run);
    a.jmp(done);
    a.label(run);
    a.mov(mem(32, 'pg.sp'), R.esp);
    code();
    a.op('ud2');
    a.label(done);
    a.mov(R.eax, mem(32, 'pg.vector'));
    if (vector === 13) a.alu('or', R.eax, mem(32, 'pg.error'));
    a.alu('cmp', R.eax, vector);
    g.when('nz', () => {
      this.load(0, CR0.base);
      g.fail(`${name}: vector `, { dec: mem(32, 'pg.vector') });
      this.set(GOOD);
      this.load(0, PAGED);
    });
  }
  reads(name: string, vector = 6): void {
    this.expect(name, vector, () => {
      this.g.a.mov(R.ebx, V);
      this.g.a.mov(R.al, mem(8, R.ebx));
    });
  }
  /** CR3 is as it was, and the entries it leads to. */
  again(): void {
    this.set(GOOD);
    this.load(3, PLACE.top);
  }
  end(): void {
    this.load(0, CR0.base);
    this.g.print(`${this.count} uses of the page-directory-pointer registers\n`);
  }
}

function emitChecks(r: Registers): void {
  for (const [low, high] of RESERVED) {
    const name = `bit ${low ? Math.log2(low) : 32 + Math.log2(high >>> 0)}`;
    r.again();
    r.set(GOOD | low, high);
    r.expect(`MOV CR3 and ${name}`, 13, () => r.load(3, PLACE.top));
    r.reads(`the entry before ${name}`);
    r.expect(`CR4.PGE and ${name}`, 13, () => r.load(4, BASE_CR4 | CR4.PGE));
    r.set(low & ~P.P, high);
    r.expect(`an absent entry with ${name}`, 6, () => r.load(3, PLACE.top));
    r.reads(`what an absent entry leads to with ${name}`, 14);
  }
  r.again();
  r.expect('bits that software has, PWT and PCD', 6, () => {
    r.set(GOOD | 0xe18);
    r.load(3, PLACE.top);
  });
  r.reads('what they lead to');
}

function emitLoads(r: Registers): void {
  r.again();
  r.set(0);
  r.reads('an entry that was taken away');
  r.expect('INVLPG', 6, () => {
    r.g.a.mov(R.ebx, V);
    r.g.a.invlpg(mem(32, R.ebx));
  });
  r.reads('an entry after INVLPG');
  r.load(3, PLACE.top);
  r.reads('an entry that was taken away, after MOV CR3', 14);
  r.set(GOOD);
  r.reads('an entry that was put back', 14);
  r.load(4, BASE_CR4 | CR4.PGE);
  r.reads('an entry that was put back, after CR4.PGE');
  r.set(0);
  r.load(4, BASE_CR4);
  r.reads('an entry that was taken away, after CR4.PGE', 14);
  r.load(0, CR0.base);
  r.set(GOOD);
  r.load(0, PAGED);
  r.reads('an entry after CR0.PG');
  r.load(0, CR0.base);
  r.set(GOOD | P.RW);
  r.expect('CR0.PG with a bad entry', 13, () => r.load(0, PAGED));
  r.set(GOOD);
  r.load(0, PAGED);
}

export function pagingRegisters(g: Guest): void {
  const { a } = g;
  emitWorld(g, 'pae');
  emitTables(g, 'pae');
  a.mov(mem(32, entryAt('pae', 2, V)), PLACE.tables[1]! | 7);
  a.mov(mem(32, entryAt('pae', 1, V)), PLACE.page | 7);
  a.mov(R.ecx, MSR_EFER);
  a.alu('xor', R.edx, R.edx);
  a.mov(R.eax, EFER.NXE);
  a.op('wrmsr');
  const r = new Registers(g);
  r.set(GOOD);
  r.load(4, BASE_CR4);
  r.load(3, PLACE.top);
  r.load(0, PAGED);
  emitChecks(r);
  emitLoads(r);
  r.end();
}
