// Writes docs/SUPPORT.md from what was tried: the files of test/fixtures and, where the folder of shared data is there,
// the corpus of published files. Without the corpus its rows stay as they are.
//
//   npm run support                 writes it
//   npm run support -- --parity     measures the table of parity anew as well, which takes minutes and tfjs-node and Chromium
//   npm run support -- --check      fails when it is out of date
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadKernels } from '../src/kernels/index.js';
import { isEmitted as isInLiteRt } from '../src/litert/emit.js';
import { OPERATIONS } from '../src/network/operations/index.js';
import { isEmitted as isInOnnx } from '../src/onnx/emit.js';
import { isFitted } from '../src/pipeline/calibrate/classes.js';
import { isPlanned } from '../src/runtime/rows.js';
import { ALL_ROWS } from '../src/runtime/rows-all.js';
import { sizeOf } from '../src/shape.js';
import { isConverted } from '../src/tfjs/rules.js';
import { root } from './lib/project.js';
import { NO_ARCHITECTURE, type Outcome, type Trial, tryModel } from './lib/try-model.js';

interface Row extends Outcome {
  /** As shown: a path, for published files with their source. */
  readonly file: string;
}

const MARKS = {
  fixtures: 'files of this repository',
  corpus: 'published files',
  parity: 'held to Keras',
} as const;
type Part = 'fixtures' | 'corpus';

const document = path.join(root, 'docs', 'SUPPORT.md');
const fixtures = path.join(root, 'test', 'fixtures');
const shared = path.resolve(root, process.env.BITNIBBLE_SHARED || '../shared/data', 'keras-files');

const UNKNOWN = { kind: 'no Keras model', version: '-' };
/** Fixtures that do not say which Keras they are of. */
const VERSIONS: Readonly<Record<string, string>> = {
  'keras2_parts.weights.h5': '2.21.0',
  'shards.weights.json': '3.15.1',
  'subclassed.weights.h5': '3.15.1',
  'torch_module.weights.h5': '3.15.1',
};

type Stored = [name: string, dtype: string, shape: number[], sum: number];
type Named = Trial & { readonly shown: string };

function fixtureTrials(): Named[] {
  const containers = JSON.parse(readFileSync(path.join(fixtures, 'containers', 'expected.json'), 'utf8'));
  return ['containers', 'keras', 'tfjs'].flatMap((folder) => {
    const names = readdirSync(path.join(fixtures, folder)).filter(
      (name) => /\.(h5|keras|weights\.json)$/.test(name) && !/_\d{5}\.weights\.h5$/.test(name),
    );
    return names.map((name): Named => {
      const stored = folder === 'containers' ? (containers[name] as Stored[]) : undefined;
      const parameters = stored?.reduce((sum, [, , shape]) => sum + sizeOf(shape), 0);
      const file = path.join(fixtures, folder, name);
      const version = VERSIONS[name] ?? UNKNOWN.version;
      return { file, shown: `${folder}/${name}`, kind: UNKNOWN.kind, version, parameters };
    });
  });
}

function corpusTrials(): Named[] {
  const lines = readFileSync(path.join(shared, 'index.tsv'), 'utf8').trim().split('\n').slice(1);
  return lines.map((line): Named => {
    const cells = line.split('\t');
    const cell = (i: number) => cells[i] ?? '';
    const [name, repository, inside, commit, total, notes] = [0, 1, 2, 3, 11, 13].map(cell);
    const said = cell(6) === '-' ? /Keras (\d)(?=[.x ])/.exec(String(notes))?.[1] : undefined;
    const url = `https://github.com/${repository}/blob/${commit}/${encodeURI(String(inside))}`;
    return {
      file: path.join(shared, String(name)),
      shown: `[${repository}](${url}): ${inside}`,
      kind: UNKNOWN.kind,
      version: said ? `${said}.x` : cell(6),
      parameters: total === '-' ? undefined : Number(total),
    };
  });
}

async function tryAll(trials: readonly Named[]): Promise<Row[]> {
  const kernels = await loadKernels();
  const folder = mkdtempSync(path.join(tmpdir(), 'bitnibble-support-'));
  try {
    const rows: Row[] = [];
    for (const trial of trials) rows.push({ file: trial.shown, ...(await tryModel(trial, kernels, folder)) });
    return rows;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Code point by code point: the same everywhere. */
const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
const orderOf = (row: Row) => row.file.replace(/\]\(.*?\)/, '').toLowerCase();

const COLUMNS = ['file', 'kind', 'version', 'parameters', 'read', 'written', 'tfjs'] as const;
const cellOf = (text: string) => text.replace(/\s+/g, ' ').replaceAll('|', '/').trim();

function listOf(rows: readonly Row[]): string[] {
  return [
    '| file | kind | Keras | parameters | read | written | TensorFlow.js |',
    '|---|---|---|---:|---|---|---|',
    ...[...rows]
      .sort((a, b) => order(orderOf(a), orderOf(b)))
      .map((row) => `| ${COLUMNS.map((column) => cellOf(row[column])).join(' | ')} |`),
  ];
}

/** The lines of tables that a part of the document has now. */
function linesOf(text: string, part: keyof typeof MARKS): string[] {
  const inside = text.split(`<!-- ${MARKS[part]} -->`)[1]?.split(`<!-- end of ${MARKS[part]} -->`)[0] ?? '';
  return inside.split(/\r?\n/).filter((line) => line.startsWith('|'));
}

/** The rows that a part of the document has now. */
export function rowsOf(text: string, part: Part): Row[] {
  const lines = linesOf(text, part).filter((line) => line.startsWith('| '));
  return lines.slice(1).map((line) => {
    const cells = line.slice(2, -2).split(' | ');
    return Object.fromEntries(COLUMNS.map((column, i) => [column, cells[i] ?? ''])) as unknown as Row;
  });
}

/** Keras 2 as its own package ends at 2.3; what calls itself 2.x-tf, or is later, is tf.keras. */
function rangeOf(version: string): string {
  const [major, minor] = version.split('.').map((part) => Number.parseInt(part, 10));
  if (major === undefined || Number.isNaN(major)) return '-';
  if (major !== 2) return `${major}.x`;
  return version.includes('tf') || (minor ?? 0) >= 4 ? 'tf.keras 2.x' : '2.x';
}

const KINDS = [
  'whole-model .h5',
  'weights .h5',
  '.keras archive',
  'Keras 3 .weights.h5',
  'Keras 3 weights in shards',
  UNKNOWN.kind,
];
const RANGES = ['0.x', '1.x', '2.x', 'tf.keras 2.x', '3.x', '-'];
const succeeded = (cell: string) => /^yes\b/.test(cell);

function summaryOf(rows: readonly Row[]): string[] {
  const line = (kind: string, range: string, some: readonly Row[]) => {
    const count = (column: 'read' | 'written' | 'tfjs') =>
      some.filter((row) => succeeded(row[column])).length;
    const tfjs = some.every((row) => row.tfjs === NO_ARCHITECTURE) ? '-' : count('tfjs');
    return `| ${kind} | ${range} | ${some.length} | ${count('read')} | ${count('written')} | ${tfjs} |`;
  };
  const groups = KINDS.flatMap((kind) =>
    RANGES.flatMap((range) => {
      const some = rows.filter((row) => row.kind === kind && rangeOf(row.version) === range);
      return some.length === 0 ? [] : [line(kind, range, some)];
    }),
  );
  return [
    '| kind of file | Keras | tried | read | written | TensorFlow.js |',
    '|---|---|---:|---:|---:|---:|',
    ...groups,
    line('**all**', '', rows),
  ];
}

function refusedOf(rows: readonly Row[]): string[] {
  const refused = rows.filter(({ read }) => !succeeded(read));
  const lines = refused
    .sort((a, b) => order(orderOf(a), orderOf(b)))
    .map(({ file, read }) => {
      const [code = '', ...message] = read.split(': ');
      return `| ${file} | \`${code}\` | ${message.join(': ')} |`;
    });
  return ['| file | code | message |', '|---|---|---|', ...lines];
}

/** From one number on: 2.9 before 2.11. */
function versionsOf(rows: readonly Row[]): string {
  const versions = [...new Set(rows.map(({ version }) => version))].filter((version) =>
    /\d\.\d/.test(version),
  );
  return versions.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).join(', ');
}

/** Attributes with which an operation without others is computed, where it is at all. */
const USUAL = { activation: 'relu', axis: -1, scale: 1, offset: 0, beta: 1 };
const isRun = (operation: string) => isPlanned(ALL_ROWS, { operation, attributes: USUAL });

/** Every row of the table of operations, and who computes it. */
function operationsOf(): string[] {
  const yes = (is: boolean) => (is ? 'yes' : '-');
  return [
    '| operation | TensorFlow.js | runtime | ONNX | LiteRT | fitted to samples |',
    '|---|---|---|---|---|---|',
    ...Object.keys(OPERATIONS)
      .sort(order)
      .map(
        (name) =>
          `| ${name} | ${yes(isConverted(name))} | ${yes(isRun(name))} | ${yes(isInOnnx(name))} | ${yes(isInLiteRt(name))} | ${yes(isFitted(name))} |`,
      ),
  ];
}

/** Networks that a table of parity has. */
const modelsIn = (lines: readonly string[]) => lines.slice(2).map((line) => line.split(' | ')[0]?.slice(2));

function render(parts: Readonly<Record<Part, readonly Row[]>>, parityLines: readonly string[]): string {
  const all = [...parts.fixtures, ...parts.corpus];
  const section = (part: Part) => [
    `<!-- ${MARKS[part]} -->`,
    '',
    ...listOf(parts[part]),
    '',
    `<!-- end of ${MARKS[part]} -->`,
  ];
  return [
    '# What was tried',
    '',
    'Written by `npm run support`, which tries every file below; do not edit it. `npm run support -- --check` fails when',
    'it is out of date; the tests run it.',
    '',
    '- **read**: the file opens, the values of every weight are read, and its parameters are as many as it should have.',
    '- **written**: quantized to int4, written to a packed `.safetensors` file and, where kernels are floating-point, back',
    '  into its own container (decoded); reopened, every weight has the values that were written.',
    '- **TensorFlow.js**: `loadLayersModel` builds the model in TensorFlow.js and gives it its weights. Else the',
    '  reason; `-` where there is no architecture.',
    '  Models whose outputs are compared with those of Keras are [below](#held-to-keras).',
    '',
    'The kind is that of the content, not of the name. Keras 2 up to 2.3 is its own package; what is later, or calls',
    'itself `-tf`, is tf.keras. Where neither a file nor its maker says, the Keras is `-`.',
    '',
    '## Summary',
    '',
    ...summaryOf(all),
    '',
    `Versions of Keras: ${versionsOf(all)}.`,
    '',
    '## Operations',
    '',
    'The one table of operations (`src/network/operations`): layers by the names of Keras 3, and `keras.ops` and `keras.activations`',
    'as `ops.NAME`. Each is computed with some of its attributes; what cannot be is refused by name. What TensorFlow.js computes is',
    'held to Keras ([TFJS.md](TFJS.md)), and so is what the runtime computes ([RUNTIME.md](RUNTIME.md)) and what ONNX and LiteRT',
    'models do ([EXPORT.md](EXPORT.md)). Kernels that are not fitted to samples are rounded ([CALIBRATION.md](CALIBRATION.md)).',
    '',
    ...operationsOf(),
    '',
    '## Held to Keras',
    '',
    'Networks of `test/fixtures/tfjs`, made by real Keras 3 and tf_keras; those of `keras1_*`, which no Keras of today loads, by the',
    'definitions of their layers in NumPy, and `channels_first_conv*` by the same weights with channels last, since Keras convolves no',
    'channels that come first on a CPU. A number is the larger one of two errors, in float and after every kernel was rounded to int4: the',
    'largest `|output - Keras| / max(|Keras|, 0.01 largest |Keras| of that output)`, for the runtime, whose activations have 14 bits,',
    '`|output - Keras| / largest |Keras| of that output`. The tests demand 1e-4 of each, on every machine and each time.',
    '`npm run support -- --parity` measures them; `-` was not measured: Chromium runs a few of each notation and kind. ONNX models of',
    'the same networks are held to the same outputs by ONNX Runtime ([EXPORT.md](EXPORT.md)).',
    '',
    `<!-- ${MARKS.parity} -->`,
    '',
    ...parityLines,
    '',
    `<!-- end of ${MARKS.parity} -->`,
    '',
    '## Refused',
    '',
    ...refusedOf(all),
    '',
    '## Files of this repository',
    '',
    'In `test/fixtures/`. Their parameters are those that their maker noted (`expected.json`), else counted in the HDF5',
    'file.',
    '',
    ...section('fixtures'),
    '',
    '## Published files',
    '',
    'Files that other people published, with thanks: each links its repository at the commit it is from. They are not',
    'part of this repository; with `index.tsv` they lie in `../shared/data/keras-files`. Where that folder is missing, the',
    'command keeps this section as it is.',
    '',
    ...section('corpus'),
    '',
  ].join('\n');
}

async function main(args: readonly string[]): Promise<number> {
  const check = args.includes('--check');
  if (args.some((arg) => arg !== '--check' && arg !== '--parity')) {
    process.stderr.write('usage: npm run support [-- --check | --parity]\n');
    return 2;
  }
  const before = existsSync(document) ? readFileSync(document, 'utf8') : '';
  const hasCorpus = existsSync(path.join(shared, 'index.tsv'));
  const rows = {
    fixtures: await tryAll(fixtureTrials()),
    corpus: hasCorpus ? await tryAll(corpusTrials()) : rowsOf(before, 'corpus'),
  };
  const lines = args.includes('--parity')
    ? await (await import('./parity-table.js')).parityTable()
    : linesOf(before, 'parity');
  const after = render(rows, lines);
  const measured = new Set(modelsIn(lines));
  const wanted = rows.fixtures.flatMap(({ file }) => /^tfjs\/(\w+)\.h5$/.exec(file)?.[1] ?? []);
  if (wanted.length !== measured.size || wanted.some((name) => !measured.has(name))) {
    process.stderr.write('docs/SUPPORT.md: networks were added or removed: npm run support -- --parity\n');
    return 1;
  }
  const bugs = [...rows.fixtures, ...rows.corpus].filter((row) =>
    /\bBUG: /.test(Object.values(row).join(' ')),
  );
  for (const row of bugs) process.stderr.write(`${COLUMNS.map((column) => row[column]).join(' | ')}\n`);
  if (check) {
    if (after === before.replaceAll('\r\n', '\n')) return bugs.length > 0 ? 1 : 0;
    const old = new Set(before.split(/\r?\n/));
    const changed = after.split('\n').filter((line) => !old.has(line));
    process.stderr.write(`docs/SUPPORT.md is out of date: npm run support\n${changed.join('\n')}\n`);
    return 1;
  }
  writeFileSync(document, after);
  const kept = hasCorpus ? '' : `; kept the published files as they were: there is no ${shared}`;
  process.stdout.write(`docs/SUPPORT.md: ${rows.fixtures.length + rows.corpus.length} files${kept}\n`);
  return bugs.length > 0 ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main(process.argv.slice(2));
