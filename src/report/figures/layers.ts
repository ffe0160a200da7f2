import * as Plot from '@observablehq/plot';
import type { Report, ReportRow, ReportSensitivity } from '../../pipeline/report/types.js';
import type { SchemeName } from '../../schemes/types.js';
import { roomFor, type Studio } from '../figure.js';
import { count, digits, FAMILY_NAMES, familyOf, percent } from '../format.js';
import { ending, type Html, html } from '../html.js';

const STEP = 24;
const SCHEMES: readonly SchemeName[] = ['binary', 'int2', 'int4'];

function band(names: readonly string[], isNarrow: boolean) {
  const most = isNarrow ? 12 : 26;
  return {
    marginLeft: roomFor(
      names.map((name) => ending(name, most)),
      220,
    ),
    y: {
      ...({ type: 'band', domain: names, label: null, tickSize: 0, padding: 0.08 } as const),
      tickFormat: (name: string) => ending(name, most),
    },
  };
}

/** A heat map of layers and schemes: how far the outputs move when one layer alone is quantized. */
export function sensitivityFigure(studio: Studio, report: Report): Html {
  const rows = report.calibration?.sensitivity ?? [];
  const layers = [...new Set(rows.map(({ layer }) => layer))];
  const values = rows.flatMap(({ divergence }) =>
    divergence !== null && divergence > 0 ? [Math.log(divergence)] : [],
  );
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const shade = ({ divergence }: ReportSensitivity) =>
    divergence === null
      ? 1
      : divergence <= 0 || high === low
        ? 0
        : (Math.log(divergence) - low) / (high - low);
  return studio.both(
    `Heat map of ${layers.length} layers at ${SCHEMES.length} schemes: divergence of the outputs with one layer quantized; the table has the numbers`,
    (_, isNarrow) => {
      const { marginLeft, y } = band(layers, isNarrow);
      return {
        height: 26 + STEP * layers.length,
        ...{ marginLeft, marginTop: 24, marginRight: 2, marginBottom: 2 },
        x: {
          ...{ type: 'band', domain: SCHEMES, axis: 'top', label: null, tickSize: 0, padding: 0.03 },
          tickFormat: (scheme: SchemeName) => FAMILY_NAMES[scheme],
        },
        y,
        opacity: { type: 'identity' },
        marks: [
          Plot.cell(rows, {
            x: 'scheme',
            y: 'layer',
            fill: 'var(--heat)',
            fillOpacity: (row) => 0.05 + 0.9 * shade(row),
          }),
          Plot.text(rows, {
            ...{ x: 'scheme', y: 'layer', text: ({ divergence }) => digits(divergence) },
            fill: (row) => (shade(row) > 0.65 ? 'var(--on-heat)' : 'var(--ink)'),
          }),
        ],
        color: { type: 'identity' },
      };
    },
  );
}

/** Which scheme each mixture gives each layer. */
export function mixFigure(studio: Studio, { rows, weights }: Report): Html | undefined {
  const mixes = rows.filter(({ kind }) => kind === 'mixed');
  if (mixes.length === 0) return undefined;
  const layerOf = new Map(weights.map(({ id, layer }) => [id, layer]));
  const cells = mixes.flatMap(({ name, tensors, classes, bitsPerWeight }) =>
    tensors.map(({ id, scheme }) => ({ name, layer: layerOf.get(id) ?? id, scheme, classes, bitsPerWeight })),
  );
  const layers = [...new Set(cells.map(({ layer }) => layer))];
  const heading = (name: string) => name.replace(/^mixed, /, '');
  return studio.both(
    `Schemes that ${mixes.length} mixtures give to ${layers.length} layers: ${mixes.map(({ name }) => name).join('; ')}`,
    (_, isNarrow) => {
      const { marginLeft, y } = band(layers, isNarrow);
      return {
        height: 26 + STEP * layers.length,
        ...{ marginLeft, marginTop: 24, marginRight: 2, marginBottom: 2 },
        x: {
          ...{
            type: 'band',
            domain: mixes.map(({ name }) => name),
            axis: 'top',
            label: null,
            tickSize: 0,
            padding: 0.03,
          },
          tickFormat: (name: string) => (isNarrow ? heading(name).replace(/ bits$/, '') : heading(name)),
        },
        y,
        color: { type: 'identity' },
        marks: [
          Plot.cell(cells, {
            x: 'name',
            y: 'layer',
            fill: ({ scheme }) => `var(--${scheme})`,
          }),
          Plot.text(cells, {
            ...{ x: 'name', y: 'layer', fill: 'var(--on-scheme)' },
            text: ({ scheme }: { scheme: SchemeName }) => FAMILY_NAMES[scheme],
          }),
        ],
      };
    },
  );
}

/** What each tensor lost in each main row: at the outputs of its layer where it was calibrated, else its SNR. */
export function errorFigure(studio: Studio, report: Report): Html {
  const mains = report.rows.filter(({ isMain, kind }) => isMain && kind !== 'float');
  const isCalibrated = report.calibration !== undefined;
  const ids = mains[0]?.tensors.map(({ id }) => id) ?? [];
  const areKernels = ids.every((id) => id.endsWith('/kernel'));
  const nameOf = (id: string) => (areKernels ? id.slice(0, -'/kernel'.length) : id);
  const points = mains.flatMap((row) =>
    row.tensors.flatMap(({ id, error, snrDb }) => {
      const value = isCalibrated ? error : snrDb;
      const isDrawn = value !== null && value !== undefined && (!isCalibrated || value > 0);
      return isDrawn ? [{ row, id: nameOf(id), value: isCalibrated ? 100 * value : value }] : [];
    }),
  );
  if (points.length === 0)
    return html`<p class="muted">No layer has a number to draw; the table says why.</p>`;
  return studio.both(
    `${isCalibrated ? 'Share of the variance of its outputs that each kernel loses' : 'Signal-to-noise ratio of each kernel'} in ${mains.length} forms; the table has the numbers`,
    (_, isNarrow) => {
      const { marginLeft, y } = band(ids.map(nameOf), isNarrow);
      return {
        height: 44 + STEP * ids.length,
        ...{ marginLeft, marginTop: 4, marginRight: 18, marginBottom: 38 },
        x: isCalibrated
          ? {
              type: 'log',
              inset: 8,
              label: 'variance of the outputs lost, %',
              ticks: isNarrow ? 3 : 6,
              tickFormat: (v: number) => digits(v),
            }
          : { label: 'signal-to-noise ratio, dB', ticks: isNarrow ? 4 : 8 },
        y: { ...y, type: 'point', padding: 0.5 },
        color: { type: 'identity' },
        marks: [
          Plot.gridX({ stroke: 'var(--grid)', strokeOpacity: 1, ticks: isNarrow ? 3 : 6 }),
          Plot.ruleY(ids.map(nameOf), { stroke: 'var(--track)' }),
          Plot.dot(points, {
            x: 'value',
            y: 'id',
            fill: ({ row }: { row: ReportRow }) => `var(--${familyOf(row)})`,
            r: 4.5,
          }),
        ],
      };
    },
  );
}

/** Sensitivity in numbers. */
export function sensitivityTable({ calibration }: Report): Html {
  const rows = calibration?.sensitivity ?? [];
  const layers = [...new Set(rows.map(({ layer }) => layer))];
  return html`<table>
    <thead><tr><th scope="col">Layer</th><th scope="col">Class</th><th scope="col" class="number">Weights</th>${SCHEMES.map(
      (scheme) => html`<th scope="col" class="number">${FAMILY_NAMES[scheme]}</th>`,
    )}${SCHEMES.map((scheme) => html`<th scope="col" class="number">bytes, ${FAMILY_NAMES[scheme]}</th>`)}</tr></thead>
    <tbody>${layers.map((layer) => {
      const own = SCHEMES.map((scheme) => rows.find((row) => row.layer === layer && row.scheme === scheme));
      const fallback = own.find((row) => row?.fallback)?.fallback;
      return html`<tr><th scope="row">${layer}${fallback !== undefined && html` <span class="muted">(without data: ${fallback})</span>`}</th>
        <td>${own[0]?.className}</td><td class="number">${count(own[0]?.parameters ?? 0)}</td>
        ${own.map((row) => html`<td class="number">${digits(row?.divergence)}</td>`)}
        ${own.map((row) => html`<td class="number">${count(row?.bytes ?? 0)}</td>`)}</tr>`;
    })}</tbody></table>`;
}

/** Errors in numbers: every tensor in every main row. */
export function errorTable(report: Report): Html {
  const mains = report.rows.filter(({ isMain, kind }) => isMain && kind !== 'float');
  return html`<table>
    <thead><tr><th scope="col">Kernel</th><th scope="col">Shape</th><th scope="col">Weights as</th><th scope="col" class="number">Bytes</th>
    <th scope="col" class="number">SNR of the weights, dB</th><th scope="col">Lost at its outputs</th></tr></thead>
    <tbody>${report.weights.map(({ id, shape }) =>
      mains.map((row, i) => {
        const own = row.tensors.find((tensor) => tensor.id === id);
        if (!own) return html``;
        const lost =
          own.error === undefined
            ? own.fallback && `without data: ${own.fallback}`
            : percent(own.error ?? Number.NaN, 3);
        return html`<tr>${i === 0 ? html`<th scope="row">${id}</th><td>${shape.join(' × ')}</td>` : html`<td></td><td></td>`}
          <td>${row.name}</td><td class="number">${count(own.bytes)}</td>
          <td class="number">${own.snrDb === null ? 'exact' : own.snrDb.toFixed(1)}</td><td>${lost || '–'}</td></tr>`;
      }),
    )}</tbody></table>`;
}
