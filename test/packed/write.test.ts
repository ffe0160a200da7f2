// What stands in the metadata of a file that is written, against the tables of docs/FORMAT.md, sections 2, 3 and 6.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import {
  openPacked,
  type PackedWeight,
  packedBytes,
  QuantizedModel,
  writePacked,
} from '../../src/packed/index.js';
import { quantizeTensor } from '../../src/schemes/quantize.js';
import type { QuantizeOptions } from '../../src/schemes/types.js';

const kernels = await loadKernels();
const values = Float32Array.from({ length: 60 }, (_, i) => Math.sin(i * 1.7));

const about = (id: string, shape: number[]) => ({
  ...{ id, layer: 'enc/d', className: 'Bidirectional/LSTM', name: 'kernel', shape, dtype: 'F32' as const },
});
const packed = (id: string, options: QuantizeOptions): PackedWeight => ({
  ...about(id, [3, 5, 4]),
  ...{ kind: 'quantized', tensor: quantizeTensor(kernels, values, [3, 5, 4], options) },
});
const kept = (id: string): PackedWeight => ({
  ...about(id, [2]),
  ...{ kind: 'kept', reason: 'vector', bytes: () => new Uint8Array(8).fill(1) },
});

function headerOf(weights: readonly PackedWeight[], info: Partial<QuantizedModel> = {}) {
  const none = { file: 'm', architecture: undefined, kerasVersion: '', backend: '' };
  const bytes = packedBytes(new QuantizedModel({ ...none, ...info }, weights, kernels));
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const text = new TextDecoder().decode(bytes.subarray(8, 8 + length));
  const header = JSON.parse(text);
  return {
    bytes,
    text,
    header,
    metadata: header.__metadata__,
    weights: JSON.parse(header.__metadata__.weights),
  };
}

test('"values are text": format, version, Keras, architecture', () => {
  const architecture = { class_name: 'Sequential', config: { layers: [] } };
  const { metadata } = headerOf([], { architecture, kerasVersion: '3.9', backend: 'jax' });
  assert.equal(metadata, {
    ...{ format: 'bitnibble', format_version: '1', keras_version: '3.9', keras_backend: 'jax' },
    ...{ architecture: JSON.stringify(architecture), weights: '[]' },
  });
  assert.equal(Object.keys(headerOf([]).metadata), [
    ...['format', 'format_version', 'keras_version', 'keras_backend', 'weights'],
  ]);
});

test('"weights lists every weight of the model, in the order of the original file", with the fields of the table', () => {
  const base = {
    ...{ layer: 'enc/d', class: 'Bidirectional/LSTM', name: 'kernel', shape: [3, 5, 4], dtype: 'F32' },
  };
  const { weights } = headerOf([
    kept('z'),
    packed('tensor', { scheme: 'binary', granularity: 'tensor', scale: 'none' }),
    packed('channel', { scheme: 'int2', axes: [1, 2] }),
    packed('group', { scheme: 'int4', granularity: 'group', groupSize: 7, scale: 'hqq' }),
  ]);
  assert.equal(weights, [
    { id: 'z', ...base, shape: [2], scheme: 'keep', reason: 'vector' },
    { id: 'tensor', ...base, scheme: 'binary', granularity: 'tensor', scale: 'none' },
    { id: 'channel', ...base, scheme: 'int2', granularity: 'channel', axes: [1, 2], scale: 'lsq' },
    { id: 'group', ...base, scheme: 'int4', granularity: 'group', group_size: 7, axes: [2], scale: 'hqq' },
  ]);
});

test('"pads the header with spaces so that H is a multiple of 8 and orders tensors by falling size"', () => {
  for (let length = 0; length < 9; length++) {
    const { bytes, text, header } = headerOf([
      packed('a'.repeat(length + 1), { scheme: 'int4', scaleDtype: 'F16' }),
      kept('k'),
    ]);
    assert.is(text.length % 8, 0);
    assert.match(text, /^\{.*\} *$/);
    const tensors = Object.values(header).slice(1) as { dtype: string; data_offsets: [number, number] }[];
    assert.equal(
      tensors.map(({ dtype }) => dtype),
      ['F32', 'F16', 'U8'],
    );
    assert.equal(
      tensors.map(({ data_offsets: [start] }) => start),
      [0, 8, 16],
    );
    assert.is(bytes.length, 8 + text.length + (tensors.at(-1)?.data_offsets[1] as number));
  }
});

test('sizes: ceil(n / 8), ceil(n / 4), ceil(n / 2) and s bytes for each block', () => {
  for (const [scheme, codes] of [
    ['binary', 8],
    ['int2', 15],
    ['int4', 30],
  ] as const)
    for (const [scaleDtype, size] of [
      ['F32', 4],
      ['F16', 2],
    ] as const)
      for (const [options, blocks] of [
        [{ granularity: 'tensor' }, [1, 1]],
        [{ granularity: 'channel' }, [1, 4]],
        [{ granularity: 'channel', axes: [0] }, [1, 3]],
        [{ granularity: 'group', groupSize: 4 }, [4, 4]],
      ] as const) {
        const weight = packed('w', { scheme, scaleDtype, ...options });
        const { header, bytes } = headerOf([weight]);
        assert.equal(header['w.codes'].shape, [codes]);
        assert.equal([header['w.scales'].dtype, header['w.scales'].shape], [scaleDtype, blocks]);
        const [start, end] = header['w.scales'].data_offsets;
        assert.is(end - start, size * blocks[0] * blocks[1]);
        const again = openPacked(bytes, kernels);
        const model = new QuantizedModel(again, [weight], kernels);
        assert.equal(again.read('w'), model.read('w'));
      }
});

test('in pieces or in one, the same bytes', () => {
  const model = new QuantizedModel(
    { file: 'm', architecture: undefined, kerasVersion: '', backend: '' },
    [packed('w', { scheme: 'int4' }), kept('k')],
    kernels,
  );
  const pieces = [...writePacked(model)];
  assert.is(pieces.length, 1 + 3);
  assert.equal(packedBytes(model), new Uint8Array(pieces.flatMap((piece) => [...piece])));
});

test.run();
