/**
 * Verifies clear-signed text (Debian's InRelease) with Node's own cryptography: version 4 signatures of RSA and
 * Ed25519 keys over SHA-2. Trust is a list of public keys; one good signature of any of them is enough.
 *
 * @spec RFC 4880 (OpenPGP), 5.2, 5.5.2, 7, 12.2; RFC 9580 for Ed25519 (the older form, algorithm 22)
 */
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { latin1 } from '../../base/text.ts';

const ALGORITHM = { rsa: 1, eddsa: 22 } as const;
const HASHES: Readonly<Record<number, string>> = { 8: 'sha256', 9: 'sha384', 10: 'sha512' };
const SIGNATURE_TAG = 2;
const TEXT_SIGNATURE = 1;
const ISSUER_FINGERPRINT = 33;

/** Fingerprint of a version 4 public key from its packet's body. */
export function fingerprint(body: Uint8Array): string {
  const head = Uint8Array.of(0x99, body.length >> 8, body.length & 0xff);
  return createHash('sha1').update(head).update(body).digest('hex').toUpperCase();
}

/** A multi-precision integer and where the next field starts. */
function mpi(bytes: Uint8Array, at: number): { value: Uint8Array; next: number } {
  const end = at + 2 + (((bytes[at]! << 8) + bytes[at + 1]! + 7) >> 3);
  if (!(end <= bytes.length)) throw new Error('damaged OpenPGP packet');
  return { value: bytes.subarray(at + 2, end), next: end };
}

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');

function leftPadded(bytes: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  out.set(bytes, length - bytes.length);
  return out;
}

interface PublicKey {
  readonly algorithm: number;
  readonly key: KeyObject;
  /** Bytes of an RSA modulus. */
  readonly size: number;
}

function publicKey(body: Uint8Array): PublicKey {
  const algorithm = body[5]!;
  if (algorithm === ALGORITHM.rsa) {
    const n = mpi(body, 6);
    const e = mpi(body, n.next);
    const jwk = { kty: 'RSA', n: base64url(n.value), e: base64url(e.value) };
    return { algorithm, key: createPublicKey({ key: jwk, format: 'jwk' }), size: n.value.length };
  }
  if (algorithm !== ALGORITHM.eddsa) throw new Error(`OpenPGP key of algorithm ${algorithm}`);
  // The curve's object identifier comes first; the point has a prefix byte 0x40.
  const point = mpi(body, 7 + body[6]!).value.subarray(1);
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: base64url(point) };
  return { algorithm, key: createPublicKey({ key: jwk, format: 'jwk' }), size: 0 };
}

/** The length field of a new-format packet or a subpacket: its value and its own size. */
function length(bytes: Uint8Array, at: number): [value: number, size: number] {
  const first = bytes[at]!;
  if (first < 192) return [first, 1];
  if (first < 224) return [((first - 192) << 8) + bytes[at + 1]! + 192, 2];
  if (first === 255) return [Buffer.from(bytes).readUInt32BE(at + 1), 5];
  throw new Error('OpenPGP packet of unknown length');
}

function packets(bytes: Uint8Array): { tag: number; body: Uint8Array }[] {
  const out: { tag: number; body: Uint8Array }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const head = bytes[at]!;
    if ((head & 0x80) === 0) throw new Error('damaged OpenPGP packet');
    const old = (head & 0x40) === 0;
    const width = 1 << (head & 3);
    if (old && width === 8) throw new Error('OpenPGP packet of unknown length');
    const [size, used] = old ? [Buffer.from(bytes).readUIntBE(at + 1, width), width] : length(bytes, at + 1);
    const start = at + 1 + used;
    if (!(start + size <= bytes.length)) throw new Error('damaged OpenPGP packet');
    out.push({ tag: old ? (head >> 2) & 15 : head & 63, body: bytes.subarray(start, start + size) });
    at = start + size;
  }
  return out;
}

/** The fingerprint of the key that made a signature, from its signed part. */
function issuer(subpackets: Uint8Array): string | undefined {
  for (let at = 0; at < subpackets.length; ) {
    const [size, used] = length(subpackets, at);
    const body = subpackets.subarray(at + used, at + used + size);
    if ((body[0]! & 0x7f) === ISSUER_FINGERPRINT)
      return Buffer.from(body.subarray(2)).toString('hex').toUpperCase();
    at += used + size;
  }
  return undefined;
}

function goodSignature(sig: Uint8Array, data: Uint8Array, keys: ReadonlyMap<string, Uint8Array>): boolean {
  const [version, type, algorithm, hash] = sig;
  const hashName = HASHES[hash!];
  if (version !== 4 || type !== TEXT_SIGNATURE || hashName === undefined) return false;
  const signedEnd = 6 + (sig[4]! << 8) + sig[5]!;
  const body = keys.get(issuer(sig.subarray(6, signedEnd)) ?? '');
  if (!body) return false;
  const key = publicKey(body);
  if (key.algorithm !== algorithm) return false;
  const trailer = Buffer.alloc(6);
  trailer.writeUInt16BE(0x04ff, 0);
  trailer.writeUInt32BE(signedEnd, 2);
  const signed = Buffer.concat([data, sig.subarray(0, signedEnd), trailer]);
  const unhashed = (sig[signedEnd]! << 8) + sig[signedEnd + 1]!;
  const first = mpi(sig, signedEnd + 2 + unhashed + 2);
  if (key.algorithm === ALGORITHM.rsa) {
    return (
      first.value.length <= key.size && verify(hashName, signed, key.key, leftPadded(first.value, key.size))
    );
  }
  const second = mpi(sig, first.next);
  if (first.value.length > 32 || second.value.length > 32) return false;
  const value = Buffer.concat([leftPadded(first.value, 32), leftPadded(second.value, 32)]);
  return verify(null, createHash(hashName).update(signed).digest(), key.key, value);
}

const CLEAR_SIGNED =
  /^-----BEGIN PGP SIGNED MESSAGE-----\n(?:[A-Za-z]+: [^\n]*\n)*\n(.*)\n-----BEGIN PGP SIGNATURE-----\n(?:[A-Za-z]+: [^\n]*\n)*\n(.*)\n-----END PGP SIGNATURE-----\n?$/s;

/** The signed text, once a signature of one of `keys` (public-key packet bodies) is found good; throws otherwise. */
export function verifyClearSigned(message: Uint8Array, keys: readonly Uint8Array[]): string {
  const match = CLEAR_SIGNED.exec(latin1(message).replace(/\r\n/g, '\n'));
  if (!match) throw new Error('not a clear-signed message');
  const text = match[1]!.replace(/^- /gm, '');
  const armor = match[2]!.split('\n').filter((line) => !line.startsWith('='));
  const canonical = text.replace(/[ \t]+$/gm, '').replace(/\n/g, '\r\n');
  const data = Buffer.from(canonical, 'latin1');
  const known = new Map(keys.map((body) => [fingerprint(body), body]));
  const signatures = packets(Buffer.from(armor.join(''), 'base64')).filter((p) => p.tag === SIGNATURE_TAG);
  if (signatures.some((p) => goodSignature(p.body, data, known))) {
    return Buffer.from(text, 'latin1').toString('utf8');
  }
  throw new Error('no good signature of a known key');
}
