/**
 * Segments in legacy protected mode: what may be loaded where, what a loaded segment lets through, and what the selector
 * instructions say. @spec SDM 3A 3.4, 5.2 to 5.7; APM 2 4.
 */
import type { Asm } from '../asm.ts';
import type { Guest } from '../guest.ts';
import { descriptor, PLACE, SEL } from '../probe-tables.ts';
import { type Probe, Probes, word32 } from '../probes.ts';
import { mem, R, S, type SystemReg } from '../registers.ts';

const [NP, SS, GP] = [11, 12, 13];
const D = PLACE.data;
const SHORT = 0xff;

export function segments(g: Guest): void {
  const p = new Probes(g);
  const data = (attr: number): number => p.add(descriptor(D, SHORT, attr));
  const sel = {
    rw: data(0x492),
    ro: data(0x490),
    down: data(0x496),
    down16: data(0x096),
    execOnly: data(0x498),
    execRead: data(0x49a),
    conforming: p.add(descriptor(0, 0xfffff, 0xc9e)),
    absent: data(0x412),
    absentCode: data(0x41a),
    dpl3: data(0x4f2),
    tss: p.add(descriptor(D, 0x67, 0x89)),
    page: p.add(descriptor(D, 1, 0xc92)),
    ro3: data(0x4f0),
  };
  const ES = 0x26;
  const load =
    (s: number, to: SystemReg = S.es) =>
    (a: Asm) => {
      a.mov(R.eax, s);
      a.mov(to, R.eax);
    };
  const accessed = (s: number) => (a: Asm) => {
    a.mov(R.eax, mem(32, PLACE.gdt + s + 4));
    a.shift('shr', R.eax, 8);
    a.alu('and', R.eax, 0x1f);
  };
  const read = (at: number) => (a: Asm) => {
    a.db(ES);
    a.mov(R.ecx, mem(32, at));
  };
  const write = (at: number) => (a: Asm) => {
    a.db(ES);
    a.mov(mem(32, at), R.ecx);
  };
  const refused = (s: number, vector: number, to: SystemReg = S.es, error = s & ~3): Probe => ({
    setup: (a) => a.mov(R.eax, s),
    code: (a) => a.mov(to, R.eax),
    vector,
    error,
  });
  const ring3 = (x: Probe): Probe => ({ ...x, level: 'ring3' });
  const loads: Record<string, Probe> = {
    'a loaded segment is accessed': { code: load(sel.rw), look: accessed(sel.rw), value: 0x13 },
    'readable code in ES': { code: load(sel.execRead), look: accessed(sel.execRead), value: 0x1b },
    'execute-only code in ES': refused(sel.execOnly, GP),
    'a system segment in DS': refused(sel.tss, GP, S.ds),
    'an absent segment in FS': refused(sel.absent, NP, S.fs),
    'an absent segment in SS': refused(sel.absent, SS, S.ss),
    'a read-only segment in SS': refused(sel.ro, GP, S.ss),
    'a code segment in SS': refused(sel.execRead, GP, S.ss),
    'an outer segment in SS': refused(sel.dpl3, GP, S.ss),
    'RPL 3 in SS': refused(sel.rw | 3, GP, S.ss),
    'null in SS': refused(0, GP, S.ss),
    'RPL 3 with DPL 0 in ES': refused(sel.rw | 3, GP),
    'null with RPL in GS': { code: load(3, S.gs), is: { gs: 3 } },
    'a selector beyond the GDT': refused(0x7ff0, GP),
    'a selector beyond the LDT': refused(0x47, GP, S.es, 0x44),
    'a selector of the LDT': { code: load(0x0f), is: { es: 0x0f } },
    'the LDT, when there is none': {
      setup: (a) => {
        a.db(0x31, 0xc0, 0x0f, 0x00, 0xd0); // xor eax, eax; lldt ax
        a.mov(R.eax, 0x0f);
      },
      code: (a) => a.mov(S.es, R.eax),
      vector: GP,
      error: 0x0c,
    },
    'an inner segment in ring 3': ring3(refused(sel.rw | 3, GP, S.fs)),
    'a conforming segment in ring 3': ring3({
      code: load(sel.conforming | 3),
      is: { es: sel.conforming | 3 },
    }),
    'LES of an absent segment leaves the register': {
      setup: (a) => {
        a.mov(mem(32, D), 0x1234);
        a.mov(mem(32, D + 4), sel.absent);
        a.mov(R.ecx, 7);
      },
      code: (a) => a.db(0xc4, 0x0d, D & 255, (D >> 8) & 255, D >> 16, 0),
      vector: NP,
      error: sel.absent,
      is: { cx: 7, es: SEL.data },
    },
    'POP of an absent segment leaves the stack pointer': {
      setup: (a) => a.push(sel.absent),
      code: (a) => a.db(0x07),
      vector: NP,
      error: sel.absent,
      look: (a) => {
        a.mov(R.eax, mem(32, 'pr.sp'));
        a.alu('sub', R.eax, 12);
        a.alu('sub', R.eax, mem(32, 'pr.record', 4 * 6));
      },
      value: 4,
    },
  };
  const through = (s: number, code: (a: Asm) => void, vector?: number, level?: Probe['level']): Probe => ({
    setup: load(level ? s | 3 : s),
    code,
    ...(vector === undefined ? {} : { vector }),
    ...(level ? { level } : {}),
  });
  const accesses: Record<string, Probe> = {
    'the last dword of a segment': through(sel.rw, read(SHORT - 3)),
    'a dword across the limit': through(sel.rw, read(SHORT - 2), GP),
    'an offset that wraps': through(sel.rw, read(-2), GP),
    'a limit in pages': through(sel.page, write(0x1ffc)),
    'across a limit in pages': through(sel.page, write(0x1ffd), GP),
    'below an expand-down segment': through(sel.down, read(SHORT), GP),
    'in an expand-down segment': through(sel.down, read(SHORT + 1)),
    'the end of a 16-bit expand-down segment': through(sel.down16, read(0xfffc)),
    'beyond a 16-bit expand-down segment': through(sel.down16, read(0xfffd), GP),
    'a read of a read-only segment': through(sel.ro, read(0)),
    'a write to a read-only segment': through(sel.ro, write(0), GP),
    'a read of readable code': through(sel.execRead, read(0)),
    'a write to readable code': through(sel.execRead, write(0), GP),
    'a read-modify-write of a read-only segment': through(
      sel.ro,
      (a) => {
        a.db(ES);
        a.inc(mem(32, 0));
      },
      GP,
    ),
    'TEST of a read-only segment': through(sel.ro, (a) => {
      a.db(ES);
      a.test(mem(32, 0), 1);
    }),
    'BT of a read-only segment': through(sel.ro, (a) => a.db(ES, 0x0f, 0xba, 0x25, 0, 0, 0, 0, 1)),
    'BTS of a read-only segment': through(sel.ro, (a) => a.db(ES, 0x0f, 0xba, 0x2d, 0, 0, 0, 0, 1), GP),
    'CMPXCHG of a read-only segment': through(sel.ro, (a) => a.db(ES, 0x0f, 0xb1, 0x0d, 0, 0, 0, 0), GP),
    'SETcc to a read-only segment': through(sel.ro, (a) => a.db(ES, 0x0f, 0x94, 0x05, 0, 0, 0, 0), GP),
    'STOS to a read-only segment': through(sel.ro, (a) => a.db(0xaa), GP),
    'SCAS of a read-only segment': through(sel.ro, (a) => a.db(0xae)),
    'POP to a read-only segment': through(sel.ro, (a) => a.db(0x26, 0x8f, 0x05, 0, 0, 0, 0), GP),
    'PUSH from a read-only segment': through(sel.ro, (a) => a.db(0x26, 0xff, 0x35, 0, 0, 0, 0)),
    'SGDT to a read-only segment': through(sel.ro, (a) => a.db(0x26, 0x0f, 0x01, 0x05, 0, 0, 0, 0), GP),
    'FST to a read-only segment': through(sel.ro, (a) => a.db(0x26, 0xdd, 0x15, 0, 0, 0, 0), GP),
    'a write through CS': { code: (a) => a.db(0x2e, 0xa3, D & 255, (D >> 8) & 255, D >> 16, 0), vector: GP },
    'a null segment': through(0, read(0), GP),
    'a null segment with LEA': through(0, (a) => a.db(0x26, 0x8d, 0x05, 0, 0, 0, 0)),
    'INVLPG through a null segment': through(0, (a) => a.db(0x26, 0x0f, 0x01, 0x3d, 0, 0, 0, 0)),
    'a write to a read-only segment in ring 3': through(sel.ro3, write(0), GP, 'ring3'),
    'a 64-bit operand across the limit': through(
      sel.rw,
      (a) => a.db(ES, 0x0f, 0xc7, 0x0d, 0xf9, 0, 0, 0),
      GP,
    ),
    'BOUND across the limit': through(sel.rw, (a) => a.db(ES, 0x62, 0x0d, 0xfa, 0, 0, 0), GP),
    'a far pointer across the limit': through(sel.rw, (a) => a.db(ES, 0xff, 0x2d, 0xfb, 0, 0, 0), GP),
    'LGDT across the limit': through(sel.rw, (a) => a.db(ES, 0x0f, 0x01, 0x15, 0xfb, 0, 0, 0), GP),
    'BT with a bit number beyond the limit': {
      setup: (a) => {
        load(sel.rw)(a);
        a.mov(R.ecx, SHORT * 8 + 1);
      },
      code: (a) => a.db(ES, 0x0f, 0xa3, 0x0d, 4, 0, 0, 0),
      vector: GP,
    },
    'BT with a bit number before the operand': {
      setup: (a) => {
        load(sel.rw)(a);
        a.mov(R.ecx, -64);
      },
      code: (a) => a.db(ES, 0x0f, 0xa3, 0x0d, 4, 1, 0, 0),
    },
    'XLAT across the limit': {
      setup: (a) => {
        load(sel.rw)(a);
        a.mov(R.ebx, SHORT - 1);
        a.mov(R.eax, 2);
      },
      code: (a) => a.db(ES, 0xd7),
      vector: GP,
      is: { ax: 2 },
    },
    'FNSTENV across the limit': through(sel.rw, (a) => a.db(ES, 0xd9, 0x35, SHORT - 26, 0, 0, 0), GP),
    'FNSTENV up to the limit': through(sel.rw, (a) => a.db(ES, 0xd9, 0x35, SHORT - 27, 0, 0, 0)),
    'FNSAVE of 16 bits across the limit': through(
      sel.rw,
      (a) => a.db(0x66, ES, 0xdd, 0x35, SHORT - 92, 0, 0, 0),
      GP,
    ),
    'FNSAVE of 16 bits up to the limit': through(sel.rw, (a) =>
      a.db(0x66, ES, 0xdd, 0x35, SHORT - 93, 0, 0, 0),
    ),
    'FXSAVE across the limit': through(sel.rw, (a) => a.db(ES, 0x0f, 0xae, 0x05, 0, 0, 0, 0), GP),
    'REP MOVS to the limit': {
      setup: (a) => {
        load(sel.rw)(a);
        a.mov(R.esi, D + 0x800);
        a.mov(R.edi, SHORT - 0xb);
        a.mov(R.ecx, 9);
      },
      code: (a) => a.db(0xf3, 0xa5),
      vector: GP,
      is: { cx: 6, di: SHORT + 1, si: D + 0x80c },
    },
    'REP MOVS of nothing through a null segment': { setup: load(0), code: (a) => a.db(0xf3, 0xa5) },
  };
  p.all({ ...loads, ...accesses, ...inspections(sel) });
}

type Selectors = Record<
  'rw' | 'ro' | 'execOnly' | 'execRead' | 'conforming' | 'absent' | 'tss' | 'page' | 'dpl3',
  number
>;

/** LAR, LSL, VERR, VERW, ARPL; EAX is the selector, ECX the result, and ZF in `value`. */
function inspections(sel: Selectors): Record<string, Probe> {
  const zf = (a: Asm): void => {
    a.mov(R.eax, mem(32, 'pr.record', 4 * 16));
    a.alu('and', R.eax, 0x40);
  };
  const inspect = (op: number[], s: number, result: number | undefined, level?: Probe['level']): Probe => ({
    setup: (a) => {
      a.mov(R.eax, s);
      a.mov(R.ecx, 0x5a5a5a5a);
    },
    code: (a) => a.db(...op),
    look: zf,
    value: result === undefined ? 0 : 0x40,
    is: { cx: result ?? 0x5a5a5a5a },
    ...(level ? { level } : {}),
  });
  const lar = [0x0f, 0x02, 0xc8];
  const lsl = [0x0f, 0x03, 0xc8];
  const verr = [0x0f, 0x00, 0xe0];
  const verw = [0x0f, 0x00, 0xe8];
  const same = 0x5a5a5a5a;
  return {
    'LAR of data': inspect(lar, sel.rw, 0x409200),
    'LAR of an absent segment': inspect(lar, sel.absent, 0x401200),
    'LAR of null': inspect(lar, 0, undefined),
    'LAR beyond the GDT': inspect(lar, 0x7ff0, undefined),
    'LAR of a TSS': inspect(lar, sel.tss, 0x8900),
    'LAR of an inner segment': inspect(lar, sel.rw, undefined, 'ring3'),
    'LAR of conforming code': inspect(lar, sel.conforming | 3, 0xcf9e00, 'ring3'),
    'LSL in bytes': inspect(lsl, sel.rw, 0xff),
    'LSL in pages': inspect(lsl, sel.page, 0x1fff),
    'LSL of a TSS': inspect(lsl, sel.tss, 0x67),
    'VERR of data': inspect(verr, sel.rw, same),
    'VERR of execute-only code': inspect(verr, sel.execOnly, undefined),
    'VERR of readable code': inspect(verr, sel.execRead, same),
    'VERW of data': inspect(verw, sel.rw, same),
    'VERW of read-only data': inspect(verw, sel.ro, undefined),
    'VERW of code': inspect(verw, sel.execRead, undefined),
    'VERW of a system segment': inspect(verw, sel.tss, undefined),
    'VERR of an outer segment from inside': inspect(verr, sel.dpl3, same),
    'ARPL raises the RPL': {
      setup: (a) => {
        a.mov(R.eax, 0x11);
        a.mov(R.ecx, 3);
      },
      code: (a) => a.db(0x63, 0xc8),
      look: zf,
      value: 0x40,
      is: { ax: 0x13 },
    },
    'ARPL leaves a higher RPL': {
      setup: (a) => {
        a.mov(R.eax, 0x12);
        a.mov(R.ecx, 1);
      },
      code: (a) => a.db(0x63, 0xc8),
      look: zf,
      value: 0,
      is: { ax: 0x12 },
    },
    'UMIP is off: SLDT in ring 3': {
      level: 'ring3',
      code: (a) => a.db(0x0f, 0x00, 0xc0),
      is: { ax: SEL.ldt },
    },
    'LLDT in ring 3': { level: 'ring3', code: (a) => a.db(0x0f, 0x00, 0xd0), vector: 13 },
    'LTR of a busy TSS': {
      setup: (a) => a.mov(R.eax, SEL.tss),
      code: (a) => a.db(0x0f, 0x00, 0xd8),
      vector: 13,
      error: SEL.tss,
    },
    'LTR of null': { code: (a) => a.db(0x0f, 0x00, 0xd8), vector: 13 },
    'LTR marks the TSS busy': {
      setup: (a) => a.mov(R.eax, sel.tss),
      code: (a) => a.db(0x0f, 0x00, 0xd8),
      look: word32(PLACE.gdt + sel.tss + 4),
      value: 0x8b00 | ((PLACE.data >>> 16) & 0xff),
    },
    'LLDT of data': {
      setup: (a) => a.mov(R.eax, sel.rw),
      code: (a) => a.db(0x0f, 0x00, 0xd0),
      vector: 13,
      error: sel.rw,
    },
  };
}
