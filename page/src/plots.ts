// Loaded when the first result is there: the plotting library is larger than the page.

import * as Plot from '@observablehq/plot';
import type { LevelHistogram } from 'bitnibble/pipeline';

export type Figure = SVGSVGElement | HTMLElement;

/**
 * The library writes its style sheet into each figure, which the content security policy forbids: ours does the same.
 * It also labels the groups inside, which have no role that takes a label; the figure is one picture.
 */
function styled(figure: Figure, label: string): Figure {
  for (const style of figure.querySelectorAll('style')) style.remove();
  const unlabel = () => {
    for (const group of figure.querySelectorAll('g[aria-label]')) {
      group.setAttribute('data-mark', group.getAttribute('aria-label') ?? '');
      group.removeAttribute('aria-label');
    }
  };
  unlabel();
  // What stands under the pointer is drawn anew.
  new MutationObserver(unlabel).observe(figure, { childList: true, subtree: true });
  figure.setAttribute('role', 'img');
  figure.setAttribute('aria-label', label);
  return figure;
}

const CLASS = 'plot';

/** Shares per unit of x, so that bins and levels, which lie further apart, have one axis. */
function densities({ counts, levels, from, to, weights }: LevelHistogram) {
  const width = (to - from) / counts.length;
  const bins = counts.map((count, i) => ({
    x1: from + i * width,
    x2: from + (i + 1) * width,
    density: count / weights / width,
  }));
  const gaps = levels.slice(1).map(({ value }, i) => value - (levels[i]?.value ?? 0));
  const step = gaps.length > 0 ? Math.min(...gaps) : to - from;
  const heads = levels.map(({ value, count }) => ({ value, count, density: count / weights / step }));
  return {
    bins,
    heads,
    top: Math.max(...bins.map((bin) => bin.density), ...heads.map((head) => head.density)),
  };
}

const histogramLabel = (what: string, { weights, levels }: LevelHistogram) =>
  `Histogram of ${weights} weights of ${what}, rounded to ${levels.length} levels from ` +
  `${levels[0]?.value.toPrecision(3)} to ${levels.at(-1)?.value.toPrecision(3)}`;

/** Without axes, but for the line at the bottom. */
const bare = (width: number, height: number) => ({
  className: CLASS,
  width,
  height,
  margin: 0,
  marginBottom: 1,
});

/** A few dozen pixels high, without axes. */
export function smallHistogram(
  histogram: LevelHistogram,
  what: string,
  width: number,
  height: number,
): Figure {
  const { bins, heads, top } = densities(histogram);
  const figure = Plot.plot({
    ...bare(width, height),
    x: { domain: [histogram.from, histogram.to], axis: null },
    y: { domain: [0, top * 1.08], axis: null },
    marks: [
      Plot.rectY(bins, { x1: 'x1', x2: 'x2', y: 'density', fill: 'var(--bar)', inset: 0 }),
      Plot.ruleX(heads, { x: 'value', y: 'density', stroke: 'var(--accent)', strokeWidth: 1.25 }),
      Plot.ruleY([0], { stroke: 'var(--axis)' }),
    ],
  });
  return styled(figure, histogramLabel(what, histogram));
}

/** With axes, and what lies under the pointer. */
export function largeHistogram(
  histogram: LevelHistogram,
  what: string,
  xLabel: string,
  width: number,
): Figure {
  const { bins, heads, top } = densities(histogram);
  const share = new Intl.NumberFormat('en', { style: 'percent', maximumFractionDigits: 1 });
  const narrow = width < 480;
  const figure = Plot.plot({
    className: CLASS,
    width,
    height: narrow ? 220 : 260,
    marginLeft: 8,
    marginRight: 8,
    marginTop: 16,
    marginBottom: 40,
    x: {
      domain: [histogram.from, histogram.to],
      label: xLabel,
      labelAnchor: 'center',
      labelArrow: 'none',
      ticks: narrow ? 6 : 12,
    },
    y: { domain: [0, top * 1.05], axis: null },
    marks: [
      Plot.rectY(bins, { x1: 'x1', x2: 'x2', y: 'density', fill: 'var(--bar)', insetLeft: 0.5 }),
      Plot.ruleX(heads, { x: 'value', y: 'density', stroke: 'var(--accent)', strokeWidth: 1.5 }),
      Plot.dot(heads, { x: 'value', y: 'density', fill: 'var(--accent)', r: 3.5 }),
      Plot.ruleY([0], { stroke: 'var(--axis)' }),
      Plot.tip(
        heads,
        Plot.pointerX({
          x: 'value',
          y: 'density',
          fill: 'var(--card)',
          stroke: 'var(--axis)',
          title: (head: (typeof heads)[number]) =>
            `${Number(head.value.toPrecision(4))}\n${head.count.toLocaleString('en')} weights, ${share.format(head.count / histogram.weights)}`,
        }),
      ),
    ],
  });
  return styled(figure, histogramLabel(what, histogram));
}

/** How many codes stand for each level, in steps of the scale. */
export function levelBars(
  levels: readonly { readonly value: number; readonly count: number }[],
  what: string,
  width: number,
  height: number,
): Figure {
  const figure = Plot.plot({
    ...bare(width, height),
    x: { type: 'band', axis: null, padding: 0.2 },
    y: { domain: [0, Math.max(1, ...levels.map(({ count }) => count)) * 1.05], axis: null },
    marks: [
      Plot.barY(levels, { x: 'value', y: 'count', fill: 'var(--accent)' }),
      Plot.ruleY([0], { stroke: 'var(--axis)' }),
    ],
  });
  const counts = levels.map(({ value, count }) => `${value}: ${count}`).join(', ');
  return styled(figure, `Codes of ${what} by level, in steps of their scale. ${counts}`);
}

/** Ten bars, the highest marked. */
export function scoreBars(scores: readonly number[], what: string, width: number): Figure {
  const best = scores.indexOf(Math.max(...scores));
  const bars = scores.map((score, digit) => ({ digit: String(digit), score, isBest: digit === best }));
  const figure = Plot.plot({
    className: CLASS,
    style: { fontSize: width < 80 ? '7.5px' : width < 120 ? '9px' : '12px' },
    width,
    height: 96,
    margin: 0,
    marginBottom: 20,
    marginTop: 2,
    x: { type: 'band', label: null, tickSize: 0, padding: 0.25 },
    y: { domain: [0, 1], axis: null },
    marks: [
      Plot.barY(bars, { x: 'digit', y1: 0, y2: 1, fill: 'var(--track)', rx: 2 }),
      Plot.barY(bars, {
        x: 'digit',
        y: 'score',
        fill: (bar) => (bar.isBest ? 'var(--accent)' : 'var(--bar)'),
        rx: 2,
      }),
    ],
    color: { type: 'identity' },
  });
  const percents = scores.map((score, digit) => `${digit}: ${Math.round(100 * score)} percent`).join(', ');
  return styled(figure, `Probabilities by ${what}. ${percents}`);
}

/** One line for each scheme: how far outputs are from the float network's, against the layers that are fitted. */
export function fallingLines(
  lines: readonly {
    readonly name: string;
    readonly points: readonly { readonly done: number; readonly divergence: number }[];
  }[],
  width: number,
): Figure {
  // A logarithm has no zero.
  const least = 1e-6;
  const points = lines.flatMap(({ name, points }) =>
    points.flatMap(({ done, divergence }) =>
      Number.isFinite(divergence) ? [{ name, done, divergence: Math.max(least, divergence) }] : [],
    ),
  );
  const logs = points.map(({ divergence }) => Math.log10(divergence));
  const [low, high] = [
    Math.floor(Math.min(...logs)),
    Math.max(Math.ceil(Math.max(...logs)), Math.floor(Math.min(...logs)) + 1),
  ];
  const height = 230;
  const [marginTop, marginBottom] = [12, 38];
  // `0.001` and what else is written beside the axis, seven pixels a digit.
  const marginLeft = 14 + 7 * Math.max(2 - low, high + 1);
  // Names stand at the ends of their lines, one text's height apart at least.
  const gap = ((high - low) * 15) / (height - marginTop - marginBottom);
  let above = Number.POSITIVE_INFINITY;
  const ends = lines
    .flatMap(({ name }) => points.filter((point) => point.name === name).slice(-1))
    .sort((a, b) => b.divergence - a.divergence)
    .map((point) => {
      above = Math.min(Math.log10(point.divergence), above - gap);
      return { ...point, at: 10 ** above };
    });
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
  const figure = Plot.plot({
    ...{ className: CLASS, width, height, marginTop, marginBottom, marginLeft, marginRight: 46 },
    x: {
      label: 'layers done',
      labelAnchor: 'center',
      labelArrow: 'none',
      ticks: Math.min(width < 480 ? 5 : 10, Math.max(1, ...points.map(({ done }) => done))),
      tickFormat: 'd',
    },
    y: {
      ...{ type: 'log', domain: [10 ** low, 10 ** high], label: null, ticks },
      tickFormat: (value: number) => String(Number(value.toPrecision(1))),
    },
    marks: [
      Plot.gridY(ticks, { stroke: 'var(--line)', strokeOpacity: 1 }),
      Plot.lineY(points, { x: 'done', y: 'divergence', z: 'name', stroke: 'var(--accent)', strokeWidth: 2 }),
      Plot.dot(points, { x: 'done', y: 'divergence', fill: 'var(--accent)', r: 2.5 }),
      Plot.text(ends, { x: 'done', y: 'at', text: 'name', dx: 8, textAnchor: 'start', fill: 'var(--ink)' }),
    ],
  });
  const said = lines.map(({ name, points }) => {
    const [first, last] = [points[0]?.divergence, points.at(-1)?.divergence];
    return `${name}: ${first?.toPrecision(3)} before the first layer, ${last?.toPrecision(3)} by now`;
  });
  return styled(figure, `Divergence as layers are fitted. ${said.join('. ')}`);
}
