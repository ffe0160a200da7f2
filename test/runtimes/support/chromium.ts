import { type Browser, chromium } from 'playwright-core';

/** No sandbox for root, and no attempt to reach a network that may not be there. */
const FLAGS = [
  ...['--no-first-run', '--disable-quic', '--disable-background-networking', '--disable-component-update'],
  ...['--disable-sync', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist'],
];

export function launch(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, args: FLAGS, chromiumSandbox: false });
}

/** Opens a page and waits for the promise that its script leaves in `globalThis[name]`. */
export async function resultOf<T>(browser: Browser, url: string, name: string): Promise<T> {
  const page = await browser.newPage();
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  try {
    await page.goto(url, { timeout: 60_000 });
    const work = page.evaluate((key) => (globalThis as unknown as Record<string, Promise<T>>)[key], name);
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error('no answer in two minutes')), 120_000).unref();
    });
    const result = await Promise.race([work, late]);
    if (result === undefined) throw new Error(`${url} left no ${name}`);
    return result as T;
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${faults.join('\n')}`);
  } finally {
    await page.close();
  }
}
