// The page in use: with the keyboard alone, with a large model, and when the next file comes too soon.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels, openPacked, packedBytes } from '../../src/index.js';
import { openKeras } from '../../src/keras/index.js';
import { quantizeModel } from '../../src/pipeline/index.js';
import { dense, fakeKeras } from '../support/h5.js';
import { need, tempDir } from '../support/needs.js';
import { answers, choose, digitsFile, download, drop, openSite, type Site } from './support/page.js';

const test = suite('the page in use');
const withChromium = need(test, 'chromium');
let site: Site | undefined;

function inPage(name: string, body: (page: Page) => Promise<void>): void {
  withChromium(name, async ({ chromium }) => {
    site ??= await openSite(chromium);
    const page = await site.visit();
    try {
      await body(page);
    } finally {
      await page.context().close();
    }
    assert.equal(site.faults(), []);
  });
}
test.after(() => site?.close());

/** What has the focus, by its accessible text, and whether it is seen to have it. */
function focused(page: Page) {
  return page.evaluate(() => {
    const element = document.activeElement as HTMLElement;
    // A radio button is covered by the label that shows its focus; the pad shows it for its canvas.
    const next = element.matches('.options input') && element.nextElementSibling;
    const shown = next || element.closest('.pad') || element;
    const { outlineStyle, outlineWidth } = getComputedStyle(shown);
    const input = element as HTMLInputElement;
    const text =
      element.getAttribute('aria-label') ??
      (input.type === 'radio' ? input.value : (input.labels?.[0]?.textContent ?? element.textContent));
    return {
      text: text?.trim() ?? '',
      isSeen: outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 2,
    };
  });
}

/** Presses Tab until something of that text has the focus; everything on the way must be seen to have it. */
async function tabTo(page: Page, wanted: RegExp, key = 'Tab'): Promise<void> {
  const way: string[] = [];
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press(key);
    const { text, isSeen } = await focused(page);
    assert.ok(isSeen, `the focus on "${text}" is not to be seen`);
    if (wanted.test(text)) return;
    way.push(text);
  }
  throw new Error(`Tab never came to ${wanted}: ${way.join(' | ')}`);
}

inPage('with the keyboard alone: open, choose, download, draw, look into a layer', async (page) => {
  await tabTo(page, /^Take the demo model$/);
  await page.keyboard.press('Enter');
  await page.getByText('of 1,000 test digits right').nth(3).waitFor();
  assert.is((await focused(page)).text, 'digits.h5');

  await tabTo(page, /^int4$/);
  await page.keyboard.press('ArrowLeft');
  await page.locator('.take').getByText('digits.int2.safetensors').waitFor();
  await page.keyboard.press('ArrowLeft');
  await page.locator('.take').getByText('digits.binary.safetensors').waitFor();
  await tabTo(page, /^channel$/);
  await page.keyboard.press('ArrowRight');
  await tabTo(page, /^Rows in a group$/);
  await page.keyboard.type('8');
  await page.keyboard.press('Tab');
  await page.getByText('bits per rounded weight').waitFor();
  await tabTo(page, /^Download the packed file$/);
  const { name, bytes } = await download(page, () => page.keyboard.press('Enter'));
  assert.is(name, 'digits.binary.safetensors');
  const [first] = openPacked(bytes, await loadKernels()).weights;
  assert.is(first?.kind === 'quantized' && first.tensor.coding.scheme, 'binary');

  await tabTo(page, /^Drawing pad/);
  await page.keyboard.press('Escape');
  assert.is((await answers(page)).float32?.digit, '–');
  for (let i = 0; i < 9; i++) await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Space');
  for (let i = 0; i < 18; i++) await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Space');
  await page.waitForFunction(
    () => document.querySelector('[data-network=float32] .value')?.textContent === '1',
  );
  await page.getByText(/^float32: 1, 4 bits: 1, 2 bits: 1, 1 bit: \d$/).waitFor({ state: 'attached' });

  await tabTo(page, /^Another test digit$/);
  await tabTo(page, /^Take the demo's digits$/);
  await page.keyboard.press('Enter');
  await page.getByTestId('data-facts').waitFor();
  await tabTo(page, /^Samples at most$/);
  await page.keyboard.press('Control+A');
  await page.keyboard.type('64');
  await tabTo(page, /^Calibrate$/);
  await page.keyboard.press('Enter');
  // The button that was pressed is out of use: what ends the work has the focus.
  await page.waitForFunction(() => document.activeElement?.textContent === 'Cancel');
  await page.getByTestId('calibration-said').getByText('Calibrating 1 bit').waitFor({ state: 'attached' });
  await page.keyboard.press('Enter');
  await page.getByText('Calibration was cancelled').waitFor();
  assert.is((await focused(page)).text, 'Calibrate it on your data');
  await tabTo(page, /^conv1$/);
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'conv1', expanded: true }).waitFor();
  await page.locator('.details svg[aria-label*="conv1/kernel"]').waitFor();
  await tabTo(page, /tensors kept as they are/);
  await page.keyboard.press('Enter');
  await page.getByText('conv1/bias').waitFor();
  await tabTo(page, /^conv1$/, 'Shift+Tab');
});

let large: string | undefined;

/** 105 MB of float32 in four layers; made once. */
async function largeModel(): Promise<string> {
  if (large) return large;
  const layers = Array.from({ length: 4 }, (_, n) =>
    dense(`dense_${n}`, 2560, 2560, (i) => Math.sin(i * (n + 1))),
  );
  const file = path.join(tempDir(), 'large.h5');
  writeFileSync(file, await fakeKeras(layers));
  large = file;
  return file;
}

/** Notes the longest time between two frames, and what progress was to be seen, until told to stop. */
function watch(page: Page) {
  return page.evaluate(() => {
    const notes = { longest: 0, frames: 0, parts: [] as number[], isOn: true };
    Object.assign(globalThis, { notes });
    let last = performance.now();
    requestAnimationFrame(function frame() {
      const now = performance.now();
      notes.longest = Math.max(notes.longest, now - last);
      notes.frames++;
      last = now;
      const value = document.querySelector('progress')?.getAttribute('value');
      if (value && Number(value) !== notes.parts.at(-1)) notes.parts.push(Number(value));
      if (notes.isOn) requestAnimationFrame(frame);
    });
  });
}

inPage('a model of 100 MB: progress, and no frame waits for the work', async (page) => {
  const file = await largeModel();
  const tools = await page.context().newCDPSession(page);
  // Time that the page's main thread computed, whatever else the machine does.
  await tools.send('Performance.enable', { timeDomain: 'threadTicks' });
  const computed = async () => {
    const { metrics } = await tools.send('Performance.getMetrics');
    return metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN;
  };
  await watch(page);
  const before = await computed();
  const start = performance.now();
  await choose(page, file);
  await page.getByTestId('ratio').waitFor();
  await page.locator('input[name=scale][value=lsq]').check();
  await page.waitForFunction(() => document.querySelector('progress') !== null);
  await page.waitForFunction(() => document.querySelector('progress') === null);
  await page.locator('.details svg').waitFor();
  const seconds = (performance.now() - start) / 1000;
  const busy = (await computed()) - before;
  const { longest, frames, parts } = await page.evaluate(() => {
    const { notes } = globalThis as unknown as {
      notes: { longest: number; frames: number; parts: number[]; isOn: boolean };
    };
    notes.isOn = false;
    return notes;
  });
  process.stdout.write(
    `\nRAN: 105 MB in ${seconds.toFixed(1)} s, of which the main thread computed ${busy.toFixed(1)} s: ${frames} frames, ` +
      `the longest ${longest.toFixed(0)} ms, ${parts.length} steps of progress\n`,
  );
  // A machine with much else to do lets a frame wait as well: what holds anywhere is that the work is elsewhere.
  assert.ok(busy < seconds / 3, `the main thread computed ${busy.toFixed(1)} of ${seconds.toFixed(1)} s`);
  assert.ok(longest < (1000 * seconds) / 5, `the page stood still for ${longest.toFixed(0)} ms`);
  assert.ok(frames > 5 * seconds, `${frames} frames`);
  assert.ok(parts.filter((part) => part > 0 && part < 1).length >= 3, `progress was ${parts}`);
  const { bytes } = await download(page);
  const packed = openPacked(bytes, await loadKernels());
  assert.is(packed.weights.filter(({ kind }) => kind === 'quantized').length, 4);
});

inPage('a choice made while another is worked on is the one that is shown', async (page) => {
  await choose(page, await largeModel());
  await page.getByTestId('ratio').waitFor();
  await page.locator('input[name=scale][value=lsq]').check();
  await page.locator('input[name=granularity][value=group]').check();
  // What is typed is not lost to the progress that is shown meanwhile.
  const rows = page.getByLabel('Rows in a group');
  await rows.fill('256');
  await page.waitForFunction(() => document.querySelector('.working progress') === null);
  assert.is(await rows.inputValue(), '256');
  await rows.press('Enter');
  await page.getByText('bits per rounded weight').waitFor();
  await page.locator('input[name=granularity][value=tensor]').check();
  await page.locator('input[name=scheme][value=binary]').check();
  await page.locator('.take').getByText('large.binary.safetensors').waitFor();
  await page.waitForFunction(() => document.querySelector('.working progress') === null);
  const { name, bytes } = await download(page);
  assert.is(name, 'large.binary.safetensors');
  const [first] = openPacked(bytes, await loadKernels()).weights;
  const coding = first?.kind === 'quantized' ? first.tensor.coding : undefined;
  assert.equal([coding?.scheme, coding?.granularity], ['binary', 'tensor']);
});

inPage('a new file ends the work on the one before', async (page) => {
  const file = await largeModel();
  await choose(page, file);
  await page.getByText('large.h5').first().waitFor();
  await choose(page, digitsFile);
  await page.getByRole('heading', { name: 'digits.h5', level: 1 }).waitFor();
  await page.locator('.take').getByText('digits.int4.safetensors').waitFor();
  await page.waitForTimeout(1000);
  assert.is(await page.getByText('large.h5').count(), 0);
  assert.is(page.workers().length, 1);
});

inPage('a packed file is said to be packed, with what is in it', async (page) => {
  const kernels = await loadKernels();
  const model = await openKeras(readFileSync(digitsFile), 'digits.h5');
  const { model: packed, report } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
  const bytes = packedBytes(packed);
  model.close();
  await drop(page, 'digits.safetensors', bytes);
  await page.getByRole('heading', { name: 'digits.safetensors' }).waitFor();
  const facts = await page.locator('section.model p').first().textContent();
  assert.match(facts ?? '', 'Already packed');
  assert.match(facts ?? '', `at ${report.bitsPerWeight.toFixed(2)} bits`);
  assert.is(await page.locator('section.layers tbody tr').count(), report.tensors.length);
  const row = page.locator('section.layers tr', { hasText: 'conv1/kernel' });
  assert.match((await row.textContent()) ?? '', 'int4, one scale per channel, absmax');
  assert.is(await page.getByRole('alert').count(), 0);
  // The next file is rounded as ever.
  await drop(page, 'digits.h5', readFileSync(digitsFile));
  await page.getByTestId('ratio').waitFor();
});

test.run();
