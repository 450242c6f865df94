/** Alignment checks of ring 3, with CR0.AM and EFLAGS.AC set; and where they are not. @spec SDM 3A 6.15 (#AC); APM 2 8.2.18 */
import type { Asm } from '../asm.ts';
import type { Guest } from '../guest.ts';
import { PLACE } from '../probe-tables.ts';
import { type Probe, Probes } from '../probes.ts';
import { cr, mem, R } from '../registers.ts';

const D = PLACE.data;
const AC = 17;
const AC_FLAG = 0x40000;
const AM = 0x40000;

/** An access to [EDI]. */
function at(address: number, code: number[], vector?: number, rest: Partial<Probe> = {}): Probe {
  return {
    level: 'ring3',
    setup: alignment(true),
    prelude: (a) => {
      a.mov(R.edi, address);
      a.mov(R.esi, D);
      a.push(AC_FLAG | 2);
      a.op('popf');
    },
    code: (a) => a.db(...code),
    ...(vector === undefined ? {} : { vector, is: { s2: 0x10000 | AC_FLAG | 2 } }),
    ...rest,
  };
}
const alignment = (on: boolean) => (a: Asm) => {
  const scratch = a.mode === 64 ? R.rax : R.eax;
  a.mov(scratch, cr(0));
  a.alu('and', R.eax, ~AM);
  if (on) a.alu('or', R.eax, AM);
  a.mov(cr(0), scratch);
  a.mov(R.eax, 0);
};

export function alignmentChecks(g: Guest): void {
  const p = new Probes(g);
  p.all({
    'a byte': at(D + 1, [0x8a, 0x07]),
    'a word': at(D + 1, [0x66, 0x8b, 0x07], AC),
    'a dword at 2': at(D + 2, [0x8b, 0x07], AC),
    'a dword at 4': at(D + 4, [0x8b, 0x07]),
    'a write': at(D + 3, [0x89, 0x07], AC),
    'a read-modify-write': at(D + 2, [0xff, 0x07], AC),
    'a locked one': at(D + 2, [0xf0, 0xff, 0x07], AC),
    'eight bytes at 4': at(D + 4, [0xdd, 0x07], AC),
    'eight bytes at 8': at(D + 8, [0xdd, 0x07]),
    'an 80-bit number at 4': at(D + 4, [0xdb, 0x2f], AC),
    'an 80-bit number at 8': at(D + 8, [0xdb, 0x2f]),
    'the x87 environment at 4': at(D + 4, [0xd9, 0x37]),
    'the x87 environment at 2': at(D + 2, [0xd9, 0x37], AC),
    'SIDT anywhere': at(D + 1, [0x0f, 0x01, 0x0f]),
    MOVS: at(D + 2, [0xa5], AC),
    'MOVS, aligned': at(D + 4, [0xa5]),
    'MOVSB anywhere': at(D + 3, [0xa4]),
    PUSH: {
      ...at(D, [0x50], AC),
      prelude: (a) => {
        at(D, []).prelude!(a);
        const sp = a.mode === 64 ? R.rsp : R.esp;
        a.lea(sp, mem(sp.bits, sp, -1));
      },
    },
    'LEA reads nothing': at(D + 1, [0x8d, 0x07]),
    'without AC': at(D + 1, [0x8b, 0x07], undefined, { prelude: (a) => a.mov(R.edi, D + 1) }),
    'without AM': at(D + 1, [0x8b, 0x07], undefined, { setup: alignment(false) }),
    'in ring 0': at(D + 1, [0x8b, 0x07], undefined, { level: 'ring0' }),
    'a call': at(D, [0xe8, 0, 0, 0, 0]),
  });
}
