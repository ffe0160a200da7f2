import * as Plot from '@observablehq/plot';
import type { Report, ReportWeight } from '../../pipeline/report/types.js';
import type { Studio } from '../figure.js';
import { count, digits, FAMILY_NAMES } from '../format.js';
import { type Html, html } from '../html.js';

/** Tensors whose histograms are seen at once; the others are folded away. */
const OPEN = 24;

type Histogram = ReportWeight['histograms'][number];

/** Bins as one outline, levels as rules as high as their share, both as densities over one axis. */
function histogram(studio: Studio, own: Histogram, id: string): Html {
  const { counts, levels, from, to, weights, unit, scheme } = own;
  const width = (to - from) / counts.length;
  const outline = counts.flatMap((n, i) => {
    const density = n / weights / width;
    return [
      { x: from + i * width, density },
      { x: from + (i + 1) * width, density },
    ];
  });
  const gaps = levels.slice(1).map(({ value }, i) => value - (levels[i]?.value ?? 0));
  const step = gaps.length > 0 ? Math.min(...gaps) : to - from;
  const heads = levels.map(({ value, count: n }) => ({ value, density: n / weights / step }));
  const top = Math.max(...outline.map(({ density }) => density), ...heads.map(({ density }) => density));
  const label =
    `${id} at ${FAMILY_NAMES[scheme]}: ${count(weights)} weights rounded to ${levels.length} levels from ` +
    `${digits(levels[0]?.value)} to ${digits(levels.at(-1)?.value)}${unit === 'scale' ? ' scales' : ''}`;
  return studio.draw(label, {
    ...{ width: 260, height: 84, marginTop: 4, marginLeft: 6, marginRight: 6, marginBottom: 20 },
    style: { fontSize: '11px' },
    x: { domain: [from, to], label: null, ticks: 5, tickSize: 3 },
    y: { domain: [0, top * 1.06], axis: null },
    marks: [
      Plot.areaY(outline, { x: 'x', y1: 0, y2: 'density', fill: 'var(--bar)' }),
      Plot.ruleX(heads, { x: 'value', y: 'density', stroke: `var(--${scheme})`, strokeWidth: 1.75 }),
      Plot.dot(heads, { x: 'value', y: 'density', fill: `var(--${scheme})`, r: 2.25 }),
      Plot.ruleY([0], { stroke: 'var(--axis)' }),
    ],
  });
}

const block = (studio: Studio, { id, className, shape, parameters, histograms }: ReportWeight) => html`
  <section class="weight"><div><h3>${id}</h3><p class="muted small">${className} <br>${shape.join(' × ')} <br>${count(parameters)} weights</p></div>
  <div class="histograms">${histograms.map(
    (own) =>
      html`<figure>${histogram(studio, own, id)}<figcaption>${FAMILY_NAMES[own.scheme]}${own.unit === 'weight' && ', in the weights’ own unit'}</figcaption></figure>`,
  )}</div></section>`;

/** Small multiples: each kernel at each scheme. */
export function histogramFigures(studio: Studio, { weights }: Report): Html {
  const rest = weights.slice(OPEN);
  return html`${weights.slice(0, OPEN).map((weight) => block(studio, weight))}
    ${rest.length > 0 && html`<details><summary>${count(rest.length)} more kernels</summary>${rest.map((weight) => block(studio, weight))}</details>`}`;
}
