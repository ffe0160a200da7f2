// The repository's Markdown as pages: each links to the others, to the pictures and to the source files that it names.
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import MarkdownIt from 'markdown-it';

/** What stands in the navigation, in its order; every file of `docs` is in it. */
export const GROUPS: readonly (readonly [title: string, files: readonly string[]])[] = [
  [
    'Begin',
    [
      'README.md',
      'docs/COMMANDS.md',
      'docs/DATA.md',
      'docs/COMPARISON.md',
      'docs/RESULTS.md',
      'docs/KINDS.md',
    ],
  ],
  [
    'Quantize',
    ['docs/CALIBRATION.md', 'docs/TRANSFORMS.md', 'docs/REPORT.md', 'docs/INPUTS.md', 'docs/SUPPORT.md'],
  ],
  [
    'Run',
    [
      'docs/RUNTIME.md',
      'docs/RUNTIMES.md',
      'docs/PAGE.md',
      'docs/TFJS.md',
      'docs/EXPORT.md',
      'docs/CLUSTER.md',
      'docs/MIGRATION.md',
    ],
  ],
  [
    'Examples',
    ['digits', 'cifar10', 'mobilenet', 'image-folder', 'tokens', 'kinds', 'vite', 'worker'].map(
      (name) => `examples/${name}/README.md`,
    ),
  ],
  [
    'Inside',
    ['docs/FORMAT.md', 'docs/KERNELS.md', 'docs/DESIGN.md', 'docs/TESTING.md', 'findings/README.md'],
  ],
  ['Project', ['CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md']],
];

/** A page of the site: its address below the site's root, and its HTML. */
export interface DocPage {
  readonly address: string;
  readonly html: string;
}

/** A file that is copied as it is. */
export interface Copy {
  readonly from: string;
  readonly address: string;
}

/** Where things are that no file of the repository says. */
export interface Places {
  /** Folder of the repository. */
  readonly root: string;
  /** Address of the code, where package.json names one. */
  readonly source?: string | undefined;
  /** The site's whole address, where it is known. */
  readonly url?: string | undefined;
}

const escaped = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** The address of a Markdown or source file of the repository. */
export function addressOf(file: string): string {
  if (file === 'README.md') return 'docs/index.html';
  if (!file.endsWith('.md')) return `docs/files/${file}.html`;
  const name = file.replace(/^docs\//, '').replace(/\/README\.md$|\.md$/, '');
  return `docs/${name.toLowerCase()}.html`;
}

/** The name of a heading in an address, as GitHub makes it. */
export function slugOf(heading: string, taken: Map<string, number>): string {
  const slug = heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-');
  const before = taken.get(slug);
  taken.set(slug, (before ?? -1) + 1);
  return before === undefined ? slug : `${slug}-${before + 1}`;
}

/** The way from one page to another. */
export function relative(from: string, to: string): string {
  const way = path.posix.relative(path.posix.dirname(from), to);
  return to.endsWith('/') ? `${way || '.'}/` : way;
}

/** Turns files into pages, and finds which other files they need. */
export class DocSite {
  readonly #places: Places;
  readonly #titles = new Map<string, string>();
  /** Source files that pages link to. */
  readonly #code = new Set<string>();
  readonly #copies = new Map<string, string>();
  readonly faults: string[] = [];

  constructor(places: Places) {
    this.#places = places;
    for (const [, files] of GROUPS)
      for (const file of files) {
        const [, title] = /^# (.+)$/m.exec(this.#read(file)) ?? [];
        if (title === undefined) this.faults.push(`${file}: expected a heading "# ..."`);
        this.#titles.set(file, title ?? file);
      }
  }

  /** All pages, those of source files last. */
  pages(): DocPage[] {
    const pages = [...this.#titles.keys()].map((file) => this.#page(file, this.#body(file)));
    for (const file of this.#code) {
      const body = `<h1>${escaped(file)}</h1>\n<pre tabindex="0"><code>${escaped(this.#read(file))}</code></pre>\n`;
      pages.push(this.#page(file, body));
    }
    return pages;
  }

  /** Pictures of the pages made so far. */
  get copies(): Copy[] {
    return [...this.#copies].map(([from, address]) => ({ from, address }));
  }

  #read(file: string): string {
    return readFileSync(path.join(this.#places.root, file), 'utf8');
  }

  #body(file: string): string {
    const markdown = new MarkdownIt({ html: false, linkify: false });
    const taken = new Map<string, number>();
    markdown.core.ruler.push('addresses', ({ tokens }) => {
      for (const [i, token] of tokens.entries()) {
        if (token.type === 'heading_open') token.attrSet('id', slugOf(tokens[i + 1]?.content ?? '', taken));
        for (const child of token.children ?? []) {
          const name = child.type === 'link_open' ? 'href' : child.type === 'image' ? 'src' : undefined;
          const target = name && child.attrGet(name);
          if (name && target) child.attrSet(name, this.#target(file, target));
        }
      }
    });
    // No styles in the markup: the policy of the pages forbids them.
    markdown.core.ruler.push('alignment', ({ tokens }) => {
      for (const token of tokens.filter(({ type }) => type === 'th_open' || type === 'td_open')) {
        const style = token.attrGet('style');
        if (style === null) continue;
        token.attrs = token.attrs?.filter(([name]) => name !== 'style') ?? null;
        token.attrSet('class', style.replace('text-align:', ''));
      }
    });
    // A heading without a word is none.
    markdown.core.ruler.push('empty_headings', ({ tokens }) => {
      for (const [i, token] of tokens.entries()) {
        if (token.type !== 'th_open' || tokens[i + 1]?.content !== '') continue;
        for (const own of [token, tokens[i + 2]]) if (own) own.tag = 'td';
      }
    });
    // Wide tables and code scroll by themselves, by keyboard too.
    for (const name of ['fence', 'code_block'] as const) {
      const rule = markdown.renderer.rules[name];
      markdown.renderer.rules[name] = (...given) =>
        (rule?.(...given) ?? '').replace('<pre>', '<pre tabindex="0">');
    }
    markdown.renderer.rules.table_open = () => '<div class="scroll" tabindex="0">\n<table>\n';
    markdown.renderer.rules.table_close = () => '</table>\n</div>\n';
    return markdown.render(this.#read(file).replace(/^<!--[\s\S]*?-->$/gm, ''));
  }

  /** Where a link of a file leads on the site. */
  #target(file: string, link: string): string {
    if (/^[a-z]+:/i.test(link) || link.startsWith('#')) return link;
    const [where = '', anchor] = link.split('#');
    const { root } = this.#places;
    let target = path.posix.normalize(path.posix.join(path.posix.dirname(file), decodeURI(where)));
    if (target.startsWith('..') || !existsSync(path.join(root, target))) {
      this.faults.push(`${file}: ${link}: there is no such file`);
      return link;
    }
    if (statSync(path.join(root, target)).isDirectory()) target = path.posix.join(target, 'README.md');
    const own = addressOf(file);
    if (/\.(png|svg|jpe?g)$/i.test(target)) {
      const address = `docs/files/${target}`;
      this.#copies.set(target, address);
      return relative(own, address);
    }
    if (!this.#titles.has(target)) {
      if (target.endsWith('.md')) this.faults.push(`${file}: ${link}: it is in no group of the navigation`);
      this.#code.add(target);
    }
    return `${relative(own, addressOf(target))}${anchor === undefined ? '' : `#${anchor}`}`;
  }

  #page(file: string, body: string): DocPage {
    const address = addressOf(file);
    const to = (place: string) => relative(address, place);
    const { source, url } = this.#places;
    const title = this.#titles.get(file) ?? file;
    const name = title === 'bitnibble' ? 'bitnibble: documentation' : `${title} · bitnibble`;
    const group = ([heading, files]: (typeof GROUPS)[number]) => {
      const links = files.map((own) => {
        const here = own === file ? ' aria-current="page"' : '';
        const label = own === 'README.md' ? 'Read me' : (this.#titles.get(own) ?? own);
        return `<li><a href="${to(addressOf(own))}"${here}>${escaped(label)}</a></li>`;
      });
      return `<li><span>${heading}</span><ul>${links.join('')}</ul></li>`;
    };
    const picture = url ? `${url}preview.png` : to('preview.png');
    const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'">
<meta property="og:type" content="article">
<meta property="og:title" content="${escaped(name)}">
<meta property="og:image" content="${picture}">
<meta name="twitter:card" content="summary_large_image">
${url ? `<link rel="canonical" href="${url}${address.replace(/index\.html$/, '')}">\n` : ''}<link rel="icon" type="image/svg+xml" href="${to('favicon.svg')}">
<link rel="stylesheet" href="${to('docs/style.css')}">
<title>${escaped(name)}</title>
</head>
<body>
<a class="skip" href="#content">To the text</a>
<header>
<a class="name" href="${to('index.html')}">bitnibble</a>
<nav aria-label="Site"><a href="${to('index.html')}">Page</a> <a href="${to('docs/index.html')}">Documentation</a> <a href="${to('api/index.html')}">API</a>${source ? ` <a href="${escaped(source)}">Source</a>` : ''}</nav>
</header>
<div class="columns">
<nav class="contents" aria-label="Documentation"><ul>${GROUPS.map(group).join('')}</ul></nav>
<main id="content">
${body}</main>
</div>
</body>
</html>
`;
    return { address, html };
  }
}
