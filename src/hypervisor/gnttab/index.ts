/** Grant tables: the face of the folder. Everything here is called with the hypervisor lock held. */
export { doGrantTableOp } from './op.ts';
export { destroyGrants, grantFrame, initGrants } from './table.ts';
