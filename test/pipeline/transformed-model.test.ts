import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { fromNumbers, toFloat32 } from '../../src/formats/dtypes.js';
import { loadKernels } from '../../src/kernels/index.js';
import { DTYPE_BYTES, type Dtype, type ModelSource, type QuantizableModel } from '../../src/model.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { equalize } from '../../src/pipeline/transform/equalize.js';
import { foldBatchNorm } from '../../src/pipeline/transform/fold.js';
import { TransformedModel } from '../../src/pipeline/transform/transformed-model.js';
import { dense, input, norm, smallModel } from './support.js';

const model = smallModel([input([4]), dense('a', [4, 3], ['x']), dense('b', [3, 2], ['a'])], ['b']);

/** The same with bytes of a type, as a file has them; counts reads. */
function filed(source: ModelSource, dtype: Dtype): QuantizableModel & { reads: number } {
  const bytes = (id: string) => fromNumbers(source.read(id), dtype);
  const file = {
    ...source,
    weights: source.weights.map((weight) => ({ ...weight, dtype })),
    parameters: 23,
    reads: 0,
    read: (id: string) => toFloat32(bytes(id), dtype),
    readBytes(id: string, range?: readonly [number, number], out?: Uint8Array) {
      file.reads++;
      const size = DTYPE_BYTES[dtype];
      const part = range ? bytes(id).slice(range[0] * size, range[1] * size) : bytes(id);
      out?.set(part);
      return out ? out.subarray(0, part.length) : part;
    },
  };
  return file;
}

test('nothing changed: the weights of the base, read when asked for', () => {
  const base = filed(model, 'F32');
  const same = new TransformedModel(base, {});
  assert.is(base.reads, 0);
  assert.is(same.parameters, 23);
  assert.is(same.changed.size, 0);
  assert.equal(
    [same.file, same.kerasVersion, same.architecture],
    [model.file, model.kerasVersion, model.architecture],
  );
  for (const { id } of model.weights) assert.equal(same.read(id), model.read(id));
  assert.is(base.reads, 0);
  assert.equal(same.readBytes('a/kernel', [2, 5]), base.readBytes('a/kernel', [2, 5]));
});

test('pieces of a tensor are those of the whole, of any type, with and without memory given', () => {
  for (const dtype of ['F32', 'F16', 'BF16', 'F64'] as const) {
    for (const base of [
      filed(model, dtype),
      { ...filed(model, dtype), readBytes: undefined } as ModelSource,
    ]) {
      const { source } = equalize(base);
      assert.ok(source.changed.has('a/kernel') && source.changed.has('a/bias'));
      fc.assert(
        fc.property(
          fc.constantFrom('a/kernel', 'a/bias', 'b/kernel', 'b/bias'),
          fc.nat(12),
          fc.nat(12),
          fc.boolean(),
          (id, x, y, given) => {
            const whole = source.read(id);
            const [from, to] = [Math.min(x, y, whole.length), Math.min(Math.max(x, y), whole.length)];
            const out = new Uint8Array(200).fill(7);
            const bytes = source.readBytes(id, [from, to], given ? out : undefined);
            assert.is(bytes.length, (to - from) * DTYPE_BYTES[dtype]);
            assert.equal(toFloat32(bytes, dtype), whole.slice(from, to));
            if (given)
              assert.ok(bytes.buffer === out.buffer && out.subarray(bytes.length).every((v) => v === 7));
          },
        ),
        { seed: 3, numRuns: 100 },
      );
      assert.equal(source.readBytes('a/kernel'), source.readBytes('a/kernel', [0, 12]));
    }
  }
});

test('folding reads vectors alone; kernels when they are asked for', () => {
  const layers = [input([4]), dense('a', [4, 3], ['x']), norm('n', 3, ['a'])];
  const asked: string[] = [];
  const base = smallModel(layers, ['n']);
  const watched: ModelSource = {
    ...base,
    read: (id) => {
      asked.push(id);
      return base.read(id);
    },
  };
  const { source } = foldBatchNorm(watched);
  assert.ok(asked.length > 0 && !asked.includes('a/kernel'));
  source.read('a/kernel');
  assert.ok(asked.includes('a/kernel'));
});

test('float16 kernels become float32 where layers are folded, since their new values are no float16', () => {
  const layers = [input([4]), dense('a', [4, 3], ['x']), norm('n', 3, ['a'])];
  const base = filed(smallModel(layers, ['n']), 'F16');
  const { source } = foldBatchNorm(base);
  assert.equal(
    source.weights.map(({ id, dtype }) => [id, dtype]),
    [
      ['a/kernel', 'F32'],
      ['a/bias', 'F32'],
    ],
  );
  const s =
    (base.read('n/gamma')[1] as number) / Math.sqrt((base.read('n/moving_variance')[1] as number) + 0.01);
  assert.is(source.read('a/kernel')[1], Math.fround((base.read('a/kernel')[1] as number) * s));
});

test('a weight that is not there', () => {
  const { source } = foldBatchNorm(
    smallModel([input([4]), dense('a', [4, 3], ['x']), norm('n', 3, ['a'])], ['n']),
  );
  for (const read of [() => source.read('n/gamma'), () => source.readBytes('zzz')]) {
    assert.throws(
      read,
      (error: unknown) => error instanceof BitnibbleError && error.code === 'missing-weight',
    );
  }
});

test('large kernels are quantized in slices of their changed values', async () => {
  const kernels = await loadKernels();
  // More than a slice of 2^20 weights.
  const large = smallModel([input([1500]), dense('a', [1500, 800], ['x']), norm('n', 800, ['a'])], ['n']);
  const { source } = foldBatchNorm(large);
  const recipe = { default: { scheme: 'int4', granularity: 'channel' } } as const;
  const { model: packed } = quantizeModel(source, recipe, { kernels });
  const weight = packed.weight('a/kernel');
  assert.is(weight.kind, 'quantized');
  const values = source.read('a/kernel');
  const got = packed.read('a/kernel');
  for (let c = 0; c < 800; c++) {
    let amax = 0;
    for (let k = c; k < values.length; k += 800) amax = Math.max(amax, Math.abs(values[k] as number));
    const scale = Math.fround(amax / 7);
    for (let k = c; k < values.length; k += 800)
      assert.ok(Math.abs((got[k] as number) - (values[k] as number)) <= 0.5001 * scale);
  }
});

test.run();
