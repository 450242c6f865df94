/**
 * hvm_op: parameters of an HVM or PVH domain and a few services for its kernel.
 *
 * @abi public/hvm/hvm_op.h
 */
import { block, struct, u8, u16, u32 } from '../base/layout.ts';
import { W32, W64, type Width } from './width.ts';

export const HVMOP_set_param = 0;
export const HVMOP_get_param = 1;
export const HVMOP_flush_tlbs = 5;
export const HVMOP_pagetable_dying = 9;
export const HVMOP_get_time = 10;
export const HVMOP_xentrace = 11;
export const HVMOP_set_mem_access = 12;
export const HVMOP_get_mem_access = 13;
export const HVMOP_get_mem_type = 15;
export const HVMOP_set_evtchn_upcall_vector = 23;
export const HVMOP_guest_request_vm_event = 24;
export const HVMOP_altp2m = 25;

export const HVMOP_ALTP2M_INTERFACE_VERSION = 0x00000001;
export const HVMOP_altp2m_get_domain_state = 1;
export const HVMOP_altp2m_set_domain_state = 2;
export const HVMOP_altp2m_vcpu_enable_notify = 3;
export const HVMOP_altp2m_create_p2m = 4;
export const HVMOP_altp2m_destroy_p2m = 5;
export const HVMOP_altp2m_switch_p2m = 6;
export const HVMOP_altp2m_set_mem_access = 7;
export const HVMOP_altp2m_change_gfn = 8;
export const HVMOP_altp2m_set_mem_access_multi = 9;
export const HVMOP_altp2m_set_suppress_ve = 10;
export const HVMOP_altp2m_get_suppress_ve = 11;
export const HVMOP_altp2m_get_mem_access = 12;
export const HVMOP_altp2m_vcpu_disable_notify = 13;
export const HVMOP_altp2m_get_p2m_idx = 14;
export const HVMOP_altp2m_set_suppress_ve_multi = 15;
export const HVMOP_altp2m_set_visibility = 16;

export const HVM_IOREQSRV_BUFIOREQ_OFF = 0;
export const HVM_IOREQSRV_BUFIOREQ_LEGACY = 1;
export const HVM_IOREQSRV_BUFIOREQ_ATOMIC = 2;

// hvmmem_type_t
export const HVMMEM_ram_rw = 0; // Normal RAM
export const HVMMEM_ram_ro = 1; // Writes are discarded
export const HVMMEM_mmio_dm = 2; // Accesses go to the device model
export const HVMMEM_unused = 3;
export const HVMMEM_ioreq_server = 4; // Writes go to an ioreq server

/** Indices and values: hvm_params.ts. */
const hvmParam = (w: Width) => struct('xen_hvm_param', { domid: u16, pad: u16, index: u32, value: w.u64 });
export const xen_hvm_param = hvmParam(W64);
export const xen_hvm_param_32 = hvmParam(W32);

const pagetableDying = (w: Width) =>
  struct('xen_hvm_pagetable_dying', { domid: u16, pad: block(6, 2), gpa: w.n64 });
export const xen_hvm_pagetable_dying = pagetableDying(W64);
export const xen_hvm_pagetable_dying_32 = pagetableDying(W32);

const getTime = (w: Width) => struct('xen_hvm_get_time', { /* OUT */ now: w.n64 });
export const xen_hvm_get_time = getTime(W64);
export const xen_hvm_get_time_32 = getTime(W32);

const getMemType = (w: Width) =>
  struct('xen_hvm_get_mem_type', { domid: u16, /* OUT */ mem_type: u16, pad: block(4, 2), pfn: w.n64 });
export const xen_hvm_get_mem_type = getMemType(W64);
export const xen_hvm_get_mem_type_32 = getMemType(W32);

/** `vector` is that of the vCPU's local APIC; 16 at least. */
export const xen_hvm_evtchn_upcall_vector = struct('xen_hvm_evtchn_upcall_vector', { vcpu: u32, vector: u8 });

/** `u` holds the argument of one HVMOP_altp2m_* command. */
const altp2mOp = (w: Width) =>
  struct('xen_hvm_altp2m_op', {
    version: u32,
    cmd: u32,
    domain: u16,
    pad1: u16,
    pad2: u32,
    u: block(64, w.u64.align),
  });
export const xen_hvm_altp2m_op = altp2mOp(W64);
export const xen_hvm_altp2m_op_32 = altp2mOp(W32);
