import type { Report, ReportRow } from '../pipeline/report/types.js';
import { count, digits, percent, signed, size } from './format.js';
import { type Html, html } from './html.js';

/** Points of accuracy that the summary takes for little. */
const LITTLE = 0.01;

const smallest = (rows: readonly ReportRow[]) =>
  rows.reduce<ReportRow | undefined>((a, b) => (a && a.bytes <= b.bytes ? a : b), undefined);

/** The quantized row with the least divergence. */
function closestRow({ rows }: Report): ReportRow | undefined {
  const [first, ...others] = rows.filter(({ kind, divergence }) => kind !== 'float' && divergence !== null);
  return first && others.reduce((a, b) => ((b.divergence ?? 0) < (a.divergence ?? 0) ? b : a), first);
}

/** The row that the summary speaks of: the smallest that loses at most a point, else the one that loses least. */
export function chosenRow({ rows }: Report): ReportRow | undefined {
  const quantized = rows.filter(({ kind }) => kind !== 'float');
  if (!quantized.some(({ classes }) => classes)) return undefined;
  const near = smallest(quantized.filter(({ classes }) => classes && classes.drop <= LITTLE + 1e-9));
  return near ?? quantized.reduce((a, b) => ((b.classes?.top1 ?? 0) > (a.classes?.top1 ?? 0) ? b : a));
}

const points = (row: ReportRow) => {
  const { drop, dropError } = row.classes as NonNullable<ReportRow['classes']>;
  return `${signed(-100 * drop, 2)} ± ${(100 * dropError).toFixed(2)} points`;
};

/** One sentence, or two. */
export function summary(report: Report): Html {
  const [float] = report.rows as [ReportRow];
  const row = chosenRow(report);
  if (!row?.classes || !float.classes) {
    const closest = closestRow(report);
    if (!closest) return html`No quantized form of the model has outputs that are finite.`;
    return html`Closest to the float model’s outputs is <strong>${closest.name}</strong>: a divergence of ${digits(closest.divergence)}
      in ${count(closest.bytes)} bytes, ${closest.ratio.toFixed(1)} times fewer than its float32 weights.`;
  }
  const { classes } = row;
  const lead =
    classes.drop <= LITTLE + 1e-9
      ? html`The smallest form that loses at most one point of accuracy is <strong>${row.name}</strong>:`
      : html`Every form loses more than one point of accuracy. The best is <strong>${row.name}</strong>:`;
  return html`${lead} ${percent(classes.top1)} instead of ${percent(float.classes.top1)} in ${count(row.bytes)} bytes,
    ${row.ratio.toFixed(1)} times fewer than the float32 weights.`;
}

/** What the page says first in large figures. */
export function keyNumbers(report: Report): Html {
  const [float] = report.rows as [ReportRow];
  const row = chosenRow(report) ?? closestRow(report);
  const cells: Html[] = [
    html`<div><dt>Weights</dt><dd>${count(report.parameters)}<small>${size(report.floatBytes)} as float32</small></dd></div>`,
  ];
  if (float.classes && row?.classes) {
    cells.push(
      html`<div><dt>Accuracy of the float model</dt><dd>${percent(float.classes.top1)}<small>${count(report.data.samples)} samples</small></dd></div>`,
      html`<div><dt>${row.name}</dt><dd>${percent(row.classes.top1)}<small>${points(row)}</small></dd></div>`,
    );
  } else if (row) {
    cells.push(
      html`<div><dt>Divergence of ${row.name}</dt><dd>${digits(row.divergence)}<small>${count(report.data.samples)} samples</small></dd></div>`,
    );
  }
  if (row) {
    cells.push(
      html`<div><dt>Its file</dt><dd>${row.ratio.toFixed(1)}× smaller<small>${count(row.bytes)} bytes</small></dd></div>`,
    );
  }
  return html`<dl class="numbers">${cells}</dl>`;
}

/** Every row in numbers. */
export function rowTable({ rows }: Report): Html {
  const hasClasses = rows.some(({ classes }) => classes);
  const hasTop5 = rows.some(({ classes }) => classes?.top5 !== undefined);
  const heads = [
    ...['Bytes', 'Ratio', 'Bits'],
    ...(hasClasses
      ? ['Accuracy, %', 'Change, points', ...(hasTop5 ? ['Top 5, %'] : []), 'Loss', 'Answers changed']
      : []),
    ...['Divergence', 'Seconds'],
  ];
  const [float] = rows as [ReportRow];
  return html`<table>
    <thead><tr><th scope="col" class="number">#</th><th scope="col">Weights</th>${heads.map((head) => html`<th scope="col" class="number">${head}</th>`)}</tr></thead>
    <tbody>${rows.map((row, i) => {
      const { classes } = row;
      const changed = classes ? classes.changed.broken + classes.changed.repaired + classes.changed.other : 0;
      const cells = [
        ...[count(row.bytes), `${row.ratio.toFixed(1)}×`, row.bitsPerWeight.toFixed(2)],
        ...(classes
          ? [
              (100 * classes.top1).toFixed(2),
              row === float
                ? ''
                : `${signed(-100 * classes.drop, 2)} ± ${(100 * classes.dropError).toFixed(2)}`,
              ...(hasTop5 ? [(100 * (classes.top5 ?? Number.NaN)).toFixed(2)] : []),
              classes.loss === null ? 'NaN' : classes.loss.toFixed(4),
              row === float ? '' : count(changed),
            ]
          : []),
        ...[
          row === float ? '' : digits(row.divergence),
          (row.seconds.quantize + row.seconds.evaluate).toFixed(1),
        ],
      ];
      return html`<tr${row.isPareto && html` class="front"`}><td class="number">${i + 1}</td><th scope="row">${row.name}</th>${cells.map((cell) => html`<td class="number">${cell}</td>`)}</tr>`;
    })}</tbody></table>`;
}
