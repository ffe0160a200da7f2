import * as Plot from '@observablehq/plot';
import type { Report, ReportRow } from '../../pipeline/report/types.js';
import type { Studio } from '../figure.js';
import { digits, FAMILIES, FAMILY_NAMES, familyOf, size } from '../format.js';
import { type Html, html } from '../html.js';

interface Point {
  readonly row: ReportRow;
  /** In the table. */
  readonly number: number;
  readonly bytes: number;
  /** Accuracy in percent, or the divergence. */
  readonly value: number;
}

/** Where a label may stand beside its point, the best first. */
const PLACES = [
  { anchor: 'start', dx: 8, dy: 0 },
  { anchor: 'end', dx: -8, dy: 0 },
  { anchor: 'middle', dx: 0, dy: -13 },
  { anchor: 'middle', dx: 0, dy: 14 },
  { anchor: 'start', dx: 7, dy: -10 },
  { anchor: 'end', dx: -7, dy: -10 },
  { anchor: 'start', dx: 7, dy: 11 },
  { anchor: 'end', dx: -7, dy: 11 },
  { anchor: 'start', dx: 12, dy: -22 },
  { anchor: 'end', dx: -12, dy: -22 },
  { anchor: 'start', dx: 12, dy: 23 },
  { anchor: 'end', dx: -12, dy: 23 },
  { anchor: 'middle', dx: 0, dy: -27 },
  { anchor: 'middle', dx: 0, dy: 28 },
  { anchor: 'middle', dx: 0, dy: -41 },
  { anchor: 'middle', dx: 0, dy: 42 },
] as const;

interface Box {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

const overlap = (a: Box, b: Box) =>
  Math.max(0, Math.min(a.x2, b.x2) - Math.max(a.x1, b.x1)) *
  Math.max(0, Math.min(a.y2, b.y2) - Math.max(a.y1, b.y1));

/** Round numbers of bytes within a range: powers of ten times `leads`, or steps of one size where it is narrow. */
function ticksOf(bytes: readonly number[], leads: readonly number[]): number[] {
  const [low, high] = [Math.min(...bytes), Math.max(...bytes)];
  const isWithin = (tick: number) => tick >= low && tick <= high;
  const powers = Array.from({ length: 16 }, (_, i) => leads.map((lead) => lead * 10 ** i)).flat();
  const ticks = powers.filter(isWithin);
  if (ticks.length >= 2 || high === low) return ticks;
  const rough = (high - low) / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((lead) => lead * unit >= rough) ?? 10) * unit;
  return Array.from({ length: 6 }, (_, i) => step * (Math.ceil(low / step) + i)).filter(isWithin);
}

/** Room that a line takes. */
const LINE = 2;

/** The steps of the front from one point to the next: to the right, then up. */
const stepLines = (from: { x: number; y: number }, to: { x: number; y: number }): Box[] => [
  { x1: from.x, y1: from.y - LINE, x2: to.x, y2: from.y + LINE },
  { x1: to.x - LINE, y1: Math.min(from.y, to.y), x2: to.x + LINE, y2: Math.max(from.y, to.y) },
];

const levelLine = (y: number, width: number): Box => ({ x1: 0, y1: y - LINE, x2: width, y2: y + LINE });

/** Labels that fit, each at its first place that is free of points, lines and other labels; those on the front always. */
function placeLabels(
  points: readonly { x: number; y: number; text: string; isKept: boolean }[],
  lines: readonly Box[],
  bounds: Box,
): (number | undefined)[] {
  const dots = points.map(({ x, y }) => ({ x1: x - 6, y1: y - 6, x2: x + 6, y2: y + 6 }));
  // A line through a label strikes it out.
  const taken: Box[] = [...dots, ...lines];
  const places: (number | undefined)[] = points.map(() => undefined);
  const order = points.map((_, i) => i).sort((a, b) => Number(points[b]?.isKept) - Number(points[a]?.isKept));
  for (const i of order) {
    const { x, y, text, isKept } = points[i] as (typeof points)[number];
    const width = 6.6 * text.length + 2;
    const options = PLACES.map(({ anchor, dx, dy }, place) => {
      const left = x + dx - (anchor === 'end' ? width : anchor === 'middle' ? width / 2 : 0);
      const box = { x1: left, y1: y + dy - 7, x2: left + width, y2: y + dy + 7 };
      const inside = overlap(box, bounds);
      const cost =
        taken.reduce((sum, other, k) => sum + (k === i ? 0 : overlap(box, other)), 0) +
        10 * (width * 14 - inside);
      return { place, box, cost };
    });
    const best = options.reduce((a, b) => (b.cost < a.cost - 1 ? b : a));
    if (!isKept && best.cost > 1) continue;
    places[i] = best.place;
    taken.push(best.box);
  }
  return places;
}

const shortName = ({ name, kind, bitsPerWeight }: ReportRow) =>
  kind === 'mixed' ? `mixed ${bitsPerWeight.toFixed(2)} bits` : name.replace(/, calibrated.*/, ' calibrated');

interface Axes {
  readonly isAccuracy: boolean;
  /** Drawn as a line, wherever the point itself is. */
  readonly float: Point | undefined;
  /** Points without a label: another figure has them enlarged. */
  readonly elsewhere: ReadonlySet<Point>;
}

function plotOf(
  studio: Studio,
  points: readonly Point[],
  { isAccuracy, float, elsewhere }: Axes,
  isNarrow: boolean,
  width: number,
): Plot.PlotOptions {
  const height = isNarrow ? 300 : 400;
  const values = points.map(({ value }) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = isAccuracy ? Math.max(0.4, (high - low) * 0.07) : 0;
  const front = points.filter(({ row }) => row.isPareto).sort((a, b) => a.bytes - b.bytes);
  const common = { x: 'bytes', y: 'value' } as const;
  const own = points.map(({ bytes }) => bytes);
  const isFar = Math.max(...own) > 8 * Math.min(...own);
  const ticks = ticksOf(own, isNarrow ? [1, 2, 5] : isFar ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8]);
  const stroke = ({ row }: Point) => `var(--${familyOf(row)})`;
  const of = (test: (row: ReportRow) => boolean) => points.filter(({ row }) => test(row));
  const marks = [
    Plot.gridX({ strokeOpacity: 1, stroke: 'var(--grid)', ticks }),
    Plot.gridY({ strokeOpacity: 1, stroke: 'var(--grid)', ...(isAccuracy ? {} : { ticks: 5 }) }),
    ...(float && isAccuracy
      ? [
          Plot.ruleY([float.value], { stroke: 'var(--axis)', strokeDasharray: '3 4' }),
          Plot.text([float], {
            ...{ y: 'value', frameAnchor: 'left', textAnchor: 'start', dx: 4, dy: -9, fill: 'var(--muted)' },
            text: () => (points.includes(float) ? '' : 'float32'),
          }),
        ]
      : []),
    Plot.lineY(front, { ...common, curve: 'step-after', stroke: 'var(--axis)', strokeWidth: 1.5 }),
    Plot.dot(
      of(({ kind }) => kind === 'data-free'),
      { ...common, stroke, fill: 'var(--card)', r: 4, strokeWidth: 1.75 },
    ),
    Plot.dot(
      of(({ kind }) => kind === 'calibrated'),
      { ...common, fill: stroke, stroke: 'var(--card)', r: 5.5 },
    ),
    Plot.dot(
      of(({ kind }) => kind === 'mixed'),
      { ...common, fill: stroke, stroke: 'var(--card)', symbol: 'diamond', r: 5.5 },
    ),
    Plot.dot(
      of(({ kind }) => kind === 'float'),
      { ...common, fill: stroke, stroke: 'var(--card)', symbol: 'square', r: 5 },
    ),
  ];
  const options: Plot.PlotOptions = {
    width,
    height,
    ...{ marginLeft: isNarrow ? 40 : 48, marginRight: 18, marginTop: 26, marginBottom: 42 },
    x: {
      ...{ type: 'log', label: 'bytes of the file', labelAnchor: 'right', labelArrow: 'right' },
      ...{ tickFormat: (bytes: number) => size(bytes), ticks, inset: 10 },
    },
    y: isAccuracy
      ? { label: 'accuracy, %', labelArrow: 'up', domain: [low - room, Math.min(100.4, high + room)] }
      : {
          label: 'divergence of the outputs',
          labelArrow: 'none',
          type: 'log',
          reverse: true,
          ticks: 5,
          tickFormat: digits,
          inset: 10,
        },
    color: { type: 'identity' },
    marks,
  };
  const scales = studio.plot(options);
  const [x, y] = [scales.scale('x'), scales.scale('y')];
  const spots = points.map(({ bytes, value, row, number }) => ({
    ...{ x: x?.apply(bytes) ?? 0, y: y?.apply(value) ?? 0 },
    text: row.isPareto && !isNarrow ? shortName(row) : String(number),
    isKept: row.isPareto,
  }));
  const at = front.map(({ bytes, value }) => ({ x: x?.apply(bytes) ?? 0, y: y?.apply(value) ?? 0 }));
  const lines = [
    ...at.slice(1).flatMap((to, i) => stepLines(at[i] as (typeof at)[number], to)),
    ...(float && isAccuracy ? [levelLine(y?.apply(float.value) ?? 0, width)] : []),
  ];
  const bounds = { x1: 44, y1: 12, x2: width - 4, y2: height - 46 };
  const placed = placeLabels(
    spots.map((spot, i) => (elsewhere.has(points[i] as Point) ? { ...spot, text: '' } : spot)),
    lines,
    bounds,
  );
  const places = placed.map((place, i) => (elsewhere.has(points[i] as Point) ? undefined : place));
  const labels = PLACES.flatMap(({ anchor, dx, dy }, place) =>
    [true, false].map((isKept) =>
      Plot.text(
        points.filter((_, i) => places[i] === place && spots[i]?.isKept === isKept),
        {
          ...{ ...common, dx, dy, textAnchor: anchor, stroke: 'var(--card)', strokeWidth: 4 },
          text: (point: Point) => spots[points.indexOf(point)]?.text ?? '',
          ...{ fill: isKept ? 'var(--ink)' : 'var(--muted)', fontWeight: isKept ? 600 : 400, fontSize: 12 },
        },
      ),
    ),
  );
  return { ...options, marks: [...marks, ...labels] };
}

/** Points whose accuracy is near the best, where others are far below: they get a figure of their own. */
function closeUp(points: readonly Point[]): readonly Point[] {
  const values = points.map(({ value }) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const near = points.filter(({ value }) => high - value < Math.max(0.12 * (high - low), 1.5));
  const isWorthIt = high - low > 8 && near.length >= 4 && near.length < points.length;
  // The float model is a line; as a point it is so far right that the others have no room.
  return isWorthIt ? near.filter(({ row }) => row.kind !== 'float') : [];
}

/** Accuracy (or divergence) against bytes, with the front; and its upper end again, enlarged. */
export function paretoFigures(studio: Studio, { rows }: Report): { all: Html; near?: Html } {
  const isAccuracy = rows.some(({ classes }) => classes);
  const points = rows.flatMap((row, i): Point[] => {
    const value = isAccuracy ? 100 * (row.classes?.top1 ?? Number.NaN) : (row.divergence ?? Number.NaN);
    return Number.isFinite(value) && (isAccuracy || value > 0)
      ? [{ row, number: i + 1, bytes: row.bytes, value }]
      : [];
  });
  const what = isAccuracy ? 'Accuracy' : 'Divergence of the outputs';
  const float = points.find(({ row }) => row.kind === 'float');
  const near = isAccuracy ? closeUp(points) : [];
  const draw = (own: readonly Point[], elsewhere: readonly Point[], label: string) =>
    studio.both(label, (width, isNarrow) =>
      plotOf(studio, own, { isAccuracy, float, elsewhere: new Set(elsewhere) }, isNarrow, width),
    );
  const front = points.filter(({ row }) => row.isPareto).map(({ row }) => row.name);
  const all = draw(
    points,
    near,
    `${what} against bytes of ${points.length} ways to store the weights. On the Pareto front: ${front.join('; ')}`,
  );
  if (near.length === 0) return { all };
  return { all, near: draw(near, [], `The ${near.length} ways with the highest accuracy, enlarged`) };
}

/** What colours and symbols of the figure mean. */
export function paretoLegend({ rows }: Report): Html {
  const present = new Set(rows.map(familyOf));
  const families = FAMILIES.filter((family) => present.has(family) && family !== 'mixed');
  const kinds = new Set(rows.map(({ kind }) => kind));
  return html`<p class="legend">
    ${families.map((family) => html`<span><i class="swatch ${family}"></i>${FAMILY_NAMES[family]}</span>`)}
    <span><i class="symbol hollow"></i>rounded without data</span>
    ${kinds.has('calibrated') && html`<span><i class="symbol filled"></i>calibrated</span>`}
    ${kinds.has('mixed') && html`<span><i class="symbol diamond mixed"></i>mixed, calibrated</span>`}
    <span><i class="symbol line"></i>Pareto front</span>
  </p>`;
}
