// axe-core over a page in Chromium: what people with disabilities would stumble over, contrast included.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import * as assert from 'uvu/assert';

interface AxeResults {
  readonly violations: readonly {
    id: string;
    nodes: readonly { target: unknown; failureSummary?: string }[];
  }[];
  readonly passes: readonly { id: string }[];
}

/** Fails on every violation that axe-core finds, naming the state of the page. */
export async function assertAccessible(page: Page, where: string): Promise<void> {
  const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
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
