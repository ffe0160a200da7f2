// A kernel of 3 GiB, larger than HDF5's heap and the memory that quantizing it may take.
import { readFileSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cliArguments, need, root, run, runPython, tempDir, typescript } from '../support/needs.js';

const folder = tempDir();
const child = (...args: string[]) =>
  run(process.execPath, [
    '--import',
    typescript,
    path.join(root, 'test/support/large-model.ts'),
    folder,
    ...args,
  ]);

test('3 GiB of weights are quantized in less than 600 MB of memory', async () => {
  const made = await child('make');
  assert.is(made.status, 0, made.stderr);
  assert.ok(statSync(path.join(folder, 'large.h5')).size < 2 ** 24);
  for (const [scheme, scale, bytes] of [
    ['int4', 'absmax', 2 ** 32 / 8],
    ['int4', 'lsq', 2 ** 32 / 8],
    ['int2', 'lsq', 2 ** 32 / 16],
    ['binary', 'mean', 2 ** 32 / 32],
  ] as const) {
    const { status, stdout, stderr } = await child(scheme, scale);
    assert.is(status, 0, stderr);
    const { megabytes, steps, parameters, maxError } = JSON.parse(stdout);
    assert.is(parameters, 32_768 * 24_576);
    assert.ok(megabytes < 600, `${scheme}, ${scale}: ${megabytes} MB`);
    assert.ok(steps > 100, `${steps} steps of progress`);
    // Half a step of the largest scale, amax / 7 / 2: least squares finds it, all weights lie on its levels.
    if (scheme === 'int4') assert.ok(maxError <= 7 / 16 / 14, String(maxError));
    assert.ok(statSync(path.join(folder, 'large.safetensors')).size < bytes);
  }
});

/** Runs a command on a terminal of its own and passes on what that shows. */
const TERMINAL = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvpe(sys.argv[1], sys.argv[1:], {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR")} | {"TERM": "xterm"})
shown = b""
while True:
    try:
        piece = os.read(fd, 65536)
    except OSError:
        break
    if not piece:
        break
    shown += piece
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

need(test, 'python')('the command line shows a bar meanwhile, and takes no more memory', async () => {
  const measured = path.join(folder, 'took.json');
  const hook = pathToFileURL(path.join(root, 'test/support/measure.mjs')).href;
  const [large, output] = [path.join(folder, 'large.h5'), path.join(folder, 'out.safetensors')];
  const shown = await runPython(TERMINAL, [
    ...['/usr/bin/env', `BITNIBBLE_MEASURE=${measured}`, `NODE_OPTIONS=--import=${hook}`, process.execPath],
    ...[...cliArguments(), 'quantize', large, '-o', output, '--scheme', 'binary'],
  ]);
  const steps = [...shown.matchAll(/quantizing [█░]+ (\d+)% \| \d+\/805306368 weights/g)].map(([, n]) =>
    Number(n),
  );
  assert.ok(steps.length >= 5, shown.slice(0, 2000));
  assert.equal(
    steps,
    [...steps].sort((a, b) => a - b),
  );
  assert.ok(new Set(steps).size >= 5 && (steps.at(-1) as number) > 80, steps.join());
  assert.match(shown, 'dense/kernel');
  const { megabytes } = JSON.parse(readFileSync(measured, 'utf8')) as { megabytes: number };
  assert.ok(megabytes < 600, `${megabytes} MB`);
  rmSync(output);
});

need(test, 'keras')('4 GiB of Keras shards become packed shards in flat memory', async () => {
  const measured = path.join(folder, 'sharded.json');
  const hook = pathToFileURL(path.join(root, 'test/support/measure.mjs')).href;
  const script = readFileSync(path.join(root, 'bench/large_model.py'), 'utf8');
  const megabytes: number[] = [];
  for (const [count, shards] of [
    [1, 1],
    [16, 4],
  ] as const) {
    const list = path.join(folder, `in${count}.weights.json`);
    await runPython(script, [list, String(count)]);
    const index = path.join(folder, `out${count}.safetensors.index.json`);
    const args = ['quantize', list, '-o', index, '--scheme', 'binary', '--shard-size', '34MB', '--quiet'];
    const { status, stderr } = await run(process.execPath, [...cliArguments(), ...args], {
      env: { ...process.env, BITNIBBLE_MEASURE: measured, NODE_OPTIONS: `--import=${hook}` },
    });
    assert.is(status, 0, stderr);
    megabytes.push(JSON.parse(readFileSync(measured, 'utf8')).megabytes);
    const { weight_map: map, metadata } = JSON.parse(readFileSync(index, 'utf8'));
    assert.is(new Set(Object.values(map)).size, shards);
    assert.is(metadata.total_size, count * (8192 * 1024 + 8192 * 4));
    rmSync(index);
  }
  const [one, many] = megabytes as [number, number];
  assert.ok(many < 250 && many < one + 60, `${one} MB for 256 MiB, ${many} MB for 4 GiB`);
});

test.run();
