/**
 * What requests work on: the tree itself, or a transaction's private copy of it.
 *
 * A transaction remembers what it looked at and what it changed. At the end it is refused with EAGAIN if anything it
 * read or wrote has changed in the tree since it began; otherwise its changes are done again on the tree as it is now.
 * A transaction that changed nothing always ends well: it saw one consistent tree.
 *
 * @xen docs/misc/xenstore.txt "Transactions"
 */
import type { XsPath } from './path.ts';
import { pathOf } from './path.ts';
import type { Perms, Who } from './perms.ts';
import type { Change, Node, Tree } from './tree.ts';
import { findIn } from './tree.ts';
import { XsError } from './wire.ts';

/** The requests on nodes, on behalf of one connection. */
export interface View {
  read(path: XsPath): string;
  list(path: XsPath): Node;
  getPerms(path: XsPath): Perms;
  write(path: XsPath, value: string): void;
  mkdir(path: XsPath): void;
  remove(path: XsPath): void;
  setPerms(path: XsPath, perms: Perms): void;
}

/** Requests outside a transaction: each takes effect, and is reported to `changed`, at once. */
export class DirectView implements View {
  private readonly tree: Tree;
  private readonly who: Who;
  private readonly changed: (change: Change) => void;

  constructor(tree: Tree, who: Who, changed: (change: Change) => void) {
    this.tree = tree;
    this.who = who;
    this.changed = changed;
  }

  read(path: XsPath): string {
    return this.tree.readable(this.who, path).value;
  }
  list(path: XsPath): Node {
    return this.tree.readable(this.who, path);
  }
  getPerms(path: XsPath): Perms {
    return this.tree.readable(this.who, path).perms;
  }
  write(path: XsPath, value: string): void {
    this.changed(this.tree.write(this.who, path, value));
  }
  mkdir(path: XsPath): void {
    this.report(this.tree.mkdir(this.who, path));
  }
  remove(path: XsPath): void {
    this.report(this.tree.remove(this.who, path));
  }
  setPerms(path: XsPath, perms: Perms): void {
    this.changed(this.tree.setPerms(this.who, path, perms));
  }

  private report(change: Change | undefined): void {
    if (change) this.changed(change);
  }
}

// What a transaction depends on at a path. That the node exists, or does not, is always part of it.
const VALUE = 1;
const PERMS = 2;
/** The set of children (and anything else of the node). */
const LIST = 4;
/** The node and everything below. */
const SUBTREE = 8;

interface Access {
  readonly path: XsPath;
  aspects: number;
}

type Edit = (tree: Tree) => Change | undefined;

export class Transaction implements View {
  readonly id: number;
  /** Requests made in it, refused ones too. */
  requests = 0;
  /** Bytes that the list of changes holds. */
  bytes = 0;
  private readonly base: Node;
  private readonly tree: Tree;
  private readonly who: Who;
  private readonly accesses = new Map<string, Access>();
  private readonly edits: Edit[] = [];

  constructor(id: number, tree: Tree, who: Who) {
    this.id = id;
    this.tree = tree.fork();
    this.base = this.tree.root;
    this.who = who;
  }

  read(path: XsPath): string {
    this.note(path, VALUE | PERMS);
    return this.tree.readable(this.who, path).value;
  }
  list(path: XsPath): Node {
    this.note(path, LIST | PERMS);
    return this.tree.readable(this.who, path);
  }
  getPerms(path: XsPath): Perms {
    this.note(path, PERMS);
    return this.tree.readable(this.who, path).perms;
  }
  write(path: XsPath, value: string): void {
    this.noteCreation(path, VALUE | PERMS);
    this.edit(path.abs.length + value.length, (tree) => tree.write(this.who, path, value));
  }
  mkdir(path: XsPath): void {
    this.noteCreation(path, PERMS);
    this.edit(path.abs.length, (tree) => tree.mkdir(this.who, path));
  }
  remove(path: XsPath): void {
    this.note(pathOf(path.names.slice(0, -1)), 0);
    this.note(path, SUBTREE);
    this.edit(path.abs.length, (tree) => tree.remove(this.who, path));
  }
  setPerms(path: XsPath, perms: Perms): void {
    this.note(path, VALUE | PERMS);
    this.edit(path.abs.length + 8 * perms.length, (tree) => tree.setPerms(this.who, path, perms));
  }

  /** Makes the changes part of `tree` and answers them. Throws EAGAIN, or what a quota of `tree` says by now. */
  commit(tree: Tree): Change[] {
    if (this.edits.length === 0) return [];
    for (const access of this.accesses.values()) {
      if (this.hasChanged(access, tree.root)) throw new XsError('EAGAIN');
    }
    const trial = tree.fork();
    const changes = this.edits.flatMap((edit) => edit(trial) ?? []);
    tree.adopt(trial);
    return changes;
  }

  private edit(bytes: number, edit: Edit): void {
    if (!edit(this.tree)) return;
    this.edits.push(edit);
    this.bytes += bytes;
  }

  private note(path: XsPath, aspects: number): void {
    const known = this.accesses.get(path.abs);
    if (known) known.aspects |= aspects;
    else this.accesses.set(path.abs, { path, aspects });
  }

  /** A node that has to be made depends on its missing parents and on the permissions of the one that is there. */
  private noteCreation(path: XsPath, aspects: number): void {
    this.note(path, aspects);
    for (let depth = this.tree.depth(path); depth < path.names.length; depth++) {
      this.note(pathOf(path.names.slice(0, depth)), PERMS);
    }
  }

  private hasChanged({ path, aspects }: Access, root: Node): boolean {
    const before = findIn(this.base, path.names);
    const after = findIn(root, path.names);
    if (before === after) return false;
    if (!before || !after || aspects & SUBTREE) return true;
    if (aspects & LIST && before.generation !== after.generation) return true;
    if (aspects & PERMS && before.perms !== after.perms) return true;
    return (aspects & VALUE) !== 0 && before.value !== after.value;
  }
}
