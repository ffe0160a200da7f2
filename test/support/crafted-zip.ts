// Archives, lists of shards and packed files made to mislead.
import { deflateRawSync } from 'node:zlib';
import { crc32 } from '../../src/formats/crc32.js';
import { type Crafted, dense, h5 } from './crafted-h5.js';

const text = (value: string) => new TextEncoder().encode(value);

interface Member {
  readonly name: string;
  readonly data: Uint8Array;
  readonly deflate?: boolean;
  /** What the headers state instead of the true size. */
  readonly size?: number;
}

/** A zip archive of any members, right or wrong. */
function zip(members: readonly Member[]): Uint8Array {
  const pieces: Buffer[] = [];
  const central: Buffer[] = [];
  let at = 0;
  for (const { name, data, deflate = false, size = data.length } of members) {
    const label = Buffer.from(name);
    const packed = deflate
      ? deflateRawSync(data, { level: 9 })
      : Buffer.from(data.buffer, data.byteOffset, data.length);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(0x800, 2);
    fields.writeUInt16LE(deflate ? 8 : 0, 4);
    fields.writeUInt32LE(size === data.length ? crc32(data) : 0, 10);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(size, 18);
    fields.writeUInt16LE(label.length, 22);
    pieces.push(Buffer.from('PK\x03\x04'), fields, label, packed);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(at, 10);
    central.push(Buffer.from('PK\x01\x02'), Buffer.from([20, 0]), fields, place, label);
    at += 30 + label.length + packed.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(Math.min(members.length, 0xffff), 4);
  end.writeUInt16LE(Math.min(members.length, 0xffff), 6);
  end.writeUInt32LE(directory.length, 8);
  end.writeUInt32LE(at, 12);
  return new Uint8Array(Buffer.concat([...pieces, directory, Buffer.from('PK\x05\x06'), end]));
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const layer = (
  class_name: string,
  config: { [key: string]: Json },
  more: { [key: string]: Json } = {},
): Json => ({
  class_name,
  config,
  ...more,
});
const sequential = (layers: Json[]): Json => layer('Sequential', { name: 's', layers });
const plain = JSON.stringify(
  sequential([layer('Dense', { name: 'dense', units: 3, use_bias: false, batch_shape: [null, 2] })]),
);

/** A `.keras` archive with a dense kernel, and what else is given; members of the same name are replaced. */
async function keras(config: string, more: readonly Member[] = []): Promise<Uint8Array> {
  const own: Member[] = [
    { name: 'metadata.json', data: text('{"keras_version": "3.8.0"}') },
    { name: 'config.json', data: text(config) },
    { name: 'model.weights.h5', data: await h5((file) => dense(file.create_group('layers'), 'dense')) },
  ];
  return zip([
    ...own.filter(({ name }) => more.every((member) => member.name !== name || member.name === '')),
    ...more,
  ]);
}

const pickle = Uint8Array.from([
  0x80, 4, 0x63, 0x6f, 0x73, 0x0a, 0x73, 0x79, 0x73, 0x74, 0x65, 0x6d, 0x0a, 0x2e,
]);

/** A functional model of Activation layers, each called on another. */
const chained = (names: readonly string[], from: (i: number) => string, output: string): string =>
  JSON.stringify(
    layer('Functional', {
      name: 'm',
      layers: [
        layer(
          'InputLayer',
          { name: 'x', batch_shape: [null, 2], dtype: 'float32' },
          { name: 'x', inbound_nodes: [] },
        ),
        ...names.map((name, i) =>
          layer(
            'Activation',
            { name, activation: 'relu', dtype: 'float32' },
            { name, inbound_nodes: [[[from(i), 0, 0, {}]]] },
          ),
        ),
      ],
      input_layers: [['x', 0, 0]],
      output_layers: [[output, 0, 0]],
    }),
  );

/** A packed file with a header of any text. */
function packed(header: string, data = 0): Uint8Array {
  const bytes = text(header);
  const out = new Uint8Array(8 + bytes.length + data);
  new DataView(out.buffer).setBigUint64(0, BigInt(bytes.length), true);
  out.set(bytes, 8);
  return out;
}

const packedModel = (metadata: { [key: string]: string }, tensors = '') =>
  `{"__metadata__": ${JSON.stringify({ format: 'bitnibble', format_version: '1', ...metadata })}${tensors}}`;

const named = (name: string, i: number): Crafted => ({
  name: `member-${i}.keras`,
  make: () => keras(plain, [{ name, data: text('x') }]),
  code: 'corrupt-file',
  names: JSON.stringify(name),
});

const brackets = (count: number) => '['.repeat(count) + ']'.repeat(count);
const far = Array.from({ length: 15_000 }, (_, i) => `a${i}`);

export const CRAFTED_ZIP: readonly Crafted[] = [
  { name: 'sound.keras', make: () => keras(plain), commands: ['quantize', 'inspect', 'convert'] },
  ...[
    '../evil.json',
    'a/../../evil.json',
    '/etc/evil.json',
    '\\evil.json',
    'a\\..\\..\\evil.json',
    'C:\\evil.json',
    'c:evil.json',
    '\\\\host\\share\\evil.json',
    'a/..',
    'evil.json\0.txt',
  ].map(named),
  {
    name: 'twins.keras',
    make: () =>
      h5((file) => dense(file.create_group('layers'), 'dense')).then((weights) =>
        zip([
          { name: 'config.json', data: text(plain) },
          { name: 'model.weights.h5', data: weights },
          { name: 'config.json', data: pickle },
        ]),
      ),
    code: 'corrupt-file',
    names: 'two members are called config.json',
  },
  {
    name: 'twin-pickles.keras',
    make: async () =>
      zip([
        { name: 'config.json', data: text(plain) },
        { name: 'weights.pkl', data: pickle },
        { name: 'weights.pkl', data: pickle },
      ]),
    code: 'corrupt-file',
    names: 'two members are called weights.pkl',
  },
  {
    name: 'pickle.keras',
    make: () => keras(plain, [{ name: 'assets/layer/state.pkl', data: pickle }]),
    code: 'holds-code',
    names: 'assets/layer/state.pkl',
    commands: ['quantize', 'inspect', 'convert'],
  },
  {
    name: 'pickled-weights.keras',
    make: async () =>
      zip([
        { name: 'config.json', data: text(plain) },
        { name: 'model.weights.npz', data: pickle },
      ]),
    code: 'unsupported-version',
    names: 'model.weights.npz',
  },
  {
    name: 'torch.keras',
    make: async () => zip([{ name: 'archive/data.pkl', data: pickle }]),
    code: 'holds-code',
    names: 'archive/data.pkl',
  },
  {
    name: 'lambda.keras',
    make: () =>
      keras(
        JSON.stringify(
          sequential([
            layer('Dense', { name: 'dense', units: 3, use_bias: false, batch_shape: [null, 2] }),
            layer('Lambda', {
              name: 'payload',
              function: layer('__lambda__', {
                code: '4wEAAAAAAAAAAAAAAAEAAAACAAAA',
                defaults: null,
                closure: null,
              }),
            }),
          ]),
        ),
      ),
    code: 'unsupported-layer',
    names: 'payload (Lambda): it holds code',
    commands: ['convert'],
  },
  {
    name: 'config-bomb.keras',
    make: () =>
      keras(plain, [{ name: 'config.json', data: new Uint8Array(2 ** 29).fill(0x5b), deflate: true }]),
    code: 'too-large',
    names: 'config.json',
  },
  {
    name: 'lying-bomb.keras',
    make: () =>
      keras(plain, [
        { name: 'config.json', data: new Uint8Array(2 ** 29).fill(0x5b), deflate: true, size: 1_000_000 },
      ]),
    code: 'corrupt-file',
    names: 'config.json',
  },
  {
    name: 'weights-bomb.keras',
    make: () =>
      keras(plain, [{ name: 'model.weights.h5', data: new Uint8Array(2 ** 30 - 1), deflate: true }]),
    code: 'too-large',
    names: 'model.weights.h5',
  },
  {
    name: 'weights-small-bomb.keras',
    make: () => keras(plain, [{ name: 'model.weights.h5', data: new Uint8Array(2 ** 26), deflate: true }]),
    code: 'not-hdf5',
    names: 'model.weights.h5',
  },
  {
    name: 'crowd.keras',
    make: () =>
      keras(
        plain,
        Array.from({ length: 60_000 }, (_, i) => ({ name: `assets/${i}`, data: text('') })),
      ),
    code: 'corrupt-file',
    names: 'members',
  },
  {
    name: 'large-crowd.keras',
    make: () =>
      keras(
        plain,
        Array.from({ length: 49_000 }, (_, i) => ({ name: `assets/${i}`, data: text('') })),
      ),
  },
  {
    name: 'deep-config.keras',
    make: () => keras(`{"class_name": "Sequential", "config": ${brackets(12_000_000)}}`),
    code: 'corrupt-file',
    names: 'config.json',
  },
  {
    name: 'deep-models.keras',
    make: () => keras('{"class_name": "Sequential", "config": {"layers": ['.repeat(80) + ']}}'.repeat(80)),
    code: 'corrupt-file',
    names: 'depth',
  },
  {
    name: 'deep-nodes.keras',
    make: () =>
      keras(
        `{"class_name": "Functional", "config": {"name": "m", "layers": [{"class_name": "Dense", "config": {"name": "dense", "units": 3}, "name": "dense", "inbound_nodes": ${brackets(480)}}], "output_layers": ${brackets(480)}}}`,
      ),
    commands: ['quantize', 'inspect'],
  },
  {
    name: 'long-text.keras',
    make: () => keras(plain.replace('"units"', `"x": "${'\\"'.repeat(12_000_000)}", "units"`)),
  },
  {
    name: 'many-values.keras',
    make: () => keras(plain.replace('"units"', `"x": [${'{},'.repeat(1_100_000)}0], "units"`)),
    code: 'corrupt-file',
    names: 'values',
  },
  {
    name: 'many-layers.keras',
    make: () =>
      keras(
        JSON.stringify(
          sequential(Array.from({ length: 19_000 }, (_, i) => layer('Flatten', { name: `f${i}` }))),
        ),
      ),
    commands: ['inspect'],
  },
  {
    name: 'too-many-layers.keras',
    make: () =>
      keras(
        JSON.stringify(
          sequential(Array.from({ length: 30_000 }, (_, i) => layer('Flatten', { name: `f${i}` }))),
        ),
      ),
    code: 'corrupt-file',
    names: 'size',
  },
  {
    name: 'cycle.keras',
    make: () => keras(chained(['a', 'b'], (i) => 'ba'[i] as string, 'b')),
    code: 'corrupt-file',
    names: 'called on their own outputs',
    commands: ['quantize', 'inspect', 'convert'],
  },
  {
    name: 'self-cycle.keras',
    make: () => keras(chained(['a'], () => 'a', 'a')),
    code: 'corrupt-file',
    names: 'called on their own outputs',
    commands: ['quantize', 'inspect', 'convert'],
  },
  {
    name: 'backwards.keras',
    make: () => keras(chained(far, (i) => far[i + 1] ?? 'x', 'a0')),
    commands: ['convert'],
  },
  {
    name: 'odd-names.keras',
    make: () =>
      keras(
        chained(
          ['__proto__', 'constructor', 'toString'],
          (i) => ['x', '__proto__', 'constructor'][i] as string,
          'toString',
        ),
      ),
    commands: ['inspect', 'convert'],
  },
  ...['__proto__', 'constructor', 'hasOwnProperty', 'toString'].map(
    (name): Crafted => ({
      name: `class-${name}.keras`,
      make: () => keras(JSON.stringify(sequential([layer(name, { name: 'dense', batch_shape: [null, 2] })]))),
      code: 'unsupported-layer',
      names: `dense (${name})`,
      commands: ['convert'],
    }),
  ),
  ...['__proto__', 'constructor', 'valueOf'].map(
    (name): Crafted => ({
      name: `activation-${name}.keras`,
      make: () => keras(plain.replace('"units"', `"activation": "${name}", "units"`)),
      code: 'unsupported-layer',
      names: `activation ${name}`,
      commands: ['convert'],
    }),
  ),
  {
    name: 'many-shards.weights.json',
    make: async () =>
      text(
        JSON.stringify({
          weight_map: Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`/a${i}`, `s${i}.h5`])),
        }),
      ),
    code: 'corrupt-file',
    names: 'shards',
  },
  {
    name: 'deep-shards.weights.json',
    make: async () => text(`{"weight_map": {"/a": ${brackets(12_000_000)}}}`),
    code: 'corrupt-file',
    names: 'nested',
  },
  {
    name: 'deep-header.safetensors',
    make: async () => packed(`{"a": ${brackets(24_000_000)}}`),
    code: 'corrupt-file',
    names: 'nested',
    commands: ['inspect'],
  },
  {
    name: 'long-header.safetensors',
    make: async () => packed(packedModel({ weights: '[]', architecture: ' '.repeat(45_000_000) })),
    code: 'too-large',
    names: 'architecture',
    commands: ['inspect'],
  },
  {
    name: 'longer-header.safetensors',
    make: async () => packed(packedModel({ weights: '[]', architecture: ' '.repeat(95_000_000) })),
    code: 'too-large',
    names: 'header',
    commands: ['inspect'],
  },
  {
    name: 'crowded-header.safetensors',
    make: async () => packed(`{${Array.from({ length: 1_500_000 }, (_, i) => `"${i}":{}`).join()}}`),
    code: 'corrupt-file',
    names: 'values',
    commands: ['inspect'],
  },
  {
    name: 'petabyte.safetensors',
    make: async () =>
      packed(
        packedModel(
          { weights: '[]' },
          `, "a": {"dtype": "F32", "shape": [16777216, 16777216], "data_offsets": [0, 1125899906842624]}`,
        ),
      ),
    code: 'corrupt-file',
    commands: ['inspect', 'convert'],
  },
  {
    name: 'deep-architecture.safetensors',
    make: async () => packed(packedModel({ weights: '[]', architecture: brackets(5_000_000) })),
    code: 'corrupt-file',
    names: 'architecture',
    commands: ['inspect', 'convert'],
  },
  {
    name: 'proto.safetensors',
    make: async () =>
      packed(
        packedModel(
          {
            weights: JSON.stringify(
              ['__proto__', 'constructor'].map((id) => ({
                id,
                layer: id,
                class: id,
                name: id,
                shape: [1],
                dtype: 'F32',
                scheme: 'keep',
                reason: 'vector',
              })),
            ),
          },
          `, "__proto__": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "constructor": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}`,
        ),
        8,
      ),
    commands: ['inspect'],
  },
];
