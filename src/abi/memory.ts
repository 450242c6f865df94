/**
 * memory_op: reservations, the physical map, memory maps, and frames of special resources.
 *
 * @abi public/memory.h
 */
import { at, n64, nested, struct, u8, u16, u32 } from '../base/layout.ts';
import { W32, W64, type Width } from './width.ts';

export const XENMEM_increase_reservation = 0;
export const XENMEM_decrease_reservation = 1;
export const XENMEM_populate_physmap = 6;
export const XENMEM_exchange = 11;
export const XENMEM_maximum_ram_page = 2;
export const XENMEM_current_reservation = 3;
export const XENMEM_maximum_reservation = 4;
export const XENMEM_maximum_gpfn = 14;
export const XENMEM_machphys_mfn_list = 5;
export const XENMEM_machphys_compat_mfn_list = 25;
export const XENMEM_machphys_mapping = 12;
export const XENMEM_add_to_physmap = 7;
export const XENMEM_add_to_physmap_batch = 23;
export const XENMEM_remove_from_physmap = 15;
export const XENMEM_memory_map = 9;
export const XENMEM_machine_memory_map = 10;
export const XENMEM_set_memory_map = 13;
export const XENMEM_set_pod_target = 16;
export const XENMEM_get_pod_target = 17;
export const XENMEM_get_sharing_freed_pages = 18;
export const XENMEM_get_sharing_shared_pages = 19;
export const XENMEM_paging_op = 20;
export const XENMEM_access_op = 21;
export const XENMEM_sharing_op = 22;
export const XENMEM_claim_pages = 24;
export const XENMEM_reserved_device_memory_map = 27;
export const XENMEM_acquire_resource = 28;
export const XENMEM_get_vnumainfo = 26;
export const XENMEM_paging_op_nominate = 0;
export const XENMEM_paging_op_evict = 1;
export const XENMEM_paging_op_prep = 2;
export const XENMEM_access_op_set_access = 0;
export const XENMEM_access_op_get_access = 1;
export const XENMEM_access_op_set_access_multi = 4;
export const XENMEM_sharing_op_nominate_gfn = 0;
export const XENMEM_sharing_op_nominate_gref = 1;
export const XENMEM_sharing_op_share = 2;
export const XENMEM_sharing_op_debug_gfn = 3;
export const XENMEM_sharing_op_debug_mfn = 4;
export const XENMEM_sharing_op_debug_gref = 5;
export const XENMEM_sharing_op_add_physmap = 6;
export const XENMEM_sharing_op_audit = 7;
export const XENMEM_sharing_op_range_share = 8;
export const XENMEM_sharing_op_fork = 9;
export const XENMEM_sharing_op_fork_reset = 10;

/** The command's low six bits are the operation; above is where a continuation goes on. */
export const MEMOP_CMD_MASK = 0x3f;
export const MEMOP_EXTENT_SHIFT = 6;

// Flags of a reservation; bits 7:0 limit the address width, 15:8 are the node + 1.
export const XENMEMF_populate_on_demand = 1 << 16;
export const XENMEMF_exact_node_request = 1 << 17;
export const XENMEMF_vnode = 1 << 18;

export const XENMAPSPACE_shared_info = 0; // shared info page
export const XENMAPSPACE_grant_table = 1; // grant table page
export const XENMAPSPACE_gmfn = 2; // GMFN
export const XENMAPSPACE_gmfn_range = 3; // GMFN range, XENMEM_add_to_physmap only.
export const XENMAPSPACE_gmfn_foreign = 4;
export const XENMAPSPACE_dev_mmio = 5;
/** Bit of an index in XENMAPSPACE_grant_table: a frame of the v2 status array. */
export const XENMAPIDX_grant_table_status = 0x80000000;

export const XENMEM_resource_ioreq_server = 0;
export const XENMEM_resource_grant_table = 1;
export const XENMEM_resource_vmtrace_buf = 2;
export const XENMEM_resource_grant_table_id_shared = 0;
export const XENMEM_resource_grant_table_id_status = 1;
export const XENMEM_resource_ioreq_server_frame_bufioreq = 0;
/** ioreq server frames: this one, then one of synchronous requests for each 128 vCPUs. */
export const XENMEM_resource_ioreq_server_frame_ioreq0 = 1;

export const XENMEM_RDM_ALL = 1; // Request all regions (ignore dev union).

export const XENMEM_SHARING_OP_S_HANDLE_INVALID = -10;
export const XENMEM_SHARING_OP_C_HANDLE_INVALID = -9;

/** xenmem_access_t: what a guest may do with a page before the monitor hears of it. */
export const XENMEM_access_n = 0;
export const XENMEM_access_r = 1;
export const XENMEM_access_w = 2;
export const XENMEM_access_rw = 3;
export const XENMEM_access_x = 4;
export const XENMEM_access_rx = 5;
export const XENMEM_access_wx = 6;
export const XENMEM_access_rwx = 7;
export const XENMEM_access_rx2rw = 8;
export const XENMEM_access_n2rwx = 9;
export const XENMEM_access_default = 10;

const memoryReservation = (w: Width) =>
  struct('xen_memory_reservation', {
    extent_start: w.handle,
    nr_extents: w.ulong,
    extent_order: u32,
    mem_flags: u32,
    domid: u16,
  });
export const xen_memory_reservation = memoryReservation(W64);
export const xen_memory_reservation_32 = memoryReservation(W32);

const memoryExchange = (w: Width) => {
  const reservation = nested(w.bits === 64 ? xen_memory_reservation : xen_memory_reservation_32);
  return struct('xen_memory_exchange', { in: reservation, out: reservation, nr_exchanged: w.ulong });
};
export const xen_memory_exchange = memoryExchange(W64);
export const xen_memory_exchange_32 = memoryExchange(W32);

/** Argument of current_reservation, maximum_reservation and maximum_gpfn. */
export const xen_memory_domain = struct('xen_memory_domain', { domid: u16 });

const machphysMfnList = (w: Width) =>
  struct('xen_machphys_mfn_list', { max_extents: u32, extent_start: w.handle, /* OUT */ nr_extents: u32 });
export const xen_machphys_mfn_list = machphysMfnList(W64);
export const xen_machphys_mfn_list_32 = machphysMfnList(W32);

const machphysMapping = (w: Width) =>
  struct('xen_machphys_mapping', { v_start: w.handle, v_end: w.handle, max_mfn: w.ulong });
export const xen_machphys_mapping = machphysMapping(W64);
export const xen_machphys_mapping_32 = machphysMapping(W32);

/** `size` counts only for XENMAPSPACE_gmfn_range. */
const addToPhysmap = (w: Width) =>
  struct('xen_add_to_physmap', { domid: u16, size: u16, space: u32, idx: w.ulong, gpfn: w.ulong });
export const xen_add_to_physmap = addToPhysmap(W64);
export const xen_add_to_physmap_32 = addToPhysmap(W32);

/** Arrays of xen_ulong_t, xen_pfn_t and int; foreign_domid counts only for XENMAPSPACE_gmfn_foreign. */
const addToPhysmapBatch = (w: Width) =>
  struct('xen_add_to_physmap_batch', {
    domid: u16,
    space: u16,
    size: u16,
    foreign_domid: u16,
    idxs: w.handle,
    gpfns: w.handle,
    errs: w.handle,
  });
export const xen_add_to_physmap_batch = addToPhysmapBatch(W64);
export const xen_add_to_physmap_batch_32 = addToPhysmapBatch(W32);

const removeFromPhysmap = (w: Width) => struct('xen_remove_from_physmap', { domid: u16, gpfn: w.ulong });
export const xen_remove_from_physmap = removeFromPhysmap(W64);
export const xen_remove_from_physmap_32 = removeFromPhysmap(W32);

/** nr_entries: IN room in the buffer, OUT entries of 20 bytes (see hvm_e820.ts) stored. */
const memoryMap = (w: Width) => struct('xen_memory_map', { nr_entries: u32, buffer: w.handle });
export const xen_memory_map = memoryMap(W64);
export const xen_memory_map_32 = memoryMap(W32);

const foreignMemoryMap = (w: Width) =>
  struct('xen_foreign_memory_map', {
    domid: u16,
    map_nr_entries: at(w.bits / 8, u32),
    map_buffer: w.handle,
  });
export const xen_foreign_memory_map = foreignMemoryMap(W64);
export const xen_foreign_memory_map_32 = foreignMemoryMap(W32);

const podTarget = (w: Width) =>
  struct('xen_pod_target', {
    target_pages: w.n64,
    /* OUT */ tot_pages: w.n64,
    /* OUT */ pod_cache_pages: w.n64,
    /* OUT */ pod_entries: w.n64,
    domid: u16,
  });
export const xen_pod_target = podTarget(W64);
export const xen_pod_target_32 = podTarget(W32);

const memAccessOp = (w: Width) =>
  struct('xen_mem_access_op', {
    op: u8,
    access: u8,
    domid: u16,
    nr: u32,
    pfn: n64,
    pfn_list: w.handle,
    access_list: w.handle,
  });
export const xen_mem_access_op = memAccessOp(W64);
export const xen_mem_access_op_32 = memAccessOp(W32);

const reservedDeviceMemory = (w: Width) =>
  struct('xen_reserved_device_memory', { start_pfn: w.ulong, nr_pages: w.ulong });
export const xen_reserved_device_memory = reservedDeviceMemory(W64);
export const xen_reserved_device_memory_32 = reservedDeviceMemory(W32);

const reservedDeviceMemoryMap = (w: Width) =>
  struct('xen_reserved_device_memory_map', {
    flags: u32,
    nr_entries: u32,
    buffer: w.handle,
    pci_seg: u16,
    pci_bus: u8,
    pci_devfn: u8,
  });
export const xen_reserved_device_memory_map = reservedDeviceMemoryMap(W64);
export const xen_reserved_device_memory_map_32 = reservedDeviceMemoryMap(W32);

/** frame_list: IN the gfns to map at (auto-translated callers), OUT the mfns (PV callers). */
const memAcquireResource = (w: Width) =>
  struct('xen_mem_acquire_resource', {
    domid: u16,
    type: u16,
    id: u32,
    nr_frames: u32,
    pad: u32,
    frame: w.n64,
    frame_list: w.handle,
  });
export const xen_mem_acquire_resource = memAcquireResource(W64);
export const xen_mem_acquire_resource_32 = memAcquireResource(W32);

const vmemrange = (w: Width) => struct('xen_vmemrange', { start: w.n64, end: w.n64, flags: u32, nid: u32 });
export const xen_vmemrange = vmemrange(W64);
export const xen_vmemrange_32 = vmemrange(W32);

/** Each handle has eight bytes in either width. */
const vnumaTopologyInfo = (w: Width) =>
  struct(
    'xen_vnuma_topology_info',
    {
      domid: u16,
      pad: u16,
      nr_vnodes: u32,
      nr_vcpus: u32,
      nr_vmemranges: u32,
      vdistance: at(16, w.handle),
      vcpu_to_vnode: at(24, w.handle),
      vmemrange: at(32, w.handle),
    },
    40,
  );
export const xen_vnuma_topology_info = vnumaTopologyInfo(W64);
export const xen_vnuma_topology_info_32 = vnumaTopologyInfo(W32);
