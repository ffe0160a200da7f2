// The documentation's pages and the check of links, without what takes long: test/runtimes/site.test.ts builds the site.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { addressOf, DocSite, GROUPS, relative, slugOf } from '../../scripts/lib/site/docs.js';
import { checkLinks } from '../../scripts/lib/site/links.js';
import { root, tempDir } from '../support/needs.js';

/** A folder with files of these names. */
function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = tempDir();
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.join(folder, path.dirname(name)), { recursive: true });
    writeFileSync(path.join(folder, name), text);
  }
  return folder;
}

test('dead links are found: files, folders, anchors, paths beside the base', () => {
  const folder = folderOf({
    'index.html': `<a href="a/">a</a> <a href='a/index.html#here'>b</a> <a href="#top" id="top">c</a>
      <a href="https://example.org/x">d</a> <img src="a/p%20q.png"> <a href="/base/a/?x=1#here">e</a> <!-- <a href="x"> -->
      <script>'<a href="y">'</script> <a href="a/index.html#a&amp;b">f</a>`,
    'a/index.html': '<h1 id="here">x</h1><p id="a&amp;b">',
    'a/p q.png': '',
    'bad.html': `<a href="none.html"><a href="a/index.html#none"><a href="#none"><a href="/a/"><a href="//host/">
      <a href="javascript:x()"><img src="none.png"><a href="b/">`,
    'b/other.html': '',
  });
  const { pages, links, dead } = checkLinks(folder, '/base/');
  assert.is(pages, 4);
  assert.is(links, 14);
  assert.equal(dead, [
    'bad.html: none.html: there is no such file',
    'bad.html: a/index.html#none: there is no #none',
    'bad.html: #none: there is no #none',
    'bad.html: /a/: expected a path below /base/',
    'bad.html: //host/: expected a path or an address of https',
    'bad.html: javascript:x(): expected a path or an address of https',
    'bad.html: b/: there is no such file',
    'bad.html: none.png: there is no such file',
  ]);
});

test('names of headings are those that GitHub gives', () => {
  const taken = new Map<string, number>();
  assert.equal(
    ['What it reads, and `writes`', 'A – b', 'What it reads, and writes', 'Größe_1'].map((text) =>
      slugOf(text, taken),
    ),
    ['what-it-reads-and-writes', 'a--b', 'what-it-reads-and-writes-1', 'größe_1'],
  );
});

test('addresses of pages, and the way from one to another', () => {
  assert.equal(
    [
      'README.md',
      'docs/TFJS.md',
      'examples/digits/README.md',
      'findings/README.md',
      'CHANGELOG.md',
      'findings/a.sh',
    ].map(addressOf),
    [
      'docs/index.html',
      'docs/tfjs.html',
      'docs/examples/digits.html',
      'docs/findings.html',
      'docs/changelog.html',
      'docs/files/findings/a.sh.html',
    ],
  );
  assert.is(relative('docs/examples/digits.html', 'docs/index.html'), '../index.html');
  assert.is(relative('docs/index.html', 'index.html'), '../index.html');
});

test('every file of docs and every example is in the navigation', () => {
  const listed = new Set(GROUPS.flatMap(([, files]) => files));
  const docs = readdirSync(path.join(root, 'docs')).filter((name) => name.endsWith('.md'));
  const examples = readdirSync(path.join(root, 'examples')).filter((name) =>
    existsSync(path.join(root, 'examples', name, 'README.md')),
  );
  const wanted = [
    ...docs.map((name) => `docs/${name}`),
    ...examples.map((name) => `examples/${name}/README.md`),
  ];
  assert.equal(
    wanted.filter((name) => !listed.has(name)),
    [],
  );
});

test('links of the documentation lead to files that are there', () => {
  const site = new DocSite({ root, url: 'https://example.org/bitnibble/' });
  const pages = site.pages();
  assert.equal(site.faults, []);
  assert.ok(pages.length > 30, `${pages.length} pages`);
  const copies = site.copies.map(({ address }) => [address, ''] as const);
  const beside = ['index.html', 'api/index.html', 'docs/style.css', 'favicon.svg', 'preview.png'].map(
    (name) => [name, ''] as const,
  );
  const html = pages.map(({ address, html }) => [address, html] as const);
  assert.equal(checkLinks(folderOf(Object.fromEntries([...beside, ...copies, ...html]))).dead, []);
  const results = pages.find(({ address }) => address === 'docs/results.html')?.html ?? '';
  assert.match(results, '<link rel="canonical" href="https://example.org/bitnibble/docs/results.html">');
  assert.match(results, '<meta property="og:image" content="https://example.org/bitnibble/preview.png">');
  assert.not.match(results, 'style="');
});

test('markup in the documentation is text, and a link to nothing is a fault', () => {
  const files = Object.fromEntries(GROUPS.flatMap(([, own]) => own).map((name) => [name, `# ${name}\n`]));
  const text =
    '# A <b> & c\n\n<script>x()</script> [none](docs/NONE.md) [code](a.ts)\n\n```ts\n1 < 2\n```\n<!-- gone -->\n';
  const site = new DocSite({ root: folderOf({ ...files, 'README.md': text, 'a.ts': 'a < "b";' }) });
  const pages = site.pages();
  const page = (address: string) => pages.find((own) => own.address === address)?.html ?? '';
  assert.match(page('docs/index.html'), '&lt;script&gt;x()&lt;/script&gt;');
  assert.match(page('docs/index.html'), '<a href="files/a.ts.html">code</a>');
  assert.not.match(page('docs/index.html'), /gone|<script/);
  assert.match(page('docs/files/a.ts.html'), 'a &lt; &quot;b&quot;;');
  assert.match(page('docs/index.html'), '<title>A &lt;b&gt; &amp; c · bitnibble</title>');
  assert.equal(site.faults, ['README.md: docs/NONE.md: there is no such file']);
});

test.run();
