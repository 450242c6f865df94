/** Limits of unprivileged domains; only the size of a node's value holds for domain 0 too. */

export interface Quota {
  /** Nodes that a domain owns. */
  nodes: number;
  watches: number;
  /** Messages waiting for a client to take them before its next request is looked at. */
  outstanding: number;
  /** Bytes held for a domain: its nodes, watches, open transactions and waiting watch events. */
  memory: number;
  transactions: number;
  /** Requests in one transaction. */
  transactionRequests: number;
  permissions: number;
  /** Bytes of a node's value. */
  nodeSize: number;
  /** Watch events waiting for a client; further ones are dropped. */
  events: number;
}

export const defaultQuota: Readonly<Quota> = {
  nodes: 1000,
  watches: 128,
  outstanding: 20,
  memory: 2560 * 1024,
  transactions: 10,
  transactionRequests: 1024,
  permissions: 5,
  nodeSize: 2048,
  events: 1024,
};

/** What a domain's nodes amount to. */
export interface Usage {
  readonly nodes: number;
  readonly bytes: number;
}

export const noUsage: Usage = { nodes: 0, bytes: 0 };
