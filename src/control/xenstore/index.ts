/** XenStore: the daemon's core, and a client. */
export { connectLocal, XsAccess, XsClient, type XsStream, type XsWatch } from './client.ts';
export type { CloseReason, Connection, Transport } from './connection.ts';
export { domainBase, INTRODUCE_DOMAIN, RELEASE_DOMAIN } from './path.ts';
export { type Perm, type Perms, parsePerms, type Right } from './perms.ts';
export { defaultQuota, type Quota } from './quota.ts';
export { XenStore, type XenStoreOptions } from './store.ts';
export { XsError } from './wire.ts';
