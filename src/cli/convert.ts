import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { BitnibbleError } from '../errors.js';
import { loadKernels } from '../kernels/index.js';
import { requireOtherFile, writeFile } from '../node/files.js';
import { openModel } from '../node/models.js';
import { layersModelFiles } from '../tfjs/artifacts.js';
import { PREFIX } from '../tfjs/layers/define.js';
import { common, UsageError } from './options.js';
import { type CommonOptions, colour, count, json, printable, say } from './output.js';

interface Flags extends CommonOptions {
  readonly output: string;
  readonly float16?: boolean;
}

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

function prepareFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (cause) {
    throw new BitnibbleError('not-writable', `${folder}: cannot be made: ${(cause as Error).message}`, {
      cause,
    });
  }
}

async function convert(file: string, flags: Flags): Promise<void> {
  const { output, float16 = false } = flags;
  if (!/\.json$/i.test(output))
    throw new UsageError(`--output expected a name ending in .json, got ${output}`);
  requireOtherFile(file, output);
  const { model, close } = await openModel(file, await loadKernels());
  try {
    const folder = path.dirname(output);
    const result = layersModelFiles(model, path.basename(output), {
      float16,
      convertedBy: `bitnibble v${version}`,
    });
    prepareFolder(folder);
    // An old topology must not stand beside new weights if this run is interrupted.
    rmSync(output, { force: true });
    const names: string[] = [];
    for (const { name, pieces } of result.files) {
      names.push(name);
      await writeFile(path.join(folder, name), pieces);
    }
    const { registered, remarks, weightBytes } = result;
    json(flags, { input: file, output, files: names, weightBytes, float16, registered, remarks });
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

export function addConvert(program: Command): void {
  const command = program
    .command('convert')
    .description('writes a TensorFlow.js layers model: model.json and weight files')
    .argument('<file>', 'Keras .h5 or .keras, or packed .safetensors')
    .requiredOption('-o, --output <file>', 'DIR/model.json; weight files stand beside it')
    .option('--float16', 'weights as float16, half the bytes');
  common(command).action(convert);
}
