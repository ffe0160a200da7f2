// `report` as a command: the page and the document it writes, what it refuses, what it leaves behind.

import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseHTML } from 'linkedom';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ReportDocument } from '../../src/report/types.js';
import { dense, fakeKeras } from '../support/h5.js';
import { root, runCli, tempDir } from '../support/needs.js';

const digits = path.join(root, 'examples/digits');
const model = path.join(digits, 'digits.h5');
const images = path.join(digits, 'calibration-images-idx3-ubyte.gz');
const folder = tempDir();
const at = (name: string) => path.join(folder, name);
const few = ['--data', digits, '--limit', '120', '--mixes', '1'];
const calibrated = [...few, '--calibrate', images, '--samples', '64'];

async function done(args: string[]) {
  const { status, stdout, stderr } = await runCli(['report', ...args]);
  assert.is(status, 0, stderr);
  return { stdout, stderr };
}

const document = (text: string) => JSON.parse(text) as ReportDocument;

/** All but what a second run has otherwise: times. */
function withoutTimes({ seconds, rows, reproduce, ...rest }: ReportDocument) {
  return {
    ...rest,
    parts: seconds.map(({ part }) => part),
    rows: rows.map(({ seconds: _, ...row }) => row),
    reproduce: { ...reproduce, date: '', command: '' },
  };
}

let first: ReportDocument;

test('the page and the same numbers as JSON', async () => {
  const { stdout } = await done([model, ...calibrated, '-o', at('both.html'), '--json']);
  first = document(stdout);
  const html = readFileSync(at('both.html'), 'utf8');
  const { document: page } = parseHTML(html);
  assert.is(page.querySelectorAll('script, img, link, iframe, object').length, 0);
  assert.is(page.querySelectorAll('[src], [href]').length, 0);
  assert.not.match(html, /url\(|@import/);
  const rows = [...page.querySelectorAll('.scroll table tbody')][0]?.querySelectorAll('tr') ?? [];
  assert.equal(
    [...rows].map((row) => [
      row.children[1]?.textContent,
      row.children[2]?.textContent,
      row.children[5]?.textContent,
    ]),
    first.rows.map(({ name, bytes, classes }) => [
      name,
      bytes.toLocaleString('en-US'),
      (100 * (classes?.top1 ?? 0)).toFixed(2),
    ]),
  );
  const { reproduce, data, calibration } = first;
  assert.is(data.samples, 120);
  assert.is(calibration?.samples, 64);
  const [file] = reproduce.files;
  assert.equal(file, {
    name: model,
    bytes: readFileSync(model).length,
    sha256: createHash('sha256').update(readFileSync(model)).digest('hex'),
  });
  assert.match(reproduce.command, /^bitnibble report .*digits\.h5 --data .* --json$/);
  assert.match(reproduce.backend, /^(tensorflow|wasm|bitnibble)$/);
  assert.ok(reproduce.versions.node === process.versions.node && reproduce.versions.tfjs);
  for (const text of [file?.sha256 ?? '?', reproduce.command, reproduce.machine.cpu, reproduce.backend])
    assert.ok(page.body.textContent?.includes(text), text);
});

test('the numbers again: the same, without a page', async () => {
  const { stdout } = await done([model, ...calibrated, '--json']);
  assert.equal(withoutTimes(document(stdout)), withoutTimes(first));
});

test('a table for people; no samples to calibrate with', async () => {
  const { stdout } = await done([
    ...[model, ...few, '--calibrate', 'none', '-o', at('bare.html'), '--within', '0.1'],
  ]);
  assert.match(stdout, /^The float model is evaluated; the rest takes about \d+ (s|min)\.$/m);
  assert.match(readFileSync(at('bare.html'), 'utf8'), /loses? at most 10 points of accuracy/);
  assert.match(stdout, /^\* +int4, scale per channel|float32 +276,584/m);
  assert.match(stdout, /Left out: Calibrated and mixed rows/);
  assert.match(stdout, /wrote .*bare\.html/);
  assert.not.match(readFileSync(at('bare.html'), 'utf8'), /Sensitivity of each layer/);
});

test('how long it takes is said when one row was calibrated, before the others are', async () => {
  const { stdout } = await done([
    ...[model, '--data', digits, '--limit', '50', '--calibrate', images, '--samples', '16', '--mixes', '0'],
    ...['-o', at('said.html')],
  ]);
  const said = /^The float model is evaluated and one row calibrated; the rest takes about \d+ (s|min)\.$/m;
  assert.match(stdout, said);
  assert.ok(stdout.search(said) < stdout.indexOf('calibrated per channel'));
});

test('without --calibrate samples are held back, and it is said', async () => {
  const { stdout, stderr } = await done([
    model,
    '--data',
    digits,
    '--limit',
    '100',
    '--samples',
    '64',
    '--mixes',
    '0',
    '--json',
  ]);
  const { calibration, data, warnings } = document(stdout);
  assert.is(calibration?.samples, 64);
  assert.is(data.samples, 100);
  const said = /calibrating with 64 samples of the same data, from number 101 on/;
  assert.match(stderr, said);
  assert.match(warnings.join(' '), said);
});

test('names of a hostile file are text', async () => {
  const name = '<img src=x onerror=alert(1)>';
  const config = { units: 40, batch_input_shape: [null, 6], activation: 'softmax' };
  const wave = (i: number) => Math.sin(i * 12.9898);
  writeFileSync(at('<b>evil.h5'), await fakeKeras([{ ...dense(name, 6, 40, wave), config }]));
  const samples = Buffer.alloc(12 + 8 + 6 * 100);
  samples.writeUInt32BE(0x00000802, 0);
  samples.writeUInt32BE(100, 4);
  samples.writeUInt32BE(6, 8);
  for (let i = 12; i < samples.length; i++) samples[i] = (i * 31) & 255;
  writeFileSync(at('plain-idx2-ubyte'), samples.subarray(0, 12 + 600));
  await done([at('<b>evil.h5'), '--data', at('plain-idx2-ubyte'), '-o', at('evil.html'), '--quiet']);
  const { document: page } = parseHTML(readFileSync(at('evil.html'), 'utf8'));
  assert.is(page.querySelectorAll('img, b, [onerror]').length, 0);
  assert.ok(page.body.textContent?.includes(name));
  assert.match(page.querySelector('.left')?.textContent ?? '', /the data has no labels/);
});

test('what cannot be done is said, and nothing is written', async () => {
  mkdirSync(at('sub.html'));
  copyFileSync(model, at('copy.html'));
  const before = readdirSync(folder).sort();
  const out = ['-o', at('never.html')];
  for (const [status, pattern, args] of [
    [2, /required option '--data/, [model, ...out]],
    [2, /expected --output FILE.html, or --json, or both/, [model, ...few]],
    [2, /--output expected a name ending in .html, got .*\.pdf/, [model, ...few, '-o', at('never.pdf')]],
    [2, /--seed expected a whole number of at least 0, got -1/, [model, ...few, ...out, '--seed=-1']],
    [2, /--mixes expected a whole number from 0 to 64, got many/, [model, ...few, ...out, '--mixes', 'many']],
    [2, /--backend expected node, wasm or bitnibble/, [model, ...few, ...out, '--backend', 'gpu']],
    [2, /expected a whole number of at least 1/, [model, ...few, ...out, '--samples', '0']],
    [1, /no such file/, [at('none.h5'), ...few, ...out]],
    [1, /no such file or folder, and no dataset/, [model, '--data', at('none'), ...out]],
    [1, /no such file or folder, and no dataset/, [model, ...few, '--calibrate', at('none'), ...out]],
    [1, /the output is the input/, [at('copy.html'), ...few, '-o', at('copy.html')]],
    [
      1,
      /cannot be written: .*does not exist/,
      [model, ...few, '--calibrate', 'none', '-o', at('no/where.html')],
    ],
    [1, /cannot be written: it is a folder/, [model, ...few, '--calibrate', 'none', '-o', at('sub.html')]],
  ] as const) {
    const result = await runCli(['report', ...args]);
    assert.is(result.status, status, `${args.join(' ')}: ${result.stderr}`);
    assert.match(result.stderr, pattern);
  }
  assert.equal(readdirSync(folder).sort(), before);
  assert.equal(readFileSync(at('copy.html')), readFileSync(model));
});

test.run();
