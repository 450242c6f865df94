/**
 * What a PVH kernel (or HVM firmware) finds at the physical address in EBX. The same in every width.
 *
 * @abi public/arch-x86/hvm/start_info.h
 */
import { n64, struct, u32 } from '../base/layout.ts';

export const XEN_HVM_START_MAGIC_VALUE = 0x336ec578;
export const XEN_HVM_MEMMAP_TYPE_RAM = 1;
export const XEN_HVM_MEMMAP_TYPE_RESERVED = 2;
export const XEN_HVM_MEMMAP_TYPE_ACPI = 3;
export const XEN_HVM_MEMMAP_TYPE_NVS = 4;
export const XEN_HVM_MEMMAP_TYPE_UNUSABLE = 5;
export const XEN_HVM_MEMMAP_TYPE_DISABLED = 6;
export const XEN_HVM_MEMMAP_TYPE_PMEM = 7;

/** `flags` are SIF_*; from version 1 on there is a memory map. */
export const hvm_start_info = struct('hvm_start_info', {
  magic: u32,
  version: u32,
  flags: u32,
  nr_modules: u32,
  modlist_paddr: n64,
  cmdline_paddr: n64,
  rsdp_paddr: n64,
  memmap_paddr: n64,
  memmap_entries: u32,
  reserved: u32,
});

export const hvm_modlist_entry = struct('hvm_modlist_entry', {
  paddr: n64,
  size: n64,
  cmdline_paddr: n64,
  reserved: n64,
});

export const hvm_memmap_table_entry = struct('hvm_memmap_table_entry', {
  addr: n64,
  size: n64,
  type: u32,
  reserved: u32,
});
