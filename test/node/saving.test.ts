// How files are written: what is replaced, what stays, and under which names.
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { loadModelWeights } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { sweepDrafts } from '../../src/node/drafts.js';
import { fileSource, makeFile, readFile, requireOtherFile, writeFile } from '../../src/node/files.js';
import { openKeras, saveLayersModel, saveModelWeights, saveQuantized } from '../../src/node/models.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { layersModelFiles } from '../../src/tfjs/artifacts.js';
import { root, run, tempDir } from '../support/needs.js';

const fixtures = path.join(root, 'test/fixtures/containers');
const digits = path.join(root, 'examples/digits/digits.h5');
const kernels = await loadKernels();
const scratch = tempDir();
const newFolder = () => mkdtempSync(path.join(scratch, 'folder-'));
const bytes = (text: string) => [new TextEncoder().encode(text)];
const drafts = (folder: string) => readdirSync(folder).filter((name) => name.startsWith('.'));
/** Windows has neither modes nor pipes in folders. */
const isUnix = process.platform !== 'win32';

async function refusal(work: () => unknown): Promise<BitnibbleError> {
  const error = await (async () => work())().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.instance(error, BitnibbleError, String(error));
  return error as BitnibbleError;
}

async function saveShards(
  from: string,
  to: string,
  change = (values: Float32Array) => values,
): Promise<void> {
  const model = await openKeras(from);
  const weights = loadModelWeights(model).map((layer) => ({
    weights: layer.weights.map(({ id, values }) => ({ id, values: change(values.slice()) })),
  }));
  await saveModelWeights(model, weights, to);
  model.close();
}

const sumOf = async (file: string) => {
  const model = await openKeras(file);
  let sum = 0;
  for (const { id } of model.weights) for (const value of model.read(id)) sum += Math.abs(value);
  model.close();
  return sum;
};

/** The fixture's shards under other names, as a stranger's list may have them. */
function strangersShards(folder: string, names: readonly string[]): string {
  const list = JSON.parse(readFileSync(path.join(fixtures, 'shards.weights.json'), 'utf8'));
  const keys = Object.keys(list.weight_map);
  for (const [i, name] of names.entries()) {
    writeFileSync(path.join(folder, name), readFileSync(path.join(fixtures, `shards_0000${i}.weights.h5`)));
    list.weight_map[keys[i] as string] = i === 0 ? name : [name];
  }
  const file = path.join(folder, 'in.weights.json');
  writeFileSync(file, JSON.stringify(list));
  return file;
}

test('shards are called after the output, whatever the input calls them', async () => {
  const [input, output] = [newFolder(), newFolder()];
  const names = ['.profile', 'in_00007.weights.h5', 'notes.txt'];
  const file = strangersShards(input, names);
  for (const name of names) writeFileSync(path.join(output, name), `own ${name}`);
  await saveShards(file, path.join(output, 'out.weights.json'));
  for (const name of names) assert.is(readFileSync(path.join(output, name), 'utf8'), `own ${name}`);
  const made = readdirSync(output).filter((name) => !names.includes(name));
  assert.equal(made.sort(), [...[0, 1, 2].map((n) => `out_0000${n}.weights.h5`), 'out.weights.json'].sort());
  const list = JSON.parse(readFileSync(path.join(output, 'out.weights.json'), 'utf8'));
  assert.equal(Object.values(list.weight_map).flat(), made.filter((name) => name.endsWith('.h5')).sort());
  assert.is(await sumOf(path.join(output, 'out.weights.json')), await sumOf(file));
  // Beside the input too: nothing of it is touched.
  const before = names.map((name) => readFileSync(path.join(input, name)));
  await saveShards(file, path.join(input, 'out.weights.json'));
  assert.equal(
    names.map((name) => readFileSync(path.join(input, name))),
    before,
  );
});

test('shards replace those of the same list only, after the new ones are there', async () => {
  const folder = newFolder();
  const out = path.join(folder, 'out.weights.json');
  const from = path.join(fixtures, 'shards.weights.json');
  const sum = await sumOf(from);
  await saveShards(from, out);
  // A list that others wrote and that names a shard of this output: the shard stays.
  writeFileSync(path.join(folder, 'other.txt'), ' {"weight_map": {"a": "out_0000\\u0031.weights.h5"}}');
  const kept = readFileSync(path.join(folder, 'out_00001.weights.h5'));
  for (const factor of [2, 3]) {
    await saveShards(from, out, (values) => values.map((value) => value * factor));
    assert.ok(Math.abs((await sumOf(out)) / sum - factor) < 1e-5);
    const listed = Object.values(JSON.parse(readFileSync(out, 'utf8')).weight_map).flat() as string[];
    for (const [i, name] of listed.entries()) {
      assert.match(name, new RegExp(`^out_0000${i}-[0-9a-f]{8}\\.weights\\.h5$`));
    }
    assert.equal(readFileSync(path.join(folder, 'out_00001.weights.h5')), kept);
    // Keras opens shard 0 by its plain name before it looks at the list.
    const door = readFileSync(path.join(folder, 'out_00000.weights.h5'));
    assert.is(door.subarray(1, 4).toString(), 'HDF');
    assert.ok(door.length < 3000, String(door.length));
    const all = ['out.weights.json', 'other.txt', 'out_00000.weights.h5', 'out_00001.weights.h5', ...listed];
    assert.equal(readdirSync(folder).sort(), all.sort());
  }
});

test('a file that stands where Keras would look for a shard is named and left alone', async () => {
  const folder = newFolder();
  writeFileSync(path.join(folder, 'out_00000.weights.h5'), 'a diary');
  const from = path.join(fixtures, 'shards.weights.json');
  const error = await refusal(() => saveShards(from, path.join(folder, 'out.weights.json')));
  assert.is(error.code, 'not-writable');
  assert.match(error.message, 'out_00000.weights.h5 stands in its way');
  assert.is(readFileSync(path.join(folder, 'out_00000.weights.h5'), 'utf8'), 'a diary');
  assert.equal(readdirSync(folder), ['out_00000.weights.h5']);
});

async function convert(from: string, output: string, float16 = false): Promise<readonly string[]> {
  const model = await openKeras(from);
  try {
    return await saveLayersModel(layersModelFiles(model, path.basename(output), { float16 }), output);
  } finally {
    model.close();
  }
}

test('a layers model replaces its own weight files, and no others', async () => {
  const folder = newFolder();
  const [first, second] = [path.join(folder, 'model.json'), path.join(folder, 'second.json')];
  assert.equal(await convert(digits, first), ['group1-shard1of1.bin', 'model.json']);
  const plain = readFileSync(path.join(folder, 'group1-shard1of1.bin'));
  const [own] = (await convert(digits, second, true)) as [string, string];
  assert.match(own, /^group1-shard1of1-[0-9a-f]{8}\.bin$/);
  assert.equal(readFileSync(path.join(folder, 'group1-shard1of1.bin')), plain);
  const [next] = (await convert(digits, first)) as [string, string];
  assert.equal(readFileSync(path.join(folder, next)), plain);
  assert.equal(JSON.parse(readFileSync(first, 'utf8')).weightsManifest[0].paths, [next]);
  assert.equal(readdirSync(folder).sort(), [own, next, 'model.json', 'second.json'].sort());
});

test('an old index may say anything: what is not its part stays', async () => {
  const folder = newFolder();
  const out = path.join(folder, 'model.json');
  mkdirSync(path.join(folder, 'group1-shard9of9.bin'));
  const names = [
    'notes.bin',
    '../group1-shard1of1.bin',
    'group1-shard9of9.bin',
    '/etc/hostname',
    'x/../notes.bin',
  ];
  writeFileSync(path.join(folder, 'notes.bin'), 'mine');
  for (const old of [
    JSON.stringify({ weightsManifest: [{ paths: names }] }),
    '{',
    '[1]',
    '{"weightsManifest": 3}',
  ]) {
    writeFileSync(out, old);
    await convert(digits, out);
    assert.is(readFileSync(path.join(folder, 'notes.bin'), 'utf8'), 'mine');
    assert.ok(statSync(path.join(folder, 'group1-shard9of9.bin')).isDirectory());
  }
});

test('a set that fails leaves the old one whole', async () => {
  const folder = newFolder();
  const out = path.join(folder, 'model.json');
  await convert(digits, out);
  const before = readdirSync(folder).map((name) => [name, readFileSync(path.join(folder, name))]);
  const model = await openKeras(digits);
  const files = layersModelFiles(model, 'model.json');
  const failing = {
    ...files,
    jsonFor: () => {
      throw new RangeError('no index today');
    },
  };
  const error = await saveLayersModel(failing, out).catch((thrown: Error) => thrown);
  assert.match((error as Error).message, 'no index today');
  model.close();
  assert.equal(
    readdirSync(folder).map((name) => [name, readFileSync(path.join(folder, name))]),
    before,
  );
});

test('many writers of one path at once: all succeed, one whole file stays', async () => {
  const folder = newFolder();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'exit'];
  const listeners = signals.map((signal) => process.listenerCount(signal));
  const model = await openKeras(digits);
  const { model: quantized } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
  for (const name of ['out.h5', 'out.safetensors']) {
    const out = path.join(folder, name);
    await Promise.all(Array.from({ length: 12 }, () => saveQuantized(quantized, model, out)));
    const alone = path.join(folder, `alone-${name}`);
    await saveQuantized(quantized, model, alone);
    assert.equal(readFileSync(out), readFileSync(alone));
  }
  model.close();
  const shards = path.join(fixtures, 'shards.weights.json');
  const out = path.join(folder, 'out.weights.json');
  await Promise.all(Array.from({ length: 6 }, () => saveShards(shards, out)));
  assert.is(await sumOf(out), await sumOf(shards));
  await Promise.all(Array.from({ length: 6 }, () => convert(digits, path.join(folder, 'model.json'))));
  const [{ paths }] = JSON.parse(readFileSync(path.join(folder, 'model.json'), 'utf8')).weightsManifest;
  assert.ok(paths.every((name: string) => existsSync(path.join(folder, name))));
  assert.equal(drafts(folder), []);
  assert.equal(
    signals.map((signal) => process.listenerCount(signal)),
    listeners,
  );
});

test('links are followed and stay; permissions stay', async () => {
  if (!isUnix) return;
  const folder = newFolder();
  const at = (name: string) => path.join(folder, name);
  mkdirSync(at('deep'));
  writeFileSync(at('deep/real'), 'old', { mode: 0o600 });
  symlinkSync('deep/real', at('link'));
  symlinkSync('link', at('link2'));
  await writeFile(at('link2'), bytes('new'));
  assert.is(readFileSync(at('deep/real'), 'utf8'), 'new');
  assert.is(statSync(at('deep/real')).mode & 0o777, 0o600);
  assert.equal([readlinkSync(at('link')), readlinkSync(at('link2'))], ['deep/real', 'link']);
  // Where a link leads to nothing yet, the file is made there.
  symlinkSync('deep/later', at('dangling'));
  await writeFile(at('dangling'), bytes('made'));
  assert.is(readFileSync(at('deep/later'), 'utf8'), 'made');
  symlinkSync('circle', at('circle'));
  assert.match((await refusal(() => writeFile(at('circle'), bytes('x')))).message, 'lead in a circle');
  // Another name of the same file keeps the old bytes.
  linkSync(at('deep/real'), at('hard'));
  await writeFile(at('hard'), bytes('own'));
  assert.is(readFileSync(at('deep/real'), 'utf8'), 'new');
  for (const mode of [0o444, 0o640, 0o755]) {
    writeFileSync(at('moded'), '');
    chmodSync(at('moded'), mode);
    await writeFile(at('moded'), bytes('x'));
    assert.is(statSync(at('moded')).mode & 0o777, mode);
  }
  // The parts of a set would be found from one of two names only.
  symlinkSync('deep/model.json', at('model.json'));
  assert.match((await refusal(() => convert(digits, at('model.json')))).message, /symbolic link to .*deep/);
  assert.equal(readdirSync(at('deep')).sort(), ['later', 'real']);
});

test('a copy of a read-only input can be written, and is no more open than the input', async () => {
  if (!isUnix) return;
  const folder = newFolder();
  const umask = process.umask();
  for (const [mode, wanted] of [
    [0o444, 0o644 & ~umask],
    [0o400, 0o600],
    [0o600, 0o600],
  ] as const) {
    for (const name of ['digits.h5', 'containers/assets.keras']) {
      const from = name === 'digits.h5' ? digits : path.join(fixtures, path.basename(name));
      const ending = path.extname(name);
      const [input, out] = [
        path.join(folder, `in-${mode}${ending}`),
        path.join(folder, `out-${mode}${ending}`),
      ];
      writeFileSync(input, readFileSync(from));
      chmodSync(input, mode);
      await saveShards(input, out);
      assert.is(statSync(out).mode & 0o777, wanted, `${name} ${mode.toString(8)}`);
      assert.is(await sumOf(out), await sumOf(from));
    }
  }
});

test('what is no file is refused, as output and as input, without waiting', async () => {
  if (!isUnix) return;
  const folder = newFolder();
  const at = (name: string) => path.join(folder, name);
  mkdirSync(at('folder'));
  await run('mkfifo', [at('pipe')]);
  const server = createServer().listen(at('socket'));
  await new Promise((resolve) => server.on('listening', resolve));
  symlinkSync('/dev/zero', at('zero'));
  for (const [name, what] of [
    ['folder', 'it is a folder'],
    ['pipe', 'it is a pipe'],
    ['socket', 'it is a socket'],
    ['zero', 'it is a device'],
  ] as const) {
    const works: (() => unknown)[] = [
      () => fileSource(at(name)),
      () => readFile(at(name)),
      () => openKeras(at(name)),
      () => writeFile(at(name), bytes('x')),
      () => requireOtherFile(digits, at(name)),
      () => convert(digits, at(name)),
    ];
    for (const work of works) {
      const { message } = await refusal(work);
      assert.ok(message.includes(at(name)) && message.includes(what), message);
    }
  }
  server.close();
  assert.ok(lstatSync(at('pipe')).isFIFO() && lstatSync('/dev/zero').isCharacterDevice());
  assert.equal(drafts(folder), []);
});

test('names up to the longest that there are', async () => {
  const folder = newFolder();
  const longest = path.join(folder, `${'n'.repeat(244)}.safetensors`.slice(-255));
  await writeFile(longest, bytes('old'));
  await writeFile(longest, bytes('new'));
  assert.is(readFileSync(longest, 'utf8'), 'new');
  const { message } = await refusal(() =>
    requireOtherFile(digits, path.join(folder, `${'n'.repeat(300)}.h5`)),
  );
  assert.match(message, 'the name is too long');
  // Names of shards are longer than that of their list; with a tag they lose their beginning.
  const shards = path.join(fixtures, 'shards.weights.json');
  const long = path.join(folder, `${'é'.repeat(118)}.weights.json`);
  for (let times = 0; times < 3; times++) await saveShards(shards, long);
  assert.is(await sumOf(long), await sumOf(shards));
  assert.is(readdirSync(folder).filter((name) => name.endsWith('.weights.h5')).length, 4);
  const longer = path.join(folder, `${'m'.repeat(241)}.weights.json`);
  assert.match((await refusal(() => saveShards(shards, longer))).message, 'the name is too long');
});

test('leftovers of dead processes go; those of living ones and of others stay', async () => {
  const folder = newFolder();
  const name = async (code: string) => {
    // A process that ends in the middle of writing, and one that is still at it.
    const script = `import { Draft } from ${JSON.stringify(path.join(root, 'src/node/drafts.ts'))};
const draft = new Draft(${JSON.stringify(folder)}); draft.append(new Uint8Array(9)); console.log(draft.path); ${code}`;
    const { stdout } = await run(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: root,
    });
    return path.basename(stdout.trim());
  };
  const dead = await name('process.kill(process.pid, "SIGKILL")');
  assert.equal(readdirSync(folder), [dead]);
  const ended = await name('process.exit(3)');
  const interrupted = await name(
    'process.kill(process.pid, "SIGINT"); await new Promise((r) => setTimeout(r, 5000))',
  );
  assert.equal(readdirSync(folder), [dead], `${ended}, ${interrupted}`);
  let living = '';
  await makeFile(path.join(folder, 'out'), async (draft) => {
    living = path.basename(draft.path);
    await writeFile(path.join(folder, 'second'), bytes('x'));
    assert.equal(readdirSync(folder).sort(), [living, 'second'].sort());
    draft.append(new Uint8Array(3));
  });
  assert.equal(readdirSync(folder), ['out', 'second']);
  // The number of a dead process may be in use again: process 1 of every container is alive.
  const parts = dead.split('-');
  const reused = [parts[0], parts[1], process.ppid, '1', parts[4]].join('-');
  const foreign = [parts[0], '00000000', '1', '1', parts[4]].join('-');
  const stale = foreign.replace('-1-1-', '-1-2-');
  const similar = ['.bitnibble-notes.tmp', `${dead}.txt`, `.${dead}`];
  for (const file of [reused, foreign, stale, ...similar]) writeFileSync(path.join(folder, file), '');
  utimesSync(path.join(folder, stale), 0, 0);
  sweepDrafts(folder);
  const left = process.platform === 'linux' ? [foreign] : [foreign, reused];
  assert.equal(readdirSync(folder).sort(), [...left, ...similar, 'out', 'second'].sort());
});

test('a name taken while the set is written is left to its taker', async () => {
  const folder = newFolder();
  const out = path.join(folder, 'model.json');
  const model = await openKeras(digits);
  const files = layersModelFiles(model, 'model.json');
  function* late() {
    for (const file of files.files) {
      writeFileSync(path.join(folder, 'group1-shard1of1.bin'), 'quicker');
      yield file;
    }
  }
  const [part] = (await saveLayersModel({ ...files, files: late() }, out)) as [string, string];
  model.close();
  assert.match(part, /-[0-9a-f]{8}\.bin$/);
  assert.is(readFileSync(path.join(folder, 'group1-shard1of1.bin'), 'utf8'), 'quicker');
});

test('a failure of the disk while HDF5 writes is the output’s, not the input’s', async () => {
  const folder = newFolder();
  const out = path.join(folder, 'out');
  const error = await refusal(() =>
    makeFile(out, (draft) => {
      // A descriptor that cannot be written to stands for a disk that is full.
      draft.close();
      closeSync(openSync(path.join(folder, 'other'), 'w'));
      try {
        draft.append(new Uint8Array(3));
      } catch {
        throw new BitnibbleError('corrupt-file', 'model.h5: damaged HDF5 object');
      }
    }),
  );
  assert.is(error.code, 'not-writable');
  assert.ok(error.message.includes(out), error.message);
  renameSync(path.join(folder, 'other'), path.join(folder, 'moved'));
  assert.equal(readdirSync(folder), ['moved']);
});

test.run();
