/**
 * What the TLB scenarios are written in: a page at one linear address, what is done to its entry and to the registers that
 * paging depends on, and looks at what the TLB then says.
 */
import type { Guest } from '../guest.ts';
import { cr, mem, R } from '../registers.ts';
import { AC, CR4, entryAt, KINDS, P, PLACE, testAddress } from './paging-world.ts';

export const V = testAddress('long');
const LEAF = entryAt('long', 1, V);
export const ALL = P.P | P.RW | P.US;
const BASE_CR4 = CR4.PAE | CR4.PSE | CR4.SSE;

export class Scenario {
  readonly g: Guest;
  private name = '';
  private count = 0;
  constructor(g: Guest) {
    this.g = g;
  }
  get a() {
    return this.g.a;
  }

  begin(name: string): void {
    this.name = name;
    this.cr4(0);
    this.cr3(0n);
    this.cr4(CR4.PGE);
    this.cr4(0);
    this.wp(true);
    this.ac(false);
    this.map(ALL);
    this.large(false);
    this.a.mov(mem(8, PLACE.page), 1);
    this.a.mov(mem(8, PLACE.otherPage), 2);
  }
  /** Maps the page under test; a 2 MB page if `large`. */
  map(flags: number, page: number = PLACE.page): void {
    this.a.mov(mem(32, LEAF), page | flags);
  }
  large(on: boolean, page: number = PLACE.page, flags = ALL): void {
    this.a.mov(mem(32, entryAt('long', 2, V)), on ? page | P.PS | flags : PLACE.tables[1]! | ALL);
  }
  other(flags = ALL): void {
    this.map(flags, PLACE.otherPage);
  }
  touch(write = false, at = V): void {
    this.a.mov(R.rbx, at);
    if (write) this.a.mov(mem(8, R.rbx, 8), R.al);
    else this.a.mov(R.al, mem(8, R.rbx));
  }
  cr3(low: bigint): void {
    this.a.mov(R.rax, low | BigInt(PLACE.top));
    this.a.mov(cr(3), R.rax);
  }
  cr4(bits: number): void {
    this.a.mov(R.rax, BASE_CR4 | bits);
    this.a.mov(cr(4), R.rax);
  }
  wp(on: boolean): void {
    this.a.mov(R.rax, cr(0));
    this.a.alu(on ? 'or' : 'and', R.eax, on ? 0x10000 : ~0x10000);
    this.a.mov(cr(0), R.rax);
  }
  invlpg(at = V): void {
    this.a.mov(R.rbx, at);
    this.a.invlpg(mem(32, R.rbx));
  }
  invpcid(type: number, pcid: number, at = V): void {
    this.a.mov(R.rax, at);
    this.a.mov(mem(64, 'fl.descriptor', 8), R.rax);
    this.a.mov(mem(64, 'fl.descriptor'), pcid);
    this.a.mov(R.eax, type);
    this.a.mov(R.ebx, 'fl.descriptor');
    this.a.db(0x66, 0x0f, 0x38, 0x82, 0x03);
  }
  stac(): void {
    this.a.db(0x0f, 0x01, 0xcb);
  }
  clac(): void {
    this.a.db(0x0f, 0x01, 0xca);
  }
  popf(flags: number): void {
    this.a.push(flags | 2);
    this.a.op('popf');
  }
  /** EFLAGS.AC of the accesses that are looked at. */
  ac(on: boolean): void {
    this.a.mov(mem(32, 'pg.ac'), on ? AC : 0);
  }

  /** An access that ends in a vector (6: it succeeds) with an error code, having read a value. */
  looks(kind: (typeof KINDS)[number], cpl: number, vector = 6, error = 0, value?: number, at = V): void {
    const { a, g } = this;
    this.count++;
    a.mov(R.rax, at);
    a.mov(g.word('pg.address'), R.rax);
    a.mov(mem(32, 'pg.kind'), KINDS.indexOf(kind));
    a.mov(mem(32, 'pg.cpl'), cpl);
    a.call('pg.try');
    a.movzx(R.eax, R.al);
    if (value === undefined) a.alu('xor', R.eax, R.eax);
    a.mov(R.ecx, mem(32, 'pg.vector'));
    a.shift('shl', R.ecx, 8);
    a.alu('or', R.eax, R.ecx);
    a.mov(R.ecx, mem(32, 'pg.error'));
    a.shift('shl', R.ecx, 16);
    a.alu('or', R.eax, R.ecx);
    a.alu('cmp', R.eax, (error << 16) | (vector << 8) | (value ?? 0));
    const name = `${this.name}: ${kind} at CPL ${cpl}`;
    g.when('nz', () => {
      a.mov(g.word('fl.got'), R.rax);
      g.fail(name, `: expected error ${error}, vector ${vector}, value ${value ?? 0}, got `, {
        hex: g.word('fl.got'),
      });
    });
  }
  /** The page is the other one now. */
  isOther(cpl = 0): void {
    this.looks('read', cpl, 6, 0, 2);
  }
  isFirst(): void {
    this.looks('read', 0, 6, 0, 1);
  }
  end(): void {
    this.g.print(`${this.count} looks at the TLB\n`);
  }
}
