// What docs/FORMAT.md demands of a header, sentence by sentence; each MUST is quoted where it is held to.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import type { SafetensorsEntry, SafetensorsHeader } from '../../src/formats/safetensors.js';
import type { Dtype } from '../../src/model.js';
import { partsOf, planPacked } from '../../src/packed/plan.js';

type Fields = Record<string, unknown>;

const SIGNS = {
  ...{ id: 'd/kernel', layer: 'd', class: 'Dense', name: 'kernel', shape: [3, 4], dtype: 'F32' },
  ...{ scheme: 'binary', granularity: 'channel', axes: [1], scale: 'mean' },
};
const KEPT = {
  ...{ id: 'd/bias', layer: 'd', class: 'Dense', name: 'bias', shape: [4], dtype: 'F32' },
  ...{ scheme: 'keep', reason: 'vector' },
};
const TENSORS: Readonly<Record<string, readonly [Dtype, readonly number[]]>> = {
  'd/kernel.scales': ['F32', [1, 4]],
  'd/kernel.codes': ['U8', [2]],
  'd/bias': ['F32', [4]],
};

function header(
  weights: unknown,
  tensors: Readonly<Record<string, readonly [Dtype, readonly number[]]>> = TENSORS,
  metadata: Readonly<Record<string, string | undefined>> = {},
): SafetensorsHeader {
  const texts = { format: 'bitnibble', format_version: '1', weights: JSON.stringify(weights), ...metadata };
  const entries = Object.entries(tensors).map(([name, [dtype, shape]]): [string, SafetensorsEntry] => [
    name,
    { name, dtype, shape, start: 0, end: 0 },
  ]);
  return {
    metadata: new Map(
      Object.entries(texts).flatMap(([key, text]) => (text === undefined ? [] : [[key, text]])),
    ),
    tensors: new Map(entries),
    dataStart: 0,
    fileSize: 0,
  };
}

function refused(given: SafetensorsHeader, code: string, text: string): void {
  try {
    planPacked(given, 'm.safetensors');
  } catch (error) {
    assert.instance(error, BitnibbleError, `${text}: ${String((error as Error).stack)}`);
    assert.is((error as BitnibbleError).code, code, text);
    assert.match((error as Error).message, 'm.safetensors: ');
    assert.ok((error as Error).message.includes(text), `${(error as Error).message}\nshould say: ${text}`);
    return;
  }
  assert.unreachable(`not refused: ${text}`);
}

/** The two weights with some fields of the first, or of the second, other than they should be. */
const signs = (fields: Fields) => header([{ ...SIGNS, ...fields }, KEPT]);
const kept = (fields: Fields) => header([SIGNS, { ...KEPT, ...fields }]);

test('a header as it should be', () => {
  const architecture = '{"class_name":"Sequential","config":{}}';
  const texts = { architecture, keras_version: '3.9', keras_backend: 'jax', somebody: 'else' };
  const { info, weights } = planPacked(header([SIGNS, KEPT], TENSORS, texts), 'm');
  assert.equal(info, {
    file: 'm',
    architecture: JSON.parse(architecture),
    kerasVersion: '3.9',
    backend: 'jax',
  });
  const [first, second] = weights;
  assert.ok(first?.kind === 'quantized' && second?.kind === 'kept');
  assert.equal(first.layout, { outer: 3, channels: 4, inner: 1, groupRows: 3 });
  assert.equal(
    partsOf(first).map(({ name }) => name),
    ['d/kernel.scales', 'd/kernel.codes'],
  );
  assert.equal(
    partsOf(second).map(({ name }) => name),
    ['d/bias'],
  );
  const { id, layer, className, name, shape, dtype, reason } = second;
  assert.equal({ id, layer, class: className, name, shape, dtype, scheme: 'keep', reason }, KEPT);
});

test('"keras_version, keras_backend: may be empty"; "architecture: absent where the original file had none"', () => {
  const { info } = planPacked(header([SIGNS, KEPT]), 'm');
  assert.equal(info, { file: 'm', architecture: undefined, kerasVersion: '', backend: '' });
});

test('"a reader MUST refuse anything else" than bitnibble, and "versions that it does not know"', () => {
  for (const format of [undefined, '', 'pt', 'bitnibble2'])
    refused(header([SIGNS, KEPT], TENSORS, { format }), 'unknown-format', '"format": "bitnibble"');
  for (const version of [undefined, '0', '2', '1.0', '11'])
    refused(
      header([SIGNS, KEPT], TENSORS, { format_version: version }),
      'unsupported-version',
      String(version),
    );
});

test('metadata that is not there, no JSON, or another thing', () => {
  const damaged = (metadata: Readonly<Record<string, string | undefined>>, text: string) =>
    refused(header([SIGNS, KEPT], TENSORS, metadata), 'corrupt-file', text);
  damaged({ weights: undefined }, 'no weights in the metadata');
  damaged({ weights: '[' }, 'weights in the metadata');
  damaged({ weights: '{}' }, 'weights is not a list');
  damaged({ weights: 'null' }, 'weights is not a list');
  for (const architecture of ['7', '"text"', 'null', '[]', 'true'])
    damaged({ architecture }, 'architecture is not an object');
  damaged({ architecture: '' }, 'architecture in the metadata');
  for (const entry of [null, 7, 'text', true]) refused(header([entry]), 'corrupt-file', 'is not an object');
});

test('"Each element is an object" whose fields are what the table says', () => {
  for (const key of ['id', 'layer', 'class', 'name', 'dtype'])
    for (const value of [undefined, null, 7, ['x']])
      refused(kept({ [key]: value }), 'corrupt-file', `${key} is not text`);
  refused(kept({ reason: undefined }), 'corrupt-file', 'reason is not text');
  refused(kept({ dtype: 'F8' }), 'corrupt-file', 'weight d/bias has the unknown type F8');
  refused(kept({ dtype: 'toString' }), 'corrupt-file', 'unknown type toString');
  for (const shape of [
    undefined,
    null,
    4,
    '4',
    { length: 0 },
    [-4],
    [4.5],
    ['4'],
    [null],
    [1, -1],
    [2 ** 53],
  ])
    refused(kept({ shape }), 'corrupt-file', 'weight d/bias has no proper shape');
  for (const shape of [
    [2 ** 30, 2 ** 30],
    [0, -1],
    [-2, -2],
    [2 ** 52, 2, 0.5],
  ])
    refused(kept({ shape }), 'corrupt-file', 'weight d/bias has no proper shape');
  for (const key of ['granularity', 'scale'])
    for (const value of [undefined, null, 7])
      refused(signs({ [key]: value }), 'corrupt-file', `${key} is not text`);
  for (const value of ['row', ''])
    refused(signs({ granularity: value }), 'corrupt-file', '"granularity" expected tensor, channel or group');
  for (const value of ['max', '', 'absmax'])
    refused(signs({ scale: value }), 'corrupt-file', '"scale" expected one of mean');
  for (const value of [undefined, 0, -1, 1.5, '3'])
    refused(signs({ granularity: 'group', group_size: value }), 'corrupt-file', 'group');
  refused(signs({ group_size: 3 }), 'corrupt-file', 'group_size');
});

test('a shape has 64 sizes at most', () => {
  const shape = (rank: number) => [...Array<number>(rank - 1).fill(1), 4];
  const bias = (rank: number) =>
    header([SIGNS, { ...KEPT, shape: shape(rank) }], { ...TENSORS, 'd/bias': ['F32', shape(rank)] });
  assert.is(planPacked(bias(64), 'm').weights[1]?.shape.length, 64);
  refused(bias(65), 'corrupt-file', 'd/bias has no proper shape');
});

test('"unique text": an id is given once', () => {
  refused(header([KEPT, KEPT]), 'corrupt-file', 'weight d/bias is listed twice');
});

test('"a reader MUST refuse a weight whose scheme it does not know"', () => {
  for (const scheme of [undefined, null, ['binary']])
    refused(signs({ scheme }), 'corrupt-file', 'scheme is not text');
  for (const scheme of ['', 'int3', 'Keep', 'toString'])
    refused(signs({ scheme }), 'corrupt-file', '"scheme" expected binary, int2 or int4');
});

test('"the output-channel axes, neighbours in rising order, counted from 0"', () => {
  for (const axes of [[0.5], ['1'], [null]])
    refused(signs({ axes }), 'corrupt-file', 'channels and groups have a list of integers');
  for (const axes of [[2], [-1], [1, 0], [0, 0], [0, 2], []])
    refused(signs({ axes }), 'corrupt-file', '"axes" expected neighbouring axes of a shape of rank 2');
  const fields = { granularity: 'tensor', axes: undefined };
  const scales = { ...TENSORS, 'd/kernel.scales': ['F32', [1, 1]] } as const;
  const { weights } = planPacked(header([{ ...SIGNS, ...fields }, KEPT], scales), 'm');
  assert.is(weights[0]?.kind, 'quantized');
});

test('"the tensor named id, with the weight’s own type and shape"', () => {
  const lies = (entry: readonly [Dtype, readonly number[]], text: string) =>
    refused(header([SIGNS, KEPT], { ...TENSORS, 'd/bias': entry }), 'corrupt-file', text);
  lies(['F16', [4]], 'tensor d/bias expected F32, got F16');
  for (const shape of [[3], [4, 1], [], [1, 4]])
    lies(['F32', shape], `tensor d/bias expected shape [4], got [${shape}]`);
  const two = { ...KEPT, shape: [2, 2] };
  for (const shape of [[2], [2, 1], [1, 2], [2, 2, 1], [2, 3]])
    refused(
      header([SIGNS, two], { ...TENSORS, 'd/bias': ['F32', shape] }),
      'corrupt-file',
      `shape [2,2], got [${shape}]`,
    );
});

test('"any other weight is two tensors": U8 [B] and F32 or F16 [G, N]', () => {
  const lies = (name: string, entry: readonly [Dtype, readonly number[]], text: string) =>
    refused(header([SIGNS, KEPT], { ...TENSORS, [`d/kernel.${name}`]: entry }), 'corrupt-file', text);
  lies('codes', ['I8', [2]], 'd/kernel.codes expected U8, got I8');
  for (const shape of [[1], [3], [2, 1], [1, 2], []])
    lies('codes', ['U8', shape], `d/kernel.codes expected shape [2], got [${shape}]`);
  lies('scales', ['BF16', [1, 4]], 'd/kernel.scales expected F32 or F16, got BF16');
  for (const shape of [[4], [4, 1], [2, 4], [1, 3], [1, 5], [1, 4, 1], [1, 4, 2], [1], []])
    lies('scales', ['F32', shape], `d/kernel.scales expected shape [1,4], got [${shape}]`);
  const half = planPacked(header([SIGNS, KEPT], { ...TENSORS, 'd/kernel.scales': ['F16', [1, 4]] }), 'm');
  assert.ok(half.weights[0]?.kind === 'quantized' && half.weights[0].coding.scaleDtype === 'F16');
  for (const [scheme, scale, bytes] of [
    ['binary', 'mean', 2],
    ['int2', 'lsq', 3],
    ['int4', 'lsq', 6],
  ] as const) {
    const own = [{ ...SIGNS, scheme, scale }, KEPT];
    const of = (size: number) => header(own, { ...TENSORS, 'd/kernel.codes': ['U8', [size]] });
    assert.is(planPacked(of(bytes), 'm').weights.length, 2);
    for (const size of [bytes - 1, bytes + 1]) refused(of(size), 'corrupt-file', `expected shape [${bytes}]`);
  }
});

test('groups: "G = ceil(K / g)"', () => {
  const fields = { granularity: 'group', group_size: 2 };
  const of = (groups: number) =>
    header([{ ...SIGNS, ...fields }, KEPT], { ...TENSORS, 'd/kernel.scales': ['F32', [groups, 4]] });
  assert.is(planPacked(of(2), 'm').weights.length, 2);
  for (const groups of [1, 3]) refused(of(groups), 'corrupt-file', 'expected shape [2,4]');
});

test('"Every tensor of the file MUST belong to exactly one weight"', () => {
  for (const name of ['extra', 'd/kernel', 'd/bias.codes', 'd/bias.scales', ''])
    refused(
      header([SIGNS, KEPT], { ...TENSORS, [name]: ['F32', [1]] }),
      'corrupt-file',
      `tensor ${name} belongs to no weight`,
    );
  refused(header([SIGNS]), 'corrupt-file', 'tensor d/bias belongs to no weight');
  refused(header([]), 'corrupt-file', 'belongs to no weight');
});

test('a tensor that a weight names and the file lacks', () => {
  for (const name of Object.keys(TENSORS)) {
    const rest = Object.fromEntries(Object.entries(TENSORS).filter(([other]) => other !== name));
    refused(header([SIGNS, KEPT], rest), 'missing-weight', `tensor ${name} is not in the file`);
  }
});

test('"of no consequence for decoding": every rule that the table names is read', () => {
  for (const [scheme, rules] of [
    ['binary', ['none', 'mean', 'lsq', 'hqq', 'calibrated']],
    ['int2', ['absmax', 'lsq', 'hqq', 'calibrated']],
    ['int4', ['absmax', 'lsq', 'hqq', 'calibrated']],
  ] as const)
    for (const scale of rules) {
      const bytes = { binary: 2, int2: 3, int4: 6 }[scheme];
      const tensors = { ...TENSORS, 'd/kernel.codes': ['U8', [bytes]] } as const;
      const { weights } = planPacked(header([{ ...SIGNS, scheme, scale }, KEPT], tensors), 'm');
      assert.ok(weights[0]?.kind === 'quantized' && weights[0].coding.scale === scale);
    }
});

test.run();
