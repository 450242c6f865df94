/**
 * Undoes the filter that made the targets of x86 calls and jumps absolute before compression, in place.
 * @spec the xz format's filter 0x04
 */

/** By the positions of E8/E9 bytes among the three before: whether this one can be an opcode of its own. */
const allowed = [true, true, true, false, true, false, false, false];
/** Likewise: the byte of the operand that those positions make doubtful. */
const doubtful = [0, 1, 2, 2, 3, 3, 3, 3];

const extreme = (byte: number): boolean => byte === 0 || byte === 0xff;

export function undoX86Filter(data: Uint8Array): void {
  let previous = -1;
  let mask = 0;
  const end = data.length - 4;
  for (let i = 0; i < end; i++) {
    if ((data[i]! & 0xfe) !== 0xe8) continue;
    const distance = i - previous;
    previous = i;
    mask = distance > 3 ? 0 : (mask << (distance - 1)) & 7;
    if (mask && (!allowed[mask] || extreme(data[i + 4 - doubtful[mask]!]!))) {
      mask = (mask << 1) | 1;
      continue;
    }
    if (!extreme(data[i + 4]!)) {
      mask = (mask << 1) | 1;
      continue;
    }
    restore(data, i, mask);
    i += 4;
  }
}

/** Makes the operand of the instruction at `i` relative again. */
function restore(data: Uint8Array, i: number, mask: number): void {
  let source = data[i + 1]! | (data[i + 2]! << 8) | (data[i + 3]! << 16) | (data[i + 4]! << 24);
  let target = (source - (i + 5)) | 0;
  const shift = doubtful[mask]! * 8;
  while (mask && extreme((target >>> (24 - shift)) & 0xff)) {
    source = target ^ (2 ** (32 - shift) - 1);
    target = (source - (i + 5)) | 0;
  }
  data[i + 1] = target;
  data[i + 2] = target >>> 8;
  data[i + 3] = target >>> 16;
  data[i + 4] = target & 0x01000000 ? 0xff : 0;
}
