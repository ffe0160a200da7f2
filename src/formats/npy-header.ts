import { BitnibbleError } from '../errors.js';

/** The three facts of a `.npy` header. */
export interface NpyHeader {
  readonly descr: string;
  readonly fortranOrder: boolean;
  readonly shape: number[];
}

/**
 * Parses the Python dictionary of a `.npy` header. Exactly this much of Python is understood, blanks between tokens
 * aside:
 *
 * ```
 * header = "{" pair { "," pair } [ "," ] "}"        each of the three keys once, in any order
 * pair   = "'descr'" ":" string | "'fortran_order'" ":" ( "True" | "False" ) | "'shape'" ":" tuple
 * tuple  = "(" ")" | "(" int "," ")" | "(" int { "," int } [ "," ] ")"
 * int    = digits [ "L" ]                            the L is Python 2's
 * ```
 *
 * @throws BitnibbleError `unsupported-dtype` for a record dtype (a list), `corrupt-file` for everything else
 */
export function parseNpyHeader(text: string, name: string): NpyHeader {
  return new HeaderParser(text, name).header();
}

class HeaderParser {
  private at = 0;

  constructor(
    private readonly text: string,
    private readonly name: string,
  ) {}

  header(): NpyHeader {
    const found = new Map<string, string | boolean | number[]>();
    this.take(/\{/y, '{');
    do {
      const key = this.string();
      if (found.has(key)) {
        this.fail(`one ${key}`);
      }
      this.take(/:/y, ':');
      found.set(key, this.value(key));
    } while (this.accept(/,/y) && !this.peek('}'));
    this.take(/\}/y, '}');
    this.take(/$/y, 'the end of the header');
    const descr = found.get('descr');
    const fortranOrder = found.get('fortran_order');
    const shape = found.get('shape');
    if (typeof descr !== 'string' || typeof fortranOrder !== 'boolean' || !Array.isArray(shape)) {
      return this.fail('descr, fortran_order and shape');
    }
    return { descr, fortranOrder, shape };
  }

  private value(key: string): string | boolean | number[] {
    if (key === 'descr') {
      if (this.peek('[')) {
        throw new BitnibbleError(
          'unsupported-dtype',
          `${this.name}: an array of records, expected one number type`,
        );
      }
      return this.string();
    }
    if (key === 'fortran_order') {
      return this.take(/(True|False)/y, 'True or False') === 'True';
    }
    return key === 'shape' ? this.tuple() : this.fail('descr, fortran_order or shape as key');
  }

  private tuple(): number[] {
    const shape: number[] = [];
    this.take(/\(/y, '(');
    let hasComma = true;
    while (!this.peek(')') && hasComma) {
      const dimension = Number(this.take(/(\d+)L?/y, 'a dimension'));
      shape.push(Number.isSafeInteger(dimension) ? dimension : this.fail('a dimension below 2^53'));
      hasComma = this.accept(/,/y);
    }
    this.take(/\)/y, ')');
    // (3) is a number in Python, (3,) a tuple
    return shape.length === 1 && !hasComma ? this.fail('a tuple as shape') : shape;
  }

  private string(): string {
    return this.take(/(?:'([^'\\]*)'|"([^"\\]*)")/y, 'a quoted text');
  }

  private peek(char: string): boolean {
    this.blanks();
    return this.text[this.at] === char;
  }

  private blanks(): void {
    while (' \t\n'.includes(this.text[this.at] ?? '.')) {
      this.at++;
    }
  }

  private match(token: RegExp): RegExpExecArray | null {
    this.blanks();
    token.lastIndex = this.at;
    const match = token.exec(this.text);
    if (match) {
      this.at = token.lastIndex;
    }
    return match;
  }

  private accept(token: RegExp): boolean {
    return this.match(token) !== null;
  }

  /** The first group of a sticky pattern, or an error that says what was expected. */
  private take(token: RegExp, what: string): string {
    const match = this.match(token);
    return match ? (match[1] ?? match[2] ?? '') : this.fail(what);
  }

  private fail(what: string): never {
    const got = JSON.stringify(this.text.slice(this.at, this.at + 20));
    throw new BitnibbleError(
      'corrupt-file',
      `${this.name}: expected ${what} at character ${this.at} of the .npy header, got ${got}`,
    );
  }
}
