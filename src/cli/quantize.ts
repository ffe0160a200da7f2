import type { Command } from 'commander';
import { BitnibbleError } from '../errors.js';
import { loadKernels } from '../kernels/index.js';
import type { QuantizableModel } from '../model.js';
import { readFile, requireOtherFile } from '../node/files.js';
import { openKeras, saveQuantized } from '../node/models.js';
import { type QuantizeReport, quantizeModel } from '../pipeline/quantize.js';
import { parseRecipe, type Recipe } from '../pipeline/recipe.js';
import { equalize } from '../pipeline/transform/equalize.js';
import { foldBatchNorm } from '../pipeline/transform/fold.js';
import { type CodingFlags, codingFlags, common, positive, UsageError } from './options.js';
import { type CommonOptions, colour, count, decibel, json, progress, say, table } from './output.js';

interface Flags extends CommonOptions, CodingFlags {
  readonly output: string;
  readonly recipe?: string;
  /** Absent: where it costs nothing. */
  readonly fold?: boolean;
  readonly equalize?: boolean;
}

/** Whether a file keeps the layers of the model that it is made of. */
export const keepsLayers = (output: string): boolean => !/\.safetensors$/i.test(output);

/** The recipe of `--recipe`, with the flags of the coding as its default. */
export function recipeOf(flags: CodingFlags & { readonly recipe?: string }): Recipe {
  const fallback = codingFlags(flags);
  if (flags.recipe === undefined) {
    if (!fallback) throw new UsageError('expected --scheme binary, int2 or int4, or --recipe FILE');
    return { default: fallback };
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(readFile(flags.recipe)));
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
const foldsUnasked = ({ output, recipe, granularity }: Flags) =>
  !keepsLayers(output) && recipe === undefined && granularity !== 'tensor';

/** The model with its normalizations folded and its layers equalized, as the flags say. */
function transform(model: QuantizableModel, flags: Flags) {
  const folding =
    (flags.fold ?? foldsUnasked(flags))
      ? foldBatchNorm(model, { keepLayers: keepsLayers(flags.output) })
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
    `[${row.shape}]`,
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

async function quantize(file: string, flags: Flags): Promise<void> {
  const recipe = recipeOf(flags);
  if (!/\.(safetensors|h5|hdf5|h5f|keras|weights\.json)$/i.test(flags.output)) {
    throw new UsageError(
      `--output expected a name ending in .safetensors, .h5, .keras or .weights.json, got ${flags.output}`,
    );
  }
  requireOtherFile(file, flags.output);
  const kernels = await loadKernels();
  const model = await openKeras(file);
  const bar = progress(flags, 'quantizing', 'weights');
  try {
    const { source, folded, equalized } = transform(model, flags);
    const { model: quantized, report } = quantizeModel(source, recipe, { kernels, onProgress: bar.update });
    bar.stop();
    if (report.quantizedParameters === 0 && !recipe.rules?.length) {
      const first = report.tensors.find(({ shape }) => shape.length > 1) ?? report.tensors[0];
      const found = first
        ? `got ${first.dtype} (tensor ${first.id}: ${first.reason})`
        : 'it holds no weights';
      throw new BitnibbleError(
        'unsupported-dtype',
        `${file}: no floating-point kernel to quantize, ${found}`,
      );
    }
    await saveQuantized(quantized, model, flags.output);
    json(flags, { input: file, output: flags.output, folded, equalized, ...report });
    say(flags, () => reportTable(report));
    if (folded.length > 0) say(flags, foldingLine(folded.length));
    if (equalized.length > 0) say(flags, `${equalized.length} pairs of layers were equalized`);
    const ratio = report.bytesBefore / report.bytesAfter;
    say(
      flags,
      `\n${count(report.quantizedParameters)} of ${count(report.parameters)} weights at ${report.bitsPerWeight.toFixed(2)} bits, scales included: ` +
        `${count(report.bytesBefore)} bytes of weights become ${count(report.bytesAfter)}, ${ratio.toFixed(1)} times fewer`,
    );
    say(flags, `${colour.green('wrote')} ${flags.output}`);
  } finally {
    bar.stop();
    model.close();
  }
}

export const foldingLine = (count: number): string =>
  `${count} batch normalizations were folded into the layers before them`;

export function addQuantize(program: Command): void {
  const command = program
    .command('quantize')
    .description('rounds the weights of a Keras model to 1, 2 or 4 bits')
    .argument('<file>', 'Keras .h5, .keras, .weights.h5 or .weights.json')
    .requiredOption(
      '-o, --output <file>',
      '.safetensors: packed codes and scales; .h5: the same Keras file, decoded',
    )
    .option('--scheme <name>', 'binary, int2 or int4')
    .option('--granularity <name>', 'one scale per tensor, channel or group (default: channel)')
    .option('--group-size <n>', 'rows that share a scale, with --granularity group', positive)
    .option(
      '--scale <rule>',
      'none, mean, lsq or hqq for binary (default: mean); lsq, absmax or hqq for int2 (default: lsq); absmax, lsq or hqq for int4 (default: absmax)',
    )
    .option('--scale-dtype <type>', 'f32 or f16: how scales are stored (default: f32)')
    .option('--recipe <file>', 'JSON rules that choose a scheme by layer, class or weight')
    .option(
      '--fold',
      'fold batch normalizations into the layers before them (default: into packed files, where no recipe is given and no scale serves a whole tensor)',
    )
    .option('--no-fold', 'leave batch normalizations as they are')
    .option('--equalize', 'even out the ranges of layers that follow each other, for one scale per tensor');
  common(command).action(quantize);
}
