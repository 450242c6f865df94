/**
 * vcpu_op: starting and stopping vCPUs, their timers, and the places where Xen keeps their times up to date.
 *
 * @abi public/vcpu.h
 */
import { array, s32, struct, u32 } from '../base/layout.ts';
import { W32, W64, type Width } from './width.ts';

export const VCPUOP_initialise = 0;
export const VCPUOP_up = 1;
export const VCPUOP_down = 2;
export const VCPUOP_is_up = 3;
export const VCPUOP_get_runstate_info = 4;
export const VCPUOP_register_runstate_memory_area = 5;
export const VCPUOP_set_periodic_timer = 6; // arg == vcpu_set_periodic_timer_t
export const VCPUOP_stop_periodic_timer = 7; // arg == NULL
export const VCPUOP_set_singleshot_timer = 8; // arg == vcpu_set_singleshot_timer_t
export const VCPUOP_stop_singleshot_timer = 9; // arg == NULL
export const VCPUOP_register_vcpu_info = 10; // arg == vcpu_register_vcpu_info_t
export const VCPUOP_send_nmi = 11;
export const VCPUOP_get_physid = 12; // arg == vcpu_get_physid_t
export const VCPUOP_register_vcpu_time_memory_area = 13;

export const RUNSTATE_running = 0;
export const RUNSTATE_runnable = 1;
export const RUNSTATE_blocked = 2;
export const RUNSTATE_offline = 3;

/** Set in state_entry_time while Xen updates the guest's copy, with VMASST_TYPE_runstate_update_flag. */
export const XEN_RUNSTATE_UPDATE = 1n << 63n;

export const VCPU_SSHOTTMR_future = 1 << 0;

const runstateInfo = (w: Width) =>
  struct('vcpu_runstate_info', { state: s32, state_entry_time: w.u64, time: array(w.n64, 4) });
export const vcpu_runstate_info = runstateInfo(W64);
export const vcpu_runstate_info_32 = runstateInfo(W32);

const registerRunstateArea = (w: Width) =>
  struct('vcpu_register_runstate_memory_area', { addr: w.handle }, 8);
export const vcpu_register_runstate_memory_area = registerRunstateArea(W64);
export const vcpu_register_runstate_memory_area_32 = registerRunstateArea(W32);

const setPeriodicTimer = (w: Width) => struct('vcpu_set_periodic_timer', { period_ns: w.n64 });
export const vcpu_set_periodic_timer = setPeriodicTimer(W64);
export const vcpu_set_periodic_timer_32 = setPeriodicTimer(W32);

/** timeout_abs_ns is system time. */
const setSingleshotTimer = (w: Width) =>
  struct('vcpu_set_singleshot_timer', { timeout_abs_ns: w.n64, flags: u32 });
export const vcpu_set_singleshot_timer = setSingleshotTimer(W64);
export const vcpu_set_singleshot_timer_32 = setSingleshotTimer(W32);

const registerVcpuInfo = (w: Width) =>
  struct('vcpu_register_vcpu_info', { mfn: w.n64, offset: u32, rsvd: u32 });
export const vcpu_register_vcpu_info = registerVcpuInfo(W64);
export const vcpu_register_vcpu_info_32 = registerVcpuInfo(W32);

/** The APIC id below, the ACPI id in the upper half. */
const getPhysid = (w: Width) => struct('vcpu_get_physid', { phys_id: w.u64 });
export const vcpu_get_physid = getPhysid(W64);
export const vcpu_get_physid_32 = getPhysid(W32);

const registerTimeArea = (w: Width) => struct('vcpu_register_time_memory_area', { addr: w.handle }, 8);
export const vcpu_register_time_memory_area = registerTimeArea(W64);
export const vcpu_register_time_memory_area_32 = registerTimeArea(W32);
