import type { Command } from 'commander';
import { BitnibbleError } from '../errors.js';
import { JSON_LIMIT } from '../formats/json.js';
import type { KerasModel } from '../keras/keras-model.js';
import { requireWritable } from '../keras/quantized/view.js';
import { loadKernels } from '../kernels/index.js';
import type { Kernels } from '../kernels/types.js';
import type { QuantizableModel } from '../model.js';
import { readFile } from '../node/files.js';
import { requireEnding, saveQuantized } from '../node/models.js';
import { isPackedName, type QuantizeToFileOptions, quantizeToFile } from '../node/packed.js';
import { quantizeToPart } from '../node/parts.js';
import type { PartNumber } from '../packed/part-number.js';
import type { QuantizedModel } from '../packed/quantized-model.js';
import { writePacked } from '../packed/write.js';
import { type QuantizeReport, quantizeModel } from '../pipeline/quantize.js';
import { decide, parseRecipe, type Recipe } from '../pipeline/recipe.js';
import { equalize } from '../pipeline/transform/equalize.js';
import { foldBatchNorm } from '../pipeline/transform/fold.js';
import { sizeOf } from '../shape.js';
import {
  checkPipes,
  expandFiles,
  type Job,
  jobsOf,
  keepsLayers,
  openKerasInput,
  PIPE,
  writeStandardOutput,
} from './inputs.js';
import { type CodingFlags, codingFlags, UsageError } from './options.js';
import { type CommonOptions, colour, count, decibel, say, trace } from './output.js';
import { checkOutput, modelBytes, noteReplaced, sizeLine, writtenBytes } from './outputs.js';
import { jsonOf, runInfo } from './parts.js';
import { progress } from './progress.js';
import { eachFile } from './several.js';
import { table } from './table.js';

interface Flags extends CommonOptions, CodingFlags {
  readonly output: string;
  readonly recipe?: string;
  /** Absent: where it costs nothing. */
  readonly fold?: boolean;
  readonly equalize?: boolean;
  /** Bytes of the tensors of a shard: the packed model is written in shards. */
  readonly shardSize?: number;
  /** A part is written of so many. */
  readonly shard?: PartNumber;
}

/** The recipe of `--recipe`, with the flags of the coding as its default. */
export function recipeOf(flags: CodingFlags & { readonly recipe?: string }): Recipe {
  const fallback = codingFlags(flags);
  if (flags.recipe === undefined) {
    if (!fallback) throw new UsageError('expected --scheme binary, int2 or int4, or --recipe FILE');
    return { default: fallback };
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(readFile(flags.recipe, JSON_LIMIT)));
  } catch (error) {
    if (error instanceof BitnibbleError) throw error;
    throw new BitnibbleError('recipe', `${flags.recipe}: not JSON: ${(error as Error).message}`);
  }
  const recipe = parseRecipe(value, flags.recipe);
  if (fallback && recipe.default)
    throw new UsageError(`--scheme and the "default" of ${flags.recipe} exclude each other`);
  return fallback ? { ...recipe, default: fallback } : recipe;
}

/**
 * Scales per channel or group take in what normalizations are folded as: the codes stay, and vectors go away. With one scale
 * for a tensor, or rules that may name a normalization, it is for the caller to say.
 */
const foldsUnasked = (output: string, { recipe, granularity }: Flags) =>
  !keepsLayers(output) && recipe === undefined && granularity !== 'tensor';

/** The model with its normalizations folded and its layers equalized, as the flags say. */
function transform(model: QuantizableModel, output: string, flags: Flags) {
  const folding =
    (flags.fold ?? foldsUnasked(output, flags))
      ? foldBatchNorm(model, { keepLayers: keepsLayers(output) })
      : undefined;
  const source = folding?.folded.length ? folding.source : model;
  const equalizing = flags.equalize ? equalize(source) : undefined;
  return {
    source: equalizing?.source ?? source,
    folded: folding?.folded ?? [],
    equalized: equalizing?.pairs ?? [],
  };
}

/** The table of tensors and the sums below it. */
export function reportTable(report: QuantizeReport): string {
  const rows = report.tensors.map((row) => [
    row.id,
    `[${row.shape}]${row.stored === undefined ? '' : ` (${row.stored})`}`,
    row.coding
      ? `${row.result}, ${row.coding.granularity}${row.coding.groupSize === undefined ? '' : ` of ${row.coding.groupSize}`}, ${row.coding.scale}${row.guess ? ' (axis: a guess)' : ''}`
      : `kept: ${row.reason}`,
    count(row.bytesBefore),
    count(row.bytesAfter),
    decibel(row.snrDb),
    row.maxError === undefined ? '' : row.maxError.toPrecision(3),
  ]);
  return table(['Weight', 'Shape', 'Coding', 'Bytes', 'After', 'SNR', 'Largest error'], rows);
}

/** Writes a result to its file or to standard output; the bytes written. */
export async function save(quantized: QuantizedModel, model: KerasModel, output: string): Promise<number> {
  if (output === PIPE) return writeStandardOutput(writePacked(quantized));
  await saveQuantized(quantized, model, output);
  return writtenBytes(output);
}

/**
 * Refuses a Keras file as the output of weights that Keras quantized itself, unless the recipe keeps them.
 *
 * @param source the model with its layers folded, where they are
 * @throws BitnibbleError `unsupported-dtype`; what `decide` throws
 */
export function requireWritableWeights(
  model: KerasModel,
  recipe: Recipe,
  source: QuantizableModel = model,
): void {
  const decisions = decide(parseRecipe(recipe), source.weights, model.file);
  for (const weight of model.weights)
    if (!('keep' in (decisions.get(weight.id) ?? { keep: '' }))) requireWritable(weight, model.file);
}

/** One file, from its opening to its last line. */
async function quantizeFile(
  { input, output }: Job,
  kernels: Kernels,
  recipe: Recipe,
  replaces: boolean,
  flags: Flags,
): Promise<object> {
  const model = await openKerasInput(input);
  const bar = progress(flags, 'quantizing', 'weights');
  try {
    if (output !== PIPE && !flags.shard) requireEnding(model, output);
    trace(flags, `${model.file}: ${model.files.container}, ${model.layers.length} layers, opened`);
    if (keepsLayers(output)) requireWritableWeights(model, recipe);
    const { source, folded, equalized } = transform(model, output, flags);
    requireKernels(source, recipe);
    const inputBytes = modelBytes(model);
    const options = {
      ...{ kernels, ...(flags.shardSize === undefined ? {} : { shardSize: flags.shardSize }) },
      onProgress: bar.update,
      onWritten: () => {
        bar.stop();
        trace(flags, `${source.weights.length} weights, quantized`);
        if (replaces) noteReplaced(flags, output);
      },
    };
    const about = { inputBytes, folded, equalized };
    const { report, outputBytes } = flags.shard
      ? await quantizePart({ input, output }, source, recipe, options, model, flags.shard, flags, about)
      : await quantizeTo(output, source, recipe, options, model);
    trace(flags, `${output === PIPE ? 'standard output' : output}: written`);
    say(flags, () => reportTable(report));
    for (const line of quantizedLines(model)) say(flags, line);
    if (folded.length > 0) say(flags, foldingLine(folded.length));
    if (equalized.length > 0) say(flags, `${equalized.length} pairs of layers were equalized`);
    say(flags, weightsLine(report));
    say(
      flags,
      `${colour.green('wrote')} ${output === PIPE ? 'to standard output' : output}, ${sizeLine(outputBytes, model.file, inputBytes)}`,
    );
    return { input, output, replaces, inputBytes, outputBytes, folded, equalized, ...report };
  } finally {
    bar.stop();
    model.close();
  }
}

/** What the report of a file tells beside its tensors. */
export interface QuantizedFile {
  readonly inputBytes: number;
  readonly folded: readonly unknown[];
  readonly equalized: readonly unknown[];
}

/** A part of a packed file. */
async function quantizePart(
  { input, output }: Job,
  source: QuantizableModel,
  recipe: Recipe,
  options: QuantizeToFileOptions,
  model: KerasModel,
  part: PartNumber,
  flags: Flags,
  about: QuantizedFile,
): Promise<{ report: QuantizeReport; outputBytes: number }> {
  const fold = flags.fold ?? foldsUnasked(output, flags);
  const info = runInfo('quantize', part, model, { recipe, fold, equalize: flags.equalize ?? false });
  const more = jsonOf({ input, lines: quantizedLines(model), ...about });
  const report = await quantizeToPart(source, recipe, options, model, output, info, more);
  return { report, outputBytes: writtenBytes(output) };
}

/** Straight into a packed file; by way of memory into others. */
async function quantizeTo(
  output: string,
  source: QuantizableModel,
  recipe: Recipe,
  options: QuantizeToFileOptions,
  model: KerasModel,
): Promise<{ report: QuantizeReport; outputBytes: number }> {
  if (output !== PIPE && isPackedName(output)) {
    const report = await quantizeToFile(source, recipe, options, model, output);
    return { report, outputBytes: writtenBytes(output) };
  }
  const { model: quantized, report } = quantizeModel(source, recipe, options);
  options.onWritten?.();
  return { report, outputBytes: await save(quantized, model, output) };
}

/** Refuses a model of which nothing would be quantized, unless rules say so. @throws BitnibbleError `unsupported-dtype` */
function requireKernels({ weights, file }: QuantizableModel, recipe: Recipe): void {
  const decisions = decide(parseRecipe(recipe), weights, file);
  if (recipe.rules?.length || [...decisions.values()].some((decision) => !('keep' in decision))) return;
  const first = weights.find(({ shape }) => shape.length > 1) ?? weights[0];
  const decision = first && decisions.get(first.id);
  const found = first
    ? `got ${first.dtype} (tensor ${first.id}: ${decision && 'keep' in decision ? decision.keep : 'no rule'})`
    : 'it holds no weights';
  throw new BitnibbleError('unsupported-dtype', `${file}: no floating-point kernel to quantize, ${found}`);
}

/** How many weights have how many bits. */
export const weightsLine = ({ quantizedParameters, parameters, bitsPerWeight }: QuantizeReport): string =>
  `\n${count(quantizedParameters)} of ${count(parameters)} weights at ${bitsPerWeight.toFixed(2)} bits, scales included`;

export async function quantize(given: readonly string[], options: Flags, command: Command): Promise<void> {
  if (options.shard && options.shardSize !== undefined)
    throw new UsageError('--shard and --shard-size exclude each other: merge takes --shard-size');
  const recipe = recipeOf(options);
  const inputs = await expandFiles(given);
  const jobs = jobsOf(inputs, options.output, {
    isSharded: options.shardSize !== undefined,
    part: options.shard,
  });
  const flags = { ...options, isPiped: jobs.some(({ output }) => output === PIPE) };
  checkPipes(jobs, flags);
  const replaces = jobs.map(({ input, output }) => checkOutput(output, { input }));
  const kernels = await loadKernels();
  trace(flags, 'kernels loaded');
  const isList = given.length > 1 || inputs.length > 1 || inputs[0] !== given[0];
  const work = (job: Job, i: number) => quantizeFile(job, kernels, recipe, replaces[i] === true, flags);
  await eachFile(jobs, work, { flags, command, isList, done: 'quantized' });
}

/** What is to be said of weights that Keras quantized itself, and of what was left out. */
export function quantizedLines({ weights, leftOut }: KerasModel): string[] {
  const decoded = weights.filter(({ coded }) => coded !== undefined);
  const modes = [...new Set(decoded.map(({ stored }) => stored?.as))].join(', ');
  const reasons = [...new Set(leftOut.map(({ reason }) => reason))].join(', ');
  const numbers = leftOut.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return [
    ...(decoded.length > 0 ? [`${decoded.length} tensors are floats here and are stored as ${modes}`] : []),
    ...(leftOut.length > 0
      ? [`${leftOut.length} arrays of ${count(numbers)} numbers were left out: ${reasons}`]
      : []),
  ];
}

export const foldingLine = (count: number): string =>
  `${count} batch normalizations were folded into the layers before them`;
