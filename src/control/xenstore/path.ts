/**
 * Node paths: validity, and relative paths made absolute.
 *
 * A path is absolute (`/a/b`), relative to the caller's `/local/domain/<domid>`, or one of the special nodes whose
 * names start with `@`; those are children of the root.
 *
 * @xen docs/misc/xenstore.txt "Communication with xenstore"
 */
import { XENSTORE_ABS_PATH_MAX, XENSTORE_REL_PATH_MAX } from '../../abi/io_xs_wire.ts';
import { XsError } from './wire.ts';

/** The canonical absolute form, and its names from the root down. */
export interface XsPath {
  readonly abs: string;
  readonly names: readonly string[];
}

export const INTRODUCE_DOMAIN = '@introduceDomain';
export const RELEASE_DOMAIN = '@releaseDomain';

export const rootPath: XsPath = { abs: '/', names: [] };

const name = /^[A-Za-z0-9_@-]+$/;
const domainRelative = /^\/local\/domain\/[0-9]+\//;

export const domainBase = (domid: number): string => `/local/domain/${domid}`;

/** The path that names name; no check of the characters. */
export function pathOf(names: readonly string[]): XsPath {
  return { abs: `/${names.join('/')}`, names };
}

/** Parses a path sent by the domain whose relative paths start at `base`. Throws EINVAL. */
export function parsePath(text: string, base: string): XsPath {
  if (text === '/') return rootPath;
  const abs = text.startsWith('/') ? text : text.startsWith('@') ? `/${text}` : `${base}/${text}`;
  checkLength(abs);
  const names = abs.slice(1).split('/');
  if (!names.every((n) => name.test(n))) throw new XsError('EINVAL');
  return { abs, names };
}

/**
 * What follows /local/domain/<domid>/ is limited as a relative path even when sent as an absolute one: a path must not
 * become invalid when its domain gets a longer id by migration.
 */
function checkLength(abs: string): void {
  const base = domainRelative.exec(abs);
  const tooLong = base
    ? abs.length - base[0].length > XENSTORE_REL_PATH_MAX
    : abs.length > XENSTORE_ABS_PATH_MAX;
  if (tooLong) throw new XsError('EINVAL');
}
