// Files with Keras's own int4, written from packed models: read back by our own reader. slow/keras-int4 has Keras read them.
import path from 'node:path';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { BitnibbleError } from '../../src/errors.js';
import { kerasInt4File, openKeras } from '../../src/keras/index.js';
import { blockIndex, int4Arrays } from '../../src/keras/quantized/int4.js';
import { loadKernels } from '../../src/kernels/index.js';
import type { ModelSource } from '../../src/model.js';
import { openKeras as openFile } from '../../src/node/models.js';
import type { QuantizedModel } from '../../src/packed/quantized-model.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { dequantizeTensor } from '../../src/schemes/decode.js';
import { quantizeTensor } from '../../src/schemes/quantize.js';
import type { QuantizeOptions } from '../../src/schemes/types.js';
import { root } from '../support/needs.js';
import { fileOf, names } from '../tfjs/support.js';

const kernels = await loadKernels();
const quantized = (name: string) => path.join(root, 'test/fixtures/quantized', name);

/** A scale that divides is an inverse: two roundings of float32. */
const ROUNDED = 2 ** -22;

function whole(pieces: Iterable<Uint8Array>): Uint8Array {
  return new Uint8Array(Buffer.concat([...pieces]));
}

async function withCodes<T>(
  file: string,
  options: QuantizeOptions,
  use: (model: QuantizedModel) => T | Promise<T>,
): Promise<T> {
  const keras = await openFile(file);
  try {
    return await use(quantizeModel(keras, { default: options }, { kernels }).model);
  } finally {
    keras.close();
  }
}

/** Opens what was written, and holds it to the model; the ids that are int4. */
async function roundTrip(model: QuantizedModel): Promise<ReadonlyMap<string, string>> {
  const file = kerasInt4File(model);
  const bytes = whole(file.pieces());
  assert.is(bytes.length, file.bytes);
  const back = await openKeras(bytes, 'back.keras');
  const int4 = new Map(file.int4.map(({ id, blockSize }) => [id, blockSize]));
  assert.equal(back.weights.map(({ id }) => id).sort(), model.weights.map(({ id }) => id).sort());
  for (const { id, shape, stored } of back.weights) {
    const [ours, theirs] = [model.read(id), back.read(id)];
    assert.equal(shape, [...model.weight(id).shape], id);
    const isInverse = int4.has(id) && int4.get(id) === undefined;
    const differs = ours.findIndex((value, i) => {
      const error = Math.abs(value - (theirs[i] as number));
      return !(error <= (isInverse ? Math.abs(value) * ROUNDED : 0));
    });
    assert.is(differs, -1, `${id}: ${ours[differs]} and ${theirs[differs]}`);
    assert.is(/^int4/.test(stored?.as ?? ''), int4.has(id), `${id}: ${stored?.as}`);
  }
  const as = new Map(back.weights.map(({ id, stored }) => [id, stored?.as ?? '']));
  // Whoever reads it sees ordinary layers.
  assert.is(/int4/i.test(JSON.stringify(back.architecture)), false, model.file);
  back.close();
  return new Map([...int4.keys()].map((id) => [id, as.get(id) as string]));
}

test('every class that Keras quantizes, per channel, per tensor and in groups', async () => {
  for (const options of [
    { scheme: 'int4' },
    { scheme: 'int4', granularity: 'tensor' },
    { scheme: 'int4', granularity: 'group', groupSize: 3 },
    { scheme: 'int4', granularity: 'group', groupSize: 64 },
  ] as const) {
    const found = await withCodes(quantized('int4.keras'), options, roundTrip);
    const parts = ['query', 'key', 'value', 'attention_output'].map((part) => `attention/${part}/kernel`);
    const others = ['embedding/embeddings', 'split/kernel', 'merge/kernel', 'hidden/kernel', 'out/kernel'];
    assert.equal([...found.keys()].sort(), [...parts, ...others].sort());
    const isGrouped = 'groupSize' in options && options.groupSize === 3;
    assert.is(found.get('hidden/kernel'), isGrouped ? 'int4/3' : 'int4');
  }
});

test('models of Keras 3 come back with the same weights, and those that cannot be are named', async () => {
  let written = 0;
  const refused: string[] = [];
  for (const name of names) {
    await withCodes(fileOf(name), { scheme: 'int4' }, async (model) => {
      try {
        await roundTrip(model);
        written++;
      } catch (error) {
        const { code, message } = error as BitnibbleError;
        assert.ok(code === 'unsupported-version' || code === 'unsupported-layer', `${name}: ${message}`);
        assert.match(message, `${name}.h5: `);
        refused.push(message);
      }
    });
  }
  assert.ok(written >= 0.3 * names.length, `${written} of ${names.length} were written`);
  const reasons = [
    /is Keras [12].*'s, expected Keras 3's/,
    /a \.h5 file does not say which module \w+ /,
    /no weight of Dense/,
  ];
  for (const reason of reasons)
    assert.ok(
      refused.some((message) => reason.test(message)),
      String(reason),
    );
  for (const message of refused)
    assert.ok(
      reasons.some((reason) => reason.test(message)),
      message,
    );
});

test('a dense layer inside TimeDistributed is decoded, since Keras leaves its scales out', async () => {
  const file = path.join(root, 'test/fixtures/tfjs/wrappers.h5');
  await withCodes(file, { scheme: 'int4' }, (model) => {
    let reasons: readonly { id: string; reason: string; wasCoded: boolean }[] = [];
    try {
      reasons = kerasInt4File(model).decoded;
    } catch (error) {
      assert.match((error as BitnibbleError).message, 'inside of TimeDistributed');
      return;
    }
    assert.ok(
      reasons.some(({ reason, wasCoded }) => wasCoded && reason.startsWith('inside of TimeDistributed')),
    );
  });
});

test('what is no int4 of a dense layer is decoded, with the reason', async () => {
  const reasons = (model: QuantizedModel) =>
    kerasInt4File(model)
      .decoded.filter(({ wasCoded }) => wasCoded)
      .map(({ id, reason }) => `${id}: ${reason}`);
  await withCodes(fileOf('cifar10'), { scheme: 'int4' }, (model) => {
    const own = reasons(model);
    const conv =
      'conv2d/kernel: Keras has int4 for Dense, EinsumDense and Embedding, not for kernel of Conv2D';
    assert.ok(own.includes(conv), own.join('\n'));
  });
  const keras = await openFile(quantized('int4.keras'));
  const rules = [{ weight: 'hidden/kernel', scheme: 'binary' }] as const;
  const { model } = quantizeModel(keras, { default: { scheme: 'int4' }, rules }, { kernels });
  assert.equal(reasons(model), ['hidden/kernel: it is binary, and Keras has 4 bits alone']);
  keras.close();
});

test('refused before anything is read', async () => {
  const message = (model: ModelSource) => {
    const closed: ModelSource = {
      ...{ file: model.file, architecture: model.architecture, kerasVersion: model.kerasVersion },
      ...{ backend: model.backend, weights: model.weights },
      read: () => {
        throw new Error('a weight was read');
      },
    };
    try {
      kerasInt4File(closed);
    } catch (error) {
      return `${(error as BitnibbleError).code}: ${(error as BitnibbleError).message}`;
    }
    return '';
  };
  const of = async (file: string) => {
    const model = await openFile(file);
    const text = message(model);
    model.close();
    return text;
  };
  assert.match(
    await of(path.join(root, 'test/fixtures/keras/keras2_sequential.h5')),
    /^unsupported-version: .*keras2_sequential\.h5: its architecture is Keras 2\.\S+'s, expected Keras 3's/,
  );
  assert.match(
    await of(quantized('int4.keras')),
    /^unsupported-layer: .*int4\.keras: no weight .* can be stored as int4 .*no weight is codes/,
  );
  assert.match(
    await of(path.join(root, 'test/fixtures/containers/subclassed.weights.h5')),
    /^no-model-config: .*subclassed\.weights\.h5/,
  );
});

/** Keras's own formulas over its arrays. */
function kerasValues(arrays: Exclude<ReturnType<typeof int4Arrays>, string>, isKernel: boolean): number[] {
  const { rows, columns, blockSize, scale } = arrays;
  const codes = arrays.codes();
  const width = Math.ceil(columns / 2);
  const index = blockIndex(isKernel ? rows : columns, blockSize ?? 1);
  const groups = isKernel ? columns : (scale.shape[1] as number);
  return Array.from({ length: rows * columns }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const nibble = ((codes[row * width + (column >> 1)] as number) >> (4 * (column & 1))) & 15;
    const code = nibble > 7 ? nibble - 16 : nibble;
    if (blockSize === undefined) return Math.fround(code / (scale.values[isKernel ? column : row] as number));
    const group = index[isKernel ? row : column] as number;
    const at = isKernel ? group * groups + column : row * groups + group;
    return Math.fround(code * (scale.values[at] as number));
  });
}

test("Keras's formulas over its arrays give the tensor's values", () => {
  fc.assert(
    fc.property(
      fc.record({
        rows: fc.integer({ min: 1, max: 9 }),
        columns: fc.integer({ min: 1, max: 9 }),
        groupSize: fc.option(fc.integer({ min: 1, max: 10 }), { nil: undefined }),
        isKernel: fc.boolean(),
        zeros: fc.boolean(),
        seed: fc.integer(),
      }),
      ({ rows, columns, groupSize, isKernel, zeros, seed }) => {
        let state = seed >>> 0;
        const weights = Float32Array.from({ length: rows * columns }, (_, i) => {
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
          return zeros && i % columns === 0 ? 0 : state / 2 ** 31 - 1;
        });
        const tensor = quantizeTensor(kernels, weights, [rows, columns], {
          ...{ scheme: 'int4', axes: [isKernel ? 1 : 0] },
          ...(groupSize === undefined ? {} : { granularity: 'group', groupSize }),
        });
        const arrays = int4Arrays(tensor, rows, isKernel ? 'kernel' : 'embeddings');
        if (typeof arrays === 'string') throw new Error(arrays);
        const wanted = dequantizeTensor(kernels, tensor);
        kerasValues(arrays, isKernel).forEach((value, i) => {
          const right = wanted[i] as number;
          const error = arrays.blockSize === undefined ? Math.abs(right) * ROUNDED : 0;
          assert.ok(Math.abs(value - right) <= error, `${i}: ${value}, expected ${right}`);
        });
      },
    ),
  );
});

test('scales along other axes are not what Keras has', () => {
  const weights = Float32Array.from({ length: 12 }, (_, i) => i - 6);
  const tensor = quantizeTensor(kernels, weights, [4, 3], { scheme: 'int4', axes: [0] });
  assert.match(String(int4Arrays(tensor, 4, 'kernel')), 'its scales lie along other axes');
});

test.run();
