/** Named columns of bytes: like things lie together, so that they compress. */

export class Columns {
  private readonly columns = new Map<string, { bytes: Uint8Array; at: number }>();

  private column(name: string, room: number): { bytes: Uint8Array; at: number } {
    let c = this.columns.get(name);
    if (!c) {
      c = { bytes: new Uint8Array(1024), at: 0 };
      this.columns.set(name, c);
    }
    if (c.at + room > c.bytes.length) {
      const bigger = new Uint8Array(c.bytes.length * 2 + room);
      bigger.set(c.bytes);
      c.bytes = bigger;
    }
    return c;
  }
  u8(name: string, v: number): void {
    const c = this.column(name, 1);
    c.bytes[c.at++] = v;
  }
  u16(name: string, v: number): void {
    this.u8(name, v & 255);
    this.u8(`${name}+`, v >>> 8);
  }
  bytes(name: string, v: Uint8Array): void {
    const c = this.column(name, v.length);
    c.bytes.set(v, c.at);
    c.at += v.length;
  }
  /** Seven bits a byte, the sign in the lowest. */
  varint(name: string, v: bigint): void {
    let rest = v < 0n ? -2n * v - 1n : 2n * v;
    for (; rest > 127n; rest >>= 7n) this.u8(name, Number(rest & 127n) | 128);
    this.u8(name, Number(rest));
  }

  /** Every column with its name and length. */
  done(): Uint8Array {
    const parts: Uint8Array[] = [];
    for (const [name, { bytes, at }] of [...this.columns].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const head = Buffer.alloc(5 + name.length);
      head.writeUInt8(name.length, 0);
      head.write(name, 1, 'latin1');
      head.writeUInt32LE(at, 1 + name.length);
      parts.push(head, bytes.subarray(0, at));
    }
    return Buffer.concat(parts);
  }
}

export class ColumnReader {
  private readonly columns = new Map<string, { bytes: Uint8Array; at: number }>();

  constructor(file: Uint8Array) {
    const view = new DataView(file.buffer, file.byteOffset, file.length);
    for (let at = 0; at < file.length; ) {
      const length = file[at]!;
      const name = Buffer.from(file.subarray(at + 1, at + 1 + length)).toString('latin1');
      const size = view.getUint32(at + 1 + length, true);
      at += 5 + length;
      this.columns.set(name, { bytes: file.subarray(at, at + size), at: 0 });
      at += size;
    }
  }
  private column(name: string): { bytes: Uint8Array; at: number } {
    const c = this.columns.get(name);
    if (!c) throw new Error(`vector file: no column ${name}`);
    return c;
  }
  u8(name: string): number {
    const c = this.column(name);
    if (c.at >= c.bytes.length) throw new Error(`vector file: column ${name} ends early`);
    return c.bytes[c.at++]!;
  }
  u16(name: string): number {
    return this.u8(name) | (this.u8(`${name}+`) << 8);
  }
  bytes(name: string, n: number): Uint8Array {
    const c = this.column(name);
    c.at += n;
    return c.bytes.subarray(c.at - n, c.at);
  }
  varint(name: string): bigint {
    let v = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.u8(name);
      v |= BigInt(byte & 127) << shift;
      if (byte < 128) return v & 1n ? -((v + 1n) >> 1n) : v >> 1n;
    }
  }
}
