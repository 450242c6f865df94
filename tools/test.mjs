/**
 * `npm test`: bundles the programs, runs the tests, and ends with the line `N passed, N failed, N skipped`. Every skip
 * is listed with its reason. With `--expected-skips FILE` a skip that the file does not name is a failure too; other
 * arguments choose test files, as vitest's do.
 */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import './build.mjs';
import { startVitest } from 'vitest/node';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values, positionals } = parseArgs({
  options: { 'expected-skips': { type: 'string' } },
  allowPositionals: true,
});

/** Names as `file > describe > test`, one a line; `#` starts a comment. */
function readNames(path) {
  const lines = readFileSync(path, 'utf8').split('\n');
  return new Set(lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#')));
}

class Counter {
  passed = 0;
  failed = 0;
  skips = [];

  onTestRunEnd(modules, errors) {
    this.failed += errors.length;
    for (const module of modules) {
      const file = relative(root, module.moduleId);
      for (const test of module.children.allTests()) this.count(file, test);
      this.failed += this.brokenParts(module);
    }
  }

  count(file, test) {
    const { state, note } = test.result();
    if (state === 'passed') this.passed++;
    else if (state === 'failed') this.failed++;
    else this.skips.push({ name: `${file} > ${test.fullName}`, note });
  }

  /** Files and suites that failed outside any test: a hook, an import. */
  brokenParts(module) {
    return [module, ...module.children.allSuites()].filter((part) => part.errors().length > 0).length;
  }
}

const counter = new Counter();
const vitest = await startVitest('test', positionals, {
  root,
  watch: false,
  reporters: ['default', counter],
});
await vitest?.close();

const expected = values['expected-skips'] ? readNames(values['expected-skips']) : undefined;
for (const { name, note } of counter.skips) {
  const unexpected = expected && !expected.has(name);
  if (unexpected) counter.failed++;
  console.log(`skipped${unexpected ? ' UNEXPECTEDLY' : ''}: ${name}${note ? ` (${note})` : ''}`);
}
if (counter.passed + counter.failed + counter.skips.length === 0) counter.failed++;
console.log(`${counter.passed} passed, ${counter.failed} failed, ${counter.skips.length} skipped`);
process.exit(counter.failed === 0 ? 0 : 1);
