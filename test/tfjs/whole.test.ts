// What TensorFlow.js is given otherwise than the network has it: whole numbers, and outputs that are listed twice.
import type { Tensor } from '@tensorflow/tfjs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject, ModelSource } from '../../src/model.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { toTopology } from '../../src/tfjs/index.js';
import { loadLayersModel } from '../../src/tfjs/load.js';
import { ends, info, input, layer, net, on, tensor } from '../network/support.js';

const { tf } = await loadTensorFlow({ prefer: 'wasm' });

const sourceOf = (architecture: JsonObject, values: Record<string, readonly [number[], number[]]> = {}) => ({
  ...info(architecture),
  weights: Object.entries(values).map(([id, [shape]]) => {
    const [own = '', name = ''] = id.split('/');
    return { ...{ id, layer: own, className: 'BatchNormalization', name, shape, dtype: 'F32' as const } };
  }),
  read: (id: string) => Float32Array.from(values[id]?.[1] as number[]),
});

/** Outputs for one sample of each input. */
async function predict(source: ModelSource, type: 'int32' | 'float32', ...arrays: number[][]) {
  const model = await loadLayersModel(tf, source);
  const given = arrays.map((array) => tf.tensor([array], [1, array.length], type));
  const made = [model.predict(given.length === 1 ? (given[0] as Tensor) : given)].flat() as Tensor[];
  const values = made.map((one) => [...one.dataSync()]);
  tf.dispose([...given, ...made]);
  model.dispose();
  return values;
}

async function refuses(work: Promise<unknown>, message: RegExp): Promise<void> {
  try {
    await work;
  } catch (error) {
    assert.match((error as Error).message, message);
    return;
  }
  assert.unreachable(`expected ${message}`);
}

const x = input('x', [null, 2]);
const scaled = (name: string, before: string, scale: number) =>
  layer('Rescaling', name, { scale, offset: 0 }, [on(tensor(before))]);

test('an output that is listed twice, an input among the outputs', async () => {
  const once = scaled('d', 'x', 2);
  const next = scaled('e', 'd', 3);
  const outputs = (...names: string[]) =>
    predict(sourceOf(net([x, once, next], ends('x'), ends(...names))), 'float32', [1, 5]);
  assert.equal(await outputs('d', 'd'), [
    [2, 10],
    [2, 10],
  ]);
  assert.equal(await outputs('d', 'e', 'd', 'e'), [
    [2, 10],
    [6, 30],
    [2, 10],
    [6, 30],
  ]);
  assert.equal(await outputs('x', 'd', 'x'), [
    [1, 5],
    [2, 10],
    [1, 5],
  ]);
  assert.equal(await outputs('x', 'x'), [
    [1, 5],
    [1, 5],
  ]);
  const { modelTopology, registered } = toTopology(info(net([x, once], ends('x'), ends('d', 'd'))));
  assert.equal(registered, []);
  const { output_layers: listed } = modelTopology.config as JsonObject;
  assert.equal(listed, [
    ['d', 0, 0],
    ['copy1', 0, 0],
  ]);
});

test('layers that TensorFlow.js would let compute in whole numbers get floats', async () => {
  const whole = input('x', [null, 2], { dtype: 'int32' });
  const behind = (own: JsonObject) => net([whole, own], ends('x'), ends('m'));
  const norm = layer('BatchNormalization', 'm', { epsilon: 0, axis: -1 }, [on(tensor('x'))]);
  const values = Object.fromEntries(
    Object.entries({ gamma: 0.5, beta: 0.25, moving_mean: 1, moving_variance: 4 }).map(([name, value]) => [
      `m/${name}`,
      [[2], [value, value]] as const,
    ]),
  ) as Record<string, [number[], number[]]>;
  // (x - 1) / 2 * 0.5 + 0.25
  assert.equal(await predict(sourceOf(behind(norm), values), 'int32', [3, -4]), [[0.75, -1]]);
  const relu = layer('ReLU', 'm', { max_value: 6 }, [on(tensor('x'))]);
  assert.equal(await predict(sourceOf(behind(relu)), 'int32', [70000, -4]), [[6, 0]]);
  const tanh = layer('Activation', 'm', { activation: 'tanh' }, [on(tensor('x'))]);
  assert.equal(await predict(sourceOf(behind(tanh)), 'int32', [30, 0]), [[1, 0]]);
  assert.equal(toTopology(info(behind(relu))).registered, []);
  const pool = layer('MaxPooling1D', 'm', { pool_size: 2 }, [on(tensor('x'))]);
  const long = net([input('x', [null, 4, 1], { dtype: 'uint8' }), pool], ends('x'), ends('m'));
  await refuses(
    loadLayersModel(tf, sourceOf(long)),
    /TensorFlow.js cannot run the layer m \(MaxPooling1D\): whole numbers/,
  );
});

test('whole numbers stay below 2^24 in all that computes or compares them', async () => {
  const large = /"m" expected whole numbers below 16777216 in magnitude, got/;
  const names = ['x', 'y'];
  const run = (own: JsonObject, type: 'int32' | 'float32', ...arrays: number[][]) => {
    const inputs = names.slice(0, arrays.length);
    const layers = inputs.map((name) => input(name, [null, 2], { dtype: type }));
    return predict(sourceOf(net([...layers, own], ends(...inputs), ends('m'))), type, ...arrays);
  };
  const both: Json = on(tensor('x'), tensor('y'));
  const list: Json = on([tensor('x'), tensor('y')]);
  const one = (...more: Json[]): Json => on(tensor('x'), ...more);
  const most = 2 ** 24 - 1;
  for (const [own, second, want] of [
    [layer('ops.Add', 'm', {}, [both]), [1, 1], [most, 1 - most]],
    [layer('Add', 'm', {}, [list]), [1, 1], [most, 1 - most]],
    [layer('Subtract', 'm', {}, [list]), [-1, -1], [most, 1 - most]],
    [layer('ops.Multiply', 'm', {}, [both]), [1, -1], [most - 1, most]],
  ] as const) {
    assert.equal(await run(own, 'int32', [most - 1, -most], [...second]), [want]);
    await refuses(run(own, 'int32', [most + 1, 0], [0, 0]), large);
  }
  // A product that comes back to a small number in 32 bits.
  await refuses(run(layer('Multiply', 'm', {}, [list]), 'int32', [65536, 1], [65536, 1]), large);
  await refuses(run(layer('ops.Square', 'm', {}, [one()]), 'int32', [4096, 1]), large);
  await refuses(run(layer('ops.Greater', 'm', {}, [one(3)]), 'int32', [most + 1, 1]), large);
  const sum = layer('ops.Sum', 'm', {}, [{ args: [tensor('x')], kwargs: { axis: 1 } }]);
  assert.equal(await run(sum, 'int32', [most - 1, 1]), [[most]]);
  await refuses(run(sum, 'int32', [most, -1]), large);
  const cast = {
    ...layer('Cast', 'm', {}, [{ args: [tensor('x')], kwargs: { dtype: 'int32' } }]),
    config: { name: 'm' },
  };
  assert.equal(await run(cast, 'float32', [2.9, -2.9]), [[2, -2]]);
  await refuses(run(cast, 'float32', [Number.NaN, 1]), large);
  assert.equal(await run(layer('ops.Add', 'm', {}, [both]), 'float32', [2 ** 24, 0], [2 ** 24, 0]), [
    [2 ** 25, 0],
  ]);
  const three = layer('Add', 'm', {}, [on([tensor('x'), tensor('x'), tensor('x')])]);
  await refuses(run(three, 'int32', [1, 2]), /m \(Add\): more than two inputs of whole numbers/);
});

test.run();
