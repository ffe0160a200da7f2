// The short way into HDF5 files takes what h5py writes for Keras and nothing else, and says what HDF5 itself says.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { openArchive } from '../../src/keras/archive.js';
import { H5File } from '../../src/keras/h5.js';
import type { Hdf5 } from '../../src/keras/hdf5.js';
import { openHdf5 } from '../../src/keras/open-hdf5.js';
import { PlainH5 } from '../../src/keras/plain-h5.js';
import { FileBytes, Other, Texts } from '../../src/keras/plain-h5-messages.js';
import { type ByteSource, bytesSource, GrowingBytes } from '../../src/keras/source.js';
import { isHdf5 } from '../../src/keras/superblock.js';
import { dense, h5 } from '../support/crafted-h5.js';
import { root } from '../support/needs.js';
import { assertSameHdf5 } from '../support/same-hdf5.js';
import { throws } from '../support/throws.js';

const FOLDERS = ['containers', 'keras', 'quantized', 'tfjs'].map((name) => `test/fixtures/${name}`);

function wholeOf(source: ByteSource): Uint8Array {
  const bytes = new Uint8Array(source.size);
  source.read(bytes, 0);
  return bytes;
}

function* files(): Generator<[name: string, bytes: Uint8Array]> {
  for (const folder of [...FOLDERS, 'examples/digits', 'examples/cifar10']) {
    for (const name of readdirSync(path.join(root, folder))) {
      if (!/\.(h5|keras)$/.test(name)) continue;
      const bytes = new Uint8Array(readFileSync(path.join(root, folder, name)));
      if (isHdf5(bytesSource(bytes))) yield [`${folder}/${name}`, bytes];
      else yield [`${folder}/${name}`, wholeOf(openArchive(bytesSource(bytes), name).weights)];
    }
  }
}

test('every file that it takes is the same to HDF5', async () => {
  const taken: string[] = [];
  for (const [name, bytes] of files()) if (await assertSameHdf5(bytes, name)) taken.push(name);
  for (const name of ['examples/digits/digits.h5', 'examples/cifar10/cifar10.h5'])
    assert.ok(taken.includes(name), name);
  assert.ok(taken.filter((name) => name.endsWith('.keras')).length >= 10, taken.join('\n'));
  assert.ok(taken.filter((name) => name.endsWith('.h5')).length >= 30, taken.join('\n'));
});

const small = () =>
  h5((file) => {
    file.create_attribute('layer_names', ['first', 'second']);
    file.create_attribute('keras_version', '3.15.1');
    dense(file, 'first');
    dense(file, 'second').create_attribute('name', 'second');
    file.create_group('empty');
  });

test('a file with damaged bytes is left to HDF5, or it is the same to HDF5', async () => {
  const bytes = await small();
  assert.ok(await assertSameHdf5(bytes, 'small.h5'));
  const change = fc.record({ at: fc.nat(bytes.length - 1), to: fc.nat(255) });
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
      const damaged = bytes.slice();
      for (const { at, to } of changes) damaged[at] = to;
      if (await assertSameHdf5(damaged, 'damaged.h5')) taken++;
    }),
    { numRuns: 200 },
  );
  assert.ok(taken > 20 && taken < 200, `${taken} of 200`);
});

const made = (build: Parameters<typeof h5>[0]) => async () => {
  const bytes = await h5(build);
  return PlainH5.open('made.h5', bytesSource(bytes)) !== undefined;
};
const floats = Float32Array.of(1, 2, 3, 4);
const values = (dtype: string, more = {}) =>
  made((file) => {
    file.create_dataset({ name: 'a', data: floats, shape: [2, 2], dtype, ...more } as never);
  });

for (const [what, isTaken, open] of [
  ['float32', true, values('<f4')],
  ['float64', true, values('<f8')],
  ['int32', true, values('<i4')],
  ['chunks', true, values('<f4', { chunks: [1, 2] })],
  ['gzip', false, values('<f4', { chunks: [2, 2], compression: 4 })],
  ['a soft link', false, made((file) => file.create_soft_link('/nowhere', 'a'))],
  ['a link to another file', false, made((file) => file.create_external_link('b.h5', '/', 'a'))],
  [
    'an object of two names',
    false,
    made((file) => {
      dense(file, 'first');
      file.create_hard_link('/first', 'again');
    }),
  ],
  ['a name in another alphabet', false, made((file) => dense(file, 'größe'))],
] as const) {
  test(`${what}: ${isTaken ? 'taken' : 'left to HDF5'}`, async () => assert.is(await open(), isTaken));
}

test('files behind a user block and of later versions are left to HDF5, and open', async () => {
  const block = new Uint8Array(Buffer.concat([new Uint8Array(512), await small()]));
  const later = new Uint8Array(readFileSync(path.join(root, 'test/fixtures/tfjs/unet.h5')));
  for (const bytes of [block, later]) {
    assert.is(PlainH5.open('other.h5', bytesSource(bytes)), undefined);
    const file = await openHdf5('other.h5', bytesSource(bytes));
    assert.ok(file.keys('/').length > 0);
    file.close();
  }
});

/** Messages of an object's header: where each begins, blocks behind the first among them. */
function* messagesAt(view: DataView, header: number): Generator<number> {
  const blocks = [[header + 16, view.getUint32(header + 8, true)] as const];
  for (const [first, size] of blocks) {
    for (let at = first; at < first + size; at += 8 + view.getUint16(at + 2, true)) {
      yield at;
      const [to, length] = [8, 16].map((part) => Number(view.getBigUint64(at + part, true)));
      if (view.getUint16(at, true) === 16) blocks.push([to as number, length as number]);
    }
  }
}

test('an attribute that ends before its encoding is left to HDF5', async () => {
  const bytes = await small();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const header = Number(view.getBigUint64(64, true));
  const at = [...messagesAt(view, header)].find((own) => view.getUint16(own, true) === 12) as number;
  // Version 3, of 8 bytes; the rest becomes an empty message.
  const rest = view.getUint16(at + 2, true) - 16;
  view.setUint16(at + 2, 8, true);
  view.setUint16(at + 8, 3, true);
  view.setUint32(at + 16, rest * 2 ** 16, true);
  view.setUint32(at + 20, 0, true);
  view.setUint16(header + 2, view.getUint16(header + 2, true) + 1, true);
  assert.is(PlainH5.open('short.h5', bytesSource(bytes)), undefined);
});

test('a time of change is passed over, and one that HDF5 refuses is left to it', async () => {
  const bytes = await h5((file) => {
    file.create_dataset({ name: 'a', data: floats, shape: [2, 2], dtype: '<f4' } as never);
  });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  // The header of version 1 that begins with a shape.
  const header = Array.from({ length: bytes.length / 8 - 2 }, (_, i) => 8 * i).find(
    (at) => at >= 96 && view.getUint16(at, true) === 1 && view.getUint16(at + 16, true) === 1,
  ) as number;
  const time = [...messagesAt(view, header)].find((at) => view.getUint16(at, true) === 18) as number;
  assert.is(await assertSameHdf5(bytes, 'time.h5'), true);
  for (const [at, byte] of [
    [time, 14],
    [time + 8, 2],
  ] as const) {
    const own = bytes.slice();
    own[at] = byte;
    assert.is(PlainH5.open('time.h5', bytesSource(own)), undefined);
  }
});

test('a header of millions of empty messages is left to HDF5 before they are listed', async () => {
  const bytes = await small();
  const [size, header, block] = [2 ** 26, 2 ** 20, 2 ** 25];
  const head = Uint8Array.of(1, 0, 3, 0, 1, 0, 0, 0, 0, 0, 0, block >> 24);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  view.setBigUint64(40, BigInt(size), true);
  view.setBigUint64(64, BigInt(header), true);
  const source: ByteSource = {
    size,
    read(into, from) {
      into.fill(0);
      if (from < bytes.length) into.set(bytes.subarray(from, from + into.length));
      if (from === header) into.set(head);
      return into.length;
    },
  };
  const start = process.memoryUsage().heapUsed;
  assert.is(PlainH5.open('empty.h5', source), undefined);
  assert.ok(process.memoryUsage().heapUsed - start < 2 ** 26);
});

test('bytes that lie upon each other, and texts that are led to again and again, are left to HDF5', () => {
  const length = 2 ** 23;
  const size = length + 4096;
  const bytes = new Uint8Array(size).fill(97);
  const view = new DataView(bytes.buffer);
  bytes.set([...'GCOL'].map((letter) => letter.charCodeAt(0)));
  view.setUint32(4, 1, true);
  view.setBigUint64(8, BigInt(size), true);
  view.setUint32(16, 1, true);
  view.setBigUint64(24, BigInt(length), true);
  view.setUint32(32 + length, 0, true);
  view.setBigUint64(40 + length, BigInt(size - 32 - length), true);
  const reference = new DataView(new ArrayBuffer(16));
  reference.setUint32(0, length, true);
  reference.setUint32(12, 1, true);
  const file = () => new FileBytes(bytesSource(bytes), size);
  const texts = new Texts(file());
  for (let i = 0; i < 6; i++) assert.is(texts.read(reference, true).length, length);
  throws(() => Array.from({ length: 4 }, () => texts.read(reference, true)), Other, '');
  const looked = file();
  for (let at = 0; at < 2; at++) looked.view(at, size - 2);
  throws(() => looked.view(2, size - 2), Other, '');
});

test('what is written is the same file to the byte', async () => {
  const bytes = await small();
  const written = async (open: (source: GrowingBytes) => Promise<Hdf5> | Hdf5) => {
    const copy = new GrowingBytes(bytes);
    const file = await open(copy);
    file.writeBytes('/first/vars/0', new Uint8Array(Float32Array.of(7, 8).buffer), 3);
    throws(() => file.writeBytes('/first/vars/0', new Uint8Array(8), 5), BitnibbleError, 'expected 28 bytes');
    file.close();
    throws(() => file.kind('/first'), Error, 'read after close()');
    return copy.bytes;
  };
  const plain = await written((source) => PlainH5.open('w.h5', source) as PlainH5);
  assert.equal(plain, await written((source) => H5File.open('w.h5', source)));
  assert.not.equal(plain, bytes);
});

test('thousands of faults leave HDF5 as it was', async () => {
  const bytes = await small();
  for (let n = 0; n < 4000; ) {
    const file = await H5File.open('small.h5', bytesSource(bytes));
    for (const end = n + 1000; n < end; n++)
      throws(() => file.attributeNames(`/nothing_${n}`), BitnibbleError, 'damaged HDF5 object /nothing');
    assert.equal(file.keys('/'), ['empty', 'first', 'second']);
    file.close();
  }
  assert.ok(await assertSameHdf5(bytes, 'small.h5'));
});

test.run();
