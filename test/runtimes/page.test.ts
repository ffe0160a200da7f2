// The page in Chromium: what it shows is what the library says in Node.js, and what it hands out opens there.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as format from '../../page/src/format.js';
import { loadKernels, openPacked, packedBytes } from '../../src/index.js';
import { openKeras } from '../../src/keras/index.js';
import { foldBatchNorm, levelHistogram, quantizeModel } from '../../src/pipeline/index.js';
import { SCHEMES } from '../../src/schemes/quantize.js';
import type { QuantizeOptions } from '../../src/schemes/types.js';
import { dense, fakeKeras } from '../support/h5.js';
import { need, root } from '../support/needs.js';
import {
  answers,
  choose,
  digitsFile,
  download,
  draw,
  drop,
  openSite,
  type Site,
  takeDemo,
} from './support/page.js';

/** HDF5 itself reads this one. */
const compressedFile = path.join(root, 'test/fixtures/containers/gzip_shuffle.h5');

/** Chooses a file and waits for its packed form. */
async function opened(page: Page, file: string): Promise<void> {
  await choose(page, file);
  await page
    .locator('.take')
    .getByText(`${path.parse(file).name}.int4.safetensors`)
    .waitFor();
}

const test = suite('the page');
const withChromium = need(test, 'chromium');
const kernels = await loadKernels();
let site: Site | undefined;

/** A page, gone after the test; what it reported to its console fails the test. */
function inPage(
  name: string,
  body: (page: Page, site: Site) => Promise<void>,
  expected: RegExp[] = [],
): void {
  withChromium(name, async ({ chromium }) => {
    site ??= await openSite(chromium);
    const page = await site.visit();
    let faults: string[] = [];
    try {
      await body(page, site);
    } finally {
      await page.context().close();
      faults = site.faults();
    }
    assert.equal(
      faults.filter((fault) => !expected.some((pattern) => pattern.test(fault))),
      [],
    );
  });
}
test.after(() => site?.close());

/** As `bitnibble quantize` does it: normalizations are folded where no scale serves a whole tensor. */
async function quantized(bytes: Uint8Array, name: string, options: QuantizeOptions) {
  const model = await openKeras(bytes, name);
  const source = options.granularity === 'tensor' ? model : foldBatchNorm(model).source;
  const { model: packed, report } = quantizeModel(source, { default: options }, { kernels });
  const bytesBefore = quantizeModel(model, { default: options }, { kernels }).report.bytesBefore;
  return { model, source, packed, report, bytesBefore, bytes: packedBytes(packed) };
}

/** The table's cells, row by row, and the packed file's size as the page states it. */
async function shown(page: Page) {
  const rows = await page
    .locator('.layers > table > tbody > tr:not(.detail)')
    .evaluateAll((all) =>
      all.map((row) =>
        ['.layer', '.class', '.shape', '.bytes', '.error'].map((cell) =>
          (row.querySelector(cell)?.textContent ?? '').replace(/\s+/g, ' ').trim(),
        ),
      ),
    );
  return { rows, ratio: await page.getByTestId('ratio').textContent() };
}

/** Waits until the page shows what the library says of the same file and options. */
async function assertShows(
  page: Page,
  bytes: Uint8Array,
  name: string,
  options: QuantizeOptions,
): Promise<void> {
  const { report, bytesBefore, bytes: packed, model } = await quantized(bytes, name, options);
  model.close();
  await page.getByText(`${format.count(packed.length)} bytes, architecture and scales included`).waitFor();
  const wanted = report.tensors
    .filter(({ result }) => result !== 'kept')
    .map(({ id, layer, className, shape, bytesBefore, bytesAfter, snrDb = 0 }) => [
      id.endsWith('/kernel') ? layer : id,
      className,
      format.shape(shape),
      `${format.bytes(bytesBefore)} → ${format.bytes(bytesAfter)}`,
      format.decibels(snrDb),
    ]);
  assert.ok(wanted.length > 0);
  const expected = { rows: wanted, ratio: `${(bytesBefore / packed.length).toFixed(1)}×` };
  // Two rules for scales may make files of one size, so the size above does not tell which of them is shown.
  const deadline = performance.now() + 20_000;
  let now = await shown(page);
  while (JSON.stringify(now) !== JSON.stringify(expected) && performance.now() < deadline) {
    await page.waitForTimeout(50);
    now = await shown(page);
  }
  assert.equal(now, expected);
  const kept = report.tensors.filter(({ result }) => result === 'kept');
  assert.is(await page.locator('.kept tbody tr').count(), kept.length);
  const got = await download(page);
  assert.is(got.name, `${path.parse(name).name}.${options.scheme}.safetensors`);
  assert.equal(got.bytes, packed);
}

const digits = new Uint8Array(readFileSync(digitsFile));

inPage(
  'a dropped file: every layer, the totals, and the packed file are those of the library',
  async (page) => {
    await drop(page, 'dropped.h5', digits);
    await assertShows(page, digits, 'dropped.h5', { scheme: 'int4', granularity: 'channel' });
    assert.is(await page.getByRole('heading', { name: 'Draw a digit' }).count(), 0);
    const { bytes } = await download(page);
    const packed = openPacked(bytes, kernels);
    const { packed: wanted } = await quantized(digits, 'dropped.h5', { scheme: 'int4' });
    assert.is(packed.weights.length, wanted.weights.length);
    for (const { id } of packed.weights) assert.equal(packed.read(id), wanted.read(id), id);
  },
);

inPage('every scheme of the library, every granularity, every rule for scales', async (page) => {
  await choose(page, digitsFile);
  await page.getByTestId('ratio').waitFor();
  const schemes = await page
    .locator('input[name=scheme]')
    .evaluateAll((all) => all.map((e) => (e as HTMLInputElement).value));
  assert.equal([...schemes].sort(), Object.keys(SCHEMES).sort());
  for (const scheme of Object.keys(SCHEMES) as (keyof typeof SCHEMES)[]) {
    await page.locator(`input[name=scheme][value=${scheme}]`).check();
    await page.locator('input[name=granularity][value=tensor]').check();
    await assertShows(page, digits, 'digits.h5', { scheme, granularity: 'tensor' });
    const rules = await page
      .locator('input[name=scale]')
      .evaluateAll((all) => all.map((e) => (e as HTMLInputElement).value));
    assert.ok(rules.length >= 2, `${scheme}: ${rules}`);
    for (const scale of rules as NonNullable<QuantizeOptions['scale']>[]) {
      await page.locator(`input[name=scale][value=${scale}]`).check();
      await assertShows(page, digits, 'digits.h5', { scheme, granularity: 'tensor', scale });
    }
    await page.locator('input[name=scale]').first().check();
    await page.locator('input[name=granularity][value=group]').check();
    await page.getByLabel('Rows in a group').fill('16');
    await page.keyboard.press('Tab');
    await assertShows(page, digits, 'digits.h5', { scheme, granularity: 'group', groupSize: 16 });
  }
});

inPage('a .keras archive, and weights without an architecture', async (page) => {
  for (const name of ['keras2_nested.keras', 'subclassed.weights.h5']) {
    const file = path.join(root, 'test/fixtures/containers', name);
    await choose(page, file);
    await page.getByRole('heading', { name, level: 1 }).waitFor();
    await page.getByText('bytes, architecture and scales included').waitFor();
    const bytes = new Uint8Array(readFileSync(file));
    const { bytes: packed, model } = await quantized(bytes, name, { scheme: 'int4', granularity: 'channel' });
    model.close();
    assert.equal((await download(page)).bytes, packed, name);
  }
});

inPage(
  'histograms: of a tensor and of one channel, with the levels that the library counts',
  async (page) => {
    await choose(page, digitsFile);
    const figure = page.locator('.details .figure svg[role=img]');
    const { model, source, packed } = await quantized(digits, 'digits.h5', {
      scheme: 'int4',
      granularity: 'channel',
    });
    await page.locator('button.toggle', { hasText: 'conv3' }).click();
    const label = (histogram: ReturnType<typeof levelHistogram>) =>
      `Histogram of ${histogram.weights} weights of conv3/kernel, rounded to ${histogram.levels.length} levels from ` +
      `${histogram.levels[0]?.value.toPrecision(3)} to ${histogram.levels.at(-1)?.value.toPrecision(3)}`;
    for (const block of [undefined, 0, 31]) {
      if (block === 0) await page.getByRole('radio', { name: 'one channel' }).check();
      if (block) await page.getByRole('spinbutton', { name: 'which channel' }).fill(String(block));
      const wanted = levelHistogram(source, packed, 'conv3/kernel', { block });
      await page
        .getByRole('img', { name: label(wanted), exact: true })
        .and(figure)
        .waitFor();
      // A mark for each level, a bar for each bin.
      assert.is(await figure.locator('[data-mark=dot] circle').count(), wanted.levels.length);
      assert.ok((await figure.locator('[data-mark=rect] rect').count()) >= 24);
    }
    model.close();
    await figure.hover();
    await figure.getByText(/\d weights, [\d.]+%/).waitFor();
    const small = page.locator('td.histogram svg[role=img]');
    await small.last().scrollIntoViewIfNeeded();
    await page.locator('td.histogram').last().scrollIntoViewIfNeeded();
    await page.waitForFunction((count) => document.querySelectorAll('td.histogram svg').length === count, 7);
  },
);

inPage('a bad file: the library says why, and the page goes on', async (page) => {
  const cut = digits.slice(0, 20_000);
  const files: [string, Uint8Array][] = [
    ['notes.txt', new TextEncoder().encode('no model at all')],
    ['empty.h5', new Uint8Array(0)],
    ['cut.h5', cut],
    ['archive.keras', Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0)],
    ['lzf.h5', new Uint8Array(readFileSync(path.join(root, 'test/fixtures/containers/lzf.h5')))],
  ];
  for (const [name, bytes] of files) {
    const error = await quantized(bytes, name, { scheme: 'int4' }).then(
      () => undefined,
      (reason) => reason,
    );
    assert.is(error?.name, 'BitnibbleError', name);
    await choose(page, { name, bytes });
    const alert = page.getByRole('alert');
    await alert.getByText(error.message, { exact: true }).waitFor();
    await alert.getByText(error.code, { exact: true }).waitFor();
  }
  await drop(page, 'good.h5', digits);
  await page.getByTestId('ratio').waitFor();
  assert.is(await page.getByRole('alert').count(), 0);
});

inPage('weights that are no numbers are refused by name, and another file is taken', async (page) => {
  const bytes = await fakeKeras([dense('broken', 4, 3, (i) => (i === 5 ? Number.NaN : i))]);
  await choose(page, { name: 'nan.h5', bytes });
  const alert = page.getByRole('alert');
  await alert
    .getByText('expected finite weights, got NaN at index 5 (tensor broken/kernel of nan.h5)')
    .waitFor();
  assert.is(await page.getByRole('link', { name: 'Download' }).count(), 0);
  await choose(page, digitsFile);
  await page.getByTestId('ratio').waitFor();
});

inPage(
  "the demo: a drawing is answered by four networks, which get right what the demo's table says",
  async (page) => {
    await takeDemo(page);
    const before = await answers(page);
    assert.equal(Object.keys(before), ['float32', 'int4', 'int2', 'binary']);
    // examples/digits/README.md; another summation order may move a digit that is on the edge.
    for (const [id, right] of [
      ['float32', 989],
      ['int4', 990],
      ['int2', 972],
      ['binary', 713],
    ] as const) {
      const found = Number(/^([\d,]+) of 1,000/.exec(before[id]?.score ?? '')?.[1]?.replace(',', ''));
      assert.ok(Math.abs(found - right) <= 2, `${id}: ${before[id]?.score}`);
    }
    await page.getByRole('button', { name: 'Clear' }).click();
    assert.equal(
      Object.values(await answers(page)).map(({ digit, time }) => digit + time),
      ['––', '––', '––', '––'],
    );
    const strokes: [digit: string, points: (readonly [number, number])[]][] = [
      [
        '1',
        [
          [14, 5],
          [14, 23],
        ],
      ],
      [
        '7',
        [
          [8, 6],
          [20, 6],
          [13, 23],
        ],
      ],
      [
        '0',
        [
          [14, 5],
          [9, 8],
          [8, 14],
          [9, 20],
          [14, 23],
          [19, 20],
          [20, 14],
          [19, 8],
          [14, 5],
        ],
      ],
    ];
    for (const [digit, points] of strokes) {
      await page.getByRole('button', { name: 'Clear' }).click();
      await draw(page, points);
      await page.waitForFunction(() =>
        [...document.querySelectorAll('.time strong')].every((time) =>
          /^[\d.]+ (ms|s)$/.test(time.textContent ?? ''),
        ),
      );
      const found = await answers(page);
      assert.is(found.float32?.digit, digit);
      assert.is(found.int4?.digit, digit);
      assert.match(found.binary?.digit ?? '', /^\d$/);
    }
    await page.getByRole('button', { name: 'Another test digit' }).click();
    const said = (await page.getByText('from the test set').textContent()) ?? '';
    const label = /^A (\d) from/.exec(said)?.[1];
    assert.ok(label, said);
    await page.locator('input[name=scheme][value=binary]').check();
    await page.locator('.take').getByText('digits.binary.safetensors').waitFor();
    assert.is((await answers(page)).float32?.score, before.float32?.score);
  },
);

inPage(
  'nothing leaves the machine: the policy holds for the page and its worker',
  async (page, { url, origin, requests }) => {
    let reached = 0;
    const other = createServer((_, response) => {
      reached++;
      response.writeHead(200, { 'access-control-allow-origin': '*' }).end('x');
    });
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const address = `http://127.0.0.1:${(other.address() as AddressInfo).port}/`;
    try {
      await takeDemo(page);
      const [worker] = page.workers();
      assert.ok(worker);
      // Evaluation in the tools is outside of the policy; what a timer calls is not.
      const tryAll = (target: string) =>
        new Promise<string[]>((resolve) => {
          setTimeout(async () => {
            const found: string[] = [];
            await fetch(target).then(
              () => found.push('fetched'),
              () => undefined,
            );
            try {
              new Function('return 1')();
              found.push('evaluated');
            } catch {
              // Refused.
            }
            resolve(found);
          });
        });
      assert.equal(await page.evaluate(tryAll, address), []);
      assert.equal(await worker.evaluate(tryAll, address), []);
      assert.is(reached, 0);
      // The same request from elsewhere arrives: the server is there.
      await fetch(address);
      assert.is(reached, 1);
    } finally {
      other.close();
      other.closeAllConnections();
    }
    // HDF5 compiles its WebAssembly under the policy too; plain files need none of it.
    await opened(page, compressedFile);
    const asked = requests(page);
    const stray = asked.filter(
      (request) => !request.startsWith(url) && !request.startsWith(`blob:${origin}/`),
    );
    assert.equal(stray, []);
    assert.ok(asked.some((request) => /hdf5/.test(request)));
  },
  [
    /violates the following Content Security Policy directive/,
    /Refused to connect/,
    /^http:\/\/127.0.0.1:\d+\/: csp$/,
  ],
);

inPage('what is not needed is not fetched', async (page, { requests }) => {
  const asked = requests(page);
  await page.getByRole('button', { name: 'Choose a file' }).waitFor();
  const has = (pattern: RegExp) => asked.some((request) => pattern.test(request));
  assert.not.ok(has(/hdf5|classifier|calibration|tensorflow|tfjs|plots|digits/), asked.join('\n'));
  await choose(page, digitsFile);
  await page.locator('.details svg').waitFor();
  assert.ok(has(/plots/));
  assert.not.ok(has(/hdf5|classifier|calibration|tensorflow|tfjs/), asked.join('\n'));
  await opened(page, compressedFile);
  assert.ok(has(/hdf5/));
  assert.not.ok(has(/classifier|calibration|tensorflow|tfjs/), asked.join('\n'));
});

test.run();
