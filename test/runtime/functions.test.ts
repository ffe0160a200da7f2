// Everything that is no product of integers: SIMD against the reference, bit for bit, and both against Math in float64.

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ACTIVATIONS, type ActivationKind } from '../../src/runtime/functions.js';
import { COMBINATIONS, type CombinationKind } from '../../src/runtime/record.js';
import { generator, Pair, reference, simd } from './support.js';

const seeds = fc.integer({ min: 1, max: 2 ** 31 });
const upTo = (max: number) => fc.integer({ min: 1, max });
const roundUp = (n: number, by: number) => Math.ceil(n / by) * by;
const CORNERS = [
  ...[0, -0, 1e-45, -1e-45, 1e-38, 0.625, -0.625, 0.3466, 1, -1, 3, -3, 6, 87.5, 88.8, 89, -87, -88, -103],
  ...[-104, 1e30, -1e30, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 2.5, 4, -4, 20, -20],
];

/** Parameters that Keras would give. */
const PARAMETERS: Partial<Record<ActivationKind, readonly [number, number, number]>> = {
  clamp: [0, 6, 0],
  relu: [0.2, 1, 5],
  elu: [1.6732632423543772, 1.0507009873554805, 0.5],
  hard_sigmoid: [1 / 6, 0.5, 0],
  hard_silu: [1 / 6, 0.5, 0],
  linear: [0.5, -0.25, 0],
  hard_shrink: [0.5, 0, 0],
  soft_shrink: [0.5, 0, 0],
  squareplus: [4, 0, 0],
  threshold: [0.625, -2, 0],
};
const parametersOf = (kind: ActivationKind) => PARAMETERS[kind] ?? [0, 0, 0];

test('every activation has the bits of its scalar definition', () => {
  for (const [number, kind] of ACTIVATIONS.entries()) {
    const random = generator(number + 1);
    for (const n of [1, 2, 3, 4, 5, 7, 8, CORNERS.length, 4000]) {
      const pair = new Pair(1 << 16);
      const x = new Float32Array(n);
      const scale = [1, 10, 100][n % 3] as number;
      for (let i = 0; i < n; i++)
        x[i] = i < CORNERS.length && n > 8 ? (CORNERS[i] as number) : random.unit() * scale;
      const from = pair.put(x);
      const out = pair.result(4 * n);
      const [a, b, c] = parametersOf(kind);
      pair.run((kernels) => kernels.activate(from, n, number, a, b, c, out));
    }
  }
});

/** float64 by the host. */
function erfc(x: number): number {
  // Continued fraction and series are both exact to 1e-15 where they are used.
  const z = Math.abs(x);
  let value: number;
  if (z < 2.5) {
    let [sum, term] = [z, z];
    for (let k = 1; k < 80; k++) {
      term *= (-z * z) / k;
      sum += term / (2 * k + 1);
    }
    value = 1 - (2 / Math.sqrt(Math.PI)) * sum;
  } else {
    let f = 0;
    for (let k = 60; k >= 1; k--) f = k / 2 / (z + f);
    value = Math.exp(-z * z) / (Math.sqrt(Math.PI) * (z + f));
  }
  return x < 0 ? 2 - value : value;
}
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const EXACT: Partial<Record<ActivationKind, (x: number) => number>> = {
  elu: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x / 2)),
  sigmoid,
  tanh: Math.tanh,
  softplus,
  softsign: (x) => x / (1 + Math.abs(x)),
  silu: (x) => x * sigmoid(x),
  gelu: (x) => (x / 2) * erfc(-x / Math.SQRT2),
  gelu_tanh: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  hard_sigmoid: (x) => Math.min(1, Math.max(0, x / 6 + 0.5)),
  hard_silu: (x) => x * Math.min(1, Math.max(0, x / 6 + 0.5)),
  exponential: Math.exp,
  mish: (x) => x * Math.tanh(softplus(x)),
  log_sigmoid: (x) => -softplus(-x),
  log: (x) => Math.log(x),
  tanh_shrink: (x) => x - Math.tanh(x),
  expm1: Math.expm1,
  erf: (x) => 1 - erfc(x),
  sign: Math.sign,
  floor: Math.floor,
  ceil: Math.ceil,
  hard_shrink: (x) => (Math.abs(x) > 0.5 ? x : 0),
  soft_shrink: (x) => Math.sign(x) * Math.max(Math.abs(x) - 0.5, 0),
  squareplus: (x) => (x + Math.sqrt(x * x + 4)) / 2,
  threshold: (x) => (x > 0.625 ? x : -2),
  sparse_plus: (x) => (x <= -1 ? 0 : x >= 1 ? x : (x + 1) ** 2 / 4),
  truth: (x) => (x === 0 ? 0 : 1),
};

test('activations are within a few units of the last place of float64, or of 1', () => {
  for (const [kind, exact] of Object.entries(EXACT) as [ActivationKind, (x: number) => number][]) {
    const n = 20000;
    const x = Float32Array.from({ length: n }, (_, i) =>
      kind === 'log' ? 2 ** (i / 100 - 100) : i / 500 - 20,
    );
    const pair = new Pair(1 << 18);
    const [from, out] = [pair.put(x), pair.take(4 * n)];
    const [a, b, c] = parametersOf(kind);
    simd.activate(from, n, ACTIVATIONS.indexOf(kind), a, b, c, out);
    pair.floats(simd, out, n).forEach((value, i) => {
      const right = exact(x[i] as number);
      const bound = 2.5e-7 * Math.max(1, Math.abs(right), Math.abs(x[i] as number));
      assert.ok(Math.abs(value - right) <= bound, `${kind}(${x[i]}) gave ${value}, expected ${right}`);
    });
  }
});

test('exp, expm1, softplus and tanh keep their digits near 0 and at the ends', () => {
  const values: [ActivationKind, number, number][] = [
    ['exponential', 88.7, Math.exp(Math.fround(88.7))],
    ['exponential', 88.73, Number.POSITIVE_INFINITY],
    ['exponential', -104, 0],
    ['exponential', -103, 1.401298464324817e-45],
    ['elu', -1e-20, -1e-20],
    ['softplus', -20, 2.061153620314381e-9],
    ['tanh', 1e-20, 1e-20],
    ['tanh', 20, 1],
  ];
  for (const [kind, x, right] of values) {
    const pair = new Pair(4096);
    const [from, out] = [pair.put(Float32Array.of(x)), pair.take(4)];
    const [a, b, c] = kind === 'elu' ? ([1, 1, 1] as const) : ([0, 0, 0] as const);
    simd.activate(from, 1, ACTIVATIONS.indexOf(kind), a, b, c, out);
    const got = pair.floats(simd, out, 1)[0] as number;
    assert.ok(
      got === right || Math.abs(got / right - 1) < 3e-7,
      `${kind}(${x}) gave ${got}, expected ${right}`,
    );
  }
});

test('softmax, its logarithm and normalizations of rows of any length', () => {
  const property = fc.property(
    ...[seeds, fc.nat(4), upTo(37), fc.boolean(), fc.boolean()],
    (seed, rows, n, isLog, isCentered) => {
      const random = generator(seed);
      const pair = new Pair(1 << 16);
      const x = random.floats(rows * n, 10);
      if (x.length > 3) x[3] = -0;
      const from = pair.put(x);
      const [gamma, beta] = [pair.put(random.floats(n)), pair.put(random.floats(n))];
      const [out, other] = [pair.result(4 * rows * n), pair.result(4 * rows * n)];
      pair.run((kernels) => {
        kernels.softmax(from, rows, n, isLog ? 1 : 0, out);
        kernels.normalize(from, rows, n, gamma, beta, 1e-3, isCentered ? 1 : 0, other);
      });
      for (let r = 0; r < rows && !isLog; r++) {
        const sum = pair.floats(simd, out + 4 * r * n, n).reduce((total, v) => total + v, 0);
        assert.ok(Math.abs(sum - 1) < 1e-6);
      }
    },
  );
  fc.assert(property, { numRuns: 200 });
});

test('elements joined: equal shapes, vectors repeated, one number for all', () => {
  const kinds = fc.constantFrom(...COMBINATIONS);
  const property = fc.property(
    seeds,
    upTo(30),
    upTo(5),
    fc.boolean(),
    kinds,
    (seed, period, times, isOver, kind) => {
      const random = generator(seed);
      const pair = new Pair(1 << 14);
      const n = period * times;
      const [a, b] = [random.floats(n), random.floats(period)];
      a[0] = CORNERS[random.below(CORNERS.length)] as number;
      b[0] = CORNERS[random.below(CORNERS.length)] as number;
      const out = pair.result(4 * n);
      const x = isOver ? out : pair.put(a);
      if (isOver)
        for (const kernels of [simd, reference]) new Float32Array(kernels.memory.buffer, x, n).set(a);
      const y = pair.put(b);
      pair.run((kernels) =>
        kernels.combine(x, y, n, period, COMBINATIONS.indexOf(kind as CombinationKind), out),
      );
    },
  );
  fc.assert(property, { numRuns: 300 });
});

test('float32 products, depthwise kernels and matrices packed turned or not', () => {
  // Of a row of three taps, as far apart as pixels, depthwise kernels read each activation once.
  let threes = 0;
  const shape = fc.record({
    ...{
      tall: upTo(4),
      wide: fc.oneof(fc.constant(3), upTo(4)),
      channels: upTo(13),
      columns: upTo(19),
      rows: upTo(5),
      across: upTo(7),
    },
    ...{ stride: upTo(2), dilation: upTo(2), isTurned: fc.boolean(), hasBounds: fc.boolean() },
  });
  const property = fc.property(seeds, shape, (seed, s) => {
    if (s.wide === 3 && s.dilation === s.stride && s.across >= 4) threes++;
    const random = generator(seed);
    const pair = new Pair(1 << 18);
    const height = (s.rows - 1) * s.stride + (s.tall - 1) * s.dilation + 1;
    const width = (s.across - 1) * s.stride + (s.wide - 1) * s.dilation + 1;
    const x = pair.put(random.floats(height * width * s.channels));
    const k = s.tall * s.wide * s.channels;
    const weights = pair.put(random.floats(k * s.columns));
    const panels = pair.result(4 * k * roundUp(s.columns, 8));
    const [rowBytes, columnBytes] = s.isTurned ? [4, 4 * k] : [4 * s.columns, 4];
    pair.run((kernels) => kernels.packPanels(weights, k, s.columns, rowBytes, columnBytes, panels));
    const taps = Array.from({ length: s.tall * s.wide }, (_, t): [number, number, number] => [
      4 * s.channels * s.dilation * (Math.floor(t / s.wide) * width + (t % s.wide)),
      ...([s.channels, 0] as const),
    ]);
    const bounds = s.hasBounds ? { low: -0.5, high: 0.5 } : {};
    const padded = (n: number) => {
      const out = new Float32Array(roundUp(n, 8));
      out.set(random.floats(n));
      return pair.put(out);
    };
    const common = {
      ...{ ...pair.table(taps), width: s.across, pixels: s.rows * s.across, ...bounds },
      ...{ strideRow: 4 * s.channels * width * s.stride, stridePixel: 4 * s.channels * s.stride },
    };
    const full = pair.record({
      ...common,
      ...{ panels, panelBytes: 32 * k, columns: s.columns, bias: padded(s.columns), outPitch: 4 * s.columns },
    });
    const out = pair.result(4 * s.rows * s.across * s.columns);
    const tap = 4 * roundUp(s.channels, 4);
    const single = pair.record({
      ...common,
      ...{ panels: pair.put(random.floats((taps.length * tap) / 4)), panelBytes: tap, columns: s.channels },
      ...{ bias: padded(s.channels), outPitch: 4 * s.channels },
    });
    const other = pair.result(4 * s.rows * s.across * s.channels);
    const slots = [pair.slot(), pair.slot()] as const;
    pair.run((kernels) => {
      kernels.convolveFloat(full, x, out, slots[0]);
      kernels.depthwise(single, x, other, slots[1]);
    });
  });
  fc.assert(property, { numRuns: 300 });
  assert.ok(threes > 20, `${threes} cases had rows of three taps`);
});

test('pools: windows cut at edges, strides, the whole image', () => {
  const shape = fc.record({
    ...{ height: upTo(7), width: upTo(7), channels: upTo(9), tall: upTo(4), wide: upTo(4) },
    ...{
      strideY: upTo(3),
      strideX: upTo(3),
      top: fc.nat(2),
      left: fc.nat(2),
      how: fc.nat(2),
      isOdd: fc.boolean(),
    },
  });
  const property = fc.property(seeds, shape, (seed, s) => {
    const random = generator(seed);
    const pair = new Pair(1 << 16);
    const image = random.floats(s.height * s.width * s.channels);
    if (s.isOdd)
      for (let i = random.below(3); i < image.length; i += 1 + random.below(9)) image[i] = Number.NaN;
    const x = pair.put(image);
    const rows = Math.ceil(s.height / s.strideY);
    const across = Math.ceil(s.width / s.strideX);
    const out = pair.result(4 * rows * across * s.channels);
    pair.run((kernels) =>
      kernels.pool(
        ...([x, s.height, s.width, s.channels, s.tall, s.wide, s.strideY, s.strideX] as const),
        ...([s.top, s.left, rows, across, s.how, out] as const),
      ),
    );
  });
  fc.assert(property, { numRuns: 200 });
});

test('borders, moves, constants, ranges, decoded rows', () => {
  const sizes = fc.record({
    a: upTo(6),
    b: upTo(6),
    c: upTo(9),
    top: fc.nat(2),
    left: fc.nat(3),
    repeat: upTo(3),
  });
  const property = fc.property(
    seeds,
    sizes,
    fc.constantFrom(1, 2, 4),
    (seed, { a, b, c, top, left, repeat }, bits) => {
      const random = generator(seed);
      const pair = new Pair(1 << 16);
      const floats = random.floats(a * b * c);
      const x = pair.put(floats);
      const [rows, across] = [top + 1 + random.below(a + 2), left + 1 + random.below(b + 2)];
      const framed = pair.result(4 * rows * across * c * repeat);
      const bytes = pair.put(random.bytes(a * b));
      const moved = pair.result(4 * a * b * c);
      const filled = pair.result(4 * c);
      const decoded = pair.result(4 * c);
      const first = random.below(9);
      const slot = pair.slot();
      pair.run((kernels) => {
        kernels.border(x, a, b, c, 4 * c, framed, rows, across, repeat, top, left);
        kernels.move(x, moved, a, b, c, 4, 4 * b * c, 4 * c, 4, 4, 4 * a, 4 * a * b);
        kernels.fill(filled, c, -0);
        kernels.decodeRow(bytes, bits, first, c, 0.3, decoded);
        kernels.range(x, a * b * c, slot);
      });
      const most = Math.max(...[...floats].map(Math.abs));
      assert.is(pair.floats(simd, slot, 1)[0], most);
      const sign = new Int32Array(simd.memory.buffer, slot, 2)[1] as number;
      assert.is(
        sign < 0,
        floats.some((v) => v < 0 || Object.is(v, -0)),
      );
    },
  );
  fc.assert(property, { numRuns: 200 });
});

test('a range shows NaN and infinities', () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
    for (let at = 0; at < 7; at++) {
      const pair = new Pair(4096);
      const x = new Float32Array(7).fill(3e38);
      x[at] = bad;
      const slot = pair.slot();
      const from = pair.put(x);
      pair.run((kernels) => kernels.range(from, 7, slot));
      assert.not.ok(Number.isFinite(pair.floats(simd, slot, 1)[0]));
    }
});

test('transposed convolutions and bilinear interpolation', () => {
  const shape = fc.record({
    ...{ height: upTo(4), width: upTo(4), channels: upTo(9), tall: upTo(4), wide: upTo(4) },
    ...{ strideY: upTo(3), strideX: upTo(3), dilation: upTo(2), top: fc.nat(2), left: fc.nat(2) },
    ...{ rows: upTo(9), across: upTo(9) },
  });
  const property = fc.property(seeds, shape, (seed, s) => {
    const random = generator(seed);
    const pair = new Pair(1 << 17);
    const y = pair.put(random.floats(s.height * s.width * s.tall * s.wide * s.channels));
    const bias = pair.put(random.floats(s.channels));
    const out = pair.result(4 * s.rows * s.across * s.channels);
    const other = pair.result(4 * s.rows * s.across * s.channels);
    pair.run((kernels) => {
      kernels.scatter(
        ...([y, s.height, s.width, s.channels, s.tall, s.wide, s.strideY, s.strideX] as const),
        ...([s.dilation, s.dilation, s.top, s.left, s.rows, s.across, bias, out] as const),
      );
      kernels.interpolate(y, s.height, s.width, s.channels, s.rows, s.across, other);
    });
  });
  fc.assert(property, { numRuns: 200 });
});

test.run();
