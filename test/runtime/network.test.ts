// A loaded network: what goes in and comes out, batches, refusals, memory.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { loadKernels } from '../../src/kernels/index.js';
import type { JsonObject, ModelSource } from '../../src/model.js';
import { openKeras } from '../../src/node/models.js';
import { loadNetwork as loadInNode } from '../../src/node/networks.js';
import { type PackedWeight, packedBytes, QuantizedModel } from '../../src/packed/index.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { loadNetwork } from '../../src/runtime/index.js';
import { loadNetwork as loadPlain } from '../../src/runtime/plain.js';
import { root } from '../support/needs.js';
import { rejects } from '../support/throws.js';
import { names, quantized } from '../tfjs/support.js';
import { generator } from './support.js';

const kernels = await loadKernels();

/** A fixture as the bytes of a packed file. */
async function bytesOf(name: string): Promise<Uint8Array> {
  const { packed } = await quantized(name, kernels);
  return packedBytes(packed);
}

const cifar = await bytesOf('cifar10');

test('bytes, a buffer, a Blob and a Response give the same network', async () => {
  const copy = cifar.slice();
  const sources = [copy, copy.buffer, new Blob([copy]), new Response(copy)] as const;
  const x = generator(1).floats(8 * 8 * 3);
  const results = [];
  for (const source of sources) {
    const network = await loadNetwork(source);
    const [input] = network.inputs;
    const size = input?.shape.reduce((n, d) => n * d, 1) as number;
    results.push([...network.run(Float32Array.from({ length: size }, (_, i) => x[i % x.length] as number))]);
  }
  for (const result of results) assert.equal(result, results[0]);
  await rejects(loadNetwork(new Response('', { status: 404 })), 'download', /HTTP status 404/);
  await rejects(() => loadNetwork('/model.safetensors' as never), 'TypeError', /"source" expected bytes/);
  await rejects(() => loadNetwork(cifar, { weights: 'half' as never }), 'TypeError', /"weights" expected/);
});

test('a batch gives what its samples give alone; no sample gives nothing', async () => {
  const network = await loadNetwork(cifar);
  const [input] = network.inputs;
  const [output] = network.outputs;
  const size = input?.shape.reduce((n, d) => n * d, 1) as number;
  const classes = output?.shape[0] as number;
  const x = generator(2).floats(3 * size, 5);
  const all = network.run(x);
  for (let i = 0; i < 3; i++) {
    const alone = network.run(x.subarray(i * size, (i + 1) * size));
    assert.equal([...alone], [...all.subarray(i * classes, (i + 1) * classes)]);
  }
  assert.is(network.run(new Float32Array(0)).length, 0);
  const into = new Float32Array(3 * classes);
  network.runInto(x, into);
  assert.equal([...into], [...all]);
  await rejects(() => network.runInto(x, new Float32Array(1)), 'RangeError', /expected 30 values, got 1/);
});

test('pixels of 8 bits go in as the numbers that they are', async () => {
  const network = await loadNetwork(cifar);
  const size = network.inputs[0]?.shape.reduce((n, d) => n * d, 1) as number;
  const pixels = generator(3).bytes(size);
  assert.equal([...network.run(pixels)], [...network.run(Float32Array.from(pixels))]);
});

/** Two sequences of any length, added, times a matrix: two inputs and two outputs. */
function twoInputs(): ModelSource {
  const input = (name: string) => ({
    ...{ class_name: 'InputLayer', name, inbound_nodes: [] },
    config: { name, batch_input_shape: [null, null, 2], dtype: 'float32' },
  });
  const layers = [
    ...[input('left'), input('right')],
    {
      ...{ class_name: 'Add', name: 'sum', config: { name: 'sum' } },
      inbound_nodes: [['left', 'right'].map((name) => [name, 0, 0, {}])],
    },
    {
      ...{ class_name: 'Dense', name: 'dense', config: { name: 'dense', units: 1, use_bias: false } },
      inbound_nodes: [[['sum', 0, 0, {}]]],
    },
  ];
  const tensors = (names: string[]) => names.map((name) => [name, 0, 0]);
  const config = {
    ...{ name: 'two', layers, input_layers: tensors(['left', 'right']) },
    output_layers: tensors(['dense', 'sum']),
  };
  const weight = { id: 'dense/kernel', layer: 'dense', className: 'Dense', name: 'kernel', shape: [2, 1] };
  return {
    ...{ file: 'two.h5', kerasVersion: '2.15.0', backend: 'tensorflow' },
    architecture: { class_name: 'Functional', config } as unknown as JsonObject,
    weights: [{ ...weight, dtype: 'F32' }],
    read: () => Float32Array.of(1, 10),
  };
}

test('inputs and outputs by name, lengths that are not fixed, and what does not fit', async () => {
  await rejects(() => loadNetwork(twoInputs()), 'RangeError', /"left" expected a shape with fixed lengths/);
  const wrong = { left: [3, 4], right: [3, 2] };
  await rejects(
    () => loadNetwork(twoInputs(), { shapes: wrong }),
    'RangeError',
    /"left" expected shape \[any,2\]/,
  );
  const network = await loadNetwork(twoInputs(), { shapes: { left: [3, 2], right: [3, 2] } });
  assert.equal(
    network.inputs.map(({ name, shape }) => [name, ...shape]),
    [
      ['left', 3, 2],
      ['right', 3, 2],
    ],
  );
  const left = Float32Array.of(1, 2, 3, 4, 5, 6);
  const right = Int32Array.of(10, 20, 30, 40, 50, 60);
  const { dense, sum } = network.run({ left, right }) as Record<string, Float32Array>;
  assert.equal([...(sum as Float32Array)], [11, 22, 33, 44, 55, 66]);
  assert.equal([...(dense as Float32Array)], [231, 473, 715]);
  const out = { dense: new Float32Array(3), sum: new Float32Array(6) };
  network.runInto({ left, right }, out);
  assert.equal([...out.dense], [231, 473, 715]);
  await rejects(() => network.run(left), 'TypeError', /"left" expected a typed array/);
  await rejects(
    () => network.run({ left, right: right.subarray(1) }),
    'RangeError',
    /"right" expected values of shape \[1, 3, 2\], got 5/,
  );
  await rejects(
    () => network.runInto({ left, right }, new Float32Array(3)),
    'RangeError',
    /expected 6 values|expected 3/,
  );
});

/** The same file with another architecture. */
function edited(bytes: Uint8Array, change: (architecture: string) => string): Uint8Array {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const json = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  json.__metadata__.architecture = change(json.__metadata__.architecture);
  const header = new TextEncoder().encode(JSON.stringify(json));
  const size = new Uint8Array(8);
  new DataView(size.buffer).setUint32(0, header.length, true);
  return new Uint8Array(Buffer.concat([size, header, bytes.subarray(8 + length)]));
}

async function codeOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
  } catch (error) {
    assert.instance(error, BitnibbleError, String((error as Error).stack));
    return `${(error as BitnibbleError).code}: ${(error as Error).message}`;
  }
  return 'it was taken';
}

test('memory that a small file asks for is bounded, and refused while it is loaded', async () => {
  const tagger = await bytesOf('lstm_tagger');
  for (const [length, limit] of [
    [2 ** 20, 2 ** 24],
    [2 ** 26, undefined],
    [1e15, undefined],
  ] as const) {
    const bytes = edited(tagger, (text) =>
      text.replace(/"batch_shape":\[null,\d+\]/, `"batch_shape":[null,${length}]`),
    );
    for (const backend of ['simd', 'reference'] as const) {
      const before = process.memoryUsage.rss();
      const options = { backend, ...(limit === undefined ? {} : { memoryLimit: limit }) };
      const fault = await codeOf(() => loadNetwork(bytes, options));
      assert.match(
        fault,
        /^too-large: .*MiB of memory are needed, the limit is [\d,]+ MiB \(option memoryLimit\)/,
      );
      assert.ok(process.memoryUsage.rss() - before < 2 ** 28, `${process.memoryUsage.rss() - before}`);
    }
  }
  for (const memoryLimit of [0, -1, Number.NaN, 2 ** 31])
    await rejects(() => loadNetwork(cifar, { memoryLimit }), 'RangeError', /"memoryLimit" expected bytes/);
});

test('borders of a kernel beyond 32 bits count as the memory that they are', async () => {
  for (const reach of [2 ** 29, 2 ** 31, 2 ** 40]) {
    let edits = 0;
    const bytes = edited(cifar, (text) =>
      text.replace(/"dilation_rate":\s*\[1,\s*1\]/, () => {
        edits++;
        return `"dilation_rate":[1,${reach}]`;
      }),
    );
    assert.is(edits, 1);
    for (const weights of ['packed', 'decoded'] as const)
      assert.match(await codeOf(() => loadNetwork(bytes, { weights })), /^too-large: .*option memoryLimit/);
  }
});

test('a network without inputs or outputs is refused', async () => {
  const siamese = await bytesOf('graph_siamese');
  for (const what of ['inputs', 'outputs']) {
    const key = `${what.slice(0, -1)}_layers`;
    const bytes = edited(siamese, (text) => {
      const json = JSON.parse(text);
      json.config[key] = [];
      return JSON.stringify(json);
    });
    assert.match(
      await codeOf(() => loadNetwork(bytes)),
      new RegExp(`^unsupported-layer: .*it has no ${what}`),
    );
  }
});

test('scales that make infinity of a code are refused', async () => {
  const { packed } = await quantized('cifar10', kernels);
  const weights = packed.weights.map((weight): PackedWeight => {
    if (weight.kind === 'kept' || weight.name !== 'kernel') return weight;
    return { ...weight, tensor: { ...weight.tensor, scales: weight.tensor.scales.map(() => 3e38) } };
  });
  const { file, architecture, kerasVersion, backend } = packed;
  const bytes = packedBytes(
    new QuantizedModel({ file, architecture, kerasVersion, backend }, weights, kernels),
  );
  for (const way of ['packed', 'decoded'] as const)
    assert.match(
      await codeOf(() => loadNetwork(bytes, { weights: way })),
      /^not-finite: .*kernel: its scale and code make -?Infinity at index \d+/,
    );
});

test('lengths that are none are a fault of the file', async () => {
  const tagger = await bytesOf('lstm_tagger');
  for (const length of [0, -1, 1.5]) {
    const bytes = edited(tagger, (text) =>
      text.replace(/"batch_shape":\[null,\d+\]/, `"batch_shape":[null,${length}]`),
    );
    assert.match(
      await codeOf(() => loadNetwork(bytes)),
      `corrupt-file: packed model: expected lengths of at least 1 in the shape of input input_layer, got [None,${length}]`,
    );
  }
});

test('a download without end is given up, a body is read as far as its header says', async () => {
  const zeros = new Uint8Array(2 ** 16);
  for (const [first, code] of [
    [zeros, 'not-safetensors'],
    [cifar, 'corrupt-file'],
  ] as const) {
    let sent = 0;
    let isCancelled = false;
    const stream = new ReadableStream({
      pull: (controller) => {
        controller.enqueue(sent === 0 ? first : zeros);
        sent += zeros.length;
      },
      cancel: () => {
        isCancelled = true;
      },
    });
    assert.match(await codeOf(() => loadNetwork(new Response(stream))), new RegExp(`^${code}: `));
    assert.ok(isCancelled && sent <= 2 ** 20, `${sent}`);
  }
  assert.match(
    await codeOf(() => loadNetwork(new Response(cifar.slice()), { memoryLimit: 1000 })),
    /^too-large: .*the limit is 1000/,
  );
  assert.match(await codeOf(() => loadNetwork(new Response(null, { status: 404 }))), /^download: .*404/);
});

test('a source may be on its way; what is refused leaves no rejection of it behind', async () => {
  const x = generator(6).floats(32 * 32 * 3);
  const wanted = (await loadNetwork(cifar)).run(x);
  const late = <T>(value: T) => new Promise<T>((done) => setTimeout(done, 20, value));
  for (const source of [late(cifar), late(new Response(cifar.slice()))])
    assert.equal((await loadNetwork(source)).run(x), wanted);
  await rejects(() => loadNetwork(late(3 as never)), 'TypeError', /"source" expected bytes/);

  const left: unknown[] = [];
  const keep = (reason: unknown) => void left.push(reason);
  process.on('unhandledRejection', keep);
  try {
    const failed = () => late(0).then(() => Promise.reject(new TypeError('Failed to fetch')));
    await rejects(() => loadNetwork(failed()), 'TypeError', /^Failed to fetch$/);
    for (const options of [{ threads: 0 }, { memoryLimit: -1 }])
      await rejects(() => loadNetwork(failed(), options), 'RangeError', /expected/);
    for (const options of [{ weights: 'other' }, { module: 3 }])
      await rejects(() => loadNetwork(failed(), options as object), 'TypeError', /expected/);
    await rejects(
      () => loadPlain(failed(), { threads: 2 } as object),
      'TypeError',
      /"threads" expected nothing/,
    );
    await rejects(() => loadInNode(failed(), { threads: 0 }), 'RangeError', /"threads"/);
    await late(0);
    await late(0);
    assert.equal(left, []);
  } finally {
    process.off('unhandledRejection', keep);
  }
});

test('values that are not finite are refused where integers are made of them', async () => {
  const network = await loadNetwork(cifar);
  const size = network.inputs[0]?.shape.reduce((n, d) => n * d, 1) as number;
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const x = new Float32Array(size);
    x[5] = bad;
    await rejects(() => network.run(x), 'RangeError', /expected finite inputs/);
  }
});

test('the reference gives the bits of SIMD, through a whole network', async () => {
  for (const name of ['cifar10', 'mobilenet_v2', 'unet', 'recurrent', 'transformer'].filter((own) =>
    names.includes(own),
  )) {
    const bytes = await bytesOf(name);
    const [simd, reference] = [await loadNetwork(bytes), await loadNetwork(bytes, { backend: 'reference' })];
    const random = generator(4);
    const inputs = Object.fromEntries(
      simd.inputs.map(({ name: own, shape, dtype }) => {
        const size = shape.reduce((n, d) => n * d, 1);
        return [own, dtype === 'float32' ? random.floats(size) : new Float32Array(size).fill(1)];
      }),
    );
    const results = [simd, reference].map((network) => {
      const out = network.run(inputs);
      return out instanceof Float32Array ? [[...out]] : Object.values(out).map((own) => [...own]);
    });
    assert.equal(results[0], results[1], name);
  }
});

test('what it takes is told, and nothing runs once it is disposed of', async () => {
  const [decoded, packed] = [await loadNetwork(cifar), await loadNetwork(cifar, { weights: 'packed' })];
  assert.is(decoded.summary().backend, 'simd');
  assert.ok(packed.summary().bytes.weights < decoded.summary().bytes.weights);
  assert.ok(packed.summary().bytes.weights < 1.5 * cifar.length + 4096 * packed.summary().steps);
  decoded.dispose();
  await rejects(() => decoded.run(new Float32Array(0)), 'TypeError', /not disposed of/);
});

/** Dense layers one after the other, `shared` of which are one layer called several times. */
function stack(calls: number, isShared: boolean): ModelSource {
  const n = 64;
  const name = (i: number) => (isShared ? 'dense' : `dense_${i}`);
  const node = (i: number) => [[i === 0 ? 'input' : name(i - 1), isShared && i > 0 ? i - 1 : 0, 0, {}]];
  const dense = (i: number, nodes: unknown[]) => ({
    ...{ class_name: 'Dense', name: name(i), inbound_nodes: nodes },
    config: { name: name(i), units: n, use_bias: false, activation: 'tanh' },
  });
  const all = Array.from({ length: calls }, (_, i) => node(i));
  const layers = [
    {
      ...{ class_name: 'InputLayer', name: 'input', inbound_nodes: [] },
      config: { name: 'input', batch_input_shape: [null, n], dtype: 'float32' },
    },
    ...(isShared ? [dense(0, all)] : all.map((own, i) => dense(i, [own]))),
  ];
  const config = {
    ...{ name: 'stack', layers, input_layers: [['input', 0, 0]] },
    output_layers: [[name(calls - 1), isShared ? calls - 1 : 0, 0]],
  };
  const random = generator(7).floats(n * n, 0.2);
  const weights = Array.from({ length: isShared ? 1 : calls }, (_, i) => ({
    ...{
      id: `${name(i)}/kernel`,
      layer: name(i),
      className: 'Dense',
      name: 'kernel',
      shape: [n, n],
      dtype: 'F32' as const,
    },
  }));
  return {
    ...{ file: 'stack.h5', kerasVersion: '2.15.0', backend: 'tensorflow', weights },
    architecture: { class_name: 'Functional', config } as unknown as JsonObject,
    read: () => random.slice(),
  };
}

test('weights of a layer that is called several times lie in memory once, float and packed', async () => {
  const [one, four, apart] = [stack(1, true), stack(4, true), stack(4, false)] as const;
  const x = generator(8).floats(64);
  const kernels = await loadKernels();
  const recipe = { default: { scheme: 'int4', granularity: 'channel', scale: 'absmax' } } as const;
  const packed = (model: ModelSource) => quantizeModel(model as never, recipe, { kernels }).model;
  for (const weights of ['packed', 'decoded'] as const)
    for (const form of [(model: ModelSource) => model, packed]) {
      const [single, shared, own] = [
        await loadNetwork(form(one), { weights }),
        await loadNetwork(form(four), { weights }),
        await loadNetwork(form(apart), { weights }),
      ] as const;
      const bytes = (network: typeof single) => network.summary().bytes.weights;
      // Tables, scales and records of three more calls, and no weights.
      assert.ok(bytes(shared) - bytes(single) < 3 * 1500, `${bytes(shared)} after ${bytes(single)}`);
      assert.ok(bytes(own) - bytes(shared) >= 3 * 64 * 64 * (form === packed ? 0.5 : 4));
      assert.equal([...shared.run(x)], [...own.run(x)]);
    }
});

test('what cannot be run is refused by name when it is loaded', async () => {
  const model = stack(1, true);
  const { config } = model.architecture as unknown as { config: { layers: { config: JsonObject }[] } };
  (config.layers[1] as { config: JsonObject }).config.activation = 'sparsemax';
  await rejects(
    loadNetwork(model),
    'unsupported-layer',
    /stack\.h5: the runtime cannot run the layer dense \(Dense\): activation sparsemax/,
  );
});

test('a module made elsewhere', async () => {
  const module = await WebAssembly.compile(
    readFileSync(new URL('../../build/runtime.wasm', import.meta.url)),
  );
  const network = await loadNetwork(cifar, { module });
  const other = await loadNetwork(cifar, { module });
  const size = network.inputs[0]?.shape.reduce((n, d) => n * d, 1) as number;
  const x = generator(5).floats(size);
  assert.equal([...network.run(x)], [...other.run(x)]);
});

test('the module of plain networks runs them, and is refused by name for others', async () => {
  const bytes = readFileSync(new URL('../../build/runtime-plain.wasm', import.meta.url));
  const module = await WebAssembly.compile(bytes);
  const model = await openKeras(path.join(root, 'examples/cifar10/cifar10.h5'));
  const { model: packed } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
  const x = generator(7).floats(32 * 32 * 3);
  const [plain, own] = [await loadNetwork(packed, { module }), await loadNetwork(packed)];
  assert.equal([...plain.run(x)], [...own.run(x)]);
  // Float weights: other kernels.
  const error = await loadNetwork(model, { module }).then(
    () => undefined,
    (reason) => reason,
  );
  model.close();
  assert.is(error?.code, 'bad-module');
  assert.match(error.message, /expected runtime\.wasm, got runtime-plain\.wasm/);
});

test('runs take no memory but that of some small objects', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const model = await openKeras(path.join(root, 'examples/cifar10/cifar10.h5'));
  const { model: packed } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
  const network = await loadNetwork(packedBytes(packed));
  model.close();
  const [x, scores] = [generator(6).floats(32 * 32 * 3), new Float32Array(10)];
  const run = (times: number) => {
    for (let n = 0; n < times; n++) network.runInto(x, scores);
  };
  run(40);
  collect();
  const before = process.memoryUsage();
  run(40);
  const after = process.memoryUsage();
  // The results of the first layer alone have 512 KiB.
  const perRun = (after.heapUsed - before.heapUsed) / 40;
  assert.ok(perRun < 32 * 1024, `${perRun} bytes of objects for each run`);
  assert.ok(
    after.arrayBuffers <= before.arrayBuffers,
    `${after.arrayBuffers - before.arrayBuffers} bytes of buffers`,
  );
});

test.run();
