// How the page looks: on a phone and a desktop, light and dark; axe-core looks for what people with disabilities would
// stumble over, contrast included. The pictures are kept in build/page-pictures to be looked at.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writeNpy } from '../../src/formats/npy.js';
import { need, root } from '../support/needs.js';
import { assertAccessible } from './support/axe.js';
import { choose, digitsFile, download, draw, openSite, type Site, takeDemo } from './support/page.js';
import { calibrateTo, digitsNpz } from './support/page-data.js';

const test = suite('the look of the page');
const withChromium = need(test, 'chromium');
const pictures = path.join(root, 'build', 'page-pictures');
let site: Site | undefined;
test.after(() => site?.close());

const WINDOWS = {
  desktop: { viewport: { width: 1280, height: 900 } },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 1.5, hasTouch: true, isMobile: true },
  'small phone': {
    viewport: { width: 320, height: 568 },
    deviceScaleFactor: 1.5,
    hasTouch: true,
    isMobile: true,
  },
};

/** Waits until every figure is drawn, those out of view as well: nobody scrolls. */
async function drawAll(page: Page): Promise<void> {
  await page.waitForFunction(() =>
    [...document.querySelectorAll('.figure')].every(
      (place) => place.querySelector('svg') || (place as HTMLElement).offsetParent === null,
    ),
  );
}

/** For people, who are not there in CI. */
async function picture(page: Page, name: string): Promise<void> {
  if (process.env.CI) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: path.join(pictures, `${name.replaceAll(' ', '-')}.png`), fullPage: true });
}

/** Nothing is cut off at the right, and everything that is touched is at least 24 pixels wide and high (WCAG 2.5.8). */
async function assertFits(page: Page, where: string): Promise<void> {
  const { wide, small } = await page.evaluate(() => {
    const visible = [
      ...document.querySelectorAll<HTMLElement>('button, a, summary, .options label, .blocks label'),
    ];
    const sizes = visible.map((element) => ({
      text: element.textContent,
      box: element.getBoundingClientRect(),
    }));
    return {
      wide: document.documentElement.scrollWidth - innerWidth,
      small: sizes
        .filter(({ box }) => box.width > 0 && (box.width < 24 || box.height < 24))
        .map(({ text }) => text),
    };
  });
  assert.is(wide, 0, `${where}: wider than the window by ${wide} pixels`);
  assert.equal(small, [], where);
}

const SEVEN = [
  [8, 6],
  [20, 6],
  [13, 23],
] as const;

for (const [window, options] of Object.entries(WINDOWS)) {
  for (const colorScheme of window === 'small phone' ? (['light'] as const) : (['light', 'dark'] as const)) {
    withChromium(`${window}, ${colorScheme}`, async ({ chromium }) => {
      site ??= await openSite(chromium);
      const page = await site.visit({ ...options, colorScheme, reducedMotion: 'reduce' });
      const state = async (name: string) => {
        const where = `${window} ${colorScheme} ${name}`;
        await picture(page, where);
        await assertFits(page, where);
        await assertAccessible(page, where);
      };
      await page.evaluate(() => document.fonts.ready);
      const [paper, ink] = await page.evaluate(() => {
        const { backgroundColor, color } = getComputedStyle(document.body);
        return [backgroundColor, color].map((text) => Number(/\d+/.exec(text)?.[0]));
      });
      assert.ok(
        colorScheme === 'light'
          ? (paper as number) > 200 && (ink as number) < 60
          : (paper as number) < 60 && (ink as number) > 200,
      );
      await state('1 empty');
      await choose(page, { name: 'notes.h5', bytes: new TextEncoder().encode('no model') });
      await page.getByRole('alert').waitFor();
      await state('2 error');
      await takeDemo(page);
      await page.getByRole('button', { name: 'Clear' }).click();
      await draw(page, SEVEN);
      await page.locator('.answer .time strong', { hasText: 'ms' }).nth(3).waitFor();
      await drawAll(page);
      await state('3 demo');
      await page.locator('input[name=scheme][value=binary]').check();
      await page.locator('input[name=granularity][value=group]').check();
      await page.locator('.take').getByText('digits.binary.safetensors').waitFor();
      await page.getByRole('radio', { name: 'one group' }).check();
      await page.getByText(/tensors kept as they are/).click();
      await drawAll(page);
      await state('4 one bit in groups');
      await page.getByTestId('sample').setInputFiles(path.join(root, 'docs/page.png'));
      await page.getByTestId('verdict').waitFor();
      await state('5 an image of ones own');
      await page.getByTestId('data-files').setInputFiles(digitsNpz(60));
      await page.getByTestId('data-facts').waitFor();
      await calibrateTo(page, 'binary');
      await page.getByTestId('calibration-progress').getByText('divergence so far').waitFor();
      await assertFits(page, `${window} ${colorScheme} calibrating`);
      await page.locator('[data-fit=binary]').waitFor({ timeout: 300_000 });
      await page.getByText(/^\d remarks?$/).click();
      await page.locator('.fall svg').waitFor();
      await page.locator('[data-column=calibrated]').waitFor();
      await drawAll(page);
      await state('6 calibrated');
      await page.getByTestId('data-files').setInputFiles({
        ...{ name: 'wrong.npy', mimeType: 'application/octet-stream' },
        buffer: Buffer.from(writeNpy({ shape: [2, 3], data: new Float32Array(6) })),
      });
      await page.locator('.calibrate').getByRole('alert').waitFor();
      await state('7 wrong data');
      const { bytes } = await download(page);
      await choose(page, { name: 'digits.safetensors', bytes });
      await page.getByTestId('runs').waitFor();
      await drawAll(page);
      await state('8 a packed file');
      await page.context().close();
      assert.equal(site.faults(), []);
    });
  }
}

withChromium('it follows the preference while it is open', async ({ chromium }) => {
  site ??= await openSite(chromium);
  const page = await site.visit({ colorScheme: 'light' });
  await choose(page, digitsFile);
  const bar = page.locator('.details svg [data-mark=rect] rect').first();
  await bar.waitFor();
  const colours = () =>
    bar.evaluate((rect) => [getComputedStyle(rect).fill, getComputedStyle(document.body).backgroundColor]);
  const light = await colours();
  await page.emulateMedia({ colorScheme: 'dark' });
  const dark = await colours();
  assert.ok(light[0] !== dark[0] && light[1] !== dark[1], `${light} and ${dark}`);
  await page.context().close();
});

withChromium('forced colours: the chosen option and the size bar are to be seen', async ({ chromium }) => {
  site ??= await openSite(chromium);
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await site.visit({ forcedColors: 'active', colorScheme, reducedMotion: 'reduce' });
    await takeDemo(page);
    await page.locator('input[name=scheme][value=binary]').check();
    await page.getByTestId('data-files').setInputFiles(digitsNpz(60));
    await page.getByTestId('data-facts').waitFor();
    await calibrateTo(page, 'binary');
    await page.locator('[data-fit=binary]').waitFor({ timeout: 300_000 });
    await drawAll(page);
    await picture(page, `forced colours ${colorScheme}`);
    const edges = await page
      .locator('.fit, .data')
      .evaluateAll((all) => all.map((own) => getComputedStyle(own).borderTopWidth));
    assert.equal(edges, ['1px', '1px']);
    const background = (selector: string) =>
      page
        .locator(selector)
        .first()
        .evaluate((element) => getComputedStyle(element).backgroundColor);
    const [chosen, other, part, whole, paper] = await Promise.all(
      [
        ...['.options input:checked + span', '.options input:not(:checked) + span'],
        ...['.balance .bar span', '.balance .bar', 'body'],
      ].map(background),
    );
    assert.is.not(chosen, other, 'the chosen option');
    assert.is.not(part, whole, 'the part of the bar');
    const edge = await page.locator('.balance .bar').evaluate((bar) => {
      const { borderTopColor, borderTopWidth } = getComputedStyle(bar);
      return { borderTopColor, borderTopWidth };
    });
    assert.is(edge.borderTopWidth, '1px');
    assert.is.not(edge.borderTopColor, paper, 'the edge of the bar');
    await page.context().close();
  }
  assert.equal(site.faults(), []);
});

withChromium(
  'captured and printed whole, without a scroll: every histogram is there',
  async ({ chromium }) => {
    site ??= await openSite(chromium);
    const page = await site.visit({ viewport: { width: 1000, height: 300 } });
    await choose(page, digitsFile);
    await page.getByTestId('ratio').waitFor();
    await drawAll(page);
    assert.is(await page.locator('td.histogram svg').count(), 7);
    assert.is(await page.evaluate(() => scrollY), 0);
    await page.emulateMedia({ media: 'print' });
    await picture(page, 'printed');
    assert.is(await page.getByRole('button', { name: 'Open another file' }).isVisible(), false);
    const pdf = await page.pdf({ format: 'A4', printBackground: true });
    assert.ok(pdf.length > 20_000, `${pdf.length} bytes`);
    if (!process.env.CI) writeFileSync(path.join(pictures, 'printed.pdf'), pdf);
    await page.context().close();
    assert.equal(site.faults(), []);
  },
);

/** `BITNIBBLE_PREVIEW=page/public/preview.png node scripts/test.js page-look` makes the picture that links to the page show. */
withChromium('a picture for links to the page', async ({ chromium }) => {
  site ??= await openSite(chromium);
  const page = await site.visit({ viewport: { width: 1200, height: 630 }, colorScheme: 'light' });
  await takeDemo(page);
  await page.getByRole('button', { name: 'Clear' }).click();
  await draw(page, SEVEN);
  await page.locator('.answer .time strong', { hasText: 'ms' }).nth(3).waitFor();
  await page.mouse.move(2, 2);
  await page
    .locator('#digits-title')
    .evaluate((title) => scrollTo(0, title.getBoundingClientRect().top + scrollY - 40));
  await page.waitForTimeout(300);
  const png = await page.screenshot();
  assert.ok(png.length < 200_000, `${png.length} bytes`);
  if (process.env.BITNIBBLE_PREVIEW) writeFileSync(path.resolve(root, process.env.BITNIBBLE_PREVIEW), png);
  const head = await page.evaluate(() =>
    Object.fromEntries(
      [...document.querySelectorAll('meta[property]')].map((meta) => [
        meta.getAttribute('property'),
        meta.getAttribute('content'),
      ]),
    ),
  );
  assert.is(head['og:image'], './preview.png');
  const { width, height } = { width: head['og:image:width'], height: head['og:image:height'] };
  const shown = readFileSync(path.join(root, 'page/public/preview.png'));
  assert.equal([shown.readUInt32BE(16), shown.readUInt32BE(20)], [Number(width), Number(height)]);
  await page.context().close();
});

/** `BITNIBBLE_PICTURE=docs/page.png node scripts/test.js page-look` makes the picture of the documentation again. */
withChromium('a picture for the documentation', async ({ chromium }) => {
  site ??= await openSite(chromium);
  const page = await site.visit({ viewport: { width: 1120, height: 1090 }, colorScheme: 'light' });
  await takeDemo(page);
  await page.locator('input[name=granularity][value=tensor]').check();
  await page.getByText('49,508 bytes').waitFor();
  await page.locator('input[name=granularity][value=channel]').check();
  await page.getByText('48,640 bytes').waitFor();
  await page.getByRole('button', { name: 'Clear' }).click();
  // Two arcs that meet in the middle.
  const arc = (y: number, from: number, to: number, r: number) =>
    Array.from({ length: 13 }, (_, i) => {
      const angle = ((from + ((to - from) * i) / 12) * Math.PI) / 180;
      return [13 + r * Math.cos(angle), y + r * Math.sin(angle)] as const;
    });
  await draw(page, [...arc(9.5, -150, 80, 4.5), ...arc(18.5, -80, 150, 5)]);
  await page.locator('.answer .time strong', { hasText: 'ms' }).nth(3).waitFor();
  await page.mouse.move(2, 2);
  await page.evaluate(() => scrollTo(0, 70));
  await page.waitForTimeout(300);
  const png = await page.screenshot();
  assert.ok(png.length < 200_000, `${png.length} bytes`);
  if (process.env.BITNIBBLE_PICTURE) writeFileSync(path.resolve(root, process.env.BITNIBBLE_PICTURE), png);
  await page.context().close();
});

test.run();
