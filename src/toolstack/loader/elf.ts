/** ELF executables, 32 and 64 bit, as kernels are linked. @spec System V ABI, "Object files" */
import { cString, hex } from '../../base/text.ts';
import { corrupt, LoaderError, truncated } from './errors.ts';
import { readLegacyNotes, readNotes, type XenNotes } from './notes.ts';

export interface Segment {
  /** Physical address, as the program header has it. */
  readonly paddr: number;
  readonly vaddr: bigint;
  /** What the file holds; the rest up to `memsz` is zero. */
  readonly data: Uint8Array;
  readonly memsz: number;
}

export interface ElfImage {
  readonly bits: 32 | 64;
  readonly machine: number;
  readonly entry: bigint;
  readonly segments: readonly Segment[];
  readonly notes: XenNotes;
}

export const EM_386 = 3;
export const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
const SHT_NOTE = 7;
const LITTLE_ENDIAN = 1;
const machines: Readonly<Record<number, string>> = {
  8: 'MIPS',
  21: 'PowerPC',
  40: '32-bit Arm',
  183: '64-bit Arm',
  243: 'RISC-V',
};

export function isElf(file: Uint8Array): boolean {
  return file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46;
}

interface Header {
  readonly type: number;
  readonly offset: number;
  readonly filesz: number;
}

interface ProgramHeader extends Header {
  readonly paddr: number;
  readonly vaddr: bigint;
  readonly memsz: number;
}

interface SectionHeader extends Header {
  readonly name: string;
}

/** Reads an x86 executable; every range is checked against the file. Throws LoaderError. */
export function readElf(file: Uint8Array): ElfImage {
  if (file.length < 52) truncated('it ends in its ELF header');
  const bits = file[4] === 2 ? 64 : 32;
  const r = new Reader(file, bits);
  const machine = r.u16(18);
  checkMachine(file, machine);
  const programs = r.programHeaders();
  return {
    bits,
    machine,
    entry: r.word(24),
    segments: programs.filter((p) => p.type === PT_LOAD && p.memsz > 0).map((p, i) => segment(file, p, i)),
    notes: findNotes(file, r, programs),
  };
}

/** A 32-bit file may hold 64-bit code: an image that starts in 32-bit mode is often linked so. */
function checkMachine(file: Uint8Array, machine: number): void {
  if (file[5] !== LITTLE_ENDIAN)
    throw new LoaderError('wrong-architecture', 'it is for a big-endian processor');
  if (machine !== EM_386 && machine !== EM_X86_64) {
    const what = machines[machine] ?? `an unknown processor (ELF machine ${machine})`;
    throw new LoaderError('wrong-architecture', `it is for ${what}, not for x86`);
  }
}

function segment(file: Uint8Array, p: ProgramHeader, index: number): Segment {
  const end = p.offset + p.filesz;
  if (end > file.length) {
    truncated(
      `segment ${index} takes bytes ${hex(p.offset)} to ${hex(end)}, the file has ${hex(file.length)}`,
    );
  }
  if (p.filesz > p.memsz) corrupt(`segment ${index} is larger in the file than in memory`);
  if (!Number.isSafeInteger(p.paddr + p.memsz)) corrupt(`segment ${index} has an impossible address`);
  return { paddr: p.paddr, vaddr: p.vaddr, data: file.subarray(p.offset, end), memsz: p.memsz };
}

/** From note segments; failing those from note sections, then from the section that came before notes. */
function findNotes(file: Uint8Array, r: Reader, programs: readonly ProgramHeader[]): XenNotes {
  const notes: XenNotes = {};
  const read = (headers: readonly Header[]): number =>
    headers.reduce((n, h) => n + readNotes(file, h.offset, h.offset + h.filesz, notes), 0);
  if (read(programs.filter((p) => p.type === PT_NOTE))) return notes;
  const sections = r.sectionHeaders();
  if (read(sections.filter((s) => s.type === SHT_NOTE))) return notes;
  const guest = sections.find((s) => s.name === '__xen_guest');
  if (guest) readLegacyNotes(file.subarray(guest.offset, guest.offset + guest.filesz), notes);
  return notes;
}

class Reader {
  private readonly file: Uint8Array;
  private readonly view: DataView;
  private readonly wide: boolean;

  constructor(file: Uint8Array, bits: 32 | 64) {
    this.file = file;
    this.view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    this.wide = bits === 64;
    if (this.wide && file.length < 64) truncated('it ends in its ELF header');
  }

  u16(at: number): number {
    return this.view.getUint16(at, true);
  }

  u32(at: number): number {
    return this.view.getUint32(at, true);
  }

  /** A word of the file's class. */
  word(at: number): bigint {
    return this.wide ? this.view.getBigUint64(at, true) : BigInt(this.u32(at));
  }

  /** A word as a number; exact below 2^53. */
  private size(at: number): number {
    return this.wide ? this.u32(at) + this.u32(at + 4) * 2 ** 32 : this.u32(at);
  }

  programHeaders(): ProgramHeader[] {
    const [offset, size, count] = this.wide
      ? [this.size(32), 56, this.u16(56)]
      : [this.size(28), 32, this.u16(44)];
    if (this.u16(this.wide ? 54 : 42) !== size && count) corrupt('its program headers have a wrong size');
    if (offset + size * count > this.file.length) truncated('it ends before its program headers do');
    return Array.from({ length: count }, (_, i) => this.programHeader(offset + i * size));
  }

  private programHeader(at: number): ProgramHeader {
    const type = this.u32(at);
    const field = (wide: number, narrow: number): number => at + (this.wide ? wide : narrow);
    return {
      type,
      offset: this.size(field(8, 4)),
      vaddr: this.word(field(16, 8)),
      paddr: this.size(field(24, 12)),
      filesz: this.size(field(32, 16)),
      memsz: this.size(field(40, 20)),
    };
  }

  /** None where the file has lost them: a kernel does not need them to be loaded. */
  sectionHeaders(): SectionHeader[] {
    const [offset, size, count, names] = this.wide
      ? [this.size(40), 64, this.u16(60), this.u16(62)]
      : [this.size(32), 40, this.u16(48), this.u16(50)];
    if (offset === 0 || names >= count || offset + size * count > this.file.length) return [];
    const field = (i: number, wide: number, narrow: number): number =>
      offset + i * size + (this.wide ? wide : narrow);
    const strings = this.size(field(names, 24, 16));
    return Array.from({ length: count }, (_, i) => ({
      name: cString(
        this.file.subarray(strings + this.u32(field(i, 0, 0)), strings + this.u32(field(i, 0, 0)) + 32),
      ),
      type: this.u32(field(i, 4, 4)),
      offset: this.size(field(i, 24, 16)),
      filesz: this.size(field(i, 32, 20)),
    }));
  }
}
