/** What the requests work with: the state of the daemon, and its ways to the outside. */
import type { XsdError } from '../../abi/io_xs_wire.ts';
import type { Logger } from '../../base/log.ts';
import type { Connection } from './connection.ts';
import type { Who } from './perms.ts';
import type { Quota } from './quota.ts';
import type { Tree } from './tree.ts';
import type { WatchEvent, Watches } from './watches.ts';

/** A domain whose ring is served (INTRODUCE). */
export interface Introduced {
  readonly gfn: number;
  port: number;
  /** Its shutdown was announced by @releaseDomain; RESUME makes it announce the next one. */
  shutdown: boolean;
}

/** The daemon's surroundings: who knows how to reach a guest's ring. */
export interface Surroundings {
  readonly log: Logger;
  /** Serve the ring in frame `gfn` with event channel `port`; again for a domain whose port is new. Or a refusal. */
  onIntroduce?(domid: number, gfn: number, port: number): XsdError | undefined;
  /** The domain's ring is served no more; its connections are closed already. */
  onRelease?(domid: number): void;
  onResume?(domid: number): void;
}

export interface Core {
  readonly tree: Tree;
  readonly watches: Watches<Connection>;
  readonly domains: Map<number, Introduced>;
  readonly connections: ReadonlySet<Connection>;
  readonly quota: Quota;
  readonly surroundings: Surroundings;
  /** Log every request and reply. */
  trace: boolean;
  who(domid: number): Who;
  setTarget(domid: number, target: number): void;
  /** Sends the events once the reply to the present request is on its way. */
  fire(events: WatchEvent<Connection>[]): void;
  fireSpecial(name: string, domid: number): void;
  /** Drops the connection's watches and transactions. */
  forget(conn: Connection): void;
  /** Ends the service for a domain and takes its nodes and rights away. */
  release(domid: number): void;
}
