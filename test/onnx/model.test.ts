// What the graphs look like; that they compute what Keras does is for test/slow/onnx.test.ts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import type { JsonObject, ModelSource } from '../../src/model.js';
import { dropIdentities, openNetwork } from '../../src/network/index.js';
import { openKeras } from '../../src/node/models.js';
import { emitNetwork } from '../../src/onnx/emit.js';
import { onnxModelFiles, type WeightStorage } from '../../src/onnx/index.js';
import type { Graph, Node } from '../../src/onnx/types.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import type { QuantizeOptions } from '../../src/schemes/types.js';
import { fileOf, names } from '../tfjs/support.js';

const kernels = await loadKernels();

async function fixture(
  name: string,
  options?: QuantizeOptions,
  storage: WeightStorage = options ? 'folded' : 'float',
): Promise<{ readonly graph: Graph; readonly model: ModelSource }> {
  const keras = await openKeras(fileOf(name));
  const model = options ? quantizeModel(keras, { default: options }, { kernels }).model : keras;
  const { network, source } = openNetwork(model);
  return { graph: emitNetwork(dropIdentities(network), source, storage).graph, model };
}

/** Names that a node makes or takes are there, each once. */
function checkNames({ nodes, inputs, outputs, initializers }: Graph, around: ReadonlySet<string>): void {
  const known = new Set(around);
  const add = (name: string) => {
    assert.not.ok(known.has(name), `${name} twice`);
    known.add(name);
  };
  for (const { name } of [...inputs, ...initializers]) add(name);
  for (const node of nodes) {
    for (const input of node.inputs) assert.ok(input === '' || known.has(input), `${node.name}: ${input}`);
    for (const body of bodiesOf(node)) checkNames(body, known);
    for (const output of node.outputs) if (output !== '') add(output);
  }
  for (const { name } of outputs) assert.ok(known.has(name), name);
}

const bodiesOf = ({ attributes }: Node): Graph[] =>
  Object.values(attributes).flatMap((value) =>
    typeof value === 'object' && 'graph' in value ? [value.graph] : [],
  );

for (const name of names) {
  test(`${name}: inputs and outputs as in Keras, every name known and told once`, async () => {
    const { graph, model } = await fixture(name);
    const { network } = openNetwork(model);
    assert.equal(
      graph.inputs.map((own) => own.name),
      network.inputs.map((own) => own.name),
    );
    assert.equal(
      graph.outputs.map((own) => own.name.replace(/_\d+$/, '')),
      network.outputs.map((own) => own.name.replace(/_\d+$/, '')),
    );
    for (const [ports, vals] of [
      [network.inputs, graph.inputs],
      [network.outputs, graph.outputs],
    ] as const)
      ports.forEach(({ value }, i) => {
        const shape = network.values[value]?.shape?.map((n, axis) =>
          n === null && axis === 0 ? 'batch' : n,
        );
        assert.equal(vals[i]?.shape, shape);
      });
    checkNames(graph, new Set());
    const layers = new Set(network.nodes.map(({ layer }) => layer));
    for (const node of graph.nodes)
      assert.ok(
        node.op === 'Identity' || [...layers].some((layer) => node.name.startsWith(`${layer}/`)),
        node.name,
      );
  });
}

test('an image network is what one would write by hand', async () => {
  const { graph } = await fixture('cifar10');
  const ops = graph.nodes.map(({ op }) => op);
  assert.equal(ops.filter((op) => op === 'Transpose' || op === 'Reshape').length, 1);
  assert.equal(ops.slice(0, 3), ['Transpose', 'Conv', 'Elu']);
  const mobile = await fixture('mobilenet_v2');
  // Normalizations behind convolutions are a part of them.
  assert.not.ok(mobile.graph.nodes.some(({ op }) => op === 'BatchNormalization'));
  assert.ok(graph.values.every(({ shape }) => shape.every((n) => n !== null)));
});

test('a layer that is called twice has its weights once, a causal mask is one Where', async () => {
  const { graph } = await fixture('k2_siamese');
  const gemms = graph.nodes.filter((own) => own.op === 'Gemm');
  const [first, again] = ['sequential/dense/Gemm', 'sequential/dense/Gemm_1'].map((own) =>
    gemms.find(({ name }) => name === own),
  );
  assert.equal(first?.inputs.slice(1), ['sequential/dense/kernel', 'sequential/dense/bias']);
  assert.equal(again?.inputs.slice(1), first?.inputs.slice(1));
  const { graph: transformer } = await fixture('transformer');
  assert.is(transformer.nodes.filter(({ op }) => op === 'Where').length, 1);
});

test('signs take one bit, codes two or four, floats none where all are asked for', async () => {
  const bits = { binary: 1, int2: 2, int4: 4 } as const;
  for (const scheme of ['binary', 'int2', 'int4'] as const) {
    const { graph, model } = await fixture('cifar10', { scheme });
    for (const { id, shape } of model.weights.filter((own) => own.name === 'kernel')) {
      const count = shape.reduce((n, d) => n * d, 1);
      const stored = graph.initializers.find((own) => own.name === id);
      assert.is(stored?.data.length, Math.ceil((count * bits[scheme]) / 8), id);
      assert.is(stored?.type, scheme === 'binary' ? 'uint8' : scheme);
    }
  }
});

test('low-bit in memory: DequantizeLinear before convolutions, MatMulNBits for dense layers, tables by rows', async () => {
  const { graph } = await fixture('cifar10', { scheme: 'int4' }, 'low-bit');
  const makers = new Map(graph.nodes.map((node) => [node.outputs[0], node]));
  for (const node of graph.nodes.filter(({ op }) => op === 'Conv'))
    assert.is(makers.get(node.inputs[1] as string)?.op, 'DequantizeLinear');
  assert.ok(graph.nodes.some(({ op, domain }) => op === 'MatMulNBits' && domain === 'com.microsoft'));
  assert.not.ok(graph.nodes.some(({ op }) => op === 'MatMul' || op === 'Gemm'));
  const text = await fixture('lstm_tagger', { scheme: 'int4' }, 'low-bit');
  const gathered = text.graph.nodes.filter(({ op }) => op === 'Gather').map(({ inputs }) => inputs[0]);
  const table = text.graph.initializers.find(({ name }) => name === gathered[0]);
  assert.is(table?.type, 'uint8');
});

test('no product comes behind DequantizeLinear, whatever the groups', async () => {
  for (const name of ['transformer', 'einsum', 'attention', 'recurrent', 'wrappers'])
    for (const granularity of ['tensor', 'channel', 'group'] as const) {
      const options = {
        scheme: 'int2',
        granularity,
        ...(granularity === 'group' ? { groupSize: 3 } : {}),
      } as const;
      const { graph } = await fixture(name, options, 'low-bit');
      const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((own) => [own, node] as const)));
      for (const { op, inputs } of graph.nodes.filter((own) => own.op === 'MatMul' || own.op === 'Gemm'))
        for (const input of inputs) assert.is.not(makers.get(input)?.op, 'DequantizeLinear', `${name} ${op}`);
    }
});

test('metadata tell of the source and of bits and scales of every weight', async () => {
  const keras = await openKeras(fileOf('cifar10'));
  const recipe = { default: { scheme: 'int4', granularity: 'group', groupSize: 32 } } as const;
  const { model } = quantizeModel(keras, recipe, { kernels });
  const files = onnxModelFiles(model, { version: '9.9.9' });
  const bytes = Buffer.concat([...files.model()]);
  assert.is(bytes.length, files.bytes);
  for (const text of [
    '"int4/group/32"',
    'bitnibble.quantization',
    'cifar10.h5',
    '9.9.9',
    'bitnibble.weights',
  ])
    assert.ok(bytes.includes(text), text);
  assert.ok(files.lowBit.length > 3);
  assert.equal(files.remarks, []);
  const lowBit = onnxModelFiles(model, { weights: 'low-bit' });
  assert.ok(lowBit.remarks.some((remark) => remark.includes('float32 while the model loads')));
  keras.close();
});

/** A Sequential model of Keras 3 without weights. */
function untrained(...layers: readonly [className: string, config: JsonObject][]): ModelSource {
  const entries = [
    { class_name: 'InputLayer', config: { name: 'x', batch_shape: [null, 8, 8, 3], dtype: 'float32' } },
    ...layers.map(([class_name, config]) => ({ class_name, config })),
  ];
  return {
    ...{ file: 'model.keras', kerasVersion: '3.15.1', backend: 'tensorflow', weights: [] },
    architecture: { class_name: 'Sequential', config: { name: 'model', layers: entries as never } },
    read(id) {
      throw new Error(`${id} was read`);
    },
  };
}

test('what ONNX lacks is refused by layer and operation, before a weight is read', () => {
  const refused = (source: ModelSource, message: RegExp) => {
    try {
      onnxModelFiles(source);
    } catch (error) {
      assert.is((error as { code?: string }).code, 'unsupported-layer');
      assert.match((error as Error).message, message);
      return;
    }
    assert.unreachable('it was not refused');
  };
  refused(
    untrained(['UpSampling2D', { name: 'up', size: [2, 2], interpolation: 'bicubic' }]),
    /^model\.keras: ONNX cannot hold the layer up \(UpSampling2D\): interpolation: bicubic$/,
  );
  refused(
    untrained(['Activation', { name: 'act', activation: 'sparsemax' }]),
    /^model\.keras: ONNX cannot run the layer act \(Activation\): activation sparsemax$/,
  );
  refused(
    untrained(['CenterCrop', { name: 'crop', height: 9, width: 9 }]),
    /crop \(CenterCrop\): an image that/,
  );
  // A file may claim any length: nothing is written out for it.
  refused(
    untrained(
      ['Flatten', { name: 'flat' }],
      ['RepeatVector', { name: 'repeat', n: 2 ** 31 }],
      ['Permute', { name: 'permute', dims: [2, 1] }],
      ['GroupNormalization', { name: 'norm', groups: 1, axis: -1, scale: false, center: false }],
    ),
    /norm \(GroupNormalization\): channels of 2147483648 numbers/,
  );
});

test('an input that is an output as well has an output of its own', () => {
  const files = onnxModelFiles(untrained(['Dropout', { name: 'drop', rate: 0.5 }]));
  assert.ok(Buffer.concat([...files.model()]).includes('Identity'));
});

test('zeros around windows over unknown lengths: counted where one window stands at each pixel', () => {
  const padding = (config: JsonObject) => {
    const base = { trainable: true, dtype: 'float32' };
    const start = { class_name: 'InputLayer', config: { name: 'x', batch_shape: [null, null, 4], ...base } };
    const conv = {
      class_name: 'Conv1D',
      config: { name: 'c', filters: 2, padding: 'same', ...base, ...config },
    };
    const weights = [
      { id: 'k', name: 'kernel', layer: 'c', shape: [config.kernel_size as number, 4, 2], dtype: 'float32' },
      { id: 'b', name: 'bias', layer: 'c', shape: [2], dtype: 'float32' },
    ];
    const model = {
      ...{ file: 'model.keras', kerasVersion: '3.15.1', backend: 'tensorflow', weights },
      architecture: { class_name: 'Sequential', config: { name: 'm', layers: [start, conv] } } as JsonObject,
      read: (id: string) => new Float32Array(id === 'k' ? (config.kernel_size as number) * 8 : 2),
    } as unknown as ModelSource;
    const { network, source } = openNetwork(model);
    const { nodes } = emitNetwork(dropIdentities(network), source, 'float').graph;
    const { pads, auto_pad: auto } = nodes.find(({ op }) => op === 'Conv')?.attributes ?? {};
    return pads ?? auto;
  };
  assert.equal(padding({ kernel_size: 3, dilation_rate: 2 }), [2, 2]);
  assert.equal(padding({ kernel_size: 4 }), [1, 2]);
  assert.is(padding({ kernel_size: 3, strides: 2 }), 'SAME_UPPER');
  assert.throws(
    () => padding({ kernel_size: 3, strides: 2, dilation_rate: 2 }),
    /the layer c \(Conv1D\): padding "same" of a dilated kernel with strides over an unknown length/,
  );
});

test.run();
