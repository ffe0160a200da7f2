// What the constants at a network's input say of the values that it expects, and what becomes of stored samples.
import path from 'node:path';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayDataset } from '../../src/data/index.js';
import { BitnibbleError } from '../../src/errors.js';
import type { JsonObject } from '../../src/model.js';
import { openKeras } from '../../src/node/models.js';
import {
  firstRange,
  indexedInputs,
  inputRanges,
  rangeWarning,
  readScale,
  scaleFor,
  storedRanges,
} from '../../src/pipeline/input-range.js';
import { ends, info, input, layer, net, on, tensor } from '../network/support.js';
import { root } from '../support/needs.js';
import { type SmallLayer, smallModel } from './support.js';

const IMAGE: SmallLayer = { className: 'InputLayer', config: { name: 'x', batch_shape: [null, 8, 8, 3] } };
const HEAD: JsonObject = { filters: 2, kernel_size: [1, 1], padding: 'valid' };

/** A layer: its class, configuration and weights of three channels. */
type Between = readonly [className: string, config: JsonObject, weights?: readonly string[]];

/** Layers between an image and a convolution. */
function chain(...layers: readonly Between[]) {
  let last = 'x';
  const own = layers.map(([className, config, weights = []], i): SmallLayer => {
    const name = `l${i}`;
    const layer = {
      ...{ className, config: { name, ...config }, calls: [[last]] },
      weights: Object.fromEntries(weights.map((weight) => [weight, [3]])),
    };
    last = name;
    return layer;
  });
  const conv: SmallLayer = {
    ...{ className: 'Conv2D', config: { name: 'conv', ...HEAD }, calls: [[last]] },
    weights: { kernel: [1, 1, 3, 2], bias: [2] },
  };
  return smallModel([IMAGE, ...own, conv], ['conv']);
}

const kindOf = (...layers: readonly Between[]) => firstRange(chain(...layers))?.kind;
const rescaling = (scale: number, offset = 0): Between => ['Rescaling', { scale, offset }];

test('Rescaling layers are told apart by their constants', () => {
  assert.is(kindOf(), undefined);
  const cases: [number, number, string | undefined][] = [
    ...(
      [
        [1 / 255, 0],
        [1 / 127.5, -1],
        [1 / 128, -1],
        [1 / 58, -2],
        [1, -117],
        [1 / 16, 0],
      ] as const
    ).map(([a, b]): [number, number, string] => [a, b, 'bytes']),
    ...(
      [
        [2, -1],
        [255, 0],
        [1, -0.5],
        [-1, 1],
        [4, -2],
      ] as const
    ).map(([a, b]): [number, number, string] => [...([a, b, 'unit'] as const)]),
    ...(
      [
        [0.5, 0],
        [0.25, 0],
        [0.5, 0.5],
        [1 / 65535, 0],
        [127.5, 127.5],
      ] as const
    ).map(([a, b]): [number, number, string] => [a, b, 'unclear']),
    [1, 0, undefined],
  ];
  for (const [scale, offset, kind] of cases)
    assert.is(kindOf(rescaling(scale, offset)), kind, `${scale} x + ${offset}`);
});

test('several layers count together, and each channel for itself', () => {
  const [mean, variance] = [
    [0.485, 0.456, 0.406],
    [0.0524, 0.0502, 0.0506],
  ];
  assert.is(kindOf(['Normalization', { axis: [-1], mean, variance }]), 'unit');
  assert.is(kindOf(rescaling(1 / 255), ['Normalization', { axis: [-1], mean, variance }]), 'bytes');
  assert.is(kindOf(rescaling(255), ['Rescaling', { scale: 1 / 127.5, offset: -1 }]), 'unit');
  const bytes = { mean: mean.map((m) => 255 * m), variance: variance.map((v) => 255 * 255 * v) };
  assert.is(kindOf(['Normalization', { axis: [-1], ...bytes }]), 'bytes');
  // Identities and what moves pixels about lie between; a Dropout is none at inference.
  assert.is(
    kindOf(
      [
        'ZeroPadding2D',
        {
          padding: [
            [1, 1],
            [1, 1],
          ],
        },
      ],
      ['Dropout', { rate: 0.5 }],
      rescaling(2, -1),
    ),
    'unit',
  );
  // Behind a convolution nothing is said of the input.
  assert.is(kindOf(['Activation', { activation: 'relu' }], rescaling(1 / 255)), undefined);
});

test('moving means of a batch normalization at the input count, its factor does not', () => {
  const model = chain([
    'BatchNormalization',
    { axis: -1, epsilon: 1e-3, momentum: 0.99, center: true, scale: true },
    ['gamma', 'beta', 'moving_mean', 'moving_variance'],
  ]);
  const set = (name: string, ...own: number[]) => model.values.get(`l0/${name}`)?.set(own);
  set('moving_mean', 120, 110, 100);
  set('moving_variance', 3600, 3500, 3700);
  set('gamma', 100, 100, 100);
  assert.is(firstRange(model)?.kind, 'bytes');
  set('moving_mean', 0.5, 0.4, 0.4);
  set('moving_variance', 0.06, 0.05, 0.06);
  assert.is(firstRange(model)?.kind, 'unit');
  // Untrained: no word.
  set('moving_mean', 0, 0, 0);
  set('moving_variance', 1 - 1e-3, 1 - 1e-3, 1 - 1e-3);
  assert.is.not(firstRange(model)?.kind, 'bytes');
});

const range = (dtype: 'uint8' | 'float32', low: number, high: number) => ({
  ...{ name: 'data.npz', dtype, range: [low, high] as const },
});

test('bytes become what the constants expect; what is unclear is refused with both readings', () => {
  const scaleOf = (model: ReturnType<typeof chain>, data: ReturnType<typeof range>) =>
    scaleFor(model, firstRange(model), data).scale;
  const [unit, bytes, silent] = [chain(rescaling(2, -1)), chain(rescaling(1 / 255)), chain()];
  assert.is(scaleOf(unit, range('uint8', 0, 255)), 1 / 255);
  assert.is(scaleOf(bytes, range('uint8', 0, 255)), 1);
  assert.is(scaleOf(silent, range('uint8', 0, 255)), 1 / 255);
  assert.is(scaleOf(silent, range('uint8', 0, 1)), 1);
  assert.is(scaleOf(unit, range('float32', 0, 1)), 1);
  assert.is(scaleOf(silent, range('float32', 0, 255)), 1);
  const refused = (model: ReturnType<typeof chain>, data: ReturnType<typeof range>) => {
    try {
      scaleOf(model, data);
    } catch (error) {
      assert.is((error as BitnibbleError).code, 'data-mismatch');
      return (error as Error).message;
    }
    return '';
  };
  const unclear = refused(chain(rescaling(0.5)), range('uint8', 0, 255));
  assert.match(unclear, 'l0 (Rescaling) makes 0 to 0.5 of 0 to 1, 0 to 128 of 0 to 255');
  assert.match(
    unclear,
    'give --scale 1 where they are to be 0 to 255, --scale 1/255 where they are to be 0 to 1',
  );
  const found = readScale(firstRange(chain(rescaling(0.5))), range('uint8', 0, 255));
  assert.equal('readings' in found && found.readings.map(({ scale }) => scale), [1, 1 / 255]);
  assert.match(refused(unit, range('float32', 0, 255)), /reach 255, .* expects 0 to 1 .*--scale 1\/255/);
  assert.match(refused(bytes, range('float32', 0, 1)), /lie in 0 to 1, .* expects 0 to 255 .*--scale 255/);
});

test('whatever standardises bytes or a share of them is read as that', () => {
  const channel = fc.record({
    middle: fc.double({ min: 0.1, max: 0.9, noNaN: true }),
    spread: fc.double({ min: 0.08, max: 0.5, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(channel, { minLength: 3, maxLength: 3 }), fc.constantFrom(1, 255), (own, most) => {
      const mean = own.map(({ middle }) => most * middle);
      const variance = own.map(({ spread }) => (most * spread) ** 2);
      const kind = kindOf(['Normalization', { axis: [-1], mean, variance }]);
      assert.is(kind, most === 1 ? 'unit' : 'bytes');
    }),
    { numRuns: 100 },
  );
});

test('inputs outside of what is expected are warned of', () => {
  const [unit, bytes] = [firstRange(chain(rescaling(2, -1))), firstRange(chain(rescaling(1 / 255)))];
  assert.match(rangeWarning(unit, 0, 255) ?? '', /reach 255, and the network expects 0 to 1: l0/);
  assert.match(rangeWarning(bytes, 0, 1) ?? '', /reach 1\.00, and the network expects 0 to 255: l0/);
  assert.is(rangeWarning(unit, 0, 1), undefined);
  assert.is(rangeWarning(bytes, 0, 255), undefined);
});

test('token ids and whole numbers are taken as they are, of each input for itself', async () => {
  const model = await openKeras(path.join(root, 'test/fixtures/tfjs/attention.h5'));
  assert.ok(indexedInputs(model).size > 0);
  model.close();
  const input = (name: string, dtype: string): SmallLayer => ({
    ...{ className: 'InputLayer', config: { name, batch_shape: [null, 4], dtype } },
  });
  const dense = (name: string, from: string): SmallLayer => ({
    ...{ className: 'Dense', config: { name, units: 2, activation: 'linear', use_bias: false } },
    ...{ weights: { kernel: [4, 2] }, calls: [[from]] },
  });
  const two = smallModel(
    [input('a', 'int32'), input('b', 'float32'), dense('da', 'a'), dense('db', 'b')],
    ['da', 'db'],
  );
  assert.equal(
    [...inputRanges(two)].map(([name, { kind }]) => [name, kind]),
    [['a', 'indices']],
  );
});

test('bytes for inputs of whole numbers stay as they are, whatever comes behind: fractions would be cut off', () => {
  const factor = (dtype: string, ...behind: Parameters<typeof layer>) => {
    const model = {
      ...info(net([input('x', [null, 4], { dtype }), layer(...behind)], ends('x'), ends('d'))),
      ...{ weights: [], read: () => new Float32Array(0) },
    };
    const stored = { dtype: 'uint8', range: [0, 255], name: 'images' } as const;
    return scaleFor(model, firstRange(model), stored).scale;
  };
  const before = [on(tensor('x'))];
  for (const dtype of ['uint8', 'int32']) {
    assert.is(factor(dtype, 'Rescaling', 'd', { scale: 1 / 255, offset: 0 }, before), 1, dtype);
    assert.is(factor(dtype, 'Rescaling', 'd', { scale: 2, offset: -1 }, before), 1, dtype);
    assert.is(factor(dtype, 'ops.Divide', 'd', {}, [on(tensor('x'), 255)]), 1, dtype);
  }
  assert.is(factor('float32', 'Rescaling', 'd', { scale: 2, offset: -1 }, before), 1 / 255);
});

test('the range of stored samples is that of samples spread over all', () => {
  const values = new Uint8Array(1000 * 4);
  values[3996] = 200;
  const data = arrayDataset({ name: 'd', inputShape: [4], values });
  assert.equal(storedRanges(data)[0]?.range, [0, 0]);
  values.fill(7, 0, 2000);
  values.fill(90, 2000);
  assert.equal(storedRanges(data)[0]?.range, [7, 90]);
  assert.instance(new BitnibbleError('data-mismatch', ''), Error);
});

test.run();
