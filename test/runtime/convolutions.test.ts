// Whole convolutions as a plan makes them: borders, planes, groups. SIMD, packed and decoded, and the reference leave the same bits,
// and float32 weights give what the definition gives.

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { frameWith } from '../../src/runtime/frames.js';
import { loadRuntimeKernels } from '../../src/runtime/kernels.js';
import { addConvolution, addDepthwise, type Convolution } from '../../src/runtime/product.js';
import { Program } from '../../src/runtime/program.js';
import type { CodedWeight } from '../../src/runtime/weights.js';
import { generator } from './support.js';

const upTo = (max: number) => fc.integer({ min: 1, max });

interface Case {
  /** Lengths, kernel, strides and dilations of one, two or three axes. */
  readonly axes: readonly { n: number; kernel: number; stride: number; dilation: number }[];
  readonly padding: 'valid' | 'same';
  readonly groups: number;
  readonly depth: number;
  readonly count: number;
  readonly bits: 1 | 2 | 4;
  readonly scales: 'tensor' | 'channel' | 'group';
  readonly corner: 'plain' | 'positive' | 'zero' | 'huge' | 'tiny';
}

const cases: fc.Arbitrary<Case> = fc.record({
  axes: fc.array(fc.record({ n: upTo(7), kernel: upTo(3), stride: upTo(3), dilation: upTo(2) }), {
    ...{ minLength: 1, maxLength: 3 },
  }),
  padding: fc.constantFrom('valid', 'same'),
  ...{ groups: upTo(3), depth: upTo(9), count: upTo(11), bits: fc.constantFrom(1, 2, 4) },
  scales: fc.constantFrom('tensor', 'channel', 'group'),
  corner: fc.constantFrom('plain', 'plain', 'positive', 'zero', 'huge', 'tiny'),
});

/** The windows of a case; undefined where not one fits. */
function frameOf({ axes, padding, groups, depth }: Case) {
  const of = (key: 'n' | 'kernel' | 'stride' | 'dilation') => axes.map((axis) => axis[key]);
  const frame = frameWith([...of('n'), groups * depth], {
    ...{ kernel: of('kernel'), strides: of('stride'), dilations: of('dilation'), padding },
  });
  return frame.out.includes(0) || frame.planes?.out === 0 ? undefined : frame;
}

const SCALE = { plain: 1, positive: 1, zero: 0, huge: 3e38, tiny: 1e-44 } as const;

function inputOf(seed: number, { axes, groups, depth, corner }: Case): Float32Array {
  const size = axes.reduce((n, axis) => n * axis.n, groups * depth);
  const x = generator(seed).floats(size, SCALE[corner]);
  return corner === 'positive' ? x.map(Math.abs) : x;
}

async function run(
  layer: Convolution,
  x: Float32Array,
  how: { backend: 'simd' | 'reference'; weights: 'packed' | 'decoded' },
) {
  const program = new Program(await loadRuntimeKernels({ backend: how.backend }));
  const { planes, image } = layer;
  const input = program.tensor([...(planes ? [planes.depth] : []), ...image]);
  const isDepthwise = layer.groups === image[2] && layer.groups > 1 && !planes;
  const output = isDepthwise
    ? addDepthwise(program, input, layer)
    : addConvolution(program, input, layer, how);
  program.finish([input], [output]);
  program.floats.set(x, input.storage.at >> 2);
  program.run();
  const from = output.storage.at >> 2;
  return program.floats.slice(from, from + output.size);
}

const layerOf = (
  frame: ReturnType<typeof frameWith>,
  weights: Pick<Convolution, 'weight' | 'values'>,
  c: Case,
) => ({
  ...{ ...frame, ...weights, name: 'layer', groups: c.groups, columns: c.groups * c.count },
  ...{ low: -Infinity, high: Infinity },
});

test('integer convolutions: one result, packed or decoded, SIMD or not', async () => {
  let seen = 0;
  const property = fc.asyncProperty(upTo(2 ** 31 - 1), cases, async (seed, c) => {
    const frame = frameOf(c);
    if (!frame) return;
    const random = generator(seed + 1);
    const rows = c.axes.reduce((n, { kernel }) => n * kernel, c.depth);
    const columns = c.groups * c.count;
    const groupRows = c.scales === 'group' ? 1 + random.below(rows) : rows;
    const channels = c.scales === 'tensor' ? 1 : columns;
    const weight: CodedWeight = {
      ...{ bits: c.bits, codes: random.bytes(Math.ceil((rows * columns * c.bits) / 8)) },
      scales: random.floats(channels * Math.ceil(rows / groupRows), 0.1),
      layout:
        c.scales === 'tensor'
          ? { outer: 1, channels: 1, inner: rows * columns, groupRows: rows * columns }
          : { outer: rows, channels, inner: 1, groupRows },
    };
    const values = () => assert.unreachable('codes are used as they are') as never;
    const depthwise = c.depth === 1 && c.groups > 1 && !frame.planes;
    if (depthwise) return;
    const layer = { ...layerOf(frame, { weight, values }, c), bias: random.floats(columns), low: -1e30 };
    const x = inputOf(seed, c);
    const results = await Promise.all([
      run(layer, x, { backend: 'reference', weights: 'packed' }),
      run(layer, x, { backend: 'simd', weights: 'packed' }),
      run(layer, x, { backend: 'simd', weights: 'decoded' }),
    ]);
    const words = results.map((result) => [...new Uint32Array(result.buffer)]);
    assert.equal(words[1], words[0]);
    assert.equal(words[2], words[0]);
    seen++;
  });
  await fc.assert(property, { numRuns: 150 });
  assert.ok(seen >= 75, `${seen} cases had windows that fit`);
});

/** The definition, in float64. */
function defined(c: Case, frame: ReturnType<typeof frameWith>, x: Float32Array, w: Float32Array): number[] {
  const p = frame.planes ?? { depth: 1, out: 1, kernel: 1, stride: 1, dilation: 1, front: 0 };
  const [height, width, channels] = frame.image;
  const columns = c.groups * c.count;
  const out: number[] = [];
  for (let o = 0; o < p.out * frame.out[0] * frame.out[1]; o++)
    for (let n = 0; n < columns; n++) {
      const [ox, oy] = [o % frame.out[1], Math.floor(o / frame.out[1]) % frame.out[0]];
      const op = Math.floor(o / (frame.out[0] * frame.out[1]));
      const g = Math.floor(n / c.count);
      let [sum, k] = [0, 0];
      for (let q = 0; q < p.kernel; q++)
        for (let r = 0; r < frame.kernel[0]; r++)
          for (let s = 0; s < frame.kernel[1]; s++)
            for (let d = 0; d < c.depth; d++, k++) {
              const plane = op * p.stride + q * p.dilation - p.front;
              const y = oy * frame.strides[0] + r * frame.dilations[0] - frame.top;
              const i = ox * frame.strides[1] + s * frame.dilations[1] - frame.left;
              if (plane < 0 || plane >= p.depth || y < 0 || y >= height || i < 0 || i >= width) continue;
              const at = ((plane * height + y) * width + i) * channels + g * c.depth + d;
              sum += (x[at] as number) * (w[k * columns + n] as number);
            }
      out.push(sum);
    }
  return out;
}

test('float32 convolutions and depthwise ones: the definition', async () => {
  let seen = 0;
  const property = fc.asyncProperty(upTo(2 ** 31 - 1), cases, async (seed, given) => {
    const c = { ...given, corner: 'plain' as const };
    const frame = frameOf(c);
    if (!frame) return;
    const rows = c.axes.reduce((n, { kernel }) => n * kernel, c.depth);
    const w = generator(seed + 1).floats(rows * c.groups * c.count);
    const layer = layerOf(frame, { weight: w, values: () => w }, c);
    const x = inputOf(seed, c);
    const results = await Promise.all([
      run(layer, x, { backend: 'reference', weights: 'decoded' }),
      run(layer, x, { backend: 'simd', weights: 'decoded' }),
    ]);
    assert.equal([...results[1]], [...results[0]]);
    const right = defined(c, frame, x, w);
    assert.is(results[1].length, right.length);
    right.forEach((value, i) => {
      assert.ok(Math.abs((results[1][i] as number) - value) < 1e-4, `${results[1][i]}, expected ${value}`);
    });
    seen++;
  });
  await fc.assert(property, { numRuns: 150 });
  assert.ok(seen >= 75, `${seen} cases had windows that fit`);
});

test.run();
