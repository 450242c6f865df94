import { describe, expect, it } from 'vitest';
import { ARCHIVE_FINGERPRINTS, ARCHIVE_KEYS } from './debian-keys.ts';
import { fingerprint, verifyClearSigned } from './openpgp.ts';

/** Signed by two keys that GnuPG made for this test; dash-escaped, with trailing blanks and UTF-8. */
const MESSAGE = `-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA512

Origin: Test
- - dash line
- -----BEGIN trick
trailing  \t
gr\u00fc\u00dfe

last
-----BEGIN PGP SIGNATURE-----

iQEzBAEBCgAdFiEEigJEFhhcwB0Zyy3qMZ/DM8xpMiMFAmsDHk0ACgkQMZ/DM8xp
MiNDRggAqYJ2I/1C6r1C4o2Gb97EJ/4V+Y3PZSEq3uL8szf/bq1L9RjEnyfvrTU5
sYyEcjup1Pj5jY+Deqzn06ZsnT9Q+fTdx20YiekbJxtg0njKWLxIFlIS0BGzJSXy
aclcxXLx70R3qDqadnI0YisTU6aXVCSmN49JrqokUZffwljltAdsxfGGSxEVLtfs
C+HwWIWeHiBCUdqcQQU54a8IPYqNQNcfYS4pTpTRyGSLSfnndB9bvkMYZMCwAhZs
RPgfEbWFbbecxc4PIyBapxCVUdmv0ICZnQWZhd1vSh4jJJwCbHtXH6mj/goPL1hZ
tDsjjquAX6oaDJ+M7T5xTeIMnKj2Zoh1BAEWCgAdFiEEfcfBiACwQ/EQ14pM7aEm
79OhW0EFAmsDHk0ACgkQ7aEm79OhW0E5uwEA1NFdpr3tqZUEhf95A3yq8DkstjhX
epb9KVmP1HojX5wBANPI1nLF7UlNtNAGuFeDLSv73WRYAdnhbFFVrFByh1EN
=4Uor
-----END PGP SIGNATURE-----
`;
const RSA = Buffer.from(
  'BGsDHikBCAC0YI7gX7SVzEj/rPFINAxma04TET84GzBx1G5DdUjT5sryMzSfXHKcFKk/0lTsU8g4mV8Ok1NXgEF+2XnjunN8xgRAnWQQuPLf' +
    'KmAJ/wz97dfOTPbelAV6+aRu3NrK7om2nc138HbcwOlfW5w1n2kLqdhVoOzK6AQFJXVaKNVUBcaBDDwkks5fy/tV0zlPMq5o9KHeKV+iU4l5' +
    'EH7FNiMM8Bxr7p4E7xlaBJsAqgzNGF61M5b6GRRx853dkfro7hgG0VuqAR5nX4f69bxL5XhJTo6Z+jJr0QTiH5y4MH5jRp3dTJ6QxVw926tu' +
    'rLkeoiFe4mbIv1Qtp9oIAjsQznvdABEBAAE=',
  'base64',
);
const ED25519 = Buffer.from('BGsDHioWCSsGAQQB2kcPAQEHQAcsMkrGj6Zq+XdBKb1Ul+PrHCC0Fll8WCggLQ3BR9RY', 'base64');
const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');

describe('a clear-signed message', () => {
  it.each([
    ['RSA', RSA],
    ['Ed25519', ED25519],
  ])('is accepted for a known %s key and read without its escapes', (_name, key) => {
    const text = verifyClearSigned(bytes(MESSAGE), [key]);
    expect(text).toBe('Origin: Test\n- dash line\n-----BEGIN trick\ntrailing  \t\ngr\u00fc\u00dfe\n\nlast');
  });

  it('may have lost trailing blanks and changed its line ends on the way', () => {
    const travelled = MESSAGE.replace('trailing  \t', 'trailing').replace(/\n/g, '\r\n');
    expect(() => verifyClearSigned(bytes(travelled), [RSA])).not.toThrow();
  });

  it('is refused when a byte of the text differs', () => {
    const forged = MESSAGE.replace('Origin: Test', 'Origin: Tesu');
    expect(() => verifyClearSigned(bytes(forged), [RSA, ED25519])).toThrow('no good signature');
  });

  it('is refused for other keys, and for one that differs in a byte', () => {
    expect(() => verifyClearSigned(bytes(MESSAGE), ARCHIVE_KEYS)).toThrow('no good signature');
    const other = Uint8Array.from(RSA);
    other[100]! ^= 1;
    expect(() => verifyClearSigned(bytes(MESSAGE), [other])).toThrow('no good signature');
    expect(() => verifyClearSigned(bytes(MESSAGE), [])).toThrow('no good signature');
  });

  it('is refused when anything stands before or after it', () => {
    expect(() => verifyClearSigned(bytes(`x\n${MESSAGE}`), [RSA])).toThrow('not a clear-signed message');
    expect(() => verifyClearSigned(bytes(`${MESSAGE}x\n`), [RSA])).toThrow('not a clear-signed message');
  });

  it('is refused with an error, however the signature is cut', () => {
    const start = MESSAGE.indexOf('iQEz');
    for (let cut = 0; cut < 120; cut += 4) {
      const damaged = MESSAGE.slice(0, start) + MESSAGE.slice(start + cut + 4);
      expect(() => verifyClearSigned(bytes(damaged), [RSA])).toThrow();
    }
  });
});

describe("Debian's keys", () => {
  it('have the fingerprints that they are listed under', () => {
    expect(ARCHIVE_KEYS.map(fingerprint)).toEqual(ARCHIVE_FINGERPRINTS);
  });
});
