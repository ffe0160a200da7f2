// Parts of `calibrate`: models that are whole files, and beside them what each part says of its own.
import path from 'node:path';
import type { Dataset } from '../data/index.js';
import { BitnibbleError } from '../errors.js';
import { isFolder } from '../node/files.js';
import { type OpenPart, writePart } from '../node/parts.js';
import { type PartNumber, partText } from '../packed/part-number.js';
import type { Recipe } from '../pipeline/recipe.js';
import type { CalibrateFlags } from './calibrate-flags.js';
import { loadBackend, openData, openMore } from './data.js';
import { type Job, openKerasInput } from './inputs.js';
import { colour, count, json, say } from './output.js';
import { noteReplaced } from './outputs.js';
import { isIndex, isRecord, isText, type MergeFlags, resultOf } from './part-results.js';
import { dataFingerprint, jsonOf, requireEnding, runOf, writeJson } from './parts.js';
import { fileOf } from './reproduce.js';
import { UsageError } from './usage.js';

/** The models of a part go into a folder. @throws UsageError */
export function requireFolder(output: string): void {
  if (!isFolder(output))
    throw new UsageError(
      `--shard needs --output naming a folder that is there, for the models of all parts, got ${output}`,
    );
}

/** What a part is called, beside its models. */
export const partPath = (folder: string, { part, parts }: PartNumber): string =>
  path.join(folder, `calibrate-${part}-of-${parts}.part`);

interface Calibrated {
  readonly shard: PartNumber;
  /** Of this part, and of all. */
  readonly jobs: readonly Job[];
  readonly all: readonly Job[];
  /** What `--json` says of each model. */
  readonly results: readonly object[];
  readonly recipe: Recipe;
  readonly flags: CalibrateFlags;
}

const nameOf = ({ output }: Job) => path.basename(output);

/** Tells the data apart, as the first of the models takes it that can be opened: the same one for every part. */
async function dataOf(all: readonly Job[], flags: CalibrateFlags): Promise<(string | null)[]> {
  const whole = (dataset: Dataset | undefined) => (dataset ? dataFingerprint(dataset) : null);
  for (const { input } of all) {
    try {
      const model = await openKerasInput(input);
      try {
        const data = await openData(flags, model);
        const check = flags.check && (await openMore(flags, flags.check, 'test', model, data));
        return [whole(data.dataset), whole(check)];
      } finally {
        model.close();
      }
    } catch (error) {
      if (!(error instanceof BitnibbleError)) throw error;
    }
  }
  return [null, null];
}

/** Writes what a part says of its models. @throws BitnibbleError `not-writable` */
export async function writeCalibrated(
  part: string,
  { shard, jobs, all, results, recipe, flags }: Calibrated,
): Promise<void> {
  const { fold, tune = null, augment = null, seed, limit = null, batch, metric = null } = flags;
  const { scale = null, mean = null, std = null, split, storeRanges = false } = flags;
  const [data, check] = await dataOf(all, flags);
  const { backend } = await loadBackend({ ...flags, quiet: true });
  const info = runOf('calibrate', shard, {
    ...{ models: all.map(nameOf), data, check, recipe, fold, tune, augment, seed, limit, batch, metric },
    ...{ scale, mean, std, split, storeRanges, backend },
  });
  const files = [];
  for (const [i, job] of jobs.entries()) {
    const { bytes, sha256 } = await fileOf(job.output);
    files.push({ name: nameOf(job), bytes, sha256, document: results[i] });
  }
  await writePart(part, info, jsonOf({ files }));
}

interface Result {
  readonly files: readonly {
    readonly name: string;
    readonly bytes: number;
    readonly sha256: string;
    readonly document: object;
  }[];
}

const isName = (value: unknown) => isText(value) && path.basename(value as string) === value;

/** Looks at the models of all parts, which are there already, and writes the document of one run. */
export async function mergeCalibrated(
  parts: readonly OpenPart[],
  flags: MergeFlags,
  replaces: boolean,
): Promise<void> {
  const { output } = flags;
  requireEnding(output, /\.json$/i, '.json', 'calibrate');
  const results = parts.map((part) =>
    resultOf<Result>(part, {
      files: [{ name: isName, bytes: isIndex, sha256: isText, document: isRecord }],
    }),
  );
  for (const [i, { files }] of results.entries()) {
    const { name: part, info } = parts[i] as OpenPart;
    for (const { name, bytes, sha256 } of files) {
      const model = path.join(path.dirname(part), name);
      const there = await fileOf(model).catch(() => undefined);
      if (!there)
        throw new BitnibbleError('not-found', `${model}: missing: part ${partText(info)}, ${part}, made it`);
      if (there.bytes !== bytes || there.sha256 !== sha256)
        throw new BitnibbleError(
          'part-mismatch',
          `${model}: not the file that part ${partText(info)}, ${part}, made: its SHA-256 is ${there.sha256}, not ${sha256}`,
        );
    }
  }
  // Parts took models in turn.
  const most = Math.max(...results.map(({ files }) => files.length));
  const all = Array.from({ length: most }, (_, i) => results.flatMap(({ files }) => files[i] ?? [])).flat();
  const document = { files: all.map((file) => file.document) };
  if (replaces) noteReplaced(flags, output);
  await writeJson(output, document);
  json(flags, document);
  for (const { name, bytes } of all) say(flags, `${name}, ${count(bytes)} bytes`);
  say(flags, `${count(all.length)} models are there; ${colour.green('wrote')} ${output}`);
}
