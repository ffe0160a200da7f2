// Images are changed as stated: pixel by pixel against the images that were given.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { AUGMENTATIONS, type Augmentation, augment } from '../../src/pipeline/calibrate/augment.js';
import { randomNumbers } from '../../src/pipeline/calibrate/linear.js';

const [N, HEIGHT, WIDTH, CHANNELS] = [5, 24, 12, 2] as const;
const SHAPE = [N, HEIGHT, WIDTH, CHANNELS] as const;
/** Every number stands once, so a pixel tells where it is from. */
const given = Float32Array.from({ length: N * HEIGHT * WIDTH * CHANNELS }, (_, i) => i);

const changed = (kinds: readonly Augmentation[], seed: number) => {
  const x = given.slice();
  augment(x, SHAPE, kinds, randomNumbers(seed));
  return x;
};

/** Where the pixel at a place is from; both channels have to be from there. */
function sourceOf(x: Float32Array, n: number, y: number, c: number): [n: number, y: number, c: number] {
  const at = ((n * HEIGHT + y) * WIDTH + c) * CHANNELS;
  const from = x[at] as number;
  assert.is(x[at + 1], from + 1);
  const pixel = from / CHANNELS;
  return [Math.floor(pixel / (HEIGHT * WIDTH)), Math.floor(pixel / WIDTH) % HEIGHT, pixel % WIDTH];
}

const places = Array.from({ length: HEIGHT * WIDTH }, (_, i) => [Math.floor(i / WIDTH), i % WIDTH] as const);

test('flip: half of the images, left to right', () => {
  let flipped = 0;
  for (let seed = 0; seed < 40; seed++) {
    const x = changed(['flip'], seed);
    for (let n = 0; n < N; n++) {
      const isFlipped = sourceOf(x, n, 0, 0)[2] === WIDTH - 1;
      for (const [y, c] of places) assert.equal(sourceOf(x, n, y, c), [n, y, isFlipped ? WIDTH - 1 - c : c]);
      if (isFlipped) flipped++;
    }
  }
  assert.ok(flipped > 70 && flipped < 130, `${flipped} of 200`);
});

test('shift: each image by up to a tenth, its mirror image moving in', () => {
  const seen = new Set<string>();
  const mirrored = (at: number, length: number) => (at < 0 ? -at : at < length ? at : 2 * length - 2 - at);
  for (let seed = 0; seed < 40; seed++) {
    const x = changed(['shift'], seed);
    for (let n = 0; n < N; n++) {
      // A place in the middle is no mirrored one.
      const [, row, column] = sourceOf(x, n, 12, 6);
      const [down, right] = [row - 12, column - 6];
      seen.add(`${down},${right}`);
      for (const [y, c] of places)
        assert.equal(sourceOf(x, n, y, c), [n, mirrored(y + down, HEIGHT), mirrored(c + right, WIDTH)]);
    }
  }
  const all = [-2, -1, 0, 1, 2].flatMap((down) => [-1, 0, 1].map((right) => `${down},${right}`));
  assert.equal([...seen].sort(), all.sort());
});

test('cutmix: in half of the batches, a rectangle of the next image', () => {
  let mixed = 0;
  let area = 0;
  for (let seed = 0; seed < 100; seed++) {
    const x = changed(['cutmix'], seed);
    if (x.every((value, i) => value === given[i])) continue;
    mixed++;
    for (let n = 0; n < N; n++) {
      const other = places.filter(([y, c]) => sourceOf(x, n, y, c)[0] !== n);
      for (const [y, c] of places) {
        const [from, ...place] = sourceOf(x, n, y, c);
        assert.equal(place, [y, c]);
        assert.ok(from === n || from === (n + 1) % N);
      }
      const spread = (values: readonly number[]) =>
        values.length === 0 ? 0 : Math.max(...values) - Math.min(...values) + 1;
      assert.is(spread(other.map(([y]) => y)) * spread(other.map(([, c]) => c)), other.length);
      area += other.length / places.length;
    }
  }
  assert.ok(mixed > 35 && mixed < 65, `${mixed} of 100 batches`);
  assert.ok(area / (mixed * N) > 0.25 && area / (mixed * N) < 0.5, `${area / (mixed * N)} of an image`);
});

test('kinds that are not asked for change nothing; all of them one after the other', () => {
  assert.equal(changed([], 1), given);
  assert.equal(AUGMENTATIONS, ['flip', 'shift', 'cutmix']);
  assert.equal(changed(['cutmix', 'flip', 'shift'], 3), changed(AUGMENTATIONS, 3));
  const images = new Float32Array(0);
  augment(images, [0, HEIGHT, WIDTH, CHANNELS], AUGMENTATIONS, randomNumbers(0));
});

test.run();
