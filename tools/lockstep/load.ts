/** A PVH guest in the RAM of a rig, with its vCPU at the entry point. */
import { E820_RAM } from '../../src/abi/hvm_e820.ts';
import { cpuState, GPR, SEG } from '../../src/machine/cpu-state.ts';
import { type PvhImages, place, startInfo } from '../../src/toolstack/builder/pvh.ts';
import type { Rig } from './rig.ts';

const CR0_PE_ET = 0x11n;
const FLAT_CODE = 0xc9b;
const FLAT_DATA = 0xc93;
const LDT = 0x82;
const TSS_BUSY = 0x8b;
const ALL = 0xffff_ffff;

/** @xen docs/misc/pvh.pandoc */
export function loadPvh(rig: Rig, images: PvhImages): void {
  const layout = place(images, rig.ram.length);
  for (const { paddr, data } of images.kernel.segments) rig.write(paddr, data);
  if (images.ramdisk) rig.write(layout.ramdisk, images.ramdisk);
  const map = [{ addr: 0, size: rig.ram.length, type: E820_RAM }];
  rig.write(layout.startInfo, startInfo(images, layout, map, 0));
  const c = rig.core;
  for (const s of [SEG.es, SEG.ss, SEG.ds, SEG.fs, SEG.gs]) c.setSeg(s, 0, FLAT_DATA, ALL, 0);
  c.setSeg(SEG.cs, 0, FLAT_CODE, ALL, 0);
  c.setSeg(SEG.ldtr, 0, LDT, 0, 0);
  c.setSeg(SEG.tr, 0, TSS_BUSY, 0x67, 0);
  c.set(cpuState.cr0, CR0_PE_ET);
  c.set(cpuState.rip, BigInt(images.kernel.entry32!));
  c.setGpr(GPR.rbx, 8, BigInt(layout.startInfo));
  c.flags = 2;
  rig.engine.stateChanged(rig.cpu);
}
