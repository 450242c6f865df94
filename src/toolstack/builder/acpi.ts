/**
 * ACPI for a PVH domain: what tells it of its CPUs, and of the PC hardware that it does not have.
 *
 *   base           information page (zero: our DSDT asks nothing of it)
 *   base + 0x1000  FACS, DSDT, FADT, MADT, XSDT, and the RSDP last
 *
 * DIVERGES: Xen's FADT names a GPE block. There is nothing behind it, so every bit of it reads as set, and Linux prints
 * a row of errors about events that nobody handles; ours has none.
 *
 * @spec ACPI 5.0 section 5.2
 * @xen docs/misc/pvh.pandoc; observed with 4.17
 */
import { ACPI_INFO_PHYSICAL_ADDRESS, LAPIC_DEFAULT_BASE } from '../../abi/hvm_layout.ts';
import { PAGE_SIZE } from '../../base/brand.ts';
import { Mem } from '../../base/mem.ts';
import { fromLatin1 } from '../../base/text.ts';
import * as t from './acpi-tables.ts';
import { type Aml, device, integer, name, scope, string } from './aml.ts';

export interface AcpiOptions {
  /** All vCPUs that there can be, and how many of them are online at the start (all by default). */
  readonly vcpus: number;
  readonly online?: number;
  /** Guest-physical address of the information page. */
  readonly base?: number;
}

export interface AcpiImage {
  /** Everything from `base` on. */
  readonly bytes: Uint8Array;
  readonly base: number;
  readonly size: number;
  /** Guest-physical address of the RSDP, which is the last of the bytes. */
  readonly rsdp: number;
}

/** The size of an RSDP, for who needs a copy of it elsewhere. */
export const RSDP_SIZE = t.rsdp.$.size;

const OEM_ID = 'Xen';
const OEM_TABLE_ID = 'HVM';
const CREATOR_ID = 'HVML';
/** 64-bit integers from revision 2 on. */
const DSDT_REVISION = 5;
const SCI_INTERRUPT = 9;
/** PM1a event and control registers; ACPI wants them, nothing answers there. */
const PM1A_EVENT_PORT = 0xb000;
const PM1A_CONTROL_PORT = 0xb004;
/** Processor names have three digits. */
const MAX_VCPUS = 0x1000;
const TABLE_ALIGN = 16;

export function buildAcpi({
  vcpus,
  online = vcpus,
  base = ACPI_INFO_PHYSICAL_ADDRESS,
}: AcpiOptions): AcpiImage {
  if (!(vcpus >= 1 && vcpus <= MAX_VCPUS)) throw new RangeError(`ACPI tables for ${vcpus} vCPUs`);
  if (base % PAGE_SIZE !== 0) throw new RangeError(`ACPI tables at an address within a page: ${base}`);
  const image = new Image(base, 2 * PAGE_SIZE + vcpus * 128);
  image.take(PAGE_SIZE, PAGE_SIZE);
  const facs = makeFacs(image);
  const dsdt = makeDsdt(image, vcpus, online);
  const fadt = makeFadt(image, facs, dsdt);
  const madt = makeMadt(image, vcpus, online);
  const rsdp = makeRsdp(image, makeXsdt(image, [fadt, madt]));
  return { bytes: image.mem.copy(0, image.size), base, size: image.size, rsdp: base + rsdp };
}

/** The tables under construction; places in it are offsets from the image's base. */
class Image {
  readonly base: number;
  readonly mem: Mem;
  size = 0;

  constructor(base: number, limit: number) {
    this.base = base;
    this.mem = Mem.alloc(limit);
  }

  take(size: number, align: number): number {
    const at = Math.ceil(this.size / align) * align;
    this.size = at + size;
    return at;
  }

  /** A table with its header; `seal` follows once the rest is written. */
  table(signature: string, revision: number, length: number): number {
    const { mem } = this;
    const at = this.take(length, TABLE_ALIGN);
    const s = t.sdt_header;
    this.text(s.signature.addr(at), signature);
    s.length.set(mem, at, length);
    s.revision.set(mem, at, revision);
    this.text(s.oem_id.addr(at), OEM_ID);
    this.text(s.oem_table_id.addr(at), OEM_TABLE_ID);
    this.text(s.creator_id.addr(at), CREATOR_ID);
    return at;
  }

  text(at: number, text: string): void {
    this.mem.write(at, fromLatin1(text));
  }

  /** Makes the bytes of a table add up to zero. */
  seal(at: number): number {
    const s = t.sdt_header;
    this.sum(at, s.length.get(this.mem, at), s.checksum.addr(at));
    return at;
  }

  /** Sets the checksum byte at `where` so that `length` bytes from `at` on add up to zero. */
  sum(at: number, length: number, where: number): void {
    this.mem.setU8(where, 0);
    const total = this.mem.slice(at, length).reduce((sum, byte) => sum + byte, 0);
    this.mem.setU8(where, -total & 0xff);
  }
}

function makeFacs(image: Image): number {
  const { mem } = image;
  const s = t.facs;
  const at = image.take(s.$.size, t.FACS_ALIGN);
  image.text(s.signature.addr(at), 'FACS');
  s.length.set(mem, at, s.$.size);
  s.version.set(mem, at, 1);
  return at;
}

/** Processor devices under \_SB; `_UID` is the MADT's processor id. */
function makeDsdt(image: Image, vcpus: number, online: number): number {
  const processors: Aml[] = [];
  for (let id = 0; id < vcpus; id++) {
    processors.push(
      device(
        `P${id.toString(16).toUpperCase().padStart(3, '0')}`,
        name('_HID', string('ACPI0007')),
        name('_UID', integer(id)),
        name('_STA', integer(id < online ? STA_PRESENT : 0)),
      ),
    );
  }
  const body = scope('\\_SB', ...processors);
  const header = t.sdt_header.$.size;
  const at = image.table('DSDT', DSDT_REVISION, header + body.length);
  image.mem.write(at + header, Uint8Array.from(body));
  return image.seal(at);
}

/** Present, enabled, shown, working. */
const STA_PRESENT = 15;

function makeFadt(image: Image, facs: number, dsdt: number): number {
  const { mem, base } = image;
  const s = t.fadt;
  const at = image.table('FACP', t.FADT_REVISION, s.$.size);
  s.firmware_ctrl.set(mem, at, base + facs);
  s.x_firmware_ctrl.set(mem, at, base + facs);
  s.dsdt.set(mem, at, base + dsdt);
  s.x_dsdt.set(mem, at, base + dsdt);
  s.sci_int.set(mem, at, SCI_INTERRUPT);
  s.pm1a_evt_blk.set(mem, at, PM1A_EVENT_PORT);
  s.pm1_evt_len.set(mem, at, 4);
  ioRegister(mem, s.x_pm1a_evt_blk.addr(at), PM1A_EVENT_PORT, 32);
  s.pm1a_cnt_blk.set(mem, at, PM1A_CONTROL_PORT);
  s.pm1_cnt_len.set(mem, at, 2);
  ioRegister(mem, s.x_pm1a_cnt_blk.addr(at), PM1A_CONTROL_PORT, 16);
  s.p_lvl2_lat.set(mem, at, t.FADT_NO_C_STATE);
  s.p_lvl3_lat.set(mem, at, t.FADT_NO_C_STATE);
  s.iapc_boot_arch.set(mem, at, t.BOOT_ARCH_NO_VGA | t.BOOT_ARCH_NO_CMOS_RTC);
  const noButtons = t.FADT_PWR_BUTTON | t.FADT_SLP_BUTTON | t.FADT_FIX_RTC;
  s.flags.set(mem, at, t.FADT_WBINVD | t.FADT_PROC_C1 | noButtons);
  return image.seal(at);
}

function ioRegister(mem: Mem, at: number, port: number, bits: number): void {
  const s = t.generic_address;
  s.address_space_id.set(mem, at, t.ADDRESS_SPACE_SYSTEM_IO);
  s.register_bit_width.set(mem, at, bits);
  s.access_size.set(mem, at, t.ACCESS_WORD);
  s.address.set(mem, at, port);
}

/** A vCPU's APIC id is twice its number; its processor id is the number itself. */
function makeMadt(image: Image, vcpus: number, online: number): number {
  const { mem } = image;
  const small = Math.min(vcpus, (t.MAX_XAPIC_ID >> 1) + 1);
  const smallEnd = t.madt.$.size + small * t.madt_lapic.$.size;
  const at = image.table('APIC', t.MADT_REVISION, smallEnd + (vcpus - small) * t.madt_x2apic.$.size);
  t.madt.lapic_address.set(mem, at, LAPIC_DEFAULT_BASE);
  for (let id = 0; id < vcpus; id++) {
    const flags = id < online ? t.MADT_CPU_ENABLED : 0;
    if (id < small) lapicEntry(mem, at + t.madt.$.size + id * t.madt_lapic.$.size, id, flags);
    else x2apicEntry(mem, at + smallEnd + (id - small) * t.madt_x2apic.$.size, id, flags);
  }
  return image.seal(at);
}

function lapicEntry(mem: Mem, at: number, id: number, flags: number): void {
  const s = t.madt_lapic;
  s.type.set(mem, at, t.MADT_TYPE_LAPIC);
  s.length.set(mem, at, s.$.size);
  s.acpi_processor_id.set(mem, at, id);
  s.apic_id.set(mem, at, 2 * id);
  s.flags.set(mem, at, flags);
}

function x2apicEntry(mem: Mem, at: number, id: number, flags: number): void {
  const s = t.madt_x2apic;
  s.type.set(mem, at, t.MADT_TYPE_X2APIC);
  s.length.set(mem, at, s.$.size);
  s.x2apic_id.set(mem, at, 2 * id);
  s.flags.set(mem, at, flags);
  s.acpi_processor_uid.set(mem, at, id);
}

function makeXsdt(image: Image, tables: readonly number[]): number {
  const s = t.xsdt(tables.length);
  const at = image.table('XSDT', 1, s.$.size);
  tables.forEach((table, i) => {
    image.mem.setN64(s.entry.addr(at, i), image.base + table);
  });
  return image.seal(at);
}

function makeRsdp(image: Image, xsdt: number): number {
  const { mem } = image;
  const s = t.rsdp;
  const at = image.take(s.$.size, TABLE_ALIGN);
  image.text(s.signature.addr(at), 'RSD PTR ');
  image.text(s.oem_id.addr(at), OEM_ID);
  s.revision.set(mem, at, 2);
  s.length.set(mem, at, s.$.size);
  s.xsdt_address.set(mem, at, image.base + xsdt);
  image.sum(at, 20, s.checksum.addr(at));
  image.sum(at, s.$.size, s.extended_checksum.addr(at));
  return at;
}
