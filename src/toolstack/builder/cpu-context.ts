/**
 * The state in which a PVH guest's first vCPU starts, as the save records that XEN_DOMCTL_sethvmcontext takes.
 *
 * @xen docs/misc/pvh.pandoc
 * @abi public/arch-x86/hvm/save.h
 */
import {
  HVM_FILE_MAGIC,
  HVM_FILE_VERSION,
  HVM_SAVE_CODE,
  hvm_hw_cpu,
  hvm_save_descriptor,
  hvm_save_header,
} from '../../abi/hvm_save.ts';
import { Mem } from '../../base/mem.ts';

const CR0_PE = 1;
const CR0_ET = 0x10;
const CODE_32 = 0xc9b;
const DATA_32 = 0xc93;
const TSS_BUSY = 0x8b;
const LDT = 0x82;

/** Flat 32-bit protected mode at `entry`, EBX pointing to the start info. */
export function pvhContext(entry: number, startInfo: number): Uint8Array {
  const d = hvm_save_descriptor;
  const size = 3 * d.$.size + hvm_save_header.$.size + hvm_hw_cpu.$.size;
  const m = Mem.alloc(size);
  let at = 0;
  const record = (typecode: number, length: number): number => {
    d.typecode.set(m, at, typecode);
    d.length.set(m, at, length);
    const body = at + d.$.size;
    at = body + length;
    return body;
  };
  const header = record(HVM_SAVE_CODE.HEADER, hvm_save_header.$.size);
  hvm_save_header.magic.set(m, header, HVM_FILE_MAGIC);
  hvm_save_header.version.set(m, header, HVM_FILE_VERSION);
  fillCpu(m, record(HVM_SAVE_CODE.CPU, hvm_hw_cpu.$.size), entry, startInfo);
  record(HVM_SAVE_CODE.END, 0);
  return m.copy(0, size);
}

function fillCpu(m: Mem, at: number, entry: number, startInfo: number): void {
  const c = hvm_hw_cpu;
  c.rip.set(m, at, BigInt(entry));
  c.rbx.set(m, at, BigInt(startInfo));
  c.rflags.set(m, at, 2n);
  c.cr0.set(m, at, BigInt(CR0_PE | CR0_ET));
  c.dr6.set(m, at, 0xffff_0ff0n);
  c.dr7.set(m, at, 0x400n);
  for (const limit of [c.cs_limit, c.ds_limit, c.es_limit, c.fs_limit, c.gs_limit, c.ss_limit])
    limit.set(m, at, 0xffff_ffff);
  c.tr_limit.set(m, at, 0x67);
  c.cs_arbytes.set(m, at, CODE_32);
  for (const arbytes of [c.ds_arbytes, c.es_arbytes, c.fs_arbytes, c.gs_arbytes, c.ss_arbytes])
    arbytes.set(m, at, DATA_32);
  c.tr_arbytes.set(m, at, TSS_BUSY);
  c.ldtr_arbytes.set(m, at, LDT);
}
