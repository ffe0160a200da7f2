// The command line on the way in and out: files of the wrong kind, several files, pipes, sizes, early refusals, Ctrl-C.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { zipSync } from 'fflate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { writeNpy } from '../../src/formats/npy.js';
import { loadKernels, openPacked, writePacked } from '../../src/index.js';
import { openKeras } from '../../src/keras/index.js';
import { openModel } from '../../src/node/models.js';
import { cliArguments, need, root, runCli, runPython, tempDir } from '../support/needs.js';

const model = path.join(root, 'test/fixtures/keras/keras3_sequential.h5');
const digits = path.join(root, 'examples/digits');
const digitsModel = path.join(digits, 'digits.h5');
const folder = tempDir();
const at = (name: string) => path.join(folder, name);
const int4 = ['--scheme', 'int4'];

/** With bytes as its input and output. */
function piped(args: readonly string[], input: Uint8Array) {
  const options = { input, maxBuffer: 2 ** 26, timeout: 300_000 };
  const { status, stdout, stderr } = spawnSync(process.execPath, [...cliArguments(), ...args], options);
  return { status, stdout: new Uint8Array(stdout), stderr: stderr.toString() };
}

async function done(...args: string[]) {
  const result = await runCli(args);
  assert.is(result.status, 0, result.stderr);
  return result;
}

const packed = at('packed.safetensors');
test.before(async () => {
  await done('quantize', model, '-o', packed, ...int4, '--quiet');
});

test('a packed file is called that, by every command that wants the float model', async () => {
  for (const [name, ...rest] of [
    ['quantize', '-o', at('x.safetensors'), ...int4],
    ['calibrate', '-o', at('x.safetensors'), ...int4, '--data', digits],
    ['sensitivity', '--data', digits],
    ['compare', '--data', digits],
    ['report', '--data', digits, '-o', at('x.html')],
  ] as [string, ...string[]][]) {
    const { status, stdout } = await runCli([name, packed, ...rest, '--json']);
    assert.is(status, 1);
    const { code, message } = JSON.parse(stdout).error;
    assert.is(code, 'already-packed');
    assert.match(message, /packed\.safetensors: already packed/);
    assert.match(message, `${name} takes the Keras file`);
  }
});

test('what else is no Keras file is called what it is', async () => {
  const messageOf = async (...bytes: number[]) => {
    const file = Uint8Array.from({ length: 200 }, (_, i) => bytes[i] ?? 0x20);
    return openKeras(file, 'file').then(
      () => '',
      (error) => (error as Error).message,
    );
  };
  assert.match(await messageOf(0x80, 4, 0x95), 'a pickle');
  assert.match(await messageOf(0x78, 0x9c, 0x95), 'a pickle or joblib');
  assert.match(await messageOf(0x80, 0x95, 4), 'its content is neither');
  assert.match(await messageOf(0x78, 0x79), 'its content is neither');
  // A header of 128 or 120 bytes begins as a pickle or zlib data would.
  const text = (json: string) => [...new TextEncoder().encode(json)];
  for (const length of [0x80, 0x78]) {
    const size = [length, 0, 0, 0, 0, 0, 0, 0];
    const pad = (json: string) => text(json.padEnd(length));
    assert.match(await messageOf(...size, ...pad('{}')), 'a safetensors file of another library');
    const own = pad('{"__metadata__":{"format":"bitnibble"}}');
    assert.match(await messageOf(...size, ...own), 'already packed');
  }
});

test('a packed file whose header begins with a space and a brace is no list of shards', async () => {
  const kernels = await loadKernels();
  const source = openPacked(readFileSync(packed), kernels);
  const plain = Buffer.concat([...writePacked(source)]);
  const own = plain.readUInt32LE(0);
  // Spaces may follow the JSON of a header: 0x7b20 bytes of it.
  const padded = Buffer.concat([
    Buffer.from([0x20, 0x7b, 0, 0, 0, 0, 0, 0]),
    plain.subarray(8, 8 + own),
    Buffer.alloc(0x7b20 - own, ' '),
    plain.subarray(8 + own),
  ]);
  writeFileSync(at('padded.safetensors'), padded);
  const { model: opened, close } = await openModel(at('padded.safetensors'), kernels);
  assert.equal(opened.weights.length, source.weights.length);
  close();
  const { status, stderr } = await runCli(['quantize', at('padded.safetensors'), '-o', at('x.h5'), ...int4]);
  assert.is(status, 1);
  assert.match(stderr, 'already packed');
});

test("sizes are the files' own", async () => {
  const shards = path.join(root, 'test/fixtures/containers/shards.weights.json');
  const shardFiles = (name: string) =>
    readdirSync(path.dirname(name)).filter((file) => file.startsWith(path.basename(name, '.weights.json')));
  const total = (name: string) =>
    shardFiles(name).reduce((sum, file) => sum + statSync(path.join(path.dirname(name), file)).size, 0);
  mkdirSync(at('shards'));
  for (const [input, output, before, after] of [
    [model, at('size.safetensors'), () => statSync(model).size, () => statSync(at('size.safetensors')).size],
    [model, at('size.h5'), () => statSync(model).size, () => statSync(at('size.h5')).size],
    [shards, at('shards/new.weights.json'), () => total(shards), () => total(at('shards/new.weights.json'))],
  ] as const) {
    const { stdout } = await done('quantize', input, '-o', output, ...int4, '--json');
    const { inputBytes, outputBytes } = JSON.parse(stdout);
    assert.equal([inputBytes, outputBytes], [before(), after()]);
    const people = await done('quantize', input, '-o', output, ...int4);
    assert.match(people.stdout, `wrote ${output}, ${after().toLocaleString('en-US')} bytes; ${input} has `);
    assert.match(people.stdout, `has ${before().toLocaleString('en-US')}`);
  }
});

test('a packed model in shards: written, looked at, run, and refused without one of them', async () => {
  mkdirSync(at('in-shards'));
  const [single, index] = [at('in-shards/one.safetensors'), at('in-shards/m.safetensors.index.json')];
  await done('quantize', digitsModel, '-o', single, ...int4);
  const { stdout } = await done(
    'quantize',
    digitsModel,
    '-o',
    at('in-shards/m.safetensors'),
    ...int4,
    '--shard-size',
    '6KB',
    '--json',
  );
  const written = JSON.parse(stdout);
  const names = readdirSync(at('in-shards')).filter((name) => /^m-\d{5}-of-\d{5}\.safetensors$/.test(name));
  assert.ok(
    names.length > 2 && names.every((name) => name.endsWith(`-of-0000${names.length}.safetensors`)),
    `${names}`,
  );
  const size = [index, ...names.map((name) => at(`in-shards/${name}`))].reduce(
    (sum, name) => sum + statSync(name).size,
    0,
  );
  assert.equal([written.output, written.outputBytes], [index, size]);
  const inspected = JSON.parse((await done('inspect', index, '--json')).stdout);
  const asOne = JSON.parse((await done('inspect', single, '--json')).stdout);
  assert.is(inspected.bytes, size);
  assert.equal({ ...inspected, file: '', bytes: 0 }, { ...asOne, file: '', bytes: 0 });
  const images = at('in-shards/images.npy');
  writeFileSync(
    images,
    writeNpy({ shape: [2, 28, 28], data: Float32Array.from({ length: 1568 }, (_, i) => (i % 31) / 31) }),
  );
  const outputs = [single, index].map((file) => `${file}.npy`);
  for (const [i, file] of [single, index].entries())
    await done('run', file, '--input', images, '--quiet', '-o', outputs[i] as string);
  assert.equal(readFileSync(outputs[1] as string), readFileSync(outputs[0] as string));
  rmSync(at(`in-shards/${names[1]}`));
  for (const command of [
    ['inspect', index],
    ['run', index, '--input', images],
  ]) {
    const { status, stderr } = await runCli(command);
    assert.is(status, 1);
    assert.match(stderr, `${names[1]}: cannot be read: there is no such file`);
  }
  const again = await runCli(['quantize', index, '-o', single, ...int4]);
  assert.match(again.stderr, `${index}: already packed`);
  for (const [args, text] of [
    [['-o', at('x.h5'), '--shard-size', '1GB'], '--shard-size needs a packed output'],
    [
      ['-o', at('x.safetensors'), '--shard-size', '1XB'],
      '--shard-size expected bytes of at least 1, as 2GB or 500MiB, got 1XB',
    ],
    [['-o', at('x.safetensors'), '--shard-size', '0'], 'got 0'],
  ] as const) {
    const { status, stderr } = await runCli(['quantize', digitsModel, ...args, ...int4]);
    assert.is(status, 2);
    assert.match(stderr, text);
  }
});

test('a file that is there is named before it is replaced', async () => {
  const out = at('again.safetensors');
  const first = await done('quantize', model, '-o', out, ...int4);
  assert.not.match(first.stderr, 'is replaced');
  const second = await done('quantize', model, '-o', out, ...int4);
  assert.match(second.stderr, `${out} is there already and is replaced`);
  const { stdout, stderr } = await done('quantize', model, '-o', out, ...int4, '--json');
  assert.equal([JSON.parse(stdout).replaces, stderr], [true, '']);
  assert.is((await done('quantize', model, '-o', out, ...int4, '--quiet')).stderr, '');
});

test('several files: one that is no good does not keep the others', async () => {
  mkdirSync(at('many'));
  mkdirSync(at('out'));
  for (const name of ['a.h5', 'c.h5']) copyFileSync(model, at(`many/${name}`));
  writeFileSync(at('many/b.h5'), 'no model');
  const args = ['quantize', at('many/*.h5'), '-o', at('out'), ...int4];
  const { status, stdout, stderr } = await runCli([...args, '--json']);
  assert.is(status, 1);
  assert.match(stderr, /b\.h5: expected a Keras file[\s\S]*1 of 3 files were not quantized/);
  const { files } = JSON.parse(stdout);
  assert.equal(
    files.map((file: { input: string; error?: { code: string } }) => [
      path.basename(file.input),
      file.error?.code,
    ]),
    [
      ['a.h5', undefined],
      ['b.h5', 'not-hdf5'],
      ['c.h5', undefined],
    ],
  );
  assert.equal(readdirSync(at('out')).sort(), ['a.safetensors', 'c.safetensors']);
  assert.equal(readFileSync(at('out/a.safetensors')), readFileSync(packed));
  const named = ['quantize', at('many/a.h5'), at('many/c.h5'), '-o', at('out/{name}.b.h5'), ...int4];
  const people = await done(...named);
  assert.match(people.stdout, /many\/a\.h5\n[\s\S]*many\/c\.h5\n/);
  assert.ok(readdirSync(at('out')).includes('c.b.h5'));
});

test('pipes: a model comes in, a packed file goes out, and nothing else', async () => {
  const { status, stdout, stderr } = piped(['quantize', '-', '-o', '-', ...int4], readFileSync(model));
  assert.is(status, 0, stderr);
  assert.equal(stdout, new Uint8Array(readFileSync(packed)));
  assert.match(stderr, /wrote to standard output, [\d,]+ bytes; standard input has/);
  const quiet = piped(['quantize', '-', '-o', at('in.safetensors'), ...int4, '--quiet'], readFileSync(model));
  assert.equal([quiet.status, quiet.stdout.length, quiet.stderr], [0, 0, '']);
  assert.equal(readFileSync(at('in.safetensors')), readFileSync(packed));
  for (const [status2, pattern, args, input] of [
    [2, /--json and --output - exclude each other/, ['-', '-o', '-', '--json'], 'x'],
    [2, /a model on standard input can be packed alone/, ['-', '-o', at('in.h5')], 'x'],
    [2, /--output - takes one file/, [model, model.replace('sequential', 'nested'), '-o', '-'], 'x'],
    [1, /standard input: nothing came/, ['-', '-o', at('in.safetensors')], ''],
    [1, /standard input: expected a Keras file/, ['-', '-o', at('in.safetensors')], 'no model'],
  ] as const) {
    const refused = piped(['quantize', ...args, ...int4], new TextEncoder().encode(input));
    assert.is(refused.status, status2, refused.stderr);
    assert.match(refused.stderr, pattern);
  }
});

test('pipes: other commands take a model from standard input, Keras or packed', () => {
  const bytes = readFileSync(digitsModel);
  const small = ['--data', digits, '--limit', '20'];
  const inspected = piped(['inspect', '-', '--json'], readFileSync(packed));
  assert.is(JSON.parse(Buffer.from(inspected.stdout).toString()).bytes, statSync(packed).size);
  const text = (result: { stdout: Uint8Array }) => Buffer.from(result.stdout).toString();
  assert.match(text(piped(['inspect', '-'], bytes)), /^digits .*, standard input, [\d,]+ bytes/);
  const converted = piped(['convert', '-', '-o', at('piped/model.json')], bytes);
  assert.is(converted.status, 0, converted.stderr);
  assert.ok(readdirSync(at('piped')).includes('model.json'));
  const evaluated = piped(['evaluate', '-', ...small], bytes);
  assert.match(text(evaluated), /^standard input on [\s\S]*top-1 accuracy/);
  const samples = ['--data', path.join(digits, 'calibration-images-idx3-ubyte.gz'), '--limit', '16'];
  const calibrated = piped(['calibrate', '-', '-o', '-', ...int4, ...samples], bytes);
  assert.is(calibrated.status, 0, calibrated.stderr);
  assert.match(calibrated.stderr, /wrote to standard output, [\d,]+ bytes; standard input has 330,800/);
  const again = piped(['evaluate', '-', ...small, '--json'], calibrated.stdout);
  assert.ok(JSON.parse(text(again)).top1 > 0.8, again.stderr);
  const refusals: [RegExp, string[]][] = [
    [/report expected a file by its name/, ['report', '-', ...small, '-o', at('never.html')]],
    [/standard input can be packed alone/, ['calibrate', '-', ...small, ...int4, '-o', at('never.h5')]],
    [/exclude each other/, ['calibrate', '-', ...small, ...int4, '-o', '-', '--json']],
  ];
  for (const [pattern, args] of refusals) {
    const refused = piped(args, bytes);
    assert.is(refused.status, 2, refused.stderr);
    assert.match(refused.stderr, pattern);
  }
});

test('what can be known at the start is said at the start', async () => {
  const images = path.join(digits, 'calibration-images-idx3-ubyte.gz');
  const unlabelled = ['--data', images];
  const few = [...unlabelled, '--limit', '16'];
  const out = ['-o', at('never.safetensors')];
  const before = readdirSync(folder).sort();
  for (const [status, pattern, isLoaded, ...args] of [
    [1, /the data has no labels/, false, 'evaluate', digitsModel, ...unlabelled],
    [1, /the data has no labels/, false, 'compare', digitsModel, ...unlabelled],
    [1, /got no labels/, false, 'sensitivity', digitsModel, ...few, '--max-drop', '0.1'],
    [1, /expects inputs of shape \[8,8,2\], the data/, false, 'calibrate', model, ...few, ...int4, ...out],
    [
      2,
      /--mean expected 1 number, got 2/,
      false,
      'calibrate',
      digitsModel,
      ...few,
      ...int4,
      ...out,
      '--mean',
      '1,2',
    ],
    [
      2,
      /--output expected a name ending in .* \(as .*digits\.h5\)/,
      false,
      'calibrate',
      digitsModel,
      ...few,
      ...int4,
      '-o',
      at('never.keras'),
    ],
    [
      2,
      /--output expected a name ending in .* \(as .*sequential\.h5\)/,
      false,
      'quantize',
      model,
      ...int4,
      '-o',
      at('never.keras'),
    ],
    [
      1,
      /the folder .*no does not exist/,
      false,
      'calibrate',
      digitsModel,
      ...few,
      ...int4,
      '-o',
      at('no/x.h5'),
    ],
    [
      1,
      /the folder .*no does not exist/,
      false,
      'sensitivity',
      digitsModel,
      ...few,
      '--bits',
      '2',
      '-o',
      at('no/x.json'),
    ],
    [
      1,
      /a part of the path is not a folder/,
      false,
      'report',
      digitsModel,
      '--data',
      digits,
      '-o',
      path.join(packed, 'x.html'),
    ],
    [
      1,
      /a part of the path is not a folder/,
      false,
      'convert',
      digitsModel,
      '-o',
      path.join(packed, 'x', 'model.json'),
    ],
    // These need the network, but no measurement.
    [
      1,
      /a budget of \d+ bytes .* expected at least/,
      true,
      'sensitivity',
      digitsModel,
      ...few,
      '--bits',
      '0.5',
    ],
    [
      1,
      /packed file of 900 bytes: expected at least/,
      true,
      'sensitivity',
      digitsModel,
      ...few,
      '--target-bytes',
      '900',
    ],
  ] as [number, RegExp, boolean, ...string[]][]) {
    const result = await runCli([...args, '-v']);
    assert.is(result.status, status, `${args.join(' ')}: ${result.stderr}`);
    assert.match(result.stderr, pattern);
    assert.is(/TensorFlow\.js loaded/.test(result.stderr), isLoaded, `${args.join(' ')}: ${result.stderr}`);
    assert.is(result.stdout.includes('Divergence'), false);
  }
  assert.equal(readdirSync(folder).sort(), before);
});

test('a model or recipe that cannot do it is named before data is opened', async () => {
  const custom = path.join(root, 'test/fixtures/containers/custom_layer.keras');
  const int8 = path.join(root, 'test/fixtures/containers/int8.keras');
  const nowhere = ['--data', at('nowhere.npz')];
  const recipe = (name: string, value: unknown) => {
    writeFileSync(at(name), JSON.stringify(value));
    return ['--recipe', at(name)];
  };
  const none = recipe('none.json', { rules: [{ layer: '*', keep: true }] });
  const stray = recipe('stray.json', { rules: [{ layer: 'nobody', scheme: 'int4' }] });
  const out = ['-o', at('never.safetensors')];
  for (const [pattern, ...args] of [
    ...['evaluate', 'compare', 'sensitivity'].map((name) => [
      /the layer block \(Custom>Block\)/,
      name,
      custom,
    ]),
    [/the layer block \(Custom>Block\)/, 'calibrate', custom, ...int4, ...out],
    [/the layer block \(Custom>Block\)/, 'report', custom, '-o', at('never.html')],
    [/dense\/kernel was quantized by Keras \(int8\)/, 'calibrate', int8, ...int4, '-o', at('never.keras')],
    [/none\.json: expected weights of .* got none/, 'calibrate', model, ...none, ...out],
    [/rule 1 of the recipe .* matches no weight/, 'calibrate', model, ...stray, ...out],
  ] as [RegExp, ...string[]][]) {
    const { status, stderr } = await runCli([...args, ...nowhere]);
    assert.is(status, 1, `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, pattern);
    assert.not.match(stderr, 'nowhere.npz');
  }
});

test('labels that the model has no classes for are named before TensorFlow.js is loaded', async () => {
  const x = writeNpy({ shape: [20, 28, 28], data: new Uint8Array(20 * 784), dtype: 'uint8' });
  const y = writeNpy({ shape: [20], data: Uint8Array.from({ length: 20 }, (_, i) => i), dtype: 'uint8' });
  writeFileSync(at('labels.npz'), zipSync({ 'x.npy': x, 'y.npy': y }));
  const data = ['--data', at('labels.npz'), '-v'];
  for (const args of [
    ['evaluate', digitsModel],
    ['compare', digitsModel],
    ['sensitivity', digitsModel, '--limit', '8', '--max-drop', '0.1'],
  ]) {
    const { status, stderr } = await runCli([...args, ...data]);
    assert.is(status, 1, stderr);
    assert.match(stderr, /labels\.npz.*: label 1\d, the model has 10 classes/);
    assert.not.match(stderr, 'TensorFlow.js loaded');
  }
  assert.is((await runCli(['evaluate', digitsModel, ...data, '--limit', '10'])).status, 0);
});

test('evaluate and compare warn of inputs that look unscaled, as calibrate does', async () => {
  const args = ['evaluate', digitsModel, '--data', digits, '--limit', '20'];
  assert.not.match((await done(...args)).stderr, 'unscaled');
  const unscaled = await done(...args, '--scale', '1');
  assert.match(unscaled.stderr, /inputs reach 255: they look unscaled/);
  const { stdout } = await done(...args, '--scale', '1', '--json');
  assert.match(JSON.parse(stdout).warnings[0], 'unscaled');
});

test('token ids: no warning, no factor, and what tuning cannot do with them is said before calibration', async () => {
  const tagger = path.join(root, 'test/fixtures/tfjs/lstm_tagger.h5');
  const { weights, close } = await openModel(tagger, await loadKernels()).then(
    ({ model: own, close: end }) => ({
      weights: own.weights,
      close: end,
    }),
  );
  const words = weights.find(({ className }) => className === 'Embedding')?.shape[0] ?? 0;
  close();
  // As bytes, which images are multiplied by 1/255 in.
  const ids = Uint8Array.from({ length: 70 * 7 }, (_, i) => i % words);
  const x = writeNpy({ shape: [70, 7], data: ids, dtype: 'uint8' });
  writeFileSync(at('ids.npz'), zipSync({ 'x.npy': x }));
  const args = ['calibrate', tagger, '--data', at('ids.npz'), ...int4, '-o', at('ids.safetensors')];
  const { stdout, stderr } = await done(...args);
  assert.match(stdout, '70 samples of [7], inputs x 1 (by default)');
  assert.not.match(stderr, 'unscaled');
  const refused = await runCli([...args, '--tune', '2', '--augment', 'flip']);
  assert.is(refused.status, 1);
  assert.match(refused.stderr, 'expected images to flip, got samples of shape [7]');
  assert.not.match(refused.stdout, 'Lost at its outputs');
});

test('--verbose says each step, and where an error comes from', async () => {
  const { stderr, stdout } = await done(
    'quantize',
    model,
    '-o',
    at('verbose.safetensors'),
    ...int4,
    '-v',
    '--json',
  );
  assert.match(stderr, /^\[\d+\.\d\d s\] .*keras3_sequential\.h5: h5, \d+ layers, opened$/m);
  assert.is(JSON.parse(stdout).output, at('verbose.safetensors'));
  const failed = await runCli(['inspect', at('nowhere.h5'), '-v']);
  assert.match(failed.stderr, /caused by Error: ENOENT/);
});

need(test, 'python')('Ctrl-C ends with status 130 and leaves the terminal as it was', async () => {
  const before = readdirSync(folder).sort();
  const code = `
import json, os, pty, select, sys, time
args = json.loads(sys.argv[1])
pid, fd = pty.fork()
if pid == 0:
    os.execvpe(args[0], args, {**os.environ, "TERM": "xterm"})
seen, sent, end = b"", False, time.time() + 240
while time.time() < end:
    ready, _, _ = select.select([fd], [], [], 1)
    if not ready: continue
    try: data = os.read(fd, 65536)
    except OSError: break
    if not data: break
    seen += data
    if not sent and b"layers |" in seen:
        os.write(fd, b"\\x03")
        sent = True
_, status = os.waitpid(pid, 0)
print(json.dumps([sent, os.waitstatus_to_exitcode(status), seen.decode("utf8", "replace")]))
`;
  const data = ['--data', path.join(digits, 'calibration-images-idx3-ubyte.gz')];
  const args = [process.execPath, ...cliArguments(), 'calibrate', digitsModel, ...data, ...int4];
  const printed = await runPython(code, [JSON.stringify([...args, '-o', at('stopped.safetensors')])]);
  const [sent, status, seen] = JSON.parse(printed) as [boolean, number, string];
  assert.ok(sent, seen);
  assert.is(status, 130, seen);
  const last = (sequence: string) => seen.lastIndexOf(sequence);
  assert.ok(last('\x1b[?25h') > last('\x1b[?25l'), 'the cursor is shown');
  assert.ok(last('\x1b[?7h') > last('\x1b[?7l'), 'lines wrap');
  assert.equal(readdirSync(folder).sort(), before);
});

test.run();
