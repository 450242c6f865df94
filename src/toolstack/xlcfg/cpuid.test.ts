import { describe, expect, it } from 'vitest';
import { readDomainConfig } from './domain-config.ts';
import { ConfigError } from './errors.ts';
import { parseConfig } from './parser.ts';

const entropy = { fill: (bytes: Uint8Array) => bytes };

function read(cpuid: string) {
  const text = `name = "c"\nkernel = "k"\ncpuid = ${cpuid}\n`;
  return readDomainConfig(parseConfig(text, 'c.cfg'), { entropy, warn: () => {} }).cpuid;
}
function refusal(cpuid: string): string {
  try {
    read(cpuid);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'none';
}
const x = (n: number): string => 'x'.repeat(n);

describe('cpuid by names', () => {
  it('sets single bits of a register', () => {
    expect(read('"host,sse3=0,hypervisor=k,fpu=s"')).toEqual([
      { leaf: 1, subleaf: undefined, registers: { ecx: `k${x(30)}0`, edx: `${x(31)}s` } },
    ]);
  });

  it('knows leaves with subleaves, and fields of several bits', () => {
    expect(read('"host,xsavec=1,nc=0x12"')).toEqual([
      { leaf: 0xd, subleaf: 1, registers: { eax: `${x(30)}1x` } },
      { leaf: 0x8000_0008, subleaf: undefined, registers: { ecx: `${x(24)}00010010` } },
    ]);
  });

  it('splits family and model as CPUID does', () => {
    const eax = (text: string): string | undefined => read(text)[0]?.registers.eax;
    expect(eax('"host,family=6"')).toBe(`xxxx00000000${x(8)}0110${x(8)}`);
    expect(eax('"host,family=0x19"')).toBe(`xxxx00001010${x(8)}1111${x(8)}`);
    expect(eax('"host,model=0x21"')).toBe(`${x(12)}0010${x(8)}0001xxxx`);
    expect(eax('"host,stepping=2,family=x"')).toBe(`${x(28)}0010`);
  });

  it('says where it stopped understanding', () => {
    expect(refusal('"sse3=0"')).toBe(
      'c.cfg:3:9: \'cpuid\': "sse3=0", character 1: it must begin with "host"',
    );
    expect(refusal('"host,sse3=0,foo=1"')).toContain('character 13: there is no feature "foo"');
    expect(refusal('"host,sse3"')).toContain('character 6: "sse3" is not of the form name=value');
    expect(refusal('"host,sse3=2"')).toContain('character 11: "2" is no value of "sse3"');
    expect(refusal('"host,family=271"')).toContain('no value of "family"');
    expect(refusal('"host,sse3=y"')).toContain('no value of "sse3"');
  });
});

describe('cpuid by registers', () => {
  it('takes all bits of them', () => {
    expect(read(`["1:ecx=${x(31)}0,edx=${x(32)}", "0xd,1:eax=${x(31)}1"]`)).toEqual([
      { leaf: 1, subleaf: undefined, registers: { ecx: `${x(31)}0`, edx: x(32) } },
      { leaf: 0xd, subleaf: 1, registers: { eax: `${x(31)}1` } },
    ]);
  });

  it('says where it stopped understanding', () => {
    expect(refusal('["1"]')).toContain('character 2: there is no ":" after the leaf');
    expect(refusal('["one:eax=0"]')).toContain('"one" is not a leaf\'s number');
    expect(refusal(`["1:rax=${x(32)}"]`)).toContain('character 3: "rax" is not one of eax, ebx, ecx, edx');
    expect(refusal('["1:eax=01"]')).toContain('character 7: "eax" needs 32 bits');
    expect(refusal(`["1:eax=${x(31)}2"]`)).toContain('character 38: "2" is not one of 0, 1, x, k and s');
  });
});
