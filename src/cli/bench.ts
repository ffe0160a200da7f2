import { performance } from 'node:perf_hooks';
import type { ModelSource } from '../model.js';
import { readNetwork } from '../network/index.js';
import { QuantizedModel } from '../packed/quantized-model.js';
import { indexedInputs } from '../pipeline/input-range.js';
import { turns } from '../pipeline/turns.js';
import { plainDecoder } from '../runtime/decoder.js';
import {
  type LoadNetworkOptions,
  loadNetwork,
  type NetworkArray,
  type NetworkSummary,
  type RunnableNetwork,
} from '../runtime/index.js';
import { sizeOf } from '../shape.js';
import { openModelInput } from './inputs.js';
import { type CommonOptions, count, json, say, trace } from './output.js';
import { progress } from './progress.js';
import { table } from './table.js';

interface Flags extends CommonOptions {
  readonly runs: number;
  readonly length: number;
}

/** Milliseconds of one sample. */
interface Latency {
  readonly median: number;
  /** A tenth of the runs took less, a tenth more. */
  readonly p10: number;
  readonly p90: number;
  readonly best: number;
}

interface Result {
  readonly name: string;
  readonly options: LoadNetworkOptions;
  readonly loadMilliseconds: number;
  readonly latency: Latency;
  readonly macsPerSecond: number;
  readonly summary: NetworkSummary;
}

/** Shapes of inputs, `length` where one is not fixed. */
function shapesOf(model: ModelSource, length: number): Record<string, readonly number[]> {
  const { inputs, values } = readNetwork(model);
  return Object.fromEntries(
    inputs.flatMap(({ name, value }) => {
      const shape = values[value]?.shape?.slice(1);
      return shape ? [[name, shape.map((n) => n ?? length)] as const] : [];
    }),
  );
}

/** Numbers from 0 to 1 by xorshift; zeros where an input takes integers, which every table has a row for. */
function inputsOf(network: RunnableNetwork, indexed: ReadonlySet<string>): Record<string, NetworkArray> {
  let state = 1;
  const random = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  return Object.fromEntries(
    network.inputs.map(({ name, shape, dtype }) => {
      const isIndexed = dtype !== 'float32' || indexed.has(name);
      const size = sizeOf(shape);
      return [name, isIndexed ? new Int32Array(size) : Float32Array.from({ length: size }, random)] as const;
    }),
  );
}

function latencyOf(times: readonly number[]): Latency {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] as number;
  return { median: at(0.5), p10: at(0.1), p90: at(0.9), best: at(0) };
}

const ms = (n: number) => (n < 10 ? n.toFixed(3) : n.toFixed(1));
const giga = (n: number) => (n / 1e9).toFixed(1);
const kilobytes = (n: number) => `${count(Math.round(n / 1000))} KB`;

/** Latency of a model in the runtime: ways to hold its weights in turns, so that what else the machine does meets all alike. */
export async function bench(file: string, flags: Flags): Promise<void> {
  const { model, bytes, close } = await openModelInput(file, plainDecoder);
  const bar = progress(flags, 'running', 'runs');
  try {
    trace(flags, `${file}: opened`);
    const shapes = shapesOf(model, flags.length);
    const isPacked =
      model instanceof QuantizedModel && model.weights.some(({ kind }) => kind === 'quantized');
    const ways: (readonly [name: string, options: LoadNetworkOptions])[] = [
      [isPacked ? 'decoded once' : 'float32', { weights: 'decoded' }],
      ...(isPacked ? ([['packed', { weights: 'packed' }]] as const) : []),
      ...(isPacked && model.activationRanges !== undefined
        ? ([['decoded once, stored ranges', { weights: 'decoded', ranges: 'stored' }]] as const)
        : []),
    ];
    const loaded = [];
    for (const [name, options] of ways) {
      const start = performance.now();
      const network = await loadNetwork(model, { ...options, shapes });
      loaded.push({ name, options, network, loadMilliseconds: performance.now() - start });
    }
    const [{ network: first }] = loaded as [(typeof loaded)[number]];
    const inputs = inputsOf(first, indexedInputs(model));
    const outputs = Object.fromEntries(
      first.outputs.map(({ name, shape }) => [name, new Float32Array(sizeOf(shape))]),
    );
    const times = loaded.map(() => [] as number[]);
    const turn = turns();
    // Compiled to fast code after some runs, which are not counted.
    const warm = Math.min(10, flags.runs);
    for (let run = -warm; run < flags.runs; run++) {
      for (const [i, { network }] of loaded.entries()) {
        const start = performance.now();
        network.runInto(inputs, outputs);
        if (run >= 0) times[i]?.push(performance.now() - start);
      }
      bar.update(Math.max(run, 0) + 1, flags.runs);
      await turn();
    }
    bar.stop();
    const results = loaded.map(({ name, options, network, loadMilliseconds }, i): Result => {
      const latency = latencyOf(times[i] as number[]);
      const summary = network.measure(inputs, Math.min(flags.runs, 50));
      const macsPerSecond = (1000 * summary.macs) / latency.median;
      return { name, options, loadMilliseconds, latency, macsPerSecond, summary };
    });
    json(flags, {
      ...{ file, bytes, runs: flags.runs, shapes },
      results: results.map(({ summary, ...rest }) => {
        const { bytes: memory, macs, layers } = summary;
        return { ...rest, macs, memory, layers };
      }),
    });
    say(flags, () => tables(model.file, bytes, flags, results));
  } finally {
    bar.stop();
    close();
  }
}

function tables(file: string, bytes: number, flags: Flags, results: readonly Result[]): string {
  const [{ summary }] = results as [Result];
  const rows = results.map(({ name, latency, macsPerSecond, loadMilliseconds, summary: own }) => [
    ...[name, ms(latency.median), ms(latency.p10), ms(latency.p90), ms(latency.best), giga(macsPerSecond)],
    ...[loadMilliseconds.toFixed(1), kilobytes(own.bytes.weights)],
    kilobytes(own.bytes.rooms + own.bytes.tensors),
  ]);
  const layers = summary.layers.map((layer, i) => [
    [layer.layer, ...layer.fused].join(' + '),
    layer.className,
    layer.kernels.join(', '),
    count(layer.macs),
    ...results.map(({ summary: own }) => ms(own.layers[i]?.milliseconds ?? 0)),
    kilobytes(layer.bytes),
  ]);
  const inputs = summary.inputs.map(({ name, shape }) => `${name} [${shape}]`).join(', ');
  return [
    `${file}, ${count(bytes)} bytes, ${count(summary.macs)} multiply-adds, one sample of ${inputs}, ${count(flags.runs)} runs\n`,
    table(
      [
        'Weights',
        'ms, median',
        '10 %',
        '90 %',
        'Best',
        '10^9 MAC/s',
        'Loading, ms',
        'Weights',
        'Tensors, rooms',
      ],
      rows,
    ),
    `\n${table(['Layer', 'Class', 'Kernel', 'Multiply-adds', ...results.map(({ name }) => `ms, ${name}`), 'Bytes'], layers)}`,
    '\nLayers are measured with a clock between them, in runs of their own.',
  ].join('\n');
}
