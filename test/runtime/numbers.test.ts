// Numbers that float32 or a comparison may lose: whole numbers of 2^24 and more, and NaN. Right values are Keras 3.15.1's.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject, ModelSource } from '../../src/model.js';
import { loadNetwork } from '../../src/runtime/index.js';
import type { NetworkArray } from '../../src/runtime/network.js';
import { ends, info, input, layer, net, on, tensor } from '../network/support.js';

const two: Json = on(tensor('x'), tensor('y'));
const list: Json = on([tensor('x'), tensor('y')]);

/** What a layer makes of one sample of each input. */
async function run(
  made: JsonObject,
  dtype: string,
  arrays: readonly (readonly number[] | NetworkArray)[],
  backend: 'simd' | 'reference' = 'simd',
): Promise<number[]> {
  const names = ['x', 'y', 'z'].slice(0, arrays.length);
  const n = (arrays[0] as ArrayLike<number>).length;
  const layers = [...names.map((name) => input(name, [null, n], { dtype })), made];
  const source: ModelSource = {
    ...info(net(layers, ends(...names), ends(String((made.config as JsonObject).name)))),
    ...{ weights: [], read: () => new Float32Array(0) },
  };
  const network = await loadNetwork(source, { backend });
  const given = names.map((name, i): [string, NetworkArray] => {
    const array = arrays[i] as readonly number[] | NetworkArray;
    return [name, Array.isArray(array) ? Float32Array.from(array) : (array as NetworkArray)];
  });
  const out = network.run(Object.fromEntries(given));
  network.dispose();
  return [...(out as Float32Array)];
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

const large = /^"m" expected whole numbers below (\d+) in magnitude, got (.*)$/;
const most = 2 ** 24 - 1;

test('whole numbers below 2^24 are exact, others end the run by the name of the layer', async () => {
  const op = (name: string, ...args: Json[]) => layer(`ops.${name}`, 'm', {}, [on(...args)]);
  const sum = layer('ops.Add', 'm', {}, [two]);
  assert.equal(
    await run(sum, 'int32', [
      [most - 1, -most],
      [1, 1],
    ]),
    [most, 1 - most],
  );
  await refuses(run(sum, 'int32', [[most], [1]]), large);
  await refuses(run(sum, 'int64', [[-most], [-1]]), large);
  // The nearest float32 of 2^24 + 1 is 2^24.
  await refuses(run(sum, 'int32', [Int32Array.of(2 ** 24 + 1), Int32Array.of(-5)]), large);
  assert.equal(await run(sum, 'float32', [[2 ** 24], [2 ** 24]]), [2 ** 25]);
  const product = layer('Multiply', 'm', {}, [list]);
  assert.equal(await run(product, 'int32', [[4095], [4096]]), [4095 * 4096]);
  await refuses(run(product, 'int32', [[4096], [4096]]), large);
  await refuses(run(op('Square', tensor('x')), 'int32', [[70000]]), /got 4899999744$/);
  await refuses(run(op('Greater', tensor('x'), 3), 'int32', [Int32Array.of(2 ** 24 + 1)]), large);
  await refuses(
    run(op('Add', tensor('x'), 2 ** 24 + 1), 'int32', [[-5]]),
    /m \(.*Add\): the whole number 16777217/,
  );
});

test('sums on the way: three terms, means, sums along an axis', async () => {
  const three = layer('Add', 'm', {}, [on([tensor('x'), tensor('y'), tensor('z')])]);
  assert.equal(await run(three, 'int32', [[5e6], [-5e6], [1]]), [1]);
  await refuses(run(three, 'int32', [[most], [1], [-most]]), /below 5592405 in magnitude, got 16777215/);
  const mean = layer('Average', 'm', {}, [list]);
  assert.equal(await run(mean, 'int32', [[8388607], [8388606]]), [8388606.5]);
  await refuses(run(mean, 'int32', [[8388608], [1]]), /below 8388608/);
  const along = layer('ops.Sum', 'm', {}, [{ args: [tensor('x')], kwargs: { axis: 1 } }]);
  assert.equal(await run(along, 'int32', [[most - 4, 1, -3]]), [most - 6]);
  await refuses(run(along, 'int32', [[most, 3, -3]]), large);
  assert.equal(await run(along, 'uint16', [[65535, 65535, 1]]), [131071]);
});

test('casts to whole numbers: what is NaN, infinite or too large is refused', async () => {
  const cast = layer('Cast', 'm', {}, [{ args: [tensor('x')], kwargs: { dtype: 'int32' } }]);
  const own = { ...cast, config: { name: 'm' } };
  assert.equal(await run(own, 'float32', [[2.9, -2.9, most]]), [2, -2, most]);
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -(2 ** 24)])
    await refuses(run(own, 'float32', [[1, value]]), large);
  const bytes = { ...own, inbound_nodes: [{ args: [tensor('x')], kwargs: { dtype: 'float32' } }] };
  assert.equal(await run(bytes, 'uint8', [Uint8Array.of(0, 255)]), [0, 255]);
});

test('NaN stays where Keras has it: larger and smaller of two, of rows, of images; no place is that of NaN', async () => {
  const n = Number.NaN;
  const rows = [
    [1, n, 3, -2],
    [n, 2, n, 7],
  ] as const;
  for (const backend of ['simd', 'reference'] as const) {
    for (const [name, kind] of [
      ['Maximum', Math.max],
      ['Minimum', Math.min],
    ] as const) {
      const want = rows[0].map((a, i) => kind(a, rows[1][i] as number));
      assert.equal(await run(layer(`ops.${name}`, 'm', {}, [two]), 'float32', rows, backend), want, name);
      assert.equal(await run(layer(name, 'm', {}, [list]), 'float32', rows, backend), want, name);
      const turned = layer(`ops.${name}`, 'm', {}, [on(tensor('y'), tensor('x'))]);
      assert.equal(await run(turned, 'float32', rows, backend), want, name);
    }
    const along = (name: string) =>
      layer(`ops.${name}`, 'm', {}, [{ args: [tensor('x')], kwargs: { axis: 1 } }]);
    for (const name of ['Max', 'Min', 'Amax', 'Amin'])
      for (const row of rows) assert.equal(await run(along(name), 'float32', [row], backend), [n], name);
    for (const [row, first, last] of [
      [[1, n, 3, -2], 2, 3],
      [[n, 2, 3, 1], 2, 3],
      [[9, 2, 3, n], 0, 1],
      [[n, n, n, n], 0, 0],
    ] as const) {
      assert.equal(await run(along('Argmax'), 'float32', [row], backend), [first], `${row}`);
      assert.equal(await run(along('Argmin'), 'float32', [row], backend), [last], `${row}`);
    }
  }
});

test.run();
