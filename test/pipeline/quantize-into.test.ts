// A model quantized straight into its file gives the file that quantizing and then writing gives.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import type { QuantizableModel } from '../../src/model.js';
import { openKeras } from '../../src/node/models.js';
import { packedBytes } from '../../src/packed/index.js';
import { quantizeInto, quantizeModel } from '../../src/pipeline/quantize.js';
import type { Recipe } from '../../src/pipeline/recipe.js';
import { equalize } from '../../src/pipeline/transform/equalize.js';
import { foldBatchNorm } from '../../src/pipeline/transform/fold.js';
import { generator } from '../runtime/support.js';
import { throws } from '../support/throws.js';
import { fileOf, names } from '../tfjs/support.js';

const kernels = await loadKernels();

/** Both ways, and that every byte is written once. */
function assertSame(model: QuantizableModel, recipe: Recipe, what: string): void {
  const whole = quantizeModel(model, recipe, { kernels });
  const expected = packedBytes(whole.model);
  const got = new Uint8Array(expected.length);
  const times = new Uint8Array(expected.length);
  const report = quantizeInto(model, recipe, { kernels }, (bytes, at) => {
    got.set(bytes, at);
    for (let i = at; i < at + bytes.length; i++) times[i] = (times[i] as number) + 1;
  });
  assert.ok(
    times.every((n) => n === 1),
    `${what}: bytes that are not written once`,
  );
  assert.is(Buffer.compare(got, expected), 0, what);
  assert.equal(report, whole.report, what);
}

const RECIPES: readonly Recipe[] = [
  { default: { scheme: 'int4' } },
  { default: { scheme: 'int2', granularity: 'group', groupSize: 32 } },
  { default: { scheme: 'binary', granularity: 'channel', scaleDtype: 'F16' } },
  { default: { scheme: 'int4', scale: 'lsq' } },
];

for (const [i, name] of names.entries()) {
  const [first, second, third] = [0, 1, 2].map((step) => RECIPES[(i + step) % RECIPES.length] as Recipe);
  test(`${name}: the same file`, async () => {
    const model = await openKeras(fileOf(name));
    assertSame(model, first as Recipe, 'as it is');
    const { source } = foldBatchNorm(model);
    assertSame(source, second as Recipe, 'folded');
    assertSame(equalize(source).source, third as Recipe, 'equalized');
    model.close();
  });
}

test('a tensor that is taken in slices, and one that is kept in slices', () => {
  const [rows, columns] = [2049, 2048];
  const values = generator(3).floats(rows * columns);
  const bytes = new Uint8Array(values.buffer);
  const weights = ['kernel', 'other'].map((name) => ({
    ...{ id: `dense/${name}`, layer: 'dense', className: 'Dense', name },
    ...{ shape: [rows, columns], dtype: 'F32' as const },
  }));
  const model: QuantizableModel = {
    ...{ file: 'large.h5', architecture: undefined, kerasVersion: '3', backend: 'tensorflow', weights },
    parameters: 2 * values.length,
    read: () => values,
    readBytes: (_, [from, to] = [0, values.length], out) => {
      const part = bytes.subarray(4 * from, 4 * to);
      out?.set(part);
      return out?.subarray(0, part.length) ?? part.slice();
    },
  };
  for (const use of [
    { scheme: 'int4', granularity: 'channel' },
    { scheme: 'int4', granularity: 'group', groupSize: 64, scale: 'lsq' },
    { scheme: 'int2', granularity: 'tensor', scale: 'absmax' },
    { scheme: 'binary', granularity: 'channel' },
  ] as const)
    assertSame(model, { rules: [{ weight: 'other', keep: true }], default: use }, JSON.stringify(use));
});

test('what cannot be is refused before a byte is written', async () => {
  const model = await openKeras(fileOf(names[0] as string));
  let written = 0;
  const recipe = { default: { scheme: 'int4', granularity: 'group', groupSize: 0 } } as const;
  throws(() => quantizeInto(model, recipe, { kernels }, () => written++), Error, 'groupSize');
  assert.is(written, 0);
  model.close();
});

test.run();
