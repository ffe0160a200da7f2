// Moments of every class that is calibrated, against moments built by hand.
import type { Tensor } from '@tensorflow/tfjs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { roleOf } from '../../src/keras/axes.js';
import type { JsonObject } from '../../src/model.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import type { LayerPlan } from '../../src/pipeline/calibrate/types.js';
import { blockLayout, layoutSize, sizeOf } from '../../src/shape.js';
import { type Layer, runBare, runCall } from '../../src/tfjs/run.js';
import { input, type SmallLayer } from './support.js';
import { assertMoments, layerOf, momentsFor, tensorOf } from './twins.js';

const { tf } = await loadTensorFlow();

/** A layer whose outputs are linear in its kernel, with its shapes: input, and kernels in order. */
interface Case {
  readonly name: string;
  readonly className: string;
  readonly label?: string;
  readonly shape: readonly number[];
  readonly weights: Readonly<Record<string, readonly number[]>>;
  readonly config: JsonObject;
  /** Config of the layer itself, where it is in a TimeDistributed. */
  readonly inner?: JsonObject;
  readonly stage?: number;
  /** Letters of an equation's output that are columns of the kernel's matrix. */
  readonly columns?: string;
}

const conv = (className: string, shape: number[], kernel: number[], config: JsonObject = {}): Case => {
  const rank = Number(/(\d)D/.exec(className)?.[1]);
  const isDepth = className.startsWith('Depthwise');
  const isTransposed = className.endsWith('Transpose');
  const filters = kernel.at(isTransposed ? -2 : -1) as number;
  const outputs = isDepth ? filters * (kernel.at(-2) as number) : filters;
  return {
    name: `${className} ${JSON.stringify(config)}`,
    className,
    shape,
    weights: { [isDepth ? 'depthwise_kernel' : 'kernel']: kernel, bias: [outputs] },
    config: {
      ...{ use_bias: true, activation: 'linear', padding: 'valid', dilation_rate: Array(rank).fill(1) },
      ...{ strides: Array(rank).fill(1), kernel_size: kernel.slice(0, rank), groups: 1 },
      ...(isDepth ? { depth_multiplier: filters } : { filters }),
      ...config,
    },
  };
};

const CASES: readonly Case[] = [
  {
    ...{ name: 'Dense of three axes', className: 'Dense', shape: [4, 5, 6] },
    ...{ weights: { kernel: [6, 3], bias: [3] }, config: { units: 3, activation: 'linear', use_bias: true } },
  },
  conv('Conv1D', [9, 4], [3, 4, 2], { padding: 'causal', dilation_rate: [2] }),
  conv('Conv2D', [7, 6, 4], [3, 2, 4, 3], { padding: 'same', strides: [2, 2] }),
  conv('Conv2D', [7, 6, 6], [3, 2, 2, 9], { groups: 3, padding: 'same' }),
  conv('Conv1D', [8, 4], [3, 2, 6], { groups: 2, strides: [2] }),
  conv('Conv2D', [3, 6, 7], [2, 2, 3, 4], { data_format: 'channels_first' }),
  conv('Conv3D', [4, 5, 4, 2], [2, 3, 2, 2, 3], { padding: 'same' }),
  conv('Conv3D', [5, 5, 6, 2], [2, 2, 2, 2, 3], { strides: [2, 1, 2] }),
  conv('Conv3D', [4, 3, 4, 4], [2, 2, 2, 2, 4], { groups: 2, padding: 'same' }),
  conv('Conv3D', [5, 5, 5, 2], [2, 2, 2, 2, 2], { dilation_rate: [2, 1, 3] }),
  conv('DepthwiseConv2D', [6, 5, 3], [3, 2, 3, 2], { padding: 'same', strides: [2, 2] }),
  conv('DepthwiseConv1D', [8, 3], [3, 3, 2], { dilation_rate: [2] }),
  ...(['same', 'valid'] as const).flatMap((padding) => [
    conv('Conv2DTranspose', [4, 5, 3], [3, 2, 2, 3], { padding, strides: [2, 3] }),
    conv('Conv2DTranspose', [4, 5, 3], [4, 3, 2, 3], { padding }),
    conv('Conv1DTranspose', [6, 3], [4, 2, 3], { padding, strides: [2] }),
    conv('Conv1DTranspose', [6, 3], [2, 4, 3], { padding, strides: [3] }),
    conv('Conv3DTranspose', [3, 2, 3, 2], [2, 3, 2, 2, 2], { padding, strides: [1, 2, 2] }),
  ]),
  conv('Conv2DTranspose', [4, 4, 2], [3, 3, 3, 2], { padding: 'valid', dilation_rate: [2, 1] }),
  conv('Conv2DTranspose', [4, 4, 2], [3, 3, 3, 2], {
    padding: 'same',
    strides: [2, 2],
    output_padding: [1, 1],
  }),
  conv('Conv2DTranspose', [2, 4, 4], [3, 3, 3, 2], { data_format: 'channels_first', strides: [2, 2] }),
  {
    ...{ name: 'SeparableConv2D, the second half', className: 'SeparableConv2D', shape: [6, 5, 3], stage: 1 },
    weights: { depthwise_kernel: [3, 2, 3, 2], pointwise_kernel: [1, 1, 6, 4], bias: [4] },
    config: {
      ...{ filters: 4, kernel_size: [3, 2], strides: [2, 2], padding: 'same', dilation_rate: [1, 1] },
      ...{ depth_multiplier: 2, activation: 'linear', use_bias: true },
    },
  },
  ...(
    [
      ['abc,cd->abd', [4, 5], [5, 3], 'd'],
      ['abc,cde->abde', [4, 5], [5, 2, 3], 'de'],
      ['abcd,cde->abe', [4, 2, 3], [2, 3, 5], 'e'],
      ['...x,yx->...y', [3, 4, 5], [2, 5], 'y'],
      ['abc,bd->adc', [4, 3], [4, 5], 'd'],
      ['abc,bdc->ad', [4, 3], [4, 5, 3], 'd'],
    ] as const
  ).map(
    ([equation, shape, kernel, axes]): Case => ({
      ...{ name: `EinsumDense ${equation}`, className: 'EinsumDense', shape },
      weights: { kernel },
      config: {
        equation,
        output_shape: outputOf(equation, shape, kernel),
        bias_axes: null,
        activation: 'linear',
      },
      columns: axes,
    }),
  ),
  ...(
    [
      ['Dense', [3, 5], { kernel: [5, 4], bias: [4] }, { units: 4 }],
      [
        'Conv1D',
        [3, 6, 2],
        { kernel: [3, 2, 4], bias: [4] },
        { filters: 4, kernel_size: [3], padding: 'same' },
      ],
      [
        'Conv2D',
        [3, 5, 4, 2],
        { kernel: [2, 2, 2, 3], bias: [3] },
        { filters: 3, kernel_size: [2, 2], strides: [2, 1], padding: 'same' },
      ],
    ] as const
  ).map(([own, shape, weights, more]): Case => {
    const inner = { name: 'inside', activation: 'linear', use_bias: true, dtype: 'float32', ...more };
    return {
      ...{ name: `TimeDistributed ${own}`, className: 'TimeDistributed', label: `TimeDistributed/${own}` },
      ...{ shape, weights, inner: inner as unknown as JsonObject },
      config: { layer: { class_name: own, config: inner as unknown as JsonObject } },
    };
  }),
];

/** Sizes of an equation's output without the batch, in Keras's `output_shape`. */
function outputOf(equation: string, shape: readonly number[], kernel: readonly number[]): number[] {
  const [, left = '', right = '', out = ''] = /^(.*),(.*)->(.*)$/.exec(equation) ?? [];
  const letters = left.replace('...', 'ABC'.slice(0, shape.length + 1 - (left.length - 3)));
  const given = out.replace('...', 'ABC'.slice(0, shape.length + 1 - (left.length - 3)));
  return [...given]
    .slice(1)
    .map((c) => (right.includes(c) ? kernel[right.indexOf(c)] : shape[letters.indexOf(c) - 1]) as number);
}

/** A layer's outputs as rows, in any order as long as it is always the same: `[rows][N]`. */
function rowsOf(
  layer: Layer,
  x: Tensor,
  isFirst: boolean,
  columns: readonly number[] | undefined,
): number[][] {
  return tf.tidy(() => {
    const [y] = runCall(tf, layer, [x]) as [Tensor];
    const moved = isFirst ? tf.transpose(y, [0, ...y.shape.slice(2).map((_, i) => i + 2), 1]) : y;
    const axes = columns ?? [moved.rank - 1];
    const rest = moved.shape.map((_, i) => i).filter((i) => !axes.includes(i));
    const n = sizeOf(axes.map((axis) => moved.shape[axis] as number));
    return tf
      .transpose(moved, [...rest, ...axes])
      .reshape([-1, n])
      .arraySync() as number[][];
  });
}

for (const { name, className, label, shape, weights, config, inner, columns: letters, stage = 0 } of CASES) {
  test(`${name}: a probe of the layer gives the same rows`, async () => {
    const layer: SmallLayer = {
      className,
      config: { name: 'layer', ...config },
      weights,
      calls: [['x']],
      ...(label ? { label } : {}),
    };
    const found = await layerOf([input(shape), layer], inner);
    const { plan } = found;
    if (typeof plan !== 'object') throw new Error(String(plan));
    const [xf, xq] = [tensorOf([2, ...shape], 5), tensorOf([2, ...shape], 6)];
    const moments = await momentsFor(plan, stage, [xf], [xq]);
    const linear = plan.linears[stage] as LayerPlan['linears'][number];
    const own = Object.keys(weights).filter((key) => key.includes('kernel'))[stage] as string;
    const isFirst = config.data_format === 'channels_first';
    const equation = typeof config.equation === 'string' ? config.equation.split('->')[1] : undefined;
    const columns = equation && [...(letters ?? '')].map((c) => axisOf(equation, c, shape.length + 1));
    const wanted = columns ? columns : undefined;
    const set = (to: Layer, suffix: string, values: Tensor) => {
      const index = Object.keys(weights).indexOf(suffix);
      to.weights[index]?.write(values);
      values.dispose();
    };
    for (const each of [found.exact, found.rounded])
      if (weights.bias) set(each, 'bias', tf.zeros([...weights.bias]));
    const t = rowsOf(found.exact, xf, isFirst, wanted);
    const info = found.model.weights.find((weight) => weight.name === own);
    if (!info) throw new Error(own);
    const role = roleOf(info);
    const layout = blockLayout(info.shape, 'channel', role.kind === 'kernel' ? role.axes : []);
    const { k, n, groups } = linear;
    assert.is(k * groups * n, layoutSize(layout));
    assert.is(moments.length, groups);
    for (const [group, got] of moments.entries()) {
      // With a kernel of one 1, the output is one column of X.
      const probes = Array.from({ length: k }, (_, row) => {
        const unit = new Float32Array(sizeOf(info.shape));
        const element =
          (Math.floor(row / layout.inner) * layout.channels + group * n) * layout.inner +
          (row % layout.inner);
        unit[element] = 1;
        set(found.rounded, own, tf.tensor(unit, [...info.shape]));
        return rowsOf(found.rounded, xq, isFirst, wanted).map((values) => values[group * n] as number);
      });
      const x = t.map((_, position) => probes.map((probe) => probe[position] as number));
      assertMoments(got, { x, t: t.map((row) => row.slice(group * n, (group + 1) * n)) }, `group ${group}`);
    }
    tf.dispose([xf, xq]);
    found.dispose();
  });
}

/** Position of a letter in an equation's output, its ellipsis written out. */
function axisOf(output: string, letter: string, rank: number): number {
  const at = output.indexOf(letter);
  return output.startsWith('...') ? rank - 1 - (output.length - 1 - at) : at;
}

for (const given of [
  conv('Conv2D', [7, 6, 4], [3, 2, 4, 3], { padding: 'same', strides: [2, 2], activation: 'relu' }),
  conv('Conv2D', [3, 6, 7], [2, 2, 3, 4], { data_format: 'channels_first', activation: 'tanh' }),
  conv('Conv1D', [9, 4], [3, 4, 2], { activation: 'relu' }),
  {
    ...{ name: 'Dense', className: 'Dense', shape: [4, 5] },
    ...{
      weights: { kernel: [5, 3], bias: [3] },
      config: { units: 3, activation: 'softmax', use_bias: true },
    },
  },
])
  test(`${given.name}: what it gives before its activation has the same moments, and is its output behind it`, async () => {
    const { className, shape, weights } = given;
    const layer: SmallLayer = {
      className,
      config: { name: 'layer', ...given.config },
      weights,
      calls: [['x']],
    };
    const found = await layerOf([input(shape), layer]);
    const { plan } = found;
    if (typeof plan !== 'object') throw new Error(String(plan));
    const [xf, xq] = [tensorOf([2, ...shape], 5), tensorOf([2, ...shape], 6)];
    const bare = runBare(tf, found.exact, xf);
    if (!bare?.bias) throw new Error('no bias');
    assert.ok(bare.bias.dataSync().some((value) => value !== 0));
    const [wanted] = await momentsFor(plan, 0, [xf], [xq]);
    // Of the float inputs nothing is needed.
    const [got] = await momentsFor(plan, 0, [], [xq], [bare]);
    for (const key of ['gram', 'cross', 'sumX', 'sumT', 'sumTT'] as const)
      wanted?.[key].forEach((value, i) => {
        assert.ok(Math.abs(value - (got?.[key][i] as number)) < 1e-4, `${key} ${i}`);
      });
    const [y] = runCall(tf, found.exact, [xf]) as [Tensor];
    const finished = bare.finish(bare.output);
    const apart = tf.max(tf.abs(tf.sub(y, finished)));
    assert.ok((apart.dataSync()[0] as number) < 1e-6);
    tf.dispose([xf, xq, y, finished, apart, bare.output]);
    found.dispose();
  });

test('layers that are more than a product with their kernel tell nothing', async () => {
  const pool: SmallLayer = {
    className: 'MaxPooling2D',
    config: { name: 'pool', pool_size: [2, 2], strides: [2, 2], padding: 'valid' },
    calls: [['x']],
  };
  const { exact, dispose } = await layerOf([input([4, 4, 2]), pool]);
  const x = tensorOf([1, 4, 4, 2], 1);
  assert.is(runBare(tf, exact, x), undefined);
  x.dispose();
  dispose();
});

test('a layer whose sums would take too much memory is fitted without data, and says what they take', async () => {
  const wide = {
    className: 'Dense',
    config: { name: 'wide', units: 2, use_bias: false },
    calls: [['x']],
    weights: { kernel: [8000, 2] },
  };
  const { plan, dispose } = await layerOf([input([8000]), wide]);
  // 20 K^2 + 64 K N = 1,281,024,000 bytes.
  assert.is(plan, 'its sums and factors take 1222 MiB, more than 1024');
  dispose();
});

test.run();
