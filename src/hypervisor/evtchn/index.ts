/** Event channels: the face of the folder. Everything here is called with the hypervisor lock held. */
export { destroyEvtchns, initEvtchns } from './lifecycle.ts';
export { doEventChannelOp } from './op.ts';
export { evtchnPendingForPoll, raiseGlobalVirq, raiseVirq, sendEvent } from './send.ts';
export { recheckPending } from './upcall.ts';
