/**
 * callback_op and nmi_op: where a PV kernel is entered.
 *
 * @abi public/callback.h, public/nmi.h
 */
import { struct, u16, u32 } from '../base/layout.ts';
import { sn64, W32, W64, type Width } from './width.ts';

export const CALLBACKTYPE_event = 0;
export const CALLBACKTYPE_failsafe = 1;
export const CALLBACKTYPE_syscall = 2;
export const CALLBACKTYPE_sysenter_deprecated = 3;
export const CALLBACKTYPE_nmi = 4;
export const CALLBACKTYPE_sysenter = 5;
export const CALLBACKTYPE_syscall32 = 7;
export const CALLBACKF_mask_events = 1 << 0;
export const CALLBACKOP_register = 0;
export const CALLBACKOP_unregister = 1;

export const callback_register = struct('callback_register', { type: u16, flags: u16, address: sn64 });
export const callback_register_32 = struct('callback_register', {
  type: u16,
  flags: u16,
  address_cs: u32,
  address_eip: u32,
});

export const callback_unregister = struct('callback_unregister', { type: u16, _unused: u16 });

// Bits of arch_nmi_reason in shared_info.
export const XEN_NMIREASON_io_error = 1 << 0;
export const XEN_NMIREASON_pci_serr = 1 << 1;
export const XEN_NMIREASON_unknown = 1 << 2;
export const XENNMI_register_callback = 0;
export const XENNMI_unregister_callback = 1;

const nmiCallback = (w: Width) => struct('xennmi_callback', { handler_address: w.handle, pad: w.ulong });
export const xennmi_callback = nmiCallback(W64);
export const xennmi_callback_32 = nmiCallback(W32);
