import { Studio } from './figure.js';
import { activationFigure, activationTable } from './figures/activations.js';
import { classFigure, classLegend, classTable, confusionFigures } from './figures/classes.js';
import { errorFigure, errorTable, mixFigure, sensitivityFigure, sensitivityTable } from './figures/layers.js';
import { paretoFigures, paretoLegend } from './figures/pareto.js';
import { timeFigure } from './figures/time.js';
import { histogramFigures } from './figures/weights.js';
import { byBits, count } from './format.js';
import { baseName, Html, html } from './html.js';
import { STYLE } from './style.js';
import { keyNumbers, rowTable, summary, threshold } from './summary.js';
import type { ReportDocument } from './types.js';

/** Nothing is loaded and nothing runs, whatever a name in the model's file says. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const scroll = (label: string, table: Html) =>
  html`<div class="scroll" tabindex="0" role="region" aria-label="${label}">${table}</div>`;

const folded = (title: string, table: Html) =>
  html`<details><summary>${title}</summary>${scroll(title, table)}</details>`;

function accuracy(studio: Studio, report: ReportDocument): Html {
  const { all, near } = paretoFigures(studio, report);
  const isClassifier = report.task.kind === 'classifier';
  const text = isClassifier
    ? html`Each point is one way to store the weights, evaluated on ${count(report.data.samples)} samples of ${baseName(report.data.name)}. Numbers are those of the table; nothing is smaller and better than the ways on the line.`
    : html`Each point is one way to store the weights; the higher, the closer its outputs are to the float model’s on ${count(report.data.samples)} samples of ${baseName(report.data.name)}. Numbers are those of the table; the float model, at 0, is not drawn.`;
  return html`<section class="part"><h2>${isClassifier ? 'Accuracy' : 'Closeness'} against bytes</h2><p>${text}</p>
    ${paretoLegend(report)}${all}${near && html`<h3>The upper end, enlarged</h3>${near}`}
    ${scroll('All ways to store the weights', rowTable(report))}
    <p class="muted small">Shaded: on the Pareto front. Bytes: the packed file as a whole; for float32 the weights alone. Bits: per quantized weight, scales included.
    ${isClassifier && 'Change: with the standard error of the difference on the same samples; where no answer turned right or wrong, with what 95 of 100 such sets of samples stay within. '}Divergence: ${report.distance === 'kullback-leibler' ? 'mean Kullback-Leibler divergence from the float outputs, nats' : 'squared error over the variance of the float outputs'}.</p></section>`;
}

function classes(studio: Studio, report: ReportDocument): Html | undefined {
  const { task } = report;
  if (task.kind !== 'classifier') return undefined;
  return html`<section class="part"><h2>Accuracy in each class</h2>
    <p>The mean hides who pays. Each dot is one form of the model.</p>
    ${classLegend(report)}${classFigure(studio, report, task)}
    ${folded('All classes in numbers', classTable(report, task))}</section>
    <section class="part"><h2>What is taken for what</h2>
    <p>Confusion of the float model, and what quantization changes of it: blue cells are changes for the better, orange ones for the worse.</p>
    ${confusionFigures(studio, report, task)}</section>`;
}

function layers(studio: Studio, report: ReportDocument): Html {
  const { calibration } = report;
  const mixes = mixFigure(studio, report);
  return html`${
    calibration &&
    html`<section class="part"><h2>Sensitivity of each layer</h2>
    <p>Divergence of the outputs when this layer alone is quantized, calibrated on ${count(calibration.samples)} samples of ${baseName(calibration.data)}, scales per ${calibration.granularity}, compared on ${count(calibration.compared)}. The stronger the colour, the further from float.</p>
    <div class="long">${sensitivityFigure(studio, report)}</div>
    ${folded('Sensitivity in numbers', sensitivityTable(report))}
    ${mixes && html`<h3>What the mixtures take</h3><p class="muted small">The schemes that make the sum of these divergences least within a budget of bytes.</p><div class="long">${mixes}</div>`}</section>`
  }
    <section class="part"><h2>What each layer loses</h2>
    <p>${calibration ? 'Share of the variance of each layer’s outputs that its quantized kernel loses, all layers before it quantized too.' : 'Signal-to-noise ratio of each rounded kernel; further right is better.'}</p>
    <p class="legend">${byBits(report.rows)
      .filter(({ isMain, kind }) => isMain && kind !== 'float')
      .map(
        ({ name, tensors }) => html`<span><i class="swatch ${tensors[0]?.scheme ?? ''}"></i>${name}</span>`,
      )}</p>
    <div class="long">${errorFigure(studio, report)}</div>
    ${folded('Errors in numbers', errorTable(report))}</section>`;
}

function values(studio: Studio, report: ReportDocument): Html {
  const { activations, calibration } = report;
  return html`<section class="part"><h2>Weights and their levels</h2>
    <p>Grey: the float weights${report.folded > 0 && ', batch normalizations folded in'}. Rules: the levels that they are rounded to, scales per channel, without data; the higher, the more weights. Weights are in units of their own channel’s scale.</p>
    ${histogramFigures(studio, report)}</section>
    ${
      activations &&
      html`<section class="part"><h2>Ranges of activations</h2>
    <p>What each layer gives in the float network, on the first samples of ${baseName(calibration?.data ?? '')}.</p>
    <p class="legend"><span><i class="symbol bar"></i>1 % to 99 % of the values</span><span><i class="symbol line"></i>least to largest</span></p>
    <div class="long">${activationFigure(studio, activations)}</div>
    ${folded('Ranges in numbers', activationTable(activations))}</section>`
    }`;
}

function reproduction(studio: Studio, report: ReportDocument): Html {
  const { reproduce, seed, data, calibration } = report;
  const { machine, versions } = reproduce;
  const facts: (readonly [string, Html | string])[] = [
    ...reproduce.files.map(
      ({ name, bytes, sha256 }) =>
        ['Model', html`${name}, ${count(bytes)} bytes<br><code>SHA-256 ${sha256}</code>`] as const,
    ),
    ['Evaluated on', `${data.name}, ${count(data.samples)} samples, ${reproduce.preprocessing}`],
    ...(calibration
      ? [['Calibrated on', `${calibration.data}, ${count(calibration.samples)} samples`] as const]
      : []),
    ['Seed', String(seed)],
    ['Backend', reproduce.backend],
    [
      'Versions',
      Object.entries(versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(', '),
    ],
    ['Machine', `${machine.cpu}, ${machine.cores} cores, ${machine.platform}`],
    ['Date', reproduce.date],
  ];
  return html`<section class="part"><h2>Time spent</h2>${timeFigure(studio, report)}</section>
    <section class="part"><h2>To get it again</h2>
    <p>On one machine and backend the numbers are the same each time, but for the seconds; on another machine or backend sums are rounded in another order.</p>
    <pre><code>${reproduce.command}</code></pre>
    <dl class="facts">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl></section>`;
}

/**
 * One page with all of a report: figures as SVG, no script, nothing loaded from anywhere. Names from the model's file are
 * text, whatever they hold.
 */
export function renderReport(report: ReportDocument): string {
  const studio = new Studio();
  const notes = [...report.left, ...report.warnings];
  const name = baseName(report.file);
  const explained = threshold(report);
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${new Html(POLICY)}">
<title>${name}: quantization report</title>
<style>${new Html(STYLE)}</style>
</head>
<body>
<main>
<header>
<p class="kicker">bitnibble quantization report</p>
<h1>${name}</h1>
<p class="summary">${summary(report)}</p>
${keyNumbers(report)}
${explained && html`<p class="muted small explained">${explained}</p>`}
${notes.length > 0 && html`<ul class="left">${notes.map((note) => html`<li>${note}</li>`)}</ul>`}
</header>
${accuracy(studio, report)}
${classes(studio, report)}
${layers(studio, report)}
${values(studio, report)}
${reproduction(studio, report)}
<footer><p>Made by bitnibble ${report.reproduce.versions.bitnibble}. Colours after Okabe and Ito.</p></footer>
</main>
</body>
</html>
`;
  return page.text;
}
