/**
 * Where the decoder stands: the bytes, the position in them and the instruction being filled. Module state
 * (there is one decoder to a thread), so that decoding makes no objects; only this file writes it.
 */
import { type CodeSize, Insn } from './insn.ts';

export let code: Uint8Array = new Uint8Array(0);
export let pos = 0;
export let insn = new Insn();
export let mode: CodeSize = 64;
/** VEX.vvvv, not inverted. */
export let vvvv = 0;

export function startAt(bytes: Uint8Array, offset: number, size: CodeSize, out: Insn): void {
  code = bytes;
  pos = offset;
  mode = size;
  insn = out;
}

export function setVvvv(value: number): void {
  vvvv = value;
}

/** Bytes past the end read as anything: `decode` compares `pos` with the end afterwards. */
export function u8(): number {
  return code[pos++]! | 0;
}

export function s8(): number {
  return (u8() << 24) >> 24;
}

export function u16(): number {
  const at = pos;
  pos += 2;
  return code[at]! | (code[at + 1]! << 8);
}

export function s16(): number {
  return (u16() << 16) >> 16;
}

export function s32(): number {
  const at = pos;
  pos += 4;
  return code[at]! | (code[at + 1]! << 8) | (code[at + 2]! << 16) | (code[at + 3]! << 24);
}
