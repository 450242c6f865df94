import { describe, expect, it } from 'vitest';
import { parseCommandLine } from './command-line.ts';

function parse(text: string) {
  const warnings: string[] = [];
  return { ...parseCommandLine(text, (line) => warnings.push(line)), warnings };
}

describe('the command line of the hypervisor', () => {
  it('knows the ways to say yes and no, the last word counting', () => {
    for (const on of ['hvm_fep', 'hvm_fep=1', ' hvm_fep=off  hvm_fep=yes ', 'no-hvm_fep=0'])
      expect(parse(on)).toEqual({ hvm_fep: true, warnings: [] });
    for (const off of ['', 'no-hvm_fep', 'hvm_fep=false', 'hvm_fep hvm_fep=0'])
      expect(parse(off)).toEqual({ hvm_fep: false, warnings: [] });
  });

  it('says what it does not understand, and goes on', () => {
    expect(parse('dom0_mem=1G hvm_fep=maybe hvm_fep')).toEqual({
      hvm_fep: true,
      warnings: ['parameter "dom0_mem=1G" unknown!', 'parameter "hvm_fep" has invalid value "maybe"!'],
    });
  });
});
