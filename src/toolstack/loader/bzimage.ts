/**
 * Linux's bzImage: a boot sector, real-mode setup code with a header in it, and a protected-mode part that carries the
 * kernel proper, an ELF file, compressed. @spec Linux Documentation/arch/x86/boot.rst
 */
import { hex } from '../../base/text.ts';
import { compressionOf, decompress } from './decompress.ts';
import { corrupt, LoaderError, truncated } from './errors.ts';
import { MAX_OUTPUT } from './sink.ts';

// Offsets in the file.
const SETUP_SECTS = 0x1f1;
const BOOT_FLAG = 0x1fe;
const HEADER_MAGIC = 0x202;
const VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const HEADER_END = 0x250;
/** "HdrS" */
const MAGIC = 0x53726448;
/** The boot protocol that brought the payload's place. */
const PAYLOAD_VERSION = 0x0208;
const SECTOR = 512;

export function isBzImage(file: Uint8Array): boolean {
  if (file.length < HEADER_MAGIC + 4) return false;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  return view.getUint16(BOOT_FLAG, true) === 0xaa55 && view.getUint32(HEADER_MAGIC, true) === MAGIC;
}

/** The compressed kernel in a bzImage, as it lies there. */
export function payloadOf(file: Uint8Array): Uint8Array {
  if (file.length < HEADER_END) truncated('it ends in the header of a Linux kernel');
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const version = view.getUint16(VERSION, true);
  if (version < PAYLOAD_VERSION) {
    const protocol = `${version >> 8}.${String(version & 0xff).padStart(2, '0')}`;
    throw new LoaderError('not-a-kernel', `it is a Linux kernel too old for Xen (boot protocol ${protocol})`);
  }
  // 0 stands for the four sectors that very old kernels had.
  const setup = file[SETUP_SECTS] || 4;
  const start = (setup + 1) * SECTOR + view.getUint32(PAYLOAD_OFFSET, true);
  const length = view.getUint32(PAYLOAD_LENGTH, true);
  if (length < 4) throw new LoaderError('not-a-kernel', 'it is a Linux kernel without a payload');
  if (start + length > file.length) {
    truncated(
      `its payload takes bytes ${hex(start)} to ${hex(start + length)}, the file has ${hex(file.length)}`,
    );
  }
  return file.subarray(start, start + length);
}

/**
 * The ELF file in a bzImage. Its unpacked size is the payload's last four bytes, behind what the compressor wrote;
 * gzip has it there by itself.
 */
export function unpackBzImage(file: Uint8Array): Uint8Array {
  const payload = payloadOf(file);
  const size = new DataView(payload.buffer, payload.byteOffset + payload.length - 4, 4).getUint32(0, true);
  const data = compressionOf(payload) === 'gzip' ? payload : payload.subarray(0, -4);
  const kernel = decompress(data, size <= MAX_OUTPUT ? size : 0);
  if (!kernel) {
    const begin = Array.from(payload.subarray(0, 4), (b) => b.toString(16).padStart(2, '0')).join(' ');
    throw new LoaderError(
      'unknown-compression',
      `its payload, which begins with ${begin}, is compressed in no known way`,
    );
  }
  if (kernel.length !== size) corrupt(`its payload unpacks to ${kernel.length} bytes instead of ${size}`);
  return kernel;
}
