/** Where probes run: rings of the guest's own mode, 16-bit code, virtual-8086 and real mode. */
import type { Guest } from './guest.ts';
import { field, PLACE, SEL, VECTORS } from './probe-tables.ts';
import { cr, mem, R, S } from './registers.ts';

export type Level =
  | 'ring0'
  | 'ring1'
  | 'ring3'
  | 'code16'
  | 'code16r3'
  | 'compat3'
  | 'vm86'
  | 'vm86iopl0'
  | 'real';

/** Bytes of a probe that are copied to low memory. */
const COPIED = 0x100;
const VM = 0x20000;
const IOPL3 = 0x3002;

/** Descriptors and copies that the level needs, and data segments that it may keep. */
export function prepareLevel(g: Guest, level: Level, start: string): void {
  const { a } = g;
  if (level === 'code16' || level === 'code16r3') {
    a.mov(R.eax, start);
    for (const sel of [SEL.code16, SEL.code16r3 & ~3]) {
      a.mov(mem(16, PLACE.gdt + sel + 2), R.ax);
      a.mov(R.ecx, R.eax);
      a.shift('shr', R.ecx, 16);
      a.mov(mem(8, PLACE.gdt + sel + 4), R.cl);
    }
  }
  if (level.startsWith('vm86') || level === 'real') {
    a.mov(R.esi, start);
    a.mov(R.edi, PLACE.low);
    a.mov(R.ecx, COPIED);
    a.op('repMovsb');
  }
  if (level.endsWith('3')) {
    a.mov(R.eax, SEL.data3);
    for (const s of [S.ds, S.es, S.fs, S.gs]) a.mov(s, R.eax);
  }
  a.alu('xor', R.eax, R.eax);
  a.alu('xor', R.ecx, R.ecx);
  a.mov(R.esi, 0);
  a.mov(R.edi, 0);
  a.push(2);
  a.op('popf');
}

/** Goes there; keeps the registers. The probe's code follows. */
export function enterLevel(g: Guest, level: Level, start: string): void {
  const { a } = g;
  const iret = (cs: number, ss: number, top: number, ip: string | number, flags = 2): void => {
    a.push(ss);
    a.push(top);
    a.push(flags);
    a.push(cs);
    a.push(ip);
    a.op(g.bits === 64 ? 'iretq' : 'iretd');
  };
  switch (level) {
    case 'ring0':
      return;
    case 'ring1':
      return iret(SEL.code1, SEL.data1, PLACE.stacks[1], start);
    case 'ring3':
      return iret(g.bits === 64 ? SEL.code64r3 : SEL.code3, SEL.data3, PLACE.stacks[3], start);
    case 'compat3':
      iret(SEL.code3, SEL.data3, PLACE.stacks[3], start);
      a.mode = 32;
      return;
    case 'code16':
      a.farJmp(SEL.code16, 0);
      a.mode = 16;
      return;
    case 'code16r3':
      iret(SEL.code16r3, SEL.data3, PLACE.stacks[3], 0);
      a.mode = 16;
      return;
    case 'vm86':
    case 'vm86iopl0':
      for (let k = 0; k < 4; k++) a.push(PLACE.low >> 4);
      iret(PLACE.low >> 4, PLACE.low >> 4, 0x8000, 0, level === 'vm86' ? VM | IOPL3 : VM | 2);
      a.mode = 16;
      return;
    case 'real':
      a.jmp('pr.enterReal');
      a.mode = 16;
  }
}

/** 16-bit code that goes to real mode and comes back, copied to PLACE.real with the interrupt table at 0. */
export function emitLevels(g: Guest): void {
  if (g.bits === 64) return;
  const { a } = g;
  const begin = a.here;
  const at = (): number => a.here - begin;
  const cs = (op: number, offset: number): void => a.db(0x2e, op, offset & 255, offset >> 8);
  a.label('pr.realCode');
  a.mode = 16;
  a.mov(R.eax, cr(0));
  a.alu('and', R.eax, ~1);
  a.mov(cr(0), R.eax);
  a.db(0xea, (at() + 5) & 255, (at() + 5) >> 8);
  a.dw(PLACE.real >> 4);
  a.mov(R.ax, PLACE.low >> 4);
  for (const s of [S.ds, S.es, S.fs, S.gs, S.ss]) a.mov(s, R.ax);
  a.mov(R.esp, 0x8000);
  a.mov(R.eax, mem(32, SAVED));
  a.db(0xea, 0, 0);
  a.dw(PLACE.low >> 4);
  const stubs = at();
  for (let v = 0; v < VECTORS; v++) {
    a.push(v);
    a.jmp('pr.realHandler');
  }
  a.label('pr.realHandler');
  a.db(0x66);
  cs(0xa3, SAVED);
  for (const take of [() => a.pop(R.ax), () => a.mov(R.ax, S.ss), () => a.mov(R.ax, S.ds)].entries()) {
    take[1]();
    cs(0xa3, SAVED + 4 + 4 * take[0]);
  }
  a.mov(R.eax, cr(0));
  a.alu('or', R.eax, 1);
  a.mov(cr(0), R.eax);
  a.farJmp(SEL.code, 'pr.fromReal');
  const size = at();
  a.mode = 32;
  emitEnterReal(g, size, stubs);
  emitFromReal(g);
}
/** Offset of what is saved, in real mode's data segment going there and in its code segment coming back. */
const SAVED = 0xff00;

function emitEnterReal(g: Guest, size: number, stubs: number): void {
  const { a } = g;
  a.label('pr.enterReal');
  a.mov(mem(32, PLACE.low + SAVED), R.eax);
  a.op('pushad');
  a.mov(R.esi, 'pr.realCode');
  a.mov(R.edi, PLACE.real);
  a.mov(R.ecx, size);
  a.op('repMovsb');
  a.mov(R.eax, ((PLACE.real >> 4) << 16) | stubs);
  a.mov(R.ecx, VECTORS);
  const next = a.fresh('ivt');
  a.alu('xor', R.edi, R.edi);
  a.label(next);
  a.op('stosd');
  a.alu('add', R.eax, STUB);
  a.dec(R.ecx);
  a.j('nz', next);
  a.op('popad');
  a.lidt(mem(32, 'pr.ivtr'));
  a.mov(R.eax, SEL.dataReal);
  for (const s of [S.ds, S.es, S.fs, S.gs, S.ss]) a.mov(s, R.eax);
  a.farJmp(SEL.codeReal, 0);
  g.data('pr.ivtr', () => {
    a.dw(VECTORS * 4 - 1);
    a.dd(0);
  });
}
/** Bytes of a stub: push imm16, jmp rel16. */
const STUB = 6;

/** Records what the real-mode handler saved, and the frame of words at its SS:SP. */
function emitFromReal(g: Guest): void {
  const { a } = g;
  a.label('pr.fromReal');
  a.mov(R.eax, SEL.data);
  a.mov(S.ds, R.eax);
  a.lidt(mem(32, 'pr.idtr'));
  for (const name of ['cx', 'dx', 'bx', 'bp', 'si', 'di', 'sp'] as const) a.mov(field(g, name), g.r(name));
  for (const [name, k] of [
    ['vector', 1],
    ['ss', 2],
    ['ds', 3],
  ] as const) {
    a.movzx(R.eax, mem(16, PLACE.real + SAVED + 4 * k));
    a.mov(field(g, name), R.eax);
  }
  a.mov(R.eax, mem(32, PLACE.real + SAVED));
  a.mov(field(g, 'ax'), R.eax);
  a.mov(field(g, 'error'), -1);
  a.mov(R.esi, field(g, 'ss'));
  a.shift('shl', R.esi, 4);
  a.movzx(R.eax, R.sp);
  a.alu('add', R.esi, R.eax);
  for (let k = 0; k < 4; k++) {
    a.movzx(R.eax, mem(16, R.esi, 2 * k));
    a.mov(field(g, `s${k}` as 's0'), R.eax);
  }
  a.jmp('pr.goOn');
}
