/**
 * The XenStore protocol: messages (a header and a payload) over a ring in a shared page or over a socket.
 *
 * @abi public/io/xs_wire.h
 */
import { block, struct, u32 } from '../base/layout.ts';

/** Message types; a reply has its request's, or XS_ERROR. */
export const XS_CONTROL = 0;
export const XS_DIRECTORY = 1;
export const XS_READ = 2;
export const XS_GET_PERMS = 3;
export const XS_WATCH = 4;
export const XS_UNWATCH = 5;
export const XS_TRANSACTION_START = 6;
export const XS_TRANSACTION_END = 7;
export const XS_INTRODUCE = 8;
export const XS_RELEASE = 9;
export const XS_GET_DOMAIN_PATH = 10;
export const XS_WRITE = 11;
export const XS_MKDIR = 12;
export const XS_RM = 13;
export const XS_SET_PERMS = 14;
export const XS_WATCH_EVENT = 15;
export const XS_ERROR = 16;
export const XS_IS_DOMAIN_INTRODUCED = 17;
export const XS_RESUME = 18;
export const XS_SET_TARGET = 19;
export const XS_RESET_WATCHES = 21;
export const XS_DIRECTORY_PART = 22;
export const XS_TYPE_COUNT = 23;
export const XS_INVALID = 0xffff;

/** Errors as their names, the payload of XS_ERROR. */
export const xsd_errors = [
  'EINVAL',
  'EACCES',
  'EEXIST',
  'EISDIR',
  'ENOENT',
  'ENOMEM',
  'ENOSPC',
  'EIO',
  'ENOTEMPTY',
  'ENOSYS',
  'EROFS',
  'EBUSY',
  'EAGAIN',
  'EISCONN',
  'E2BIG',
  'EPERM',
] as const;
export type XsdError = (typeof xsd_errors)[number];

export const XENSTORE_PAYLOAD_MAX = 4096;
export const XENSTORE_ABS_PATH_MAX = 3072;
export const XENSTORE_REL_PATH_MAX = 2048;
export const XENSTORE_RING_SIZE = 1024;

export const XENSTORE_SERVER_FEATURE_RECONNECTION = 1;
export const XENSTORE_SERVER_FEATURE_ERROR = 2;
// Values of `connection`.
export const XENSTORE_CONNECTED = 0; // the steady-state
export const XENSTORE_RECONNECT = 1; // reconnect in progress
// Values of `error`.
export const XENSTORE_ERROR_NONE = 0; // No error
export const XENSTORE_ERROR_COMM = 1; // Communication problem
export const XENSTORE_ERROR_RINGIDX = 2; // Invalid ring index
export const XENSTORE_ERROR_PROTO = 3; // Protocol violation (payload too long)

/** Strings in an XS_WATCH_EVENT, in this order. */
export const XS_WATCH_PATH = 0;
export const XS_WATCH_TOKEN = 1;

export const xsd_sockmsg = struct('xsd_sockmsg', { type: u32, req_id: u32, tx_id: u32, len: u32 });

/** The ring page. Indices run freely; a byte's place is its index modulo XENSTORE_RING_SIZE. */
export const xenstore_domain_interface = struct('xenstore_domain_interface', {
  req: block(XENSTORE_RING_SIZE),
  rsp: block(XENSTORE_RING_SIZE),
  req_cons: u32,
  req_prod: u32,
  rsp_cons: u32,
  rsp_prod: u32,
  server_features: u32,
  connection: u32,
  error: u32,
});
