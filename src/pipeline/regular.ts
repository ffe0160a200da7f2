// Regular expressions of recipes, which come from files: matched by sets of states instead of by trying, so that no
// pattern takes longer than its states times the name. (Thompson 1968; the search alone, without groups.)

/** What stands at one place of an expression. */
type Step =
  | { readonly kind: 'char'; readonly test: (code: number) => boolean }
  | { readonly kind: 'place'; readonly test: (before: number, after: number) => boolean }
  /** Both ways are open. */
  | { readonly kind: 'fork'; to: number; or: number }
  | { readonly kind: 'end' };

type Part =
  | { readonly kind: 'step'; readonly step: Step }
  | { readonly kind: 'row'; readonly parts: readonly Part[] }
  | { readonly kind: 'choice'; readonly parts: readonly Part[] }
  | { readonly kind: 'repeat'; readonly part: Part; readonly least: number; readonly most: number };

/** Most states of an expression: `[a-z]{1,500}` has a thousand. */
const MAX_STEPS = 2000;
/** Deepest groups. */
const MAX_DEPTH = 50;
/** A state takes so many times as long as a character of a glob. */
const COST = 8;
const NONE = -1;

const isDigit = (c: number) => c >= 48 && c <= 57;
const isWord = (c: number) => isDigit(c) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 95;
const isLine = (c: number) => c === 10 || c === 13 || c === 0x2028 || c === 0x2029;
const isBlank = (c: number) => c >= 0 && /\s/.test(String.fromCodePoint(c));
const not = (test: (c: number) => boolean) => (c: number) => !test(c);

const CLASSES: Readonly<Record<string, (code: number) => boolean>> = {
  ...{ d: isDigit, D: not(isDigit), w: isWord, W: not(isWord), s: isBlank, S: not(isBlank) },
};
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, v: 11, f: 12, 0: 0 };

/**
 * A regular expression as a search in texts, in time proportional to the text.
 *
 * It means what JavaScript means by it: characters, classes, groups, `|`, `* + ? {n,m}`, `^ $ \b \B`, the flags `i`,
 * `m`, `s` and `u`.
 *
 * @param spend told of the steps of a search as they are taken: one for each state reached, {@link COST} times
 * @throws SyntaxError for what is no expression; RangeError for what needs trying (references to groups, looking
 *   ahead or behind), for Unicode properties, and for one of too many states
 */
export function regularSearch(
  source: string,
  flags: string,
  spend: (steps: number) => void = () => undefined,
): (text: string) => boolean {
  new RegExp(source, flags);
  const steps = assemble(new Parser(source, flags).expression());
  const isUnicode = flags.includes('u');
  return (text) => {
    const codes = isUnicode
      ? Array.from(text, (char) => char.codePointAt(0) as number)
      : Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
    return search(steps, codes, spend);
  };
}

/** Holds all states that are reached at once; `seen` is the place at which each was reached last. */
function search(steps: readonly Step[], codes: readonly number[], spend: (steps: number) => void): boolean {
  const seen = new Int32Array(steps.length).fill(NONE);
  let reached: number[] = [];
  for (let at = 0; at <= codes.length; at++) {
    let taken = 0;
    const before = codes[at - 1] ?? NONE;
    const after = codes[at] ?? NONE;
    const next: number[] = [];
    const open = reached;
    open.push(0);
    for (let state = open.pop(); state !== undefined; state = open.pop()) {
      taken++;
      if (seen[state] === at) continue;
      seen[state] = at;
      const step = steps[state] as Step;
      if (step.kind === 'end') return true;
      if (step.kind === 'fork') open.push(step.or, step.to);
      else if (step.kind === 'place') {
        if (step.test(before, after)) open.push(state + 1);
      } else if (after !== NONE && step.test(after)) next.push(state + 1);
    }
    spend(COST * taken);
    reached = next;
  }
  return false;
}

/** The steps of a part one after the other; only forks lead elsewhere. */
function assemble(part: Part): Step[] {
  const steps: Step[] = [];
  const add = (step: Step) => {
    if (steps.length >= MAX_STEPS)
      throw new RangeError(`a regular expression of more than ${MAX_STEPS} states`);
    steps.push(step);
    return step;
  };
  const fork = () => add({ kind: 'fork', to: steps.length + 1, or: 0 }) as Step & { kind: 'fork' };
  const visit = (part: Part): void => {
    if (part.kind === 'step') add(part.step);
    else if (part.kind === 'row') part.parts.forEach(visit);
    else if (part.kind === 'choice') {
      const ends: (Step & { kind: 'fork' })[] = [];
      part.parts.forEach((way, i) => {
        const isLast = i === part.parts.length - 1;
        const here = isLast ? undefined : fork();
        visit(way);
        if (!here) return;
        ends.push(fork());
        here.or = steps.length;
      });
      for (const end of ends) end.to = end.or = steps.length;
    } else {
      for (let n = 0; n < part.least; n++) {
        const start = steps.length;
        visit(part.part);
        // `(){1000000}`: what has no states has none a million times.
        if (steps.length === start) break;
      }
      if (part.most === Number.POSITIVE_INFINITY) {
        const start = steps.length;
        const here = fork();
        visit(part.part);
        const back = fork();
        back.to = back.or = start;
        here.or = steps.length;
        return;
      }
      const ways = [];
      for (let n = part.least; n < part.most; n++) {
        ways.push(fork());
        visit(part.part);
      }
      for (const way of ways) way.or = steps.length;
    }
  };
  visit(part);
  add({ kind: 'end' });
  return steps;
}

/** Reads an expression that JavaScript has accepted. */
class Parser {
  #at = 0;
  #depth = 0;
  readonly #folds: boolean;
  readonly #lines: boolean;
  readonly #dotAll: boolean;
  readonly #unicode: boolean;

  constructor(
    readonly source: string,
    flags: string,
  ) {
    [this.#folds, this.#lines, this.#dotAll, this.#unicode] = Array.from('imsu', (flag) =>
      flags.includes(flag),
    ) as [boolean, boolean, boolean, boolean];
  }

  expression(): Part {
    if (++this.#depth > MAX_DEPTH) throw new RangeError(`groups nested deeper than ${MAX_DEPTH}`);
    const parts: Part[] = [];
    do parts.push(this.#row());
    while (this.#take('|'));
    this.#depth--;
    return parts.length === 1 ? (parts[0] as Part) : { kind: 'choice', parts };
  }

  #row(): Part {
    const parts: Part[] = [];
    while (this.#at < this.source.length && !'|)'.includes(this.source[this.#at] as string))
      parts.push(this.#quantified());
    return { kind: 'row', parts };
  }

  #quantified(): Part {
    const part = this.#atom();
    const rest = this.source.slice(this.#at);
    const [all, least, comma, most] = /^\{(\d+)(,?)(\d*)\}/.exec(rest) ?? [];
    const simple = { '*': [0, Number.POSITIVE_INFINITY], '+': [1, Number.POSITIVE_INFINITY], '?': [0, 1] }[
      rest[0] ?? ''
    ];
    if (!simple && all === undefined) return part;
    this.#at += all?.length ?? 1;
    this.#take('?');
    const open = comma ? Number.POSITIVE_INFINITY : Number(least);
    const [from, to] = simple ?? [Number(least), most ? Number(most) : open];
    return { kind: 'repeat', part, least: from as number, most: to as number };
  }

  #atom(): Part {
    const char = this.#next();
    if (char === '(') return this.#group();
    if (char === '[') return letter(this.#class());
    if (char === '.') return letter(this.#dotAll ? () => true : not(isLine));
    if (char === '^') return place((before) => before === NONE || (this.#lines && isLine(before)));
    if (char === '$') return place((_, after) => after === NONE || (this.#lines && isLine(after)));
    if (char !== '\\') return letter(this.#only(char.codePointAt(0) as number));
    const escaped = this.source[this.#at] ?? '';
    if (escaped === 'b' || escaped === 'B') {
      this.#at++;
      const wanted = escaped === 'b';
      return place((before, after) => (isWord(before) !== isWord(after)) === wanted);
    }
    if (/[1-9]/.test(escaped) || (escaped === 'k' && (this.#unicode || this.source.includes('(?<'))))
      throw new RangeError(`a reference to a group (\\${escaped}), which has no bound of time`);
    return letter(this.#escape());
  }

  #group(): Part {
    const kind = /^\?(?:<?[=!]|:|<[^>]*>|[a-z-]+:)?/.exec(this.source.slice(this.#at))?.[0] ?? '';
    if (/[=!]$/.test(kind))
      throw new RangeError(`a look at what is beside, "(${kind}", which has no bound of time`);
    if (kind !== '' && kind !== '?:' && !kind.startsWith('?<'))
      throw new RangeError(`a group "(${kind}", which is not known`);
    this.#at += kind.length;
    const part = this.expression();
    this.#next();
    return part;
  }

  #class(): (code: number) => boolean {
    const isNot = this.#take('^');
    const tests: ((code: number) => boolean)[] = [];
    while (this.source[this.#at] !== ']') {
      const from = this.#member();
      const isRange = this.source[this.#at] === '-' && this.source[this.#at + 1] !== ']';
      if (!isRange) {
        tests.push(typeof from === 'number' ? this.#only(from) : from);
        continue;
      }
      this.#at++;
      const to = this.#member();
      if (typeof from === 'number' && typeof to === 'number') tests.push(this.#range(from, to));
      else for (const end of [from, 45, to]) tests.push(typeof end === 'number' ? this.#only(end) : end);
    }
    this.#at++;
    const has = (code: number) => tests.some((test) => test(code));
    return isNot ? not(has) : has;
  }

  /** A character of a class, or a class in it. */
  #member(): number | ((code: number) => boolean) {
    const char = this.#next();
    if (char !== '\\') return char.codePointAt(0) as number;
    if (this.#take('b')) return 8;
    return this.#escapedCode() ?? this.#escape();
  }

  /** What follows a backslash, as a test. */
  #escape(): (code: number) => boolean {
    const code = this.#escapedCode();
    if (code !== undefined) return this.#only(code);
    const name = this.#next();
    const known = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
    if (known) return known;
    throw new RangeError(`the escape \\${name}, which is not known`);
  }

  #escapedCode(): number | undefined {
    const rest = this.source.slice(this.#at, this.#at + 12);
    const [all, ...codes] = /^(?:x([\da-f]{2})|u([\da-f]{4})|u\{([\da-f]+)\})/i.exec(rest) ?? [];
    if (all !== undefined && (this.#unicode || !codes[2])) {
      this.#at += all.length;
      return Number.parseInt(codes.find((code) => code !== undefined) as string, 16);
    }
    const char = String.fromCodePoint(rest.codePointAt(0) ?? 0);
    if (/[dDwWsSpPcbBk1-9]/.test(char)) return undefined;
    if (/^0\d/.test(rest)) throw new RangeError('an octal number, which is read as \\x and two digits');
    this.#next();
    return CONTROLS[char] ?? (char.codePointAt(0) as number);
  }

  #only(wanted: number): (code: number) => boolean {
    if (!this.#folds) return (code) => code === wanted;
    const folded = this.#upper(wanted);
    return (code) => this.#upper(code) === folded;
  }

  /** Of either case. */
  #range(from: number, to: number): (code: number) => boolean {
    const has = (code: number) => code >= from && code <= to;
    if (!this.#folds) return has;
    return (code) =>
      has(code) ||
      has(this.#upper(code)) ||
      has(String.fromCodePoint(code).toLowerCase().codePointAt(0) as number);
  }

  /** ECMA-262, Canonicalize: upper case where that is one character, and no letter becomes ASCII. */
  #upper(code: number): number {
    const form = String.fromCodePoint(code).toUpperCase();
    const upper = form.codePointAt(0) as number;
    const isOne = form.length === String.fromCodePoint(upper).length;
    return isOne && (code < 128 || upper >= 128) ? upper : code;
  }

  #take(char: string): boolean {
    if (this.source[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #next(): string {
    const code = this.#unicode ? this.source.codePointAt(this.#at) : this.source.charCodeAt(this.#at);
    const char = String.fromCodePoint(code ?? 0);
    this.#at += char.length;
    return char;
  }
}

const letter = (test: (code: number) => boolean): Part => ({ kind: 'step', step: { kind: 'char', test } });
const place = (test: (before: number, after: number) => boolean): Part => ({
  kind: 'step',
  step: { kind: 'place', test },
});
