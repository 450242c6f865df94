/**
 * Where the toolstack puts things in the guest-physical space of PVH and HVM domains. Not an interface: guests learn of
 * these places through parameters, memory maps and tables; but tools, saved images and tests know them.
 *
 *   0x00000000  RAM (HVM: VGA hole at 0xa0000, BIOS below 1 MiB)
 *   0xf0000000  HVM: default start of the MMIO hole; PVH RAM goes on up to 0xfc000000
 *   0xfc000000  ACPI information page, tables from the next page on
 *   0xfec00000  HVM: IO-APIC; 0xfed00000 HPET; 0xfee00000 local APIC (PVH too)
 *   0xfeff0000  frames for additional ioreq servers, when there is a device model
 *   0xfeff8000  special pages, up to 0xff000000
 *   4 GiB       the rest of RAM
 *
 * @xen docs/misc/pvh.pandoc; the layout that Xen's own domain builder makes (tools/libs/guest, tools/libs/light)
 */
/** What of the space below 4 GiB is not RAM, by default. @abi public/hvm/e820.h HVM_BELOW_4G_RAM_END */
export const HVM_MMIO_START = 0xf0000000;
export const PVH_LOW_RAM_END = 0xfc000000;
export const HIGH_RAM_START = 0x1_0000_0000;

export const VGA_HOLE_START = 0xa0000;
export const VGA_HOLE_SIZE = 0x20000;

export const ACPI_INFO_PHYSICAL_ADDRESS = 0xfc000000;
export const ACPI_TABLES_PHYSICAL_ADDRESS = 0xfc001000;
/** For kernels without the feature linux_rsdp_unrestricted: just below 1 MiB. */
export const RSDP_LOW_ADDRESS = 0xfffdc;

/** Addresses that Xen promises never to use: free for shared_info and the like. */
export const HVM_FREE_START = 0xfe700000;
export const HVM_FREE_END = 0xfe800000;

export const IOAPIC_DEFAULT_BASE = 0xfec00000;
export const HPET_BASE_ADDRESS = 0xfed00000;
export const LAPIC_DEFAULT_BASE = 0xfee00000;

export const HVM_IOREQ_PAGES_START = 0xfeff0000;
export const HVM_NR_IOREQ_PAGES = 8;

export const HVM_SPECIAL_START = 0xfeff8000;
export const HVM_SPECIAL_END = 0xff000000;
export const HVM_NR_SPECIAL_PAGES = 8;

/** Index of each special page. */
export const HVM_SPECIALPAGE = {
  paging: 0,
  monitor: 1,
  sharing: 2,
  bufioreq: 3,
  xenstore: 4,
  ioreq: 5,
  identPt: 6,
  console: 7,
} as const;

/** Guest frame of a special page. */
export const specialGfn = (page: keyof typeof HVM_SPECIALPAGE): number =>
  HVM_SPECIAL_START / 4096 + HVM_SPECIALPAGE[page];
