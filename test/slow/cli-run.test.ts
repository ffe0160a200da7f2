// run, bench, inspect and --backend bitnibble from the command line.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readNpy, writeNpy } from '../../src/formats/npy.js';
import { openNpz, writeNpz } from '../../src/formats/npz.js';
import { testDigits } from '../runtimes/support/digits.js';
import { fakeKeras } from '../support/h5.js';
import { cliArguments, root, runCli, tempDir } from '../support/needs.js';
import { greyPng } from '../support/png.js';
import { fileOf, folder as fixtures } from '../tfjs/support.js';

const folder = tempDir();
const at = (name: string) => path.join(folder, name);
const digits = path.join(root, 'examples/digits');
const model = path.join(digits, 'digits.h5');
const packed = at('digits.safetensors');
const { pixels, labels } = testDigits(30);

const ok = async (...args: string[]) => {
  const result = await runCli(args);
  assert.is(result.status, 0, result.stderr);
  return result;
};

/** A model with a layer that nobody knows. */
const custom = at('custom.h5');

test.before(async () => {
  const weights = [{ name: 'mixing', shape: [4, 3], data: new Float32Array(12) }];
  writeFileSync(custom, await fakeKeras([{ name: 'mine', className: 'MyLayer', weights }]));
  await ok('quantize', model, '-o', packed, '--scheme', 'int4');
  writeFileSync(at('x.npy'), writeNpy({ shape: [30, 28, 28], data: pixels }));
});

test('run: classes for people, values in JSON, arrays in files', async () => {
  const people = await ok('run', packed, '--input', at('x.npy'));
  assert.match(people.stdout, /30 samples, inputs x 1\/255 \(by default\)/);
  assert.match(people.stdout, 'and 10 samples more');
  const { outputs, top } = JSON.parse((await ok('run', packed, '-i', at('x.npy'), '--json')).stdout);
  assert.equal(outputs[0].shape, [30, 10]);
  const answers = top.map(([best]: [{ class: number }]) => best.class);
  const right = labels.filter((label, i) => label === answers[i]).length;
  assert.ok(right >= 29, `${right} of 30`);
  const first = at('one.npy');
  writeFileSync(first, writeNpy({ shape: [28, 28], data: pixels.slice(0, 784) }));
  const out = at('y.npy');
  const said = await ok('run', packed, '-i', at('x.npy'), '-o', out, '--weights', 'packed');
  assert.match(said.stdout, /wrote .*y\.npy/);
  const saved = readNpy(readFileSync(out));
  assert.equal([saved.dtype, ...saved.shape], ['float32', 30, 10]);
  assert.equal([...(saved.data as Float32Array)], outputs[0].values.map(Math.fround));
  const again = await ok('run', packed, '-i', first, '-o', at('y.npz'), '--json');
  assert.is(JSON.parse(again.stdout).samples, 1);
  const archive = openNpz(readFileSync(at('y.npz')));
  assert.equal([...(archive.read('digit').data as Float32Array)], [...saved.data.slice(0, 10)].map(Number));
});

test('run: an image gives what its pixels give, and another size is refused', async () => {
  const digit = pixels.slice(0, 784);
  writeFileSync(at('digit.png'), greyPng(28, 28, digit));
  writeFileSync(at('digit.npy'), writeNpy({ shape: [28, 28], data: digit }));
  const valuesOf = async (input: string) => {
    const { outputs, preprocessing } = JSON.parse(
      (await ok('run', packed, '-i', at(input), '--json')).stdout,
    );
    assert.is(preprocessing, 'inputs x 1/255 (by default)');
    assert.is(outputs[0].values.length, 10);
    return outputs[0].values;
  };
  assert.equal(await valuesOf('digit.png'), await valuesOf('digit.npy'));
  writeFileSync(at('wide.png'), greyPng(56, 14, digit));
  const { status, stderr } = await runCli(['run', packed, '-i', at('wide.png')]);
  assert.is(status, 1);
  assert.match(stderr, /the model expects 28 x 28 pixels, the image has 56 x 14/);
});

test('run, bench: a model from standard input', () => {
  for (const args of [
    ['run', '-', '-i', at('x.npy'), '--json'],
    ['bench', '-', '--runs', '3', '--json'],
  ]) {
    const options = { input: readFileSync(packed), maxBuffer: 2 ** 26, timeout: 300_000 };
    const done = spawnSync(process.execPath, [...cliArguments(), ...args], options);
    assert.is(done.status, 0, done.stderr.toString());
    assert.type(JSON.parse(done.stdout.toString()), 'object');
  }
});

test('run: a Keras file of several inputs gives what Keras gave', async () => {
  const name = 'graph_dictionaries';
  const file = openNpz(readFileSync(path.join(fixtures, `${name}.npz`)));
  const inspected = JSON.parse((await ok('inspect', fileOf(name), '--json')).stdout);
  assert.equal(inspected.runtime, { runs: true });
  const names = ['p', 'q'];
  const arrays = Object.fromEntries(names.map((own, i) => [own, file.read(`x${i}`)] as const));
  writeFileSync(at('in.npz'), writeNpz(arrays));
  const { outputs } = JSON.parse((await ok('run', fileOf(name), '-i', at('in.npz'), '--json')).stdout);
  const want = file.read('y0');
  assert.equal(outputs[0].shape, [...want.shape]);
  outputs[0].values.forEach((value: number, i: number) => {
    const expected = Number(want.data[i]);
    assert.ok(Math.abs(value - expected) < 1e-4 * Math.max(1, Math.abs(expected)), `${value}, ${expected}`);
  });
});

test('run: what does not fit is refused by name', async () => {
  const refused = async (status: number, pattern: RegExp, ...args: string[]) => {
    const result = await runCli(['run', ...args]);
    assert.is(result.status, status, result.stderr);
    assert.match(result.stderr, pattern);
    assert.is(result.stdout, '');
  };
  writeFileSync(at('odd.npy'), writeNpy({ shape: [3, 5], data: new Float32Array(15) }));
  writeFileSync(at('text.png'), 'no image');
  await refused(
    1,
    /digits\.safetensors and .*odd\.npy: the model expects \[28,28,1\]/,
    packed,
    '-i',
    at('odd.npy'),
  );
  await refused(1, /text\.png: expected an \.npy or \.npz file or a PNG/, packed, '-i', at('text.png'));
  await refused(1, /nowhere\.npy: cannot be read/, packed, '-i', at('nowhere.npy'));
  await refused(
    2,
    /--output expected a name ending in \.npy or \.npz/,
    packed,
    '-i',
    at('x.npy'),
    '-o',
    'y.csv',
  );
  await refused(2, /--weights expected decoded or packed/, packed, '-i', at('x.npy'), '--weights', 'half');
  await refused(1, /cannot run 2 layers: .*mine \(MyLayer\)/, custom, '-i', at('x.npy'));
});

test('bench: latency, layers and memory, for weights decoded and packed', async () => {
  const { results, runs } = JSON.parse((await ok('bench', packed, '--runs', '5', '--json')).stdout);
  assert.is(runs, 5);
  assert.equal(
    results.map(({ name }: { name: string }) => name),
    ['decoded once', 'packed'],
  );
  for (const { latency, layers, macs, macsPerSecond } of results) {
    assert.ok(latency.best > 0 && latency.best <= latency.p10 && latency.p10 <= latency.median);
    assert.ok(latency.median <= latency.p90);
    assert.ok(Math.abs(macsPerSecond - (1000 * macs) / latency.median) < 1);
    assert.ok(layers.some(({ kernels }: { kernels: string[] }) => kernels.includes('winograd')));
  }
  assert.ok(results[1].memory.weights < results[0].memory.weights);
  const people = await ok('bench', fileOf('lstm_tagger'), '--runs', '2');
  assert.match(people.stdout, /one sample of .*\[7\]|Bidirectional\/LSTM/);
});

test('inspect says what the runtime cannot run, and why', async () => {
  assert.match((await ok('inspect', packed)).stdout, "bitnibble's runtime can run it");
  const { runtime } = JSON.parse((await ok('inspect', custom, '--json')).stdout);
  assert.is(runtime.runs, false);
  assert.match(runtime.reason, /mine \(MyLayer\)/);
  assert.match((await ok('inspect', custom)).stdout, /bitnibble's runtime cannot run it: .*mine \(MyLayer\)/);
});

test('evaluate and compare with --backend bitnibble take no TensorFlow.js', async () => {
  const data = ['--data', digits, '--limit', '100'];
  const own = JSON.parse((await ok('evaluate', packed, ...data, '--backend', 'bitnibble', '--json')).stdout);
  const theirs = JSON.parse((await ok('evaluate', packed, ...data, '--backend', 'wasm', '--json')).stdout);
  assert.is(own.backend, 'bitnibble');
  assert.is(own.top1, theirs.top1);
  assert.ok(Math.abs(own.loss - theirs.loss) < 1e-3);
  const { rows, backend } = JSON.parse(
    (await ok('compare', model, '--data', digits, '--limit', '20', '--backend', 'bitnibble', '--json'))
      .stdout,
  );
  assert.is(backend, 'bitnibble');
  assert.is(rows.length, 16);
  const report = JSON.parse(
    (
      await ok(
        ...['report', model, '--data', digits, '--limit', '20', '--calibrate', 'none'],
        ...['--backend', 'bitnibble', '--json'],
      )
    ).stdout,
  );
  assert.is(report.reproduce.backend, 'bitnibble');
  assert.is('tfjs' in report.reproduce.versions, false);
});

test('calibrating needs the values between layers: TensorFlow.js only', async () => {
  const { status, stderr } = await runCli([
    ...['calibrate', model, '-o', at('c.safetensors'), '--scheme', 'int4', '--data', digits],
    ...['--backend', 'bitnibble'],
  ]);
  assert.is(status, 2);
  assert.match(stderr, /--backend expected node or wasm, got bitnibble/);
});

/** The options of Node.js under which another module, or none, stands for tfjs-node. */
function insteadOfNative(name: string, code: string | undefined): { NODE_OPTIONS: string } {
  const hook = `export async function resolve(name, context, next) {
    if (name !== '@tensorflow/tfjs-node') return next(name, context);
    ${
      code === undefined
        ? `throw Object.assign(new Error("Cannot find package '@tensorflow/tfjs-node'"), { code: 'ERR_MODULE_NOT_FOUND' });`
        : `return { url: ${JSON.stringify(`data:text/javascript,${encodeURIComponent(code)}`)}, shortCircuit: true };`
    }
  }`;
  writeFileSync(at(`${name}.mjs`), hook);
  writeFileSync(
    at(`${name}-register.mjs`),
    `import { register } from 'node:module'; register(${JSON.stringify(pathToFileURL(at(`${name}.mjs`)).href)});`,
  );
  return { NODE_OPTIONS: `--import ${pathToFileURL(at(`${name}-register.mjs`)).href}` };
}

test('where tfjs-node is missing the runtime answers; where it does not load, that is said', async () => {
  const args = ['evaluate', packed, '--data', digits, '--limit', '50', '--json'];
  const evaluate = async (env: { NODE_OPTIONS: string }) => {
    const { status, stderr, stdout } = await runCli(args, { env });
    assert.is(status, 0, stderr);
    const { backend, top1 } = JSON.parse(stdout);
    assert.is(backend, 'bitnibble');
    assert.ok(top1 > 0.9);
    return stderr;
  };
  assert.is(await evaluate(insteadOfNative('missing', undefined)), '');
  assert.is(
    await evaluate(insteadOfNative('broken', "throw new Error('no such add-on');")),
    "tfjs-node is not available (no such add-on); evaluating with bitnibble's own runtime\n",
  );
});

test.run();
