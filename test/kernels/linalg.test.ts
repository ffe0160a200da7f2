// The products of calibration: the SIMD backend against the reference, bit for bit, and both against exact sums.

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { kernelBytes } from '../../src/kernels/embedded-linalg.js';
import { loadLinearAlgebra } from '../../src/kernels/linalg.js';
import { type Operand, strideOf, TILE } from '../../src/kernels/linalg-types.js';
import { winogradKernel } from '../../src/kernels/winograd.js';
import { rejects } from '../support/throws.js';

const reference = await loadLinearAlgebra({ backend: 'reference' });
const simd = await loadLinearAlgebra();

const CORNERS = [0, -0, 1e-45, -1e-40, 3e38, 1, -1, 16777217];

function values(seed: number, n: number, corners: boolean): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length: n }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    if (corners && state % 7 === 0) return CORNERS[(state >>> 8) % CORNERS.length] as number;
    return state / 2 ** 31 - 1;
  });
}

const seeds = fc.integer({ min: 1, max: 2 ** 31 });
const size = (max: number) => fc.integer({ min: 1, max });

test('sums of products over rows: the same bits, edges of strips and chunks included', () => {
  const check = (seed: number, rows: number, k: number, n: number) => {
    const x = values(seed, rows * k, true);
    const t = values(seed + 1, rows * n, true);
    const [cross, gram] = [Float64Array.from(values(3, k * n, false)), new Float64Array(k * k)];
    const others = [cross.slice(), gram.slice()] as const;
    simd.addCross(cross, x, t, rows, k, n);
    simd.addGram(gram, x, rows, k);
    reference.addCross(others[0], x, t, rows, k, n);
    reference.addGram(others[1], x, rows, k);
    assert.equal(new Uint8Array(cross.buffer), new Uint8Array(others[0].buffer));
    assert.equal(new Uint8Array(gram.buffer), new Uint8Array(others[1].buffer));
  };
  fc.assert(fc.property(seeds, size(40), size(40), size(40), check), { numRuns: 100 });
  for (const rows of [255, 256, 257, 600]) check(rows, rows, 9, 7);
});

test('tiles: the same bits, rows and columns changed over or not', () => {
  const property = fc.property(
    ...[seeds, size(TILE), size(70), size(TILE), fc.boolean(), fc.boolean()],
    (seed, rows, columns, depth, isTurnedA, isTurnedB) => {
      const lengths = [rows * strideOf(columns), rows * depth, depth * columns] as const;
      const results = [simd, reference].map((algebra) => {
        const room = algebra.room(lengths.reduce((sum, length) => sum + 8 * length + 16, 0));
        const [c, a, b] = lengths.map((length, i) => {
          const own = room.float64(length);
          own.set(values(seed + i, length, false));
          return own;
        }) as [Float64Array, Float64Array, Float64Array];
        const operand = (own: Float64Array, across: number, down: number, turned: boolean): Operand => ({
          ...{ values: own, at: 0, rowStride: turned ? 1 : across, columnStride: turned ? down : 1 },
        });
        algebra.subtractProduct(
          operand(c, strideOf(columns), rows, false),
          operand(a, depth, rows, isTurnedA),
          operand(b, columns, depth, isTurnedB),
          ...[rows, columns, depth],
        );
        return Array.from(c);
      });
      assert.equal(results[0], results[1]);
    },
  );
  fc.assert(property, { numRuns: 200 });
});

test('a scaled vector subtracted: the same bits for every length', () => {
  for (let n = 1; n <= 130; n++) {
    const results = [simd, reference].map((algebra) => {
      const room = algebra.room(12 * n + 32);
      const [y, x] = [room.float64(n), room.float32(n)];
      y.set(values(n, n, true));
      x.set(values(n + 1, n, true));
      algebra.subtractScaled(y, 1 / 3, x);
      return Array.from(y);
    });
    assert.equal(results[0], results[1]);
  }
});

test('convolutions: the same bits, edges of tiles and images included', () => {
  const property = fc.property(
    ...[seeds, size(3), size(11), size(11), size(4), size(3), fc.constantFrom(0, 1)],
    (seed, images, height, width, fours, eights, border) => {
      fc.pre(Math.min(height, width) + 2 * border > 2);
      const given = { images, height, width, channels: 4 * fours, outputs: 8 * eights, border };
      const { channels, outputs } = given;
      const x = values(seed, images * height * width * channels, false);
      const weights = values(seed + 1, 9 * channels * outputs, false);
      const kernel = winogradKernel(weights, channels, outputs);
      const bias = values(seed + 2, outputs, false);
      const [outHeight, outWidth] = [height - 2 + 2 * border, width - 2 + 2 * border];
      const [y, other] = [simd, reference].map((algebra) => {
        const made = new Float32Array(images * outHeight * outWidth * outputs).fill(7);
        algebra.convolve(made, x, kernel, bias, given);
        return made;
      }) as [Float32Array, Float32Array];
      assert.equal(new Uint8Array(y.buffer), new Uint8Array(other.buffer));
      const most = 1e-5 * y.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      const exact = (image: number, row: number, column: number, k: number) => {
        let sum = bias[k] as number;
        for (let tap = 0; tap < 9; tap++) {
          const [i, j] = [row + Math.floor(tap / 3) - border, column + (tap % 3) - border];
          if (i < 0 || i >= height || j < 0 || j >= width) continue;
          for (let c = 0; c < channels; c++)
            sum +=
              (x[((image * height + i) * width + j) * channels + c] as number) *
              (weights[(tap * channels + c) * outputs + k] as number);
        }
        return sum;
      };
      for (let at = 0; at < y.length; at += 5) {
        const [place, k] = [Math.floor(at / outputs), at % outputs];
        const row = Math.floor(place / outWidth) % outHeight;
        const wanted = exact(Math.floor(place / outWidth / outHeight), row, place % outWidth, k);
        assert.ok(Math.abs((y[at] as number) - wanted) <= most, `${y[at]} for ${wanted}`);
      }
    },
  );
  fc.assert(property, { numRuns: 60 });
});

test('float32 products in chunks are within 2e-6 of exact sums, relative to the lengths', () => {
  const [rows, k] = [5000, 24];
  const x = values(11, rows * k, false);
  const gram = new Float64Array(k * k);
  simd.addGram(gram, x, rows, k);
  const exact = (i: number, j: number) => {
    let sum = 0;
    for (let row = 0; row < rows; row++) sum += (x[row * k + i] as number) * (x[row * k + j] as number);
    return sum;
  };
  for (let i = 0; i < k; i++)
    for (let j = 0; j < k; j++) {
      const length = Math.sqrt(exact(i, i) * exact(j, j));
      assert.ok(Math.abs((gram[i * k + j] as number) - exact(i, j)) < 2e-6 * length);
    }
});

test('a room is zero again, has its size, and its arrays are asked for', () => {
  const room = simd.room(64);
  room.float64(8).fill(1);
  assert.equal(Array.from(simd.room(64).float64(8)), new Array(8).fill(0));
  assert.throws(() => simd.room(8).float64(1 << 26), /"length" expected what is left of the room/);
  assert.throws(
    () => simd.subtractScaled(new Float64Array(4), 1, new Float32Array(4)),
    /"y" expected an array of the present room, got another one/,
  );
});

test('a module of another kind is refused', async () => {
  const other = await WebAssembly.compile(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
  await rejects(loadLinearAlgebra({ module: other }), 'bad-module', /expected linalg.wasm/);
  // Both halves would share its memory.
  const instance = new WebAssembly.Instance(new WebAssembly.Module(kernelBytes()));
  const options = { module: instance as unknown as WebAssembly.Module };
  await rejects(loadLinearAlgebra(options), 'TypeError', /"module" expected a WebAssembly.Module/);
  await rejects(loadLinearAlgebra({ backend: 'gpu' as 'simd' }), 'TypeError', /"backend" expected/);
});

test.run();
