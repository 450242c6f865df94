/**
 * An encoder for the little ACPI machine language that a domain's DSDT needs: named data, devices, scopes.
 *
 *   scope('\\_SB', device('P000', name('_UID', integer(0))))
 *
 * @spec ACPI 5.0 section 20.2
 */
export type Aml = readonly number[];

const ZERO_OP = 0x00;
const ONE_OP = 0x01;
const NAME_OP = 0x08;
const BYTE_PREFIX = 0x0a;
const WORD_PREFIX = 0x0b;
const DWORD_PREFIX = 0x0c;
const STRING_PREFIX = 0x0d;
const SCOPE_OP = 0x10;
const EXT_OP_PREFIX = 0x5b;
const DEVICE_OP = 0x82;
const ROOT_CHAR = 0x5c;

/** A PkgLength counts itself too: one byte, or two to four of which the first tells how many follow. */
function packageLength(contents: number): Aml {
  if (contents + 1 < 0x40) return [contents + 1];
  for (let extra = 1; extra <= 3; extra++) {
    const total = contents + 1 + extra;
    if (total >= 1 << (4 + 8 * extra)) continue;
    const out = [(extra << 6) | (total & 15)];
    for (let i = 0; i < extra; i++) out.push((total >>> (4 + 8 * i)) & 0xff);
    return out;
  }
  throw new RangeError(`${contents} bytes are too many for one AML package`);
}

const ascii = (text: string): number[] => [...text].map((c) => c.charCodeAt(0));

/** One segment of up to four characters, behind a `\` where it starts at the root. */
function nameString(path: string): Aml {
  const [, root, segment] = /^(\\?)([A-Z_][A-Z0-9_]{0,3})$/.exec(path) ?? [];
  if (segment === undefined) throw new RangeError(`"${path}" is not an AML name`);
  return [...(root ? [ROOT_CHAR] : []), ...ascii(segment.padEnd(4, '_'))];
}

export function integer(value: number): Aml {
  if (value === 0) return [ZERO_OP];
  if (value === 1) return [ONE_OP];
  if (value < 0x100) return [BYTE_PREFIX, value];
  if (value < 0x1_0000) return [WORD_PREFIX, value & 0xff, value >>> 8];
  return [DWORD_PREFIX, value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}

export const string = (text: string): Aml => [STRING_PREFIX, ...ascii(text), 0];

export const name = (path: string, value: Aml): Aml => [NAME_OP, ...nameString(path), ...value];

export const scope = (path: string, ...terms: Aml[]): Aml => [
  SCOPE_OP,
  ...inPackage([...nameString(path), ...terms.flat()]),
];

export const device = (path: string, ...terms: Aml[]): Aml => [
  EXT_OP_PREFIX,
  DEVICE_OP,
  ...inPackage([...nameString(path), ...terms.flat()]),
];

const inPackage = (contents: Aml): Aml => [...packageLength(contents.length), ...contents];
