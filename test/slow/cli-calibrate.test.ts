// `calibrate` and `sensitivity` as commands: what they write, what they print, what they refuse.

import { copyFileSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { writeNpy } from '../../src/formats/npy.js';
import { root, runCli, tempDir } from '../support/needs.js';

const digits = path.join(root, 'examples/digits');
const model = path.join(digits, 'digits.h5');
const images = path.join(digits, 'calibration-images-idx3-ubyte.gz');
const folder = tempDir();
const at = (name: string) => path.join(folder, name);
const few = ['--data', images, '--limit', '128', '--json'];

async function done(args: string[]) {
  const { status, stdout, stderr } = await runCli(args);
  assert.is(status, 0, stderr);
  return JSON.parse(stdout);
}

test('calibrate writes a packed file and a Keras file; the same bytes again', async () => {
  const packed = await done(['calibrate', model, ...few, '--scheme', 'binary', '-o', at('a.safetensors')]);
  assert.is(packed.samples, 128);
  assert.match(packed.backend, /^(tensorflow|wasm)$/);
  assert.ok(packed.divergence.calibrated < packed.divergence.dataFree);
  await done(['calibrate', model, ...few, '--scheme', 'binary', '-o', at('b.safetensors')]);
  assert.equal(readFileSync(at('a.safetensors')), readFileSync(at('b.safetensors')));
  assert.is(packed.activationRanges, 0);
  const ranges = ['--scheme', 'binary', '--store-ranges', '-o', at('ranges.safetensors')];
  assert.ok((await done(['calibrate', model, ...few, ...ranges])).activationRanges > 0);
  const { results } = await done(['bench', at('ranges.safetensors'), '--runs', '3', '--json']);
  assert.ok(
    results.some(({ name }: { name: string }) => /stored/.test(name)),
    JSON.stringify(results),
  );
  const { top1 } = await done(['evaluate', at('a.safetensors'), '--data', digits, '--json']);
  assert.ok(top1 > 0.9);
});

test('a packed and a Keras file of the same layers predict the same', async () => {
  const scores = [];
  for (const file of [at('layers.safetensors'), at('layers.h5')]) {
    await done(['calibrate', model, ...few, '--scheme', 'binary', '--no-fold', '-o', file]);
    const onWasm = ['--backend', 'wasm', '--json'];
    const { top1, loss } = await done(['evaluate', file, '--data', digits, ...onWasm]);
    scores.push({ top1, loss });
    assert.ok(top1 > 0.9);
  }
  assert.equal(scores[0], scores[1]);
});

test('sensitivity: a table, a recipe for bits that calibrate takes', async () => {
  const { stdout, status } = await runCli(['sensitivity', model, '--data', images, '--limit', '128']);
  assert.is(status, 0);
  assert.match(stdout, /conv1 +144/);
  const output = at('recipe.json');
  const { rows, chosen } = await done(['sensitivity', model, ...few, '--bits', '1.6', '-o', output]);
  assert.is(rows.length, 21);
  assert.ok(chosen.bitsPerWeight <= 1.6);
  assert.equal(JSON.parse(readFileSync(output, 'utf8')), chosen.recipe);
  const args = ['calibrate', model, ...few, '--recipe', output, '-o', at('mixed.safetensors')];
  assert.ok((await done(args)).bitsPerWeight <= 1.6);
});

test('sensitivity: a file of so many bytes, a drop of so much', async () => {
  const recipe = at('bytes.json');
  await done(['sensitivity', model, ...few, '--target-bytes', '28000', '-o', recipe]);
  await done(['calibrate', model, ...few, '--recipe', recipe, '-o', at('bytes.safetensors')]);
  assert.ok(statSync(at('bytes.safetensors')).size <= 28_000);
  const data = ['--data', digits, '--split', 'test', '--limit', '256', '--check', '400', '--json'];
  const { chosen } = await done(['sensitivity', model, ...data, '--max-drop', '0.01']);
  assert.ok(chosen.drop <= 0.01);
  assert.ok(chosen.bitsPerWeight < 4.2);
});

test('calibrate --tune: what it tuned on is apart from what it is checked on', async () => {
  const args = ['calibrate', model, ...few, '--scheme', 'binary', '--tune', '3', '--augment', 'shift'];
  const { samples, tuning } = await done([...args, '-o', at('tuned.safetensors')]);
  assert.equal([samples, tuning.tuned, tuning.checked, tuning.steps], [128, 128, 16, 3]);
  assert.equal(tuning.augment, ['shift']);
  for (const [pattern, ...wrong] of [
    [/--augment needs --tune/, 'calibrate', model, ...few, '--augment', 'flip', '-o', at('never.h5')],
    [
      /--augment expected none or some of flip, shift, cutmix, got blur/,
      ...args,
      '--augment',
      'blur',
      '-o',
      'a.h5',
    ],
    [/--tune needs --calibrate/, 'compare', model, '--data', digits, '--tune'],
  ] as [RegExp, ...string[]][]) {
    const { status, stderr } = await runCli(wrong);
    assert.is(status, 2);
    assert.match(stderr, pattern);
  }
});

test('what cannot be done is said, and nothing is written', async () => {
  const before = readdirSync(folder);
  const out = ['-o', at('never.json')];
  for (const [status, pattern, args] of [
    [2, /exclude each other/, [...few, '--bits', '2', '--max-drop', '0.1', ...out]],
    [2, /--output needs --bits/, [...few, ...out]],
    [2, /--bits expected a number from 0 to 32, got many/, [...few, '--bits', 'many', ...out]],
    [2, /--max-drop expected a number from 0 to 1, got 3/, [...few, '--max-drop', '3', ...out]],
    [2, /--schemes expected some of binary, int2, int4, got int3/, [...few, '--schemes', 'int3,int4']],
    [1, /a budget of \d+ bytes .* expected at least \d+/, [...few, '--bits', '0.5', ...out]],
    [1, /packed file of 9000 bytes: expected at least \d+/, [...few, '--target-bytes', '9000', ...out]],
    [1, /expected labelled samples behind the 128 .* got no labels/, [...few, '--max-drop', '0.1', ...out]],
  ] as const) {
    const result = await runCli(['sensitivity', model, ...args]);
    assert.is(result.status, status, result.stderr);
    assert.match(result.stderr, pattern);
  }
  const copy = at('model.h5');
  copyFileSync(model, copy);
  const same = await runCli(['calibrate', copy, ...few, '--scheme', 'int4', '-o', copy]);
  assert.is(same.status, 1);
  assert.ok(existsSync(copy));
  assert.equal(readdirSync(folder).sort(), [...before, 'model.h5'].sort());
});

test('what is kept is shown with all numbers, on samples held back or named', async () => {
  const out = ['--scheme', 'binary', '-o', at('chosen.safetensors')];
  const { choice } = await done(['calibrate', model, ...few, ...out]);
  assert.equal([choice.by, choice.samples, choice.kept], ['divergence', 16, 'calibrated']);
  assert.equal(
    choice.candidates.map(({ name }: { name: string }) => name),
    ['rounded', 'calibrated'],
  );
  assert.is(choice.how, 'spread evenly');
  const named = ['--limit', '128', '--check', digits, '--metric', 'accuracy', '--tune', '2'];
  const { status, stdout } = await runCli(['calibrate', model, '--data', images, ...out, ...named]);
  assert.is(status, 0);
  assert.match(stdout, 'On 1,000 samples that nothing was fitted to');
  assert.match(stdout, /float .* 0\.9890/);
  assert.match(stdout, /(calibrated|tuned) .* kept, by accuracy/);
  assert.match(stdout, /rounded +\d/);
  // All that is there was asked for: an eighth of it is held back.
  const whole = ['--data', digits, '--split', 'test', '--limit', '1000', '--json'];
  const { samples, choice: own } = await done(['calibrate', model, ...whole, ...out]);
  assert.equal([samples, own.samples, own.how], [875, 125, 'of every class its share']);
  assert.ok(own.candidates.every(({ accuracy }: { accuracy: number }) => accuracy > 0.3));
});

test('a metric without answers, and samples to check on of another shape, are named before the work', async () => {
  const args = ['calibrate', model, ...few, '--scheme', 'int4', '-o', at('never.safetensors')];
  const blind = await runCli([...args, '--metric', 'accuracy']);
  assert.is(blind.status, 1);
  assert.match(blind.stderr + blind.stdout, /accuracy needs labels, and the data has none/);
  const numbers = await runCli([...args, '--check', digits, '--metric', 'r2']);
  assert.is(numbers.status, 1);
  assert.match(
    numbers.stderr + numbers.stdout,
    /r2 cannot be taken of outputs \[10\] and class numbers: accuracy can/,
  );
  // The images are bytes, which are divided by 255; these are floats already.
  const floats = writeNpy({ shape: [16, 28, 28, 1], data: new Float32Array(16 * 784).fill(0.5) });
  writeFileSync(at('floats.npy'), floats);
  const mixed = await runCli([...args, '--check', at('floats.npy')]);
  assert.is(mixed.status, 1);
  assert.match(
    mixed.stderr + mixed.stdout,
    /floats\.npy: its samples take inputs x 1 \(by default\), those of .*images.* inputs x 1\/255 .*give --scale/,
  );
  assert.not(existsSync(at('never.safetensors')));
});

test.run();
