/**
 * physdev_op: interrupts, I/O privilege and PCI devices of domains that have hardware.
 *
 * @abi public/physdev.h
 */
import { s32, struct, u8, u16, u32 } from '../base/layout.ts';
import { W32, W64, type Width } from './width.ts';

export const PHYSDEVOP_eoi = 12;
export const PHYSDEVOP_pirq_eoi_gmfn_v1 = 17;
export const PHYSDEVOP_pirq_eoi_gmfn_v2 = 28;
export const PHYSDEVOP_irq_status_query = 5;
export const PHYSDEVOP_set_iopl = 6;
export const PHYSDEVOP_set_iobitmap = 7;
export const PHYSDEVOP_apic_read = 8;
export const PHYSDEVOP_apic_write = 9;
export const PHYSDEVOP_alloc_irq_vector = 10;
export const PHYSDEVOP_free_irq_vector = 11;
export const PHYSDEVOP_map_pirq = 13;
export const PHYSDEVOP_unmap_pirq = 14;
export const PHYSDEVOP_manage_pci_add = 15;
export const PHYSDEVOP_manage_pci_remove = 16;
export const PHYSDEVOP_restore_msi = 19;
export const PHYSDEVOP_manage_pci_add_ext = 20;
export const PHYSDEVOP_setup_gsi = 21;
export const PHYSDEVOP_get_free_pirq = 23;
export const PHYSDEVOP_pci_mmcfg_reserved = 24;
export const PHYSDEVOP_pci_device_add = 25;
export const PHYSDEVOP_pci_device_remove = 26;
export const PHYSDEVOP_restore_msi_ext = 27;
export const PHYSDEVOP_prepare_msix = 30;
export const PHYSDEVOP_release_msix = 31;
export const PHYSDEVOP_dbgp_op = 29;
export const PHYSDEVOP_IRQ_UNMASK_NOTIFY = 4;

export const XENIRQSTAT_needs_eoi = 1 << 0;
export const XENIRQSTAT_shared = 1 << 1;
export const MAP_PIRQ_TYPE_MSI = 0x0;
export const MAP_PIRQ_TYPE_GSI = 0x1;
export const MAP_PIRQ_TYPE_UNKNOWN = 0x2;
export const MAP_PIRQ_TYPE_MSI_SEG = 0x3;
export const MAP_PIRQ_TYPE_MULTI_MSI = 0x4;
export const XEN_PCI_MMCFG_RESERVED = 0x1;
export const XEN_PCI_DEV_EXTFN = 0x1;
export const XEN_PCI_DEV_VIRTFN = 0x2;
export const XEN_PCI_DEV_PXM = 0x4;
export const PHYSDEVOP_DBGP_RESET_PREPARE = 1;
export const PHYSDEVOP_DBGP_RESET_DONE = 2;
export const PHYSDEVOP_DBGP_BUS_UNKNOWN = 0;
export const PHYSDEVOP_DBGP_BUS_PCI = 1;

export const physdev_eoi = struct('physdev_eoi', { irq: u32 });

const pirqEoiGmfn = (w: Width) => struct('physdev_pirq_eoi_gmfn', { gmfn: w.ulong });
export const physdev_pirq_eoi_gmfn = pirqEoiGmfn(W64);
export const physdev_pirq_eoi_gmfn_32 = pirqEoiGmfn(W32);

export const physdev_irq_status_query = struct('physdev_irq_status_query', {
  irq: u32,
  /* OUT */ flags: u32,
});

export const physdev_set_iopl = struct('physdev_set_iopl', { iopl: u32 });

const setIobitmap = (w: Width) => struct('physdev_set_iobitmap', { bitmap: w.handle, nr_ports: u32 });
export const physdev_set_iobitmap = setIobitmap(W64);
export const physdev_set_iobitmap_32 = setIobitmap(W32);

const apic = (w: Width) => struct('physdev_apic', { apic_physbase: w.ulong, reg: u32, value: u32 });
export const physdev_apic = apic(W64);
export const physdev_apic_32 = apic(W32);

export const physdev_irq = struct('physdev_irq', { irq: u32, /* OUT */ vector: u32 });

const mapPirq = (w: Width) =>
  struct('physdev_map_pirq', {
    domid: u16,
    type: s32,
    index: s32,
    pirq: s32,
    bus: s32,
    devfn: s32,
    entry_nr: s32,
    table_base: w.n64,
  });
export const physdev_map_pirq = mapPirq(W64);
export const physdev_map_pirq_32 = mapPirq(W32);

export const physdev_unmap_pirq = struct('physdev_unmap_pirq', { domid: u16, pirq: s32 });

export const physdev_setup_gsi = struct('physdev_setup_gsi', { gsi: s32, triggering: u8, polarity: u8 });

export const physdev_get_free_pirq = struct('physdev_get_free_pirq', { type: s32, /* OUT */ pirq: u32 });

const mmcfgReserved = (w: Width) =>
  struct('physdev_pci_mmcfg_reserved', {
    address: w.n64,
    segment: u16,
    start_bus: u8,
    end_bus: u8,
    flags: u32,
  });
export const physdev_pci_mmcfg_reserved = mmcfgReserved(W64);
export const physdev_pci_mmcfg_reserved_32 = mmcfgReserved(W32);

/** Followed by an optional u32, the device's proximity domain, with XEN_PCI_DEV_PXM. */
export const physdev_pci_device_add = struct(
  'physdev_pci_device_add',
  {
    seg: u16,
    bus: u8,
    devfn: u8,
    flags: u32,
    physfn_bus: u8,
    physfn_devfn: u8,
  },
  12,
);

export const physdev_pci_device = struct('physdev_pci_device', { seg: u16, bus: u8, devfn: u8 });

export const physdev_dbgp_op = struct('physdev_dbgp_op', {
  op: u8,
  bus: u8,
  pci_seg: u16,
  pci_bus: u8,
  pci_devfn: u8,
});
