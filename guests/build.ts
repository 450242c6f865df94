/** The guests by name, and their ELF images. */
import { writeElf } from './elf.ts';
import { Guest, LAYOUT, LOAD_ADDRESS } from './guest.ts';
import { faultProbe } from './programs/fault-probe.ts';
import { hello } from './programs/hello.ts';
import { hypercallProbe } from './programs/hypercall-probe.ts';
import { crash, flood, reboot, silent, tripleFault } from './programs/simple.ts';
import { emitGuest } from './runtime.ts';

interface Recipe {
  bits: 32 | 64;
  program: (g: Guest) => void;
}

export const GUESTS = {
  hello: { bits: 64, program: hello },
  hello32: { bits: 32, program: hello },
  'hypercall-probe': { bits: 64, program: hypercallProbe },
  'hypercall-probe32': { bits: 32, program: hypercallProbe },
  'fault-probe': { bits: 64, program: faultProbe },
  'triple-fault': { bits: 64, program: tripleFault },
  silent: { bits: 32, program: silent },
  flood: { bits: 64, program: flood },
  crash: { bits: 64, program: crash },
  reboot: { bits: 64, program: reboot },
} as const satisfies Record<string, Recipe>;

export type GuestName = keyof typeof GUESTS;
export const GUEST_NAMES = Object.keys(GUESTS) as GuestName[];

/** An ELF image that boots as PVH (`kernel=`, type "pvh") or in place of hvmloader (`firmware_override`). */
export function buildGuest(name: GuestName): Uint8Array {
  const { bits, program } = GUESTS[name];
  const g = new Guest(bits);
  emitGuest(g, program);
  const data = g.finish();
  const bss = LAYOUT.end - LOAD_ADDRESS - data.length;
  return writeElf({ bits: 32, address: LOAD_ADDRESS, entry: g.a.addressOf('rt.entry'), data, bss });
}
