// The command line before any work: what it refuses, what it calls things, what it loads.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Command, CommanderError } from 'commander';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { expandFiles, jobsOf } from '../../src/cli/inputs.js';
import { codingFlags, SCHEMES, UsageError } from '../../src/cli/options.js';
import { buildProgram } from '../../src/cli/program.js';
import { asTyped } from '../../src/cli/typed.js';
import { BitnibbleError } from '../../src/errors.js';
import { AUGMENTATIONS } from '../../src/pipeline/calibrate/augment.js';
import { METRICS } from '../../src/pipeline/calibrate/check.js';
import { TUNING_STEPS } from '../../src/pipeline/calibrate/tune.js';
import { codingOf, SCHEMES as LIBRARY } from '../../src/schemes/quantize.js';
import { root, tempDir } from '../support/needs.js';

const folder = tempDir();

/** Parses a command line that must be refused before any file is looked at. */
async function refused(args: readonly string[]): Promise<string> {
  try {
    await buildProgram('1.2.3').parseAsync(['node', 'bitnibble', ...args]);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return error.message;
  }
  throw new Error(`${args.join(' ')} was not refused`);
}

test('what makes no sense is refused by the name of the option', async () => {
  const data = ['--data', 'nowhere.npz'];
  const out = ['-o', 'x.safetensors'];
  const quantize = ['quantize', 'm.h5', ...out];
  const calibrate = ['calibrate', 'm.h5', ...out, ...data];
  const sensitivity = ['sensitivity', 'm.h5', ...data];
  const report = ['report', 'm.h5', ...data, '-o', 'r.html'];
  for (const [pattern, ...args] of [
    [/^--group-size expected a whole number of at least 1, got 0$/, ...quantize, '--group-size', '0'],
    [/^--scheme expected binary, int2 or int4, got int3$/, ...quantize, '--scheme', 'int3'],
    [/^--scale-dtype expected f32 or f16, got f64$/, ...quantize, '--scheme', 'int4', '--scale-dtype', 'f64'],
    [
      /^--group-size needs --granularity group, got channel$/,
      ...[...quantize, '--scheme', 'int4', '--granularity', 'channel', '--group-size', '8'],
    ],
    [/^--granularity group needs --group-size$/, ...quantize, '--scheme', 'int4', '--granularity', 'group'],
    [
      /^--scale expected lsq, absmax or hqq for --scheme int2/,
      ...quantize,
      '--scheme',
      'int2',
      '--scale',
      'mean',
    ],
    [/^--scale-dtype needs --scheme$/, ...quantize, '--scale-dtype', 'f16'],
    [
      /^--output expected a name ending in .*got x\.txt$/,
      'quantize',
      'm.h5',
      '-o',
      'x.txt',
      '--scheme',
      'int4',
    ],
    [/^--output expected a folder .* for 2 files/, 'quantize', 'a.h5', 'b.h5', ...out, '--scheme', 'int4'],
    [
      /^a\/m\.h5 and b\/m\.h5 would both become/,
      'quantize',
      'a/m.h5',
      'b/m.h5',
      '-o',
      `${folder}/`,
      '--scheme',
      'int4',
    ],
    [/^--quiet and --verbose exclude each other$/, ...quantize, '--quiet', '-v'],
    [
      /^--granularity expected tensor, channel or group, got row$/,
      ...calibrate,
      '--scheme',
      'int4',
      '--granularity',
      'row',
    ],
    [/^--tune expected a whole number of at least 1, got much$/, ...calibrate, '--tune', 'much'],
    [/^--augment needs --tune$/, ...calibrate, '--scheme', 'int4', '--augment', 'flip'],
    [/^--seed expected a whole number of at least 0, got x$/, ...calibrate, '--seed', 'x'],
    [/^--split expected test or train, got validation$/, ...calibrate, '--split', 'validation'],
    [/^--backend expected node or wasm, got gpu$/, ...calibrate, '--backend', 'gpu'],
    [/^"?--std"? expected one number above 0/, ...calibrate, '--std', '0'],
    [/^--batch expected a whole number of at least 1, got 1\.5$/, ...calibrate, '--batch', '1.5'],
    [/^--check needs --max-drop$/, ...sensitivity, '--check', '10'],
    [/^--bits expected a number from 0 to 32, got -1$/, ...sensitivity, '--bits=-1'],
    [/exclude each other$/, ...sensitivity, '--bits', '2', '--target-bytes', '9'],
    [/^--samples needs --calibrate$/, 'compare', 'm.h5', ...data, '--samples', '4'],
    [/^--samples and --calibrate none exclude/, ...report, '--calibrate', 'none', '--samples', '4'],
    [/^unknown option '--colour'/, 'inspect', 'm.h5', '--colour'],
    [/^unknown command 'frobnicate'/, 'frobnicate'],
    [/^missing required argument 'file'/, 'inspect'],
  ] as [RegExp, ...string[]][])
    assert.match(await refused(args), pattern);
});

test('what the help says is what the library has', () => {
  assert.equal([...SCHEMES].sort(), Object.keys(LIBRARY).sort());
  for (const scheme of SCHEMES) {
    for (const scale of ['none', 'mean', 'absmax', 'lsq', 'hqq'] as const) {
      const takes = (work: () => unknown) => {
        try {
          work();
          return true;
        } catch {
          return false;
        }
      };
      const own = takes(() => codingFlags({ scheme, scale }));
      assert.is(
        own,
        takes(() => codingOf({ scheme, scale }, 2)),
        `${scheme} ${scale}`,
      );
    }
  }
  const help = (name: string) =>
    buildProgram('1.2.3')
      .commands.find((command) => command.name() === name)
      ?.helpInformation()
      .replace(/\s+/g, ' ') ?? '';
  assert.match(help('calibrate'), `(${TUNING_STEPS} steps)`);
  assert.match(help('compare'), `(${TUNING_STEPS} steps)`);
  assert.match(help('calibrate'), `${AUGMENTATIONS.join(', ')} or none`);
  assert.match(help('calibrate').replace(/\s+/g, ' '), `what chooses on them: ${METRICS.join(', ')}`);
});

test('every command has options for all, and examples that it takes', async () => {
  for (const command of buildProgram('1.2.3').commands) {
    let text = '';
    const own = buildProgram('1.2.3');
    for (const each of own.commands) each.configureOutput({ writeOut: (line) => (text += line) });
    const args = ['node', 'bitnibble', 'help', command.name()];
    await own.parseAsync(args).catch((error) => assert.instance(error, CommanderError));
    for (const option of ['--json', '--quiet', '-v, --verbose']) assert.match(text, option);
    const examples = [...text.matchAll(/^ {2}\$ npx bitnibble (\S+)(.*)$/gm)];
    assert.ok(examples.length > 0, command.name());
    for (const [, name, rest = ''] of examples) {
      assert.is(name, command.name());
      // Every option of an example is one of the command's.
      for (const [, option] of rest.matchAll(/(?<=\s)(--[\w-]+|-\w)(?=[\s=]|$)/g))
        assert.ok(
          command.options.some(({ long, short }) => long === option || short === option),
          `${name} ${option}`,
        );
    }
  }
});

/** A command as it was typed. */
function typed(...args: string[]): Command {
  const command = new Command('quantize')
    .option('--group-size <n>')
    .option('--scale-dtype <type>')
    .option('--recipe <file>');
  return command.parse(['node', 'x', ...args]);
}

test("the library's errors name options as they were typed", () => {
  const error = new RangeError('"groupSize" expected an integer of at least 1, got 0 (tensor a)');
  const messageOf = (what: unknown, ...args: string[]) => (asTyped(what, typed(...args)) as Error).message;
  const plain = '--group-size expected an integer of at least 1, got 0 (tensor a)';
  assert.is(messageOf(error, '--group-size', '0'), plain);
  assert.instance(asTyped(error, typed('--group-size', '0')), UsageError);
  // What nobody typed is a field of a recipe.
  assert.is(asTyped(error, typed('--recipe', 'r.json')), error);
  assert.match(messageOf(error, '--recipe', 'r.json', '--group-size', '0'), '(or "groupSize" of the recipe)');
  const half = new RangeError('"scaleDtype" expected F32 for the scale 1e9, got "F16" (tensor a)');
  assert.is(
    messageOf(half, '--scale-dtype', 'f16'),
    '--scale-dtype expected f32 for the scale 1e9, got f16 (tensor a)',
  );
  const other = new BitnibbleError('recipe', '"groupSize" expected more');
  assert.is(asTyped(other, typed('--group-size', '0')), other);
  const packed = new BitnibbleError('already-packed', 'x: already packed');
  assert.match(messageOf(packed), 'quantize takes the Keras file');
});

test('several files: patterns, a folder, {name}', async () => {
  mkdirSync(path.join(folder, 'in'));
  for (const name of ['b.h5', 'a.h5', 'c.weights.h5', 'd.txt', '[odd].h5'])
    writeFileSync(path.join(folder, 'in', name), '');
  const at = (name: string) => path.join(folder, 'in', name);
  assert.equal(await expandFiles([at('[ab].h5'), at('a.h5')]), [at('a.h5'), at('b.h5')]);
  assert.equal(await expandFiles([at('c*'), at('{a,b}.h5')]), [at('c.weights.h5'), at('a.h5'), at('b.h5')]);
  // A file of that name is that file.
  assert.equal(await expandFiles([at('[odd].h5'), '-']), [at('[odd].h5'), '-']);
  try {
    await expandFiles([at('*.keras')]);
    assert.unreachable();
  } catch (error) {
    assert.is((error as BitnibbleError).code, 'not-found');
  }
  const outputs = (output: string, ...inputs: string[]) => jobsOf(inputs, output).map((job) => job.output);
  assert.equal(outputs('x.h5', 'm.h5'), ['x.h5']);
  assert.equal(outputs('-', '-'), ['-']);
  assert.equal(outputs('{name}.b.h5', 'in/m.weights.h5', 'n.keras'), ['m.b.h5', 'n.b.h5']);
  assert.equal(
    outputs(folder, 'm.h5', 'n.h5'),
    ['m', 'n'].map((name) => path.join(folder, `${name}.safetensors`)),
  );
  // A folder that is called as a file is no place for others.
  mkdirSync(path.join(folder, 'x.safetensors'));
  assert.equal(outputs(path.join(folder, 'x.safetensors'), 'm.h5'), [path.join(folder, 'x.safetensors')]);
});

/** The files and packages that a file imports before it runs, those of its imports included. */
function reach(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(path.join(root, 'src', file), 'utf8');
  for (const [, type, to] of text.matchAll(/^(?:import|export)\s+(type\s)?[^;'"]*?from\s+'([^']+)';/gm)) {
    if (type || to === undefined) continue;
    if (to.startsWith('.')) reach(path.join(path.dirname(file), to).replace(/\.js$/, '.ts'), seen);
    else seen.add(to);
  }
  return seen;
}

test('--version and --help load no work of any command', () => {
  const start = ['main', 'output', 'streams', 'usage', 'version'].map((name) => `cli/${name}.ts`);
  start.push('errors.ts', 'formats/count.ts');
  assert.equal([...reach('cli/main.ts')].sort(), [...start, 'node:fs', 'picocolors']);
  const own = ['options', 'program', 'runs', 'usage'].map((name) => `cli/${name}.ts`);
  const readers = ['data/preprocess.ts', 'errors.ts', 'packed/part-number.ts'];
  assert.equal([...reach('cli/program.ts')].sort(), [...own, 'commander', ...readers]);
});

test.run();
