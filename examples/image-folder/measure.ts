/**
 * A folder of PNG images, one folder inside it for each class: what rounding a network costs on them, and the packed file.
 *
 *     npx tsx examples/image-folder/measure.ts [MODEL.h5 [IMAGES [OUTPUT.safetensors]]]
 *
 * Without arguments it takes the bundled digits. It needs no TensorFlow.js: bitnibble's own runtime computes the answers.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadKernels, packedBytes, type SchemeName } from 'bitnibble';
import { arrayDataset, type Dataset, readPng, withChannels } from 'bitnibble/data';
import { openKeras, saveQuantized } from 'bitnibble/node';
import { evaluateModel, foldBatchNorm, quantizeModel } from 'bitnibble/pipeline';

const at = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const [file = at('../digits/digits.h5'), folder = at('images'), output = 'digits.safetensors'] =
  process.argv.slice(2);

/** Images of one size as a dataset; their classes are the folders that they lie in, in the order of their names. */
function openImages(where: string, channels: 1 | 3): Dataset {
  const classNames = readdirSync(where).sort();
  const images = classNames.flatMap((name, label) =>
    readdirSync(path.join(where, name))
      .filter((own) => own.endsWith('.png'))
      .map((own) => ({ label, path: path.join(where, name, own) })),
  );
  const read = images.map((image) => readPng(readFileSync(image.path), image.path));
  const [first] = read;
  if (!first) throw new Error(`${where}: expected a folder of PNG images for each class`);
  const { width, height } = first;
  const size = width * height * channels;
  const values = new Uint8Array(read.length * size);
  for (const [i, image] of read.entries()) {
    const name = images[i]?.path ?? '';
    if (image.width !== width || image.height !== height)
      throw new Error(`${name}: expected ${width} x ${height} pixels, got ${image.width} x ${image.height}`);
    values.set(withChannels(image, channels, name), i * size);
  }
  const labels = Int32Array.from(images, ({ label }) => label);
  return arrayDataset({ name: where, inputShape: [height, width, channels], values, labels, classNames });
}

const model = await openKeras(file);
try {
  const kernels = await loadKernels();
  const { source } = foldBatchNorm(model);
  const dataset = openImages(folder, 1);
  const options = { preprocess: { scale: 1 / 255 } };
  const { top1 } = await evaluateModel('bitnibble', model, dataset, options);
  console.log(`${dataset.count} images of ${dataset.classNames?.length} classes`);
  console.log(`float32  ${4 * model.parameters} bytes  accuracy ${top1.toFixed(3)}`);
  for (const scheme of ['int4', 'int2', 'binary'] satisfies SchemeName[]) {
    const { model: packed } = quantizeModel(source, { default: { scheme } }, { kernels });
    const { top1: own } = await evaluateModel('bitnibble', packed, dataset, options);
    console.log(`${scheme.padEnd(7)}  ${packedBytes(packed).length} bytes  accuracy ${own.toFixed(3)}`);
    if (scheme === 'int4') await saveQuantized(packed, model, output);
  }
  console.log(`wrote ${output}, with 4 bits for each weight`);
} finally {
  model.close();
}
