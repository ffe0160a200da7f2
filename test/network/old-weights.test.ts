// Weights of Keras 1 and of Theano as Keras 2 on TensorFlow has them: every element by its index.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import type { JsonObject, ModelSource, WeightInfo } from '../../src/model.js';
import { modernWeights, ownWeights } from '../../src/network/index.js';
import { sizeOf } from '../../src/shape.js';
import { throws } from '../support/throws.js';
import { sequential } from './support.js';

type Stored = [name: string, shape: number[]];
interface Told {
  readonly backend?: string;
  readonly version?: string;
  readonly config?: JsonObject;
  /** The model around the layer `l`. */
  readonly around?: (entry: JsonObject) => JsonObject;
  readonly path?: string;
}

/** Values that tell their weight and their place. */
const mark = (weight: number, index: number) => 1000 * weight + index;

function model(className: string, stored: readonly Stored[], told: Told = {}): ModelSource {
  const { backend = 'tensorflow', version = '1.2.2', config = {}, path = 'l' } = told;
  const entry = { class_name: className, config: { name: 'l', ...config } };
  const architecture = (told.around ?? sequential)(entry);
  const weights: WeightInfo[] = stored.map(([name, shape], i) => ({
    ...{ id: `${i}`, layer: path, className, name, shape, dtype: 'F32' },
  }));
  const read = (id: string) =>
    Float32Array.from({ length: sizeOf(weights[Number(id)]?.shape ?? []) }, (_, i) => mark(Number(id), i));
  return { file: 'file.h5', architecture, kerasVersion: version, backend, weights, read };
}

/** Each element of weight `at`: which weight and index it comes from. */
function holds(
  source: ModelSource,
  at: number,
  name: string,
  shape: number[],
  from: (index: number[]) => [number, number[]],
) {
  const modern = modernWeights(source);
  const found = modern.weights[at] as WeightInfo;
  const what = `${found.className} ${name}`;
  assert.equal([found.name, found.shape, found.dtype], [name, shape, 'F32'], what);
  assert.equal([found.id, found.layer], [`${found.layer}/${name}`, source.weights[0]?.layer], what);
  const values = modern.read(found.id);
  assert.is(values.length, sizeOf(shape), what);
  values.forEach((value, flat) => {
    const index = shape.map((n, axis) => Math.floor(flat / sizeOf(shape.slice(axis + 1))) % n);
    const [weight, place] = from(index);
    const own = source.weights[weight]?.shape ?? [];
    const offset = place.reduce((sum, i, axis) => sum * (own[axis] as number) + i, 0);
    assert.is(value, mark(weight, offset), `${what} [${index}]`);
  });
}

const KERNEL = 'W';
const theano = { backend: 'theano' } as const;
const th = { dim_ordering: 'th' };

test('models of Keras 2 and 3 on TensorFlow, and those without an architecture, stay as they are', () => {
  const own = model('Conv2D', [[KERNEL, [3, 3, 2, 4]]], { version: '2.2.4' });
  assert.is(modernWeights(own), own);
  const bare: ModelSource = { ...model('Conv2D', [[KERNEL, [3, 3, 2, 4]]]), architecture: undefined };
  assert.is(modernWeights(bare), bare);
  assert.equal([...ownWeights(own, own).keys()], ['0']);
});

test('gates that Keras 1 stores one by one, side by side: i, c, f, o come to be i, f, c, o; z, r, h stay', () => {
  const gates = (names: string): Stored[] =>
    [...names].flatMap((g): Stored[] => [
      [`W_${g}`, [3, 2]],
      [`U_${g}`, [2, 2]],
      [`b_${g}`, [2]],
    ]);
  for (const [className, stored, order] of [
    ['LSTM', 'icfo', 'ifco'],
    ['GRU', 'zrh', 'zrh'],
  ] as const) {
    const source = model(className, gates(stored));
    const width = 2 * stored.length;
    const gateOf = (column: number) => stored.indexOf(order[Math.floor(column / 2)] as string);
    for (const [part, name, rows] of [
      [0, 'kernel', 3],
      [1, 'recurrent_kernel', 2],
    ] as const)
      holds(source, part, name, [rows, width], ([row = 0, c = 0]) => [3 * gateOf(c) + part, [row, c % 2]]);
    holds(source, 2, 'bias', [width], ([c = 0]) => [3 * gateOf(c) + 2, [c % 2]]);
    assert.is(modernWeights(source).weights.length, 3);
    // Two directions are two layers, one behind the other.
    const both = model(`Bidirectional/${className}`, [...gates(stored), ...gates(stored)]);
    const half = 3 * stored.length;
    assert.is(modernWeights(both).weights.length, 6);
    const names = modernWeights(both).weights.map(({ name }) => name);
    assert.equal(names, [...['kernel', 'recurrent_kernel', 'bias', 'kernel', 'recurrent_kernel', 'bias']]);
    const second = modernWeights(both).weights[3] as WeightInfo;
    assert.is(modernWeights(both).read(second.id)[0], mark(half + 3 * gateOf(0), 0));
    assert.is(new Set(modernWeights(both).weights.map(({ id }) => id)).size, 6);
  }
  // Weights of another number are not gates.
  assert.is(modernWeights(model('LSTM', gates('icf'))).weights.length, 9);
  assert.is(modernWeights(model('SimpleRNN', gates('x'))).weights.length, 3);
});

test('kernels of dim_ordering "th" have their axes in another order, those of Theano are turned round', () => {
  for (const [className, shape, order] of [
    ['Convolution2D', [5, 4, 3, 2], [2, 3, 1, 0]],
    ['Convolution3D', [6, 5, 4, 3, 2], [2, 3, 4, 1, 0]],
    ['Deconvolution2D', [5, 4, 3, 2], [2, 3, 0, 1]],
    ['SeparableConvolution2D', [5, 4, 3, 2], [2, 3, 1, 0]],
  ] as const) {
    const target = order.map((axis) => shape[axis] as number);
    const isTurned = className !== 'SeparableConvolution2D';
    for (const backend of ['tensorflow', 'theano']) {
      const source = model(
        className,
        [
          [KERNEL, [...shape]],
          ['b', [5]],
        ],
        { backend, config: th },
      );
      holds(source, 0, KERNEL, target, (given) => {
        const index = given.map((i, axis) =>
          backend === 'theano' && isTurned && axis < given.length - 2 ? (target[axis] as number) - 1 - i : i,
        );
        return [0, shape.map((_, axis) => index[(order as readonly number[]).indexOf(axis)] as number)];
      });
      holds(source, 1, 'b', [5], (index) => [1, index]);
    }
  }
  const same = (className: string, shape: number[], told: Told) =>
    holds(model(className, [[KERNEL, shape]], told), 0, KERNEL, shape, (index) => [0, index]);
  const tf = { config: { dim_ordering: 'tf' } };
  same('Convolution2D', [3, 2, 4, 5], tf);
  same('Convolution2D', [3, 2, 4, 5], {});
  same('Dense', [3, 2], { ...theano, config: th });
  holds(model('Deconvolution2D', [[KERNEL, [3, 2, 5, 4]]], tf), 0, KERNEL, [3, 2, 4, 5], ([a, b, c, d]) => [
    ...([0, [a, b, d, c] as number[]] as [number, number[]]),
  ]);
});

test('a Convolution1D is (length, 1, in, out), before Keras 1.1 (out, in, length, 1)', () => {
  const config = { nb_filter: 4, filter_length: 3 };
  for (const backend of ['tensorflow', 'theano']) {
    const turn = (i = 0) => (backend === 'theano' ? 2 - i : i);
    const now = model(
      'Convolution1D',
      [
        [KERNEL, [3, 1, 2, 4]],
        ['b', [4]],
      ],
      { backend, config },
    );
    holds(now, 0, KERNEL, [3, 2, 4], ([i, c = 0, o = 0]) => [0, [turn(i), 0, c, o]]);
    holds(now, 1, 'b', [4], (index) => [1, index]);
    const before = model('Convolution1D', [[KERNEL, [4, 2, 3, 1]]], { backend, config });
    holds(before, 0, KERNEL, [3, 2, 4], ([i, c = 0, o = 0]) => [0, [o, c, turn(i), 0]]);
  }
  // Shapes of which one number alone is as the newer ones have it.
  for (const shape of [
    [3, 2, 3, 1],
    [4, 1, 3, 1],
  ])
    holds(
      model('Convolution1D', [[KERNEL, shape]], { config: { ...config, nb_filter: shape[0] as number } }),
      ...([0, KERNEL, [3, shape[1] as number, shape[0] as number]] as [number, string, number[]]),
      ([i = 0, c = 0, o = 0]) => [0, [o, c, i, 0]],
    );
});

test('Theano and Keras 2: kernels of convolutions are turned, of ConvLSTM2D both, others stay', () => {
  const of = (className: string, name: string, isTurned: boolean, told: Told = {}) => {
    const source = model(className, [[name, [3, 2, 4, 5]]], { ...theano, version: '2.1.0', ...told });
    holds(source, 0, name, [3, 2, 4, 5], ([a = 0, b = 0, c = 0, d = 0]) => [
      ...([0, isTurned ? [2 - a, 1 - b, c, d] : [a, b, c, d]] as [number, number[]]),
    ]);
  };
  for (const name of ['Conv1D', 'Conv2D', 'Conv3D', 'Conv2DTranspose', 'ConvLSTM2D'])
    of(name, 'kernel', true);
  of('ConvLSTM2D', 'recurrent_kernel', true);
  of('TimeDistributed/Conv2D', 'kernel', true);
  for (const name of ['Dense', 'MyConv2D', 'Conv2DX', 'Conv4D', 'SeparableConv2D']) of(name, 'kernel', false);
  for (const name of ['bias', 'my_kernel', 'kernels', 'depthwise_kernel']) of('Conv2D', name, false);
});

test('configurations are found within wrappers and models, by the path of the layer', () => {
  const shape = [5, 4, 3, 2];
  const stored: Stored[] = [[KERNEL, shape]];
  const isOrdered = (told: Told) =>
    assert.equal(
      modernWeights(model('Convolution2D', stored, { config: th, ...told })).weights[0]?.shape,
      [3, 2, 4, 5],
    );
  isOrdered({});
  isOrdered({
    around: (entry) => sequential({ class_name: 'TimeDistributed', config: { name: 'l', layer: entry } }),
  });
  isOrdered({
    path: 'inner/l',
    around: (entry) => sequential({ ...sequential(entry), config: { name: 'inner', layers: [entry] } }),
  });
  isOrdered({
    path: 'timed/l',
    around: (entry) => {
      const layer = { class_name: 'Sequential', config: { name: 'inner', layers: [entry] } };
      return sequential({ class_name: 'TimeDistributed', config: { name: 'timed', layer } });
    },
  });
  // A layer without a name or a configuration is none of these.
  const bare = model('Convolution2D', stored, { around: () => sequential({ class_name: 'Convolution2D' }) });
  assert.equal(modernWeights(bare).weights[0]?.shape, shape);
});

test('the rest of the model stays; weights that are not there are named; those of Dense and Embedding are its own', () => {
  const source = model('Dense', [
    [KERNEL, [3, 2]],
    ['b', [2]],
  ]);
  const modern = modernWeights(source);
  const { file, architecture, kerasVersion, backend } = source;
  assert.equal(
    [modern.file, modern.architecture, modern.kerasVersion, modern.backend],
    [file, architecture, kerasVersion, backend],
  );
  assert.equal(
    modern.weights.map(({ id, className }) => `${id} ${className}`),
    ['l/W Dense', 'l/b Dense'],
  );
  throws(() => modern.read('l/x'), BitnibbleError, 'file.h5: no weight named l/x');
  const own = (className: string) => [...ownWeights(model(className, [[KERNEL, [3, 2]]]), modern).keys()];
  assert.equal(
    [own('Dense'), own('Embedding'), own('LSTM'), own('MyDense'), own('DenseX')],
    [...[['0'], ['0'], [], [], []]],
  );
});

test.run();
