/**
 * States that the two ends of a split device write to their `state` keys in XenStore.
 *
 * @abi public/io/xenbus.h
 */
export const XenbusStateUnknown = 0;
export const XenbusStateInitialising = 1;
/** The back end waits for the front end's details. */
export const XenbusStateInitWait = 2;
/** Details are given; waiting for the other end to connect. */
export const XenbusStateInitialised = 3;
export const XenbusStateConnected = 4;
/** The device is being closed, by error or by command. */
export const XenbusStateClosing = 5;
export const XenbusStateClosed = 6;
export const XenbusStateReconfiguring = 7;
export const XenbusStateReconfigured = 8;

export const XENBUS_STATE_NAMES = [
  'Unknown',
  'Initialising',
  'InitWait',
  'Initialised',
  'Connected',
  'Closing',
  'Closed',
  'Reconfiguring',
  'Reconfigured',
] as const;
