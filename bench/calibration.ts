// Time and memory of `calibrate`, in its phases, for each backend of TensorFlow.js; beside another checkout where one is named.
//
//   npm run bench:calibration -- [--against FOLDER] [--samples N] [--rounds N] [--seeds N] [--backend NAME] [--scheme NAME]
//       [--model FILE] [--data WHERE]
//
// Each run is a process of its own; those of the two checkouts alternate, and medians are compared. FOLDER is another checkout
// that was set up (`npm run setup`). Time is the processor's, so that other work on the machine counts less. Phases are shares of a
// profile's samples, by the functions that were called. The divergence is that of 512 samples of the test part, and `same` says how many runs
// of the two wrote the same bytes. Round r takes seed r.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { Session } from 'node:inspector/promises';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { table } from '../src/cli/table.js';

const self = fileURLToPath(import.meta.url);
const here = path.dirname(path.dirname(self));
const { values: flags } = parseArgs({
  options: {
    against: { type: 'string' },
    samples: { type: 'string', default: '256' },
    rounds: { type: 'string', default: '1' },
    backend: { type: 'string', multiple: true, default: ['node', 'wasm'] },
    scheme: { type: 'string', default: 'binary' },
    model: { type: 'string', default: path.join(here, 'examples/cifar10/cifar10.h5') },
    data: { type: 'string', default: 'cifar10' },
    child: { type: 'string' },
    seed: { type: 'string', default: '0' },
  },
});

/** Phases by what is on the stack, innermost first. */
const PHASES: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['activations', /calibrate\/activations\.ts /],
  ['fits', /(schemes\/fit\/|calibrate\/layer\.ts fitMap)/],
  ['moments', /calibrate\/(linear\.ts |moments\.ts |layer\.ts momentsOf)/],
  ['outputs', /(calibrate\/(check|divergence)\.ts |report\/predict\.ts |predictLoop)/],
];
const NAMES = [...PHASES.map(([name]) => name), 'rest'];

/** Samples that the divergence is taken on. */
const CHECKED = 512;

/** What one run prints. */
interface Run {
  readonly processor: number;
  readonly wall: number;
  readonly peak: number;
  /** Processor seconds of each phase. */
  readonly phases: Record<string, number>;
  readonly divergence: number;
  readonly digest: string;
}

async function calibrate(root: string, prefer: 'node' | 'wasm'): Promise<Run> {
  // The other checkout's modules have at least these functions.
  const load = (file: string) => import(pathToFileURL(path.join(root, 'src', file)).href);
  const { loadTensorFlow }: typeof import('../src/node/tfjs.js') = await load('node/tfjs.ts');
  const { loadKernels }: typeof import('../src/kernels/index.js') = await load('kernels/index.ts');
  const { openKeras }: typeof import('../src/node/models.js') = await load('node/models.ts');
  const { openDataset }: typeof import('../src/node/datasets.js') = await load('node/datasets.ts');
  const { holdBack }: typeof import('../src/pipeline/calibrate/check.js') = await load(
    'pipeline/calibrate/check.ts',
  );
  const { calibrateModel }: typeof import('../src/pipeline/calibrate/calibrate.js') = await load(
    'pipeline/calibrate/calibrate.ts',
  );
  const { foldBatchNorm }: typeof import('../src/pipeline/transform/fold.js') = await load(
    'pipeline/transform/fold.ts',
  );
  const { writePacked }: typeof import('../src/packed/write.js') = await load('packed/write.ts');
  const { scalesItself }: typeof import('../src/pipeline/input-range.js') =
    await load('pipeline/input-range.ts');
  const { tf } = await loadTensorFlow({ prefer });
  const kernels = await loadKernels();
  const model = await openKeras(flags.model);
  const data = await openDataset(flags.data, { split: 'train' });
  const samples = Number(flags.samples);
  const held = holdBack(model, data, samples);
  if (!held) throw new RangeError(`"--samples" expected 16 or more, got ${samples}`);
  const preprocess = { scale: data.dtype === 'uint8' && !scalesItself(model) ? 1 / 255 : 1 };
  const { source } = foldBatchNorm(model);
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 2000 });
  const [start, used] = [performance.now(), process.cpuUsage()];
  await session.post('Profiler.start');
  const { model: made } = await calibrateModel(
    tf as never,
    source,
    { default: { scheme: flags.scheme as never } },
    {
      ...{ kernels, dataset: held.fit, samples, preprocess, batchSize: 100, seed: Number(flags.seed) },
      check: { dataset: held.check },
    },
  );
  const { profile } = await session.post('Profiler.stop');
  const { user, system } = process.cpuUsage(used);
  const wall = (performance.now() - start) / 1000;
  const peak = process.resourceUsage().maxRSS * 1024;
  const processor = (user + system) / 1e6;
  const hash = createHash('sha256');
  for (const piece of writePacked(made)) hash.update(piece);
  const { distanceOf, predictAll }: typeof import('../src/pipeline/report/predict.js') = await load(
    'pipeline/report/predict.ts',
  );
  const { outputKind }: typeof import('../src/pipeline/outputs.js') = await load('pipeline/outputs.ts');
  const test = await openDataset(flags.data, { split: 'test' });
  const how = { preprocess, limit: CHECKED };
  const outputs = [
    await predictAll(tf as never, source, test, how),
    await predictAll(tf as never, made, test, how),
  ] as const;
  const divergence = distanceOf(...outputs, outputKind(source));
  model.close();
  return {
    ...{ wall, processor, peak, phases: phasesOf(profile, processor) },
    divergence,
    digest: hash.digest('hex'),
  };
}

/** Processor seconds of each phase: its share of the samples in which anything was done. */
function phasesOf(
  { nodes, samples = [] }: import('node:inspector').Profiler.Profile,
  seconds: number,
): Record<string, number> {
  const phaseOf = new Map<number, string>();
  const visit = (id: number, outer: string) => {
    const { callFrame, children = [] } = byId.get(id) as (typeof nodes)[number];
    const where = `${callFrame.url} ${callFrame.functionName}`;
    const own = PHASES.find(([, pattern]) => pattern.test(where))?.[0] ?? outer;
    phaseOf.set(id, callFrame.functionName === '(idle)' ? '' : own);
    for (const child of children) visit(child, own);
  };
  const byId = new Map(nodes.map((node) => [node.id, node]));
  visit((nodes[0] as (typeof nodes)[number]).id, 'rest');
  const busy = samples.filter((id) => phaseOf.get(id) !== '');
  const found = Object.fromEntries(NAMES.map((name) => [name, 0]));
  for (const id of busy) {
    const name = phaseOf.get(id) as string;
    found[name] = (found[name] as number) + seconds / busy.length;
  }
  return found;
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] as number;
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

async function runOnce(root: string, backend: string, seed: number): Promise<Run> {
  const args = ['--import', 'tsx', self, '--child', root, '--backend', backend, '--seed', String(seed)];
  for (const name of ['samples', 'scheme', 'model', 'data'] as const) args.push(`--${name}`, flags[name]);
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 1 << 24 });
  return JSON.parse(stdout.slice(stdout.lastIndexOf('\n{') + 1));
}

if (flags.child !== undefined) {
  const run = await calibrate(flags.child, flags.backend.at(-1) as 'node' | 'wasm');
  process.stdout.write(`\n${JSON.stringify(run)}`);
} else {
  const roots = [here, ...(flags.against === undefined ? [] : [path.resolve(flags.against)])];
  console.log(
    `${path.basename(flags.model)}, ${flags.scheme}, ${flags.samples} samples; medians of ${flags.rounds}, processor seconds`,
  );
  for (const backend of flags.backend) {
    const runs = roots.map(() => [] as Run[]);
    for (let round = 0; round < Number(flags.rounds); round++)
      for (const [i, root] of roots.entries()) runs[i]?.push(await runOnce(root, backend, round));
    const rows: (readonly [string, (run: Run) => number, number])[] = [
      ...NAMES.map((name) => [name, (run: Run) => run.phases[name] as number, 2] as const),
      ['processor', (run) => run.processor, 2],
      ['wall', (run) => run.wall, 2],
      ['peak, MB', (run) => run.peak / 1e6, 0],
    ];
    const cells = rows.map(([name, of, digits]) => {
      const values = runs.map((own) => median(own.map(of)));
      const [own = 0, other] = values;
      return [
        name,
        ...values.map((value) => value.toFixed(digits)),
        other === undefined ? '' : (own / other).toFixed(2),
      ];
    });
    const divergences = runs.map((own) => mean(own.map(({ divergence }) => divergence)));
    const [own = 0, other] = divergences;
    cells.push([
      'divergence, mean',
      ...divergences.map((value) => value.toPrecision(4)),
      other === undefined ? '' : (own / other).toFixed(3),
    ]);
    const heads = ['here', ...(other === undefined ? [] : ['against', 'ratio'])];
    console.log(
      `\n${table(
        [backend, ...heads],
        cells.map((row) => row.slice(0, 1 + heads.length)),
      )}`,
    );
    if (other === undefined) continue;
    const same = runs[0]?.filter(({ digest }, i) => digest === runs[1]?.[i]?.digest).length;
    console.log(`same bytes in ${same} of ${flags.rounds}`);
  }
}
