import { describe, expect, it } from 'vitest';
import { Expectation } from './expect.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('expected output', () => {
  it('is found across chunk boundaries, even inside a character', () => {
    const e = new Expectation('gr\u00fc\u00dfe, welt');
    const all = bytes('... gr\u00fc\u00dfe, welt');
    const seen = [...all].map((byte) => e.feed(Uint8Array.of(byte)));
    expect(seen.indexOf(true)).toBe(all.length - 1);
  });

  it('is found as it came, escapes and all', () => {
    expect(new Expectation('\\x1b\\[1mbold').feed(bytes('\x1b[1mbold'))).toBe(true);
  });

  it('is found through escapes that interrupt it, wherever chunks split them', () => {
    const e = new Expectation('^login: $');
    e.feed(bytes('boot\r\n\x1b[0;3'));
    e.feed(bytes('2mlog\x1b]0;title\x07in'));
    expect(e.feed(bytes('\x1b[0m: \x1b[6n'))).toBe(true);
  });

  it('means lines by ^ and $, whose ends may have carriage returns', () => {
    const e = new Expectation('^done$');
    expect(e.feed(bytes('not done\r\n'))).toBe(false);
    expect(e.feed(bytes('done\r\n'))).toBe(true);
  });

  it('stays matched', () => {
    const e = new Expectation('a');
    e.feed(bytes('a'));
    expect(e.feed(bytes('b'))).toBe(true);
  });

  it('remembers a bounded amount of output', () => {
    const e = new Expectation('^begin[^]*end$');
    e.feed(bytes('begin'));
    for (let i = 0; i < 100; i++) e.feed(bytes('x'.repeat(1000)));
    expect(e.feed(bytes('end'))).toBe(false);
  });
});
