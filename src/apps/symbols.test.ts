import { describe, expect, it } from 'vitest';
import { SymbolMap } from './symbols.ts';

const MAP = `0000000000000000 A fixed_percpu_data
ffffffff81000000 T _text
ffffffff81000040 t helper_of_it
ffffffff81000030 T start
ffffffff82000000 D data_that_is_no_code
ffffffff81000100 W weak	[module]
`;
const at = (hex: string): number => Number(BigInt.asIntN(64, BigInt(`0x${hex}`)));

describe('a System.map', () => {
  it('names the function that an address is in', () => {
    const map = SymbolMap.parse(MAP);
    expect(map.find(at('ffffffff81000000'))).toBe('_text');
    expect(map.find(at('ffffffff8100003f'))).toBe('start');
    expect(map.find(at('ffffffff810000ff'))).toBe('helper_of_it');
    expect(map.find(at('ffffffff81000fff'))).toBe('weak');
  });

  it('knows nothing of addresses before all functions and far behind them', () => {
    const map = SymbolMap.parse(MAP);
    expect(map.find(0x40_0000)).toBeUndefined();
    expect(map.find(at('ffffffff80ffffff'))).toBeUndefined();
    expect(map.find(at('ffffffffa0000000'))).toBeUndefined();
  });

  it('is refused when it has no functions, or hides where they are', () => {
    expect(() => SymbolMap.parse('hello\n')).toThrow('no functions in it');
    expect(() => SymbolMap.parse('0000000000000000 T _text\n')).toThrow('all addresses in it are 0');
  });
});
