// The page calibrates: models and data dropped as people drop them, and what comes of it beside the library and the command.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { zipSync } from 'fflate';
import type { Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as format from '../../page/src/format.js';
import { writeNpy } from '../../src/formats/npy.js';
import { writeNpz } from '../../src/formats/npz.js';
import { loadKernels, openPacked } from '../../src/index.js';
import { loadNetwork } from '../../src/runtime/index.js';
import { dense, fakeKeras } from '../support/h5.js';
import { need, runCli, tempDir } from '../support/needs.js';
import { greyPng } from '../support/png.js';
import { testDigits } from './support/digits.js';
import { answers, choose, digitsFile, drop, openSite, type Site, takeDemo } from './support/page.js';
import { calibrateTo, digitsFolder, digitsNpz, divergences, dropPaths, fitOf } from './support/page-data.js';

const test = suite('the page calibrates');
const withChromium = need(test, 'chromium');
const kernels = await loadKernels();
let site: Site | undefined;
test.after(() => site?.close());

/** A page, gone after the test: it reports no fault, and asks nobody but its own server. */
function inPage(name: string, body: (page: Page, site: Site) => Promise<void>): void {
  withChromium(name, async ({ chromium }) => {
    site ??= await openSite(chromium);
    const page = await site.visit();
    try {
      await body(page, site);
      const own = [site.url, `blob:${site.origin}/`];
      assert.equal(
        site.requests(page).filter((url) => !own.some((start) => url.startsWith(start))),
        [],
      );
    } finally {
      await page.context().close();
    }
    assert.equal(site.faults(), []);
  });
}

/** What the command makes of the same data. */
async function command(data: string, scheme: string): Promise<Uint8Array> {
  const output = path.join(tempDir(), 'out.safetensors');
  const args = ['calibrate', digitsFile, '-o', output, '--scheme', scheme, '--granularity', 'channel'];
  const { status, output: said } = await runCli([...args, '--data', data, '--backend', 'wasm', '--quiet']);
  assert.is(status, 0, said);
  return new Uint8Array(readFileSync(output));
}

/** Fails on any other byte, and names the weights that are others. */
function assertSameFile(own: Uint8Array, wanted: Uint8Array): void {
  const [a, b] = [openPacked(own, kernels), openPacked(wanted, kernels)];
  const others = a.weights.flatMap(({ id }) => {
    const values = b.read(id);
    const count = a.read(id).filter((value, i) => value !== values[i]).length;
    return count > 0 ? [`${id}: ${count} of ${values.length} values`] : [];
  });
  assert.equal(others, []);
  assert.is(Buffer.compare(own, wanted), 0);
}

/** Waits until so many workers are left: the browser takes its time to end one. */
async function workersLeft(page: Page, count: number): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (page.workers().length !== count && performance.now() < deadline) await page.waitForTimeout(50);
  assert.is(page.workers().length, count);
}

async function downloaded(page: Page, scheme: string): Promise<{ name: string; bytes: Uint8Array }> {
  const link = page.locator(`[data-fit=${scheme}]`).getByRole('link', { name: 'Download' });
  const [found] = await Promise.all([page.waitForEvent('download'), link.click()]);
  return { name: found.suggestedFilename(), bytes: new Uint8Array(readFileSync(await found.path())) };
}

inPage(
  'a model and an .npz file dropped together: the divergence falls, accuracy is shown, and one bit answers',
  async (page, { requests }) => {
    const npz = digitsNpz(300);
    await dropPaths(page, [digitsFile, npz]);
    const facts = page.getByTestId('data-facts');
    await facts.waitFor();
    assert.is(await facts.textContent(), 'digits.npz: 300 samples of 28 × 28 × 1, with labels: 10 classes.');
    // Plain words stand at few bits alone.
    assert.is(await page.getByTestId('plain-words').count(), 0);
    await page.locator('input[name=scheme][value=binary]').check();
    await page.getByText('Rounding alone usually destroys a network at 1 bit.').waitFor();
    assert.not.ok(requests(page).some((url) => /tensorflow|tfjs/.test(url)));

    await calibrateTo(page, 'binary');
    const seen = await divergences(page, 'binary');
    assert.ok(requests(page).some((url) => /tfjs-backend-wasm-simd.*\.wasm/.test(url)));
    assert.ok(seen.length >= 4, `${seen}`);
    assert.ok((seen.at(-1) as number) < 0.1 * (seen[0] as number), `${seen}`);
    const figure = page.locator('.fall svg[role=img]');
    await figure.waitFor();
    assert.match((await figure.getAttribute('aria-label')) ?? '', /1 bit: [\d.]+ before the first layer/);
    const { Divergence, Accuracy } = await fitOf(page, 'binary');
    assert.ok(Divergence && Divergence[1] < 0.2 * Divergence[0], `${Divergence}`);
    assert.ok(Accuracy && Accuracy[1] > 90 && Accuracy[1] > Accuracy[0] + 10, `${Accuracy}`);
    const said = (await page.locator('[data-fit=binary]').textContent()) ?? '';
    assert.match(said, 'On 37 samples that nothing was fitted to (of every class its share)');
    assert.match(said, 'Fitted to 263 samples');
    await page.getByText('This file is rounded alone.').waitFor();

    const { name, bytes } = await downloaded(page, 'binary');
    assert.is(name, 'digits.binary.calibrated.safetensors');
    assertSameFile(bytes, await command(npz, 'binary'));

    const { pixels, labels } = testDigits(310);
    const network = await loadNetwork(bytes);
    const digit = pixels.slice(784 * 305, 784 * 306);
    await drop(page, 'digit.png', greyPng(28, 28, digit));
    const answer = page.locator('[data-column=calibrated] .scores li').first();
    await answer.waitFor();
    const scores = [...network.run(Float32Array.from(digit, (p) => p / 255))];
    assert.is(scores.indexOf(Math.max(...scores)), labels[305]);
    const shown = [`${labels[305]}`, format.value(Math.max(...scores))];
    assert.equal(
      [await answer.locator('.index').textContent(), await answer.locator('.score-value').textContent()],
      shown,
    );
    assert.is(await page.locator('[data-column]').count(), 3);
    await page.getByTestId('verdict-calibrated').getByText('The same answer').waitFor();
    process.stdout.write(
      `\nRAN: one bit calibrated in the page on an .npz file, divergence on samples held back ${Divergence?.join(' -> ')}, accuracy ${Accuracy?.join(' -> ')} %, the bytes of the command\n`,
    );
  },
);

inPage(
  'a folder of images for each class: cancelled, done again, and as the command does it',
  async (page) => {
    const folder = digitsFolder(200);
    await dropPaths(page, [digitsFile]);
    await page.getByTestId('ratio').waitFor();
    await dropPaths(page, [folder]);
    await page.getByText('digits: 200 samples of 28 × 28 × 1, with labels: 10 classes.').waitFor();
    await calibrateTo(page, 'int2');
    await page.getByTestId('calibration-progress').getByText('layer').waitFor();
    assert.is(page.workers().length, 2);
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByText('Calibration was cancelled').waitFor();
    assert.is(await page.locator('[data-fit]').count(), 0);
    // The one that rounds and answers goes on.
    await workersLeft(page, 1);
    await calibrateTo(page, 'int2');
    const seen = await divergences(page, 'int2');
    assert.ok((seen.at(-1) as number) < 0.5 * (seen[0] as number), `${seen}`);
    const { Divergence, Accuracy } = await fitOf(page, 'int2');
    assert.ok(Divergence && Divergence[1] < Divergence[0], `${Divergence}`);
    assert.ok(Accuracy && Accuracy[1] > 85, `${Accuracy}`);
    assertSameFile((await downloaded(page, 'int2')).bytes, await command(folder, 'int2'));
    assert.match(
      (await page.getByTestId('calibration-said').textContent()) ?? '',
      /^2 bits calibrated: divergence/,
    );
    // Another model ends all of it.
    await choose(page, digitsFile);
    await page.getByTestId('ratio').waitFor();
    assert.is(await page.locator('[data-fit]').count(), 0);
    await workersLeft(page, 1);
  },
);

inPage('the demo: its one-bit network is calibrated, and answers in the panel of drawings', async (page) => {
  await takeDemo(page);
  const before = await answers(page);
  const right = (score = '') => Number(/^([\d,]+) of 1,000/.exec(score)?.[1]?.replace(',', ''));
  assert.ok(right(before.binary?.score) < 750);
  await page.getByRole('button', { name: "Take the demo's digits" }).click();
  await page.getByText('1,000 samples of 28 × 28 × 1').waitFor();
  await page.getByLabel('Samples at most').fill('300');
  await page.keyboard.press('Tab');
  await calibrateTo(page, 'binary');
  await page.locator('[data-fit=binary]').getByText('On 1,000 samples that nothing was fitted to').waitFor({
    timeout: 300_000,
  });
  await page.locator('[data-network=binary]').getByText('Calibrated here').waitFor();
  await page.waitForFunction((old) => {
    const text = document.querySelector('[data-network=binary] .score')?.textContent ?? '';
    return text !== old && text.includes('of 1,000 test');
  }, before.binary?.score);
  const after = await answers(page);
  assert.is(after.float32?.score, before.float32?.score);
  assert.ok(right(after.binary?.score) > 900, `${before.binary?.score}, calibrated ${after.binary?.score}`);
  const { Accuracy } = await fitOf(page, 'binary');
  assert.ok(Math.abs((Accuracy?.[1] ?? 0) - right(after.binary?.score) / 10) <= 0.2, `${Accuracy}`);
  await page.getByText('Calibrated in this page: 1 bit.').waitFor();
});

inPage('data that does not do is refused by name', async (page) => {
  await choose(page, digitsFile);
  await page.getByTestId('ratio').waitFor();
  const folder = tempDir();
  const put = (name: string, bytes: Uint8Array | string) => {
    const file = path.join(folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, bytes);
    return file;
  };
  const alert = page.locator('.calibrate').getByRole('alert');
  const refused = async (files: string | string[], text: string | RegExp) => {
    await page.getByTestId('data-files').setInputFiles(files);
    await alert.getByText(text).waitFor();
    assert.is(await page.getByRole('button', { name: 'Calibrate', exact: true }).count(), 0);
  };
  const { pixels } = testDigits(20);
  const y = (values: number[]) => ({ shape: [values.length], data: Int32Array.from(values) });
  const x = { shape: [20, 28, 28, 1], data: pixels };
  await refused(
    put('wrong.npz', writeNpz({ x: { shape: [4, 3, 5], data: new Float32Array(60) } })),
    'digits.h5 and wrong.npz: the model expects inputs of shape [28,28,1], the data has [3,5]',
  );
  await refused(
    put('many.npz', writeNpz({ x, y: y(Array.from({ length: 20 }, (_, i) => i)) })),
    'digits.h5 and many.npz: label 10, the model has 10 classes',
  );
  await refused(
    put('short.npz', writeNpz({ x, y: y([1, 2]) })),
    'short.npz: y: expected 20 labels, got an array of shape [2]',
  );
  await refused(put('text.npz', 'no archive'), /text\.npz: /);
  await refused(put('notes.txt', 'hello'), 'notes.txt: expected images');
  await refused(
    [
      put('a.png', greyPng(28, 28, pixels.subarray(0, 784))),
      put('b.png', greyPng(14, 28, pixels.subarray(0, 392))),
    ],
    /b\.png: expected 28 x 28 pixels as .*a\.png has, got 14 x 28/,
  );
  await refused(put('c.jpg', 'no image'), 'c.jpg: expected an image that this browser reads');
  // 300 MiB of zeros, in 300 kB.
  const zeros = writeNpy({ shape: [400_000, 28, 28, 1], data: new Uint8Array(400_000 * 784) });
  await refused(
    put('large.npz', zipSync({ 'x.npy': zeros })),
    'large.npz: member x.npy unpacks to 313600128 bytes, the limit is 268435456',
  );

  // Folders: without images, and for a model that is not there.
  put('empty/notes.txt', 'hello');
  await page.getByTestId('data-folder').setInputFiles(path.join(folder, 'empty'));
  await alert.getByText('empty: expected images (PNG, JPEG, WebP and others), or arrays').waitFor();
  await page.getByRole('link', { name: 'start again' }).click();
  await page.getByRole('button', { name: 'Choose a file' }).waitFor();
  await dropPaths(page, [path.join(folder, 'empty')]);
  await page.getByRole('alert').getByText('empty: expected a Keras model first').waitFor();
});

inPage('images that the browser decodes, and files of labels beside arrays', async (page) => {
  await choose(page, digitsFile);
  await page.getByTestId('ratio').waitFor();
  const { pixels, labels } = testDigits(40);
  const jpegs = await page.evaluate(
    async (all) => {
      const made: string[] = [];
      for (let n = 0; n < 40; n++) {
        const canvas = new OffscreenCanvas(28, 28);
        const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D;
        const image = context.createImageData(28, 28);
        for (let i = 0; i < 784; i++) image.data.set([...Array(3).fill(all[784 * n + i]), 255], 4 * i);
        context.putImageData(image, 0, 0);
        const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.95 });
        made.push(btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer()))));
      }
      return made;
    },
    [...pixels],
  );
  const folder = tempDir();
  for (const [n, text] of jpegs.entries()) {
    const own = path.join(folder, 'jpegs', `${labels[n]}`);
    mkdirSync(own, { recursive: true });
    writeFileSync(path.join(own, `${n}.jpg`), Buffer.from(text, 'base64'));
  }
  await page.getByTestId('data-folder').setInputFiles(path.join(folder, 'jpegs'));
  await page.getByText('jpegs: 40 samples of 28 × 28 × 1, with labels: 10 classes.').waitFor();
  await calibrateTo(page, 'int4');
  await page.locator('[data-fit=int4]').waitFor({ timeout: 300_000 });
  assert.ok(((await fitOf(page, 'int4')).Accuracy?.[1] ?? 0) >= 60);
  await page.getByText(/^\d remarks?$/).click();
  await page.getByText('35 samples are few: 256 to 2048 are usual').waitFor();

  writeFileSync(path.join(folder, 'x.npy'), writeNpy({ shape: [40, 28, 28], data: pixels }));
  writeFileSync(path.join(folder, 'y.npy'), writeNpy({ shape: [40], data: Int32Array.from(labels) }));
  await page
    .getByTestId('data-files')
    .setInputFiles([path.join(folder, 'x.npy'), path.join(folder, 'y.npy')]);
  await page.getByText('40 samples of 28 × 28, with labels: 10 classes.').waitFor();
});

inPage('what a scale is to be is asked where it is unclear, with both readings', async (page) => {
  const config = { scale: 0.5, offset: 0, batch_input_shape: [null, 6, 6, 1] };
  const model = await fakeKeras([
    { name: 'rescaling', className: 'Rescaling', config, weights: [] },
    { name: 'flatten', className: 'Flatten', weights: [] },
    dense('dense', 36, 4, (i) => Math.sin(7 * i)),
  ]);
  const values = Uint8Array.from({ length: 64 * 36 }, (_, i) => (i * 31) % 256);
  const npz = writeNpz({ x: { shape: [64, 6, 6, 1], data: values } });
  await drop(page, 'model.h5', model);
  await page.getByTestId('ratio').waitFor();
  await drop(page, 'bytes.npz', npz);
  const begin = page.getByRole('button', { name: 'Calibrate', exact: true });
  await page.getByText('whether 8-bit samples are to be 0 to 255 or 0 to 1 is unclear').waitFor();
  assert.ok(await begin.isDisabled());
  assert.is(await page.getByRole('radio', { name: '× 1: they are to be 0 to 255' }).count(), 1);
  await page.getByRole('radio', { name: '× 1/255: they are to be 0 to 1' }).check();
  assert.not.ok(await begin.isDisabled());
  await calibrateTo(page, 'int4');
  await page.locator('[data-fit=int4]').waitFor({ timeout: 300_000 });
  const { Divergence } = await fitOf(page, 'int4');
  assert.ok(Divergence && Divergence[1] <= Divergence[0], `${Divergence}`);
  assert.is((await fitOf(page, 'int4')).Accuracy, undefined);
});

test.run();
