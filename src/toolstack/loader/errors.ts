/** What the kernel loaders say when they cannot load. */

export type LoaderErrorCode =
  /** The file, or what it was compressed from, ends too early. */
  | 'truncated'
  /** Structures or compressed data contradict themselves. */
  | 'corrupt'
  /** Compressed with something we do not read. */
  | 'unknown-compression'
  /** Not a kernel image of any kind that we know. */
  | 'not-a-kernel'
  /** A kernel for another processor. */
  | 'wrong-architecture'
  /** A kernel without the Xen notes that the guest type needs. */
  | 'no-xen-note';

export class LoaderError extends Error {
  readonly code: LoaderErrorCode;
  /** The fault in words, without the file's name. */
  readonly detail: string;

  constructor(code: LoaderErrorCode, detail: string, name?: string) {
    super(name === undefined ? detail : `${name}: ${detail}`);
    this.name = 'LoaderError';
    this.code = code;
    this.detail = detail;
  }
}

export function truncated(detail: string): never {
  throw new LoaderError('truncated', detail);
}

export function corrupt(detail: string): never {
  throw new LoaderError('corrupt', detail);
}
