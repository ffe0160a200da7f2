// JPEG images: the pixels of TensorFlow's accurate decoder, folders of them, and what is refused.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isJpeg, jpegHeader } from '../../src/formats/jpeg.js';
import { readNpy } from '../../src/formats/npy.js';
import { bytesAccess } from '../../src/formats/random-access.js';
import { openDataset } from '../../src/node/datasets.js';
import { loadJpeg } from '../../src/node/jpeg.js';
import { root, tempDir } from '../support/needs.js';
import { rejects } from '../support/throws.js';

const fixtures = path.join(root, 'test/fixtures/jpeg');
const KINDS = ['halved', 'whole', 'progressive', 'grey'] as const;
const at = (name: string) => path.join(fixtures, name);
const bytesOf = (name: string) => new Uint8Array(readFileSync(at(`${name}.jpg`)));
const pixelsOf = (name: string) => readNpy(readFileSync(at(`${name}.npy`)), { name });
const { read: decode } = await loadJpeg('fixtures');

const faultOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return `${(error as { code?: string }).code} ${(error as Error).message}`;
  }
  return 'no fault';
};

test('every kind has the pixels of TensorFlow’s accurate decoder', () => {
  for (const kind of KINDS) {
    const { shape, data } = pixelsOf(kind);
    const { width, height, channels, pixels } = decode(bytesOf(kind), kind);
    assert.equal([height, width, channels], shape, kind);
    assert.equal([...pixels], [...(data as Uint8Array)], kind);
    assert.equal(jpegHeader(bytesAccess(bytesOf(kind)), kind), { width, height, channels });
  }
});

test('folders of them, with classes or without, beside PNG, and one alone', async () => {
  const folder = tempDir();
  mkdirSync(path.join(folder, 'train/b'), { recursive: true });
  mkdirSync(path.join(folder, 'train/a'));
  copyFileSync(at('halved.jpg'), path.join(folder, 'train/b/1.JPG'));
  copyFileSync(at('whole.jpg'), path.join(folder, 'train/a/1.jpeg'));
  copyFileSync(at('grey.jpg'), path.join(folder, 'train/a/2.jpg'));
  const dataset = await openDataset(folder, { split: 'train', inputs: [{ name: 'x', shape: [13, 19, 3] }] });
  assert.equal([dataset.count, dataset.classNames, [...(dataset.labels ?? [])]], [3, ['a', 'b'], [0, 1, 0]]);
  const [batch] = dataset.batches({ batchSize: 3 });
  const size = 13 * 19 * 3;
  const values = [...(batch?.x ?? [])];
  assert.equal(values.slice(0, size), [...pixelsOf('whole').data].map(Number));
  assert.equal(values.slice(size, 2 * size), [...pixelsOf('halved').data].map(Number));
  const grey = [...pixelsOf('grey').data].map(Number);
  assert.equal(
    values.slice(2 * size),
    grey.flatMap((value) => [value, value, value]),
  );
  const alone = await openDataset(at('progressive.jpg'));
  assert.equal(alone.inputShape, [13, 19, 3]);
});

test('what is no image, or cut, is refused by its name, and the next one is read', () => {
  const whole = bytesOf('whole');
  assert.ok(isJpeg(whole));
  const header = (bytes: Uint8Array) => faultOf(() => jpegHeader(bytesAccess(bytes), 'x.jpg'));
  assert.match(header(Uint8Array.of(1, 2, 3)), /^unknown-format x\.jpg: expected a JPEG image/);
  assert.match(header(Uint8Array.of(0xff, 0xd8, 0xff)), /^corrupt-file x\.jpg: damaged JPEG image: cut off/);
  const frame = (...given: number[]) => Uint8Array.of(0xff, 0xd8, 0xff, 0xff, 0xc0, 0, 17, ...given, 0, 0, 0);
  assert.match(header(frame(12, 0, 1, 0, 1, 3)), /^unsupported-dtype .* 8 bits a sample, got 12/);
  assert.match(header(frame(8, 0, 1, 0, 1, 4)), /^unsupported-dtype .* one channel or three, got 4/);
  assert.match(header(frame(8, 0, 0, 0, 1, 3)), /^corrupt-file .* 1 x 0 pixels/);
  assert.match(header(frame(8, 255, 255, 255, 255, 3)), /^too-large x\.jpg: 65535 x 65535 pixels/);
  const fill = new Uint8Array(5000).fill(0xff);
  fill[1] = 0xd8;
  assert.match(header(fill), /^corrupt-file .* no size in the first 1024 segments/);
  assert.match(header(Uint8Array.of(0xff, 0xd8, 0xff, 0xda, 0, 2)), /no size before its pixels/);
  for (const end of [whole.length >> 1, whole.length - 20])
    assert.match(
      faultOf(() => decode(whole.subarray(0, end), 'cut.jpg')),
      /^corrupt-file cut\.jpg: damaged JPEG image/,
      `${end} of ${whole.length} bytes`,
    );
  assert.equal(decode(whole, 'whole').pixels, pixelsOf('whole').data);
});

test('images of other sizes are named', async () => {
  const folder = tempDir();
  copyFileSync(at('whole.jpg'), path.join(folder, 'a.jpg'));
  writeFileSync(
    path.join(folder, 'b.jpg'),
    Uint8Array.of(0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, 0, 9, 0, 9, 3, 0),
  );
  await rejects(
    openDataset(folder),
    'data-mismatch',
    /b\.jpg: expected 19 x 13 pixels as .*a\.jpg has, got 9 x 9/,
  );
});

test.run();
