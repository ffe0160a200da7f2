// How the page looks: on a phone and a desktop, light and dark; axe-core looks for what people with disabilities would
// stumble over, contrast included. The pictures are kept in build/page-pictures to be looked at.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { need, root } from '../support/needs.js';
import { choose, digitsFile, draw, openSite, type Site, takeDemo } from './support/page.js';

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

interface AxeResults {
  readonly violations: readonly {
    id: string;
    nodes: readonly { target: unknown; failureSummary?: string }[];
  }[];
  readonly passes: readonly { id: string }[];
}

async function assertAccessible(page: Page, where: string): Promise<void> {
  const axe = createRequire(path.join(root, 'page', 'package.json')).resolve('axe-core/axe.min.js');
  await page.evaluate(readFileSync(axe, 'utf8'));
  const { violations, passes } = await page.evaluate(() => {
    const { axe } = globalThis as unknown as { axe: { run(options: object): Promise<AxeResults> } };
    return axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
  });
  const found = violations.map(({ id, nodes }) => {
    const [{ target, failureSummary } = { target: '' }] = nodes;
    return `${id}, ${nodes.length} times, first ${target}: ${failureSummary}`;
  });
  assert.equal(found, [], where);
  assert.ok(
    passes.some(({ id }) => id === 'color-contrast'),
    `${where}: no contrast was looked at`,
  );
}

/** Scrolls to the end, so that what is drawn when it comes into view is drawn. */
async function drawAll(page: Page): Promise<void> {
  for (const place of await page.locator('td.histogram').filter({ visible: true }).all())
    await place.scrollIntoViewIfNeeded();
  await page.waitForFunction(() =>
    [...document.querySelectorAll('td.histogram')].every(
      (place) => place.querySelector('svg') || (place as HTMLElement).offsetParent === null,
    ),
  );
  await page.evaluate(() => scrollTo(0, 0));
}

async function picture(page: Page, name: string): Promise<void> {
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
      await page.locator('.answer .time strong', { hasText: 'ms' }).nth(2).waitFor();
      await drawAll(page);
      await state('3 demo');
      await page.locator('input[name=scheme][value=binary]').check();
      await page.locator('input[name=granularity][value=group]').check();
      await page.getByText('digits.binary.safetensors').waitFor();
      await page.getByRole('radio', { name: 'one group' }).check();
      await page.getByText(/tensors kept as they are/).click();
      await drawAll(page);
      await state('4 one bit in groups');
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

/** `BITNIBBLE_PICTURE=docs/page.png node scripts/test.js page-look` makes the picture of the documentation again. */
withChromium('a picture for the documentation', async ({ chromium }) => {
  site ??= await openSite(chromium);
  const page = await site.visit({ viewport: { width: 1120, height: 1090 }, colorScheme: 'light' });
  await takeDemo(page);
  await page.locator('input[name=granularity][value=tensor]').check();
  await page.getByText('49,508 bytes').waitFor();
  await page.locator('input[name=granularity][value=channel]').check();
  await page.getByText('50,792 bytes').waitFor();
  await page.getByRole('button', { name: 'Clear' }).click();
  // Two arcs that meet in the middle.
  const arc = (y: number, from: number, to: number, r: number) =>
    Array.from({ length: 13 }, (_, i) => {
      const angle = ((from + ((to - from) * i) / 12) * Math.PI) / 180;
      return [13 + r * Math.cos(angle), y + r * Math.sin(angle)] as const;
    });
  await draw(page, [...arc(9.5, -150, 80, 4.5), ...arc(18.5, -80, 150, 5)]);
  await page.locator('.answer .time strong', { hasText: 'ms' }).nth(2).waitFor();
  await page.mouse.move(2, 2);
  await page.evaluate(() => scrollTo(0, 70));
  await page.waitForTimeout(300);
  const png = await page.screenshot();
  assert.ok(png.length < 200_000, `${png.length} bytes`);
  if (process.env.BITNIBBLE_PICTURE) writeFileSync(path.resolve(root, process.env.BITNIBBLE_PICTURE), png);
  await page.context().close();
});

test.run();
