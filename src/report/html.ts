/** Markup that is safe to insert as it is. */
export class Html {
  constructor(readonly text: string) {}

  toString(): string {
    return this.text;
  }
}

type Part = Html | string | number | undefined | false | readonly Part[];

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/**
 * Text of a file as a reader may see it: characters that control a terminal, the direction of text or nothing visible are
 * shown as `\u202e`.
 */
export function visible(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (c) => `\\u${(c.codePointAt(0) as number).toString(16).padStart(4, '0')}`,
  );
}

export const escaped = (text: string): string =>
  visible(text).replace(/[&<>"']/g, (c) => ENTITIES[c] as string);

function markup(part: Part): string {
  if (part === undefined || part === false) return '';
  if (part instanceof Html) return part.text;
  if (Array.isArray(part)) return part.map(markup).join('');
  return escaped(String(part));
}

/** Markup around values: all but markup is escaped; undefined and false are nothing. */
export function html(strings: TemplateStringsArray, ...values: readonly Part[]): Html {
  return new Html(strings.map((text, i) => text + (i < values.length ? markup(values[i]) : '')).join(''));
}

/** The last part of paths, several joined by ` + `. */
export const baseName = (path: string): string =>
  path
    .split(' + ')
    .map((own) => own.split(/[\\/]/).at(-1) ?? own)
    .join(' + ');

/** The start of a long name, for figures; tables have it whole. */
export function short(text: string, most: number): string {
  const own = [...visible(text)];
  return own.length <= most ? own.join('') : `${own.slice(0, most - 1).join('')}…`;
}

/** The end of a long name: the ends of paths and numbered names tell them apart. */
export function ending(text: string, most: number): string {
  const own = [...visible(text)];
  return own.length <= most ? own.join('') : `…${own.slice(1 - most).join('')}`;
}
