// One suite for every runtime: it uses what bitnibble publishes, JavaScript, and fetch. Each host hands in the doors that
// it loads kernels through, and prints the report.
import {
  BitnibbleError,
  type Decoder,
  dequantizeTensor,
  type Kernels,
  loadKernels,
  openPacked,
  openRemotePacked,
  packedBytes,
  type QuantizeOptions,
  quantizedBytes,
  quantizeTensor,
  streamPacked,
} from '../../../src/index.js';
import golden from '../../fixtures/golden/golden.json' with { type: 'json' };
import { crc32, equal, fails, fromBase64, random, sameBytes } from './check.js';
import { type NetworkDoor, networkTests } from './networks.js';

/** A way to the kernels; one that only reads leaves out what packs. */
export interface Door {
  readonly name: string;
  load(): Promise<Decoder | Kernels>;
}

/** A way that the runtime has to refuse, and how. */
export interface ClosedDoor {
  readonly name: string;
  load(): Promise<unknown>;
  readonly code: string;
  readonly text: RegExp;
}

export interface Options {
  /** Where golden.safetensors is served, with ranges and, under `?whole`, without. */
  readonly url: string;
  readonly closed?: readonly ClosedDoor[];
  /** Ways to the runtime, for whole networks. */
  readonly networks?: readonly NetworkDoor[];
}

export interface Report {
  readonly runtime: string;
  /** Tests that passed, by door. */
  readonly passed: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
}

type Test = readonly [name: string, body: () => unknown];

const packed = fromBase64(golden.packed);
const reversed = fromBase64(golden.reversed);
const goldenValues = new Map(
  Object.entries(golden.values).map(([id, text]) => [id, new Float32Array(fromBase64(text).buffer)]),
);

/** int16 numerators of 1/64; -32768 is negative zero. */
function weightsOf(text: string): Float32Array {
  const numerators = new Int16Array(fromBase64(text).buffer);
  return Float32Array.from(numerators, (n) => (n === -32768 ? -0 : n / 64));
}

export function isKernels(door: Decoder | Kernels): door is Kernels {
  return 'packSign' in door;
}

function* goldenTensors() {
  for (const { shape, options, weights, coded } of golden.cases) {
    for (const { scheme, scale, scaleDtype, ...expected } of coded) {
      const all = { ...options, scheme, scale, scaleDtype } as QuantizeOptions;
      const name = `${scheme} ${scale} ${scaleDtype} [${shape}] ${options.granularity}`;
      yield { name, shape, options: all, weights: weightsOf(weights), expected };
    }
  }
}

function* quantizing(kernels: Kernels): Generator<Test> {
  for (const { name, shape, options, weights, expected } of goldenTensors()) {
    yield [
      `golden ${name}`,
      () => {
        const tensor = quantizeTensor(kernels, weights, shape, options);
        sameBytes(tensor.codes, fromBase64(expected.codes), 'codes');
        sameBytes(tensor.scales, fromBase64(expected.scales), 'scales');
        const values = dequantizeTensor(kernels, tensor);
        equal(crc32(values), expected.crc, 'CRC-32 of the values');
        const scaleBytes = options.scaleDtype === 'F16' ? 2 : 4;
        equal(quantizedBytes(tensor), tensor.codes.length + scaleBytes * tensor.scales.length, 'bytes');
        // Squares of multiples of 1/64 are exact in float64, and so are their sums.
        const { signal } = kernels.difference(weights, values);
        equal(
          signal,
          weights.reduce((sum, w) => sum + w * w, 0),
          'signal',
        );
      },
    ];
  }
  yield [
    'corner values of packing',
    () => {
      const layout = { outer: 1, channels: 1, inner: 8, groupRows: 8 };
      const odd = Float32Array.of(0, -0, Number.NaN, 1 / 0, -1 / 0, 2 ** -149, -(2 ** -149), 3e38);
      sameBytes(kernels.packSign(odd), Uint8Array.of(0xa8), 'signs');
      const ties = Float32Array.of(0.5, 1.5, 2.5, -0.5, -1.5, 6.5, 7.5, -8.5);
      sameBytes(
        kernels.packInt4(ties, Float32Array.of(1), layout),
        Uint8Array.of(0x20, 0x02, 0x6e, 0x87),
        '',
      );
    },
  ];
  yield [
    'equal to the reference, byte for byte, on 60 layouts',
    async () => {
      const reference = await loadKernels({ backend: 'reference' });
      const next = random(7);
      for (let round = 0; round < 60; round++) {
        const size = (most: number) => Math.floor(next() * most);
        const layout = {
          ...{ outer: size(40), channels: size(70) },
          ...{ inner: round % 2 ? 1 : size(20), groupRows: 1 + size(30) },
        };
        const count = layout.outer * layout.channels * layout.inner;
        const weights = Float32Array.from({ length: count }, () => (next() - 0.5) * 10);
        const got = kernels.packInt4WithAbsMax(weights, layout);
        const want = reference.packInt4WithAbsMax(weights, layout);
        const where = `round ${round}`;
        sameBytes(got.codes, want.codes, `${where}, codes`);
        sameBytes(got.absMax, want.absMax, `${where}, largest`);
        const scales = want.absMax;
        const inverses = scales.map((max) => (max === 0 ? 0 : 2 / max));
        const twos = kernels.packInt2(weights, inverses, layout);
        sameBytes(twos, reference.packInt2(weights, inverses, layout), `${where}, int2`);
        const decoded = [kernels, reference].map((k) => k.unpackInt2(twos, scales, layout));
        sameBytes(decoded[0] as Float32Array, decoded[1] as Float32Array, `${where}, int2 values`);
        sameBytes(kernels.packSign(weights), reference.packSign(weights), `${where}, signs`);
        sameBytes(kernels.absSum(weights, layout), reference.absSum(weights, layout), `${where}, sums`);
        const a = kernels.projectInt4(weights, scales, layout);
        const b = reference.projectInt4(weights, scales, layout);
        sameBytes(a.wq, b.wq, `${where}, projection`);
        sameBytes(a.qq, b.qq, `${where}, squares`);
        const values = [kernels, reference].map((k) => k.unpackInt4(got.codes, scales, layout));
        sameBytes(values[0] as Float32Array, values[1] as Float32Array, `${where}, values`);
      }
    },
  ];
  yield [
    'a packed file is written as it was read',
    () => sameBytes(packedBytes(openPacked(packed, kernels)), packed, 'file'),
  ];
  const quantize = (weights: number[], options: object) => () =>
    quantizeTensor(kernels, Float32Array.from(weights), [weights.length], options as QuantizeOptions, 't');
  const refusals: [kind: string, text: RegExp, work: () => unknown][] = [
    ['not-finite', /got NaN at index 1 \(t\)/, quantize([1, Number.NaN], { scheme: 'int4' })],
    ['not-finite', /got -Infinity at index 0/, quantize([-1 / 0, 1], { scheme: 'binary' })],
    ['RangeError', /"scheme" expected .*, got "int5"/, quantize([1], { scheme: 'int5' })],
    ['RangeError', /"groupSize" expected/, quantize([1], { scheme: 'int4', granularity: 'group' })],
    ['RangeError', /"axes" expected/, quantize([1], { scheme: 'int4', axes: [3] })],
    ['TypeError', /"weights" expected a Float32Array/, () => kernels.packSign([1] as never)],
    [
      'RangeError',
      /"out" expected at least/,
      () => kernels.packSignInto(new Float32Array(9), new Uint8Array(1)),
    ],
  ];
  for (const [kind, text, work] of refusals) {
    yield [`refuses: ${text.source}`, () => fails(work, kind, text, 'quantize')];
  }
}

function* reading(decoder: Decoder, url: string): Generator<Test> {
  for (const [what, file] of Object.entries({ packed, reversed })) {
    yield [
      `golden file, ${what}`,
      () => {
        const model = openPacked(file, decoder, 'golden');
        equal(model.weights.length, goldenValues.size, 'weights');
        equal(model.kerasVersion, '3.15.1', 'Keras version');
        equal(model.architecture?.class_name, 'Sequential', 'architecture');
        for (const [id, values] of goldenValues) {
          sameBytes(model.read(id), values, id);
          const out = new Float32Array(values.length);
          equal(model.readInto(id, out), out, 'readInto returns its memory');
          sameBytes(out, values, `${id}, into`);
        }
      },
    ];
  }
  yield [
    'half precision: bits, and Float16Array where there is one',
    () => {
      const model = openPacked(packed, decoder);
      const bits = model.readInto('body/conv/kernel', new Uint16Array(90));
      const Half = (globalThis as { Float16Array?: new (length: number) => Float32Array }).Float16Array;
      if (Half) sameBytes(model.readInto('body/conv/kernel', new Half(90)), bits, 'bits');
      const exact = goldenValues.get('body/conv/kernel') as Float32Array;
      const half = (h: number) => (h & 0x8000 ? -1 : 1) * (1024 + (h & 1023)) * 2 ** (((h >> 10) & 31) - 25);
      for (const [i, value] of exact.entries()) {
        const got = bits[i] as number;
        if (value === 0) equal(got & 0x7fff, 0, `zero at ${i}`);
        else equal(Math.abs(half(got) / value - 1) <= 2 ** -11, true, `${half(got)} for ${value} at ${i}`);
      }
    },
  ];
  yield [
    'unpacking, whole and into',
    () => {
      const layout = { outer: 2, channels: 2, inner: 1, groupRows: 2 };
      const scales = Float32Array.of(0.5, 3);
      sameBytes(
        decoder.unpackSign(Uint8Array.of(6), scales, layout),
        Float32Array.of(-0.5, 3, 0.5, -3),
        'signs',
      );
      const out = decoder.unpackInt4Into(Uint8Array.of(0x7f, 0x80), scales, layout, new Float32Array(5));
      sameBytes(out, Float32Array.of(-0.5, 21, 0, -24, 0), 'nibbles');
    },
  ];
  const damaged = (change: (bytes: Uint8Array) => Uint8Array) => () => {
    const model = openPacked(change(packed.slice()), decoder, 'bad.safetensors');
    for (const { id } of model.weights) model.read(id);
  };
  const text = (from: string, to: string) =>
    damaged((bytes) => {
      const at = new TextDecoder('latin1').decode(bytes).indexOf(from);
      equal(at > 0, true, `${from} is in the file`);
      bytes.set(new TextEncoder().encode(to), at);
      return bytes;
    });
  const refusals: [code: string, text: RegExp, work: () => unknown][] = [
    [
      'not-safetensors',
      /bad\.safetensors: expected a safetensors file, got 5/,
      damaged((b) => b.subarray(0, 5)),
    ],
    ['corrupt-file', /cut off in the header/, damaged((b) => b.subarray(0, 500))],
    ['corrupt-file', /expected \d+ bytes in all/, damaged((b) => b.subarray(0, -1))],
    ['unknown-format', /without a packed model/, text('"bitnibble"', '"bitnibbel"')],
    [
      'unsupported-version',
      /expected format version 1, got 9/,
      text('"format_version":"1"', '"format_version":"9"'),
    ],
    ['corrupt-file', /scheme/, text('int4', 'int9')],
    ['missing-weight', /tensor head\/biaz is not in the file/, text('head/bias\\"', 'head/biaz\\"')],
    ['missing-weight', /no weight named x/, () => openPacked(packed, decoder).read('x')],
    [
      'RangeError',
      /"out" expected at least/,
      () => openPacked(packed, decoder).readInto('head/bias', new Float32Array(1)),
    ],
    [
      'TypeError',
      /"codes" expected/,
      () =>
        decoder.unpackSign([] as never, new Float32Array(1), {
          outer: 1,
          channels: 1,
          inner: 1,
          groupRows: 1,
        }),
    ],
  ];
  for (const [code, message, work] of refusals) {
    yield [`refuses: ${message.source}`, () => fails(work, code, message, 'read')];
  }
  yield [
    'every truncation is refused',
    async () => {
      for (let length = 0; length < packed.length; length += 13) {
        try {
          openPacked(packed.subarray(0, length), decoder);
        } catch (error) {
          if (error instanceof BitnibbleError) continue;
          throw error;
        }
        equal(length, packed.length, 'a truncated file was read; length');
      }
    },
  ];
  yield [
    'streamed from fetch, with progress',
    async () => {
      let last = 0;
      const onProgress = (done: number, total?: number) => {
        equal(total, packed.length, 'total');
        equal(done > last, true, 'progress rises');
        last = done;
      };
      const response = await fetch(url);
      let count = 0;
      for await (const { id, values } of streamPacked(response, decoder, { onProgress })) {
        sameBytes(values as Float32Array, goldenValues.get(id) as Float32Array, id);
        count++;
      }
      equal(count, goldenValues.size, 'weights');
      equal(last, packed.length, 'bytes');
    },
  ];
  yield [
    'one weight by range requests',
    async () => {
      const remote = await openRemotePacked(url, decoder);
      equal(remote.bytes, packed.length, 'bytes');
      for (const id of ['body/dense/kernel', 'head/steps', 'head/empty']) {
        sameBytes(await remote.read(id), goldenValues.get(id) as Float32Array, id);
      }
      await fails(() => openRemotePacked(`${url}?whole`, decoder), 'no-ranges', /use streamPacked/, 'whole');
      const missing = () => openRemotePacked(`${url}.none`, decoder);
      await fails(missing, 'download', /HTTP status 404/, 'missing');
    },
  ];
}

/** Runs everything through every door. */
export async function conformance(
  runtime: string,
  doors: readonly Door[],
  { url, closed = [], networks = [] }: Options,
): Promise<Report> {
  const passed: Record<string, number> = {};
  const failures: string[] = [];
  const run = async (door: string, [name, body]: Test) => {
    try {
      await body();
      passed[door] = (passed[door] ?? 0) + 1;
    } catch (error) {
      failures.push(`${door}: ${name}: ${(error as Error)?.message ?? error}`);
    }
  };
  const reference: Door = { name: 'reference', load: () => loadKernels({ backend: 'reference' }) };
  for (const { name, load } of [...doors, reference]) {
    try {
      const kernels = await load();
      for (const test of reading(kernels, url)) await run(name, test);
      if (isKernels(kernels)) for (const test of quantizing(kernels)) await run(name, test);
    } catch (error) {
      failures.push(`${name}: cannot be loaded: ${(error as Error)?.message ?? error}`);
    }
  }
  for (const door of networks) {
    try {
      for (const test of await networkTests(url, door)) await run(door.name, test);
    } catch (error) {
      failures.push(`${door.name}: cannot be tested: ${(error as Error)?.message ?? error}`);
    }
  }
  for (const { name, load, code, text } of closed) {
    await run('refusals', [name, () => fails(load, code, text, name)]);
  }
  return { runtime, passed, failures };
}
