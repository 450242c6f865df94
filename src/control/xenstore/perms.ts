/**
 * Node permissions: the first entry names the owner and the right of everyone else; the others name a domain each.
 *
 * @xen docs/misc/xenstore.txt "GET_PERMS"
 */
import { parseU32, XsError } from './wire.ts';

export type Right = 'n' | 'r' | 'w' | 'b';

export interface Perm {
  readonly domid: number;
  readonly right: Right;
}

/** Never empty, never changed: a node gets a new list instead, so that identity tells change. */
export type Perms = readonly [Perm, ...Perm[]];

/** On whose behalf a request is made. `target` is the domain it may act for (SET_TARGET). */
export interface Who {
  readonly domid: number;
  readonly target: number | undefined;
}

export const isPrivileged = (who: Who): boolean => who.domid === 0;

export const owner = (perms: Perms): number => perms[0].domid;

export const dom0Only: Perms = [{ domid: 0, right: 'n' }];

/** Parses the strings of SET_PERMS. Throws EINVAL. */
export function parsePerms(texts: readonly string[]): Perms {
  const [first, ...rest] = texts.map(parsePerm);
  if (first === undefined) throw new XsError('EINVAL');
  return [first, ...rest];
}

function parsePerm(text: string): Perm {
  const right = text[0];
  if (right !== 'n' && right !== 'r' && right !== 'w' && right !== 'b') throw new XsError('EINVAL');
  return { right, domid: parseU32(text.slice(1)) };
}

export const formatPerms = (perms: Perms): string => perms.map((p) => `${p.right}${p.domid}\0`).join('');

export function isOwner(who: Who, perms: Perms): boolean {
  return who.domid === owner(perms) || who.target === owner(perms);
}

/** Whether `who` may read ('r') or write ('w') a node with these permissions. */
export function allowed(who: Who, want: 'r' | 'w', perms: Perms): boolean {
  if (isPrivileged(who) || isOwner(who, perms)) return true;
  if (grants(rightOf(who.domid, perms), want)) return true;
  return who.target !== undefined && grants(rightOf(who.target, perms), want);
}

const grants = (right: Right, want: 'r' | 'w'): boolean => right === 'b' || right === want;

function rightOf(domid: number, perms: Perms): Right {
  const entry = perms.find((p, i) => i > 0 && p.domid === domid);
  return (entry ?? perms[0]).right;
}

/**
 * What a node made by `who` under a parent with these permissions starts with.
 *
 * DIVERGES: oxenstored keeps the parent's owner; that a guest owns what it makes is the C daemon's way, and charges the
 * right quota.
 */
export function inherit(who: Who, parent: Perms): Perms {
  if (isPrivileged(who) || isOwner(who, parent)) return parent;
  const [first, ...rest] = parent;
  return [{ domid: who.domid, right: first.right }, ...rest];
}

/** The list without the entries of a domain that is gone; its ownership is the caller's business. */
export function withoutDomain(perms: Perms, domid: number): Perms {
  const [first, ...rest] = perms;
  return rest.some((p) => p.domid === domid) ? [first, ...rest.filter((p) => p.domid !== domid)] : perms;
}
