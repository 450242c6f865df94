/**
 * Memory maps: the 20-byte entries of XENMEM_memory_map, and where HVM firmware keeps its copy.
 *
 * @abi public/hvm/e820.h; ACPI specification, "Address Range Types"
 */
import { n64, packed, struct, u32 } from '../base/layout.ts';

export const HVM_E820_PAGE = 0x00090000;
export const HVM_E820_NR_OFFSET = 0x000001e8;
export const HVM_E820_OFFSET = 0x000002d0;
export const HVM_BELOW_4G_RAM_END = 0xf0000000;
export const HVM_BELOW_4G_MMIO_START = HVM_BELOW_4G_RAM_END;
export const HVM_BELOW_4G_MMIO_LENGTH = 0x10000000;

export const E820_RAM = 1;
export const E820_RESERVED = 2;
export const E820_ACPI = 3;
export const E820_NVS = 4;
export const E820_UNUSABLE = 5;

/** One entry, as BIOS INT 0x15, EAX=0xe820 answers; packed. */
export const e820entry = struct('e820entry', { addr: packed(n64, 4), size: packed(n64, 4), type: u32 });
