// Run by test/slow/large.test.ts as a process of its own: quantizes a model of 3 GiB, prints its largest memory.

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { File, FS, ready } from 'h5wasm';
import { loadKernels } from '../../src/kernels/index.js';
import { openKeras, saveQuantized } from '../../src/node/models.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import type { QuantizeOptions } from '../../src/schemes/types.js';

const [folder = '.', scheme = 'int4', scale] = process.argv.slice(2);
const SHAPE: [number, number] = [32_768, 24_576];
const FIRST = 64;

/** One kernel of 3 GiB: its first rows are there, the others are HDF5's fill value and take no room. */
async function make(file: string): Promise<void> {
  await ready;
  const h5 = new File('/large.h5', 'w');
  const layers = [{ class_name: 'Dense', config: { name: 'dense', units: SHAPE[1] } }];
  h5.create_attribute(
    'model_config',
    JSON.stringify({ class_name: 'Sequential', config: { name: 'large', layers } }),
  );
  const root = h5.create_group('model_weights');
  root.create_attribute('layer_names', ['dense']);
  const group = root.create_group('dense');
  group.create_attribute('weight_names', ['kernel:0']);
  const data = Float32Array.from({ length: FIRST * SHAPE[1] }, (_, i) => ((i % 15) - 7) / 16);
  group.create_dataset({
    name: 'kernel:0',
    data,
    shape: [FIRST, SHAPE[1]],
    maxshape: [null, SHAPE[1]],
    chunks: [FIRST, SHAPE[1]],
  });
  (group.get('kernel:0') as unknown as { resize(shape: number[]): void }).resize(SHAPE);
  h5.close();
  writeFileSync(file, FS?.readFile('/large.h5') as Uint8Array);
  FS?.unlink('/large.h5');
}

const file = path.join(folder, 'large.h5');
if (scheme === 'make') {
  await make(file);
} else {
  const kernels = await loadKernels();
  const model = await openKeras(file);
  let steps = 0;
  const { model: quantized, report } = quantizeModel(
    model,
    { default: { scheme, scale } as QuantizeOptions },
    { kernels, onProgress: () => steps++ },
  );
  await saveQuantized(quantized, model, path.join(folder, 'large.safetensors'));
  model.close();
  const { parameters, tensors } = report;
  const megabytes = process.resourceUsage().maxRSS / 1024;
  process.stdout.write(JSON.stringify({ megabytes, steps, parameters, maxError: tensors[0]?.maxError }));
}
