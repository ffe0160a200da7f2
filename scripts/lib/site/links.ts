// Every link of a folder of pages leads somewhere: files are there, and so is what stands behind #.
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { walk } from '../project.js';

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
const decoded = (text: string) =>
  text
    .replace(/&#(x?)([\da-f]+);/gi, (_, hex, digits) =>
      String.fromCodePoint(Number.parseInt(digits, hex ? 16 : 10)),
    )
    .replace(/&(\w+);/g, (whole, name) => ENTITIES[name] ?? whole);

/** Values of an attribute; scripts and comments are no markup. */
function attributes(html: string, name: string): string[] {
  const markup = html.replace(/<(script|style)\b([^>]*)>[\s\S]*?<\/\1>|<!--[\s\S]*?-->/gi, '<$1$2>');
  const tags = markup.match(/<[a-z][^<>]*>/gi) ?? [];
  const pattern = new RegExp(`\\s${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)')`, 'gi');
  return tags.flatMap((tag) => [...tag.matchAll(pattern)].map(([, a, b]) => decoded(a ?? b ?? '')));
}

/** What a check found. */
export interface LinkReport {
  readonly pages: number;
  /** Links within the site. */
  readonly links: number;
  /** `page: link: what is wrong`. */
  readonly dead: readonly string[];
}

/**
 * Checks `href` and `src` of all HTML files below a folder, and anchors.
 *
 * @param base what a link that begins with `/` must begin with: the path at which the folder will be served
 */
export function checkLinks(folder: string, base = '/'): LinkReport {
  const files = new Set(walk(folder).map((file) => path.resolve(folder, file)));
  const pages = [...files].filter((file) => file.endsWith('.html'));
  const text = new Map(pages.map((file) => [file, readFileSync(file, 'utf8')]));
  const anchors = new Map<string, Set<string>>();
  const anchorsOf = (file: string): Set<string> => {
    let own = anchors.get(file);
    if (!own) {
      const html = text.get(file) ?? '';
      own = new Set([...attributes(html, 'id'), ...attributes(html, 'name')]);
      anchors.set(file, own);
    }
    return own;
  };
  const dead: string[] = [];
  let links = 0;
  for (const file of pages) {
    const html = text.get(file) as string;
    for (const link of new Set([...attributes(html, 'href'), ...attributes(html, 'src')])) {
      const fault = (what: string) => dead.push(`${path.relative(folder, file)}: ${link}: ${what}`);
      if (/^(https?|mailto|data):/i.test(link)) continue;
      links++;
      if (/^[a-z][a-z+.-]*:/i.test(link) || link.startsWith('//')) {
        fault('expected a path or an address of https');
        continue;
      }
      const [before = '', anchor] = link.split('#');
      const [where = ''] = before.split('?');
      if (where.startsWith('/') && !where.startsWith(base)) {
        fault(`expected a path below ${base}`);
        continue;
      }
      const steps = decodeURIComponent(where.startsWith('/') ? where.slice(base.length) : where);
      let target =
        where === '' ? file : path.resolve(where.startsWith('/') ? folder : path.dirname(file), steps);
      if (!files.has(target) && statSync(target, { throwIfNoEntry: false })?.isDirectory())
        target = path.join(target, 'index.html');
      if (!files.has(target)) fault('there is no such file');
      else if (anchor && target.endsWith('.html') && !anchorsOf(target).has(decodeURIComponent(anchor)))
        fault(`there is no #${anchor}`);
    }
  }
  return { pages: pages.length, links, dead };
}
