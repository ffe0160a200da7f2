// The static site: the page, the documentation and the API pages, with every link followed.
//
//   npm run site -- [--base /path/ | --base https://host/path/] [--out DIR]
//
// Links are relative, so the folder works at any address. `--base` is what must be absolute: the page for addresses that are not
// there, and, where it is a whole address, pictures of previews and canonical links. The folder is `build/site` unless told otherwise.
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { alone, fail, root, run, timed, walk } from './lib/project.js';
import { buildApi, SITE } from './lib/site/api.js';
import { DocSite } from './lib/site/docs.js';
import { checkLinks } from './lib/site/links.js';

const usage = 'usage: npm run site -- [--base /path/ | --base https://host/path/] [--out DIR]';

/** Where the site will be: its path, and its whole address where that was given. */
function placeOf(base: string): { path: string; url?: string } {
  const whole = base.endsWith('/') ? base : `${base}/`;
  if (whole.startsWith('/') && !whole.startsWith('//')) return { path: whole };
  if (!/^https?:\/\//.test(whole) || !URL.canParse(whole))
    fail(`--base expected a path or an address of https, got ${base}\n${usage}`);
  const { pathname, href, search, hash } = new URL(whole);
  if (search || hash) fail(`--base expected an address without ? and #, got ${base}\n${usage}`);
  return { path: pathname, url: href };
}

function options(): { base: string; out: string } {
  try {
    const { values } = parseArgs({
      options: { base: { type: 'string', default: '/' }, out: { type: 'string', default: 'build/site' } },
    });
    return values;
  } catch (error) {
    return fail(`${(error as Error).message}\n${usage}`);
  }
}

const { base, out: given } = options();
const place = placeOf(base);
const out = path.resolve(root, given);
if (existsSync(out) && !existsSync(path.join(out, '.bitnibble-site')) && walk(out).length > 0)
  fail(
    `${given}: it holds files that no site of this script is made of; expected a folder that is new, empty or a site`,
  );

const { repository } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const source = (repository?.url ?? repository)?.replace(/^git\+/, '').replace(/\.git$/, '');

async function page(): Promise<void> {
  const env = { ...process.env, BITNIBBLE_DOCS_URL: './docs/', BITNIBBLE_PAGE_URL: place.url ?? '' };
  const { status, output } = await run(
    process.execPath,
    ['scripts/page.js', 'build', '--out', 'build/page'],
    { env },
  );
  if (status !== 0) fail('site: the page cannot be built', output);
  cpSync(path.join(root, 'build/page'), out, { recursive: true });
}

function docs(): void {
  const site = new DocSite({ root, source, url: place.url });
  for (const { address, html } of site.pages()) write(address, html);
  for (const { from, address } of site.copies) copy(from, address);
  copy('scripts/lib/site/style.css', 'docs/style.css');
  if (site.faults.length > 0) fail(site.faults.join('\n'));
}

async function api(): Promise<void> {
  const links = {
    Page: `${SITE}index.html`,
    Documentation: `${SITE}docs/index.html`,
    ...(source ? { Source: source } : {}),
  };
  const folder = path.join(root, 'build/api');
  await buildApi(folder, links).catch((error: Error) => fail(`site: ${error.message}`));
  for (const name of walk(folder)) {
    const from = path.join(folder, name);
    if (!name.endsWith('.html')) copy(from, `api/${name}`);
    else
      write(
        `api/${name}`,
        readFileSync(from, 'utf8').replaceAll(`"${SITE}`, `"${'../'.repeat(name.split('/').length)}`),
      );
  }
}

function write(address: string, text: string): void {
  const file = path.join(out, address);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
}

function copy(from: string, address: string): void {
  const file = path.join(out, address);
  mkdirSync(path.dirname(file), { recursive: true });
  copyFileSync(path.resolve(root, from), file);
}

/** Hosts show it at any address that is not there, so its own links begin with the base. */
const notFound = () => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${place.path}docs/style.css">
<title>Not found · bitnibble</title>
</head>
<body>
<main>
<h1>There is no such page</h1>
<p><a href="${place.path}">The page</a>, <a href="${place.path}docs/index.html">the documentation</a> or <a href="${place.path}api/index.html">the API</a> may have what you look for.</p>
</main>
</body>
</html>
`;

await alone('site', async () => {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  writeFileSync(path.join(out, '.bitnibble-site'), '');
  await timed('site: the page', page);
  await timed('site: the documentation', async () => docs());
  await timed('site: the API pages', api);
  write('404.html', notFound());
  const { pages, links, dead } = await timed('site: following links', async () =>
    checkLinks(out, place.path),
  );
  if (dead.length > 0) fail(`${dead.join('\n')}\nsite: ${dead.length} dead links`);
  process.stdout.write(`site: ${pages} pages, ${links} links, none dead: ${path.relative('', out) || '.'}\n`);
});
