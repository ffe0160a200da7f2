import { BitnibbleError } from '../errors.js';
import { writeNpy } from '../formats/npy.js';
import { writeNpz } from '../formats/npz.js';
import { writeFile } from '../node/files.js';
import { outputKind } from '../pipeline/outputs.js';
import { turns } from '../pipeline/turns.js';
import { plainDecoder } from '../runtime/decoder.js';
import { loadNetwork, type RunnableNetwork, whyNotRunnable } from '../runtime/index.js';
import { sizeOf } from '../shape.js';
import { openModelInput } from './inputs.js';
import { type CommonOptions, colour, count, json, say, trace } from './output.js';
import { checkOutput, noteReplaced } from './outputs.js';
import { type RunInputs, readInputs } from './run-inputs.js';
import type { ScaleFlags } from './scaling.js';
import { table } from './table.js';
import { UsageError } from './usage.js';

interface Flags extends CommonOptions, ScaleFlags {
  readonly input: string;
  readonly output?: string;
  readonly top: number;
  readonly weights: 'packed' | 'decoded';
  readonly ranges: 'sample' | 'stored';
}

interface Output {
  readonly name: string;
  /** With the batch. */
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

interface Class {
  readonly class: number;
  readonly probability: number;
}

/** Samples whose classes are shown, and values that a JSON document holds. */
const SHOWN = 20;
const MOST_VALUES = 100_000;

/** Runs samples one by one, and lets the event loop turn. */
async function runAll(network: RunnableNetwork, { arrays, samples }: RunInputs): Promise<Output[]> {
  const outputs = network.outputs.map(({ name, shape }) => ({
    ...{ name, shape: [samples, ...shape], values: new Float32Array(samples * sizeOf(shape)) },
  }));
  const turn = turns();
  for (let i = 0; i < samples; i++) {
    const part = <T extends { subarray(from: number, to: number): T }>(all: T, size: number) =>
      all.subarray(i * size, (i + 1) * size);
    network.runInto(
      Object.fromEntries(
        network.inputs.map(({ name, shape }) => {
          const array = arrays[name] as Float32Array;
          return [name, part(array, sizeOf(shape))];
        }),
      ),
      Object.fromEntries(
        outputs.map(({ name, shape, values }) => [name, part(values, sizeOf(shape.slice(1)))]),
      ),
    );
    await turn();
  }
  return outputs;
}

/** The likeliest classes of each sample. */
function topOf({ values, shape }: Output, most: number): Class[][] {
  const [samples, classes] = shape as [number, number];
  return Array.from({ length: samples }, (_, i) =>
    [...values.subarray(i * classes, (i + 1) * classes)]
      .map((probability, own) => ({ class: own, probability }))
      .sort((a, b) => b.probability - a.probability || a.class - b.class)
      .slice(0, most),
  );
}

export async function run(file: string, flags: Flags): Promise<void> {
  const { output, input } = flags;
  const replaces = output !== undefined && checkOutput(output, { input });
  const { model, close } = await openModelInput(file, plainDecoder);
  let network: RunnableNetwork;
  let inputs: RunInputs;
  let isClasses: boolean;
  try {
    trace(flags, `${file}: opened`);
    const reason = await whyNotRunnable(model);
    if (reason !== undefined) throw new BitnibbleError('unsupported-layer', `${model.file}: ${reason}`);
    inputs = await readInputs(input, model, flags);
    trace(flags, `${input}: ${inputs.samples} samples, ${inputs.preprocessing}`);
    const { weights, ranges } = flags;
    network = await loadNetwork(model, { weights, ranges, shapes: inputs.shapes });
    isClasses = outputKind(model) === 'probabilities';
  } finally {
    close();
  }
  if (output !== undefined && /\.npy$/i.test(output) && network.outputs.length !== 1)
    throw new UsageError(
      `--output expected a name ending in .npz for ${network.outputs.length} outputs, got ${output}`,
    );
  const start = performance.now();
  const outputs = await runAll(network, inputs);
  const milliseconds = performance.now() - start;
  const [first] = outputs as [Output];
  const top =
    isClasses && outputs.length === 1 && first.shape.length === 2 ? topOf(first, flags.top) : undefined;
  if (output !== undefined) {
    if (replaces) noteReplaced(flags, output);
    const arrays = outputs.map(({ name, shape, values }) => [name, { shape, data: values }] as const);
    const bytes = /\.npy$/i.test(output)
      ? writeNpy({ shape: first.shape, data: first.values })
      : writeNpz(Object.fromEntries(arrays));
    await writeFile(output, [bytes]);
  }
  const total = outputs.reduce((sum, { values }) => sum + values.length, 0);
  const holdsValues = output === undefined && total <= MOST_VALUES;
  json(flags, {
    ...{ file, input, samples: inputs.samples, preprocessing: inputs.preprocessing },
    ...{ weights: flags.weights, ranges: flags.ranges, milliseconds },
    ...(output === undefined ? {} : { output, replaces }),
    outputs: outputs.map(({ name, shape, values }) => ({
      ...{ name, shape, dtype: 'float32' },
      ...(holdsValues ? { values: [...values] } : {}),
    })),
    ...(top ? { top } : {}),
  });
  say(
    flags,
    `${model.file} on ${input}, ${count(inputs.samples)} ${inputs.samples === 1 ? 'sample' : 'samples'}, ${inputs.preprocessing}, ${milliseconds.toFixed(1)} ms\n`,
  );
  if (top) {
    const cells = top
      .slice(0, SHOWN)
      .map((classes, i) => [
        String(i),
        ...classes.map(({ class: own, probability }) => `${own}: ${probability.toFixed(4)}`),
      ]);
    const names = Array.from({ length: top[0]?.length ?? 0 }, (_, i) => (i === 0 ? 'Class' : `${i + 1}.`));
    say(flags, table(['Sample', ...names], cells));
    if (top.length > SHOWN) say(flags, `and ${count(top.length - SHOWN)} samples more`);
  } else {
    const rows = outputs.map(({ name, shape, values }) => {
      const [low, high] = values.reduce(
        ([a, b], v) => [Math.min(a, v), Math.max(b, v)],
        [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
      );
      const range = values.length === 0 ? ['', ''] : [low.toPrecision(4), high.toPrecision(4)];
      return [name, `[${shape}]`, 'float32', ...range];
    });
    say(flags, table(['Output', 'Shape', 'Type', 'Smallest', 'Largest'], rows));
  }
  if (output !== undefined) say(flags, `${colour.green('wrote')} ${output}`);
}
