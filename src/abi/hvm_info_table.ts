/**
 * What the domain builder tells HVM firmware, at a fixed physical address. The bytes sum to 0.
 *
 * @abi public/hvm/hvm_info_table.h
 */
import { block, struct, u8, u32 } from '../base/layout.ts';

export const HVM_INFO_PFN = 0x09f;
export const HVM_INFO_OFFSET = 0x800;
export const HVM_INFO_PADDR = 0x9f800;
export const HVM_MAX_VCPUS = 128;

export const HVM_INFO_SIGNATURE = 'HVM INFO';

/** Frame numbers: RAM below 4 GiB ends, reserved space begins, RAM above 4 GiB ends (0: there is none). */
export const hvm_info_table = struct('hvm_info_table', {
  signature: block(8),
  length: u32,
  checksum: u8,
  apic_mode: u8,
  nr_vcpus: u32,
  low_mem_pgend: u32,
  reserved_mem_pgstart: u32,
  high_mem_pgend: u32,
  vcpu_online: block(HVM_MAX_VCPUS / 8),
});
