/** Branded integers: mixing two kinds does not compile, and costs nothing at run time. */
declare const brand: unique symbol;
export type Brand<B extends string> = number & { readonly [brand]: B };

/** Machine frame number: machine address >> 12. */
export type Mfn = Brand<'mfn'>;
/** Guest frame number: guest-physical address >> 12 for HVM and PVH, the mfn for PV. */
export type Gfn = Brand<'gfn'>;
/** Machine address: an offset in machine memory. */
export type Maddr = Brand<'maddr'>;
/** Guest-physical address. */
export type Gpa = Brand<'gpa'>;
export type Domid = Brand<'domid'>;
export type EvtchnPort = Brand<'evtchn'>;
export type GrantRef = Brand<'gref'>;

export const mfn = (n: number): Mfn => n as Mfn;
export const gfn = (n: number): Gfn => n as Gfn;
export const maddr = (n: number): Maddr => n as Maddr;
export const gpa = (n: number): Gpa => n as Gpa;
export const domid = (n: number): Domid => n as Domid;
export const evtchnPort = (n: number): EvtchnPort => n as EvtchnPort;
export const grantRef = (n: number): GrantRef => n as GrantRef;

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
