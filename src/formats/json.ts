import { BitnibbleError } from '../errors.js';
import type { Json } from '../model.js';

/**
 * Longer text than this is no configuration: parsed, it may take twenty times the memory. The largest models of Keras
 * have a megabyte, vocabularies of a million words ten.
 */
export const JSON_LIMIT = 3 * 2 ** 23;
/** Most values of a text: small objects take about 60 bytes each. */
const MAX_VALUES = 2 ** 20;
/** Deepest nesting: models in models take six levels each, and what recurses over them must not run out of stack. */
const MAX_DEPTH = 500;

const QUOTE = 0x22;
const COMMA = 0x2c;

/** Where a string that begins at `start` ends: at its closing quote, or with the text. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === 0x5c) slashes++;
    if (slashes % 2 === 0) return end;
  }
  return text.length;
}

/** Visits what is outside strings, one pass. */
function walk(text: string, visit: (code: number, at: number) => void): void {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at);
    else visit(code, at);
  }
}

/** Whether a text has at most `most` brackets that open, those in strings included. */
function hasFewBrackets(text: string, most: number): boolean {
  let count = 0;
  for (const bracket of '[{') {
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) {
      if (++count > most) return false;
    }
  }
  return true;
}

/**
 * Holds a text against what its parsing may cost, before it is parsed.
 * @throws BitnibbleError `too-large` for length, `corrupt-file` for depth and number of values
 */
export function checkJsonSize(text: string, what: string, limit = JSON_LIMIT): void {
  if (text.length > limit) {
    throw new BitnibbleError(
      'too-large',
      `${what}: ${text.length} characters of JSON, expected at most ${limit}`,
    );
  }
  // Out of reach of both limits. The walk below costs a Worker that starts three milliseconds.
  if (text.length <= MAX_VALUES && hasFewBrackets(text, MAX_DEPTH)) return;
  let depth = 0;
  let values = 0;
  walk(text, (code) => {
    // `[` and `{`, `]` and `}` differ in one bit.
    if ((code | 0x20) === 0x7b) {
      values++;
      if (++depth > MAX_DEPTH)
        throw new BitnibbleError('corrupt-file', `${what}: JSON nested out of all reason`);
    } else if ((code | 0x20) === 0x7d) depth--;
    else if (code === COMMA) values++;
    if (values > MAX_VALUES) {
      throw new BitnibbleError('corrupt-file', `${what}: JSON of more than ${MAX_VALUES} values`);
    }
  });
}

/** Python's bare `NaN`, `Infinity` and `-Infinity` as JSON has them: null, and numbers that overflow. */
function withoutConstants(text: string): string {
  if (!text.includes('NaN') && !text.includes('Infinity')) return text;
  const pieces: string[] = [];
  let done = 0;
  walk(text, (code, at) => {
    const name = code === 0x4e ? 'NaN' : code === 0x49 ? 'Infinity' : undefined;
    if (name === undefined || !text.startsWith(name, at)) return;
    pieces.push(text.slice(done, at), name === 'NaN' ? 'null' : '1e999');
    done = at + name.length;
  });
  pieces.push(text.slice(done));
  return pieces.join('');
}

/**
 * Python's JSON: as JSON, with bare `NaN` (read as null), `Infinity` and `-Infinity`.
 * @param what names the text in errors
 * @throws BitnibbleError `corrupt-file`, `too-large`
 */
export function parseJson(text: string, what: string): Json {
  checkJsonSize(text, what);
  try {
    return JSON.parse(withoutConstants(text)) as Json;
  } catch (error) {
    throw new BitnibbleError('corrupt-file', `${what}: not JSON: ${(error as Error).message.slice(0, 100)}`);
  }
}
