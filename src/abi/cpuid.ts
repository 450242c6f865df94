/**
 * The CPUID leaves by which a guest finds Xen, from XEN_CPUID_FIRST_LEAF on (or a multiple of 0x100 above, where
 * another hypervisor's leaves come first):
 *
 *   +0  EAX last leaf, EBX ECX EDX signature
 *   +1  EAX major << 16 | minor version
 *   +2  EAX number of hypercall pages (1), EBX base of Xen's MSRs, ECX XEN_CPUID_FEAT1_*
 *   +3  time. 0: EAX flags, EBX tsc_mode, ECX guest kHz, EDX incarnation; 1: EAX, EBX offset, ECX multiplier, EDX shift;
 *       2: EAX host kHz
 *   +4  HVM and PVH: EAX XEN_HVM_CPUID_*, EBX vCPU id, ECX domain id
 *   +5  PV: EBX 7:0 machine address width
 *
 * @abi public/arch-x86/cpuid.h
 */
export const XEN_CPUID_FIRST_LEAF = 0x40000000;
export const XEN_CPUID_SIGNATURE_EBX = 0x566e6558; // "XenV"
export const XEN_CPUID_SIGNATURE_ECX = 0x65584d4d; // "MMXe"
export const XEN_CPUID_SIGNATURE_EDX = 0x4d4d566e; // "nVMM"
export const XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD = 1 << 0;
export const XEN_CPUID_MACHINE_ADDRESS_WIDTH_MASK = 0xff;
export const XEN_CPUID_MAX_NUM_LEAVES = 5;
export const XEN_HVM_CPUID_APIC_ACCESS_VIRT = 1 << 0; // Virtualized APIC registers
export const XEN_HVM_CPUID_X2APIC_VIRT = 1 << 1; // Virtualized x2APIC accesses
export const XEN_HVM_CPUID_IOMMU_MAPPINGS = 1 << 2;
export const XEN_HVM_CPUID_VCPU_ID_PRESENT = 1 << 3; // vcpu id is present in EBX
export const XEN_HVM_CPUID_DOMID_PRESENT = 1 << 4; // domid is present in ECX
export const XEN_HVM_CPUID_EXT_DEST_ID = 1 << 5;
export const XEN_HVM_CPUID_UPCALL_VECTOR = 1 << 6;

/** Default of leaf +2 EBX: writing a guest-physical address to this MSR makes a hypercall page there. */
export const XEN_HYPERCALL_MSR = 0x40000000;
