import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError, formatConfigError } from './errors.ts';
import { type Config, parseConfig, printConfig, type Value } from './parser.ts';

type Plain = string | Plain[];
const plain = (v: Value): Plain => (v.kind === 'list' ? v.items.map(plain) : v.text);
const settings = (c: Config) => Object.fromEntries([...c.settings].map(([k, s]) => [k, plain(s.value)]));
const read = (text: string, ...overrides: string[]) => settings(parseConfig(text, 'e1.cfg', overrides));

function faults(text: string, ...overrides: string[]): string {
  try {
    parseConfig(text, 'e1.cfg', overrides);
  } catch (error) {
    if (error instanceof ConfigError) return formatConfigError(error);
    throw error;
  }
  return 'none';
}

describe('the syntax of xl.cfg', () => {
  const good: [what: string, text: string, settings: Record<string, Plain>][] = [
    ['nothing', '', {}],
    ['comments and blank lines', '\n# a\n  \t\n#', {}],
    ['a last line without a newline', 'memory = 64', { memory: '64' }],
    ['several settings on a line', 'name="a"; vcpus = 2;;', { name: 'a', vcpus: '2' }],
    ['a comment after a value', 'name = "e1"; kernel = "/v" # comment', { name: 'e1', kernel: '/v' }],
    ['single quotes', 'name = \'e "1"\'', { name: 'e "1"' }],
    [
      'numbers in three bases',
      'a = 12\nb = 0x4F\nc = 017\nd = -3',
      { a: '12', b: '0x4F', c: '017', d: '-3' },
    ],
    ['escapes', String.raw`a = "\"\'\\\n\t\x41\101"`, { a: '"\'\\\n\tAA' }],
    ['a # and a ; in a string', 'a = "x#y;z"', { a: 'x#y;z' }],
    ['an empty list', 'disk = []', { disk: [] }],
    ['a list over lines', 'disk = [ # first\n\n"a",\n # second\n"b"\n,\n]\n', { disk: ['a', 'b'] }],
    ['nested lists of mixed values', 'vnuma = [ ["pnode=0", 1], [] ]', { vnuma: [['pnode=0', '1'], []] }],
    ['a key given twice', 'a = 1\na = 2', { a: '2' }],
    ['+= on a list', 'a = ["x"]\na += ["y"]\nb += ["z"]', { a: ['x', 'y'], b: ['z'] }],
    ['+= on a string', 'a = "x"\na += " y"', { a: 'x y' }],
    ['Windows line ends', 'a = 1\r\nb = [\r\n2]\r\n', { a: '1', b: ['2'] }],
  ];
  it.each(good)('takes %s', (_what, text, expected) => {
    expect(read(text)).toEqual(expected);
  });

  // The lines are those that xl 4.17 reports for the same texts.
  const bad: [text: string, faults: string][] = [
    [
      'name = "e1"\nkernel = "/v"\nmemory = = 64\n',
      "e1.cfg:3:10: expected a string, a number or '[' for 'memory', found '='",
    ],
    [
      'name = "e1"\nkernel = "/v\nmemory = 64\n',
      'e1.cfg:2:10: the string that begins with " has no closing "',
    ],
    [
      'name = "e1"\nkernel = "/v"\nmemory = 64\ndisk = [ "/d,raw,xvda,w"\n',
      "e1.cfg:4:25: expected ',' or ']' in the list 'disk' that begins on line 4, found the end of the text",
    ],
    [
      'name = e1\n',
      "e1.cfg:1:8: expected a string, a number or '[' for 'name', found 'e1'; a string needs quotes",
    ],
    ['name "e1"\n', "e1.cfg:1:6: expected '=' or '+=' after 'name', found \"e1\""],
    [
      'name = "e1"\n@@@\n\nmemory = 64 64\n',
      "e1.cfg:2:1: '@@@' is not part of a configuration\n" +
        "e1.cfg:4:13: expected a new line or ';' after the value of 'memory', found '64'",
    ],
    [
      'name = "e1" kernel = "/v"\n',
      "e1.cfg:1:13: expected a new line or ';' after the value of 'name', found 'kernel'",
    ],
    ['= 5\n', "e1.cfg:1:1: expected the name of an option, as in 'memory = 256', found '='"],
    [
      'name = \'e1\'\nkernel = "/v",\n',
      "e1.cfg:2:14: expected a new line or ';' after the value of 'kernel', found ','",
    ],
    ['Memory = 1', "e1.cfg:1:1: 'Memory' is not part of a configuration"],
    ['a =\n# 1', "e1.cfg:1:4: expected a string, a number or '[' for 'a', found the end of the line"],
    ['a = [ , ]', "e1.cfg:1:7: expected a string, a number or '[' for 'a', found ','"],
    ['a = "x\\qy"', "e1.cfg:1:7: '\\q' means nothing in a string"],
    ['a = "\\777"', "e1.cfg:1:6: '\\777' means nothing in a string"],
    ['a = 1\na += [ 2 ]', "e1.cfg:2:6: '+=' cannot add a list to 'a', which is a single value"],
    ['a = \x01', "e1.cfg:1:5: '\\x01' is not part of a configuration"],
  ];
  it.each(bad)('refuses %j and says where', (text, expected) => {
    expect(faults(text)).toBe(expected);
  });

  it('refuses lists nested without end', () => {
    expect(faults(`a = ${'['.repeat(100_000)}`)).toMatch(
      /^e1.cfg:1:\d+: lists in 'a' are nested too deeply$/,
    );
  });

  it('remembers where keys and values stand', () => {
    const setting = parseConfig('\n  a = [ 1,\n "x" ]', 'f').settings.get('a')!;
    expect(setting.place).toEqual({ file: 'f', line: 2, column: 3 });
    expect(setting.value.place).toEqual({ file: 'f', line: 2, column: 7 });
    expect(setting.value.kind === 'list' && setting.value.items[1]!.place).toEqual({
      file: 'f',
      line: 3,
      column: 2,
    });
  });
});

describe('assignments on the command line', () => {
  it('come after the file and count over it', () => {
    expect(read('memory = 64\nname = "a"', 'memory=256', 'name="x"')).toEqual({ memory: '256', name: 'x' });
  });
  it('may hold several settings', () => {
    expect(read('', 'memory=64;vcpus=3')).toEqual({ memory: '64', vcpus: '3' });
  });
  it('may append to what the file gives', () => {
    expect(read('disk = ["a"]', 'disk+=["b"]')).toEqual({ disk: ['a', 'b'] });
  });
  it('may leave out the quotes of a word', () => {
    const expected = { type: 'pvh', kernel: '/boot/vmlinuz-6.1', extra: 'console=hvc0', vcpus: '2' };
    expect(read('', 'type=pvh', 'kernel=/boot/vmlinuz-6.1', 'extra=console=hvc0;vcpus=2')).toEqual(expected);
  });
  it('are named in errors by their number', () => {
    expect(faults('memory = 64', 'a=1', 'b==2')).toBe(
      "command line:2:3: expected a string, a number or '[' for 'b', found '='",
    );
  });
});

describe('any text', () => {
  const fragment = fc.constantFrom(
    ...[
      'a',
      '=',
      '+=',
      '[',
      ']',
      ',',
      ';',
      '\n',
      '"',
      "'",
      '\\',
      '#',
      ' ',
      '0x',
      '7',
      '-',
      '\r',
      '\xff',
      '@',
    ],
  );
  it('parses or is refused with a place in it', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: fragment, maxLength: 60 }), fc.string()), (text) => {
        try {
          parseConfig(text, 'f', [text]);
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error;
          expect(error.line).toBeGreaterThanOrEqual(1);
          expect(error.line).toBeLessThanOrEqual(text.split('\n').length);
          expect(error.column).toBeGreaterThanOrEqual(1);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('prints as text with the same settings', () => {
    const place = { file: 'f', line: 1, column: 1 };
    const { value } = fc.letrec<{ value: Value; list: Value; atom: Value }>((tie) => ({
      value: fc.oneof({ maxDepth: 3 }, tie('atom'), tie('list')),
      list: fc.array(tie('value'), { maxLength: 4 }).map((items) => ({ kind: 'list', items, place })),
      atom: fc
        .oneof(fc.string(), fc.string({ unit: 'binary' }), fc.integer().map(String))
        .map((text) => ({ kind: 'atom', text, place })),
    }));
    const key = fc.stringMatching(/^[a-z][a-z0-9_.]{0,8}$/);
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(key, value), { selector: ([k]) => k }), (pairs) => {
        const entries = pairs.map(([k, v]) => [k, { key: k, value: v, place, appended: false }] as const);
        const config: Config = { file: 'f', settings: new Map(entries) };
        expect(settings(parseConfig(printConfig(config), 'f'))).toEqual(settings(config));
      }),
    );
  });
});
