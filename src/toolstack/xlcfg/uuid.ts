/** UUIDs as text: 8-4-4-4-12 hexadecimal digits. */
import type { Entropy } from '../../base/host.ts';

/** In lower case; undefined for what is not one. */
export function parseUuid(text: string): string | undefined {
  const ok = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
  return ok ? text.toLowerCase() : undefined;
}

/** A random UUID. @spec RFC 9562 5.4, version 4 */
export function randomUuid(entropy: Entropy): string {
  const bytes = new Uint8Array(16);
  entropy.fill(bytes);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const digits = Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
