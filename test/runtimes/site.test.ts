// The static site as `npm run site` makes it, served below a path, in Chromium.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { need, root, run } from '../support/needs.js';
import { assertAccessible } from './support/axe.js';
import { openSite, PREFIX, type Site, takeDemo } from './support/page.js';

const test = suite('the static site');
const withChromium = need(test, 'chromium');
const folder = path.join(root, 'build', 'site-test');
const script = ['--import', './scripts/lib/typescript.js', 'scripts/site.ts'];
let site: Site | undefined;
test.after(() => site?.close());

const open = async (chromium: string): Promise<Site> => {
  const base = `https://example.org${PREFIX}`;
  site ??= await openSite(chromium, [...script, '--base', base, '--out', 'build/site-test'], folder);
  return site;
};

withChromium('from the page to the documentation, to the API, and back', async ({ chromium }) => {
  const { visit, faults } = await open(chromium);
  const page = await visit();
  // A page that is left while it loads has requests that fail: its picture in the tab comes last.
  const loaded = () => page.waitForLoadState('networkidle');
  await takeDemo(page);
  await loaded();
  await page
    .getByRole('navigation', { name: 'bitnibble' })
    .getByRole('link', { name: 'How this page works' })
    .click();
  await page.getByRole('heading', { level: 1, name: 'The page' }).waitFor();
  assert.ok(page.url().endsWith(`${PREFIX}docs/page.html`), page.url());
  const picture = page.getByRole('img').first();
  await picture.scrollIntoViewIfNeeded();
  assert.ok((await picture.evaluate((img) => (img as HTMLImageElement).naturalWidth)) > 500);
  const contents = page.getByRole('navigation', { name: 'Documentation' });
  await loaded();
  await contents.getByRole('link', { name: 'Running a network from integers' }).click();
  await page.getByRole('heading', { level: 1, name: 'Running a network from integers' }).waitFor();
  await loaded();
  await page.getByRole('link', { name: 'API' }).click();
  await loaded();
  await page.getByRole('link', { name: 'runtime' }).first().click();
  await page.getByRole('heading', { level: 1, name: 'Module bitnibble/runtime' }).waitFor();
  await page.getByRole('link', { name: 'loadNetwork' }).first().waitFor();
  await loaded();
  await page.getByRole('link', { name: 'Page', exact: true }).first().click();
  await page.getByRole('button', { name: 'Take the demo model' }).waitFor();
  assert.ok(page.url().endsWith(`${PREFIX}index.html`), page.url());
  assert.equal(faults(), []);
  await page.close();
});

withChromium(
  'pages of the documentation: accessible, light and dark; no wider than a phone',
  async ({ chromium }) => {
    const { visit, faults } = await open(chromium);
    for (const colorScheme of ['light', 'dark'] as const) {
      const page = await visit({ colorScheme }, 'docs/results.html');
      await assertAccessible(page, `results, ${colorScheme}`);
      await page.context().close();
    }
    const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
    for (const name of ['index', 'commands', 'files/findings/tfjs-wasm-nan.sh']) {
      const page = await visit(phone, `docs/${name}.html`);
      assert.is(await page.evaluate(() => document.documentElement.scrollWidth), 390, name);
      await assertAccessible(page, name);
      await page.context().close();
    }
    assert.equal(faults(), []);
  },
);

withChromium('what has to be absolute begins with the base', async ({ chromium }) => {
  await open(chromium);
  const read = (name: string) => readFileSync(path.join(folder, name), 'utf8');
  const address = `https://example.org${PREFIX}`;
  assert.match(read('index.html'), `<meta property="og:image" content="${address}preview.png">`);
  assert.match(read('docs/index.html'), `<link rel="canonical" href="${address}docs/">`);
  assert.match(read('404.html'), `href="${PREFIX}docs/index.html"`);
});

test('options that are wrong end with the usage', async () => {
  for (const [args, what] of [
    [['--base', 'bitnibble/'], /--base expected a path or an address of https, got bitnibble\//],
    [['--base', 'https://example.org/?a=1'], /--base expected an address without \? and #/],
    [['--port', '1'], /Unknown option '--port'/],
    [['--out', 'docs'], /docs: it holds files/],
  ] as const) {
    const { status, stderr } = await run(process.execPath, [...script, ...args]);
    assert.is(status, 1, args.join(' '));
    assert.match(stderr, what);
  }
});

test.run();
