import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { dense, fakeKeras } from '../support/h5.js';
import { need, root, run, runCli, tempDir } from '../support/needs.js';

const model = path.join(root, 'test/fixtures/keras/keras3_sequential.h5');
const digits = path.join(root, 'examples/digits');
const folder = tempDir();
const at = (name: string) => path.join(folder, name);

/** Runs a command that must fail with status 1, saying so in one line without a stack. */
async function refused(args: string[], pattern: RegExp | string): Promise<void> {
  const before = readdirSync(folder);
  const { status, stdout, stderr } = await runCli(args);
  assert.is(status, 1, stderr);
  assert.match(stderr, pattern);
  assert.is(stderr.trim().split('\n').length, 1, stderr);
  assert.is(stdout, '');
  assert.equal(readdirSync(folder), before, 'no file was left');
}

test('help and version', async () => {
  for (const args of [
    ['--help'],
    ['quantize', '--help'],
    ['evaluate', '--help'],
    ['inspect', '--help'],
    ['compare', '--help'],
    ['demo', '--help'],
  ]) {
    const { status, stdout } = await runCli(args);
    assert.is(status, 0);
    assert.match(stdout, 'Usage: bitnibble');
  }
  const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  assert.is((await runCli(['--version'])).stdout.trim(), version);
});

test('usage errors end with status 2', async () => {
  const usage = async (...args: string[]) => {
    const { status, stderr, stdout } = await runCli(args);
    assert.is(status, 2, `${args.join(' ')}: ${stderr}`);
    assert.ok(stderr.length > 0);
    assert.is(stdout, '');
  };
  const out = ['-o', at('never.safetensors')];
  await usage('frobnicate');
  await usage('inspect');
  await usage('inspect', model, '--colour');
  await usage('quantize', model, '--scheme', 'int4');
  await usage('quantize', model, ...out);
  await usage('quantize', model, ...out, '--scheme', 'int3');
  await usage('quantize', model, ...out, '--scheme', 'int4', '--scale', 'mean');
  await usage('quantize', model, ...out, '--scheme', 'int4', '--group-size', '0');
  await usage('quantize', model, ...out, '--scheme', 'int4', '--granularity', 'group');
  await usage('quantize', model, ...out, '--granularity', 'tensor');
  await usage('quantize', model, '-o', at('never.txt'), '--scheme', 'int4');
  await usage('evaluate', model);
  await usage('evaluate', model, '--data', digits, '--scale', 'much');
  await usage('evaluate', model, '--data', digits, '--split', 'validation');
  assert.not.ok(existsSync(at('never.safetensors')));
});

test('inspect: a table for people, one JSON document with --json', async () => {
  const people = await runCli(['inspect', model]);
  assert.is(people.status, 0);
  assert.match(
    people.stdout,
    /conv +Conv2D +\(None, 8, 8, 4\) +76 +kernel \[3,3,2,4\] +F32 +yes, channels on axis 3/,
  );
  assert.match(people.stdout, '1,337 parameters');
  assert.not.match(people.stdout, '\u001b');
  const { layers, parameters } = JSON.parse((await runCli(['inspect', model, '--json'])).stdout);
  assert.is(parameters, 1337);
  assert.equal(layers.find((layer: { name: string }) => layer.name === 'flatten').outputShape, [null, 192]);
});

test('quantize to both forms, and both evaluate to the same', async () => {
  const from = path.join(digits, 'digits.h5');
  const packed = at('digits.safetensors');
  const keras = at('digits.h5');
  const report = JSON.parse(
    (await runCli(['quantize', from, '-o', packed, '--scheme', 'binary', '--no-fold', '--json'])).stdout,
  );
  assert.is(report.output, packed);
  assert.ok(
    report.tensors.every((row: { result: string; reason?: string }) => row.result === 'binary' || row.reason),
  );
  const quiet = await runCli(['quantize', from, '-o', keras, '--scheme', 'binary', '--quiet']);
  assert.equal([quiet.status, quiet.stdout, quiet.stderr], [0, '', '']);
  const evaluate = async (file: string) => {
    const { stdout, status, stderr } = await runCli([
      'evaluate',
      file,
      '--data',
      digits,
      '--json',
      '--limit',
      '300',
    ]);
    assert.is(status, 0, stderr);
    return JSON.parse(stdout);
  };
  const [a, b] = [await evaluate(packed), await evaluate(keras)];
  assert.is(a.samples, 300);
  assert.equal([a.top1, a.top5], [b.top1, b.top5]);
  // Without tfjs-node the runtime computes the packed file from integers.
  assert.ok(Math.abs(a.loss - b.loss) <= 1e-4 * b.loss, `${a.loss}, ${b.loss}`);
  assert.ok(a.bytes < b.bytes / 5);
  const float = await evaluate(from);
  assert.ok(float.top1 > 0.95 && float.top1 > a.top1);
  const people = await runCli(['inspect', packed]);
  assert.match(people.stdout, 'binary, channel');
});

test('recipes from files', async () => {
  const recipe = at('recipe.json');
  writeFileSync(
    recipe,
    JSON.stringify({ rules: [{ layer: 'conv', keep: true }], default: { scheme: 'int4' } }),
  );
  const out = at('recipe.safetensors');
  const { stdout, status } = await runCli(['quantize', model, '-o', out, '--recipe', recipe, '--json']);
  assert.is(status, 0);
  const rows: { id: string; result: string }[] = JSON.parse(stdout).tensors;
  assert.is(rows.find(({ id }) => id === 'conv/kernel')?.result, 'kept');
  assert.is(rows.find(({ id }) => id === 'dense/kernel')?.result, 'int4');
  writeFileSync(recipe, JSON.stringify({ rules: [{ layer: 'nothing*', keep: true }] }));
  await refused(
    ['quantize', model, '-o', at('x.h5'), '--recipe', recipe],
    'rule 1 of the recipe (layer nothing*) matches no weight',
  );
  writeFileSync(recipe, '{');
  await refused(['quantize', model, '-o', at('x.h5'), '--recipe', recipe], 'recipe.json: not JSON');
});

test('normalizations are folded into packed files where it costs nothing, elsewhere when asked', async () => {
  const norms = path.join(root, 'examples/mobilenet/mobilenet.h5');
  const run = async (output: string, ...more: string[]) => {
    const args = ['quantize', norms, '-o', at(output), '--scheme', 'int4', '--json', ...more];
    const { status, stdout, stderr } = await runCli(args);
    assert.is(status, 0, stderr);
    return JSON.parse(stdout);
  };
  const counts: number[] = [];
  for (const [output, ...more] of [
    ['fold.safetensors'],
    ['kept.safetensors', '--no-fold'],
    ['tensor.safetensors', '--granularity', 'tensor'],
    ['asked.safetensors', '--granularity', 'tensor', '--fold'],
    ['plain.h5'],
    ['asked.h5', '--fold'],
  ] as [string, ...string[]][])
    counts.push((await run(output, ...more)).folded.length);
  assert.equal(counts, [25, 0, 0, 25, 0, 25]);
  assert.ok(statSync(at('fold.safetensors')).size < 0.65 * statSync(at('kept.safetensors')).size);
  // Reports of both name what they did, and the digits have layers that scales pass between.
  const digits = ['quantize', path.join(root, 'examples/digits/digits.h5'), '-o', at('even.safetensors')];
  const { stdout } = await runCli([...digits, '--scheme', 'int4', '--granularity', 'tensor', '--equalize']);
  assert.match(stdout, /\d+ pairs of layers were equalized/);
});

test('custom layers: the last axis as a guess, which the report says and a recipe settles', async () => {
  const data = Float32Array.from({ length: 12 }, (_, i) => (i % 3) * 10 ** (i % 2) + i / 7);
  const weights = [{ name: 'mixing', shape: [4, 3], data }];
  const custom = at('custom.h5');
  writeFileSync(custom, await fakeKeras([{ name: 'mine', className: 'MyLayer', weights }]));
  const out = ['-o', at('custom.safetensors')];
  const people = await runCli(['quantize', custom, ...out, '--scheme', 'int4']);
  assert.match(people.stdout, /mine\/mixing +\[4,3\] +int4, channel, absmax \(axis: a guess\)/);
  assert.match((await runCli(['inspect', custom])).stdout, 'channels on axis 1 (a guess)');
  type Tensor = { guess?: boolean; coding: { axes: number[] }; maxError: number };
  const tensorOf = async (...more: string[]) => {
    const { stdout, stderr } = await runCli(['quantize', custom, ...out, '--json', ...more]);
    assert.is(stderr, '');
    return JSON.parse(stdout).tensors[0] as Tensor;
  };
  const guessed = await tensorOf('--scheme', 'int4');
  assert.equal([guessed.guess, guessed.coding.axes], [true, [1]]);
  const recipe = at('axes.json');
  writeFileSync(recipe, JSON.stringify({ rules: [{ class: 'MyLayer', scheme: 'int4', axes: [0] }] }));
  const told = await tensorOf('--recipe', recipe);
  assert.equal([told.guess, told.coding.axes], [undefined, [0]]);
  assert.is.not(told.maxError, guessed.maxError);
  writeFileSync(recipe, JSON.stringify({ rules: [{ class: 'MyLayer', scheme: 'int4', axes: [2] }] }));
  await refused(
    ['quantize', custom, ...out, '--recipe', recipe],
    /"axes" expected neighbouring axes of a shape of rank 2, got .*tensor mine\/mixing/,
  );
});

test('bad files: one line that names the file, status 1, nothing left behind', async () => {
  const write = (name: string, bytes: Uint8Array | string) => {
    writeFileSync(at(name), bytes);
    return at(name);
  };
  const quantize = (file: string, output = at('out.h5')) => [
    'quantize',
    file,
    '-o',
    output,
    '--scheme',
    'int4',
  ];
  const text = write('text.h5', 'no model');
  const cut = write('cut.h5', readFileSync(model).subarray(0, 30_000));
  const bare = write('bare.h5', await fakeKeras([], { config: null }));
  const layer = dense('d', 4, 3, (i) => (i === 5 ? Number.NaN : i));
  const nan = write('nan.h5', await fakeKeras([layer]));
  const half = {
    ...layer,
    weights: [{ ...layer.weights[0]!, data: Int32Array.from({ length: 12 }, (_, i) => i), dtype: '<i4' }],
  };
  const integers = write('integers.h5', await fakeKeras([half]));
  const missing = write(
    'missing.h5',
    await fakeKeras([{ ...layer, weights: layer.weights.map((w) => ({ ...w, missing: true })) }]),
  );
  const shapes = write('shapes.h5', await fakeKeras([{ ...layer, config: { units: 7 } }]));
  await refused(
    quantize(shapes),
    /shapes\.h5: expected length 7 along axis 1 .* got shape \[4,3\] \(tensor d\/kernel\)/,
  );
  await refused(quantize(at('nowhere.h5')), /nowhere\.h5: cannot be read: there is no such file/);
  await refused(quantize(folder), /it is a folder/);
  await refused(quantize(text), /text\.h5: expected a Keras file \(HDF5 or a \.keras archive\)/);
  await refused(quantize(cut), /cut\.h5: damaged HDF5 file: truncated file/);
  await refused(quantize(bare), /bare\.h5: no attribute model_config/);
  await refused(
    quantize(nan),
    /expected finite weights, got NaN at index 5 \(tensor d\/kernel of .*nan\.h5\)/,
  );
  await refused(
    quantize(integers),
    /integers\.h5: no floating-point kernel to quantize, got I32 \(tensor d\/kernel: integers\)/,
  );
  await refused(
    quantize(missing),
    /missing\.h5: layer d lists the weight d\/kernel:0, which is not in the file/,
  );
  await refused(['inspect', text], /its content is neither/);
  await refused(['evaluate', text, '--data', digits], /its content is neither/);
  await refused(
    ['evaluate', model, '--data', digits, '--quiet'],
    /expects inputs of shape \[8,8,2\], the data has \[28,28,1\]/,
  );
  await refused(['evaluate', model, '--data', at('nodata')], /no such file or folder/);
});

test('the output: not the input, and in a folder that can be written', async () => {
  const copy = at('copy.h5');
  copyFileSync(model, copy);
  const before = readFileSync(copy);
  await refused(['quantize', copy, '-o', copy, '--scheme', 'int4'], 'the output is the input');
  await refused(
    ['quantize', copy, '-o', path.join(folder, '.', 'copy.h5'), '--scheme', 'int4'],
    'the output is the input',
  );
  assert.equal(readFileSync(copy), before);
  await refused(
    ['quantize', copy, '-o', at('no/such/folder/x.h5'), '--scheme', 'int4'],
    /cannot be written: the folder .* does not exist/,
  );
  await refused(
    ['quantize', copy, '-o', at('no/such/folder/x.safetensors'), '--scheme', 'int4'],
    /does not exist/,
  );
  const locked = at('locked');
  mkdirSync(locked);
  chmodSync(locked, 0o500);
  // Nothing is read-only to root, so there a folder stands where the output should go.
  if (process.getuid?.() === 0) mkdirSync(path.join(locked, 'x.safetensors'));
  const { status, stderr } = await runCli([
    'quantize',
    copy,
    '-o',
    path.join(locked, 'x.safetensors'),
    '--scheme',
    'int4',
  ]);
  assert.is(status, 1);
  assert.match(stderr, /x\.safetensors: cannot be written: (permission denied|it is a folder)/);
  assert.equal(readdirSync(locked), process.getuid?.() === 0 ? ['x.safetensors'] : []);
});

test('an existing output is replaced as a whole', async () => {
  const out = at('replace.safetensors');
  writeFileSync(out, 'old');
  assert.is((await runCli(['quantize', model, '-o', out, '--scheme', 'int4'])).status, 0);
  assert.ok(readFileSync(out).length > 1000);
});

test('with --json an error is a JSON document too', async () => {
  const { status, stdout } = await runCli(['inspect', at('nowhere.h5'), '--json']);
  assert.is(status, 1);
  assert.is(JSON.parse(stdout).error.code, 'not-found');
});

test('demo prints the comparison from bundled files', async () => {
  const start = performance.now();
  const { status, stdout } = await runCli(['demo', '--json'], { cwd: folder });
  assert.is(status, 0);
  assert.ok(performance.now() - start < 120_000);
  const { rows, samples } = JSON.parse(stdout);
  assert.is(samples, 1000);
  assert.is(rows.length, 21);
  const row = (name: string) => rows.find((r: { name: string }) => r.name === name);
  assert.ok(row('float32').top1 > 0.95);
  assert.ok(row('int4, scale per channel').top1 > 0.95);
  assert.ok(row('kernels to +1 / -1').top1 < 0.9);
  assert.ok(row('binary, calibrated per channel').top1 > 0.95);
  const mixed = row('mixed, calibrated per channel');
  assert.ok(mixed.top1 > 0.95 && mixed.bitsPerWeight <= 1.5 && mixed.bitsPerWeight > 1.2);
  assert.match(mixed.notes[0], /\d (binary|int2|int4)/);
  const tuned = row('binary, calibrated and tuned');
  assert.ok(tuned.top1 > 0.95);
  assert.match(
    tuned.notes.at(-1),
    /held back, outputs diverge by [\d.e-]+ before and [\d.e-]+ after 20 steps$/,
  );
});

need(
  test,
  'tfjs-node',
  'node24',
)('evaluates with tfjs-node under Node.js 24', async ({ node24 }) => {
  const cli = path.join(root, 'dist/cli/main.js');
  const args = [cli, 'evaluate', path.join(digits, 'digits.h5'), '--data', digits, '--json'];
  const { status, stdout, stderr } = await run(node24, args, { timeout: 120_000 });
  assert.is(status, 0, stderr);
  const { backend, top1 } = JSON.parse(stdout);
  assert.equal([backend, top1], ['tensorflow', 0.989]);
});

need(test, 'shared')('one row of the published table', async ({ shared }) => {
  const out = at('cifar.safetensors');
  const from = path.join(shared, 'cifar10_model.h5');
  await runCli(['quantize', from, '-o', out, '--scheme', 'int4', '--quiet']);
  const data = path.join(shared, 'cifar-10-batches-bin');
  const { stdout } = await runCli(['evaluate', out, '--data', data, '--limit', '200', '--json']);
  const { top1, samples } = JSON.parse(stdout);
  assert.is(samples, 200);
  assert.ok(top1 > 0.65);
});

test.run();
