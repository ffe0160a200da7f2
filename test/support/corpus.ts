// The published files of the shared data, and what is known of each.
import { readFileSync } from 'node:fs';
import path from 'node:path';

export interface Row {
  readonly file: string;
  readonly version: string;
  readonly kind: string;
  readonly className: string;
  readonly classes: string;
  readonly parameters: string;
  /** `yes`, or what Keras 3.15 says to it. */
  readonly loads: string;
}

export function rowsOf(folder: string): Row[] {
  const lines = readFileSync(path.join(folder, 'keras-files', 'index.tsv'), 'utf8')
    .trim()
    .split('\n');
  return lines.slice(1).map((line) => {
    const cells = line.split('\t');
    const cell = (i: number) => cells[i] as string;
    return {
      file: path.join(folder, 'keras-files', cell(0)),
      version: cell(6),
      kind: cell(8),
      className: cell(9),
      classes: cell(10),
      parameters: cell(11),
      loads: cell(12),
    };
  });
}
