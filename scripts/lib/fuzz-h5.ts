// HDF5 files made by HDF5 itself with what misleads: types, shapes, chunks, links, user blocks, names and lists.
import type { File, Group } from 'h5wasm';
import { loadLibrary, noteFault } from '../../src/keras/h5-library.js';
import { openKeras } from '../../src/keras/index.js';
import { toTopology } from '../../src/tfjs/topology.js';
import { h5 } from '../../test/support/crafted-h5.js';
import { assertSameHdf5 } from '../../test/support/same-hdf5.js';
import { mutatedText, mutateSeveral, randomFrom } from './fuzz-cases.js';
import { type FuzzKind, pick, type Random } from './fuzz-kind.js';

const CONFIG = JSON.stringify({
  class_name: 'Sequential',
  config: {
    name: 's',
    layers: [
      { class_name: 'Dense', config: { name: 'dense', units: 3, activation: 'relu' } },
      { class_name: 'LSTM', config: { name: 'lstm', units: 2 } },
      {
        class_name: 'Bidirectional',
        config: { name: 'both', layer: { class_name: 'GRU', config: { name: 'gru' } } },
      },
    ],
  },
});
const NAMES = [
  'dense',
  'lstm',
  'both',
  'vars',
  '0',
  '1',
  'kernel:0',
  'layers',
  'a',
  '__proto__',
  'a\\b',
  '_optimizer',
];
const DTYPES = ['<f4', '>f4', '<f8', '<i8', '<u1', '<i2', '<B'];

function name(random: Random): string {
  return random(60) === 0 ? 'n'.repeat(1 << random(14)) : pick(random, NAMES);
}

function dataset(group: File | Group, random: Random): void {
  const shape = Array.from({ length: random(4) }, () => random(5));
  const size = shape.reduce((n, d) => n * d, 1);
  const isChunked = shape.length > 0 && size > 0 && random(3) === 0;
  const dtype = pick(random, DTYPES);
  const values = Array.from({ length: size }, (_, i) => (i % 3) - 1);
  const data = dtype === '<i8' ? BigInt64Array.from(values.map(BigInt)) : values.map((v) => Math.abs(v));
  const canGrow = random(2) === 0;
  const options = isChunked
    ? {
        chunks: canGrow ? shape : shape.map((count) => 1 + random(count)),
        ...(canGrow ? { maxshape: shape.map(() => null) } : {}),
        ...(random(2) ? { compression: 1 } : {}),
      }
    : {};
  const made = group.create_dataset({ name: name(random), data, shape, dtype, ...options } as never);
  if (isChunked && canGrow && random(2) === 0)
    (made as unknown as { resize(shape: number[]): void }).resize(shape.map((d) => d * 2 ** random(30)));
}

function link(file: File | Group, path: string, random: Random): void {
  const target = pick(random, ['/', '/dense', '/layers', '/nowhere', path, '.', `${path}/dense/vars/0`]);
  const way = random(4);
  if (way === 0) file.create_soft_link(target, name(random));
  else if (way === 1) file.create_external_link('/etc/hostname', target, name(random));
  else file.create_hard_link(target, name(random));
}

/** What cannot be made (a name that is taken) is left out. */
function fill(group: File | Group, path: string, depth: number, random: Random): void {
  for (let n = 1 + random(4); n > 0; n--) {
    try {
      const what = random(10);
      if (what < 4 && depth < 6) {
        const key = name(random);
        fill(group.create_group(key), `${path}/${key}`, depth + 1, random);
      } else if (what < 7) dataset(group, random);
      else if (what < 8) link(group, path, random);
      else {
        const list = Array.from({ length: random(4) }, () => name(random));
        const key = pick(random, [
          'weight_names',
          'layer_names',
          'name',
          'nb_layers',
          'nb_params',
          'weight_names0',
        ]);
        group.create_attribute(key, random(4) === 0 ? random(2 ** 31) : list);
      }
    } catch (error) {
      noteFault(error);
    }
  }
}

/** HDF5 may fail over what it was told to make; what there is then is no file. */
async function making(build: (file: File) => void): Promise<Uint8Array> {
  try {
    return await h5(build);
  } catch (error) {
    noteFault(error);
    return new Uint8Array(8);
  }
}

async function bytesOf(random: Random): Promise<Uint8Array> {
  // The reader's library makes the files too: after a file that harmed it, it is put back first.
  await loadLibrary();
  const made = await making((file) => {
    if (random(2) === 0) {
      const config = new TextEncoder().encode(CONFIG);
      const text = new TextDecoder().decode(random(2) === 0 ? mutatedText(config, random) : config);
      file.create_attribute('model_config', text);
    }
    if (random(2) === 0) file.create_attribute('layer_names', ['dense', 'lstm', name(random)]);
    fill(file, '', 0, random);
  });
  const damaged = random(3) === 0 ? mutateSeveral(made, random) : made;
  if (random(6) > 0) return damaged;
  const block = new Uint8Array(512 << random(4));
  return new Uint8Array(Buffer.concat([block, damaged]));
}

export const craftedH5: FuzzKind = {
  name: 'crafted h5',
  cases: 4000,
  async prepare(number, seed) {
    const bytes = await bytesOf(randomFrom(`h5 ${seed} ${number}`));
    return async () => {
      await assertSameHdf5(bytes, 'crafted.h5');
      const model = await openKeras(bytes, 'crafted.h5');
      try {
        for (const { id } of model.weights) model.read(id);
        if (model.architecture) toTopology(model);
      } finally {
        model.close();
      }
    };
  },
};
