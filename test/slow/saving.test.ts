// A bounded part of what `npm run fuzz` does to files that are being written; and the ends of the command line's streams.
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runSavingCases } from '../../scripts/lib/saving-cases.js';
import { openKeras, saveModelWeights } from '../../src/node/models.js';
import { cliArguments, need, root, run, runCli, runPython, tempDir } from '../support/needs.js';

const model = path.join(root, 'test/fixtures/keras/keras3_sequential.h5');
const containers = path.join(root, 'test/fixtures/containers');
const folder = tempDir();
const at = (name: string) => path.join(folder, name);

test('killed, on a full disk, at one time: the old output or the new one, whole', async () => {
  const counts = await runSavingCases({ rounds: 10 });
  assert.equal(counts.failures, []);
  assert.ok(
    counts.faults >= 50 && counts.killed === 10 && counts.processes >= 4 && counts.together >= 30,
    JSON.stringify(counts),
  );
  for (const reason of counts.skipped) process.stderr.write(`not tried: ${reason}\n`);
  if (counts.skipped.length === 0)
    assert.ok(counts.full >= 10 && counts.fitted >= 10, JSON.stringify(counts));
});

/** Runs the command line in a shell. */
const shell = (script: string) =>
  run(
    'bash',
    [
      '-c',
      `bitnibble() { "$NODE" "\${CLI[@]}" "$@"; }; CLI=(${cliArguments()
        .map((a) => `'${a}'`)
        .join(' ')}); ${script}`,
    ],
    {
      env: { ...process.env, NODE: process.execPath, MODEL: model, NO_COLOR: '1' },
      timeout: 300_000,
    },
  );

if (process.platform !== 'win32') {
  test('a reader that goes away ends the command quietly', async () => {
    const { stdout, stderr } = await shell(
      'bitnibble inspect "$MODEL" --json | true; echo $PIPESTATUS; bitnibble inspect "$MODEL" 2>&1 | head -n 1',
    );
    const [status, first] = stdout.trim().split('\n');
    // What fits into the pipe before its reader ends is written without a fault.
    assert.ok(status === '141' || status === '0', stdout);
    assert.ok(first?.includes('keras3_sequential') || first?.includes('Layer'), stdout);
    assert.is(stderr, '');
  });

  test('a pipe without a reader, for certain', async () => {
    const out = at('piped.safetensors');
    const args = [...cliArguments(), 'quantize', model, '-o', out, '--scheme', 'int4'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.on('data', (piece) => {
      stderr += piece;
    });
    const status = await new Promise((resolve) => child.on('close', resolve));
    assert.equal([status, stderr], [141, '']);
    assert.ok(readFileSync(out).length > 1000, 'the file was in place before anything was said');
  });

  test('a full standard output is an error', async () => {
    const { stdout, stderr } = await shell(
      'bitnibble inspect "$MODEL" > /dev/full; echo "$?"; bitnibble inspect "$MODEL" --json > /dev/full; echo "$?"; bitnibble --help > /dev/full; echo "$?"',
    );
    if (process.platform !== 'linux') return;
    assert.equal(stdout.trim().split('\n'), ['1', '1', '1']);
    const said = 'error: standard output cannot be written: no space is left on the device';
    assert.equal(stderr.trim().split('\n'), [said, said, said]);
  });

  test('pipes and devices as inputs, folders as outputs: one line each, at once, nothing left', async () => {
    const pipe = at('pipe.h5');
    await run('mkfifo', [pipe]);
    mkdirSync(at('model.json'));
    mkdirSync(at('data'));
    await run('mkfifo', [at('data/test-images-idx3-ubyte'), at('data/test-labels-idx1-ubyte')]);
    // A recipe is JSON that is read whole: of 1.9 GB nothing is.
    for (const name of ['data/sparse.json', 'data/sparse.weights.json']) {
      writeFileSync(at(name), '{');
      truncateSync(at(name), 1.9e9);
    }
    writeFileSync(
      at('list.weights.json'),
      JSON.stringify({ weight_map: { '/layers/dense/vars': 'pipe.h5' } }),
    );
    const before = readdirSync(folder);
    for (const [args, what] of [
      [['inspect', pipe], 'pipe.h5: cannot be read: it is a pipe (FIFO), expected a file'],
      [['inspect', '/dev/zero'], '/dev/zero: cannot be read: it is a device, expected a file'],
      [['quantize', model, '-o', at('x.h5'), '--recipe', pipe], 'it is a pipe'],
      [['quantize', model, '-o', at('x.h5'), '--recipe', '/dev/zero'], 'it is a device'],
      [['quantize', model, '-o', at('x.h5'), '--recipe', at('data')], 'data: cannot be read: it is a folder'],
      [
        ['quantize', model, '-o', at('x.h5'), '--recipe', at('data/sparse.json')],
        '1900000000 bytes, expected at',
      ],
      [['inspect', at('data/sparse.weights.json')], '1900000000 bytes of JSON, expected at most'],
      [['inspect', at('list.weights.json')], 'pipe.h5: cannot be read: it is a pipe'],
      [['evaluate', model, '--data', pipe], 'it is a pipe'],
      [['evaluate', model, '--data', at('data')], 'test-images-idx3-ubyte: cannot be read: it is a pipe'],
      [['convert', model, '-o', at('model.json')], 'model.json: cannot be written: it is a folder'],
      [['quantize', model, '-o', pipe, '--scheme', 'int4'], 'pipe.h5: cannot be written: it is a pipe'],
      [['quantize', model, '-o', at('no/x.h5'), '--scheme', 'int4'], 'does not exist'],
    ] as const) {
      const { status, stderr } = await runCli([...args], { timeout: 300_000 });
      assert.is(status, 1, stderr);
      assert.ok(stderr.includes(what), stderr);
      assert.is(stderr.trim().split('\n').length, 1, stderr);
    }
    assert.equal(readdirSync(folder), before);
  });
}

/** Files with a user block, in the oldest layout of HDF5 and the newest, which has checksums. */
const USER_BLOCKS = `
import sys, h5py, numpy as np
for version in ("earliest", "latest"):
    for size in (512, 2048):
        with h5py.File(f"{sys.argv[1]}/{version}-{size}.weights.h5", "w", userblock_size=size, libver=version) as f:
            g = f.create_group("layers/dense/vars")
            g.create_dataset("0", data=np.arange(6, dtype="f4").reshape(2, 3), chunks=(1, 3), compression="gzip")
            g["1"] = np.arange(3, dtype="f4")
            g.attrs["note"] = "kept"
        with open(f"{sys.argv[1]}/{version}-{size}.weights.h5", "r+b") as f:
            f.write(b"#!/bin/echo a stranger's line\\n")
`;

const CHECK = `
import sys, h5py, numpy as np
for path in sys.argv[1:]:
    data = open(path, "rb").read()
    assert data[:8] == b"\\x89HDF\\r\\n\\x1a\\n" and b"stranger" not in data, path
    # The address that the superblock gives for itself: 0, in the old layout and the new.
    at = 24 if data[8] == 0 else 12
    assert data[at:at + 8] == bytes(8), data[:48].hex()
    with h5py.File(path, "r+") as f:
        g = f["layers/dense/vars"]
        assert f.userblock_size == 0 and g.attrs["note"] == "kept"
        assert np.array_equal(g["0"][()], -np.arange(6).reshape(2, 3)) and np.array_equal(g["1"][()], -np.arange(3))
        g["2"] = np.ones(1000)
    assert h5py.File(path)["layers/dense/vars/2"][()].sum() == 1000
print("right")
`;

const negated = (from: string, to: string) =>
  openKeras(from).then(async (opened) => {
    const entries = opened.weights.map(({ id }) => [id, opened.read(id).map((value) => -value)] as const);
    await saveModelWeights(opened, new Map(entries), to);
    opened.close();
  });

need(test, 'keras')('user blocks are dropped, in files and in shards', async () => {
  const blocks = at('blocks');
  mkdirSync(blocks);
  await runPython(USER_BLOCKS, [blocks]);
  const outputs: string[] = [];
  const inputs = readdirSync(blocks);
  assert.is(inputs.length, 4);
  for (const name of inputs) {
    outputs.push(path.join(blocks, `out-${name}`));
    await negated(path.join(blocks, name), outputs.at(-1) as string);
  }
  const [shard] = inputs as [string];
  const list = path.join(blocks, 'list.weights.json');
  writeFileSync(list, JSON.stringify({ weight_map: { '/layers/dense/vars': shard } }));
  await negated(list, path.join(blocks, 'shards.weights.json'));
  outputs.push(path.join(blocks, 'shards_00000.weights.h5'));
  assert.is((await runPython(CHECK, outputs)).trim(), 'right');
});

const LOAD = `
import sys, keras, numpy as np
L = keras.layers
def model():
    return keras.Sequential([keras.Input((8,)), L.Dense(30), L.Dense(30), L.Dense(10)], name="in_shards")
a, b = model(), model()
a.load_weights(sys.argv[1]); b.load_weights(sys.argv[2])
assert all(np.array_equal(x, float(sys.argv[3]) * y) for x, y in zip(b.get_weights(), a.get_weights()))
print("same", len(a.get_weights()))
`;

need(test, 'keras')('Keras loads shards that were written over others', async () => {
  const input = path.join(containers, 'shards.weights.json');
  const [first, second] = [at('out.weights.json'), at('again.weights.json')];
  await negated(input, first);
  await negated(first, second);
  // Over shards that were there, once and again.
  for (const [from, factor] of [
    [second, '-1'],
    [input, '-1'],
  ] as const) {
    await negated(from, first);
    assert.is((await runPython(LOAD, [input, first, factor])).trim(), 'same 6');
  }
  assert.is(readdirSync(folder).filter((name) => /^out_/.test(name)).length, 4);
});

test.run();
