/** Where alternatives of a pattern begin and end: `[start, end]` for each, in every group and outside of any. */
function alternatives(pattern: string): [start: number, end: number][] {
  const found: [number, number][] = [];
  const open: { start: number; parts: [number, number][] }[] = [{ start: 0, parts: [] }];
  const close = (end: number) => {
    const group = open.pop();
    if (!group) return;
    group.parts.push([group.start, end]);
    if (group.parts.length > 1) found.push(...group.parts);
  };
  let inClass = false;
  for (let at = 0; at < pattern.length; at++) {
    const letter = pattern[at];
    if (letter === '\\') at++;
    else if (inClass) inClass = letter !== ']';
    else if (letter === '[') inClass = true;
    else if (letter === '(') {
      const kind = /^\(\?(?:<?[=!]|:|<\w+>)/.exec(pattern.slice(at))?.[0].length ?? 1;
      open.push({ start: at + kind, parts: [] });
    } else if (letter === ')') close(at);
    else if (letter === '|') {
      const group = open.at(-1) as (typeof open)[0];
      group.parts.push([group.start, at]);
      group.start = at + 1;
    }
  }
  close(pattern.length);
  return found;
}

/**
 * A regular expression with an anchor, a quantifier, an alternative or a character of a class less.
 * @param literal with its slashes and flags
 */
export function regexMutants(literal: string): string[] {
  const end = literal.lastIndexOf('/');
  const pattern = literal.slice(1, end);
  const flags = literal.slice(end);
  const found: string[] = [];
  const cut = (start: number, stop: number, by = '') => {
    const text = pattern.slice(0, start) + by + pattern.slice(stop);
    if (text !== '') found.push(`/${text}${flags}`);
  };
  let classAt = -1;
  for (let at = 0; at < pattern.length; at++) {
    const letter = pattern[at] as string;
    const before = pattern[at - 1];
    if (letter === '\\') at++;
    else if (classAt >= 0) {
      if (letter === ']') classAt = -1;
      else if (letter === '^' && at === classAt + 1) cut(at, at + 1);
      else if (before !== '-' && pattern[at + 1] !== '-' && letter !== '-') cut(at, at + 1);
    } else if (letter === '[') classAt = at;
    else if (letter === '^' || letter === '$') cut(at, at + 1);
    else if (letter === '?' && before !== '(') cut(at, at + 1);
    else if (letter === '+') cut(at, at + 1, '*');
    else if (letter === '*') cut(at, at + 1, '+');
  }
  for (const [start, stop] of alternatives(pattern))
    cut(pattern[start - 1] === '|' ? start - 1 : start, pattern[start - 1] === '|' ? stop : stop + 1);
  return found;
}
