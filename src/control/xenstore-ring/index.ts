/** XenStore over a domain's ring page. */
export { type RingClient, type RingKernel, RingTransport } from './ring-transport.ts';
