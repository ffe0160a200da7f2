import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { openKeras } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { matcher } from '../../src/pipeline/pattern.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { decide, parseRecipe, type Recipe } from '../../src/pipeline/recipe.js';
import { dense, fakeKeras } from '../support/h5.js';
import { root } from '../support/needs.js';

const kernels = await loadKernels();
const model = await openKeras(
  readFileSync(path.join(root, 'test/fixtures/keras/keras3_sequential.h5')),
  'm.h5',
);
const nested = await openKeras(readFileSync(path.join(root, 'test/fixtures/keras/keras3_nested.h5')), 'n.h5');

function outcome(recipe: Recipe, of = model): Record<string, string> {
  const { report } = quantizeModel(of, recipe, { kernels });
  return Object.fromEntries(
    report.tensors.map((row) => [row.id, row.result === 'kept' ? `kept: ${row.reason}` : row.result]),
  );
}

function fault(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.instance(error, BitnibbleError);
    assert.is((error as BitnibbleError).code, 'recipe');
    return (error as Error).message;
  }
  throw new Error('expected an error');
}

test('by default every kernel is quantized and the rest kept, each with its reason', () => {
  assert.equal(outcome({ default: { scheme: 'int4' } }), {
    'conv/kernel': 'int4',
    'conv/bias': 'kept: vector',
    'norm/gamma': 'kept: vector',
    'norm/beta': 'kept: vector',
    'norm/moving_mean': 'kept: vector',
    'norm/moving_variance': 'kept: vector',
    'depthwise/kernel': 'int4',
    'up/kernel': 'int4',
    'up/bias': 'kept: vector',
    'dense/kernel': 'int4',
    'dense/bias': 'kept: vector',
  });
});

test('the first rule that matches decides; layers, classes and weights by glob or regular expression', () => {
  const rules: Recipe = {
    rules: [
      { layer: 'conv', keep: true },
      { class: 'Dense', scheme: 'int4', granularity: 'group', groupSize: 32 },
      { class: /^(Depthwise)?Conv2D/, scheme: 'binary' },
      { weight: 'up/bias', scheme: 'binary', granularity: 'tensor' },
    ],
    default: { scheme: 'int4' },
  };
  const result = outcome(rules);
  assert.is(result['conv/kernel'], 'kept: recipe');
  assert.is(result['conv/bias'], 'kept: recipe');
  assert.is(result['dense/kernel'], 'int4');
  assert.is(result['depthwise/kernel'], 'binary');
  assert.is(result['up/kernel'], 'binary');
  assert.is(result['up/bias'], 'binary');
  assert.is(outcome({ rules: [{ layer: '/^DEN/i', scheme: 'binary' }] })['dense/kernel'], 'binary');
  assert.is(outcome({ rules: [{ layer: '/^DEN/i', scheme: 'binary' }] })['conv/kernel'], 'kept: no rule');
});

test('layers of sub-models match with and without their path', () => {
  assert.is(
    outcome({ rules: [{ layer: 'block/*', scheme: 'binary' }] }, nested)['block/conv/kernel'],
    'binary',
  );
  assert.is(outcome({ rules: [{ layer: 'conv', scheme: 'binary' }] }, nested)['block/conv/kernel'], 'binary');
});

test('channels lie where the class has them', () => {
  const { report } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
  const axes = Object.fromEntries(
    report.tensors.flatMap((row) => (row.coding ? [[row.id, row.coding.axes]] : [])),
  );
  assert.equal(axes, {
    'conv/kernel': [3],
    'depthwise/kernel': [2, 3],
    'up/kernel': [2],
    'dense/kernel': [1],
  });
});

test('a rule that decides about nothing is an error, by its number', () => {
  assert.is(
    fault(() =>
      outcome({
        rules: [
          { layer: 'conv', keep: true },
          { layer: 'conv2d_*', scheme: 'int4' },
        ],
      }),
    ),
    'rule 2 of the recipe (layer conv2d_*) matches no weight of m.h5',
  );
  assert.match(
    fault(() =>
      outcome({
        rules: [
          { layer: '*', keep: true },
          { layer: 'conv', scheme: 'int4' },
        ],
      }),
    ),
    'rule 2 of the recipe (layer conv) matches only weights that earlier rules take',
  );
  assert.match(
    fault(() => outcome({ rules: [{ layer: 'norm', scheme: 'int4' }] })),
    'matches no weight',
  );
});

test('malformed recipes are refused with the rule', () => {
  const parse = (value: unknown) => fault(() => parseRecipe(value, 'r.json'));
  assert.match(parse([]), 'r.json: expected an object');
  assert.match(parse({ rule: [] }), 'unknown field "rule"');
  assert.match(parse({ rules: {} }), '"rules" expected a list');
  assert.match(
    parse({ rules: [{ scheme: 'int4' }] }),
    'rule 1: expected one of layer, class, weight to match',
  );
  assert.match(parse({ rules: [{ layer: 'x' }] }), '"scheme" expected binary, int2 or int4');
  assert.match(parse({ rules: [{ layer: 'x', scheme: 'int4', scale: 'mean' }] }), 'rule 1: "scale" expected');
  assert.match(parse({ rules: [{ layer: 'x', keep: false }] }), 'expected "keep": true');
  assert.match(parse({ rules: [{ layer: 'x', schema: 'int4' }] }), 'unknown field "schema"');
  assert.match(parse({ rules: [{ layer: 5, keep: true }] }), '"layer" expected a glob');
  assert.match(parse({ rules: [{ layer: '/(/', keep: true }] }), 'rule 1: Invalid regular expression');
  assert.match(parse({ rules: [{ layer: 'x', scheme: 'int4', axes: [-1] }] }), '"axes" expected a list');
  assert.match(parse({ default: 'int4' }), '"default" expected an object');
});

test('globs match whole names, and nothing in them is an expression', () => {
  assert.ok(matcher('conv2d_?')('conv2d_1'));
  assert.not.ok(matcher('conv2d_?')('conv2d_10'));
  assert.ok(matcher('*')(''));
  assert.not.ok(matcher('a.c')('abc'));
  assert.ok(matcher('a(b)[c]+')('a(b)[c]+'));
  assert.not.ok(matcher('conv')('conv2d'));
});

test('integers are kept with the reason; a rule that asks for them is an error', async () => {
  const layer = dense('d', 4, 3, () => 1);
  const weights = [
    { ...layer.weights[0]!, data: Int32Array.from({ length: 12 }, (_, i) => i), dtype: '<i4' },
  ];
  const integers = await openKeras(await fakeKeras([{ ...layer, weights }]), 'i.h5');
  const both = await openKeras(await fakeKeras([{ ...layer, weights }, dense('e', 4, 3, () => 1)]), 'b.h5');
  const refused = (recipe: Recipe, of: typeof both) => {
    try {
      decide(recipe, of.weights, of.file);
    } catch (error) {
      assert.is((error as BitnibbleError).code, 'unsupported-dtype');
      return (error as Error).message;
    }
    throw new Error('expected an error');
  };
  assert.is(outcome({ default: { scheme: 'int4' } }, both)['d/kernel'], 'kept: integers');
  assert.is(outcome({ default: { scheme: 'int4' } }, both)['e/kernel'], 'int4');
  assert.match(
    refused({ rules: [{ weight: 'd/kernel', scheme: 'int4' }] }, both),
    'b.h5: expected floating-point weights to quantize, got I32 (tensor d/kernel)',
  );
  assert.is(
    outcome({ rules: [{ layer: 'd', keep: true }], default: { scheme: 'int4' } }, integers)['d/kernel'],
    'kept: recipe',
  );
  integers.close();
  both.close();
});

test('the report adds up', () => {
  const { report, model: quantized } = quantizeModel(model, { default: { scheme: 'binary' } }, { kernels });
  assert.is(report.parameters, 1337);
  assert.is(report.bytesBefore, 4 * 1337);
  assert.is(
    report.bytesAfter,
    report.tensors.reduce((sum, { bytesAfter }) => sum + bytesAfter, 0),
  );
  const kernel = report.tensors.find(({ id }) => id === 'dense/kernel');
  assert.is(kernel?.bytesAfter, (192 * 6) / 8 + 6 * 4);
  const before = model.read('dense/kernel');
  const after = quantized.read('dense/kernel');
  const noise = before.reduce((sum, w, i) => sum + (w - (after[i] as number)) ** 2, 0);
  const signal = before.reduce((sum, w) => sum + w * w, 0);
  assert.ok(Math.abs((kernel?.snrDb as number) - 10 * Math.log10(signal / noise)) < 1e-4);
  assert.ok(
    Math.abs(
      (kernel?.maxError as number) - Math.max(...before.map((w, i) => Math.abs(w - (after[i] as number)))),
    ) < 1e-6,
  );
});

test.run();
