// PNG images of every kind that is read, written here filter by filter, and what is refused.
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { crc32 } from '../../src/formats/crc32.js';
import { isPng, readPng, withChannels } from '../../src/formats/png.js';
import { PNG_SIGNATURE, pngChunk } from '../support/png.js';
import { refusesTruncations, survivesBitFlips } from './damage.js';

interface Image {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly colour: number;
  /** One after the other, `0 ... 2^depth - 1`. */
  readonly samples: readonly number[];
  readonly filters: readonly number[];
  readonly palette?: readonly number[];
  readonly alphas?: readonly number[];
  readonly interlace?: number;
}

const STORED: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** As the specification has it: rows of packed samples, each less what its filter guesses. */
function encode(image: Image): Uint8Array {
  const { width, height, depth, colour, samples, filters, palette, alphas } = image;
  const perRow = width * (STORED[colour] as number);
  const rowBytes = Math.ceil((perRow * depth) / 8);
  const rows = Array.from({ length: height }, (_, y) => {
    const row = new Array<number>(rowBytes).fill(0);
    for (let x = 0; x < perRow; x++) {
      const bit = x * depth;
      row[bit >> 3]! |= (samples[y * perRow + x] as number) << (8 - depth - (bit % 8));
    }
    return row;
  });
  const back = Math.max(1, ((STORED[colour] as number) * depth) / 8);
  const out: number[] = [];
  rows.forEach((row, y) => {
    const filter = filters[y % filters.length] as number;
    out.push(filter);
    row.forEach((value, i) => {
      const left = row[i - back] ?? 0;
      const up = rows[y - 1]?.[i] ?? 0;
      const corner = (i >= back ? rows[y - 1]?.[i - back] : 0) ?? 0;
      const estimate = left + up - corner;
      const [nearest] = [left, up, corner]
        .map((own, order) => ({ own, order, distance: Math.abs(estimate - own) }))
        .sort((a, b) => a.distance - b.distance || a.order - b.order);
      const guess = [0, left, up, Math.floor((left + up) / 2), nearest?.own ?? 0][filter] as number;
      out.push((value - guess) & 255);
    });
  });
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([depth, colour, 0, 0, image.interlace ?? 0], 8);
  const data = deflateSync(Uint8Array.from(out));
  const half = data.length >> 1;
  return Buffer.concat([
    Uint8Array.from(PNG_SIGNATURE),
    pngChunk('IHDR', header),
    ...(palette ? [pngChunk('PLTE', Uint8Array.from(palette))] : []),
    ...(alphas ? [pngChunk('tRNS', Uint8Array.from(alphas))] : []),
    pngChunk('IDAT', data.subarray(0, half)),
    pngChunk('IDAT', data.subarray(half)),
    pngChunk('IEND', new Uint8Array(0)),
  ]);
}

const kinds = [
  ...[1, 2, 4, 8].map((depth) => ({ depth, colour: 0 })),
  ...[2, 4, 6].map((colour) => ({ depth: 8, colour })),
];

test('grey and coloured images of every depth and filter', () => {
  const images = fc.record({
    kind: fc.constantFrom(...kinds),
    width: fc.integer({ min: 1, max: 19 }),
    height: fc.integer({ min: 1, max: 7 }),
    filters: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 7 }),
    seed: fc.integer({ min: 0, max: 2 ** 30 }),
  });
  fc.assert(
    fc.property(images, ({ kind, width, height, filters, seed }) => {
      const count = width * height * (STORED[kind.colour] as number);
      const samples = Array.from(
        { length: count },
        (_, i) => (Math.imul(seed + i, 2654435761) >>> 9) % 2 ** kind.depth,
      );
      const image = readPng(encode({ ...kind, width, height, samples, filters }), 'x.png');
      assert.equal([image.width, image.height, image.channels], [width, height, STORED[kind.colour]]);
      const step = 255 / (2 ** kind.depth - 1);
      assert.equal(
        [...image.pixels],
        samples.map((v) => v * step),
      );
    }),
    { numRuns: 200 },
  );
});

test('a palette, with and without alpha', () => {
  const base = { width: 3, height: 1, depth: 2, colour: 3, samples: [2, 0, 1], filters: [0] };
  const palette = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  const plain = readPng(encode({ ...base, palette }), 'x.png');
  assert.equal([plain.channels, ...plain.pixels], [3, 7, 8, 9, 1, 2, 3, 4, 5, 6]);
  const clear = readPng(encode({ ...base, palette, alphas: [0] }), 'x.png');
  assert.equal([clear.channels, ...clear.pixels], [4, 7, 8, 9, 255, 1, 2, 3, 0, 4, 5, 6, 255]);
});

test('grey of colours, colours of grey, alpha only where it is opaque', () => {
  const image = (channels: 1 | 2 | 3 | 4, ...pixels: number[]) => ({
    ...{ width: 1, height: 1, channels, pixels: Uint8Array.from(pixels) },
  });
  assert.equal([...withChannels(image(3, 255, 0, 0), 1, 'x')], [76]);
  assert.equal([...withChannels(image(1, 7), 3, 'x')], [7, 7, 7]);
  assert.equal([...withChannels(image(4, 1, 2, 3, 255), 3, 'x')], [1, 2, 3]);
  assert.throws(() => withChannels(image(2, 1, 254), 1, 'x.png'), /x\.png: expected an opaque image/);
});

const good = Uint8Array.from(
  encode({ width: 2, height: 2, depth: 8, colour: 0, samples: [1, 2, 3, 4], filters: [1] }),
);

test('what is not read is refused by name', () => {
  const refused = (bytes: Uint8Array, code: string, pattern: RegExp) => {
    try {
      readPng(bytes, 'x.png');
    } catch (error) {
      assert.instance(error, BitnibbleError);
      assert.is((error as BitnibbleError).code, code);
      assert.match((error as Error).message, pattern);
      return;
    }
    assert.unreachable(String(pattern));
  };
  const like = (change: Partial<Image>) =>
    encode({ width: 2, height: 2, depth: 8, colour: 0, samples: [1, 2, 3, 4], filters: [0], ...change });
  assert.ok(isPng(good) && !isPng(Uint8Array.of(1, 2)));
  refused(Uint8Array.of(1, 2), 'unknown-format', /expected a PNG/);
  refused(like({ interlace: 1 }), 'unsupported-filter', /interlaced/);
  refused(like({ depth: 16, samples: [0, 0, 0, 0] }), 'unsupported-dtype', /16 bits/);
  refused(
    like({ depth: 2, colour: 2, samples: new Array(12).fill(0) }),
    'corrupt-file',
    /colour type 2 with 2 bits/,
  );
  refused(like({ filters: [5] }), 'corrupt-file', /unknown filter 5/);
  refused(like({ colour: 3, palette: [0, 0, 0] }), 'corrupt-file', /colour 1 is not in the palette/);
  /** The good image with another height in its header. */
  const tall = (height: number) => {
    const bytes = good.slice();
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    view.setUint32(20, height);
    view.setUint32(29, crc32(bytes.subarray(12, 29)));
    return bytes;
  };
  refused(tall(3), 'corrupt-file', /fewer data than pixels/);
  refused(tall(1), 'corrupt-file', /more data than pixels/);
  refused(tall(0), 'corrupt-file', /no pixels/);
  refused(tall(2 ** 30), 'too-large', /2 x 1073741824 pixels/);
  refused(good.subarray(0, -5), 'corrupt-file', /cut off/);
  refused(Uint8Array.from([...good.subarray(0, -1), 0]), 'corrupt-file', /wrong checksum of "IEND"/);
});

test('damaged images give coded errors', () => {
  const read = (bytes: Uint8Array) => readPng(bytes, 'x.png');
  refusesTruncations(good, read);
  const refused = survivesBitFlips(good, 400, read, ({ pixels }) => pixels.length === 4);
  assert.ok(refused > 390, String(refused));
});

test.run();
