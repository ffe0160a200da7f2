import type { Command } from 'commander';
import { loadKernels } from '../kernels/index.js';
import { openModel } from '../node/models.js';
import { evaluateModel } from '../pipeline/evaluate.js';
import { common, type DataFlags, dataOptions } from './options.js';
import { count, json, progress, say, table } from './output.js';

export const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

async function evaluate(file: string, flags: DataFlags): Promise<void> {
  const { model, bytes, close } = await openModel(file, await loadKernels());
  try {
    const { loadBackend, openData } = await import('./data.js');
    const { dataset, preprocess, description } = await openData(flags, model);
    const { tf, backend } = await loadBackend(flags);
    say(flags, `${file} on ${description}`);
    const bar = progress(flags, 'evaluating', 'samples');
    try {
      const result = await evaluateModel(tf, model, dataset, {
        batchSize: flags.batch,
        limit: flags.limit,
        preprocess,
        onProgress: bar.update,
      });
      bar.stop();
      json(flags, { file, bytes, data: dataset.name, preprocess, backend, ...result });
      const rows = [
        ['top-1 accuracy', percent(result.top1)],
        ...(result.top5 === undefined ? [] : [['top-5 accuracy', percent(result.top5)]]),
        ['loss', result.loss.toFixed(4)],
        ['samples', count(result.samples)],
        ['images per second', count(Math.round(result.imagesPerSecond))],
        ['backend', backend],
      ];
      say(flags, `\n${table(['Measure', 'Value'], rows)}`);
    } finally {
      bar.stop();
    }
  } finally {
    close();
  }
}

export function addEvaluate(program: Command): void {
  const command = program
    .command('evaluate')
    .description('loss, top-1 and top-5 accuracy of a float or quantized model')
    .argument('<file>', 'Keras .h5 or packed .safetensors');
  common(dataOptions(command)).action(evaluate);
}
