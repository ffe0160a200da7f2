// The conformance suite in headless Chromium: pages and module workers, with and without cross-origin isolation, and under
// content security policies.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Browser } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { need } from '../support/needs.js';
import type { Report } from './suite/conformance.js';
import { bundleHosts } from './support/bundle.js';
import { launch, resultOf } from './support/chromium.js';
import { check } from './support/report.js';
import { type StaticServer, serve } from './support/server.js';

const test = suite('conformance in Chromium');
const withChromium = need(test, 'chromium');
const doors = ['embedded', 'kernels.wasm', 'reader', 'reader.wasm', 'reference', 'runtime', 'runtime.wasm'];
const closed = ['reference', 'refusals', 'runtime reference'];
let server: StaticServer | undefined;
let browser: Browser | undefined;

test.before(async () => {
  const folder = await bundleHosts(['page.ts', 'worker.ts']);
  const html =
    '<!doctype html><meta charset="utf-8"><title>Test</title><script type="module" src="page.js"></script>';
  writeFileSync(path.join(folder, 'page.html'), html);
  server = await serve(folder);
});
test.after(async () => {
  server?.close();
  await browser?.close();
});

const cases = [
  { policy: 'plain', query: '', label: 'page, not isolated', expected: doors },
  { policy: 'plain', query: '?worker', label: 'module worker, not isolated', expected: doors },
  { policy: 'isolated', query: '', label: 'page, isolated', expected: doors },
  { policy: 'isolated', query: '?worker', label: 'module worker, isolated', expected: doors },
  { policy: 'strict', query: '', label: 'page, not isolated', expected: doors },
  { policy: 'strict', query: '?worker', label: 'module worker, not isolated', expected: doors },
  { policy: 'no-wasm', query: '?no-wasm', label: 'page, not isolated', expected: closed },
  {
    ...{ policy: 'no-wasm', query: '?no-wasm&worker', label: 'module worker, not isolated' },
    expected: closed,
  },
];
for (const { policy, query, label, expected } of cases) {
  const kind = { strict: ', strict policy', 'no-wasm': ', policy without wasm' }[policy] ?? '';
  withChromium(`${label}${kind}`, async ({ chromium }) => {
    browser ??= await launch(chromium);
    const report = await resultOf<Report>(browser, `${server?.origin}/${policy}/page.html${query}`, 'report');
    assert.is(report.runtime, label);
    check(`Chromium ${browser.version()}, ${label}${kind}`, report, expected);
    if (policy === 'no-wasm') assert.is(report.passed.refusals, 3);
  });
}

test.run();
