// Files made to mislead, each given to the command line: a coded error or an honest result, within 2 seconds of
// processor time and 512 MB of the whole process, and nothing written but the output.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openKeras, saveModelWeights } from '../../src/node/models.js';
import { type Command, CRAFTED_H5 } from '../support/crafted-h5.js';
import { CRAFTED_ZIP } from '../support/crafted-zip.js';
import { need, root, runCli, runPython, tempDir } from '../support/needs.js';

const SECONDS = 2;
const MEGABYTES = 512;

const folder = tempDir();
const hook = pathToFileURL(path.join(root, 'test/support/measure.mjs')).href;

/** Runs one command in a folder of its own. */
async function meet(command: Command, file: string, suffix = '') {
  const name = `${path.basename(file)}-${command}${suffix}`;
  const place = path.join(folder, name);
  mkdirSync(place);
  const measured = `${place}.json`;
  const output = { quantize: 'out.safetensors', convert: 'model.json', inspect: undefined }[command];
  const args = [
    command,
    file,
    ...(output ? ['-o', output] : []),
    ...(command === 'quantize' ? ['--scheme', 'int4'] : []),
    '--json',
  ];
  const env = { BITNIBBLE_MEASURE: measured, NODE_OPTIONS: `--import=${hook}` };
  const { status, stdout, stderr } = await runCli(args, { cwd: place, env, timeout: 300_000 });
  const took = JSON.parse(readFileSync(measured, 'utf8')) as { megabytes: number; seconds: number };
  return { status, stdout, stderr, took, written: readdirSync(place) };
}

type Met = Awaited<ReturnType<typeof meet>>;

/** Processes at one time. */
const TOGETHER = 4;
let running = 0;
const waiting: (() => void)[] = [];

/** Waits until a process may start; what became of it is looked at later. */
async function inTurn(work: () => Promise<Met>): Promise<() => Met> {
  if (running >= TOGETHER) await new Promise<void>((resolve) => waiting.push(resolve));
  running++;
  try {
    const met = await work();
    return () => met;
  } catch (error) {
    return () => {
      throw error;
    };
  } finally {
    running--;
    waiting.shift()?.();
  }
}

// The library that makes the files makes one at a time; then the command line meets several at once.
const cases = [];
for (const { make, ...one } of [...CRAFTED_H5, ...CRAFTED_ZIP]) {
  const file = path.join(folder, one.name);
  const made = await make();
  if (typeof made === 'function') made(file);
  else writeFileSync(file, made);
  cases.push({ ...one, file });
}
const met = cases.map(({ commands = ['quantize'] as const, ...one }) => ({
  ...one,
  results: commands.map((command) => ({
    command,
    result: inTurn(() => meet(command, one.file)),
    again: () => meet(command, one.file, '-again'),
  })),
}));

const SOUND = path.join(root, 'test/fixtures/keras/keras3_sequential.h5');

/** What takes longer may do so on a machine where a sound file of a few kilobytes takes more than a quarter of a second. */
async function requireBounded(took: Met['took'], again: () => Promise<Met>, about: string): Promise<void> {
  assert.ok(took.megabytes <= MEGABYTES, about);
  if (took.seconds <= SECONDS) return;
  const { seconds } = (await again()).took;
  const usual = (await meet('quantize', SOUND, `-${performance.now()}`)).took.seconds;
  const most = Math.max(SECONDS, 8 * usual);
  assert.ok(seconds <= most, `${about}; again ${seconds} s, expected at most ${most}`);
}

for (const { name, file, code, names, results } of met) {
  test(`${name}: ${code ?? 'sound'}`, async () => {
    for (const { command, result, again } of results) {
      const { status, stdout, stderr, took, written } = (await result)();
      const about = `${command}: status ${status}, ${JSON.stringify(took)}: ${stderr.slice(0, 500)}`;
      assert.is(status, code ? 1 : 0, about);
      if (code) {
        const { error } = JSON.parse(stdout) as { error: { code: string; message: string } };
        assert.is(error.code, code, about);
        assert.ok(error.message.includes(file) && error.message.includes(names ?? ''), about);
        assert.equal(written, [], about);
      }
      await requireBounded(took, again, about);
    }
  });
}

const ELSEWHERE_NAMES = ['stored-elsewhere', 'put-together', 'put-together-of-itself', 'committed-type'];
/** What h5wasm cannot write: datasets whose values are in other files. */
const ELSEWHERE = `
import sys, h5py, numpy as np
folder, secret = sys.argv[1:]
def file(name):
    f = h5py.File(f"{folder}/{name}.h5", "w")
    return f, f.create_group("layers/dense/vars")
f, g = file("stored-elsewhere")
g.create_dataset("0", (2, 3), "<f4", external=[(secret, 0, 24)])
f, g = file("put-together")
layout = h5py.VirtualLayout((2, 3), "<f4")
layout[:] = h5py.VirtualSource(secret, "x", (2, 3))
g.create_virtual_dataset("0", layout)
f, g = file("put-together-of-itself")
layout = h5py.VirtualLayout((2, 3), "<f4")
layout[:] = h5py.VirtualSource(".", "/layers/dense/vars/0", (2, 3))
g.create_virtual_dataset("0", layout)
f, g = file("committed-type")
f["type"] = np.dtype("<f4")
g["0"] = np.ones((2, 3), "<f4")
g["1"] = h5py.SoftLink("/type")
`;

need(test, 'keras')('values in other files are not read', async () => {
  const secret = path.join(folder, 'secret.bin');
  writeFileSync(secret, new Uint8Array(new Float32Array(6).fill(42).buffer));
  await runPython(ELSEWHERE, [folder, secret]);
  for (const name of ELSEWHERE_NAMES) {
    const file = path.join(folder, `${name}.h5`);
    const { status, stdout, took, written } = await meet('quantize', file);
    assert.is(status, 1, name);
    const { error } = JSON.parse(stdout) as { error: { code: string; message: string } };
    assert.is(error.code, 'corrupt-file', error.message);
    assert.match(error.message, '/layers/dense/vars/');
    assert.equal(written, []);
    await requireBounded(took, () => meet('quantize', file, '-again'), JSON.stringify(took));
  }
});

const LOSSY = `
import json, sys, h5py, numpy as np
with h5py.File(sys.argv[1], "w") as f:
    f.create_dataset("layers/dense/vars/0", data=np.arange(6, dtype="<f4").reshape(2, 3) / 7, scaleoffset=2, chunks=(2, 3))
with h5py.File(sys.argv[1]) as f:
    print(json.dumps(f["layers/dense/vars/0"][:].ravel().tolist()))
`;

need(test, 'keras')('what a lossy filter stores is read, and not written through it', async () => {
  const file = path.join(folder, 'lossy.h5');
  const digits = JSON.parse(await runPython(LOSSY, [file])) as number[];
  const model = await openKeras(file);
  const id = model.weights[0]?.id as string;
  const values = [...model.read(id)];
  assert.equal(values, digits);
  // Two decimal digits behind the least value that is not the fill value: what h5py reads is not what it wrote.
  assert.not.equal(
    values,
    Array.from({ length: 6 }, (_, n) => Math.fround(n / 7)),
  );
  const target = path.join(folder, 'lossy-out.h5');
  const error = await saveModelWeights(model, new Map([[id, digits]]), target).catch((thrown) => thrown);
  model.close();
  assert.is(error.code, 'unsupported-filter');
  assert.match(error.message, /\/layers\/dense\/vars\/0 is stored through HDF5 filter 6/);
  assert.not.ok(existsSync(target));
});

test('nothing was written beside the outputs, or where a name points', () => {
  const made = [...CRAFTED_H5, ...CRAFTED_ZIP].map(({ name }) => name);
  const known = new Set([
    ...made,
    path.basename(SOUND),
    'secret.bin',
    'lossy.h5',
    ...ELSEWHERE_NAMES.map((name) => `${name}.h5`),
  ]);
  const strays = readdirSync(folder).filter(
    (name) => !known.has(name.replace(/-(quantize|inspect|convert)(-[\w.]+?)?(\.json)?$/, '')),
  );
  assert.equal(strays, []);
  for (const file of ['/etc/evil.json', '/evil.json', path.join(folder, '..', 'evil.json')])
    assert.not.ok(existsSync(file), file);
});

test.run();
