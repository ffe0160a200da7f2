// The built page, served as any static host would, in Chromium.
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { root, run } from '../../support/needs.js';
import { launch } from './chromium.js';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
  '.wasm': 'application/wasm',
};

export interface Site {
  /** Of the page: a folder somewhere below the root of its host. */
  readonly url: string;
  readonly origin: string;
  /** Opens the page, or what is `behind` its address, in a window of its own and fails on every error that it reports. */
  visit(options?: BrowserContextOptions, behind?: string): Promise<Page>;
  /** Every address that a page asked for, its worker's too. */
  requests(page: Page): readonly string[];
  /** Faults that pages reported since the last call. */
  faults(): string[];
  close(): Promise<void>;
}

/** Where sites are below the root of their host. */
export const PREFIX = '/some/where/';

/** Builds the page where it is out of date, or what else a command of Node.js builds in a folder, serves it on 127.0.0.1 and starts a browser. */
export async function openSite(
  executablePath: string,
  command: readonly string[] = ['scripts/page.js', 'build'],
  folder = path.join(root, 'page', 'dist'),
): Promise<Site> {
  const { status, output } = await run(process.execPath, [...command]);
  if (status !== 0) throw new Error(output);
  const prefix = PREFIX;
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://localhost');
    const name = pathname.startsWith(prefix) ? pathname.slice(prefix.length) || 'index.html' : '..';
    const file = path.join(folder, name);
    const bytes = file.startsWith(folder + path.sep) && (await readFile(file).catch(() => undefined));
    if (!bytes) return void response.writeHead(404).end();
    response
      .writeHead(200, { 'content-type': TYPES[path.extname(file)] ?? 'application/octet-stream' })
      .end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let browser: Browser;
  try {
    browser = await launch(executablePath);
  } catch (error) {
    server.close();
    throw error;
  }
  let faults: string[] = [];
  const requests = new WeakMap<Page, string[]>();
  return {
    url: origin + prefix,
    origin,
    async visit(options, behind = '') {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
      // The compiler that runs these tests names functions with a helper that browsers do not have.
      await context.addInitScript('globalThis.__name = (named) => named');
      const page = await context.newPage();
      const asked: string[] = [];
      requests.set(page, asked);
      page.on('request', (request) => asked.push(request.url()));
      page.setDefaultTimeout(60_000);
      page.on('pageerror', (error) => faults.push(error.message));
      page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) faults.push(message.text());
      });
      page.on('requestfailed', (request) => faults.push(`${request.url()}: ${request.failure()?.errorText}`));
      await page.goto(origin + prefix + behind);
      return page;
    },
    requests: (page) => requests.get(page) ?? [],
    faults() {
      const found = faults;
      faults = [];
      return found;
    },
    async close() {
      await browser.close();
      server.close();
      server.closeAllConnections();
    },
  };
}

export const digitsFile = path.join(root, 'examples', 'digits', 'digits.h5');

/** Drops a file onto the middle of the page. */
export async function drop(page: Page, name: string, bytes: Uint8Array): Promise<void> {
  const transfer = await page.evaluateHandle(
    ([text, fileName]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], fileName));
      return data;
    },
    [Buffer.from(bytes).toString('base64'), name] as const,
  );
  await page.dispatchEvent('main', 'dragover', { dataTransfer: transfer });
  await page.dispatchEvent('main', 'drop', { dataTransfer: transfer });
}

/** Opens a file by its chooser. */
export async function choose(page: Page, file: string | { name: string; bytes: Uint8Array }): Promise<void> {
  const payload =
    typeof file === 'string'
      ? file
      : { name: file.name, mimeType: 'application/octet-stream', buffer: Buffer.from(file.bytes) };
  await page.getByTestId('model').setInputFiles(payload);
}

/** Takes the demo and waits until its networks have answered and were scored. */
export async function takeDemo(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Take the demo model' }).click();
  await page.getByText('of 1,000 test digits right').nth(3).waitFor();
}

/** The file that the page's link gives. */
export async function download(
  page: Page,
  start?: () => Promise<void>,
): Promise<{ name: string; bytes: Uint8Array }> {
  const link = page.getByRole('link', { name: 'Download the packed file' });
  const [found] = await Promise.all([page.waitForEvent('download'), (start ?? (() => link.click()))()]);
  return { name: found.suggestedFilename(), bytes: new Uint8Array(readFileSync(await found.path())) };
}

/** Draws lines between points of the pad's 28 x 28 cells, in one stroke. */
export async function draw(page: Page, points: readonly (readonly [number, number])[]): Promise<void> {
  const pad = page.getByRole('application', { name: 'Drawing pad' });
  await pad.scrollIntoViewIfNeeded();
  const box = await pad.boundingBox();
  if (!box) throw new Error('the pad is not there');
  const at = ([x, y]: readonly [number, number]) =>
    [box.x + (x / 28) * box.width, box.y + (y / 28) * box.height] as const;
  const [first, ...others] = points;
  await page.mouse.move(...at(first ?? [14, 14]));
  await page.mouse.down();
  for (const point of others) await page.mouse.move(...at(point), { steps: 8 });
  await page.mouse.up();
}

/** What each network says now: digit, time and right answers, by its id. */
export async function answers(
  page: Page,
): Promise<Record<string, { digit: string; time: string; score: string }>> {
  const entries = await page.locator('[data-network]').evaluateAll((cards) =>
    cards.map((card) => {
      const [digit = '', time = '', score = ''] = ['.value', '.time strong', '.score'].map(
        (selector) => card.querySelector(selector)?.textContent ?? '',
      );
      return [(card as HTMLElement).dataset.network ?? '', { digit, time, score }] as const;
    }),
  );
  return Object.fromEntries(entries);
}
