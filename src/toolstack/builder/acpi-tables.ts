/** The ACPI tables of a PVH domain as structures in memory. @spec ACPI 5.0 section 5.2 */
import { array, at, block, n64, nested, packed, struct, u8, u16, u32 } from '../../base/layout.ts';

/** What every table but RSDP and FACS starts with. */
export const sdt_header = struct('sdt_header', {
  signature: u32,
  length: u32,
  revision: u8,
  checksum: u8,
  oem_id: block(6),
  oem_table_id: block(8),
  oem_revision: u32,
  creator_id: u32,
  creator_revision: u32,
});

/** `checksum` is over the first 20 bytes, `extended_checksum` over all 36. */
export const rsdp = struct('rsdp', {
  signature: block(8),
  checksum: u8,
  oem_id: block(6),
  revision: u8,
  rsdt_address: u32,
  length: u32,
  xsdt_address: packed(n64, 4),
  extended_checksum: u8,
  reserved: block(3),
});

export const facs = struct(
  'facs',
  {
    signature: u32,
    length: u32,
    hardware_signature: u32,
    firmware_waking_vector: u32,
    global_lock: u32,
    flags: u32,
    x_firmware_waking_vector: n64,
    version: u8,
  },
  64,
);
export const FACS_ALIGN = 64;

/** Where a register is: in which address space, how many bits wide. */
export const generic_address = struct('generic_address', {
  address_space_id: u8,
  register_bit_width: u8,
  register_bit_offset: u8,
  access_size: u8,
  address: packed(n64, 4),
});
export const ADDRESS_SPACE_SYSTEM_IO = 1;
export const ACCESS_WORD = 2;

const register = packed(nested(generic_address));

/** The fields that are not zero for a guest; the others have no hardware behind them. */
export const fadt = struct(
  'fadt',
  {
    header: nested(sdt_header),
    firmware_ctrl: at(36, u32),
    dsdt: at(40, u32),
    sci_int: at(46, u16),
    pm1a_evt_blk: at(56, u32),
    pm1a_cnt_blk: at(64, u32),
    pm1_evt_len: at(88, u8),
    pm1_cnt_len: at(89, u8),
    p_lvl2_lat: at(96, u16),
    p_lvl3_lat: at(98, u16),
    iapc_boot_arch: at(109, packed(u16)),
    flags: at(112, u32),
    x_firmware_ctrl: at(132, packed(n64, 4)),
    x_dsdt: at(140, packed(n64, 4)),
    x_pm1a_evt_blk: at(148, register),
    x_pm1a_cnt_blk: at(172, register),
  },
  268,
);
export const FADT_REVISION = 5;

/** Latencies above 100 and 1000 us say that there is no C2 and C3 state. */
export const FADT_NO_C_STATE = 0xfff;
export const FADT_WBINVD = 1 << 0;
export const FADT_PROC_C1 = 1 << 2;
/** No fixed power button, no fixed sleep button, no wake-up by a fixed RTC register. */
export const FADT_PWR_BUTTON = 1 << 4;
export const FADT_SLP_BUTTON = 1 << 5;
export const FADT_FIX_RTC = 1 << 6;

export const BOOT_ARCH_NO_VGA = 1 << 2;
export const BOOT_ARCH_NO_CMOS_RTC = 1 << 5;

export const madt = struct('madt', {
  header: nested(sdt_header),
  lapic_address: u32,
  /** Bit 0: there are two 8259 PICs. */
  flags: u32,
});
export const MADT_REVISION = 2;

export const madt_lapic = struct('madt_lapic', {
  type: u8,
  length: u8,
  acpi_processor_id: u8,
  apic_id: u8,
  flags: u32,
});
export const MADT_TYPE_LAPIC = 0;

/** For an APIC id that the other kind cannot hold. */
export const madt_x2apic = struct('madt_x2apic', {
  type: u8,
  length: u8,
  reserved: u16,
  x2apic_id: u32,
  flags: u32,
  acpi_processor_uid: u32,
});
export const MADT_TYPE_X2APIC = 9;
export const MADT_CPU_ENABLED = 1;
/** The highest APIC id of a madt_lapic; 255 is the broadcast. */
export const MAX_XAPIC_ID = 254;

export const xsdt = (entries: number) =>
  struct('xsdt', { header: nested(sdt_header), entry: array(packed(n64, 4), entries) });
