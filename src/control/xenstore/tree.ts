/**
 * The tree of nodes, with permissions and accounting, and cheap snapshots.
 *
 * A node belongs to the edition of the tree that made it. A tree changes its own edition's nodes in place and copies
 * the path to any other first; `fork` gives both trees a new edition. So a fork costs nothing until one side writes,
 * and two equal node references mean an equal subtree.
 *
 * Every operation checks everything before it changes anything.
 */
import type { XsPath } from './path.ts';
import { INTRODUCE_DOMAIN, pathOf, RELEASE_DOMAIN } from './path.ts';
import type { Perms, Who } from './perms.ts';
import { allowed, dom0Only, inherit, isOwner, isPrivileged, owner, withoutDomain } from './perms.ts';
import type { Quota, Usage } from './quota.ts';
import { noUsage } from './quota.ts';
import { XsError } from './wire.ts';

export interface Node {
  readonly value: string;
  readonly perms: Perms;
  readonly children: ReadonlyMap<string, Node>;
  /** Counts up over the whole store; new whenever the value, the permissions or the set of children change. */
  readonly generation: number;
}

interface OwnNode extends Node {
  value: string;
  perms: Perms;
  children: Map<string, Node>;
  generation: number;
  readonly edition: object;
}

/** One change of the tree, as watches see it. */
export interface Change {
  readonly path: XsPath;
  /** Permissions, before and after, of the node and its parent: who may read one of them may hear of the change. */
  readonly seen: readonly Perms[];
  /** The subtree that is gone. */
  readonly removed?: Node;
}

const undeletable: ReadonlySet<string> = new Set(['/', `/${INTRODUCE_DOMAIN}`, `/${RELEASE_DOMAIN}`]);

const noChildren: ReadonlyMap<string, Node> = new Map();

const nodeBytes = (name: string, node: Node): number =>
  name.length + node.value.length + 8 * node.perms.length;

export class Tree {
  private top: Node;
  private edition: object = {};
  private readonly clock: { generation: number };
  private readonly quota: Quota;
  private usages: Map<number, Usage>;

  private constructor(top: Node, clock: { generation: number }, quota: Quota, usages: Map<number, Usage>) {
    this.top = top;
    this.clock = clock;
    this.quota = quota;
    this.usages = usages;
  }

  static empty(quota: Quota): Tree {
    const root: Node = { value: '', perms: dom0Only, children: noChildren, generation: 0 };
    return new Tree(root, { generation: 0 }, quota, new Map());
  }

  get root(): Node {
    return this.top;
  }

  usage(domid: number): Usage {
    return this.usages.get(domid) ?? noUsage;
  }

  get accounts(): ReadonlyMap<number, Usage> {
    return this.usages;
  }

  fork(): Tree {
    this.edition = {};
    return new Tree(this.top, this.clock, this.quota, new Map(this.usages));
  }

  /** Becomes what a fork of this tree has become. The fork must not be used any more. */
  adopt(fork: Tree): void {
    this.top = fork.top;
    this.edition = fork.edition;
    this.usages = fork.usages;
  }

  find(path: XsPath): Node | undefined {
    return findIn(this.top, path.names);
  }

  /** The node, which `who` may read. Throws ENOENT or EACCES. */
  readable(who: Who, path: XsPath): Node {
    const node = this.find(path);
    if (!node) throw new XsError('ENOENT');
    if (!allowed(who, 'r', node.perms)) throw new XsError('EACCES');
    return node;
  }

  /** How many of the path's names exist, from the root down. */
  depth(path: XsPath): number {
    let node: Node | undefined = this.top;
    for (let i = 0; i < path.names.length; i++) {
      node = node.children.get(path.names[i]!);
      if (!node) return i;
    }
    return path.names.length;
  }

  write(who: Who, path: XsPath, value: string): Change {
    if (value.length > this.quota.nodeSize) throw new XsError('E2BIG');
    const node = this.find(path);
    if (!node) return this.create(who, path, value);
    if (!allowed(who, 'w', node.perms)) throw new XsError('EACCES');
    const name = path.names.at(-1) ?? '';
    this.account(name, node, -1);
    const own = this.own(path.names);
    own.value = value;
    this.account(name, own, 1);
    return { path, seen: this.permsAround(path) };
  }

  /** Makes the node and its missing parents; nothing to do where it exists. */
  mkdir(who: Who, path: XsPath): Change | undefined {
    const node = this.find(path);
    if (!node) return this.create(who, path, '');
    if (!allowed(who, 'w', node.perms)) throw new XsError('EACCES');
    return undefined;
  }

  private create(who: Who, path: XsPath, value: string): Change {
    const depth = this.depth(path);
    const parent = findIn(this.top, path.names.slice(0, depth))!;
    if (!allowed(who, 'w', parent.perms)) throw new XsError('EACCES');
    const perms = inherit(who, parent.perms);
    const missing = path.names.slice(depth);
    const used = this.usage(owner(perms));
    if (!isPrivileged(who) && used.nodes + missing.length > this.quota.nodes) throw new XsError('ENOSPC');

    let at = this.own(path.names.slice(0, depth));
    missing.forEach((name, i) => {
      const last = i === missing.length - 1;
      const child: OwnNode = {
        value: last ? value : '',
        perms,
        children: noChildren as Map<string, Node>,
        generation: ++this.clock.generation,
        edition: this.edition,
      };
      this.addChild(at, name, child);
      this.account(name, child, 1);
      at = child;
    });
    return { path, seen: this.permsAround(path) };
  }

  /** Removes the node and all below. A missing node is no error, a missing parent is ENOENT. */
  remove(who: Who, path: XsPath): Change | undefined {
    // DIVERGES: oxenstored empties the tree on `rm /` and lets the special nodes be removed; nobody means that.
    if (undeletable.has(path.abs)) throw new XsError('EINVAL');
    const parentNames = path.names.slice(0, -1);
    const parent = findIn(this.top, parentNames);
    if (!parent) throw new XsError('ENOENT');
    const name = path.names.at(-1)!;
    const node = parent.children.get(name);
    if (!node) return undefined;
    if (!allowed(who, 'w', node.perms)) throw new XsError('EACCES');
    const own = this.own(parentNames);
    own.children.delete(name);
    eachNode(name, node, (n, at) => this.account(n, at, -1));
    return { path, seen: [parent.perms, node.perms], removed: node };
  }

  setPerms(who: Who, path: XsPath, perms: Perms): Change {
    const node = this.find(path);
    if (!node) throw new XsError('ENOENT');
    const ownerKept = owner(perms) === owner(node.perms);
    if (!isPrivileged(who)) {
      if (!isOwner(who, node.perms) || !ownerKept) throw new XsError('EACCES');
      if (perms.length > this.quota.permissions) throw new XsError('ENOSPC');
    }
    const before = this.permsAround(path);
    const name = path.names.at(-1) ?? '';
    this.account(name, node, -1);
    const own = this.own(path.names);
    own.perms = perms;
    this.account(name, own, 1);
    return { path, seen: [...before, perms] };
  }

  /**
   * Takes a dead domain's nodes and rights away, without watch events: its entries in permission lists go, and so do
   * its nodes.
   *
   * DIVERGES: oxenstored removes a dead domain's node with all below it, whoever owns that; here a node that others'
   * nodes are below goes to domain 0 instead.
   */
  forget(domid: number): void {
    this.top = this.prune('', this.top, domid) ?? this.top;
    this.usages.delete(domid);
  }

  private prune(name: string, node: Node, domid: number): Node | undefined {
    let children: Map<string, Node> | undefined;
    for (const [childName, child] of node.children) {
      const pruned = this.prune(childName, child, domid);
      if (pruned === child) continue;
      children ??= new Map(node.children);
      if (pruned) children.set(childName, pruned);
      else children.delete(childName);
    }
    const owned = owner(node.perms) === domid;
    if (owned && (children ?? node.children).size === 0) return undefined;
    const perms: Perms = owned ? dom0Only : withoutDomain(node.perms, domid);
    if (!children && perms === node.perms) return node;
    const next: OwnNode = {
      value: node.value,
      perms,
      children: children ?? new Map(node.children),
      generation: ++this.clock.generation,
      edition: this.edition,
    };
    if (!owned) this.account(name, node, -1);
    this.account(name, next, 1);
    return next;
  }

  /** The node at these names, changeable in place and stamped as changed; the path to it becomes this edition's. */
  private own(names: readonly string[]): OwnNode {
    let node = this.ownNode(this.top);
    this.top = node;
    for (const name of names) {
      const child = this.ownNode(node.children.get(name)!);
      node.children.set(name, child);
      node = child;
    }
    node.generation = ++this.clock.generation;
    return node;
  }

  private ownNode(node: Node): OwnNode {
    const own = node as OwnNode;
    if (own.edition === this.edition) return own;
    const children = node.children.size === 0 ? noChildren : new Map(node.children);
    return { ...node, children: children as Map<string, Node>, edition: this.edition };
  }

  private addChild(parent: OwnNode, name: string, child: Node): void {
    if (parent.children === noChildren) parent.children = new Map();
    parent.children.set(name, child);
  }

  private permsAround(path: XsPath): Perms[] {
    const node = this.find(path);
    const parent = findIn(this.top, path.names.slice(0, -1));
    return [parent, node].flatMap((n) => (n ? [n.perms] : []));
  }

  private account(name: string, node: Node, sign: 1 | -1): void {
    const domid = owner(node.perms);
    if (domid === 0) return;
    const { nodes, bytes } = this.usage(domid);
    const now = { nodes: nodes + sign, bytes: bytes + sign * nodeBytes(name, node) };
    if (now.nodes === 0) this.usages.delete(domid);
    else this.usages.set(domid, now);
  }

  /** Whether the accounts agree with the nodes (CONTROL check). */
  consistent(): boolean {
    const fresh = new Map<number, Usage>();
    eachNode('', this.top, (name, node) => {
      const domid = owner(node.perms);
      const { nodes, bytes } = fresh.get(domid) ?? noUsage;
      if (domid !== 0) fresh.set(domid, { nodes: nodes + 1, bytes: bytes + nodeBytes(name, node) });
    });
    if (fresh.size !== this.usages.size) return false;
    return [...fresh].every(([domid, u]) => {
      const kept = this.usage(domid);
      return kept.nodes === u.nodes && kept.bytes === u.bytes;
    });
  }
}

export function findIn(root: Node, names: readonly string[]): Node | undefined {
  let node: Node | undefined = root;
  for (const name of names) {
    node = node.children.get(name);
    if (!node) return undefined;
  }
  return node;
}

function eachNode(name: string, node: Node, visit: (name: string, node: Node) => void): void {
  visit(name, node);
  for (const [childName, child] of node.children) eachNode(childName, child, visit);
}

/** The names of a node's children in byte order. */
export const childNames = (node: Node): string[] => [...node.children.keys()].sort();

/** Calls `visit` for every node of the tree, parents first, children in byte order. */
export function walk(root: Node, visit: (path: XsPath, node: Node) => void): void {
  const go = (names: readonly string[], node: Node): void => {
    visit(pathOf(names), node);
    for (const name of childNames(node)) go([...names, name], node.children.get(name)!);
  };
  go([], root);
}
