import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { BitnibbleError } from '../errors.js';
import { loadKernels } from '../kernels/index.js';
import type { ModelSource } from '../model.js';
import { saveLayersModel } from '../node/models.js';
import { saveOnnx } from '../node/onnx.js';
import { onnxModelFiles, type WeightStorage } from '../onnx/index.js';
import { layersModelFiles } from '../tfjs/artifacts.js';
import { PREFIX } from '../tfjs/layers/define.js';
import { openModelInput } from './inputs.js';
import { UsageError } from './options.js';
import { type CommonOptions, colour, count, json, printable, say, trace } from './output.js';
import { checkOutput, noteReplaced } from './outputs.js';
import { version } from './version.js';

interface Flags extends CommonOptions {
  readonly output: string;
  readonly float16?: boolean;
  readonly weights?: WeightStorage;
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
  const isOnnx = /\.onnx$/i.test(output);
  if (isOnnx && flags.float16) throw new UsageError('--float16 is for model.json; ONNX takes --weights');
  if (!isOnnx && flags.weights !== undefined) throw new UsageError('--weights is for a name ending in .onnx');
  const replaces = checkOutput(output, { input: file, makesFolders: true });
  const { model, close } = await openModelInput(file, await loadKernels());
  try {
    trace(flags, `${model.file}: opened`);
    await (isOnnx ? toOnnx : toLayers)(file, model, flags, replaces);
  } finally {
    close();
  }
}

async function toLayers(file: string, model: ModelSource, flags: Flags, replaces: boolean): Promise<void> {
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
  const { output, weights = 'folded' } = flags;
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
