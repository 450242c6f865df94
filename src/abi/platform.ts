/**
 * platform_op: services for the domain that owns the hardware.
 *
 * @abi public/platform.h
 */
import { block, struct, u32 } from '../base/layout.ts';
import { W32, W64, type Width } from './width.ts';

export const XENPF_INTERFACE_VERSION = 0x03000001;

export const XENPF_settime32 = 17;
export const XENPF_settime64 = 62;
export const XENPF_add_memtype = 31;
export const XENPF_del_memtype = 32;
export const XENPF_read_memtype = 33;
export const XENPF_microcode_update = 35;
export const XENPF_platform_quirk = 39;
export const XENPF_efi_runtime_call = 49;
export const XENPF_firmware_info = 50;
export const XENPF_enter_acpi_sleep = 51;
export const XENPF_change_freq = 52;
export const XENPF_getidletime = 53;
export const XENPF_set_processor_pminfo = 54;
export const XENPF_get_cpuinfo = 55;
export const XENPF_get_cpu_version = 48;
export const XENPF_cpu_online = 56;
export const XENPF_cpu_offline = 57;
export const XENPF_cpu_hotadd = 58;
export const XENPF_mem_hotadd = 59;
export const XENPF_core_parking = 60;
export const XENPF_resource_op = 61;
export const XENPF_get_symbol = 63;

/** The call's argument: `u` holds the structure of the command. */
const platformOp = (w: Width) =>
  struct('xen_platform_op', { cmd: u32, interface_version: u32, u: block(128, w.u64.align) });
export const xen_platform_op = platformOp(W64);
export const xen_platform_op_32 = platformOp(W32);

/** The wall clock that goes with a system time. */
const settime32 = (w: Width) => struct('xenpf_settime32', { secs: u32, nsecs: u32, system_time: w.n64 });
export const xenpf_settime32 = settime32(W64);
export const xenpf_settime32_32 = settime32(W32);

const settime64 = (w: Width) =>
  struct('xenpf_settime64', { secs: w.n64, nsecs: u32, mbz: u32, system_time: w.n64 });
export const xenpf_settime64 = settime64(W64);
export const xenpf_settime64_32 = settime64(W32);
