/**
 * Grant tables: the entries by which a domain lets others use its pages, and grant_table_op, by which they do.
 *
 * @abi public/grant_table.h
 */
import { at, n64, s16, struct, u16, u32 } from '../base/layout.ts';
import { W32, W64, type Width } from './width.ts';

export const GNTTABOP_map_grant_ref = 0;
export const GNTTABOP_unmap_grant_ref = 1;
export const GNTTABOP_setup_table = 2;
export const GNTTABOP_dump_table = 3;
export const GNTTABOP_transfer = 4;
export const GNTTABOP_copy = 5;
export const GNTTABOP_query_size = 6;
export const GNTTABOP_unmap_and_replace = 7;
export const GNTTABOP_set_version = 8;
export const GNTTABOP_get_status_frames = 9;
export const GNTTABOP_get_version = 10;
export const GNTTABOP_swap_grant_ref = 11;
export const GNTTABOP_cache_flush = 12;

// The first entries survive a change of version and may be filled by the domain builder.
export const GNTTAB_NR_RESERVED_ENTRIES = 8;
export const GNTTAB_RESERVED_CONSOLE = 0;
export const GNTTAB_RESERVED_XENSTORE = 1;

// Entry flags: the type in bits 1:0, then who may do and who does what.
export const GTF_invalid = 0;
export const GTF_permit_access = 1;
export const GTF_accept_transfer = 2;
export const GTF_transitive = 3;
export const GTF_type_mask = 3;
export const GTF_readonly = 1 << 2;
export const GTF_reading = 1 << 3;
export const GTF_writing = 1 << 4;
export const GTF_PWT = 1 << 5;
export const GTF_PCD = 1 << 6;
export const GTF_PAT = 1 << 7;
export const GTF_sub_page = 1 << 8;
// With GTF_accept_transfer:
export const GTF_transfer_committed = 1 << 2;
export const GTF_transfer_completed = 1 << 3;

export const GNTMAP_device_map = 1 << 0;
export const GNTMAP_host_map = 1 << 1;
export const GNTMAP_readonly = 1 << 2;
export const GNTMAP_application_map = 1 << 3;
export const GNTMAP_contains_pte = 1 << 4;
export const GNTMAP_guest_avail_mask = 0xffff0000;

export const GNTCOPY_source_gref = 1 << 0;
export const GNTCOPY_dest_gref = 1 << 1;

export const GNTTAB_CACHE_CLEAN = 1 << 0;
export const GNTTAB_CACHE_INVAL = 1 << 1;
export const GNTTAB_CACHE_SOURCE_GREF = 0x80000000;

// Status of each operation; the hypercall itself fails only for bad pointers and commands.
export const GNTST_okay = 0; // Normal return.
export const GNTST_general_error = -1; // General undefined error.
export const GNTST_bad_domain = -2; // Unrecognsed domain id.
export const GNTST_bad_gntref = -3; // Unrecognised or inappropriate gntref.
export const GNTST_bad_handle = -4; // Unrecognised or inappropriate handle.
export const GNTST_bad_virt_addr = -5; // Inappropriate virtual address to map.
export const GNTST_bad_dev_addr = -6; // Inappropriate device address to unmap.
export const GNTST_no_device_space = -7; // Out of space in I/O MMU.
export const GNTST_permission_denied = -8; // Not enough privilege for operation.
export const GNTST_bad_page = -9; // Specified page was invalid for op.
export const GNTST_bad_copy_arg = -10; // copy arguments cross page boundary.
export const GNTST_address_too_big = -11; // transfer page address too large.
export const GNTST_eagain = -12; // Operation not done; try again.
export const GNTST_no_space = -13; // Out of space (handles etc).

export const grant_entry_v1 = struct('grant_entry_v1', { flags: u16, domid: u16, frame: u32 });

export const grant_entry_header = struct('grant_entry_header', { flags: u16, domid: u16 });

/** Which fields are valid behind the header depends on the type and GTF_sub_page. */
export const grant_entry_v2 = struct('grant_entry_v2', {
  flags: u16,
  domid: u16,
  full_page_frame: at(8, n64),
  sub_page_page_off: at(4, u16),
  sub_page_length: u16,
  sub_page_frame: n64,
  transitive_trans_domid: at(4, u16),
  transitive_gref: at(8, u32),
});

/** `host_addr` is a linear or guest-physical address, or with GNTMAP_contains_pte a PTE's machine address. */
const mapGrantRef = (w: Width) =>
  struct('gnttab_map_grant_ref', {
    host_addr: w.va,
    flags: u32,
    ref: u32,
    dom: u16,
    /* OUT */ status: s16,
    /* OUT */ handle: u32,
    /* OUT */ dev_bus_addr: w.n64,
  });
export const gnttab_map_grant_ref = mapGrantRef(W64);
export const gnttab_map_grant_ref_32 = mapGrantRef(W32);

const unmapGrantRef = (w: Width) =>
  struct('gnttab_unmap_grant_ref', {
    host_addr: w.va,
    dev_bus_addr: w.n64,
    handle: u32,
    /* OUT */ status: s16,
  });
export const gnttab_unmap_grant_ref = unmapGrantRef(W64);
export const gnttab_unmap_grant_ref_32 = unmapGrantRef(W32);

const setupTable = (w: Width) =>
  struct('gnttab_setup_table', { dom: u16, nr_frames: u32, /* OUT */ status: s16, frame_list: w.handle });
export const gnttab_setup_table = setupTable(W64);
export const gnttab_setup_table_32 = setupTable(W32);

export const gnttab_dump_table = struct('gnttab_dump_table', { dom: u16, /* OUT */ status: s16 });

const transfer = (w: Width) =>
  struct('gnttab_transfer', { mfn: w.ulong, domid: u16, ref: u32, /* OUT */ status: s16 });
export const gnttab_transfer = transfer(W64);
export const gnttab_transfer_32 = transfer(W32);

/** Each side is a grant reference (GNTCOPY_*_gref) or a frame of domain `domid`. */
const copy = (w: Width) => {
  const dest = w.bits / 4;
  return struct('gnttab_copy', {
    source_ref: u32,
    source_gmfn: at(0, w.ulong),
    source_domid: u16,
    source_offset: u16,
    dest_ref: at(dest, u32),
    dest_gmfn: at(dest, w.ulong),
    dest_domid: u16,
    dest_offset: u16,
    len: at(2 * dest, u16),
    flags: u16,
    /* OUT */ status: s16,
  });
};
export const gnttab_copy = copy(W64);
export const gnttab_copy_32 = copy(W32);

export const gnttab_query_size = struct('gnttab_query_size', {
  dom: u16,
  /* OUT */ nr_frames: u32,
  /* OUT */ max_nr_frames: u32,
  /* OUT */ status: s16,
});

const unmapAndReplace = (w: Width) =>
  struct('gnttab_unmap_and_replace', { host_addr: w.va, new_addr: w.va, handle: u32, /* OUT */ status: s16 });
export const gnttab_unmap_and_replace = unmapAndReplace(W64);
export const gnttab_unmap_and_replace_32 = unmapAndReplace(W32);

/** IN the version asked for, OUT the one in force. */
export const gnttab_set_version = struct('gnttab_set_version', { version: u32 });

/** `frame_list` takes 64-bit frame numbers in either width. */
const getStatusFrames = (w: Width) =>
  struct('gnttab_get_status_frames', {
    nr_frames: u32,
    dom: u16,
    /* OUT */ status: s16,
    frame_list: w.handle,
  });
export const gnttab_get_status_frames = getStatusFrames(W64);
export const gnttab_get_status_frames_32 = getStatusFrames(W32);

export const gnttab_get_version = struct('gnttab_get_version', {
  dom: u16,
  pad: u16,
  /* OUT */ version: u32,
});

export const gnttab_swap_grant_ref = struct('gnttab_swap_grant_ref', {
  ref_a: u32,
  ref_b: u32,
  /* OUT */ status: s16,
});

const cacheFlush = (w: Width) =>
  struct('gnttab_cache_flush', { dev_bus_addr: w.n64, offset: u16, length: u16, op: u32, ref: at(0, u32) });
export const gnttab_cache_flush = cacheFlush(W64);
export const gnttab_cache_flush_32 = cacheFlush(W32);
