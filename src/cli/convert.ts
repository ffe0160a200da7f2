import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { BitnibbleError } from '../errors.js';
import { loadKernels } from '../kernels/index.js';
import { saveLayersModel } from '../node/models.js';
import { layersModelFiles } from '../tfjs/artifacts.js';
import { PREFIX } from '../tfjs/layers/define.js';
import { openModelInput } from './inputs.js';
import { type CommonOptions, colour, count, json, printable, say, trace } from './output.js';
import { checkOutput, noteReplaced } from './outputs.js';
import { version } from './version.js';

interface Flags extends CommonOptions {
  readonly output: string;
  readonly float16?: boolean;
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
  const { output, float16 = false } = flags;
  const replaces = checkOutput(output, { input: file, makesFolders: true });
  const { model, close } = await openModelInput(file, await loadKernels());
  try {
    trace(flags, `${model.file}: opened`);
    const folder = path.dirname(output);
    const result = layersModelFiles(model, path.basename(output), {
      float16,
      convertedBy: `bitnibble v${version}`,
    });
    if (replaces) noteReplaced(flags, output);
    prepareFolder(folder);
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
  } finally {
    close();
  }
}
