// Products of 16-bit activations and levels: SIMD against the reference, bit for bit, over shapes, strides, borders and corners.

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { LIMITS, largestDepth, largestSum } from '../../src/runtime/record.js';
import { generator, Pair, reference, simd } from './support.js';

const seeds = fc.integer({ min: 1, max: 2 ** 31 });
const upTo = (max: number) => fc.integer({ min: 1, max });
const schemes = fc.constantFrom(1, 2, 4);
const roundUp = (n: number, by: number) => Math.ceil(n / by) * by;

/** Floats with room for a multiple of eight, zeros behind the last. */
function padded(values: Float32Array): Float32Array {
  const out = new Float32Array(roundUp(values.length, 8));
  out.set(values);
  return out;
}

interface Shape {
  readonly bits: number;
  readonly kernel: readonly [number, number];
  readonly channels: number;
  readonly columns: number;
  readonly out: readonly [rows: number, across: number];
  readonly stride: readonly [number, number];
  readonly dilation: number;
  /** Rows of a scale, 0: one for each column. */
  readonly groupRows: number;
  readonly isDecoded: boolean;
}

/** Runs: rows of a kernel, whole where taps lie side by side, cut at the edges of groups. */
function runsOf(shape: Shape, across: number): [number, number, number][] {
  const { kernel, channels, dilation, groupRows, columns } = shape;
  const pieces: [number, number, number][] = [];
  const isSolid = dilation === 1;
  let k = 0;
  const scaleRow = 4 * roundUp(columns, 8);
  for (let r = 0; r < kernel[0]; r++)
    for (let q = 0; q < (isSolid ? 1 : kernel[1]); q++) {
      let left = isSolid ? kernel[1] * channels : channels;
      let offset = 2 * channels * dilation * (r * across + q);
      while (left > 0) {
        const inGroup = groupRows === 0 ? left : groupRows - (k % groupRows);
        const rows = Math.min(left, inGroup);
        k += rows;
        const total = kernel[0] * kernel[1] * channels;
        const isEnd = k === total || (groupRows > 0 && k % groupRows === 0);
        const group = groupRows === 0 ? 0 : Math.ceil(k / groupRows) - 1;
        pieces.push([offset, rows, isEnd ? group * scaleRow : -1]);
        offset += 2 * rows;
        left -= rows;
      }
    }
  return pieces;
}

function checkDirect(seed: number, shape: Shape): void {
  const { bits, kernel, channels, columns, out, stride, dilation, groupRows, isDecoded } = shape;
  const random = generator(seed);
  const pair = new Pair(1 << 19);
  const rows = (out[0] - 1) * stride[0] + (kernel[0] - 1) * dilation + 1;
  const across = (out[1] - 1) * stride[1] + (kernel[1] - 1) * dilation + 1;
  const depth = kernel[0] * kernel[1] * channels;
  const x = pair.put(
    Int16Array.from({ length: rows * across * channels + 8 }, () =>
      random.below(4) === 0 ? [32767, -32767, 0][random.below(3)]! : random.below(65535) - 32767,
    ),
  );
  const runs = runsOf(shape, across);
  const groups = groupRows === 0 ? 1 : Math.ceil(depth / groupRows);
  const scales = new Float32Array(groups * roundUp(columns, 8));
  for (let g = 0; g < groups; g++) scales.set(random.floats(columns, 0.01), g * roundUp(columns, 8));
  const panelBytes = runs.reduce((sum, [, n]) => sum + 32 * ((n + 1) >> 1), 0);
  const record = {
    codes: pair.put(random.bytes(Math.ceil(((depth * columns + 5) * bits) / 8) + 8)),
    ...{ bits, first: random.below(5), rowStride: columns, columns, panelBytes },
    ...pair.table(runs),
    scales: pair.put(scales),
    bias: pair.put(padded(random.floats(columns))),
    ...{ width: out[1], pixels: out[0] * out[1] },
    strideRow: 2 * channels * stride[0] * across,
    stridePixel: 2 * channels * stride[1],
    outPitch: 4 * columns,
    ...(random.below(2) === 0 ? { low: 0, high: 6 } : {}),
    scratch: pair.result(panelBytes),
  };
  let layer = pair.record(record);
  if (isDecoded) {
    const panels = pair.result(panelBytes * Math.ceil(columns / 8));
    const packed = layer;
    pair.run((kernels) => {
      for (let n = 0; n < columns; n += 8) kernels.decodePanel(packed, n, panels + (n >> 3) * panelBytes);
    });
    layer = pair.record({ ...record, panels, codes: 0 });
  }
  const result = pair.result(4 * columns * out[0] * out[1]);
  const slot = pair.slot();
  pair.run((kernels) => kernels.convolve(layer, x, result, 1 / 3, slot));
}

test('direct products: any kernel, stride, dilation, number of channels and columns, scales by groups', () => {
  const shapes: fc.Arbitrary<Shape> = fc.record({
    bits: schemes,
    kernel: fc.tuple(upTo(5), upTo(5)),
    channels: upTo(19),
    columns: upTo(19),
    out: fc.tuple(upTo(6), upTo(6)),
    stride: fc.tuple(upTo(3), upTo(3)),
    dilation: upTo(3),
    groupRows: fc.constantFrom(0, 0, 1, 3, 8, 16),
    isDecoded: fc.boolean(),
  });
  fc.assert(fc.property(seeds, shapes, checkDirect), { numRuns: 300 });
});

test('direct products of one pixel: dense layers', () => {
  const dense = { kernel: [1, 1], out: [1, 1], stride: [1, 1], dilation: 1 } as const;
  const shapes = fc.record({
    ...{ bits: schemes, channels: upTo(300), columns: upTo(40) },
    ...{ groupRows: fc.constantFrom(0, 7, 32), isDecoded: fc.boolean() },
  });
  fc.assert(
    fc.property(seeds, shapes, (seed, shape) => checkDirect(seed, { ...dense, ...shape })),
    { numRuns: 100 },
  );
});

interface Tiles {
  readonly bits: number;
  readonly channels: number;
  readonly columns: number;
  readonly out: readonly [rows: number, across: number];
  readonly isPositive: boolean;
  readonly chunk: number;
  readonly isDecoded: boolean;
}

/** Winograd against the reference's own and against direct products. @param fill an activation from random numbers */
function checkWinograd(
  seed: number,
  shape: Tiles,
  fill: (random: ReturnType<typeof generator>) => number,
  code?: number,
): void {
  const { bits, channels, columns, out, isPositive, chunk, isDecoded } = shape;
  const random = generator(seed);
  const depth = roundUp(channels, 8);
  const tilesDown = Math.ceil(out[0] / 2);
  const tilesAcross = roundUp(Math.ceil(out[1] / 2), 4);
  const [rows, across] = [2 * tilesDown + 2, 2 * tilesAcross + 2];
  const panelBytes = 16 * 16 * depth + 32;
  const pair = new Pair(panelBytes * (2 + Math.ceil(columns / 8)) + rows * across * depth * 12 + (1 << 18));
  const image = new Int16Array(rows * across * depth);
  for (let y = 0; y < out[0] + 2; y++)
    for (let i = 0; i < out[1] + 2; i++)
      for (let c = 0; c < channels; c++) image[(y * across + i) * depth + c] = fill(random);
  const x = pair.put(image);
  const codes = random.bytes(Math.ceil((9 * channels * columns * bits) / 8) + 16);
  if (code !== undefined) codes.fill(code);
  const record = {
    ...{ codes: pair.put(codes), bits, rowStride: columns, columns, channels, panelBytes },
    scales: pair.put(padded(random.floats(columns, 0.01))),
    bias: pair.put(padded(random.floats(columns))),
    ...{ width: out[1], height: out[0], pixels: out[0] * out[1], outPitch: 4 * columns, low: -3, high: 5 },
  };
  const winograd = {
    ...record,
    ...{ depth, tilesAcross, tilesDown, chunk: Math.min(chunk, tilesDown) },
    scratch: pair.result(panelBytes),
    transformed: pair.take(Math.min(chunk, tilesDown) * tilesAcross * 32 * depth),
    sums: pair.take(16 * 32 * 32),
  };
  let layer = pair.record(winograd);
  if (isDecoded) {
    const panels = pair.result(panelBytes * Math.ceil(columns / 8));
    const packed = layer;
    pair.run((kernels) => {
      for (let n = 0; n < columns; n += 8) kernels.decodeWinograd(packed, n, panels + (n >> 3) * panelBytes);
    });
    layer = pair.record({ ...winograd, panels, codes: 0 });
  }
  const result = pair.result(4 * columns * out[0] * out[1]);
  const slot = pair.slot();
  pair.run((kernels) => kernels.convolveWinograd(layer, x, result, 0.75, isPositive ? 1 : 0, slot));

  // Taps of one channel do not lie side by side where channels were added: one run for each tap.
  const runs = [0, 1, 2].flatMap((r) =>
    [0, 1, 2].map((q): [number, number, number] => [
      2 * depth * (r * across + q),
      channels,
      r + q === 4 ? 0 : -1,
    ]),
  );
  const direct = pair.record({
    ...record,
    ...pair.table(runs),
    scratch: pair.take(9 * 32 * roundUp(channels, 2)),
    ...{ strideRow: 2 * depth * across, stridePixel: 2 * depth },
  });
  const other = pair.take(4 * columns * out[0] * out[1]);
  simd.convolve(direct, x, other, 0.75, pair.take(8));
  const count = columns * out[0] * out[1];
  assert.equal(
    new Uint32Array(simd.memory.buffer.slice(result, result + 4 * count)),
    new Uint32Array(simd.memory.buffer.slice(other, other + 4 * count)),
  );
}

const signed = (random: ReturnType<typeof generator>) =>
  random.below(3) === 0 ? [8191, -8191][random.below(2)]! : random.below(16383) - 8191;
const positive = (random: ReturnType<typeof generator>) =>
  random.below(3) === 0 ? [16383, 0][random.below(2)]! : random.below(16384);

test('Winograd: the bits of its definition and of direct products, edges of tiles and chunks included', () => {
  const shapes = fc.record({
    ...{ bits: schemes, channels: upTo(20), columns: upTo(19), out: fc.tuple(upTo(11), upTo(19)) },
    ...{ isPositive: fc.boolean(), chunk: fc.constantFrom(1, 2, 100), isDecoded: fc.boolean() },
  });
  const property = fc.property(seeds, shapes, (seed, shape) =>
    checkWinograd(seed, shape, shape.isPositive ? positive : signed),
  );
  fc.assert(property, { numRuns: 150 });
});

test('sums of 32 bits at their edge: the most channels with the largest levels and activations', () => {
  assert.is(largestDepth(4, LIMITS.winograd), 910);
  assert.is(largestDepth(4, LIMITS.positive), 455);
  assert.is(largestSum(4), 8192);
  const edge = { columns: 1, out: [2, 2], chunk: 1, isDecoded: false } as const;
  // Codes 0x88: levels of -8. Activations at the limit: sums of -(2^31 - something).
  for (const bits of [1, 2, 4]) {
    const code = { 1: 0, 2: 0xaa, 4: 0x88 }[bits];
    const channels = largestDepth(bits, LIMITS.winograd);
    if (bits === 1) continue; // 7,281 channels: the same arithmetic, too slow for the reference
    checkWinograd(1, { ...edge, bits, channels, isPositive: false }, () => 8191, code);
    checkWinograd(1, { ...edge, bits, channels, isPositive: false }, () => -8191, code);
    const most = largestDepth(bits, LIMITS.positive);
    checkWinograd(1, { ...edge, bits, channels: most, isPositive: true }, () => 16383, code);
  }
  for (const value of [32767, -32767]) {
    const pair = new Pair(1 << 19);
    const k = largestSum(4);
    const x = pair.put(new Int16Array(k).fill(value));
    const layer = pair.record({
      codes: pair.put(new Uint8Array(k * 4 + 8).fill(0x88)),
      ...{ bits: 4, rowStride: 8, columns: 8, width: 1, pixels: 1, outPitch: 32 },
      ...pair.table([[0, k, 0]]),
      scales: pair.put(new Float32Array(8).fill(1)),
      bias: pair.put(new Float32Array(8)),
      scratch: pair.take(16 * k),
    });
    const result = pair.result(32);
    const slot = pair.slot();
    pair.run((kernels) => kernels.convolve(layer, x, result, 1, slot));
    assert.is(pair.floats(simd, result, 1)[0], Math.fround(-8 * k * value));
  }
});

test('images to integers: borders, cuts, channels added, ties to even, bounds', () => {
  const shapes = fc.record({
    ...{ height: upTo(6), width: upTo(6), channels: upTo(19), more: fc.constantFrom(0, 0, 1, 5) },
    ...{ top: fc.nat(3), left: fc.nat(3), rows: upTo(9), across: upTo(9), gap: fc.constantFrom(0, 0, 3) },
  });
  const property = fc.property(seeds, shapes, (seed, s) => {
    const random = generator(seed);
    const pair = new Pair(1 << 18);
    const pitch = s.channels + s.gap;
    const x = random.floats(s.height * s.width * pitch, 40);
    for (let i = 0; i < x.length; i += 3) x[i] = [0.5, 1.5, -2.5, -0, 1e30, -1e30, 1e-45][random.below(7)]!;
    const from = pair.put(x);
    const [rows, across] = [s.rows + s.top, s.across + s.left];
    const out = pair.result(2 * rows * across * (s.channels + s.more) + 2);
    const limit = [32767, 8191, 31][random.below(3)] as number;
    const inverse = [1, 100][random.below(2)] as number;
    pair.run((kernels) =>
      kernels.quantize(
        ...([from, s.height, s.width, s.channels, 4 * pitch, out, rows, across] as const),
        ...([s.channels + s.more, s.top, s.left, inverse, limit] as const),
      ),
    );
  });
  fc.assert(property, { numRuns: 200 });
});

test('nothing is done for a layer without pixels', () => {
  const pair = new Pair(4096);
  const layer = pair.record({ ...pair.table([[0, 2, 0]]), columns: 8, width: 1, scratch: pair.take(64) });
  const result = pair.result(32);
  const slot = pair.slot();
  pair.run((kernels) => kernels.convolve(layer, result, result, 1, slot));
  for (const kernels of [simd, reference])
    assert.equal([...new Int32Array(kernels.memory.buffer, slot, 2)], [0, 0]);
});

test.run();
