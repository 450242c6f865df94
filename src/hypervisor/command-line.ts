/**
 * The hypervisor's own command line: words `option`, `no-option` or `option=VALUE`, the last of a kind counting.
 *
 * @xen docs/misc/xen-command-line.pandoc
 */
const TRUE = ['yes', 'on', 'true', 'enable', '1'];
const FALSE = ['no', 'off', 'false', 'disable', '0'];

export interface XenOptions {
  /** Guests may force the emulation of an instruction by a prefix. */
  hvm_fep: boolean;
}

/** Reads a command line; `warn` hears of every word that means nothing. */
export function parseCommandLine(text: string, warn: (line: string) => void): XenOptions {
  const options: XenOptions = { hvm_fep: false };
  for (const word of text.split(/\s+/).filter((w) => w !== '')) {
    const [, no, name, value] = /^(no-)?([^=]*)(?:=(.*))?$/.exec(word)!;
    if (name === undefined || !(name in options)) {
      warn(`parameter "${word}" unknown!`);
      continue;
    }
    const on = value === undefined || TRUE.includes(value);
    if (!on && !FALSE.includes(value)) warn(`parameter "${name}" has invalid value "${value}"!`);
    else options[name as keyof XenOptions] = on !== (no !== undefined);
  }
  return options;
}
