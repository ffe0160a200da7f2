import type { Report, ReportRow } from '../pipeline/report/types.js';
import { count, digits, percent, signed, size } from './format.js';
import { type Html, html } from './html.js';
import type { ReportDocument } from './types.js';

/** Share of accuracy that the summary takes for little unless told otherwise. */
const LITTLE = 0.01;

type Classes = NonNullable<ReportRow['classes']>;

/**
 * Between what a loss of accuracy lies in all likelihood: two standard errors about what was measured. Where no answer changed
 * that error is 0 and says nothing; then `3 / n` bounds the share of samples that would change, with 95 % confidence (the rule
 * of three: Hanley and Lippman-Hand, If nothing goes wrong, is everything all right?, 1983).
 */
export function lossBounds(
  { drop, dropError, changed }: Classes,
  samples: number,
): readonly [number, number] {
  const half = changed.broken + changed.repaired === 0 ? 3 / samples : 2 * dropError;
  return [drop - half, drop + half];
}

const smallest = <T extends ReportRow>(rows: readonly T[]) =>
  rows.reduce<T | undefined>((a, b) => (a && a.bytes <= b.bytes ? a : b), undefined);

/** The quantized row with the least divergence. */
function closestRow({ rows }: Report): ReportRow | undefined {
  const [first, ...others] = rows.filter(({ kind, divergence }) => kind !== 'float' && divergence !== null);
  return first && others.reduce((a, b) => ((b.divergence ?? 0) < (a.divergence ?? 0) ? b : a), first);
}

/** What the summary speaks of, and how sure it is. */
interface Choice {
  readonly row: ReportRow & { readonly classes: Classes };
  /**
   * `sure`: its loss is within the threshold, error bars included; `measured`: it was measured so, and may be more; `more`: no
   * form's was.
   */
  readonly claim: 'sure' | 'measured' | 'more';
}

/** The smallest row that surely loses little, else the smallest that was measured so, else the one that loses least. */
export function chosenRow({ rows, within = LITTLE, data }: ReportDocument): Choice | undefined {
  const quantized = rows.filter(
    (row): row is Choice['row'] => row.kind !== 'float' && row.classes !== undefined,
  );
  const [first, ...others] = quantized;
  if (!first) return undefined;
  const most = within + 1e-9;
  const sure = smallest(quantized.filter(({ classes }) => lossBounds(classes, data.samples)[1] <= most));
  if (sure) return { row: sure, claim: 'sure' };
  const measured = smallest(quantized.filter(({ classes }) => classes.drop <= most));
  if (measured) return { row: measured, claim: 'measured' };
  return { row: others.reduce((a, b) => (b.classes.top1 > a.classes.top1 ? b : a), first), claim: 'more' };
}

/** A loss with its error: one standard error, or what is known where no answer changed. */
function change({ drop, dropError, changed }: Classes, samples: number): string {
  if (changed.broken + changed.repaired === 0) return `0.00, within ±${(300 / samples).toFixed(2)}`;
  return `${signed(-100 * drop, 2)} ± ${(100 * dropError).toFixed(2)}`;
}

const pointsOf = (within: number) => {
  const points = Number((100 * within).toPrecision(3));
  return points === 1 ? 'one point' : `${points} points`;
};

/** One sentence, or two. */
export function summary(report: ReportDocument): Html {
  const [float] = report.rows as [ReportRow];
  const choice = chosenRow(report);
  if (!choice || !float.classes) {
    const closest = closestRow(report);
    if (!closest) return html`No quantized form of the model has outputs that are finite.`;
    return html`Closest to the float model’s outputs is <strong>${closest.name}</strong>: a divergence of ${digits(closest.divergence)}
      in ${count(closest.bytes)} bytes, ${closest.ratio.toFixed(1)} times fewer than its float32 weights.`;
  }
  const { row, claim } = choice;
  const points = pointsOf(report.within ?? LITTLE);
  const lead = {
    sure: html`The smallest form that loses at most ${points} of accuracy is <strong>${row.name}</strong>:`,
    measured: html`No form is known to lose at most ${points} of accuracy: ${count(report.data.samples)} samples are too few to tell. The smallest that was measured so is <strong>${row.name}</strong>:`,
    more: html`Every form was measured to lose more than ${points} of accuracy. The best is <strong>${row.name}</strong>:`,
  }[claim];
  return html`${lead} ${percent(row.classes.top1)} instead of ${percent(float.classes.top1)} in ${count(row.bytes)} bytes,
    ${row.ratio.toFixed(1)} times fewer than the float32 weights.`;
}

/** What the first sentence takes for little, and how sure it is. */
export function threshold(report: ReportDocument): Html | undefined {
  if (!chosenRow(report)) return undefined;
  return html`A form counts as losing at most ${pointsOf(report.within ?? LITTLE)} where that holds for its measured loss and two standard errors on
    top: of samples like these, about 19 sets in 20 would agree. <code>--within</code> sets another threshold.`;
}

/** What the page says first in large figures. */
export function keyNumbers(report: ReportDocument): Html {
  const [float] = report.rows as [ReportRow];
  const row = chosenRow(report)?.row ?? closestRow(report);
  const cells: Html[] = [
    html`<div><dt>Weights</dt><dd>${count(report.parameters)}<small>${size(report.floatBytes)} as float32</small></dd></div>`,
  ];
  if (float.classes && row?.classes) {
    cells.push(
      html`<div><dt>Accuracy of the float model</dt><dd>${percent(float.classes.top1)}<small>${count(report.data.samples)} samples</small></dd></div>`,
      html`<div><dt>${row.name}</dt><dd>${percent(row.classes.top1)}<small>${change(row.classes, report.data.samples)} points</small></dd></div>`,
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
export function rowTable({ rows, data }: Report): Html {
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
              row === float ? '' : change(classes, data.samples),
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
