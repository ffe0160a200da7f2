// What the graphs look like; that they compute what Keras does is for test/slow/litert.test.ts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import { emitNetwork } from '../../src/litert/emit.js';
import { liteRtModelFile, type WeightStorage } from '../../src/litert/index.js';
import { OPERATIONS } from '../../src/litert/operations.js';
import type { Graph } from '../../src/litert/types.js';
import type { JsonObject, ModelSource, WeightInfo } from '../../src/model.js';
import { dropIdentities, openNetwork } from '../../src/network/index.js';
import { openKeras } from '../../src/node/models.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import type { QuantizeOptions } from '../../src/schemes/types.js';
import { fileOf, names } from '../tfjs/support.js';

const kernels = await loadKernels();

async function fixture(
  name: string,
  options?: QuantizeOptions,
  storage: WeightStorage = options ? 'exact' : 'float',
  batch = 1,
): Promise<{ readonly graph: Graph; readonly model: ModelSource }> {
  const keras = await openKeras(fileOf(name));
  const model = options ? quantizeModel(keras, { default: options }, { kernels }).model : keras;
  const { network, source } = openNetwork(model);
  return { graph: emitNetwork(dropIdentities(network), source, storage, batch).graph, model };
}

/** Tensors that are taken are there before, each is made once, and each is needed. */
function checkTensors({ tensors, operations, inputs, outputs }: Graph): void {
  const known = new Set(inputs);
  for (const { name, data } of tensors) if (data) known.add(name);
  const names = new Set(tensors.map(({ name }) => name));
  assert.is(names.size, tensors.length);
  const used = new Set([...inputs, ...outputs]);
  for (const { op, inputs: taken, outputs: made } of operations) {
    assert.ok(OPERATIONS[op], op);
    for (const input of taken) {
      assert.ok(input === '' || known.has(input), `${op} of ${input}`);
      used.add(input);
    }
    for (const output of made) {
      assert.not.ok(known.has(output), `${output} twice`);
      assert.ok(names.has(output), output);
      known.add(output);
      used.add(output);
    }
  }
  for (const output of outputs) assert.ok(known.has(output), output);
  for (const name of names) assert.ok(used.has(name), `${name} is of no use`);
}

for (const name of names) {
  test(`${name}: inputs and outputs as in Keras, every tensor known and needed`, async () => {
    const { graph, model } = await fixture(name, undefined, 'float', 3);
    const { network } = openNetwork(model);
    const shapeOf = (tensor: string) => graph.tensors.find((own) => own.name === tensor)?.shape;
    assert.equal(
      graph.inputs,
      network.inputs.map((own) => own.name),
    );
    for (const [ports, list] of [
      [network.inputs, graph.inputs],
      [network.outputs, graph.outputs],
    ] as const)
      ports.forEach(({ value }, i) => {
        const shape = network.values[value]?.shape?.map((n, axis) => (axis === 0 ? (n ?? 3) : n));
        assert.equal(shapeOf(list[i] as string), shape);
      });
    checkTensors(graph);
  });
}

test('an image network is what one would write by hand', async () => {
  const ops = (graph: Graph) => graph.operations.map(({ op }) => op);
  const { graph } = await fixture('cifar10');
  assert.equal(ops(graph).slice(0, 2), ['CONV_2D', 'ELU']);
  assert.not.ok(ops(graph).includes('TRANSPOSE'));
  const mobile = await fixture('mobilenet_v2');
  // Normalizations and clipped activations are a part of their convolutions.
  for (const op of ['MUL', 'SUB', 'RELU', 'RELU6', 'TRANSPOSE'])
    assert.not.ok(ops(mobile.graph).includes(op), op);
});

test('codes of four bits take four, of two and one take two, and nothing else is stored of them', async () => {
  const bits = { binary: 2, int2: 2, int4: 4 } as const;
  for (const scheme of ['binary', 'int2', 'int4'] as const) {
    const { graph, model } = await fixture('cifar10', { scheme });
    checkTensors(graph);
    for (const { id, shape } of model.weights.filter((own) => own.name === 'kernel')) {
      const count = shape.reduce((n, d) => n * d, 1);
      const stored = graph.tensors.find((own) => own.name === id);
      assert.is(stored?.data?.length, Math.ceil((count * bits[scheme]) / 8), id);
      assert.is(stored?.type, scheme === 'int4' ? 'int4' : 'int2');
      assert.is(stored?.quantization?.scales.length, shape.at(-1));
    }
  }
});

test('no product takes codes as they are, unless it computes with integers', async () => {
  for (const name of ['cifar10', 'conv2d', 'transformer', 'lstm_tagger'])
    for (const scheme of ['int4', 'int2'] as const) {
      const { graph } = await fixture(name, { scheme });
      const types = new Map(graph.tensors.map((own) => [own.name, own.type]));
      for (const { op, inputs } of graph.operations.filter((own) => own.op !== 'DEQUANTIZE'))
        for (const input of inputs)
          assert.not.match(String(types.get(input)), /^int[248]$/, `${op} ${input}`);
    }
});

test('fast: products take codes of 8 bits by column, depthwise kernels and those of inputs become floats', async () => {
  for (const [name, scheme, granularity] of [
    ['resnet', 'int4', 'channel'],
    ['mobilenet_v2', 'int2', 'channel'],
    ['transformer', 'binary', 'channel'],
    ['cifar10', 'binary', 'tensor'],
  ] as const) {
    const { graph } = await fixture(name, { scheme, granularity }, 'fast');
    checkTensors(graph);
    const tensors = new Map(graph.tensors.map((own) => [own.name, own]));
    const made = new Map(graph.operations.map((own) => [own.outputs[0], own]));
    let products = 0;
    for (const { op, inputs } of graph.operations) {
      if (!['CONV_2D', 'DEPTHWISE_CONV_2D', 'FULLY_CONNECTED'].includes(op)) continue;
      const [x, kernel] = inputs.map((input) => tensors.get(input));
      assert.is(x?.type, 'float');
      const isFloat =
        op === 'DEPTHWISE_CONV_2D' || (op === 'CONV_2D' && graph.inputs.includes(String(x?.name)));
      if (isFloat) {
        assert.is(kernel?.type, 'float', `${name} ${op}`);
        assert.is(made.get(String(kernel?.name))?.op, 'DEQUANTIZE');
      } else if (kernel?.type === 'int8') {
        products++;
        assert.is(kernel.quantization?.scales.length, kernel.shape[0]);
      }
    }
    assert.ok(products > 2, `${name}: ${products} products`);
  }
});

test('fast: what becomes float32 is said by name', async () => {
  const remarksOf = async (name: string) => {
    const keras = await openKeras(fileOf(name));
    const { model } = quantizeModel(keras, { default: { scheme: 'int4' } }, { kernels });
    const { remarks } = liteRtModelFile(model, { weights: 'fast' });
    keras.close();
    return remarks.join('\n');
  };
  assert.match(
    await remarksOf('mobilenet_v2'),
    /^5 of 8 weights .* decoded to float32: the kernel of a convolution of an input \(conv2d\/kernel\); 2 kernels of depthwise convolutions \(\S+, \S+\)$/,
  );
  // A border around the image stands before the convolution.
  assert.match(await remarksOf('resnet'), /a convolution of an input/);
});

test('metadata tell of the source, bits and scales, the signature of names', async () => {
  const keras = await openKeras(fileOf('cifar10'));
  const recipe = { default: { scheme: 'int4', granularity: 'group', groupSize: 32 } } as const;
  const { model } = quantizeModel(keras, recipe, { kernels });
  const file = liteRtModelFile(model, { version: '9.9.9' });
  const bytes = Buffer.concat([...file.pieces()]);
  assert.is(bytes.length, file.bytes);
  assert.is(bytes.toString('latin1', 4, 8), 'TFL3');
  for (const text of [
    ...['"int4/group/32"', 'bitnibble.quantization', 'cifar10.h5', 'bitnibble 9.9.9'],
    ...['serving_default', 'min_runtime_version'],
  ])
    assert.ok(bytes.includes(text), text);
  assert.ok(file.lowBit.length > 3);
  keras.close();
});

/** A Sequential model of Keras 3. */
function sequential(
  layers: readonly [className: string, config: JsonObject][],
  shape: readonly (number | null)[] = [null, 8, 8, 3],
  weights: readonly WeightInfo[] = [],
): ModelSource {
  const input = { name: 'x', batch_shape: shape as never, dtype: 'float32' };
  const entries = [
    { class_name: 'InputLayer', config: input },
    ...layers.map(([class_name, config]) => ({ class_name, config })),
  ];
  return {
    ...{ file: 'model.keras', kerasVersion: '3.15.1', backend: 'tensorflow', weights },
    architecture: { class_name: 'Sequential', config: { name: 'model', layers: entries as never } },
    read(id) {
      throw new Error(`${id} was read`);
    },
  };
}

test('what LiteRT lacks is refused by layer and operation, before a weight is read', () => {
  const refused = (source: ModelSource, code: string, message: RegExp, weights?: WeightStorage) => {
    try {
      liteRtModelFile(source, weights ? { weights } : {});
    } catch (error) {
      assert.is((error as { code?: string }).code, code, (error as Error).message);
      assert.match((error as Error).message, message);
      return;
    }
    assert.unreachable('it was not refused');
  };
  refused(
    sequential([['UpSampling2D', { name: 'up', size: [2, 2], interpolation: 'bicubic' }]]),
    'unsupported-layer',
    /^model\.keras: LiteRT cannot hold the layer up \(UpSampling2D\): interpolation: bicubic$/,
  );
  refused(
    sequential([['Activation', { name: 'act', activation: 'sparsemax' }]]),
    'unsupported-layer',
    /^model\.keras: LiteRT cannot run the layer act \(Activation\): activation sparsemax$/,
  );
  refused(
    sequential([['ReLU', { name: 'act' }]], [null, null, 3]),
    'unsupported-layer',
    /^model\.keras: LiteRT's shapes are static, and the input x has lengths that are not known: \[batch, \?, 3\]$/,
  );
  refused(
    sequential(
      [
        ['Flatten', { name: 'flat' }],
        ['RepeatVector', { name: 'repeat', n: 2 ** 31 }],
        ['GroupNormalization', { name: 'norm', groups: 1, axis: 1, scale: false, center: false }],
      ],
      [null, 8],
    ),
    'unsupported-layer',
    /norm \(GroupNormalization\): channels of 2147483648 numbers/,
  );
  const shape = [600_000, 1000];
  const table: WeightInfo = {
    ...{ id: 'table/embeddings', layer: 'table', className: 'Embedding', name: 'embeddings', shape },
    dtype: 'F32',
  } as never;
  refused(
    sequential([['Embedding', { name: 'table', input_dim: 600_000, output_dim: 1000 }]], [null, 4], [table]),
    'too-large',
    /^model\.keras: LiteRT takes files of at most 2147483647 bytes, this one would have 24000\d+$/,
  );
  assert.throws(
    () => liteRtModelFile(sequential([['ReLU', { name: 'act' }]]), { batch: 0 }),
    /"batch" expected/,
  );
});

test('convolutions and loops that LiteRT lacks are refused by layer', () => {
  const weight = (layer: string, className: string, name: string, shape: readonly number[]): WeightInfo =>
    ({ ...{ id: `${layer}/${name}`, layer, className, name, shape }, dtype: 'F32' }) as WeightInfo;
  const message = (
    className: string,
    config: JsonObject,
    shape: readonly (number | null)[],
    shapes: Readonly<Record<string, readonly number[]>>,
  ) => {
    const weights = Object.entries(shapes).map(([name, own]) => weight('own', className, name, own));
    try {
      liteRtModelFile(sequential([[className, { name: 'own', ...config }]], shape, weights));
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  const image = { filters: 4, kernel_size: [3, 3], use_bias: false };
  const volume = { filters: 4, kernel_size: [3, 3, 3], use_bias: false };
  assert.is(
    message('Conv2DTranspose', { ...image, dilation_rate: [2, 2] }, [null, 8, 8, 4], {
      kernel: [3, 3, 4, 4],
    }),
    'model.keras: LiteRT cannot hold the layer own (Conv2DTranspose): a dilation of a transposed convolution',
  );
  assert.is(
    message('Conv3D', { ...volume, groups: 2 }, [null, 8, 8, 8, 4], { kernel: [3, 3, 3, 2, 4] }),
    'model.keras: LiteRT cannot hold the layer own (Conv3D): groups of a convolution over volumes',
  );
  assert.is(
    message('LSTM', { units: 2, use_bias: false }, [null, 2049, 2], {
      kernel: [2, 8],
      recurrent_kernel: [2, 8],
    }),
    'model.keras: LiteRT cannot hold the layer own (LSTM): a sequence of 2049 steps, of which 2048 can be written out',
  );
});

test('an input that is an output as well has an output of its own', () => {
  const file = liteRtModelFile(sequential([['Dropout', { name: 'drop', rate: 0.5 }]]));
  assert.is(file.operations, 1);
});

test.run();
