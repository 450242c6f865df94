/**
 * A guest's output: a line is put together at LAYOUT.line, then sent to the message port, to Xen's console and
 * to the PV console ring. @abi public/io/console.h
 */
import { EVTCHNOP_send } from '../src/abi/event_channel.ts';
import { HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN } from '../src/abi/hvm_params.ts';
import { xencons_interface as ring, XENCONS_OUT_SIZE } from '../src/abi/io_console.ts';
import { SCHEDOP_yield } from '../src/abi/sched.ts';
import {
  __HYPERVISOR_console_io,
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_sched_op,
} from '../src/abi/xen.ts';
import { type Guest, LAYOUT } from './guest.ts';
import { indexed, mem, R } from './registers.ts';

/** The port a test guest writes its messages to, beside the consoles. */
const MESSAGE_PORT = 0x12;

/** The PV console ring, if the toolstack made one. */
export function emitFindConsole(g: Guest): void {
  const { a } = g;
  g.getParam(HVM_PARAM_CONSOLE_EVTCHN);
  a.test(R.eax, R.eax);
  a.j('nz', 'rt.ready');
  a.mov(R.eax, mem(32, 'rt.param', 8));
  a.mov(mem(32, 'rt.consolePort'), R.eax);
  g.getParam(HVM_PARAM_CONSOLE_PFN);
  a.test(R.eax, R.eax);
  a.j('nz', 'rt.ready');
  a.mov(R.eax, mem(32, 'rt.param', 8));
  a.shift('shl', R.eax, 12);
  a.mov(mem(32, 'rt.ring'), R.eax);
  a.label('rt.ready');
}

/** (e/r)si, (e/r)cx: text to add to the line. */
function emitAppendText(g: Guest): void {
  const { a } = g;
  a.label('rt.appendText');
  a.mov(R.edi, mem(32, 'rt.lineLength'));
  a.alu('add', mem(32, 'rt.lineLength'), R.ecx);
  a.alu('add', R.edi, LAYOUT.line);
  a.op('repMovsb', 'ret');
  /* DL: one character. */
  a.label('rt.appendChar');
  a.mov(R.edi, mem(32, 'rt.lineLength'));
  a.inc(mem(32, 'rt.lineLength'));
  a.mov(mem(8, g.r('di'), LAYOUT.line), R.dl);
  a.op('ret');
}

/** (e/r)ax: a number, in all its hexadecimal digits or in signed decimal. */
function emitAppendNumbers(g: Guest): void {
  const { a } = g;
  a.label('rt.appendHex');
  a.mov(R.ecx, g.wordBytes * 2);
  a.label('rt.nextNibble');
  a.shift('rol', g.r('ax'), 4);
  a.mov(R.edx, R.eax);
  a.alu('and', R.edx, 15);
  a.mov(R.dl, indexed(8, 'rt.digits', g.r('dx')));
  a.call('rt.appendChar');
  a.dec(R.ecx);
  a.j('nz', 'rt.nextNibble');
  a.op('ret');
  a.label('rt.appendDec');
  a.test(g.r('ax'), g.r('ax'));
  a.j('ns', 'rt.positive');
  a.unary('neg', g.r('ax'));
  a.mov(R.edx, 0x2d);
  a.call('rt.appendChar');
  a.label('rt.positive');
  a.mov(R.ebx, 10);
  a.alu('xor', R.ecx, R.ecx);
  a.label('rt.divide');
  a.alu('xor', R.edx, R.edx);
  a.unary('div', g.r('bx'));
  a.push(g.r('dx'));
  a.inc(R.ecx);
  a.test(g.r('ax'), g.r('ax'));
  a.j('nz', 'rt.divide');
  a.label('rt.nextDigit');
  a.pop(g.r('dx'));
  a.alu('add', R.edx, 0x30);
  a.call('rt.appendChar');
  a.dec(R.ecx);
  a.j('nz', 'rt.nextDigit');
  a.op('ret');
}

/** Puts the line into the ring as there is room, then waits until it has been taken out. */
function emitRingWrite(g: Guest): void {
  const { a } = g;
  const base = g.r('bx');
  const prod = mem(32, base, ring.out_prod.offset);
  const cons = mem(32, base, ring.out_cons.offset);
  const waitForPeer = (): void => {
    g.hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, 'rt.consolePort');
    g.hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
    a.mov(R.ebx, mem(32, 'rt.ring'));
  };
  a.mov(R.ebp, 0);
  a.mov(R.ebx, mem(32, 'rt.ring'));
  a.label('rt.nextByte');
  a.alu('cmp', R.ebp, mem(32, 'rt.lineLength'));
  a.j('z', 'rt.written');
  a.mov(R.eax, prod);
  a.mov(R.edx, R.eax);
  a.alu('sub', R.edx, cons);
  a.alu('cmp', R.edx, XENCONS_OUT_SIZE);
  a.j('b', 'rt.room');
  waitForPeer();
  a.jmp('rt.nextByte');
  a.label('rt.room');
  a.alu('and', R.eax, XENCONS_OUT_SIZE - 1);
  a.mov(R.dl, mem(8, g.r('bp'), LAYOUT.line));
  a.mov(indexed(8, base, g.r('ax'), 1, ring.out.offset), R.dl);
  a.inc(prod);
  a.inc(R.ebp);
  a.jmp('rt.nextByte');
  a.label('rt.written');
  waitForPeer();
  a.label('rt.drain');
  a.mov(R.eax, prod);
  a.alu('cmp', R.eax, cons);
  a.j('z', 'rt.flushed');
  g.hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
  a.mov(R.ebx, mem(32, 'rt.ring'));
  a.jmp('rt.drain');
}

/** Sends the line to the message port, to Xen's console and to the PV console ring. */
function emitFlush(g: Guest): void {
  const { a } = g;
  a.label('rt.flush');
  a.push(g.r('bp'));
  a.mov(R.esi, LAYOUT.line);
  a.mov(R.ecx, mem(32, 'rt.lineLength'));
  a.mov(R.edx, MESSAGE_PORT);
  a.op('repOutsb');
  a.alu('cmp', mem(32, 'rt.xenBase'), 0);
  a.j('z', 'rt.flushed');
  g.hypercall(__HYPERVISOR_console_io, 0, mem(32, 'rt.lineLength'), LAYOUT.line);
  a.alu('cmp', mem(32, 'rt.ring'), 0);
  a.j('z', 'rt.flushed');
  emitRingWrite(g);
  a.label('rt.flushed');
  a.mov(mem(32, 'rt.lineLength'), 0);
  a.pop(g.r('bp'));
  a.op('ret');
}

export function emitConsole(g: Guest): void {
  g.data('rt.digits', (a) => a.ascii('0123456789abcdef'), 16);
  emitAppendText(g);
  emitAppendNumbers(g);
  emitFlush(g);
}
