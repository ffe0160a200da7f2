// Promises of docs/COMMANDS.md about a layer that the table of axes does not know: its last axis as a guess, or the axes of a rule.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openKeras } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import type { Recipe } from '../../src/pipeline/recipe.js';
import { dense, fakeKeras } from '../support/h5.js';

const kernels = await loadKernels();

async function rowsOf(recipe: Recipe) {
  const own = { ...dense('mine', 3, 4, (i) => i + 1), className: 'MyLayer' };
  const model = await openKeras(await fakeKeras([own, dense('known', 3, 4, (i) => i + 1)]), 'm.h5');
  const { model: packed, report } = quantizeModel(model, recipe, { kernels });
  model.close();
  const guessOf = (id: string) => report.tensors.find((row) => row.id === id)?.guess;
  const scalesOf = (id: string) => {
    const weight = packed.weight(id);
    assert.ok(weight.kind === 'quantized');
    return [...weight.tensor.scales];
  };
  return { guessOf, scalesOf };
}

test('"a kernel of a custom layer gets its last axis", and the report says that it is a guess', async () => {
  const { guessOf, scalesOf } = await rowsOf({ default: { scheme: 'binary' } });
  // columns of 1 to 12 in three rows of four
  assert.equal(scalesOf('mine/kernel'), [5, 6, 7, 8]);
  assert.is(guessOf('mine/kernel'), true);
  assert.is(guessOf('known/kernel'), undefined);
});

test('"a rule can set it, counted from 0": rows, and no guess any more', async () => {
  const rules = [{ class: 'MyLayer', scheme: 'binary', axes: [0] }] as const;
  const { guessOf, scalesOf } = await rowsOf({ rules, default: { scheme: 'binary' } });
  assert.equal(scalesOf('mine/kernel'), [2.5, 6.5, 10.5]);
  assert.is(guessOf('mine/kernel'), undefined);
  assert.equal(scalesOf('known/kernel'), [5, 6, 7, 8]);
});

test.run();
