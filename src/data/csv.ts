import { BitnibbleError } from '../errors.js';
import { answersOf, mismatch } from './answers.js';
import { type NamedBytes, type NamedSource, wholeFile } from './arrays.js';
import { arrayDataset, type Dataset } from './dataset.js';
import { joinInputs } from './several.js';

/** Columns that are the answers and no inputs. */
const ANSWER = /^(y|label|labels|class|target|targets)$/i;
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
/** What stands for a number that is not there: it makes no row of names of a row of numbers. */
const MISSING = /^(?:|nan|n\/?a|null|[+-]?inf(?:inity)?)$/i;
const MOST_COLUMNS = 65_536;

/** How a table is read. */
export interface CsvOptions {
  /** Names of the network's inputs: where all are columns, each column is an input of its own. */
  readonly inputs?: readonly string[];
}

/**
 * A table as text: a row for each sample, columns of numbers between commas, semicolons or tabs, names in the first row or
 * none. A column `y`, `label`, `class` or `target` holds the answers; all others together are a sample `[columns]`.
 *
 * @throws BitnibbleError `too-large`, `corrupt-file` for text that is no UTF-8; `data-mismatch`, naming row and column, for what is no
 *   number, rows of different lengths and tables without rows. Source: RFC 4180
 */
export function readCsvDataset(given: NamedBytes | NamedSource, options: CsvOptions = {}): Dataset {
  const { name } = given;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(wholeFile(given));
  } catch (cause) {
    if (cause instanceof BitnibbleError) throw cause;
    throw new BitnibbleError('corrupt-file', `${name}: expected text in UTF-8`, { cause });
  } finally {
    if ('source' in given) given.source.close?.();
  }
  const lines = text.split(/\r\n|\n|\r/).filter((line) => line.trim() !== '');
  const [first = ''] = lines;
  const separator = [',', ';', '\t'].find((own) => first.includes(own)) ?? ',';
  const cellsOf = (line: string, row: number) =>
    fieldsOf(line, separator, (what) => mismatch(name, `row ${row}: ${what}`));
  const head = cellsOf(first, 1);
  const isNamed = head.some((cell) => !NUMBER.test(cell) && !MISSING.test(cell));
  const names = isNamed ? head : head.map((_, i) => String(i + 1));
  if (names.length > MOST_COLUMNS)
    throw new BitnibbleError(
      'too-large',
      `${name}: ${names.length} columns, expected at most ${MOST_COLUMNS}`,
    );
  const seen = new Set<string>();
  for (const own of names) {
    if (seen.has(own)) mismatch(name, `two columns are called ${own}`);
    seen.add(own);
  }
  const rows = isNamed ? lines.slice(1) : lines;
  if (rows.length === 0) mismatch(name, 'expected a row for each sample, got none');
  // A number has a character at least: of more rows than the text has room for, one is too short, which is found below.
  const room = Math.min(rows.length, Math.ceil(text.length / names.length));
  const columns = names.map(() => new Float32Array(room));
  for (const [i, line] of rows.entries()) {
    const row = i + (isNamed ? 2 : 1);
    const cells = cellsOf(line, row);
    if (cells.length !== names.length)
      mismatch(name, `row ${row} has ${cells.length} columns, the first has ${names.length}`);
    for (const [c, cell] of cells.entries()) {
      if (!NUMBER.test(cell))
        mismatch(
          name,
          `row ${row}, column ${names[c]}: expected a number, got ${JSON.stringify(cell.slice(0, 40))}`,
        );
      (columns[c] as Float32Array)[i] = Number(cell);
    }
  }
  return tableOf(name, names, columns, options);
}

function tableOf(
  name: string,
  names: readonly string[],
  columns: readonly Float32Array[],
  { inputs = [] }: CsvOptions,
): Dataset {
  const count = (columns[0] as Float32Array).length;
  const isAnswer = (column: string) => ANSWER.test(column) && !inputs.includes(column);
  const y = names.findIndex(isAnswer);
  const answers =
    y < 0
      ? {}
      : answersOf(
          { dtype: 'float32', shape: [count], data: columns[y] as Float32Array },
          count,
          `${name}: ${names[y]}`,
        );
  if (inputs.length > 1 && inputs.every((own) => names.includes(own))) {
    const parts = inputs.map((own) => {
      const values = columns[names.indexOf(own)] as Float32Array;
      return { name: own, dataset: arrayDataset({ name: `${name}: ${own}`, inputShape: [1], values }) };
    });
    return joinInputs(name, parts, answers);
  }
  const own = columns.filter((_, c) => c !== y);
  if (own.length === 0) mismatch(name, 'expected columns of inputs, got the answers alone');
  const values = new Float32Array(count * own.length);
  for (const [c, column] of own.entries())
    for (let i = 0; i < count; i++) values[i * own.length + c] = column[i] as number;
  return arrayDataset({ name, inputShape: [own.length], values, ...answers });
}

/** Cells of a line; one in quotes may hold separators, and `""` for a quote. */
function fieldsOf(line: string, separator: string, fault: (what: string) => never): string[] {
  if (!line.includes('"')) return line.split(separator).map((cell) => cell.trim());
  const cells: string[] = [];
  let at = 0;
  while (at <= line.length) {
    let cell = '';
    while (line[at] === ' ') at++;
    if (line[at] === '"') {
      for (at++; ; at++) {
        if (at >= line.length) fault('an open quote');
        if (line[at] !== '"') cell += line[at];
        else if (line[at + 1] === '"') cell += line[at++];
        else break;
      }
      const next = line.indexOf(separator, at);
      const rest = line.slice(at + 1, next < 0 ? undefined : next).trim();
      if (rest !== '') fault(`${JSON.stringify(rest.slice(0, 40))} behind a quote`);
      at = next < 0 ? line.length + 1 : next + 1;
    } else {
      const next = line.indexOf(separator, at);
      cell = line.slice(at, next < 0 ? undefined : next);
      at = next < 0 ? line.length + 1 : next + 1;
    }
    cells.push(cell.trim());
  }
  return cells;
}
