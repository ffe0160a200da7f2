// Quantizing in parts: the file that merging them makes is that of one run.
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { BitnibbleError } from '../../src/errors.js';
import { loadKernels } from '../../src/kernels/index.js';
import { fingerprint, modelFingerprint } from '../../src/node/fingerprint.js';
import { openKeras, openModel } from '../../src/node/models.js';
import { quantizeToFile } from '../../src/node/packed.js';
import { mergeQuantized, quantizeToPart, withParts, writePart } from '../../src/node/parts.js';
import type { Recipe } from '../../src/pipeline/recipe.js';
import { root, tempDir } from '../support/needs.js';

const kernels = await loadKernels();
const scratch = tempDir();
const newFolder = () => mkdtempSync(path.join(scratch, 'folder-'));
const MODELS = [
  'examples/digits/digits.h5',
  'test/fixtures/containers/split.weights.json',
  'test/fixtures/containers/float64.keras',
];
const RECIPES: Recipe[] = [
  { default: { scheme: 'int4' } },
  { default: { scheme: 'binary', granularity: 'group', groupSize: 3, scaleDtype: 'F16' } },
  { rules: [{ weight: 'bias', keep: true }], default: { scheme: 'int2', granularity: 'tensor' } },
];

async function inParts(file: string, recipe: Recipe, parts: number, folder: string): Promise<string[]> {
  const model = await openKeras(path.join(root, file));
  const names: string[] = [];
  try {
    for (let part = parts; part >= 1; part--) {
      const name = path.join(folder, `${part}.part`);
      names.push(name);
      const info = { command: 'quantize', run: { input: modelFingerprint(model) }, part, parts };
      await quantizeToPart(model, recipe, { kernels }, model, name, info);
    }
  } finally {
    model.close();
  }
  return names;
}

test('any number of parts gives the bytes and the report of one run', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...MODELS),
      fc.constantFrom(...RECIPES),
      fc.integer({ min: 1, max: 15 }),
      async (file, recipe, parts) => {
        const folder = newFolder();
        const [one, merged] = [path.join(folder, 'one.safetensors'), path.join(folder, 'merged.safetensors')];
        const model = await openKeras(path.join(root, file));
        const report = await quantizeToFile(model, recipe, { kernels }, model, one);
        model.close();
        const rows = await withParts(await inParts(file, recipe, parts, folder), (own) =>
          mergeQuantized(own, merged),
        );
        assert.is(Buffer.compare(readFileSync(merged), readFileSync(one)), 0);
        assert.equal(rows, JSON.parse(JSON.stringify(report.tensors)));
      },
    ),
    { numRuns: 25 },
  );
});

test('parts become shards as well, which hold what one run writes', async () => {
  const folder = newFolder();
  const [index, merged] = [
    path.join(folder, 'a.safetensors.index.json'),
    path.join(folder, 'b.safetensors.index.json'),
  ];
  const file = MODELS[0] as string;
  const model = await openKeras(path.join(root, file));
  const recipe: Recipe = { default: { scheme: 'int4' } };
  await quantizeToFile(model, recipe, { kernels, shardSize: 9000 }, model, index);
  model.close();
  await withParts(await inParts(file, recipe, 3, folder), (own) =>
    mergeQuantized(own, merged, { shardSize: 9000 }),
  );
  const shards = readdirSync(folder).filter((name) => name.startsWith('a-'));
  assert.ok(shards.length > 2);
  for (const name of shards)
    assert.equal(
      readFileSync(path.join(folder, name.replace(/^a/, 'b'))),
      readFileSync(path.join(folder, name)),
    );
  const { close } = await openModel(merged, kernels);
  close();
});

test('parts that are missing, of another run or no parts leave nothing behind', async () => {
  const folder = newFolder();
  const merged = path.join(folder, 'merged.safetensors');
  const file = MODELS[0] as string;
  const parts = await inParts(file, RECIPES[0] as Recipe, 3, folder);
  const refused = async (paths: readonly string[], code: string, text: string) => {
    const error = (await withParts(paths, (own) => mergeQuantized(own, merged)).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )) as BitnibbleError;
    assert.is(error?.code, code, String(error));
    assert.match(error.message, text);
  };
  await refused(parts.slice(1), 'part-mismatch', 'parts are missing: 3/3');
  await refused([...parts, path.join(folder, 'gone.part')], 'not-found', 'gone.part');
  const cut = path.join(folder, 'cut.part');
  writeFileSync(cut, readFileSync(parts[0] as string).subarray(0, -1));
  await refused([cut, ...parts.slice(1)], 'corrupt-file', 'cut.part: damaged safetensors file');
  const other = path.join(folder, 'other.part');
  await writePart(other, { command: 'quantize', run: { input: ['x'] }, part: 3, parts: 3 }, {});
  await refused([...parts.slice(1), other], 'part-mismatch', 'other.part: a part of another run');
  const alone = path.join(folder, 'alone.part');
  await writePart(alone, { command: 'quantize', run: {}, part: 1, parts: 1 }, {});
  await refused([alone], 'corrupt-file', 'its result is none of quantize');
  await writePart(alone, { command: 'quantize', run: {}, part: 1, parts: 1 }, { tensors: [] });
  await refused([alone], 'corrupt-file', 'it has no metadata of the model');
  await writePart(
    alone,
    { command: 'quantize', run: {}, part: 1, parts: 1 },
    { tensors: [], metadata: [['format', 'x']] },
  );
  await refused([alone], 'unknown-format', 'alone.part');
  assert.equal(
    readdirSync(folder).filter((name) => name.startsWith('.') || name.startsWith('merged')),
    [],
  );
});

test('files are told apart by their bytes and size; large ones by pieces from the first to the last byte', () => {
  const source = (size: number, changed = -1) => ({
    size,
    read(target: Uint8Array, position: number) {
      target.fill(1);
      if (changed >= position && changed < position + target.length) target[changed - position] = 2;
      return Math.min(target.length, size - position);
    },
  });
  const small = fingerprint(source(3 * 2 ** 20 + 5));
  for (const other of [
    source(3 * 2 ** 20 + 6),
    source(3 * 2 ** 20 + 5, 0),
    source(3 * 2 ** 20 + 5, 3 * 2 ** 20 + 4),
  ])
    assert.is.not(fingerprint(other), small);
  const size = 2 ** 36 + 7;
  const large = fingerprint(source(size));
  assert.is(fingerprint(source(size)), large);
  for (const at of [0, size - 1]) assert.is.not(fingerprint(source(size, at)), large);
});

test.run();
