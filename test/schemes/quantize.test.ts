import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { loadKernels } from '../../src/kernels/index.js';
import { dequantizeTensor, quantizedBytes, quantizeTensor } from '../../src/schemes/quantize.js';
import type { QuantizeOptions } from '../../src/schemes/types.js';
import { sizeOf } from '../../src/shape.js';
import { random } from '../kernels/support.js';
import { throws } from '../support/throws.js';

const backends = [await loadKernels(), await loadKernels({ backend: 'reference' })];
const f32 = Math.fround;

/** Blocks of a tensor as lists of indices, by the definition in the format's specification. */
function blocksOf(shape: readonly number[], options: QuantizeOptions): number[][] {
  const n = sizeOf(shape);
  const axes = options.axes ?? [shape.length - 1];
  const tensor = options.granularity === 'tensor';
  const outer = tensor ? 1 : sizeOf(shape.slice(0, axes[0]));
  const channels = tensor ? 1 : sizeOf(shape.slice(axes[0], (axes.at(-1) as number) + 1));
  const inner = n / outer / channels;
  const g = options.granularity === 'group' ? (options.groupSize as number) : outer * inner;
  const blocks = Array.from({ length: Math.ceil((outer * inner) / g) * channels }, (): number[] => []);
  for (let e = 0; e < n; e++) {
    const k = Math.floor(e / (inner * channels)) * inner + (e % inner);
    blocks[Math.floor(k / g) * channels + (Math.floor(e / inner) % channels)]?.push(e);
  }
  return blocks;
}

const rne = (x: number) => {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
};

/** The closed forms, straight from their equations. */
function expectedValues(
  weights: Float32Array,
  shape: readonly number[],
  options: QuantizeOptions,
): Float32Array {
  const out = new Float32Array(weights.length);
  for (const block of blocksOf(shape, options)) {
    const values = block.map((e) => weights[e] as number);
    if (options.scheme === 'binary') {
      const mean = values.reduce((sum, w) => sum + Math.abs(w), 0) / values.length;
      const scale = options.scale === 'none' ? 1 : f32(mean);
      for (const e of block) out[e] = (weights[e] as number) > 0 ? scale : -scale;
    } else if (options.scheme === 'int2') {
      const amax = Math.max(...values.map(Math.abs));
      const inverse = amax === 0 ? 0 : f32(1.5 / amax);
      for (const e of block) {
        const q = Math.min(1, Math.max(-2, Math.floor(f32((weights[e] as number) * inverse))));
        out[e] = f32((q + 0.5) * f32(amax / 1.5));
      }
    } else {
      const amax = Math.max(...values.map(Math.abs));
      const inverse = amax === 0 ? 0 : f32(7 / amax);
      for (const e of block) {
        const q = Math.min(7, Math.max(-8, rne(f32((weights[e] as number) * inverse))));
        out[e] = f32(q * f32(amax / 7));
      }
    }
  }
  return out;
}

const cases = fc
  .record({
    shape: fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 4 }),
    granularity: fc.constantFrom('tensor' as const, 'channel' as const, 'group' as const),
    groupSize: fc.integer({ min: 1, max: 9 }),
    coding: fc.constantFrom(
      { scheme: 'binary' as const, scale: 'none' as const },
      { scheme: 'binary' as const, scale: 'mean' as const },
      { scheme: 'int2' as const, scale: 'absmax' as const },
      { scheme: 'int4' as const, scale: 'absmax' as const },
    ),
    axisSeed: fc.nat(),
    widthSeed: fc.nat(),
    seed: fc.nat(),
  })
  .map(({ shape, granularity, groupSize, coding, axisSeed, widthSeed, seed }) => {
    const first = axisSeed % shape.length;
    const width = 1 + (widthSeed % (shape.length - first));
    let state = seed;
    const weights = Float32Array.from({ length: sizeOf(shape) }, () => {
      state = (state * 1664525 + 1013904223) >>> 0;
      return state % 11 === 0 ? 0 : state / 2 ** 31 - 1;
    });
    const axes = Array.from({ length: width }, (_, i) => first + i);
    const options: QuantizeOptions = {
      ...coding,
      granularity,
      axes,
      ...(granularity === 'group' ? { groupSize } : {}),
    };
    return { shape, weights, options };
  });

for (const kernels of backends) {
  test(`${kernels.backend}: closed forms equal their equations for any axes, shapes and groups`, () => {
    fc.assert(
      fc.property(cases, ({ shape, weights, options }) => {
        const decoded = dequantizeTensor(kernels, quantizeTensor(kernels, weights, shape, options));
        const want = expectedValues(weights, shape, options);
        decoded.forEach((value, i) => {
          // float32 partial sums of |w| differ from float64 sums in the last bits
          const slack = options.scale === 'mean' ? 1e-5 * Math.abs(want[i] as number) : 0;
          assert.ok(Math.abs(value - (want[i] as number)) <= slack, `${i}: ${value}, expected ${want[i]}`);
        });
      }),
      { numRuns: 300 },
    );
  });

  test(`${kernels.backend}: least squares is never worse than the largest weight on the highest level`, () => {
    fc.assert(
      fc.property(cases, fc.constantFrom('int2' as const, 'int4' as const), (c, scheme) => {
        const { shape, weights, options } = c;
        const { scale: _scale, ...rest } = { ...options, scheme };
        const error = (scale: 'lsq' | 'absmax') => {
          const tensor = quantizeTensor(kernels, weights, shape, { ...rest, scale });
          return kernels.difference(weights, dequantizeTensor(kernels, tensor)).noise;
        };
        assert.ok(error('lsq') <= error('absmax') * (1 + 1e-6) + 1e-12);
      }),
      { numRuns: 200 },
    );
  });

  test(`${kernels.backend}: least squares comes close to the exhaustive optimum of small blocks`, () => {
    // Every optimal (codes, scale) has codes rne(w / s) for some s; a fine grid over s finds the optimum to 1e-3.
    let state = 5;
    const random = () => {
      state = (state * 1664525 + 1013904223) >>> 0;
      return state / 2 ** 31 - 1;
    };
    let total = 0;
    let best = 0;
    for (let trial = 0; trial < 40; trial++) {
      const weights = Float32Array.from({ length: 24 }, random);
      const tensor = quantizeTensor(kernels, weights, [24], {
        scheme: 'int4',
        granularity: 'tensor',
        scale: 'lsq',
      });
      total += kernels.difference(weights, dequantizeTensor(kernels, tensor)).noise;
      const amax = Math.max(...weights.map(Math.abs));
      let optimum = Number.POSITIVE_INFINITY;
      for (let s = amax / 16; s < amax / 5; s += amax / 20_000) {
        const error = weights.reduce(
          (sum, w) => sum + (w - s * Math.min(7, Math.max(-8, rne(w / s)))) ** 2,
          0,
        );
        optimum = Math.min(optimum, error);
      }
      best += optimum;
    }
    assert.ok(total <= best * 1.01, `squared error ${total}, optimum ${best}`);
  });

  test(`${kernels.backend}: least squares of int2 comes close to the exact optimum of blocks`, () => {
    // |l| is 1.5 for the k largest magnitudes and 0.5 for the others, for one k: the best of all k is the optimum.
    const next = random(11);
    for (const [size, share] of [
      [6, 1.01],
      [32, 1.002],
      [1152, 1.0005],
    ] as const) {
      let total = 0;
      let best = 0;
      for (let trial = 0; trial < 60; trial++) {
        // sums of three uniform numbers: near enough to a bell
        const weights = Float32Array.from({ length: size }, () => next() + next() + next() - 1.5);
        const tensor = quantizeTensor(kernels, weights, [size], { scheme: 'int2', granularity: 'tensor' });
        const { signal, noise } = kernels.difference(weights, dequantizeTensor(kernels, tensor));
        const falling = Float64Array.from(weights, Math.abs).sort().reverse();
        let wl = falling.reduce((sum, w) => sum + w / 2, 0);
        let gain = 0;
        for (let k = 0; k <= size; k++) {
          gain = Math.max(gain, wl ** 2 / (size / 4 + 2 * k));
          wl += falling[k] ?? 0;
        }
        total += noise;
        best += signal - gain;
        assert.ok(noise >= (signal - gain) * (1 - 1e-5));
      }
      assert.ok(total <= best * share, `${size}: squared error ${total}, optimum ${best}`);
    }
  });

  test(`${kernels.backend}: an all-zero block of int2 has scale 0 and values 0`, () => {
    for (const scale of ['lsq', 'absmax'] as const) {
      const weights = Float32Array.of(0, 1, -0, -2, 0, 2);
      const tensor = quantizeTensor(kernels, weights, [3, 2], { scheme: 'int2', scale });
      assert.is(tensor.scales[0], 0);
      const values = dequantizeTensor(kernels, tensor);
      for (const i of [0, 2, 4]) assert.ok(Object.is(values[i], 0));
    }
  });

  test(`${kernels.backend}: NaN and infinities are refused with tensor and index`, () => {
    for (const scheme of ['binary', 'int2', 'int4'] as const) {
      for (const scale of scheme === 'binary'
        ? (['mean', 'none', 'lsq', 'hqq'] as const)
        : (['absmax', 'lsq', 'hqq'] as const)) {
        for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
          const weights = new Float32Array(50).fill(0.5);
          weights[37] = bad;
          try {
            quantizeTensor(kernels, weights, [10, 5], { scheme, scale }, 'tensor conv1/kernel of m.h5');
            assert.unreachable();
          } catch (error) {
            assert.instance(error, BitnibbleError);
            assert.is((error as BitnibbleError).code, 'not-finite');
            assert.match((error as Error).message, `${bad} at index 37 (tensor conv1/kernel of m.h5)`);
          }
        }
      }
    }
  });

  test(`${kernels.backend}: sums that overflow float32 still give finite scales`, () => {
    const weights = new Float32Array(300).fill(3e38);
    const tensor = quantizeTensor(kernels, weights, [300], { scheme: 'binary', granularity: 'tensor' });
    assert.is(tensor.scales[0], f32(3e38));
  });
}

test('"scale = mean |w|" where float32 sums overflow: any axes, groups and signs', () => {
  const shape = [5, 3, 4, 2];
  const weights = Float32Array.from(
    { length: sizeOf(shape) },
    (_, i) => (i % 3 === 0 ? -1 : 1) * (2 + (i % 17) / 17) * 1e38,
  );
  for (const kernels of backends) {
    for (const axes of [[0], [1], [2], [3], [1, 2], [0, 1, 2]]) {
      for (const granularity of ['channel', 'group'] as const) {
        const groups = granularity === 'group' ? { groupSize: 9 } : {};
        const options = { scheme: 'binary', granularity, axes, ...groups } as const;
        const { scales } = quantizeTensor(kernels, weights, shape, options);
        const means = blocksOf(shape, options).map((block) =>
          block.reduce((sum, e) => sum + Math.abs(weights[e] as number) / block.length, 0),
        );
        assert.is(scales.length, means.length);
        means.forEach((mean, block) => {
          const error = Math.abs((scales[block] as number) / mean - 1);
          assert.ok(error < 1e-7, `axes ${axes}, ${granularity}, block ${block}: ${error}`);
        });
      }
    }
  }
});

test('a block is quantized by itself: what else a tensor holds changes neither its scale nor its codes', () => {
  const next = random(77);
  const kernels = backends[0] as (typeof backends)[0];
  const shape = [3, 4, 5];
  // Sums of multiples of 1/64 are exact in any order.
  const weights = Float32Array.from(
    { length: 60 },
    (_, i) => Math.round(64 * (next() - 0.5) * (1 + (i % 7))) / 64,
  );
  const grains = [{ granularity: 'channel' }, { granularity: 'group', groupSize: 4 }] as const;
  for (const [scheme, scale] of [
    ...(['mean', 'hqq'] as const).map((rule) => ['binary', rule] as const),
    ...(['lsq', 'absmax', 'hqq'] as const).map((rule) => ['int2', rule] as const),
    ...(['lsq', 'absmax', 'hqq'] as const).map((rule) => ['int4', rule] as const),
  ])
    for (const grain of grains)
      for (const axes of [[0], [1], [2], [0, 1], [1, 2]]) {
        const options: QuantizeOptions = { scheme, scale, axes, ...grain };
        const whole = dequantizeTensor(kernels, quantizeTensor(kernels, weights, shape, options));
        for (const block of blocksOf(shape, options)) {
          const own = Float32Array.from(block, (e) => weights[e] as number);
          const one = { scheme, scale, granularity: 'tensor' } as const;
          const alone = dequantizeTensor(kernels, quantizeTensor(kernels, own, [own.length], one));
          const what = `${scheme} ${scale} ${axes} ${grain.granularity}`;
          assert.equal(
            block.map((e) => whole[e]),
            [...alone],
            what,
          );
        }
      }
});

test('both backends give the same bytes', () => {
  const [simd, reference] = backends as [(typeof backends)[0], (typeof backends)[0]];
  fc.assert(
    fc.property(cases, fc.boolean(), fc.boolean(), ({ shape, weights, options }, lsq, half) => {
      const all = {
        ...options,
        ...(lsq ? { scale: 'lsq' as const } : {}),
        scaleDtype: half ? ('F16' as const) : ('F32' as const),
      };
      const a = quantizeTensor(simd, weights, shape, { ...all, scale: all.scale });
      const b = quantizeTensor(reference, weights, shape, all);
      assert.equal(a.codes, b.codes);
      assert.equal(a.scales, b.scales);
    }),
    { numRuns: 200 },
  );
});

test('half-precision scales are stored as such, with codes made for them', () => {
  const kernels = backends[0] as (typeof backends)[0];
  const weights = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i));
  const tensor = quantizeTensor(kernels, weights, [16, 4], { scheme: 'int4', scaleDtype: 'F16' });
  assert.is(quantizedBytes(tensor), 32 + 4 * 2);
  const { signal, noise } = kernels.difference(weights, dequantizeTensor(kernels, tensor));
  assert.ok(10 * Math.log10(signal / noise) > 18);
  assert.throws(
    () =>
      quantizeTensor(
        kernels,
        weights.map((w) => w * 1e9),
        [64],
        { scheme: 'int4', scaleDtype: 'F16', granularity: 'tensor' },
      ),
    /"scaleDtype" expected F32 for the scale/,
  );
});

test('arguments are checked', () => {
  const kernels = backends[0] as (typeof backends)[0];
  const w = new Float32Array(6);
  const quantize =
    (options: object, shape = [2, 3]) =>
    () =>
      quantizeTensor(kernels, w, shape, options as QuantizeOptions, 'tensor t');
  throws(
    quantize({ scheme: 'int3' }),
    RangeError,
    '"scheme" expected binary, int2 or int4, got "int3" (tensor t)',
  );
  throws(quantize({ scheme: 'toString' }), RangeError);
  assert.throws(
    quantize({ scheme: 'int4', scale: 'mean' }),
    /"scale" expected one of absmax, lsq, hqq for scheme int4/,
  );
  throws(quantize({ scheme: 'binary', scale: 'absmax' }), RangeError);
  throws(quantize({ scheme: 'int4', granularity: 'row' }), RangeError);
  throws(
    quantize({ scheme: 'int4', granularity: 'group' }),
    RangeError,
    '"groupSize" expected an integer of at least 1, got undefined (tensor t)',
  );
  throws(quantize({ scheme: 'int4', groupSize: 4 }), RangeError);
  throws(quantize({ scheme: 'int4', axes: [2] }), RangeError);
  throws(quantize({ scheme: 'int4', axes: [1, 0] }), RangeError);
  assert.throws(quantize({ scheme: 'int4' }, [2, 4]), /"weights" expected 8 values for shape \[2,4\], got 6/);
  throws(
    () => quantizeTensor(kernels, [1, 2] as unknown as Float32Array, [2], { scheme: 'int4' }),
    TypeError,
  );
});

test.run();
