import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { BitnibbleError } from '../errors.js';
import { loadKernels } from '../kernels/index.js';
import type { ModelSource } from '../model.js';
import { writeFile } from '../node/files.js';
import { saveLayersModel } from '../node/models.js';
import { openModelInput } from './inputs.js';
import { UsageError } from './options.js';
import { type CommonOptions, colour, count, json, printable, say, trace } from './output.js';
import { checkOutput, noteReplaced } from './outputs.js';
import { version } from './version.js';

interface Flags extends CommonOptions {
  readonly output: string;
  readonly float16?: boolean;
  readonly weights?: string;
  readonly batch?: number;
}

/** Ways to store weights of the formats that have several, the usual one first. */
const WEIGHTS = {
  onnx: ['folded', 'low-bit', 'float'],
  tflite: ['exact', 'fast', 'float'],
  keras: ['keras-int4'],
} as const;
type Ending = keyof typeof WEIGHTS;

/** The way that was asked for, or the usual one. */
function weightsOf<E extends Ending>(ending: E, given: string | undefined): (typeof WEIGHTS)[E][number] {
  const ways: readonly (typeof WEIGHTS)[E][number][] = WEIGHTS[ending];
  const [usual] = ways;
  const own = ways.find((way) => way === (given ?? usual));
  if (own) return own;
  throw new UsageError(`--weights expected ${ways.join(', ')} for .${ending}, got ${given}`);
}

function prepareFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (cause) {
    throw new BitnibbleError('not-writable', `${folder}: cannot be made: ${(cause as Error).message}`, {
      cause,
    });
  }
}

export async function convert(file: string, flags: Flags): Promise<void> {
  const { output } = flags;
  const [, ending] = /\.(onnx|tflite|keras)$/i.exec(output.toLowerCase()) ?? [];
  if (ending && flags.float16)
    throw new UsageError(`--float16 is for model.json; .${ending} takes --weights`);
  if (ending) weightsOf(ending as Ending, flags.weights);
  else if (flags.weights !== undefined)
    throw new UsageError('--weights is for names ending in .onnx, .tflite and .keras');
  if (ending !== 'tflite' && flags.batch !== undefined)
    throw new UsageError('--batch is for a name ending in .tflite; others take any');
  const replaces = checkOutput(output, { input: file, makesFolders: true });
  const { model, close } = await openModelInput(file, await loadKernels());
  try {
    trace(flags, `${model.file}: opened`);
    const writers = { onnx: toOnnx, tflite: toLiteRt, keras: toKeras };
    const write = ending ? writers[ending as Ending] : toLayers;
    await write(file, model, flags, replaces);
  } finally {
    close();
  }
}

// Each format's writer is loaded for itself: half the time of a conversion is that of modules.

async function toLayers(file: string, model: ModelSource, flags: Flags, replaces: boolean): Promise<void> {
  const { layersModelFiles } = await import('../tfjs/artifacts.js');
  const { PREFIX } = await import('../tfjs/layers/define.js');
  const { output, float16 = false } = flags;
  const result = layersModelFiles(model, path.basename(output), {
    float16,
    convertedBy: `bitnibble v${version}`,
  });
  if (replaces) noteReplaced(flags, output);
  prepareFolder(path.dirname(output));
  const names = await saveLayersModel(result, output);
  const { registered, remarks, weightBytes } = result;
  json(flags, { input: file, output, replaces, files: names, weightBytes, float16, registered, remarks });
  for (const remark of remarks) say(flags, `note: ${printable(remark)}`);
  const size = `${count(weightBytes)} bytes of ${float16 ? 'float16' : 'float32'} weights`;
  say(flags, `${colour.green('wrote')} ${output} and ${names.length - 1} weight files, ${size}`);
  say(
    flags,
    registered.length === 0
      ? 'It loads with plain TensorFlow.js: tf.loadLayersModel(url)'
      : `It needs classes of bitnibble: call registerLayers(tf) before tf.loadLayersModel(url): ${registered.map((name) => PREFIX + name).join(', ')}`,
  );
}

async function toOnnx(file: string, model: ModelSource, flags: Flags, replaces: boolean): Promise<void> {
  const { onnxModelFiles } = await import('../onnx/index.js');
  const { saveOnnx } = await import('../node/onnx.js');
  const { output } = flags;
  const weights = weightsOf('onnx', flags.weights);
  const result = onnxModelFiles(model, { weights, version });
  if (replaces) noteReplaced(flags, output);
  prepareFolder(path.dirname(output));
  const files = await saveOnnx(result, output);
  const { bytes, lowBit, opset, remarks } = result;
  json(flags, { input: file, output, replaces, files, bytes, weights, lowBit, opset, remarks });
  for (const remark of remarks) say(flags, `note: ${printable(remark)}`);
  const what =
    lowBit.length === 0 ? 'float32 weights' : `${count(lowBit.length)} weights as codes (${weights})`;
  const beside = files.length > 1 ? ` and ${files[0]}` : '';
  say(flags, `${colour.green('wrote')} ${output}${beside}, ${count(bytes)} bytes, ${what}, opset ${opset}`);
}

async function toLiteRt(file: string, model: ModelSource, flags: Flags, replaces: boolean): Promise<void> {
  const { liteRtModelFile } = await import('../litert/index.js');
  const { output, batch = 1 } = flags;
  const weights = weightsOf('tflite', flags.weights);
  const result = liteRtModelFile(model, { weights, batch, version });
  if (replaces) noteReplaced(flags, output);
  prepareFolder(path.dirname(output));
  await writeFile(output, result.pieces());
  const { bytes, lowBit, operations, remarks } = result;
  json(flags, { input: file, output, replaces, bytes, weights, batch, lowBit, operations, remarks });
  for (const remark of remarks) say(flags, `note: ${printable(remark)}`);
  const what =
    lowBit.length === 0 ? 'float32 weights' : `${count(lowBit.length)} weights as codes (${weights})`;
  say(flags, `${colour.green('wrote')} ${output}, ${count(bytes)} bytes, ${what}, batches of ${batch}`);
}

async function toKeras(file: string, model: ModelSource, flags: Flags, replaces: boolean): Promise<void> {
  const { kerasInt4File } = await import('../keras/int4-file.js');
  const { output } = flags;
  const weights = weightsOf('keras', flags.weights);
  const result = kerasInt4File(model);
  if (replaces) noteReplaced(flags, output);
  prepareFolder(path.dirname(output));
  await writeFile(output, result.pieces());
  const { bytes, int4, decoded } = result;
  json(flags, { input: file, output, replaces, bytes, weights, int4, decoded });
  for (const { id, blockSize } of int4)
    say(
      flags,
      `int4: ${printable(id)}, ${blockSize === undefined ? 'per channel' : `blocks of ${blockSize}`}`,
    );
  for (const { id, reason, wasCoded } of decoded)
    if (wasCoded) say(flags, `decoded: ${printable(id)}: ${printable(reason)}`);
  const others = decoded.filter(({ wasCoded }) => !wasCoded).length;
  say(
    flags,
    `${colour.green('wrote')} ${output}, ${count(bytes)} bytes, ${count(int4.length)} weights as int4, ${count(decoded.length - others)} decoded, ${count(others)} as they were; Keras 3.15 or later loads it`,
  );
}
