/**
 * xen_version: what the hypervisor says of itself. Operations answer 0, or the value itself for version and pagesize.
 *
 * @abi public/version.h
 */
import { block, struct, u32 } from '../base/layout.ts';
import { W32, W64, type Width } from './width.ts';

export const XENVER_version = 0;
export const XENVER_extraversion = 1;
export const XENVER_compile_info = 2;
export const XENVER_capabilities = 3;
export const XENVER_changeset = 4;
export const XENVER_platform_parameters = 5;
export const XENVER_get_features = 6;
export const XENVER_pagesize = 7;
export const XENVER_guest_handle = 8;
export const XENVER_commandline = 9;
export const XENVER_build_id = 10;

/** Sizes of the character-array arguments, NUL included. */
export const XEN_EXTRAVERSION_LEN = 16;
export const XEN_CAPABILITIES_INFO_LEN = 1024;
export const XEN_CHANGESET_INFO_LEN = 64;
export const XEN_COMMANDLINE_LEN = 1024;

export const xen_compile_info = struct('xen_compile_info', {
  compiler: block(64),
  compile_by: block(16),
  compile_domain: block(32),
  compile_date: block(32),
});

const platformParameters = (w: Width) => struct('xen_platform_parameters', { virt_start: w.handle });
export const xen_platform_parameters = platformParameters(W64);
export const xen_platform_parameters_32 = platformParameters(W32);

export const xen_feature_info = struct('xen_feature_info', { submap_idx: u32, submap: u32 });

/** `len` is the size of `buf`; the call answers the bytes written, or the size needed for a null pointer. */
export const xen_build_id = struct('xen_build_id', { len: u32, buf: block(0) });
