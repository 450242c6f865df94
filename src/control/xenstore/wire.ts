/**
 * The XenStore wire protocol: messages to and from bytes, and the error that carries a protocol word.
 *
 * A message is a 16-byte little-endian header (type, req_id, tx_id, len) and `len` bytes of payload. Payloads, paths
 * and values are byte strings: JavaScript strings with one character (0 to 255) for each byte.
 *
 * @abi public/io/xs_wire.h
 * @xen docs/misc/xenstore.txt
 */
import { XENSTORE_PAYLOAD_MAX, type XsdError, xsd_sockmsg } from '../../abi/io_xs_wire.ts';
import { fromLatin1, latin1 } from '../../base/text.ts';

export const HEADER_SIZE = xsd_sockmsg.$.size;

/** A request refused with one of the protocol's words. */
export class XsError extends Error {
  readonly code: XsdError;
  constructor(code: XsdError, message: string = code) {
    super(message);
    this.name = 'XsError';
    this.code = code;
  }
}

export interface Message {
  readonly type: number;
  readonly reqId: number;
  readonly txId: number;
  readonly payload: string;
}

export function encode(m: Message): Uint8Array {
  const out = new Uint8Array(HEADER_SIZE + m.payload.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, m.type, true);
  view.setUint32(4, m.reqId, true);
  view.setUint32(8, m.txId, true);
  view.setUint32(12, m.payload.length, true);
  out.set(fromLatin1(m.payload), HEADER_SIZE);
  return out;
}

/** A message announced more payload than the protocol allows: the stream has no meaning from there on. */
export class Overlong extends Error {}

/** Cuts a byte stream, given in chunks of any size, into messages. */
export class MessageReader {
  private chunks: Uint8Array[] = [];
  private length = 0;

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.chunks.push(chunk.slice());
    this.length += chunk.length;
  }

  /** Forgets what was received and not taken. */
  clear(): void {
    this.chunks = [];
    this.length = 0;
  }

  /** The next whole message, if there is one. Throws Overlong for a payload over the limit. */
  next(): Message | undefined {
    if (this.length < HEADER_SIZE) return undefined;
    const head = this.head(HEADER_SIZE);
    const view = new DataView(head.buffer, head.byteOffset);
    const len = view.getUint32(12, true);
    if (len > XENSTORE_PAYLOAD_MAX) throw new Overlong(`payload of ${len} bytes`);
    if (this.length < HEADER_SIZE + len) return undefined;
    const whole = this.head(HEADER_SIZE + len);
    this.drop(HEADER_SIZE + len);
    return {
      type: view.getUint32(0, true),
      reqId: view.getUint32(4, true),
      txId: view.getUint32(8, true),
      payload: latin1(whole.subarray(HEADER_SIZE, HEADER_SIZE + len)),
    };
  }

  /** The first chunk, grown by its successors to at least `n` bytes. */
  private head(n: number): Uint8Array {
    let first = this.chunks[0]!;
    if (first.length >= n) return first;
    let size = 0;
    let count = 0;
    while (size < n) size += this.chunks[count++]!.length;
    first = new Uint8Array(size);
    let at = 0;
    for (const chunk of this.chunks.splice(0, count)) {
      first.set(chunk, at);
      at += chunk.length;
    }
    this.chunks.unshift(first);
    return first;
  }

  private drop(n: number): void {
    const first = this.chunks[0]!;
    if (first.length === n) this.chunks.shift();
    else this.chunks[0] = first.subarray(n);
    this.length -= n;
  }
}

/** Payloads are strings each ended by NUL: the strings, or undefined where the last one is not ended. */
export function strings(payload: string): string[] | undefined {
  if (!payload.endsWith('\0')) return undefined;
  return payload.slice(0, -1).split('\0');
}

const decimal = /^[0-9]{1,10}$/;

/** An unsigned 32-bit decimal; anything else is EINVAL. */
export function parseU32(text: string | undefined): number {
  if (text === undefined || !decimal.test(text) || Number(text) > 0xffff_ffff) throw new XsError('EINVAL');
  return Number(text);
}
