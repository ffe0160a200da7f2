// Data for the page: files and folders on the disk, dropped as a person drops them.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { writeNpz } from '../../../src/formats/npz.js';
import { tempDir } from '../../support/needs.js';
import { greyPng } from '../../support/png.js';
import { testDigits } from './digits.js';

/** Drops files and folders by their paths, as a file manager does: folders come as folders. */
export async function dropPaths(page: Page, files: readonly string[]): Promise<void> {
  const tools = await page.context().newCDPSession(page);
  const data = { items: [], files: [...files], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
    await tools.send('Input.dispatchDragEvent', { type, x: 200, y: 200, data });
  await tools.detach();
}

/** Test digits as a `.npz` file of `x` and `y`. */
export function digitsNpz(count: number, name = 'digits.npz'): string {
  const { pixels, labels } = testDigits(count);
  const file = path.join(tempDir(), name);
  const x = { shape: [count, 28, 28, 1], data: pixels };
  writeFileSync(file, writeNpz({ x, y: { shape: [count], data: Int32Array.from(labels) } }));
  return file;
}

/** Test digits as PNG images, in a folder for each class. */
export function digitsFolder(count: number, name = 'digits'): string {
  const { pixels, labels } = testDigits(count);
  const folder = path.join(tempDir(), name);
  for (const [i, label] of labels.entries()) {
    const own = path.join(folder, String(label));
    mkdirSync(own, { recursive: true });
    writeFileSync(path.join(own, `${i}.png`), greyPng(28, 28, pixels.subarray(784 * i, 784 * (i + 1))));
  }
  return folder;
}

/** Leaves one scheme to calibrate to, and begins. */
export async function calibrateTo(page: Page, scheme: string): Promise<void> {
  for (const box of await page.locator('input[name=calibrate-scheme]').all())
    await box.setChecked((await box.getAttribute('value')) === scheme);
  await page.getByRole('button', { name: 'Calibrate', exact: true }).click();
}

/** What the page said of the divergence on the way, until the model was calibrated. */
export async function divergences(page: Page, scheme: string): Promise<number[]> {
  await page.evaluate(() => {
    const seen: string[] = [];
    Object.assign(globalThis, { seen });
    const place = document.querySelector('.calibrate') as Element;
    new MutationObserver(() => {
      const text = document.querySelector('[data-testid=calibration-progress]')?.textContent ?? '';
      if (text !== seen.at(-1)) seen.push(text);
    }).observe(place, { subtree: true, childList: true, characterData: true });
  });
  await page.locator(`[data-fit=${scheme}]`).waitFor({ timeout: 300_000 });
  const seen = await page.evaluate(() => (globalThis as unknown as { seen: string[] }).seen);
  return seen.flatMap((text) => /divergence so far ([\d.e-]+)/.exec(text)?.[1] ?? []).map(Number);
}

/** The numbers of a calibrated model: by metric, rounded and calibrated. */
export async function fitOf(page: Page, scheme: string): Promise<Record<string, [number, number]>> {
  const rows = await page
    .locator(`[data-fit=${scheme}] tr`)
    .evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent ?? '')));
  const [names = [], , rounded = [], calibrated = []] = rows;
  const numbers = (column: number): [number, number] => [
    Number.parseFloat(rounded[column] ?? ''),
    Number.parseFloat(calibrated[column] ?? ''),
  ];
  return Object.fromEntries(names.slice(1).map((name, i) => [name, numbers(i + 1)]));
}
