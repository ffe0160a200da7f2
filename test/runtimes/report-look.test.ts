// How a report looks in Chromium: light, dark, on a phone and on paper; nothing is asked for, nothing is cut off, axe-core
// finds nothing. The pictures are kept in build/report-pictures to be looked at.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { renderReport } from '../../src/report/page.js';
import type { ReportDocument } from '../../src/report/types.js';
import { hostile, smallReport } from '../report/support.js';
import { need, root, tempDir } from '../support/needs.js';
import { launch } from './support/chromium.js';

const test = suite('the look of a report');
const withChromium = need(test, 'chromium');
const pictures = path.join(root, 'build', 'report-pictures');
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const folder = tempDir();
let browser: Browser | undefined;
test.after(() => browser?.close());

/** A window, or paper of A4 within margins, at 96 pixels an inch. */
const VIEWS: Readonly<Record<string, BrowserContextOptions & { readonly isPaper?: true }>> = {
  light: { viewport: { width: 1280, height: 900 }, colorScheme: 'light' },
  dark: { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' },
  'phone light': { viewport: { width: 390, height: 844 }, colorScheme: 'light', isMobile: true },
  'phone dark': { viewport: { width: 390, height: 844 }, colorScheme: 'dark', isMobile: true },
  paper: { viewport: { width: 688, height: 970 }, colorScheme: 'dark', isPaper: true },
};

const REPORTS: Readonly<Record<string, () => Promise<ReportDocument>>> = {
  classifier: () => smallReport(),
  regression: () => smallReport({ classes: 1 }),
  'hostile names': async () => hostile(await smallReport()),
  'many classes and layers': () => smallReport({ classes: 45, layers: 26 }),
};

/** What is wider than its place, cut off, or too small to read. */
function faultsOf(page: Page) {
  return page.evaluate(() => {
    const faults: string[] = [];
    const over = document.documentElement.scrollWidth - innerWidth;
    if (over > 0) faults.push(`the page is ${over} pixels wider than the window`);
    const main = document.querySelector('main')?.getBoundingClientRect() as DOMRect;
    for (const figure of document.querySelectorAll('svg')) {
      const box = figure.getBoundingClientRect();
      if (box.width === 0) continue;
      const name = figure.getAttribute('aria-label')?.slice(0, 50);
      for (const text of figure.querySelectorAll('text')) {
        const { left, right, top, bottom, width } = text.getBoundingClientRect();
        if (width === 0) continue;
        const size =
          (Number.parseFloat(getComputedStyle(text).fontSize) * box.width) / figure.viewBox.baseVal.width;
        const words = text.textContent?.slice(0, 30);
        if (left < main.left - 1 || right > main.right + 1 || top < box.top - 14 || bottom > box.bottom + 14)
          faults.push(`${name}: "${words}" is cut off`);
        if (size < 7) faults.push(`${name}: "${words}" is set in ${size} pixels`);
      }
    }
    return faults;
  });
}

async function assertAccessible(page: Page, where: string): Promise<void> {
  await page.evaluate(readFileSync(axe, 'utf8'));
  const found = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: {
        run(
          options: object,
        ): Promise<{ violations: { id: string; nodes: { target: unknown; failureSummary?: string }[] }[] }>;
      };
    };
    const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const { violations } = await axe.run({ runOnly: rules });
    return violations.map(
      ({ id, nodes }) => `${id}, ${nodes.length} times: ${nodes[0]?.target} ${nodes[0]?.failureSummary}`,
    );
  });
  assert.equal(found, [], where);
}

for (const [name, make] of Object.entries(REPORTS)) {
  withChromium(name, async ({ chromium }) => {
    browser ??= await launch(chromium);
    const file = path.join(folder, `${name.replaceAll(' ', '-')}.html`);
    writeFileSync(file, renderReport(await make()));
    const url = pathToFileURL(file).href;
    for (const [view, { isPaper, ...options }] of Object.entries(VIEWS)) {
      const where = `${name}, ${view}`;
      const context = await browser.newContext(options);
      const page = await context.newPage();
      const faults: string[] = [];
      const asked: string[] = [];
      page.on('pageerror', (error) => faults.push(error.message));
      page.on('console', (message) => faults.push(message.text()));
      page.on('dialog', (dialog) => {
        faults.push(`a dialog: ${dialog.message()}`);
        return dialog.dismiss();
      });
      page.on('request', (request) => asked.push(request.url()));
      if (isPaper) await page.emulateMedia({ media: 'print' });
      await page.goto(url);
      const [paper, ink] = await page.evaluate(() => {
        const { backgroundColor, color } = getComputedStyle(document.body);
        return [backgroundColor, color].map((text) => Number(/\d+/.exec(text)?.[0]));
      });
      const isDark = options.colorScheme === 'dark' && !isPaper;
      assert.ok(
        isDark ? (paper ?? 0) < 60 && (ink ?? 0) > 200 : (paper ?? 0) > 240 && (ink ?? 0) < 60,
        where,
      );
      assert.equal(await faultsOf(page), [], where);
      if (isPaper) {
        const clipped = await page.evaluate(
          () =>
            [...document.querySelectorAll('.scroll')].filter((own) => own.scrollWidth > own.clientWidth + 1)
              .length,
        );
        assert.is(clipped, 0, `${where}: tables are cut off`);
      } else {
        for (const summary of await page.locator('summary').all()) await summary.click();
        assert.equal(await faultsOf(page), [], `${where}, opened`);
        await assertAccessible(page, where);
      }
      mkdirSync(pictures, { recursive: true });
      await page.screenshot({
        path: path.join(pictures, `${where.replaceAll(/\W+/g, '-')}.png`),
        fullPage: true,
      });
      assert.equal(faults, [], where);
      assert.equal(asked, [url], `${where}: it asks for nothing but itself`);
      await context.close();
    }
  });
}

test.run();
