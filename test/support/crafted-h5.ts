// HDF5 files made to mislead.
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import { File, FS, type Group, ready } from 'h5wasm';
import type { ErrorCode } from '../../src/errors.js';

/** One file for the command line. */
export interface Crafted {
  readonly name: string;
  /** Its bytes, or how to write it where it is too large to be held. */
  readonly make: () => Promise<Uint8Array | ((path: string) => void)>;
  /** Of the refusal; without one the file is sound, and only odd. */
  readonly code?: ErrorCode;
  /** What the message has to name. */
  readonly names?: string;
  /** Commands that meet the fault; default: quantize. */
  readonly commands?: readonly Command[];
}

export type Command = 'quantize' | 'inspect' | 'convert';

let made = 0;

/** An HDF5 file, as `build` makes it: in the oldest layout, which has no checksums. */
export async function h5(build: (file: File) => void): Promise<Uint8Array> {
  await ready;
  const path = `/crafted-${made++}.h5`;
  const file = new File(path, 'w', { libver: ['earliest', 'latest'] });
  build(file);
  file.flush();
  file.close();
  const bytes = FS?.readFile(path) as Uint8Array;
  FS?.unlink(path);
  return bytes;
}

/** `GROUP/NAME/vars/0`: a dense kernel as Keras 3 stores it. */
export function dense(file: File | Group, name: string): Group {
  const group = file.create_group(name);
  const data = Float32Array.from({ length: 6 }, (_, i) => i - 2);
  group.create_group('vars').create_dataset({ name: '0', data, shape: [2, 3] });
  return group;
}

type Resizable = { resize(shape: number[]): void };

/** Datasets of one chunk that claim to be larger. */
const claims = (shape: number[], count = 1) =>
  h5((file) => {
    const layers = file.create_group('layers');
    for (let n = 0; n < count; n++) {
      const group = layers.create_group(n === 0 ? 'dense' : `dense_${n}`).create_group('vars');
      const chunks = shape.map(() => 4);
      const data = new Float32Array(4 ** shape.length).fill(1);
      group.create_dataset({ name: '0', data, shape: chunks, maxshape: shape.map(() => null), chunks });
      (group.get('0') as unknown as Resizable).resize(shape);
    }
  });

const layerConfig = (extra: string) =>
  `{"class_name": "Sequential", "config": {"name": "s", "layers": [{"class_name": "Dense", "config": {"name": "dense", "units": 3${extra}}}]}}`;

/** A whole model of one layer. */
const legacy = (config: string, layerNames: string[] = ['dense'], more?: (file: File) => void) =>
  h5((file) => {
    file.create_attribute('layer_names', layerNames);
    file.create_attribute('model_config', config);
    const group = file.create_group('dense');
    group.create_attribute('weight_names', ['kernel:0']);
    group.create_dataset({ name: 'kernel:0', data: new Float32Array(6).fill(1), shape: [2, 3] });
    more?.(file);
  });

/** A reference to a text: its length, the address of its collection, its number there. */
const REFERENCE = 16;
const END_OF_FILE = 40;

/** Where a number of four bytes stands first. */
function placeOf(bytes: Uint8Array, value: number): number {
  const wanted = Buffer.alloc(4);
  wanted.writeUInt32LE(value);
  const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf(wanted);
  if (at < 0) throw new Error('the bytes to be changed are not there');
  return at;
}

/** A thousand names, each of them the same 20 MB of configuration. */
async function repeatedText(): Promise<Uint8Array> {
  const config = layerConfig(`, "x": "${'x'.repeat(20_000_000)}"`);
  const names = Array.from({ length: 1000 }, (_, i) => `${i}`.padStart(223, 'n'));
  const bytes = await legacy(config, names);
  const at = placeOf(bytes, config.length);
  const list = placeOf(bytes, 223);
  for (let i = 0; i < names.length; i++) bytes.copyWithin(list + i * REFERENCE, at, at + REFERENCE);
  return bytes;
}

/** A configuration of 1 GiB, which begins with brackets; the rest of it is a hole in the file. */
async function endlessConfig(): Promise<(path: string) => void> {
  const config = layerConfig(`, "x": "${'x'.repeat(300)}"`);
  const bytes = await legacy(config);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const size = 2 ** 30;
  const start = Math.ceil(bytes.length / 8) * 8;
  const at = placeOf(bytes, config.length);
  view.setUint32(at, size, true);
  view.setBigUint64(at + 4, BigInt(start), true);
  view.setUint32(at + 12, 1, true);
  view.setBigUint64(END_OF_FILE, BigInt(start + 32 + size), true);
  const head = new DataView(new ArrayBuffer(32));
  head.setUint32(0, 0x4c4f4347, true); // GCOL
  head.setUint8(4, 1);
  head.setBigUint64(8, BigInt(32 + size), true);
  head.setUint16(16, 1, true);
  head.setUint16(18, 1, true);
  head.setBigUint64(24, BigInt(size), true);
  return (path) => {
    const file = openSync(path, 'w');
    writeSync(file, bytes, 0, bytes.length, 0);
    writeSync(file, new Uint8Array(head.buffer), 0, 32, start);
    writeSync(file, '['.repeat(1_000_000), start + 32);
    ftruncateSync(file, start + 32 + size);
    closeSync(file);
  };
}

/** A chunk of half a megabyte on disk that unpacks to 512 MiB. */
async function chunkBomb(): Promise<Uint8Array> {
  const bomb = deflateSync(Buffer.alloc(2 ** 29), { level: 9 });
  const count = 2 ** 19;
  let seed = 1;
  const data = Float32Array.from({ length: count }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed / 2 ** 32;
  });
  const bytes = await h5((file) => {
    const vars = file.create_group('layers').create_group('dense').create_group('vars');
    vars.create_dataset({ name: '0', data, shape: [count / 4, 4], chunks: [count / 4, 4], compression: 1 });
  });
  const at = bytes.findIndex((byte, i) => byte === 0x78 && bytes[i + 1] === 1);
  if (at < 0 || at + bomb.length > bytes.length) throw new Error('the bomb does not fit');
  bytes.set(bomb, at);
  return bytes;
}

/** Collections within the data of collections, each of which would be walked to its end. */
async function forgedCollections(): Promise<Uint8Array> {
  const units = 2 ** 17;
  const forged = new DataView(new ArrayBuffer(units * 64));
  for (let i = 0; i < units; i++) {
    const at = i * 64;
    forged.setUint32(at, 0x4c4f4347, true);
    forged.setUint8(at + 4, 1);
    forged.setBigUint64(at + 8, BigInt((units - i) * 64), true);
    for (const [entry, length] of [
      [16, 1],
      [40, 24],
    ] as const) {
      forged.setUint16(at + entry, 1, true);
      forged.setBigUint64(at + entry + 8, BigInt(length), true);
    }
  }
  const text = new Uint8Array(forged.buffer);
  return h5((file) => {
    file.create_group('a').create_dataset({ name: 'x', data: text });
    dense(file.create_group('layers'), 'dense');
  });
}

/** Hard links to one group under many names. */
const manyNames = (count: number) =>
  h5((file) => {
    const layers = file.create_group('layers');
    dense(layers, 'dense');
    for (let n = 1; n < count; n++) layers.create_hard_link('/layers/dense', `dense_${n}`);
  });

/** A layer that lists the same weight over and over, each time by another path. */
const aliases = (count: number) =>
  h5((file) => {
    file.create_attribute('layer_names', ['dense']);
    const group = dense(file, 'dense');
    group.create_attribute(
      'weight_names',
      Array.from(
        { length: count },
        (_, n) => `${'./'.repeat(n % 50)}vars${'/'.repeat(1 + Math.floor(n / 50))}0`,
      ),
    );
  });

/** A model in a model, of many layers whose weights one group lists. */
const crowd = (count: number) =>
  h5((file) => {
    const layers = Array.from({ length: count }, (_, n) => ({
      class_name: 'Dense',
      config: { name: `dense_${n}`, units: 3 },
    }));
    const inner = { class_name: 'Sequential', config: { name: 'inner', layers } };
    file.create_attribute(
      'model_config',
      JSON.stringify({ class_name: 'Sequential', config: { name: 's', layers: [inner] } }),
    );
    file.create_attribute('layer_names', ['inner']);
    const group = file.create_group('inner');
    for (let n = 0; n < count; n++) {
      const data = new Float32Array(6).fill(1);
      group.create_group(`dense_${n}`).create_dataset({ name: 'kernel', data, shape: [2, 3] });
    }
    const names = Array.from({ length: count }, (_, n) => `dense_${n}/kernel`);
    for (let chunk = 0; chunk * 1000 < count; chunk++)
      group.create_attribute(`weight_names${chunk}`, names.slice(chunk * 1000, chunk * 1000 + 1000));
  });

/** One dataset that is two weights. */
const twoNames = () =>
  h5((file) => {
    const vars = dense(file, 'a').get('vars') as Group;
    vars.create_hard_link('/a/vars/0', '1');
  });

/** A group that is in itself under a thousand names. */
const wideCycle = (count: number) =>
  h5((file) => {
    const layers = file.create_group('layers');
    dense(layers, 'dense');
    for (let n = 0; n < count; n++) layers.create_hard_link('/layers', `again_${n}`);
  });

/** Weights at the end of a long path: HDF5 looks at all beginnings of each. */
const deep = (depth: number, count: number) =>
  h5((file) => {
    let group: File | Group = file;
    for (let n = 0; n < depth; n++) group = group.create_group('g');
    const vars = group.create_group('vars');
    for (let n = 0; n < count; n++)
      vars.create_dataset({ name: `${n}`, data: new Float32Array(1), shape: [1] });
  });

/** A layer with a name of many megabytes, in the configuration. */
const longName = (length: number) =>
  legacy(
    `{"class_name": "Sequential", "config": {"name": "s", "layers": [{"class_name": "Dense", "config": {"name": "${'n'.repeat(length)}", "units": 3}}]}}`,
  );

/** The same in the list of layers, in the file without a configuration. */
const longLayerName = (length: number) =>
  h5((file) => {
    file.create_attribute('layer_names', ['n'.repeat(length)]);
    dense(file, 'dense');
  });

/** A group of the longest name that old groups have room for. */
const longNames = (length: number) => h5((file) => void dense(file, 'n'.repeat(length)));

const linked = (link: (file: File) => void) =>
  h5((file) => {
    dense(file, 'dense');
    link(file);
  });

const brackets = (count: number) => '['.repeat(count) + ']'.repeat(count);

export const CRAFTED_H5: readonly Crafted[] = [
  {
    name: 'soft.h5',
    make: () => linked((file) => file.create_soft_link('/dense', 'soft')),
    code: 'corrupt-file',
    names: '/soft is a link',
  },
  {
    name: 'loop.h5',
    make: () => linked((file) => file.create_soft_link('/loop', 'loop')),
    code: 'corrupt-file',
    names: '/loop is a link',
  },
  {
    name: 'external.h5',
    make: () => linked((file) => file.create_external_link('/etc/passwd', '/', 'outside')),
    code: 'corrupt-file',
    names: '/outside is a link',
  },
  {
    name: 'cycle.h5',
    make: () =>
      linked((file) => {
        const group = file.get('dense') as Group;
        group.create_hard_link('/dense', 'again');
        group.create_hard_link('/dense', 'and_again');
      }),
    code: 'corrupt-file',
    names: '/dense/again, which /dense leads to too',
  },
  {
    name: 'two-names.h5',
    make: twoNames,
    code: 'corrupt-file',
    names: '/a/vars/1, which /a/vars/0 leads to too',
  },
  { name: 'wide-cycle.h5', make: () => wideCycle(1000), code: 'corrupt-file', names: 'leads to too' },
  { name: 'deep.h5', make: () => deep(60, 3000), code: 'corrupt-file', names: 'nested deep' },
  {
    name: 'long-name.h5',
    make: () => longName(20_000_000),
    code: 'too-large',
    names: 'a name of 20000000 characters',
  },
  {
    name: 'long-layer-name.h5',
    make: () => longLayerName(20_000_000),
    code: 'too-large',
    names: 'characters',
  },
  {
    name: 'long-names.h5',
    make: () => longNames(64_000),
    code: 'too-large',
    names: 'a name of 64000 characters',
  },
  { name: 'many-names.h5', make: () => manyNames(60_000), code: 'corrupt-file' },
  { name: 'aliases.h5', make: () => aliases(3000), code: 'corrupt-file', names: 'twice' },
  { name: 'crowd.h5', make: () => crowd(2000), commands: ['quantize', 'inspect'] },
  {
    name: 'petabyte.h5',
    make: () => claims([2 ** 24, 2 ** 24]),
    code: 'corrupt-file',
    names: '/layers/dense/vars/0',
  },
  {
    name: 'beyond-numbers.h5',
    make: () => claims([2 ** 40, 2 ** 22]),
    code: 'corrupt-file',
    commands: ['quantize', 'inspect'],
  },
  {
    name: 'many-claims.h5',
    make: () => claims([2 ** 12, 2 ** 12], 200),
    code: 'corrupt-file',
    names: 'claims',
  },
  { name: 'chunk-bomb.h5', make: chunkBomb, code: 'corrupt-file', names: '/layers/dense/vars/0' },
  { name: 'repeated-text.h5', make: repeatedText, code: 'corrupt-file', names: 'layer_names' },
  { name: 'endless-config.h5', make: endlessConfig, code: 'corrupt-file', names: 'model_config' },
  { name: 'forged-collections.h5', make: forgedCollections },
  { name: 'large-config.h5', make: () => legacy(layerConfig(`, "x": "${'x'.repeat(25_000_000)}"`)) },
  {
    name: 'larger-config.h5',
    make: () => legacy(layerConfig(`, "x": "${'x'.repeat(3 * 2 ** 23)}"`)),
    code: 'too-large',
    names: 'model_config',
  },
  {
    name: 'deep-config.h5',
    make: () => legacy(layerConfig(`, "x": ${brackets(12_000_000)}`)),
    code: 'corrupt-file',
    names: 'nested',
    commands: ['quantize', 'inspect', 'convert'],
  },
  {
    name: 'odd-names.h5',
    make: () =>
      h5((file) => {
        const layers = file.create_group('layers');
        for (const name of ['__proto__', 'constructor', 'toString', '\\..\\..\\x', 'a b'])
          dense(layers, name);
      }),
    commands: ['quantize', 'inspect'],
  },
];
