// Exported models in the runtimes that they are for: bytes, accuracy, milliseconds and memory, beside what the runtimes' own
// quantizers and tf2onnx make of the same network. One thread, one sample at a time. Accuracy and memory are of each model in a process
// of its own. Milliseconds are of processor time (in a page, which has no clock for it, of time), all models of a runtime in turns in
// one process; the ratio to the float model is that of the shortest runs, which other work on the machine disturbs least.
//
//   npm run bench:exports -- [--quick] [--data DIR] [--images N] [--keep DIR] [model.h5 | model.keras ...]
//
// Without models: examples/cifar10 and examples/mobilenet. DIR has CIFAR-10's binary release: weights are calibrated on 512 training
// images, accuracy is that of 1,000 test images (--images). Without it weights are rounded, and instead of accuracy it says how often the class is
// that of the float network on random inputs. Runtimes: `node scripts/export-env.js`, `node scripts/runtimes.js onnxruntime litertjs`, Chromium; peers:
// `node scripts/peers-env.js`. What is missing is named and left out. --quick: the first model, our own exports, few runs. --keep:
// packed files stay there, and are taken from there the next time: calibration is the long part.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  chromiumPath,
  exportPython,
  litertJsDir,
  onnxruntimeDir,
  peersDir,
  pythonOf,
  root,
  run,
} from '../scripts/lib/project.js';
import { table } from '../src/cli/table.js';
import { readNpy, writeNpy } from '../src/formats/npy.js';
import { openDataset } from '../src/node/datasets.js';
import { openKeras } from '../src/node/models.js';
import { loadNetwork } from '../src/runtime/index.js';
import { sizeOf } from '../src/shape.js';
import { inLiteRtJs } from './exports-web.js';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    data: { type: 'string' },
    images: { type: 'string', default: '1000' },
    keep: { type: 'string' },
  },
});
const examples = ['cifar10/cifar10.h5', 'mobilenet/mobilenet.h5'].map((own) =>
  path.join(root, 'examples', own),
);
const models = positionals.length > 0 ? positionals : flags.quick ? examples.slice(0, 1) : examples;
const [rounds, count] = flags.quick ? [5, 8] : [100, Number(flags.images)];
const CALIBRATION = 512;
const cli = path.join(root, 'dist/cli/main.js');
const script = path.join(root, 'bench/exports_peers.py');
const runner = path.join(root, 'bench/exports-run.ts');
const peers = flags.quick ? '' : pythonOf(peersDir);
const missing = new Set<string>();

const PYTHON = { onnx: 'ONNX Runtime, Python', tflite: 'LiteRT, Python' } as const;
const LITERT_JS = 'LiteRT.js, Chromium';
const ENGINES = [PYTHON.onnx, 'onnxruntime-node', 'onnxruntime-web', PYTHON.tflite, LITERT_JS] as const;
type Engine = (typeof ENGINES)[number];

interface Exported {
  readonly name: string;
  readonly file: string;
  /** The packed file that it was made of. */
  readonly packed?: string;
}
interface Measured {
  /** Median milliseconds of processor time, in a page of time. */
  readonly ms: number;
  /** The shortest run beside the float model's. */
  readonly ratio: number;
  readonly share: number;
  /** MB that the model and inference add to a process. */
  readonly mb: number | undefined;
}

/** A command to its end; its output, or undefined with the reason noted. */
async function done(what: string, command: string, args: readonly string[]): Promise<string | undefined> {
  const { status, stdout, output } = await run(command, [...args]);
  if (status === 0) return stdout;
  missing.add(`${what}: ${output.trim().split('\n').at(-1)}`);
  return undefined;
}

const bitnibble = (what: string, ...args: readonly string[]) =>
  done(what, process.execPath, [cli, ...args, '--quiet']);

const classes = (outputs: Float32Array, samples: number): number[] => {
  const size = outputs.length / samples;
  return Array.from({ length: samples }, (_, i) => {
    const own = outputs.subarray(i * size, (i + 1) * size);
    return own.indexOf(Math.max(...own));
  });
};

interface Samples {
  readonly values: Float32Array;
  readonly shape: readonly number[];
  readonly count: number;
  readonly labels: readonly number[];
}

/** Test images with labels, or random inputs with what the float network says of them. */
async function samplesFor(file: string): Promise<Samples> {
  const model = await openKeras(file);
  const network = await loadNetwork(model);
  const [port, ...others] = network.inputs;
  if (!port || others.length > 0) throw new Error(`${file}: expected a network of one input`);
  const { shape } = port;
  const values = new Float32Array(count * sizeOf(shape));
  let labels: readonly number[] = [];
  if (flags.data) {
    const dataset = await openDataset(flags.data, { split: 'test' });
    let at = 0;
    for (const batch of dataset.batches({ batchSize: 100, limit: count, preprocess: { scale: 1 / 255 } })) {
      values.set(batch.x, at);
      at += batch.x.length;
      labels = [...labels, ...batch.y];
    }
  } else {
    let state = 1;
    for (let i = 0; i < values.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      values[i] = state / 2 ** 32;
    }
    for (let i = 0; i < count; i++) {
      const own = values.subarray(i * sizeOf(shape), (i + 1) * sizeOf(shape));
      labels = [...labels, ...classes(network.run(own), 1)];
    }
  }
  model.close();
  return { values, shape, count, labels };
}

/** Our own exports of a Keras file. */
async function ownExports(file: string, folder: string): Promise<Exported[]> {
  const all: Exported[] = [];
  const convert = async (name: string, from: string, to: string, ...more: readonly string[]) => {
    const output = path.join(folder, to);
    const packed = from.endsWith('.safetensors') ? { packed: from } : {};
    if ((await bitnibble(name, 'convert', from, '-o', output, ...more)) !== undefined)
      all.push({ name, file: output, ...packed });
  };
  await convert('ONNX float32', file, 'float.onnx');
  await convert('LiteRT float32', file, 'float.tflite');
  for (const scheme of ['int4', 'int2', 'binary']) {
    const kept = flags.keep && path.join(flags.keep, `${path.parse(file).name}-${scheme}.safetensors`);
    const packed = kept || path.join(folder, `${scheme}.safetensors`);
    const scaled = ['-o', packed, '--scheme', scheme];
    const samples = ['--data', flags.data ?? '', '--limit', String(CALIBRATION)];
    const fitted =
      (kept && existsSync(kept)) ||
      (flags.data
        ? await bitnibble(scheme, 'calibrate', file, ...scaled, ...samples)
        : await bitnibble(scheme, 'quantize', file, ...scaled));
    if (fitted === undefined) continue;
    await convert(`ONNX ${scheme}, folded`, packed, `${scheme}-folded.onnx`);
    await convert(`ONNX ${scheme}, low-bit`, packed, `${scheme}-low.onnx`, '--weights', 'low-bit');
    await convert(`LiteRT ${scheme}, exact`, packed, `${scheme}-exact.tflite`);
    await convert(`LiteRT ${scheme}, fast`, packed, `${scheme}-fast.tflite`, '--weights', 'fast');
  }
  return all;
}

/** What others make of it. */
async function peerExports(file: string, folder: string, inputs: string): Promise<Exported[]> {
  if (!existsSync(peers)) {
    if (!flags.quick) missing.add('peers: node scripts/peers-env.js');
    return [];
  }
  const own = path.join(folder, 'peers');
  mkdirSync(own);
  const at = (name: string) => path.join(own, name);
  await done('TensorFlow', peers, [script, 'export', file, own]);
  await done('tf2onnx', peers, [script, 'onnx', at('saved'), at('tf2onnx.onnx')]);
  await done("ONNX Runtime's quantizer", peers, [script, 'quantize-onnx', at('tf2onnx.onnx'), inputs, own]);
  await done('ai-edge-quantizer', peers, [script, 'quantize-litert', at('tensorflow.tflite'), inputs, own]);
  const made = [
    ['tf2onnx, float32', 'tf2onnx.onnx'],
    ["ONNX Runtime's quantizer, int8", 'int8.onnx'],
    ["ONNX Runtime's quantizer, int4", 'int4.onnx'],
    ["TensorFlow's converter, float32", 'tensorflow.tflite'],
    ['ai-edge-quantizer, int4 weights', 'weights4.tflite'],
    ['ai-edge-quantizer, int8 dynamic', 'dynamic8.tflite'],
    ['ai-edge-quantizer, int8 static', 'static8.tflite'],
  ] as const;
  return made.map(([name, to]) => ({ name, file: at(to) })).filter((one) => existsSync(one.file));
}

const ratio = (a: number, b: number, digits = 3) => (a / b).toFixed(digits);
const median = (all: readonly number[]) => [...all].sort((a, b) => a - b)[all.length >> 1] as number;
const lastLine = <T>(text: string) => JSON.parse(text.trim().split('\n').at(-1) as string) as T;

const shown = ({ share, ms, ratio: of, mb }: Measured) =>
  `${share.toFixed(3)}, ${ms.toFixed(2)} ms, ${of.toFixed(2)}${mb === undefined ? '' : `, ${mb.toFixed(1)} MB`}`;

/** What an engine needs, and where it comes from. */
const NEEDS: Readonly<Record<Engine, readonly [file: () => string, made: string]>> = {
  [PYTHON.onnx]: [exportPython, 'node scripts/export-env.js'],
  [PYTHON.tflite]: [exportPython, 'node scripts/export-env.js'],
  'onnxruntime-node': [
    () => path.join(onnxruntimeDir(), 'onnxruntime-node'),
    'node scripts/runtimes.js onnxruntime',
  ],
  'onnxruntime-web': [
    () => path.join(onnxruntimeDir(), 'onnxruntime-web'),
    'node scripts/runtimes.js onnxruntime',
  ],
  [LITERT_JS]: [
    () => (existsSync(chromiumPath()) ? litertJsDir() : chromiumPath()),
    'node scripts/runtimes.js litertjs, and Chromium',
  ],
};

/** All models of an engine: outputs and memory one by one, milliseconds in turns. The first is the float model. */
async function measure(
  engine: Engine,
  all: readonly Exported[],
  samples: Samples,
  folder: string,
): Promise<Map<string, Measured>> {
  const measured = new Map<string, Measured>();
  const isLiteRt = engine === PYTHON.tflite || engine === LITERT_JS;
  const own = all.filter(({ file }) => file.endsWith('.tflite') === isLiteRt);
  const [needed, made] = NEEDS[engine];
  if (own.length === 0) return measured;
  if (!existsSync(needed())) {
    missing.add(`${engine}: ${made}`);
    return measured;
  }
  const add = (
    name: string,
    outputs: Float32Array,
    times: readonly number[],
    first: readonly number[],
    mb?: number,
  ) => {
    const found = classes(outputs, samples.count);
    measured.set(name, {
      ms: median(times),
      ratio: Math.min(...times) / Math.min(...first),
      share: found.filter((one, i) => one === samples.labels[i]).length / samples.count,
      mb,
    });
  };
  const inputs = path.join(folder, 'x.f32');
  if (engine === LITERT_JS) {
    const { opened, faults, outputs, times } = await inLiteRtJs(
      own.map(({ file }) => file),
      inputs,
      samples.shape,
      rounds,
    );
    for (const [i, place] of opened.entries())
      add((own[place] as Exported).name, Float32Array.from(outputs[i] ?? []), times[i] ?? [], times[0] ?? []);
    for (const [place, message] of faults)
      missing.add(`${engine}: ${(own[place] as Exported).name}: ${message}`);
    return measured;
  }
  const isPython = engine === PYTHON.onnx || engine === PYTHON.tflite;
  const out = path.join(folder, isPython ? 'out.npy' : 'out.f32');
  const shape = samples.shape.join();
  const start = (command: 'outputs' | 'turns', to: string, files: readonly string[]) =>
    isPython
      ? done(`${command} in ${engine}`, exportPython(), [
          ...[script, command, path.join(folder, 'x.npy'), to],
          ...files,
        ])
      : done(`${command} in ${engine}`, process.execPath, [
          ...['--import', 'tsx', runner, engine, command, inputs, shape, to],
          ...files,
        ]);
  const ran: { readonly one: Exported; readonly mb: number; readonly outputs: Float32Array }[] = [];
  for (const one of own) {
    const text = await start('outputs', out, [one.file]);
    if (text === undefined) continue;
    const bytes = new Uint8Array(readFileSync(out));
    const outputs = isPython
      ? Float32Array.from(readNpy(bytes, { name: out }).data as Float32Array)
      : new Float32Array(bytes.buffer);
    ran.push({ one, mb: lastLine<{ mb: number }>(text).mb, outputs });
  }
  const text = await start(
    'turns',
    String(rounds),
    ran.map(({ one }) => one.file),
  );
  if (text === undefined) return measured;
  const { times } = lastLine<{ times: number[][] }>(text);
  for (const [i, { one, mb, outputs }] of ran.entries())
    add(one.name, outputs, times[i] ?? [], times[0] ?? [], mb);
  return measured;
}

/** The float graph and the conversion beside tf2onnx's. */
async function besideTf2onnx(file: string, folder: string): Promise<void> {
  const [ours, theirs] = [path.join(folder, 'float.onnx'), path.join(folder, 'peers/tf2onnx.onnx')];
  if (!existsSync(ours) || !existsSync(theirs)) return;
  const turns = await done('turns', peers, [
    script,
    'turns',
    path.join(folder, 'x.npy'),
    '500',
    ours,
    theirs,
  ]);
  if (turns !== undefined) {
    const { times, nodes } = lastLine<Record<'times', [number[], number[]]> & { nodes: number[] }>(turns);
    const [own, other] = times;
    const rounds = own.map((ms, i) => ms / (other[i] as number));
    console.log(
      `float graph beside tf2onnx's: ${nodes.join(' and ')} nodes; in turns ${median(own).toFixed(3)} and ${median(other).toFixed(3)} ms, ratio ${median(rounds).toFixed(3)}, of the shortest ${ratio(Math.min(...own), Math.min(...other))}`,
    );
  }
  const times: [number[], number[], number[]] = [[], [], []];
  const commands: readonly (readonly string[])[] = [
    [process.execPath, cli, 'convert', file, '-o', path.join(folder, 'again.onnx'), '--quiet'],
    [peers, script, 'keras', file, path.join(folder, 'again2.onnx')],
    [peers, script, 'onnx', path.join(folder, 'peers/saved'), path.join(folder, 'again3.onnx')],
  ];
  for (let round = 0; round < 3; round++)
    for (const [i, [command = '', ...args]] of commands.entries()) {
      const start = performance.now();
      await done('conversion', command, args);
      times[i]?.push((performance.now() - start) / 1000);
    }
  const [own, keras, saved] = times.map(median) as [number, number, number];
  console.log(
    `conversion to ONNX as a whole process: ${own.toFixed(2)} s; by way of tf2onnx from the same file ${keras.toFixed(1)} s, ${ratio(keras, own, 1)} times as long; tf2onnx alone, from a SavedModel that is there already, ${saved.toFixed(1)} s, ${ratio(saved, own, 1)} times`,
  );
}

for (const file of models) {
  const folder = mkdtempSync(path.join(tmpdir(), 'bitnibble-exports-'));
  try {
    const samples = await samplesFor(file);
    writeFileSync(path.join(folder, 'x.f32'), new Uint8Array(samples.values.buffer));
    writeFileSync(
      path.join(folder, 'x.npy'),
      writeNpy({ data: samples.values, shape: [samples.count, ...samples.shape] }),
    );
    const all = [
      ...(await ownExports(file, folder)),
      ...(await peerExports(file, folder, path.join(folder, 'x.npy'))),
    ];
    const about = flags.data
      ? `accuracy on ${samples.count} images, calibrated on ${CALIBRATION}`
      : `how often the class is the float network's, ${samples.count} random inputs`;
    console.log(
      `\n${path.basename(file)}: ${about}; median ms of ${rounds} runs in turns; the shortest beside the float model's; MB that model and inference add`,
    );
    const found: Map<string, Measured>[] = [];
    for (const engine of ENGINES) {
      const own = await measure(engine, all, samples, folder);
      for (const [name, one] of own) process.stderr.write(`${engine}: ${name}: ${shown(one)}\n`);
      found.push(own);
    }
    const rows = all.map((one) => {
      const bytes = statSync(one.file).size;
      return [
        ...[one.name, bytes.toLocaleString('en-US')],
        one.packed === undefined ? '' : ratio(bytes, statSync(one.packed).size),
        ...found.map((of) => {
          const own = of.get(one.name);
          return own ? shown(own) : '';
        }),
      ];
    });
    console.log(table(['Model', 'Bytes', 'Of packed', ...ENGINES], rows));
    if (!flags.quick) await besideTf2onnx(file, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
for (const what of missing) console.log(`not measured: ${what}`);
