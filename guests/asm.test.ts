import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86';
import { expect, test } from 'vitest';
import { Asm } from './asm.ts';
import { cr, dr, indexed, mem, R, S } from './registers.ts';

const ORIGIN = 0x100000;

/** What an independent disassembler reads in the code. */
function disassemble(mode: 16 | 32 | 64, code: Uint8Array): string[] {
  const formatter = new Formatter(FormatterSyntax.Intel);
  const decoder = new Decoder(mode, code, DecoderOptions.None);
  decoder.ip = BigInt(ORIGIN);
  const out: string[] = [];
  while (decoder.canDecode) {
    const instruction = decoder.decode();
    out.push(formatter.format(instruction));
    instruction.free();
  }
  decoder.free();
  formatter.free();
  return out;
}

function assembled(mode: 16 | 32 | 64, emit: (a: Asm) => void): string[] {
  const a = new Asm(mode, ORIGIN);
  emit(a);
  return disassemble(mode, a.finish());
}

type Row = [emit: (a: Asm) => void, text: string];

const ROWS_64: Row[] = [
  [(a) => a.mov(R.rax, R.r15), 'mov rax,r15'],
  [(a) => a.mov(R.sil, R.al), 'mov sil,al'],
  [(a) => a.mov(R.ah, R.bl), 'mov ah,bl'],
  [(a) => a.mov(R.r8d, mem(32, R.rsp, 8)), 'mov r8d,[rsp+8]'],
  [(a) => a.mov(mem(16, R.rbp), R.r9w), 'mov [rbp],r9w'],
  [(a) => a.mov(R.rdx, mem(64, R.r13)), 'mov rdx,[r13]'],
  [(a) => a.mov(R.rdx, mem(64, R.r12, -300)), 'mov rdx,[r12-12Ch]'],
  [(a) => a.mov(R.ecx, indexed(32, R.rbx, R.r10, 8, 64)), 'mov ecx,[rbx+r10*8+40h]'],
  [(a) => a.mov(R.ecx, mem(32, R.ebx, 4)), 'mov ecx,[ebx+4]'],
  [(a) => a.mov(R.rax, 1), 'mov eax,1'],
  [(a) => a.mov(R.rax, -1), 'mov rax,0FFFFFFFFFFFFFFFFh'],
  [(a) => a.mov(R.r11, 0x1234_5678_9abc_def0n), 'mov r11,123456789ABCDEF0h'],
  [(a) => a.mov(mem(64, R.rax), -5), 'mov qword ptr [rax],0FFFFFFFFFFFFFFFBh'],
  [(a) => a.mov(mem(8, 0x5000), 7), 'mov byte ptr [5000h],7'],
  [(a) => a.mov(S.ds, R.eax), 'mov ds,ax'],
  [(a) => a.mov(R.rax, cr(2)), 'mov rax,cr2'],
  [(a) => a.mov(cr(3), R.rbx), 'mov cr3,rbx'],
  [(a) => a.mov(dr(7), R.rcx), 'mov dr7,rcx'],
  [(a) => a.alu('add', R.rax, 5), 'add rax,5'],
  [(a) => a.alu('sub', R.rsp, 0x400), 'sub rsp,400h'],
  [(a) => a.alu('cmp', mem(32, R.rdi), 0x12345), 'cmp dword ptr [rdi],12345h'],
  [(a) => a.alu('xor', R.r8, R.r9), 'xor r8,r9'],
  [(a) => a.alu('and', R.dl, mem(8, R.rsi)), 'and dl,[rsi]'],
  [(a) => a.alu('or', mem(16, R.rdi), 0x1234), 'or word ptr [rdi],1234h'],
  [(a) => a.test(R.rax, R.rax), 'test rax,rax'],
  [(a) => a.test(R.cl, 3), 'test cl,3'],
  [(a) => a.xchg(mem(64, R.rdx), R.rax), 'xchg [rdx],rax'],
  [(a) => a.movzx(R.eax, mem(8, R.rsi)), 'movzx eax,byte ptr [rsi]'],
  [(a) => a.movzx(R.ecx, R.ax), 'movzx ecx,ax'],
  [(a) => a.movzx(R.ecx, R.dil), 'movzx ecx,dil'],
  [(a) => a.inc(R.r14), 'inc r14'],
  [(a) => a.dec(mem(32, R.rax)), 'dec dword ptr [rax]'],
  [(a) => a.unary('div', R.rcx), 'div rcx'],
  [(a) => a.unary('neg', R.bl), 'neg bl'],
  [(a) => a.shift('shl', R.eax, 12), 'shl eax,0Ch'],
  [(a) => a.shift('sar', R.r10, 'cl'), 'sar r10,cl'],
  [(a) => a.set('be', R.al), 'setbe al'],
  [(a) => a.lea(R.rsi, mem(64, R.rbx, 16)), 'lea rsi,[rbx+10h]'],
  [(a) => a.push(R.r12), 'push r12'],
  [(a) => a.pop(R.rbp), 'pop rbp'],
  [(a) => a.push(0x80), 'push 80h'],
  [(a) => a.push(mem(64, R.rax)), 'push qword ptr [rax]'],
  [(a) => a.call(R.r11), 'call r11'],
  [(a) => a.jmp(mem(64, R.rax, 8)), 'jmp qword ptr [rax+8]'],
  [(a) => a.int(0x80), 'int 80h'],
  [(a) => a.lgdt(mem(32, R.rax)), 'lgdt [rax]'],
  [(a) => a.lidt(mem(32, 0x6000)), 'lidt [6000h]'],
  [(a) => a.invlpg(mem(32, R.r9)), 'invlpg [r9]'],
  [(a) => a.outDx(R.al), 'out dx,al'],
  [(a) => a.inDx(R.eax), 'in eax,dx'],
  [(a) => a.op('vmmcall'), 'vmmcall'],
  [(a) => a.op('vmcall'), 'vmcall'],
  [(a) => a.op('iretq'), 'iretq'],
  [(a) => a.op('repMovsb'), 'rep movsb [rdi],[rsi]'],
  [(a) => a.op('wrmsr'), 'wrmsr'],
];

const ROWS_32: Row[] = [
  [(a) => a.mov(R.eax, 0x80000011), 'mov eax,80000011h'],
  [(a) => a.mov(mem(32, 0x207000), R.ebx), 'mov [207000h],ebx'],
  [(a) => a.mov(R.ax, mem(16, R.ebp)), 'mov ax,[ebp]'],
  [(a) => a.mov(R.eax, cr(0)), 'mov eax,cr0'],
  [(a) => a.push(R.esi), 'push esi'],
  [(a) => a.alu('cmp', R.ebp, 0x40010000), 'cmp ebp,40010000h'],
  [(a) => a.inc(R.ecx), 'inc ecx'],
  [(a) => a.op('iretd'), 'iretd'],
  [(a) => a.op('repOutsb'), 'rep outsb dx,[esi]'],
];

const ROWS_16: Row[] = [
  [(a) => a.mov(R.ax, 0x1234), 'mov ax,1234h'],
  [(a) => a.mov(R.eax, 0x12345678), 'mov eax,12345678h'],
  [(a) => a.mov(S.ds, R.ax), 'mov ds,ax'],
  [(a) => a.mov(R.bx, mem(16, 0x700)), 'mov bx,[700h]'],
  [(a) => a.mov(R.al, mem(8, R.esi, 1)), 'mov al,[esi+1]'],
  [(a) => a.lgdt(mem(32, 0x600)), 'lgdt [600h]'],
  [(a) => a.op('cli'), 'cli'],
];

test.each([
  [64, ROWS_64],
  [32, ROWS_32],
  [16, ROWS_16],
] as const)('%i-bit instructions read back as they were written', (mode, rows) => {
  for (const [emit, text] of rows) {
    expect(assembled(mode, emit)).toEqual([text]);
  }
});

test('labels resolve backwards and forwards, in jumps, addresses and data', () => {
  const a = new Asm(64, ORIGIN);
  a.label('start');
  a.j('nz', 'end');
  a.call('start');
  a.mov(R.rsi, 'end');
  a.mov(mem(32, 'end', 4), R.eax);
  a.alu('cmp', indexed(8, 'end', R.rcx, 2), 0);
  a.jmp('start');
  a.label('end');
  const code = a.finish();
  const end = a.addressOf('end').toString(16).toUpperCase();
  const later = (a.addressOf('end') + 4).toString(16).toUpperCase();
  expect(disassemble(64, code)).toEqual([
    `jne 0000000000${end}h`,
    'call 0000000000100000h',
    `mov esi,${end}h`,
    `mov [${later}h],eax`,
    `cmp byte ptr [rcx*2+${end}h],0`,
    'jmp 0000000000100000h',
  ]);
});

test('a far jump takes a selector and a label', () => {
  const text = assembled(32, (a) => {
    a.farJmp(0x18, 'there');
    a.label('there');
  });
  expect(text).toEqual(['jmp far 00100007h,0018h']);
});

test('what cannot be encoded is refused', () => {
  expect(() => assembled(32, (a) => a.mov(R.rax, R.rbx))).toThrow(/64-bit/);
  expect(() => assembled(32, (a) => a.jmp('nowhere'))).toThrow(/nowhere is not defined/);
  expect(() => assembled(32, (a) => a.mov(R.ax, mem(16, R.bx)))).toThrow(/16-bit/);
  expect(() =>
    assembled(32, (a) => {
      a.label('twice');
      a.label('twice');
    }),
  ).toThrow(/twice is defined twice/);
});
