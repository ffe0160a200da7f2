import { createHash } from 'node:crypto';
import type { Dataset } from '../data/index.js';
import type { KerasModel } from '../keras/keras-model.js';
import type { JsonObject } from '../model.js';
import { writeFile } from '../node/files.js';
import { modelFingerprint } from '../node/fingerprint.js';
import { isPartName } from '../node/packed.js';
import type { RunInfo } from '../node/parts.js';
import type { PartNumber } from '../packed/part-number.js';
import { sizeOf } from '../shape.js';
import { UsageError } from './usage.js';
import { version } from './version.js';

/** A value as JSON has it. */
export const jsonOf = (value: object): JsonObject => JSON.parse(JSON.stringify(value)) as JsonObject;

/** Writes a document as `--json` prints it. @throws BitnibbleError `not-writable` */
export const writeJson = (path: string, document: unknown): Promise<void> =>
  writeFile(path, [new TextEncoder().encode(`${JSON.stringify(document, undefined, 2)}\n`)]);

/** What a part states of its run. @param options whatever the result depends on beside the files */
export const runInfo = (command: string, part: PartNumber, model: KerasModel, options: object): RunInfo =>
  runOf(command, part, { input: modelFingerprint(model), ...options });

/** {@link runInfo} of a run that is not of one model. */
export const runOf = (command: string, part: PartNumber, options: object): RunInfo => ({
  command,
  ...part,
  run: { version, ...jsonOf(options) },
});

/** Bytes of samples that are looked at; of more as many samples are taken, spread evenly. */
const MOST = 2 ** 26;

/** Tells data apart wherever they are: how many samples of which shapes, and what is in them and their labels. */
export function dataFingerprint(dataset: Dataset, limit = dataset.count): string {
  const count = Math.min(limit, dataset.count);
  const { inputs = [{ shape: dataset.inputShape, dtype: dataset.dtype }], targets } = dataset;
  const bytes = inputs.reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
  const taken = Math.min(count, Math.max(1, Math.floor(MOST / Math.max(1, bytes))));
  const indices = Array.from({ length: taken }, (_, i) =>
    taken === 1 ? 0 : Math.floor((i * (count - 1)) / (taken - 1)),
  );
  const hash = createHash('sha256').update(JSON.stringify([count, inputs, targets?.shape ?? null]));
  for (const { x, inputs: all = [x], y } of dataset.batches({ indices, batchSize: 64 }))
    for (const array of [...all, y])
      hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  if (targets) {
    const { buffer, byteOffset, byteLength } = targets.values;
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest('hex');
}

/** The output of a part has to be called as one. @throws UsageError */
export function requirePartName(output: string | undefined, part: PartNumber | undefined): void {
  if (part && (output === undefined || !isPartName(output)))
    throw new UsageError(`--shard needs --output with a name ending in .part, got ${output ?? 'none'}`);
}

/** The output of `merge` has to be called as what its parts make. @throws UsageError */
export function requireEnding(output: string, pattern: RegExp, wanted: string, command: string): void {
  if (!pattern.test(output))
    throw new UsageError(
      `--output expected a name ending in ${wanted} for parts of ${command}, got ${output}`,
    );
}
