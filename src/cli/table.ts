import { createRequire } from 'node:module';
import type * as CliTable from 'cli-table3';
import { colour, printable } from './output.js';

/** Loaded for the first table alone. */
const load = (): typeof CliTable.default => createRequire(import.meta.url)('cli-table3');

/** Rows that are laid out at once: cli-table3 takes time that grows with their square. */
const ROWS = 100;

/** Rows of text; columns whose cells are all numbers are set to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const numeric = (column: number) =>
    rows.every((row) => /^[-+–]?[\d.,]*( ?(%|dB|x|MB|KB|B))?$/.test(row[column] ?? ''));
  const isRight = head.map((_, column) => rows.length > 0 && numeric(column));
  const width = (text = '') => printable(text).length;
  const widths = head.map((name, column) =>
    rows.reduce((most, row) => Math.max(most, width(row[column])), width(name)),
  );
  // Padded here, so that all grids have columns of one width.
  const padded = (row: readonly string[]) =>
    row.map((text, column) => {
      const cell = printable(text);
      const pad = ' '.repeat((widths[column] ?? 0) - width(cell));
      return isRight[column] ? pad + cell : cell + pad;
    });
  const grids: string[] = [];
  for (let from = 0; from === 0 || from < rows.length; from += ROWS) {
    const heading = from === 0 ? padded(head).map((name) => colour.bold(name)) : [];
    grids.push(grid(heading, rows.slice(from, from + ROWS).map(padded)));
  }
  return grids.join('\n').replace(/ +$/gm, '');
}

function grid(head: string[], rows: string[][]): string {
  const layout = new (load())({
    head,
    style: { head: [], border: [], compact: true, 'padding-left': 0 },
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '',
      'left-mid': '',
      mid: '─',
      'mid-mid': '─',
      right: '',
      'right-mid': '',
      middle: ' ',
    },
  });
  layout.push(...rows);
  return layout.toString();
}
