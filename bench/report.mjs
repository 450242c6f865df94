/** Medians, ratios and means of what was measured, and the table that shows them. */

export const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** A row as it is reported; `seconds` are those of each machine's rounds, and why there are none of them otherwise. */
export function reportRow({ family, name, what }, seconds, missing) {
  if (missing !== undefined) return { family, name, what, missing };
  const [domzero, other] = seconds.map(median);
  return { family, name, what, domzero, other, ratio: other && other / domzero, seconds };
}

function geometricMean(rows, most) {
  const logs = rows.filter(({ ratio }) => ratio).map(({ ratio }) => Math.log(Math.min(ratio, most)));
  return logs.length > 0 ? Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length) : undefined;
}

/** Geometric means by family, and that of all rows; none counts for more than `most`. */
export function means(rows, most = Number.POSITIVE_INFINITY) {
  const families = [...new Set(rows.map(({ family }) => family))];
  const mean = (family) =>
    geometricMean(
      rows.filter((row) => row.family === family),
      most,
    );
  return { families: Object.fromEntries(families.map((f) => [f, mean(f)])), all: geometricMean(rows, most) };
}

const number = (x) => (x === undefined ? '' : x >= 100 ? x.toFixed(0) : x.toPrecision(3));

function tableRow({ name, what, missing, ...row }) {
  if (missing !== undefined) return [`  ${name}`, what, '-', '-', '-', missing];
  return [`  ${name}`, what, number(row.domzero), number(row.other), row.ratio?.toFixed(2) ?? '', ''];
}

/** The table: each family's rows below a line with its mean. */
function table({ rows, mean }, column) {
  const lines = [['', '', 'Domzero, s', column ? `${column}, s` : '', column ? 'ratio' : '', '']];
  for (const [family, ratio] of Object.entries(mean.families)) {
    lines.push([family, '', '', '', ratio?.toFixed(2) ?? '', '']);
    lines.push(...rows.filter((row) => row.family === family).map(tableRow));
  }
  if (mean.all) lines.push(['all rows', '', '', '', mean.all.toFixed(2), '']);
  return lines;
}

/** `other` is the machine that ours is compared with: the head of its column (none where ours stands alone), its name. */
export function report(found, other) {
  const lines = table(found, other.column);
  const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  const pad = (cell, i) => (i < 2 || i === 5 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]));
  const text = [
    `${found.date}, ${found.machine}`,
    `${found.guest}; ${other.what}`,
    `medians of ${found.rounds}; the load average was ${found.load.toFixed(1)} before`,
    '',
    ...lines.map((line) => line.map(pad).join('  ').trimEnd()),
  ];
  if (found.boot)
    text.push(
      '',
      `The boot ran ${number(found.boot.instructions / 1e6)} million guest instructions on Domzero, ` +
        `${number(found.boot.millionsPerSecond)} million a second of CPU.`,
    );
  return text.join('\n');
}
