import * as Plot from '@observablehq/plot';
import type { ActivationRange } from '../../pipeline/report/types.js';
import { roomFor, type Studio } from '../figure.js';
import { count, digits, percent } from '../format.js';
import { ending, type Html, html } from '../html.js';

/** Where values differ by more than this between layers, the axis is linear near 0 alone. */
const SPREAD = 40;

/** Intervals: from the least to the largest value thin, from 1 % to 99 % thick. */
export function activationFigure(studio: Studio, ranges: readonly ActivationRange[]): Html {
  const rows = ranges.map((range, at) => ({ ...range, at }));
  const reach = rows.map(({ min, max }) => Math.max(-min, max)).sort((a, b) => a - b);
  const middle = reach[reach.length >> 1] ?? 1;
  const isWide = (reach.at(-1) ?? 1) > SPREAD * Math.max(middle, 1e-12);
  return studio.both(
    `Ranges of the values that ${rows.length} layers give, from the input to the output; the table has the numbers`,
    (_, isNarrow) => {
      const name = (at: number) => ending(rows[at]?.layer ?? '', isNarrow ? 12 : 26);
      return {
        height: 46 + 22 * rows.length,
        ...{
          marginLeft: roomFor(
            rows.map(({ at }) => name(at)),
            220,
          ),
          marginRight: isNarrow ? 58 : 84,
        },
        ...{ marginTop: 20, marginBottom: 34 },
        x: {
          label: 'value',
          ticks: isNarrow ? 4 : 9,
          ...(isWide ? { type: 'symlog', constant: middle / 4 } : {}),
        },
        y: { type: 'point', domain: rows.map(({ at }) => at), label: null, tickSize: 0, tickFormat: name },
        marks: [
          Plot.gridX({ stroke: 'var(--grid)', strokeOpacity: 1 }),
          Plot.ruleX([0], { stroke: 'var(--axis)' }),
          Plot.ruleY(rows, { x1: 'min', x2: 'max', y: 'at', stroke: 'var(--axis)', strokeWidth: 1.5 }),
          Plot.ruleY(rows, { x1: 'low', x2: 'high', y: 'at', stroke: 'var(--accent)', strokeWidth: 7 }),
          Plot.text(rows, {
            ...{
              y: 'at',
              frameAnchor: 'right',
              textAnchor: 'end',
              dx: isNarrow ? 56 : 80,
              fill: 'var(--muted)',
            },
            text: ({ zeros }: ActivationRange) => percent(zeros, 0),
          }),
          Plot.text(['zeros'], {
            ...{
              frameAnchor: 'top-right',
              textAnchor: 'end',
              dx: isNarrow ? 56 : 80,
              dy: -14,
              fill: 'var(--muted)',
            },
          }),
        ],
      };
    },
  );
}

export function activationTable(ranges: readonly ActivationRange[]): Html {
  const hasFaults = ranges.some(({ notFinite }) => notFinite > 0);
  return html`<table>
    <thead><tr><th scope="col">Layer</th><th scope="col">Class</th>${[
      'Least',
      '1 %',
      '99 %',
      'Largest',
      'Zeros',
      'Samples',
    ].map(
      (head) => html`<th scope="col" class="number">${head}</th>`,
    )}${hasFaults && html`<th scope="col" class="number">Not finite</th>`}</tr></thead>
    <tbody>${ranges.map(
      ({ layer, className, min, low, high, max, zeros, samples, notFinite }) =>
        html`<tr><th scope="row">${layer}</th><td>${className}</td>${[min, low, high, max].map(
          (value) => html`<td class="number">${digits(value)}</td>`,
        )}<td class="number">${percent(zeros, 1)}</td><td class="number">${count(samples)}</td>${hasFaults && html`<td class="number">${count(notFinite)}</td>`}</tr>`,
    )}</tbody></table>`;
}
