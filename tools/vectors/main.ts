/**
 * The recorder and the long check; docs/VECTORS.md says how to use them.
 *
 *   record [FILE]...                    records the committed files anew
 *   check [--cases N] [--seed S] [--form TEXT]   makes fresh cases, runs them on the CPU and on the engine, compares
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { VectorRunner } from '../../tests/vector-runner.ts';
import { describeInput, differences } from './compare.ts';
import { casesOf, FILES, type FileName, formsIn, RECORDED_FORMS } from './files.ts';
import type { VectorForm } from './forms.ts';
import { generate } from './generate.ts';
import { Batch, Host, recordStarts } from './host.ts';
import { FAULT_STRAY, Kase, Rec } from './record.ts';
import { VectorWriter } from './store.ts';

const BATCH = 8192;
const SHOWN = 20;

/** The outcomes of the forms' cases 0, 1, ..., a list for each form. */
function outcomes(host: Host, forms: readonly VectorForm[]): Rec[][] {
  const kase = new Kase();
  const batch = new Batch();
  for (const form of forms)
    for (let n = 0; n < casesOf(form); n++) {
      generate(form, n, kase);
      batch.add(kase.input);
    }
  const answered = host.run(batch.take());
  const records = [...recordStarts(answered)].map((at) => {
    const rec = new Rec();
    rec.bytes.set(answered.subarray(at, Math.min(answered.length, at + rec.bytes.length)));
    return rec;
  });
  return forms.map((form) => records.splice(0, casesOf(form)));
}

const FORMS_AT_ONCE = 40;

function record(host: Host, folder: string, name: FileName): void {
  const writer = new VectorWriter();
  let stray = 0;
  const forms = formsIn(name);
  for (let k = 0; k < forms.length; k += FORMS_AT_ONCE) {
    const some = forms.slice(k, k + FORMS_AT_ONCE);
    outcomes(host, some).forEach((list, i) => {
      stray += list.filter((rec) => rec.fault === FAULT_STRAY).length;
      writer.form(some[i]!, list);
    });
  }
  const file = writer.done();
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.vec.br`), file);
  const cases = writer.cases - stray;
  process.stdout.write(
    `${name}: ${forms.length} forms, ${cases} cases, ${file.length} bytes; ${stray} dropped\n`,
  );
}

/** The long check's cases, form by form in turn: fresh ones, since their numbers begin where the seed says. */
function* numbered(
  forms: readonly VectorForm[],
  cases: number,
  seed: number,
): Iterable<[VectorForm, number]> {
  let made = 0;
  for (let round = 0; made < cases; round++)
    for (const form of forms) {
      // a share of the rounds as the form's share of the files
      if (round % 3 !== 0 && form.mode !== 64) continue;
      if (made++ >= cases) return;
      yield [form, seed * 1_000_000 + round];
    }
}

class Check {
  failed = 0;
  private readonly runner = new VectorRunner();
  /** As many as a batch has: to make a case costs as much as to run it. */
  private readonly kases: Kase[] = [];
  private readonly want = new Rec();
  private readonly host: Host;

  constructor(host: Host) {
    this.host = host;
  }

  batch(list: readonly (readonly [VectorForm, number])[]): void {
    const { kases, want } = this;
    const batch = new Batch();
    list.forEach(([form, n], k) => {
      kases[k] ??= new Kase();
      generate(form, n, kases[k]);
      batch.add(kases[k].input);
    });
    const answered = this.host.run(batch.take());
    let k = 0;
    for (const at of recordStarts(answered)) {
      const kase = kases[k++]!;
      want.bytes.set(answered.subarray(at, at + kase.input.length));
      if (want.fault !== FAULT_STRAY) this.one(kase);
    }
  }
  private one(kase: Kase): void {
    const { want, runner } = this;
    let wrong: string[];
    try {
      runner.run(kase);
      wrong = differences(kase, want, runner.got);
    } catch (e) {
      wrong = [String(e)];
    }
    if (wrong.length === 0) return;
    this.failed++;
    if (this.failed <= SHOWN) process.stdout.write(`\n${describeInput(kase)}\n  ${wrong.join('\n  ')}\n`);
  }
}

function check(host: Host, cases: number, seed: number, text: string): number {
  const forms = RECORDED_FORMS.filter((form) => form.key.includes(text));
  const c = new Check(host);
  const begin = Date.now();
  let done = 0;
  let list: [VectorForm, number][] = [];
  const flush = (): void => {
    c.batch(list);
    done += list.length;
    list = [];
    const rate = Math.round(done / ((Date.now() - begin) / 1000));
    if (process.stdout.isTTY) process.stdout.write(`\r${done} cases, ${rate} a second, ${c.failed} differ `);
  };
  for (const entry of numbered(forms, cases, seed)) if (list.push(entry) === BATCH) flush();
  flush();
  const seconds = Math.round((Date.now() - begin) / 1000);
  process.stdout.write(`\n${done} cases of ${forms.length} forms in ${seconds} s: ${c.failed} differ\n`);
  return c.failed === 0 ? 0 : 1;
}

/** `root` is the project's folder. Answers the exit status. */
export function main(root: string, args: string[]): number {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      cases: { type: 'string', default: '100000' },
      seed: { type: 'string', default: '1' },
      form: { type: 'string', default: '' },
    },
  });
  const [what, ...names] = positionals;
  if (what !== 'record' && what !== 'check') {
    process.stderr.write('usage: vectors record [FILE]... | check [--cases N] [--seed S] [--form TEXT]\n');
    return 2;
  }
  const unknown = names.find((name) => !FILES.includes(name as FileName));
  if (unknown !== undefined) {
    process.stderr.write(`no file of vectors is called ${unknown}; there are ${FILES.join(' ')}\n`);
    return 2;
  }
  const host = new Host(root);
  try {
    if (what === 'check') return check(host, Number(values.cases), Number(values.seed), values.form);
    const folder = join(root, 'src/x86/vectors');
    for (const name of names.length > 0 ? (names as FileName[]) : FILES) record(host, folder, name);
    for (const why of host.lost) process.stdout.write(`killed the child: ${why}\n`);
    return 0;
  } finally {
    host.close();
  }
}
