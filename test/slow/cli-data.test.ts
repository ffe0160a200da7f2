// Every row of the table of docs/DATA.md, as a command line has it, and data that no network could take.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { NumericArray } from '../../src/formats/ndarray.js';
import { writeNpy } from '../../src/formats/npy.js';
import { writeNpz } from '../../src/formats/npz.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { root, runCli, tempDir } from '../support/needs.js';

const folder = tempDir();
const at = (name: string) => path.join(folder, name);
const put = (name: string, bytes: Uint8Array | string) => {
  mkdirSync(path.dirname(at(name)), { recursive: true });
  writeFileSync(at(name), bytes);
  return at(name);
};
const fixture = (name: string) => path.join(root, 'test/fixtures/tfjs', `${name}.h5`);
const digits = path.join(root, 'examples/digits/digits.h5');
const int4 = ['--scheme', 'int4', '--json', '-o', at('out.safetensors')];

/** Of 70 samples an eighth is held back. */
const FITTED = 62;

const wave = (count: number, seed = 0) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin((i + 97 * seed) * 12.9898));
const array = (shape: number[], data: NumericArray) => ({ shape, data });

async function calibrated(model: string, ...data: string[]) {
  const { status, stdout, stderr } = await runCli(['calibrate', model, ...int4, '--data', ...data]);
  assert.is(status, 0, stderr);
  const { samples, divergence } = JSON.parse(stdout);
  assert.ok(divergence.calibrated >= 0 && divergence.dataFree >= 0);
  return { samples, stderr };
}

async function refused(pattern: RegExp, model: string, ...data: string[]) {
  const { status, stdout, stderr } = await runCli(['calibrate', model, ...int4, '--data', ...data]);
  assert.is(status, 1, stderr);
  assert.match(JSON.parse(stdout).error?.message ?? stderr, pattern);
}

test('images: a folder for each class', async () => {
  const images = path.join(root, 'examples/image-folder/images');
  const { samples } = await calibrated(digits, images);
  assert.ok(samples >= 10);
  const { status, stdout } = await runCli(['evaluate', digits, '--data', images, '--json']);
  assert.is(status, 0);
  assert.ok(JSON.parse(stdout).top1 > 0.9);
});

test('rows of a table', async () => {
  const x = wave(70 * 6);
  const rows = Array.from({ length: 70 }, (_, i) => [...x.subarray(6 * i, 6 * i + 6), i % 4].join(','));
  const table = put('table.csv', `a,b,c,d,e,f,label\n${rows.join('\n')}\n`);
  assert.is((await calibrated(fixture('dense_activations'), table)).samples, FITTED);
  await refused(
    /row 3, column b: expected a number/,
    fixture('dense_activations'),
    put('odd.csv', 'a,b\n1,2\n3,?'),
  );
});

test('sequences, as arrays of three kinds of files', async () => {
  const x = array([70, 12, 4], wave(70 * 48));
  const tensor = {
    ...{ name: 'x', dtype: 'F32' as const, shape: x.shape },
    bytes: () => new Uint8Array((x.data as Float32Array).buffer),
  };
  const files = [
    put('x.npy', writeNpy(x)),
    put('x.npz', writeNpz({ x })),
    put('x.safetensors', Buffer.concat([...writeSafetensors([tensor], [])])),
  ];
  for (const file of files) assert.is((await calibrated(fixture('conv1d'), file)).samples, FITTED);
});

test('token ids, with answers that are no single class', async () => {
  const ids = array(
    [70, 7],
    Int32Array.from({ length: 490 }, (_, i) => i % 12),
  );
  const { stderr } = await calibrated(fixture('lstm_tagger'), put('ids.npy', writeNpy(ids)));
  assert.not.match(stderr, 'unscaled');
  const y = array(
    [70, 7],
    Int32Array.from({ length: 490 }, (_, i) => i % 5),
  );
  await calibrated(fixture('lstm_tagger'), put('tagged.npz', writeNpz({ x: ids, y })));
});

test('several inputs: one archive by names or numbers, or a file for each', async () => {
  const siamese = fixture('graph_siamese');
  const [left, right] = [0, 1].map((seed) => array([70, 8], wave(560, seed))) as [
    ReturnType<typeof array>,
    ReturnType<typeof array>,
  ];
  const named = put('named.npz', writeNpz({ input_layer_2: right, input_layer_1: left }));
  assert.is((await calibrated(siamese, named)).samples, FITTED);
  await calibrated(siamese, put('numbered.npz', writeNpz({ arr_0: left, arr_1: right })));
  const files = [put('left.npy', writeNpy(left)), put('right.npy', writeNpy(right))];
  await calibrated(siamese, ...files);
  const tuned = await runCli(['calibrate', siamese, ...int4, '--tune', '3', '--data', ...files]);
  assert.is(tuned.status, 0, tuned.stderr);
  await refused(
    /for each input, input_layer_1, input_layer_2, got x/,
    siamese,
    put('one.npz', writeNpz({ x: left })),
  );
  await refused(
    /an array for each of 2 inputs, input_layer_1, input_layer_2, got 1/,
    siamese,
    files[0] as string,
  );
  const short = put('short.npy', writeNpy(array([60, 8], wave(480))));
  await refused(
    /as many samples of every input, got .*left\.npy 70, .*short\.npy 60/,
    siamese,
    files[0] as string,
    short,
  );
});

test('bytes of several inputs are scaled each by itself', async () => {
  const bytes = array(
    [70, 8],
    Uint8Array.from({ length: 560 }, (_, i) => (i * 37) % 256),
  );
  const both = put('bytes.npz', writeNpz({ input_layer_1: bytes, input_layer_2: array([70, 8], wave(560)) }));
  const args = [
    'calibrate',
    fixture('graph_siamese'),
    '--scheme',
    'int4',
    '-o',
    at('o.safetensors'),
    '--data',
    both,
  ];
  const found = await runCli(args);
  assert.match(found.stdout, 'inputs input_layer_1 x 1/255, input_layer_2 x 1 (by default)');
  const typed = await runCli([...args, '--scale', 'input_layer_1=0.5,input_layer_2=2']);
  assert.match(typed.stdout, 'inputs input_layer_1 x 0.5, input_layer_2 x 2');
  const wrong = await runCli([...args, '--scale', 'left=0.5']);
  assert.is(wrong.status, 2);
  assert.match(wrong.stderr, '--scale expected factors of input_layer_1, input_layer_2, got left=0.5');
});

test.run();
