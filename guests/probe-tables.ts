/** The tables that probes run under, made anew for each: GDT, LDT, IDT and TSS; and the handler of every vector. */
import type { Guest } from './guest.ts';
import { cr, mem, R, S } from './registers.ts';

/** What the handler records, in words of the guest's width. s0 and on: the stack as the handler found it. */
export const FIELDS = [
  ...(['vector', 'error', 'ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'] as const),
  ...(['ds', 'es', 'fs', 'gs', 'ss', 'cs', 'flags', 'tr', 'cr2'] as const),
  ...(['s0', 's1', 's2', 's3', 's4', 's5', 's6', 's7', 's8', 's9'] as const),
  'value',
] as const;
export type Field = (typeof FIELDS)[number];
const STACK_WORDS = 10;

/** Vector of the INT that ends a probe, and one that gates of the probes' own lead to. */
export const DONE = 0x40;
export const LANDED = 0x41;
export const WITH_ERROR: readonly number[] = [8, 10, 11, 12, 13, 14, 17];

/** Memory beyond the image. */
export const PLACE = {
  gdt: 0x1c0000,
  ldt: 0x1c0c00,
  idt: 0x1c1000,
  tss: 0x1c2000,
  /** Three pages for segments of the probes' own. */
  data: 0x1c4000,
  /** Tops of the stacks that the TSS names for rings 0 to 2, and of ring 3's. */
  stacks: [0x1d0000, 0x1d2000, 0x1d4000, 0x1d6000],
  /** Tops of the stacks of IST 1 and 2. */
  ist: [0x1d8000, 0x1da000],
  /** Where code of real and virtual-8086 mode is copied to. */
  low: 0x10000,
  /** Real mode's own code and handlers. */
  real: 0x20000,
} as const;

/** Selectors. The first three are the guest's own. */
export const SEL = {
  code: 0x08,
  data: 0x10,
  code64: 0x18,
  code3: 0x23,
  data3: 0x2b,
  /** Base as the probe's code: what 16-bit probes run in. */
  code16: 0x30,
  code16r3: 0x3b,
  ldt: 0x40,
  tss: 0x50,
  code1: 0x61,
  data1: 0x69,
  code64r3: 0x73,
  /** Real mode's limits. */
  codeReal: 0x78,
  dataReal: 0x80,
  own: 0x88,
} as const;

export const VECTORS = 0x48;

/** A descriptor; `attr` as type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D 10, G 11. */
export function descriptor(base: number, limit: number, attr: number): bigint {
  const b = BigInt(base);
  const l = BigInt(limit);
  const a = BigInt(attr);
  return (
    (l & 0xffffn) |
    ((b & 0xff_ffffn) << 16n) |
    ((a & 0xffn) << 40n) |
    ((l >> 16n) << 48n) |
    ((a >> 8n) << 52n) |
    ((b >> 24n) << 56n)
  );
}
/** A call, interrupt, trap or task gate; `type` with DPL and P. */
export const gate = (sel: number, offset: number, type: number, count = 0): bigint =>
  BigInt(offset & 0xffff) |
  (BigInt(sel) << 16n) |
  (BigInt(count) << 32n) |
  (BigInt(type) << 40n) |
  (BigInt(offset >>> 16) << 48n);

/** Where the record has a field. */
export const field = (g: Guest, name: Field) => g.word('pr.record', FIELDS.indexOf(name) * g.wordBytes);
export const stub = (vector: number): string => `pr.stub${vector}`;

/** Above the stub's vector and error code: the frame. */
export function emitHandler(g: Guest): void {
  const { a } = g;
  const W = g.wordBytes;
  const slot = (n: number) => g.word(g.r('sp'), n * W);
  for (let v = 0; v < VECTORS; v++) {
    a.label(stub(v));
    if (!WITH_ERROR.includes(v)) a.push(-1);
    a.push(v);
    a.jmp('pr.handler');
  }
  a.label('pr.handler');
  a.push(g.r('ax'));
  a.mov(R.eax, S.ds);
  a.push(g.r('ax'));
  a.op('pushf');
  a.mov(R.eax, SEL.data);
  a.mov(S.ds, R.eax);
  ['flags', 'ds', 'ax', 'vector', 'error', ...Array.from({ length: STACK_WORDS }, (_, k) => `s${k}`)].forEach(
    (name, n) => {
      a.mov(g.r('ax'), slot(n));
      a.mov(field(g, name as Field), g.r('ax'));
    },
  );
  for (const name of ['cx', 'dx', 'bx', 'bp', 'si', 'di'] as const) a.mov(field(g, name), g.r(name));
  for (const name of ['es', 'fs', 'gs', 'ss', 'cs'] as const) {
    a.mov(R.eax, S[name]);
    a.mov(field(g, name), g.r('ax'));
  }
  a.lea(g.r('ax'), slot(5));
  a.mov(field(g, 'sp'), g.r('ax'));
  a.mov(g.r('ax'), cr(2));
  a.mov(field(g, 'cr2'), g.r('ax'));
  a.alu('xor', R.eax, R.eax);
  a.db(0x66, 0x0f, 0x00, 0xc8); // str ax
  a.mov(field(g, 'tr'), g.r('ax'));
  emitGoOn(g);
}

/** Back to the stack and the code of the probe that is running. Beside it, a place to land for any privilege. */
function emitGoOn(g: Guest): void {
  const { a } = g;
  a.label('pr.goOn');
  a.mov(R.eax, SEL.data);
  for (const s of [S.ds, S.es, S.ss]) a.mov(s, R.eax);
  a.mov(g.r('sp'), g.word('pr.sp'));
  a.alu('cmp', mem(32, 'pr.resume'), 0);
  g.when('z', () => g.panic('an exception between probes, at ', { hex: field(g, 's0') }));
  a.mov(g.r('cx'), g.word('pr.resume'));
  a.mov(g.word('pr.resume'), 0);
  a.push(2);
  a.op('popf');
  if (g.bits === 32) a.push(SEL.code);
  if (g.bits === 32) a.push(R.ecx);
  if (g.bits === 32) a.op('retf');
  else a.jmp(R.rcx);
  a.label('pr.land');
  a.int(DONE);
}

/** Copies the tables, loads their registers and gives the data segments the flat selector. Keeps no register. */
export function emitReset(g: Guest): void {
  const { a } = g;
  a.label('pr.reset');
  a.op('clts');
  for (const [label, to] of [
    ['pr.tables', PLACE.gdt],
    ['pr.idt', PLACE.idt],
    ['pr.tss', PLACE.tss],
  ] as const) {
    a.mov(R.esi, label);
    a.mov(R.edi, to);
    a.mov(R.ecx, 0x400);
    a.op('cld');
    a.db(0xf3, 0xa5); // rep movsd
  }
  a.lgdt(mem(32, 'pr.gdtr'));
  a.lidt(mem(32, 'pr.idtr'));
  a.mov(R.eax, SEL.ldt);
  a.db(0x0f, 0x00, 0xd0); // lldt ax
  a.mov(R.eax, SEL.tss);
  a.db(0x0f, 0x00, 0xd8); // ltr ax
  a.mov(R.eax, SEL.data);
  for (const s of [S.ds, S.es, S.fs, S.gs, S.ss]) a.mov(s, R.eax);
  for (const name of ['ax', 'bx', 'cx', 'dx', 'si', 'di', 'bp'] as const) a.mov(g.r(name), 0);
  a.op('ret');
}

export function emitTables(g: Guest, own: readonly bigint[]): void {
  const { a } = g;
  const FLAT = 0xfffff;
  g.data('pr.tables', () => {
    const d16 = (n: bigint): bigint[] => [n, 0n];
    const gdt: bigint[] = [
      0n,
      descriptor(0, FLAT, 0xc9b),
      descriptor(0, FLAT, 0xc93),
      descriptor(0, FLAT, 0xa9b),
      descriptor(0, FLAT, 0xcfb),
      descriptor(0, FLAT, 0xcf3),
      descriptor(0, 0xffff, 0x9b),
      descriptor(0, 0xffff, 0xfb),
      ...d16(descriptor(PLACE.ldt, 0x3f, 0x82)),
      ...d16(descriptor(PLACE.tss, IO_BITMAP + 0x100, 0x89)),
      descriptor(0, FLAT, 0xcbb),
      descriptor(0, FLAT, 0xcb3),
      descriptor(0, FLAT, 0xafb),
      descriptor(PLACE.real, 0xffff, 0x9b),
      descriptor(PLACE.low, 0xffff, 0x93),
      ...own,
    ];
    for (const d of gdt) a.dq(d);
    a.zero(PLACE.ldt - PLACE.gdt - gdt.length * 8);
    a.dq(0);
    a.dq(descriptor(PLACE.data, 0xff, 0x4f3)); // selector 0x0f: a data segment of the LDT
    a.zero(0x400 - 16);
  });
  g.data('pr.idt', () => {
    for (let v = 0; v < VECTORS; v++) {
      const type = v === 3 || v === 4 || v >= DONE ? 0xee : 0x8e;
      a.dq(gate(g.bits === 64 ? SEL.code64 : SEL.code, a.addressOf(stub(v)), type, g.bits === 64 ? 1 : 0));
      if (g.bits === 64) a.dq(0);
    }
    a.zero(0x1000 - VECTORS * (g.bits / 4));
  });
  g.data('pr.tss', () => (g.bits === 64 ? emitTss64(g) : emitTss32(g)));
  g.data('pr.gdtr', () => {
    a.dw(SEL.own + own.length * 8 - 1);
    g.emitWord(PLACE.gdt);
  });
  g.data('pr.idtr', () => {
    a.dw(VECTORS * (g.bits / 4) - 1);
    g.emitWord(PLACE.idt);
  });
}

/** The TSS's I/O bitmap denies all ports but `OPEN_PORT`. */
export const OPEN_PORT = 0xe9;
export const IO_BITMAP = 0x88;
function emitBitmap(g: Guest, at: number): void {
  const { a } = g;
  a.zero(IO_BITMAP - at);
  for (let k = 0; k < 0x100; k++) a.db(k === OPEN_PORT >> 3 ? 0xff & ~(1 << (OPEN_PORT & 7)) : 0xff);
  a.db(0xff);
  a.zero(0x1000 - IO_BITMAP - 0x101);
}
function emitTss32(g: Guest): void {
  const { a } = g;
  a.dd(0);
  for (const [ring, ss] of [SEL.data, SEL.data1, 0].entries()) a.dd(PLACE.stacks[ring]!, ss);
  a.zero(102 - 28);
  a.dw(IO_BITMAP);
  emitBitmap(g, 104);
}
function emitTss64(g: Guest): void {
  const { a } = g;
  a.dd(0);
  for (let ring = 0; ring < 3; ring++) a.dq(PLACE.stacks[ring]!);
  a.dq(0);
  for (const top of PLACE.ist) a.dq(top);
  a.zero(102 - 36 - 16);
  a.dw(IO_BITMAP);
  emitBitmap(g, 104);
}
