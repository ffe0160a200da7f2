// Files that Keras quantized itself, LoRA adapters and floats of other layouts: against what Keras's own functions give.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { BitnibbleError } from '../../src/errors.js';
import { toFloat32 } from '../../src/formats/dtypes.js';
import { openNpz } from '../../src/formats/npz.js';
import { roleOf } from '../../src/keras/axes.js';
import { type KerasModel, openKeras as openBytes, saveModelWeights } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import type { JsonObject } from '../../src/model.js';
import { openKeras, saveQuantized } from '../../src/node/models.js';
import { openPacked, packedBytes } from '../../src/packed/index.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { root, tempDir } from '../support/needs.js';

const folder = path.join(root, 'test/fixtures/quantized');
const fixture = (name: string) => path.join(folder, name);
const right = (name: string) => openNpz(readFileSync(fixture(`${name}.npz`)));

async function opened<T>(name: string, use: (model: KerasModel) => T | Promise<T>): Promise<T> {
  const model = await openKeras(fixture(name));
  try {
    return await use(model);
  } finally {
    model.close();
  }
}

async function refusal(name: string): Promise<BitnibbleError> {
  try {
    (await openKeras(fixture(name))).close();
  } catch (error) {
    return error as BitnibbleError;
  }
  throw new Error(`${name} was opened`);
}

/** `attention/query/kernel` as the fixtures name it. */
const key = (id: string) => id.replaceAll('/', '.');

/** Every weight of a model is that of the fixture, `error` apart at most. */
function sameValues(model: KerasModel, name: string, error: number): void {
  const expected = right(name);
  const stored = expected.names.filter((array) => array !== 'x' && array !== 'y');
  assert.equal(model.weights.map(({ id }) => key(id)).sort(), [...stored].sort());
  for (const { id, shape, dtype } of model.weights) {
    const { data, shape: wanted } = expected.read(key(id));
    assert.equal([...shape], [...wanted], id);
    assert.is(dtype, 'F32', id);
    const values = model.read(id);
    const largest = values.reduce((most, value, i) => Math.max(most, Math.abs(value - Number(data[i]))), 0);
    assert.ok(largest <= error, `${id}: ${largest}`);
  }
}

const EXACT = [
  ...['int8.keras', 'int8.h5', 'int4.keras', 'int4.h5', 'int4_blocks.keras', 'int4_blocks.h5'],
  ...['tied_int8.keras', 'untied_int8.keras', 'untied_int4.keras', 'untied_int4_blocks.keras'],
  ...['gptq.h5', 'gptq3.h5', 'gptq3.keras', 'awq.h5', 'float8.keras', 'float8.h5', 'float8.weights.h5'],
];
for (const file of EXACT)
  test(`${file}: weights are the floats that Keras decodes, bit for bit`, () =>
    opened(file, (model) => sameValues(model, file.replace(/\..*/, ''), 0)));

for (const file of ['lora.h5', 'lora.keras', 'lora_int8.h5', 'lora_int4.h5'])
  test(`${file}: adapters are added to their kernels`, () =>
    opened(file, (model) => {
      sameValues(model, file.replace(/\..*/, ''), 1e-6);
      const isMerged = file.endsWith('.keras');
      const dense = model.weights.find(({ id }) => id === 'out/kernel');
      assert.is(/lora/.test(dense?.stored?.as ?? ''), !isMerged);
      const config = model.layers.find(({ name }) => name === 'out')?.config;
      assert.is(config?.lora_rank === undefined, !isMerged);
    }));

test('layers are ordinary ones afterwards, kernels first, and weights say what they were', () =>
  opened('int4_blocks.h5', (model) => {
    const hidden = model.weights.filter(({ layer }) => layer === 'hidden');
    assert.equal(
      hidden.map(({ name, stored }) => [name, stored?.as]),
      [
        ['kernel', 'int4/3'],
        ['bias', undefined],
      ],
    );
    // 42 x 5 codes in 42 x 3 bytes, 14 x 5 scales and zeros, 42 indices.
    assert.is(hidden[0]?.stored?.bytes, 126 + 70 * 5 + 42 * 4);
    assert.equal(roleOf(hidden[0] as never), { kind: 'kernel', axes: [1], guess: false });
    for (const { config } of model.layers) {
      if (config.dtype === undefined) continue;
      const policy = config.dtype as JsonObject | string;
      assert.is(
        typeof policy === 'string' ? policy : policy.class_name,
        typeof policy === 'string' ? policy : 'DTypePolicy',
      );
      assert.ok(!config.quantization_config);
    }
    assert.not.match(JSON.stringify(model.architecture), /int4\/3/);
  }));

test('ranges of coded arrays are parts of the whole', async () => {
  for (const file of [
    'int8.h5',
    'int4.h5',
    'int4_blocks.h5',
    'awq.h5',
    'untied_int4_blocks.keras',
    'lora.h5',
  ])
    await opened(file, (model) => {
      for (const { id, coded } of model.weights) {
        if (!coded) continue;
        const all = model.read(id);
        for (let from = 0; from < all.length; from += 3)
          for (const to of [from + 1, Math.min(all.length, from + 8), all.length]) {
            const part = toFloat32(
              model.readBytes(id, [from, to], new Uint8Array(4 * all.length + 1).subarray(1)),
              'F32',
            );
            assert.equal(part, all.slice(from, to), `${file} ${id} [${from}, ${to})`);
          }
      }
    });
});

test('weights alone: decoded where names and shapes tell all, else kept with the reason', async () => {
  for (const name of ['int8', 'int4', 'int4_blocks']) {
    const expected = right(name);
    await opened(`${name}.weights.h5`, (model) => {
      for (const weight of model.weights) {
        const { id, dtype, stored } = weight;
        if (stored?.kept !== undefined) {
          assert.equal(roleOf(weight), { kind: 'other', reason: stored.kept });
          assert.match(stored.kept, /cannot be told|does not say/);
        } else {
          assert.is(dtype, 'F32');
          const { data } = expected.read(key(id));
          assert.equal(model.read(id), new Float32Array(data as Float32Array), id);
        }
      }
      const decoded = model.weights.filter(({ coded }) => coded).map(({ id }) => id);
      const attention = ['query', 'key', 'value', 'attention_output'].map(
        (part) => `attention/${part}/kernel`,
      );
      const dense =
        name === 'int4_blocks' ? ['hidden/kernel', 'out/kernel', 'embedding/embeddings'] : ['hidden/kernel'];
      const einsum = name === 'int8' ? ['split/kernel', 'merge/kernel'] : [];
      assert.equal([...decoded].sort(), [...attention, ...dense, ...einsum].sort());
    });
  }
});

test('zero points that Keras did not write are named', async () => {
  for (const name of ['gptq.keras', 'gptq.weights.h5', 'gptq3.weights.h5', 'awq.keras', 'awq.weights.h5']) {
    const { code, message } = await refusal(name);
    assert.is(code, 'missing-weight');
    assert.match(
      message,
      new RegExp(`${name}: layer block/.*: the file has no kernel_zero, .* save the model as \\.h5`),
    );
  }
});

test('codes are quantized again from their values; scales are none of the weights', async () => {
  const kernels = await loadKernels();
  await opened('int8.keras', (model) => {
    const { model: quantized, report } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
    const rows = new Map(report.tensors.map((row) => [row.id, row]));
    const hidden = rows.get('hidden/kernel');
    assert.is(hidden?.result, 'int4');
    assert.is(hidden?.stored, 'int8');
    assert.is(hidden?.bytesBefore, 42 * 5 + 5 * 4);
    assert.ok((hidden?.snrDb ?? 0) > 15, `${hidden?.snrDb}`);
    assert.ok(![...rows.keys()].some((id) => /scale|zero|g_idx/.test(id)));
    const packed = openPacked(packedBytes(quantized), kernels, 'a.safetensors');
    assert.equal(packed.read('out/kernel'), quantized.read('out/kernel'));
    assert.not.match(JSON.stringify(packed.architecture), /QuantizedDTypePolicy/);
  });
});

test('a Keras file of codes takes no other values, but of its other layers', async () => {
  const kernels = await loadKernels();
  const scratch = tempDir();
  await opened('int8.keras', async (model) => {
    const { model: quantized } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
    const out = path.join(scratch, 'out.keras');
    try {
      await saveQuantized(quantized, model, out);
      assert.unreachable();
    } catch (error) {
      assert.is((error as BitnibbleError).code, 'unsupported-dtype');
      assert.match(
        (error as Error).message,
        /embedding\/embeddings was quantized by Keras \(int8\), .*\.safetensors/,
      );
    }
    assert.equal(readdirSync(scratch), []);
    const bias = new Map([['hidden/bias', [1, 2, 3, 4, 5]]]);
    const changed = await openBytes(await saveModelWeights(model, bias), 'changed.keras');
    assert.equal([...changed.read('hidden/bias')], [1, 2, 3, 4, 5]);
    assert.equal(changed.read('hidden/kernel'), model.read('hidden/kernel'));
    changed.close();
  });
});

test('state of float8 training is left out, and named', async () => {
  const kernels = await loadKernels();
  await opened('float8.keras', (model) => {
    assert.is(model.parameters, 6 * 10 + 10 + 10 * 5 + 5);
    assert.is(model.leftOut.length, 12);
    assert.equal(model.leftOut[1], {
      id: 'hidden/inputs_amax_history',
      shape: [1024],
      reason: 'state of float8 training',
    });
    assert.is(model.weights[0]?.stored?.as, 'float8');
    const { model: quantized } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
    assert.ok(packedBytes(quantized).length < 6000);
  });
});

for (const [file, dtype] of [
  ['bfloat16_float.h5', 'BF16'],
  ['bfloat16_big_endian.h5', 'BF16'],
  ['float16_big_endian.h5', 'F16'],
  ['float32_big_endian.h5', 'F32'],
] as const)
  test(`${file}: numbers as h5py reads them, written and read again`, () =>
    opened(file, async (model) => {
      const expected = right(file.replace('.h5', ''));
      for (const id of ['hidden/kernel', 'out/kernel']) {
        assert.is(model.weight(id).dtype, dtype);
        assert.equal(model.read(id), new Float32Array(expected.read(key(id)).data as Float32Array));
      }
      const values = model.read('hidden/kernel').map((value) => -2 * value);
      const saved = await saveModelWeights(model, new Map([['hidden/kernel', values]]));
      const again = await openBytes(saved, file);
      assert.equal(again.read('hidden/kernel'), values);
      again.close();
    }));

test('floats of other layouts are refused by their bits', async () => {
  for (const [file, bits] of [
    ['float8_e4m3.h5', /8 bits with 4 for the exponent \(bias 7\) and 3 for the mantissa/],
    ['float16_other.h5', /16 bits with 6 for the exponent \(bias 31\) and 9 for the mantissa/],
  ] as const) {
    const { code, message } = await refusal(file);
    assert.is(code, 'unsupported-dtype');
    assert.match(message, bits);
  }
  await opened('float32_other.h5', (model) =>
    assert.throws(
      () => model.read('hidden/kernel'),
      (error: BitnibbleError) =>
        error.code === 'unsupported-dtype' &&
        /32 bits with 9 for the exponent \(bias 255\)/.test(error.message),
    ),
  );
});

test.run();
