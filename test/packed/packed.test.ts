import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { openNpz } from '../../src/formats/npz.js';
import { bytesAccess } from '../../src/formats/random-access.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openKeras } from '../../src/node/models.js';
import { openPacked, type PackedWeight, packedBytes, QuantizedModel } from '../../src/packed/index.js';
import { openPackedSource } from '../../src/packed/read-source.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { quantizeTensor } from '../../src/schemes/quantize.js';
import type { QuantizeOptions, SchemeName } from '../../src/schemes/types.js';
import { need, root, runPython, tempDir } from '../support/needs.js';

const kernels = await loadKernels();
const info = {
  file: 'm',
  architecture: { class_name: 'Sequential', config: { layers: [] } },
  kerasVersion: '3',
  backend: '',
};

function weight(id: string, values: number[], shape: number[], options?: QuantizeOptions): PackedWeight {
  const data = Float32Array.from(values);
  const base = { id, layer: 'd', className: 'Dense', name: 'kernel', shape, dtype: 'F32' as const };
  if (!options) return { ...base, kind: 'kept', reason: 'vector', bytes: () => new Uint8Array(data.buffer) };
  return { ...base, kind: 'quantized', tensor: quantizeTensor(kernels, data, shape, options) };
}

const small = new QuantizedModel(
  info,
  [
    weight('d/kernel', [0.5, -1, 7, -0, 3, -3.5], [3, 2], { scheme: 'int4', granularity: 'channel' }),
    weight('d/quarters', [1, -1, 0, 2, -5], [5], { scheme: 'int2', granularity: 'tensor', scale: 'absmax' }),
    weight('d/signs', [1, -1, 0, 2, -5, 3, 4, -2, 8], [9], { scheme: 'binary', granularity: 'tensor' }),
    weight('d/bias', [1.5, -2], [2]),
  ],
  kernels,
);

function errorOf(bytes: Uint8Array): BitnibbleError | undefined {
  try {
    const model = openPacked(bytes, kernels, 'x.safetensors');
    for (const { id } of model.weights) model.read(id);
  } catch (error) {
    assert.instance(error, BitnibbleError, String((error as Error).stack));
    return error as BitnibbleError;
  }
  return undefined;
}

const codeOf = (bytes: Uint8Array) => errorOf(bytes)?.code ?? 'ok';
const faultOf = (bytes: Uint8Array) => errorOf(bytes)?.message ?? 'ok';

/** The file with its header changed as text. */
function edited(change: (header: string) => string): Uint8Array {
  const bytes = packedBytes(small);
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const before = new TextDecoder().decode(bytes.subarray(8, 8 + length));
  const after = new TextEncoder().encode(change(before));
  assert.ok(change(before) !== before, 'the edit changed something');
  const out = new Uint8Array(8 + after.length + bytes.length - 8 - length);
  new DataView(out.buffer).setUint32(0, after.length, true);
  out.set(after, 8);
  out.set(bytes.subarray(8 + length), 8 + after.length);
  return out;
}

test('golden bytes: codes, scales and kept values stand where FORMAT.md says', () => {
  const bytes = packedBytes(small);
  const length = new DataView(bytes.buffer).getUint32(0, true);
  assert.is(length % 8, 0);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  assert.is(header.__metadata__.format, 'bitnibble');
  assert.is(header.__metadata__.format_version, '1');
  assert.equal(Object.keys(header), [
    '__metadata__',
    'd/kernel.scales',
    'd/quarters.scales',
    'd/signs.scales',
    'd/bias',
    'd/kernel.codes',
    'd/quarters.codes',
    'd/signs.codes',
  ]);
  const data = (name: string) => {
    const [start, end] = header[name].data_offsets;
    return bytes.slice(8 + length + start, 8 + length + end);
  };
  // column 0: 0.5 7 3, amax 7; column 1: -1 -0 -3.5, amax 3.5, inverse 2
  assert.equal([...new Float32Array(data('d/kernel.scales').buffer)], [1, 0.5]);
  // codes in C order: 0 (0.5 to even), -2, 7, 0, 3, -7 -> low nibble first
  assert.equal([...data('d/kernel.codes')], [0xe0, 0x07, 0x93]);
  // quarters: amax 5, w * 0.3 is 0.3 -0.3 0 0.6 -1.5: 0 -1 0 0 | -2, lowest bits first
  assert.equal([...data('d/quarters.codes')], [0b00001100, 0b10]);
  assert.is(new Float32Array(data('d/quarters.scales').buffer)[0], Math.fround(5 / 1.5));
  // signs: 1 0 0 1 0 1 1 0 | 1 -> bit 0 first
  assert.equal([...data('d/signs.codes')], [0b01101001, 0b1]);
  assert.is(new Float32Array(data('d/signs.scales').buffer)[0], Math.fround(26 / 9));
  assert.equal([...new Float32Array(data('d/bias').buffer)], [1.5, -2]);
});

test('what is written reads back the same, and writes the same bytes again', () => {
  const bytes = packedBytes(small);
  const again = openPacked(bytes, kernels, 'x');
  for (const { id } of small.weights) assert.equal(again.read(id), small.read(id), id);
  assert.equal(packedBytes(again), bytes);
  assert.equal(again.architecture, info.architecture);
  const out = new Float32Array(6);
  assert.equal(again.readInto('d/kernel', out), small.read('d/kernel'));
});

test('a file at an odd offset of a larger buffer reads as well', () => {
  const bytes = packedBytes(small);
  const moved = new Uint8Array(bytes.length + 3);
  moved.set(bytes, 3);
  const again = openPacked(moved.subarray(3), kernels, 'x');
  for (const { id } of small.weights) assert.equal(again.read(id), small.read(id), id);
});

test('every truncation and any byte more is refused', () => {
  const bytes = packedBytes(small);
  for (let length = 0; length < bytes.length; length++) {
    assert.ok(
      ['not-safetensors', 'corrupt-file'].includes(codeOf(bytes.subarray(0, length))),
      `length ${length}`,
    );
  }
  const longer = new Uint8Array(bytes.length + 1);
  longer.set(bytes);
  assert.is(codeOf(longer), 'corrupt-file');
});

test('4,000 seeded bit flips end in a coded error or a model, never in another exception', () => {
  const bytes = packedBytes(small);
  let state = 1;
  for (let flip = 0; flip < 4000; flip++) {
    state = (state * 1664525 + 1013904223) >>> 0;
    const copy = bytes.slice();
    const at = state % copy.length;
    copy[at] = (copy[at] as number) ^ (1 << (state >>> 29));
    codeOf(copy);
  }
});

test('metadata that contradicts itself is refused', () => {
  const replace = (from: string | RegExp, to: string) => codeOf(edited((header) => header.replace(from, to)));
  assert.is(replace('"format":"bitnibble"', '"format":"other"'), 'unknown-format');
  assert.is(replace('"format_version":"1"', '"format_version":"2"'), 'unsupported-version');
  assert.is(replace('\\"scheme\\":\\"int4\\"', '\\"scheme\\":\\"int5\\"'), 'corrupt-file');
  // what a reader from before int2 says of it
  const text = faultOf(
    edited((header) => header.replace('\\"scheme\\":\\"int2\\"', '\\"scheme\\":\\"int3\\"')),
  );
  assert.match(
    text,
    'x.safetensors: damaged packed model: "scheme" expected binary, int2 or int4, got "int3" (tensor d/quarters)',
  );
  assert.is(replace('\\"axes\\":[1]', '\\"axes\\":[9]'), 'corrupt-file');
  assert.is(replace('\\"axes\\":[1]', '\\"axes\\":[0]'), 'corrupt-file');
  assert.is(replace('\\"shape\\":[3,2]', '\\"shape\\":[3,9]'), 'corrupt-file');
  assert.is(replace('\\"shape\\":[3,2]', '\\"shape\\":[9007199254740991,4]'), 'corrupt-file');
  assert.is(replace('\\"id\\":\\"d/bias\\"', '\\"id\\":\\"d/signs\\"'), 'corrupt-file');
  assert.is(replace('\\"id\\":\\"d/bias\\"', '\\"id\\":\\"d/other\\"'), 'missing-weight');
  assert.is(replace(/"data_offsets":\[0,8\]/, '"data_offsets":[4,12]'), 'corrupt-file');
});

test('every field of FORMAT.md is checked by its type', () => {
  const entry = (n: number, change: (fields: Record<string, unknown>) => void) =>
    faultOf(
      edited((header) => {
        const json = JSON.parse(header);
        const weights = JSON.parse(json.__metadata__.weights);
        change(weights[n]);
        json.__metadata__.weights = JSON.stringify(weights);
        return JSON.stringify(json);
      }),
    );
  const odd = [['int4'], {}, 4, null, true, undefined, [[]]];
  const texts = {
    id: 'a weight',
    layer: '',
    class: '',
    name: '',
    dtype: '',
    scheme: '',
    granularity: '',
    scale: '',
  };
  for (const [field, whose] of Object.entries(texts)) {
    for (const value of odd) {
      const fault = entry(0, (fields) => Object.assign(fields, { [field]: value }));
      assert.match(fault, `${whose || 'weight d/kernel'}: ${field} is not text`);
    }
  }
  for (const value of odd)
    assert.match(
      entry(3, (fields) => Object.assign(fields, { reason: value })),
      'reason',
    );
  for (const axes of [...odd, ['1'], [0.5], [1, 1, 1], '1'])
    assert.match(
      entry(0, (fields) => Object.assign(fields, { axes })),
      /damaged packed model: .*axes/,
    );
  assert.match(
    entry(0, (fields) => Object.assign(fields, { axes: [-1] })),
    /"axes" expected/,
  );
  assert.match(
    entry(0, (fields) => Object.assign(fields, { group_size: 2 })),
    'weight d/kernel has 2 group_size',
  );
  assert.match(
    entry(1, (fields) => Object.assign(fields, { axes: [0] })),
    'weight d/quarters has [0] axes',
  );
  for (const group_size of [['2'], '2', 0, 1.5, null, undefined]) {
    const fault = entry(0, (fields) => Object.assign(fields, { granularity: 'group', group_size }));
    assert.match(fault, /damaged packed model: .*group_?size/i);
  }
  for (const shape of [...odd, ['3', 2], [3, -2], [3, 2.5], new Array(65).fill(1)])
    assert.match(
      entry(0, (fields) => Object.assign(fields, { shape })),
      'has no proper shape',
    );
  const whole = (change: (json: Record<string, Record<string, unknown>>) => void) =>
    faultOf(
      edited((header) => {
        const json = JSON.parse(header);
        change(json);
        return JSON.stringify(json);
      }),
    );
  for (const key of ['format', 'format_version', 'keras_version', 'keras_backend', 'architecture', 'weights'])
    for (const value of [['1'], 1, null, {}])
      assert.match(
        whole((json) => Object.assign(json.__metadata__ as object, { [key]: value })),
        `${key} is not text`,
      );
  for (const text of ['[]', '7', '"Sequential"', '{"class_name": ["Sequential"]}'])
    assert.match(
      whole((json) => Object.assign(json.__metadata__ as object, { architecture: text })),
      /architecture is not/,
    );
  for (const [field, values] of Object.entries({
    dtype: [['F32'], 1, null, undefined],
    shape: ['2', [null], ['2'], [2.5], undefined],
    data_offsets: ['0', [0], ['0', '8'], [0, 8, 8], undefined],
  }))
    for (const value of values)
      assert.match(
        whole((json) => Object.assign(json['d/bias'] as object, { [field]: value })),
        `tensor d/bias has no proper ${field}`,
      );
});

test('names beyond reason are refused', () => {
  const long = 'n'.repeat(4097);
  const fault = faultOf(edited((header) => header.replaceAll('d/bias', long)));
  assert.match(fault, /name of 4097 characters, expected at most 4096: "nnn/);
  assert.ok(fault.length < 200);
  assert.is(codeOf(edited((header) => header.replaceAll('d/bias', 'n'.repeat(4096)))), 'ok');
});

test('scales that make infinity of a code are refused where the code is there', () => {
  for (const scheme of ['int4', 'int2', 'binary'] as const) {
    const model = new QuantizedModel(info, [weight('d/kernel', [0.5, -1, 7, 0], [4], { scheme })], kernels);
    const bytes = packedBytes(model);
    const at = 8 + new DataView(bytes.buffer).getUint32(0, true);
    new DataView(bytes.buffer).setFloat32(at, 3e38, true);
    // A sign alone does not overflow.
    assert.is(codeOf(bytes), scheme === 'binary' ? 'ok' : 'not-finite');
    if (scheme !== 'binary')
      assert.match(faultOf(bytes), /x\.safetensors: tensor d\/kernel: .* make Infinity at index \d/);
    // 7 times this is the largest float, and the code -8 is not there.
    new DataView(bytes.buffer).setFloat32(at, 4.8e37, true);
    assert.is(codeOf(bytes), 'ok');
  }
});

test('a file is read where it lies: its header at first, weights when asked for', () => {
  const bytes = packedBytes(small);
  const asked: [from: number, length: number][] = [];
  const source = {
    size: bytes.length,
    read(target: Uint8Array, position: number) {
      asked.push([position, target.length]);
      return bytesAccess(bytes).read(target, position);
    },
  };
  const model = openPackedSource(source, kernels, 'x.safetensors');
  const start = 8 + new DataView(bytes.buffer).getUint32(0, true);
  const data = asked.filter(([from]) => from >= start);
  // Of the data: the scales and the last byte of codes.
  const lengths = data.map(([, length]) => length);
  assert.equal(lengths, [1, 8, 1, 4, 1, 4]);
  assert.equal(
    asked.filter(([from]) => from < start),
    [
      [0, 8],
      [0, start],
    ],
  );
  assert.equal(packedBytes(model), bytes);
  for (const { id } of small.weights) assert.equal(model.read(id), small.read(id), id);
  const codes = (changed: Uint8Array) => {
    try {
      openPackedSource(bytesAccess(changed), kernels, 'x');
    } catch (error) {
      return (error as BitnibbleError).code;
    }
    return 'ok';
  };
  for (let length = 0; length < bytes.length; length++)
    assert.is(codes(bytes.subarray(0, length)), codeOf(bytes.subarray(0, length)), `${length}`);
  let state = 1;
  for (let flip = 0; flip < 500; flip++) {
    state = (state * 1664525 + 1013904223) >>> 0;
    const copy = bytes.slice();
    copy[state % copy.length] = (copy[state % copy.length] as number) ^ (1 << (state >>> 29));
    const whole = codeOf(copy);
    if (whole !== 'not-finite') assert.is(codes(copy), whole);
  }
});

test('padding bits that are not zero and scales that are not finite are refused', () => {
  const bytes = packedBytes(small);
  const padded = bytes.slice();
  padded[padded.length - 1] = 0b11;
  assert.is(codeOf(padded), 'corrupt-file');
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const pair = bytes.slice();
  pair[pair.length - 3] = 0b0110; // codes of two bits: one is used, and a second is not zero
  assert.is(codeOf(pair), 'corrupt-file');
  const infinite = bytes.slice();
  new DataView(infinite.buffer).setFloat32(8 + length, Number.POSITIVE_INFINITY, true);
  assert.is(codeOf(infinite), 'corrupt-file');
  for (const changed of [padded, pair, infinite]) {
    try {
      openPackedSource(bytesAccess(changed), kernels, 'x');
      assert.unreachable();
    } catch (error) {
      assert.is((error as BitnibbleError).code, 'corrupt-file');
      assert.is((error as Error).message, faultOf(changed).replace('x.safetensors', 'x'));
    }
  }
});

test('scales of more than a piece are looked at to the last', () => {
  // Groups of one row: as many scales as weights, 1.2 MB of them.
  const count = 300_000;
  const values = Array.from({ length: count }, (_, i) => i + 1);
  const options = { scheme: 'int4', granularity: 'group', groupSize: 1 } as const;
  const model = new QuantizedModel(info, [weight('d/long', values, [count, 1], options)], kernels);
  const bytes = packedBytes(model);
  const start = 8 + new DataView(bytes.buffer).getUint32(0, true);
  assert.equal(packedBytes(openPackedSource(bytesAccess(bytes), kernels, 'x')), bytes);
  for (const index of [0, 2 ** 18 - 1, 2 ** 18, count - 1]) {
    const bad = bytes.slice();
    new DataView(bad.buffer).setFloat32(start + 4 * index, Number.NaN, true);
    try {
      openPackedSource(bytesAccess(bad), kernels, 'x');
      assert.unreachable(String(index));
    } catch (error) {
      assert.match((error as Error).message, 'tensor d/long.scales holds NaN');
    }
  }
});

need(test, 'python')('a reader written from FORMAT.md in Python decodes the same floats', async () => {
  const folder = tempDir();
  const reader = path.join(root, 'test/packed/read_packed.py');
  assert.ok(readFileSync(reader, 'utf8').split('\n').length <= 60);
  const recipes: QuantizeOptions[] = [
    { scheme: 'binary' },
    { scheme: 'binary', granularity: 'group', groupSize: 5, scaleDtype: 'F16' },
    { scheme: 'int2' },
    { scheme: 'int2', granularity: 'tensor', scale: 'absmax' },
    { scheme: 'int2', granularity: 'group', groupSize: 7, scaleDtype: 'F16' },
    { scheme: 'int4', scale: 'lsq' },
    { scheme: 'int4', granularity: 'group', groupSize: 4 },
    { scheme: 'int4', granularity: 'tensor', scaleDtype: 'F16' },
  ];
  for (const [i, options] of recipes.entries()) {
    const model = await openKeras(path.join(root, 'test/fixtures/keras/keras3_sequential.h5'));
    const { model: quantized } = quantizeModel(model, { default: options }, { kernels });
    const file = path.join(folder, `${i}.safetensors`);
    writeFileSync(file, packedBytes(quantized));
    await runPython(
      `import runpy, sys; sys.argv[0] = "read"; path = sys.argv.pop(1); runpy.run_path(path, run_name="__main__")`,
      [reader, file, path.join(folder, `${i}.npz`)],
    );
    const decoded = openNpz(readFileSync(path.join(folder, `${i}.npz`)));
    for (const { id, shape } of quantized.weights) {
      const array = decoded.read(id.replaceAll('/', '|'));
      assert.equal([...array.shape], [...shape]);
      assert.equal(array.data, quantized.read(id), `${id} of ${JSON.stringify(options)}`);
    }
    model.close();
  }
});

need(test, 'shared')(
  'the CIFAR-10 network packs to at most 0.14 (int4), 0.075 (int2) and 0.045 (binary) of its float32 weights',
  async ({ shared }) => {
    const model = await openKeras(path.join(shared, 'cifar10_model.h5'));
    const share = (scheme: SchemeName) =>
      packedBytes(quantizeModel(model, { default: { scheme } }, { kernels }).model).length /
      (4 * model.parameters);
    assert.ok(share('int4') <= 0.14);
    assert.ok(share('int2') <= 0.075);
    assert.ok(share('binary') <= 0.045);
    model.close();
  },
);

test.run();
