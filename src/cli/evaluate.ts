import { loadKernels } from '../kernels/index.js';
import { evaluateModel } from '../pipeline/evaluate.js';
import { chooseBackend, openData, requireLabels } from './data.js';
import { openModelInput } from './inputs.js';
import type { DataFlags } from './options.js';
import { count, json, note, say, trace } from './output.js';
import { progress } from './progress.js';
import { table } from './table.js';

export const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

export async function evaluate(file: string, flags: DataFlags): Promise<void> {
  const { model, bytes, close } = await openModelInput(file, await loadKernels());
  try {
    trace(flags, `${model.file}: opened`);
    const { dataset, preprocess, description } = await openData(flags, model);
    requireLabels(model, dataset, flags.limit);
    const { runner, backend } = await chooseBackend(flags, model);
    say(flags, `${model.file} on ${description}`);
    const bar = progress(flags, 'evaluating', 'samples');
    const warnings: string[] = [];
    try {
      const result = await evaluateModel(runner, model, dataset, {
        batchSize: flags.batch,
        limit: flags.limit,
        preprocess,
        onProgress: bar.update,
        onWarning: (text) => warnings.push(text),
      });
      bar.stop();
      for (const text of warnings) note(flags, text);
      json(flags, { file, bytes, data: dataset.name, preprocess, backend, ...result, warnings });
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
