import * as Plot from '@observablehq/plot';
import type { Count, Report, ReportRow, Task } from '../../pipeline/report/types.js';
import { roomFor, type Studio } from '../figure.js';
import { byBits, count, familyOf, percent, signed } from '../format.js';
import { type Html, html, short } from '../html.js';

export type Classifier = Extract<Task, { kind: 'classifier' }>;

/** Classes that are drawn at most; a matrix is drawn up to fewer. */
const MOST_CLASSES = 40;
const MOST_MATRIX = 20;
/** Counts below this are light, however few the samples. */
const FEW = 4;

const mains = ({ rows }: Report) => byBits(rows.filter(({ isMain }) => isMain));

/** Accuracy in each class: a dot for the float model and each main row. */
export function classFigure(studio: Studio, report: Report, { classNames }: Classifier): Html {
  const rows = mains(report);
  const spread = (label: number) => {
    const values = rows.map(({ classes }) => classes?.perClass[label] ?? 0);
    return Math.max(...values) - Math.min(...values);
  };
  const all = classNames.map((_, label) => label);
  const labels = all
    .filter((label) => rows[0]?.classes?.perClass[label] !== null)
    .sort((a, b) => spread(b) - spread(a))
    .slice(0, MOST_CLASSES)
    .sort((a, b) => a - b);
  const points = rows.flatMap((row) =>
    labels.map((label) => ({ row, label, value: 100 * (row.classes?.perClass[label] ?? 0) })),
  );
  const lowest = Math.min(...points.map(({ value }) => value));
  // Forms lie below each other in the band of a class: equal ones would hide each other.
  const lane = 7;
  const step = lane * rows.length + 8;
  const name = (label: number, most: number) => short(classNames[label] ?? String(label), most);
  const figure = studio.both(
    `Accuracy in each class, float and ${rows.length - 1} quantized forms; the table has the numbers`,
    (_, isNarrow) => {
      const most = isNarrow ? 10 : 24;
      return {
        height: 44 + step * labels.length,
        ...{
          marginLeft: roomFor(
            labels.map((label) => name(label, most)),
            200,
          ),
          marginRight: 18,
        },
        ...{ marginTop: 8, marginBottom: 36 },
        x: {
          label: 'accuracy, %',
          domain: [Math.max(0, lowest - 0.06 * (100 - lowest) - 0.2), 100],
          ticks: isNarrow ? 4 : 8,
        },
        y: {
          type: 'point',
          domain: labels,
          label: null,
          tickSize: 0,
          tickFormat: (label: number) => name(label, most),
        },
        color: { type: 'identity' },
        marks: [
          Plot.gridX({ stroke: 'var(--grid)', strokeOpacity: 1 }),
          Plot.ruleY(labels, { stroke: 'var(--grid)', dy: -step / 2 }),
          ...rows.map((row, i) =>
            Plot.dot(
              points.filter((point) => point.row === row),
              {
                ...{ x: 'value', y: 'label', dy: lane * (i - (rows.length - 1) / 2) },
                fill: `var(--${familyOf(row)})`,
                ...(row.kind === 'float' ? { symbol: 'square' as const, r: 3 } : { r: 3.5 }),
              },
            ),
          ),
        ],
      };
    },
  );
  const left = all.length - labels.length;
  return html`${figure}${left > 0 && html`<p class="muted small">${count(labels.length)} of ${count(all.length)} classes are drawn: those that change most.</p>`}`;
}

export function classLegend(report: Report): Html {
  return html`<p class="legend">${mains(report).map(
    (row) => html`<span><i class="swatch ${familyOf(row)}"></i>${row.name}</span>`,
  )}</p>`;
}

/** The numbers of the figure, of all classes. */
export function classTable(report: Report, { classNames }: Classifier): Html {
  const rows = mains(report);
  const samples = (label: number) =>
    (report.confusion ?? []).reduce((sum, [own, , n]) => sum + (own === label ? n : 0), 0);
  return html`<table>
    <thead><tr><th scope="col">Class</th><th scope="col" class="number">Samples</th>${rows.map(
      ({ name }) => html`<th scope="col" class="number">${name}</th>`,
    )}</tr></thead>
    <tbody>${classNames.map(
      (name, label) =>
        html`<tr><th scope="row">${name}</th><td class="number">${count(samples(label))}</td>${rows.map(
          ({ classes }) => {
            const value = classes?.perClass[label];
            return html`<td class="number">${value === null || value === undefined ? '–' : percent(value, 1)}</td>`;
          },
        )}</tr>`,
    )}</tbody></table>`;
}

/** A matrix of counts, classes down and answers across; changes in two colours. */
function matrix(
  studio: Studio,
  label: string,
  counts: readonly Count[],
  names: readonly string[],
  isChange: boolean,
): Html {
  const hasNone = counts.some(([, answer]) => answer < 0);
  const classes = names.map((_, i) => i);
  const answers = hasNone ? [...classes, -1] : classes;
  const known = new Map(counts.map(([own, answer, n]) => [`${own},${answer}`, n]));
  const cells = classes.flatMap((own) =>
    answers.map((answer) => ({ own, answer, n: known.get(`${own},${answer}`) ?? 0 })),
  );
  // The diagonal of a whole matrix is its own scale: errors are few beside it.
  const most = (isDiagonal: boolean) =>
    Math.max(
      FEW,
      ...cells
        .filter(({ own, answer }) => isChange || (own === answer) === isDiagonal)
        .map(({ n }) => Math.abs(n)),
    );
  const tops = { diagonal: most(true), off: most(false) };
  const shade = ({ own, answer, n }: (typeof cells)[number]) =>
    Math.abs(n) / (own === answer ? tops.diagonal : tops.off);
  const isGood = ({ own, answer, n }: (typeof cells)[number]) => (own === answer) === n > 0;
  const name = (i: number) => (i < 0 ? 'none' : short(names[i] ?? String(i), 10));
  const longest = roomFor(answers.map(name), 90);
  const side = Math.max(15, Math.min(27, 300 / answers.length));
  const fontSize = side >= 20 ? 10 : 8;
  return studio.draw(label, {
    width: longest + side * answers.length + 6,
    height: longest + side * classes.length + 4,
    ...{ marginLeft: longest, marginTop: longest, marginRight: 6, marginBottom: 4 },
    style: { fontSize: '10px' },
    x: {
      type: 'band',
      domain: answers,
      axis: 'top',
      label: null,
      tickSize: 0,
      tickFormat: name,
      tickRotate: -90,
      padding: 0.05,
    },
    y: { type: 'band', domain: classes, label: null, tickSize: 0, tickFormat: name, padding: 0.05 },
    color: { type: 'identity' },
    opacity: { type: 'identity' },
    marks: [
      Plot.cell(cells, { x: 'answer', y: 'own', fill: 'var(--track)' }),
      Plot.cell(
        cells.filter(({ n }) => n !== 0),
        {
          ...{ x: 'answer', y: 'own' },
          fill: (cell) =>
            isChange || cell.own !== cell.answer
              ? isGood(cell)
                ? 'var(--better)'
                : 'var(--worse)'
              : 'var(--heat)',
          fillOpacity: (cell) => 0.12 + 0.78 * shade(cell),
          title: ({ own, answer, n }) =>
            `${name(own)}, answered ${name(answer)}: ${isChange ? signed(n, 0) : n}`,
        },
      ),
      Plot.text(
        cells.filter(({ n }) => n !== 0),
        {
          ...{ x: 'answer', y: 'own', fontSize },
          text: ({ n }) => (isChange ? signed(n, 0) : String(n)),
          fill: (cell) => (shade(cell) > 0.65 ? 'var(--on-heat)' : 'var(--ink)'),
        },
      ),
    ],
  });
}

/** The largest changes of all main rows, for models of many classes. */
function movesTable(rows: readonly ReportRow[], names: readonly string[]): Html {
  const moves = rows
    .flatMap((row) => (row.classes?.moved ?? []).map(([own, answer, n]) => ({ row, own, answer, n })))
    .filter(({ own, answer }) => own !== answer)
    .sort((a, b) => Math.abs(b.n) - Math.abs(a.n));
  const shown = moves.slice(0, 40);
  const nameOf = (i: number) => (i < 0 ? 'none' : (names[i] ?? String(i)));
  return html`<table>
    <thead><tr><th scope="col">Weights</th><th scope="col">Class</th><th scope="col">Answered</th><th scope="col" class="number">Samples more</th></tr></thead>
    <tbody>${shown.map(
      ({ row, own, answer, n }) =>
        html`<tr><td>${row.name}</td><td>${nameOf(own)}</td><td>${nameOf(answer)}</td><td class="number">${signed(n, 0)}</td></tr>`,
    )}</tbody></table>
    <p class="muted small">The ${count(shown.length)} largest of ${count(moves.length)} changes; a model of ${count(names.length)} classes has no matrix here.</p>`;
}

/** Confusion of the float model, and what each main row changes of it. */
export function confusionFigures(studio: Studio, report: Report, { classNames }: Classifier): Html {
  const rows = mains(report).filter(({ kind }) => kind !== 'float');
  if (classNames.length > MOST_MATRIX) return movesTable(rows, classNames);
  const float = matrix(
    studio,
    `Confusion matrix of the float model: ${classNames.length} classes, answers across`,
    report.confusion ?? [],
    classNames,
    false,
  );
  const changes = rows.map((row) => {
    const { broken = 0, repaired = 0, other = 0 } = row.classes?.changed ?? {};
    const sentence = `${count(broken)} broken, ${count(repaired)} repaired, ${count(other)} wrong in another way`;
    const drawn = matrix(
      studio,
      `Change of the confusion matrix with ${row.name}: ${sentence}`,
      row.classes?.moved ?? [],
      classNames,
      true,
    );
    return html`<figure>${drawn}<figcaption><strong>${row.name}</strong><br>${sentence}</figcaption></figure>`;
  });
  return html`<div class="matrices"><figure>${float}<figcaption><strong>float32</strong><br>samples of each class down, answers across</figcaption></figure>${changes}</div>`;
}
