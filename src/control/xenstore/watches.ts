/**
 * Watches, and which of them a change concerns.
 *
 * A watch fires for its path and everything below it; for the removal of a node above it, with its own path; and, on
 * the special paths, when domains come and go. A client hears only of what it may read.
 *
 * @xen docs/misc/xenstore.txt "Watches"
 */
import type { Who } from './perms.ts';
import { allowed } from './perms.ts';
import type { Change, Node } from './tree.ts';
import { findIn } from './tree.ts';
import { XsError } from './wire.ts';

/** Who gets a watch's events. */
export interface Watcher {
  readonly who: Who;
  /** What the client's relative paths are relative to. */
  readonly base: string;
}

export interface Watch<W extends Watcher = Watcher> {
  readonly watcher: W;
  /** The path as the client gave it, and made absolute (special paths are absolute as they are). */
  readonly path: string;
  readonly abs: string;
  readonly token: string;
  /** How many levels below the path are watched; all if undefined. */
  readonly depth: number | undefined;
}

export interface WatchEvent<W extends Watcher = Watcher> {
  readonly watch: Watch<W>;
  readonly path: string;
}

export class Watches<W extends Watcher> {
  private readonly byPath = new Map<string, Watch<W>[]>();

  /** Throws EEXIST where the client already has this path with this token. */
  add(watch: Watch<W>): void {
    const list = this.byPath.get(watch.abs) ?? [];
    if (list.some((w) => w.watcher === watch.watcher && w.token === watch.token)) throw new XsError('EEXIST');
    this.byPath.set(watch.abs, [...list, watch]);
  }

  /** Removes and answers a watch. Throws ENOENT if there is none. */
  remove(watcher: W, abs: string, token: string): Watch<W> {
    const list = this.byPath.get(abs) ?? [];
    const watch = list.find((w) => w.watcher === watcher && w.token === token);
    if (!watch) throw new XsError('ENOENT');
    this.keep(abs, list, (w) => w !== watch);
    return watch;
  }

  removeAll(watcher: W): void {
    for (const [abs, list] of this.byPath) this.keep(abs, list, (w) => w.watcher !== watcher);
  }

  private keep(abs: string, list: Watch<W>[], wanted: (w: Watch<W>) => boolean): void {
    const rest = list.filter(wanted);
    if (rest.length === 0) this.byPath.delete(abs);
    else if (rest.length !== list.length) this.byPath.set(abs, rest);
  }

  all(): Watch<W>[] {
    return [...this.byPath.values()].flat();
  }

  /** The events of a change, watches nearer the root first. */
  concerned(change: Change): WatchEvent<W>[] {
    const { names, abs } = change.path;
    const events: WatchEvent<W>[] = [];
    for (let depth = 0; depth <= names.length; depth++) {
      for (const watch of this.byPath.get(`/${names.slice(0, depth).join('/')}`) ?? []) {
        if (watch.depth !== undefined && names.length - depth > watch.depth) continue;
        if (canSee(watch, change.seen)) events.push({ watch, path: asSeenBy(watch, abs) });
      }
    }
    if (change.removed) this.belowRemoved(abs, change.removed, events);
    return events;
  }

  private belowRemoved(abs: string, removed: Node, events: WatchEvent<W>[]): void {
    const prefix = `${abs}/`;
    for (const [path, list] of this.byPath) {
      if (!path.startsWith(prefix)) continue;
      const names = path.slice(prefix.length).split('/');
      const around = [findIn(removed, names.slice(0, -1)), findIn(removed, names)];
      const seen = around.flatMap((node) => (node ? [node.perms] : []));
      for (const watch of list) if (canSee(watch, seen)) events.push({ watch, path: watch.path });
    }
  }

  /**
   * The events of a domain's coming or going. A watch with depth 1 is told which domain it was; one on
   * `@releaseDomain/<domid>` fires for that domain only.
   */
  special(name: string, domid: number, root: Node): WatchEvent<W>[] {
    const node = root.children.get(name);
    const seen = node ? [root.perms, node.perms] : [root.perms];
    const one = `${name}/${domid}`;
    const watches = [...(this.byPath.get(name) ?? []), ...(this.byPath.get(one) ?? [])];
    return watches
      .filter((watch) => canSee(watch, seen))
      .map((watch) => ({ watch, path: watch.depth === 1 ? one : watch.path }));
  }
}

const canSee = (watch: Watch, seen: Change['seen']): boolean =>
  seen.some((perms) => allowed(watch.watcher.who, 'r', perms));

/** An absolute path below the watch's as its client wants it: relative if the watch was. */
function asSeenBy(watch: Watch, abs: string): string {
  return watch.path.startsWith('/') ? abs : abs.slice(watch.watcher.base.length + 1);
}
