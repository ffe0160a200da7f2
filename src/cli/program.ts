import { Command } from 'commander';
import {
  backendOption,
  byteSize,
  choice,
  codingOptions,
  common,
  dataOptions,
  ending,
  partOption,
  positive,
  SCALES,
  SCHEMES,
  scaleOptions,
  some,
  upTo,
  whole,
} from './options.js';
import { interruptibly, runs } from './runs.js';
import { leave } from './usage.js';

/** Steps of tuning unless told otherwise; `test/slow/cli.test.ts` holds it to the library's. */
const TUNING_STEPS = 300;
/** What chooses between rounded, calibrated and tuned; the same test compares it. */
const METRICS = ['divergence', 'accuracy', 'r2', 'mae'] as const;
const AUGMENTATIONS = ['flip', 'shift', 'cutmix'] as const;

/** Models by their files' names, or - for standard input. */
const KERAS = 'Keras .h5 or .keras; - for standard input';
const ANY_MODEL = 'Keras .h5 or .keras, or packed .safetensors; - for standard input';

function addInspect(program: Command): void {
  const command = program
    .command('inspect')
    .description('layers, shapes, parameters and what would be quantized')
    .argument(
      '<file>',
      'Keras .h5, .keras, .weights.h5 or .weights.json, or packed .safetensors; - for standard input',
    );
  runs(common(command), async () => (await import('./inspect.js')).inspect, [
    'inspect model.h5',
    'inspect model.safetensors --json',
  ]);
}

function addQuantize(program: Command): void {
  const command = program
    .command('quantize')
    .description('rounds the weights of Keras models to 1, 2 or 4 bits')
    .argument(
      '<files...>',
      'Keras .h5, .keras, .weights.h5 or .weights.json; quoted patterns such as "models/*.h5"; - for standard input',
    )
    .requiredOption(
      '-o, --output <file>',
      '.safetensors: packed codes and scales; .h5 or .keras: the same Keras file, decoded; a folder that is there, or a name with {name} in it, for several files; -: packed, to standard output',
    );
  codingOptions(command)
    .option(
      '--scale <rule>',
      'none, mean, lsq or hqq for binary (default: mean); lsq, absmax or hqq for int2 (default: lsq); absmax, lsq or hqq for int4 (default: absmax)',
      choice('--scale', SCALES),
    )
    .option(
      '--fold',
      'fold batch normalizations into the layers before them (default: into packed files, where no recipe is given and no scale serves a whole tensor)',
    )
    .option('--no-fold', 'leave batch normalizations as they are')
    .option(
      '--shard-size <size>',
      'packed output in shards of at most this many bytes of tensors, such as 2GB: the index NAME.safetensors.index.json and NAME-00001-of-0000N.safetensors beside it',
      byteSize('--shard-size'),
    )
    .option(
      '--shard <i/n>',
      'a part of the work for machines that share it: the weights of stretch i of n, written to a .part; merge makes the file of all parts',
      partOption('--shard'),
    )
    .option('--equalize', 'even out the ranges of layers that follow each other, for one scale per tensor');
  runs(common(command), async () => (await import('./quantize.js')).quantize, [
    'quantize model.h5 -o model.safetensors --scheme int4',
    'quantize model.keras -o same.keras --recipe recipe.json',
    'quantize "models/*.h5" -o packed/ --scheme int4 --scale lsq',
    'quantize a.h5 b.h5 -o "{name}-1bit.safetensors" --scheme binary',
    'quantize large.weights.json -o large.safetensors --scheme int4 --shard-size 2GB',
    'quantize large.h5 -o parts/2.part --scheme int4 --shard 2/4',
    'quantize - -o - --scheme int4 < model.h5 > model.safetensors',
  ]);
}

function addCalibrate(program: Command): void {
  const command = program
    .command('calibrate')
    .description(
      'fits 1, 2 or 4 bits to what each layer sees: far better than rounding, from unlabelled samples',
    )
    .argument('<files...>', `${KERAS}; quoted patterns such as "models/*.h5"`)
    .requiredOption(
      '-o, --output <file>',
      '.safetensors: packed; .h5 or .keras: the same Keras file, decoded; a folder that is there, or a name with {name} in it, for several files; -: packed, to standard output',
    );
  codingOptions(command)
    .option(
      '--tune [steps]',
      `then tune codes, scales and biases toward the float model's outputs (${TUNING_STEPS} steps)`,
      positive('--tune'),
    )
    .option(
      '--augment <list>',
      `images changed while tuning: ${AUGMENTATIONS.join(', ')} or none (default: flip,cutmix)`,
      some('--augment', AUGMENTATIONS, 'none'),
    )
    .option('--seed <n>', 'of the positions that are sampled', whole('--seed'), 0)
    .option(
      '--check <where...>',
      'samples that nothing is fitted to, on which the form to keep is chosen (default: an eighth as many as --limit, behind these or of these)',
    )
    .option(
      '--metric <name>',
      `what chooses on them: ${METRICS.join(', ')}; all but the first need labels (default: divergence)`,
      choice('--metric', METRICS),
    )
    .option('--store-ranges', 'packed output: largest activations too, for bench and for run --ranges stored')
    .option('--no-fold', 'leave batch normalizations as they are')
    .option(
      '--shard <i/n>',
      'every nth of the models from the ith on, into the folder --output, and a .part beside them, by which merge tells that all are there',
      partOption('--shard'),
    );
  const load = async () => (await import('./calibrate.js')).calibrate;
  runs(
    common(dataOptions(command, { split: 'train', limit: '2048', needsTensorFlow: true })),
    () => interruptibly(load),
    [
      'calibrate model.h5 -o one-bit.safetensors --scheme binary --data samples.npz',
      'calibrate model.h5 -o model.safetensors --scheme binary --tune --data cifar10',
      'calibrate model.h5 -o model.safetensors --recipe recipe.json --data samples.npz --limit 512',
      'calibrate model.h5 -o model.safetensors --scheme int2 --data train.npz --check test.npz --metric accuracy',
      'calibrate "models/*.h5" -o packed/ --scheme binary --data samples.npz --shard 2/4',
    ],
  );
}

function addSensitivity(program: Command): void {
  const command = program
    .command('sensitivity')
    .description(
      'each layer alone at each scheme: bytes saved, outputs moved; chooses a scheme for each layer',
    )
    .argument('<file>', KERAS)
    .option('--schemes <list>', 'schemes to try', some('--schemes', SCHEMES), [...SCHEMES])
    .option(
      '--bits <n>',
      'choose: this many bits per weight on average at most, scales included',
      upTo('--bits', 32),
    )
    .option(
      '--target-bytes <n>',
      'choose: a packed file of at most this many bytes',
      positive('--target-bytes'),
    )
    .option(
      '--max-drop <share>',
      'choose: the fewest bytes that lose at most this share of accuracy; needs labels',
      upTo('--max-drop', 1),
    )
    .option(
      '--check <n>',
      'samples behind those to calibrate with, for --max-drop (default: 2000)',
      positive('--check'),
    )
    .option(
      '-o, --output <file>',
      'writes the recipe chosen, for calibrate and quantize --recipe; with --shard: the .part, for merge',
    )
    .option(
      '--shard <i/n>',
      'part i of n of the layers alone, written to a .part; merge takes --bits for the recipe of all',
      partOption('--shard'),
    )
    .option('--no-fold', 'leave batch normalizations as they are');
  const load = async () => (await import('./sensitivity.js')).sensitivity;
  runs(
    common(dataOptions(command, { split: 'train', limit: '1024', needsTensorFlow: true })),
    () => interruptibly(load),
    [
      'sensitivity model.h5 --data samples.npz',
      'sensitivity model.h5 --data samples.npz --bits 1.5 -o recipe.json',
      'sensitivity model.h5 --data cifar10 --max-drop 0.01 -o recipe.json',
      'sensitivity model.h5 --data samples.npz --shard 2/4 -o layers/2.part',
    ],
  );
}

function addEvaluate(program: Command): void {
  const command = program
    .command('evaluate')
    .description('loss, top-1 and top-5 accuracy of a float or quantized model')
    .argument('<file>', ANY_MODEL);
  const load = async () => (await import('./evaluate.js')).evaluate;
  runs(common(dataOptions(command)), () => interruptibly(load), [
    'evaluate model.safetensors --data cifar10',
    'evaluate model.h5 --data test.npz --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225',
  ]);
}

function addCompare(program: Command): void {
  const command = program
    .command('compare')
    .description('one table: the float model and every scheme, with bytes and accuracy')
    .argument('<file>', KERAS)
    .option('--calibrate <where...>', 'training samples, labels not needed: adds calibrated rows')
    .option('--samples <n>', 'samples to calibrate with (default: 2048)', positive('--samples'))
    .option(
      '--tune [steps]',
      `with --calibrate: adds signs that are tuned as well (${TUNING_STEPS} steps), which takes minutes`,
      positive('--tune'),
    )
    .option('--shard <i/n>', 'every nth row from the ith on alone, written to a .part', partOption('--shard'))
    .option('-o, --output <file>', 'with --shard: the .part, for merge');
  const load = async () => (await import('./compare.js')).compareCommand;
  runs(common(dataOptions(command)), () => interruptibly(load), [
    'compare model.h5 --data cifar10',
    'compare model.h5 --data test.npz --calibrate train.npz --samples 512',
    'compare model.h5 --data cifar10 --shard 2/4 -o parts/2.part',
  ]);
}

function addReport(program: Command): void {
  const command = program
    .command('report')
    .description(
      'one self-contained page: accuracy against bytes, classes, layers, weights, activations, and how to get it again',
    )
    .argument('<file>', 'Keras .h5 or .keras')
    .option(
      '-o, --output <file>',
      '.html: the page; with --json alone it may be left out; with --shard: the .part, for merge',
      ending('--output', /\.(html?|part)$/i, '.html'),
    )
    .option(
      '--calibrate <where...>',
      'samples to calibrate with, labels not needed, or none (default: the training samples of --data, else some of its samples, which are not evaluated then)',
    )
    .option('--samples <n>', 'samples to calibrate with (default: 1024)', positive('--samples'))
    .option(
      '--within <share>',
      'accuracy that may be lost by the form that the first sentence names (default: 0.01, one point)',
      upTo('--within', 1),
    )
    .option(
      '--mixes <n>',
      'mixtures of schemes between the fewest bits and the most (default: 4)',
      whole('--mixes', 64),
    )
    .option('--seed <n>', 'of the positions that are sampled', whole('--seed'), 0)
    .option('--shard <i/n>', 'part i of n of the rows alone, written to a .part', partOption('--shard'));
  const load = async () => (await import('./report.js')).report;
  runs(common(dataOptions(command)), () => interruptibly(load), [
    'report model.h5 --data cifar10 -o report.html',
    'report model.h5 --data test.npz --calibrate none --json',
    'report model.h5 --data cifar10 --shard 2/4 -o rows/2.part',
  ]);
}

function addRun(program: Command): void {
  const command = program
    .command('run')
    .description("runs a model on given inputs with bitnibble's own runtime: no TensorFlow.js")
    .argument('<file>', ANY_MODEL)
    .requiredOption(
      '-i, --input <file>',
      '.npy: samples of the one input; .npz: an array for each input by its name; .png, .jpg: one image of the right size',
    )
    .option(
      '-o, --output <file>',
      '.npy: the one output; .npz: every output by its name',
      ending('--output', /\.np[yz]$/i, '.npy or .npz'),
    )
    .option('--top <n>', 'classes that are shown of each sample', positive('--top'), 5)
    .option(
      '--weights <how>',
      'decoded: once, when the model is loaded; packed: in every run, in less memory',
      choice('--weights', ['decoded', 'packed']),
      'decoded',
    )
    .option(
      '--ranges <which>',
      "sample: scales of activations follow from each sample; stored: from the file's calibration, where it has them",
      choice('--ranges', ['sample', 'stored']),
      'sample',
    );
  const load = async () => (await import('./run.js')).run;
  runs(common(scaleOptions(command)), () => interruptibly(load), [
    'run model.safetensors --input digit.png',
    'run model.h5 --input samples.npy -o scores.npy',
    'run two-inputs.safetensors --input both.npz --json',
  ]);
}

function addBench(program: Command): void {
  const command = program
    .command('bench')
    .description("latency, time of each layer and memory of a model in bitnibble's own runtime")
    .argument('<file>', ANY_MODEL)
    .option('--runs <n>', 'runs that are measured', whole('--runs', 1_000_000, 1), 100)
    .option('--length <n>', 'for lengths of inputs that are not fixed', whole('--length', 65_536, 1), 64);
  const load = async () => (await import('./bench.js')).bench;
  runs(common(command), () => interruptibly(load), [
    'bench model.safetensors',
    'bench model.h5 --runs 20 --json',
  ]);
}

function addConvert(program: Command): void {
  const command = program
    .command('convert')
    .description(
      'writes the model for another runtime: a TensorFlow.js layers model, ONNX, LiteRT or Keras with int4',
    )
    .argument('<file>', ANY_MODEL)
    .requiredOption(
      '-o, --output <file>',
      'DIR/model.json, with weight files beside it, or a name ending in .onnx, .tflite or .keras',
      ending('--output', /\.(json|onnx|tflite|keras)$/i, '.json, .onnx, .tflite or .keras'),
    )
    .option('--float16', 'model.json: weights as float16, half the bytes')
    .option(
      '--weights <how>',
      'ONNX: folded (low-bit in the file, float speed; default), low-bit (small in memory too) or float; LiteRT: exact (low-bit in the file; default), fast (integers of 8 bits, activations too) or float; Keras: keras-int4 (dense layers stay at 4 bits)',
      choice('--weights', ['folded', 'low-bit', 'exact', 'fast', 'float', 'keras-int4']),
    )
    .option('--batch <n>', 'LiteRT: samples at once (default: 1)', whole('--batch', 65_536, 1));
  runs(common(command), async () => (await import('./convert.js')).convert, [
    'convert model.safetensors -o web/model.json',
    'convert model.h5 -o web/model.json --float16',
    'convert model.safetensors -o model.onnx',
    'convert model.safetensors -o model.onnx --weights low-bit',
    'convert model.safetensors -o model.tflite',
    'convert model.safetensors -o model.tflite --weights fast',
    'convert model.safetensors -o same.keras --weights keras-int4',
  ]);
}

function addMerge(program: Command): void {
  const command = program
    .command('merge')
    .description('the output that one run would have given, of the parts that --shard wrote')
    .argument('<parts...>', 'all parts of one run in any order; quoted patterns such as "parts/*.part"')
    .requiredOption(
      '-o, --output <file>',
      'of quantize: .safetensors, or .safetensors.index.json for shards; of report: .html; of compare, sensitivity, calibrate and report: .json, as --json prints it',
    )
    .option('--shard-size <size>', 'of quantize: bytes of tensors of a shard', byteSize('--shard-size'))
    .option(
      '--bits <n>',
      'of sensitivity: -o is the recipe for this many bits per weight on average at most, scales included',
      upTo('--bits', 32),
    );
  runs(common(command), async () => (await import('./merge.js')).merge, [
    'merge "parts/*.part" -o model.safetensors',
    'merge a/1.part b/2.part -o model.safetensors.index.json --shard-size 2GB',
    'merge "rows/*.part" -o comparison.json',
    'merge "layers/*.part" -o recipe.json --bits 1.5',
  ]);
}

function addDemo(program: Command): void {
  const command = program
    .command('demo')
    .description('the comparison on a bundled model and data; needs no network');
  const load = async () => (await import('./demo.js')).demo;
  runs(common(backendOption(command)), () => interruptibly(load), ['demo', 'demo --json']);
}

/** The command line: every command with its options, and nothing of their work. */
export function buildProgram(version: string): Command {
  const program = new Command('bitnibble')
    .description('Quantizes trained Keras models to 1 bit or 4 bits per weight and measures what it costs.')
    .version(version)
    .configureOutput({ outputError: () => undefined })
    .exitOverride(leave)
    .addHelpText(
      'after',
      `
Examples:
  $ npx bitnibble demo
  $ npx bitnibble quantize model.h5 -o model.safetensors --scheme int4
  $ npx bitnibble evaluate model.safetensors --data cifar10
  $ npx bitnibble help quantize
`,
    );
  const adders = [addInspect, addQuantize, addCalibrate, addSensitivity, addEvaluate];
  for (const add of [...adders, addCompare, addReport, addRun, addBench, addConvert, addMerge, addDemo])
    add(program);
  return program;
}
