/** What this hypervisor calls itself. The numbers are those of the Xen whose interfaces it has. */
export const XEN_VERSION = 4;
export const XEN_SUBVERSION = 17;
export const XEN_EXTRAVERSION = '.7';
export const XEN_COMPILER = 'TypeScript';
export const XEN_COMPILE_BY = 'domzero';
export const XEN_COMPILE_DOMAIN = 'localdomain';
export const XEN_COMPILE_DATE = 'Thu Jan  1 00:00:00 UTC 2026';
export const XEN_CHANGESET = '';
/** Guest types by which libxl decides what can be built. The trailing blank is Xen's. */
export const XEN_CAPABILITIES = 'hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ';
/** 20 bytes; stable, as nothing is linked. */
export const XEN_BUILD_ID = Uint8Array.from('domzero-4.17.7-build', (ch) => ch.charCodeAt(0));
export const XEN_BANNER = `Xen version ${XEN_VERSION}.${XEN_SUBVERSION}${XEN_EXTRAVERSION} (Domzero)`;
