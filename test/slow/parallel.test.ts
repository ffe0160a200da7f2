// Jobs in parts: run by GNU parallel, one of them killed in the middle; and the lines of docs/CLUSTER.md for other engines.
import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { done } from '../support/commands.js';
import { cliArguments, need, root, runCli, runPython, tempDir } from '../support/needs.js';

const folder = tempDir();
const at = (name: string) => path.join(folder, name);
const page = readFileSync(path.join(root, 'docs/CLUSTER.md'), 'utf8');
const digits = path.join(root, 'examples/digits/digits.h5');

/** The process that writes a draft, of its name. */
const WRITER = /^\.bitnibble-[0-9a-f]{8}-(\d+)-\d+-[0-9a-f]{16}\.tmp$/;

need(
  test,
  'parallel',
  'keras',
)('GNU parallel: one job is killed in the middle, and nothing is lost', async ({ parallel }) => {
  const [input, parts] = [at('large.h5'), at('parts')];
  mkdirSync(parts);
  await runPython(readFileSync(path.join(root, 'bench/large_model.py'), 'utf8'), [input, '4', 'sparse']);
  // Kernels of a gigabyte that take hardly any room: some of their rows are no zeros.
  const fd = openSync(input, 'r+');
  for (let i = 0; i < 16; i++)
    writeSync(
      fd,
      Float32Array.from({ length: 4096 }, (_, k) => Math.sin(i + k) / 9),
      0,
      16_384,
      i * 2 ** 26 + 2 ** 25,
    );
  closeSync(fd);
  const coding = ['--scheme', 'int4', '--granularity', 'group', '--group-size', '32'];
  const command = [
    process.execPath,
    ...cliArguments(),
    'quantize',
    input,
    '-o',
    `${parts}/{}.part`,
    ...coding,
  ];
  const log = at('sweep.log');
  const sweep = spawn(
    parallel,
    [
      '--will-cite',
      '--jobs',
      '2',
      '--retries',
      '3',
      '--joblog',
      log,
      '--quote',
      ...command,
      '--quiet',
      '--shard',
      '{}/4',
      ':::',
      '1',
      '2',
      '3',
      '4',
    ],
    { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let said = '';
  for (const stream of [sweep.stdout, sweep.stderr]) stream.on('data', (piece) => (said += piece));
  let killed: number | undefined;
  const watch = setInterval(() => {
    const draft = readdirSync(parts).find((name) => WRITER.test(name));
    if (draft === undefined || killed !== undefined) return;
    if ((statSync(path.join(parts, draft), { throwIfNoEntry: false })?.size ?? 0) === 0) return;
    killed = Number(WRITER.exec(draft)?.[1]);
    process.kill(killed, 'SIGKILL');
  }, 2);
  const status = await new Promise<number | null>((resolve) => sweep.on('close', resolve));
  clearInterval(watch);
  assert.is(status, 0, said);
  assert.ok(killed !== undefined, 'a job was killed while it wrote');
  assert.equal(
    readdirSync(parts).sort(),
    ['1.part', '2.part', '3.part', '4.part'],
    'no part is missing, no draft is left',
  );
  await done('quantize', input, '-o', at('one.safetensors'), ...coding, '--quiet');
  await done('merge', `${parts}/*.part`, '-o', at('merged.safetensors'), '--quiet');
  assert.is(spawnSync('cmp', [at('merged.safetensors'), at('one.safetensors')]).status, 0);
});

need(test, 'parallel')(
  'GNU parallel: sensitivities of layers in parts give the recipe of one run',
  async ({ parallel }) => {
    mkdirSync(at('layers'));
    const images = path.join(root, 'examples/digits/calibration-images-idx3-ubyte.gz');
    const measured = ['sensitivity', digits, '--data', images, '--limit', '48'];
    const command = [process.execPath, ...cliArguments(), ...measured, '--quiet', '--shard', '{}/3'];
    const how = ['--will-cite', '--jobs', '2', '--retries', '3', '--quote'];
    const { status, stderr } = spawnSync(
      parallel,
      [...how, ...command, '-o', at('layers/{}.part'), ':::', '3', '1', '2'],
      { cwd: folder, encoding: 'utf8' },
    );
    assert.is(status, 0, stderr);
    await done('merge', at('layers/*.part'), '-o', at('merged.json'), '--bits', '2', '--quiet');
    await done(...measured, '--bits', '2', '-o', at('one.json'), '--quiet');
    assert.is(readFileSync(at('merged.json'), 'utf8'), readFileSync(at('one.json'), 'utf8'));
  },
);

test('the lines of docs/CLUSTER.md divide the job, whatever counts', async () => {
  const engines = [
    ['SLURM_ARRAY_TASK_ID', [1, 2, 3, 4, 5, 6, 7, 8]],
    ['JOB_COMPLETION_INDEX', [0, 1, 2, 3, 4, 5, 6, 7]],
    ['AWS_BATCH_JOB_ARRAY_INDEX', [0, 1, 2, 3, 4, 5, 6, 7]],
  ] as const;
  const made = new Set<string>();
  for (const [variable, indices] of engines) {
    const lines = page.split('\n');
    const first = lines.findIndex((line) => line.includes('bitnibble quantize') && line.includes(variable));
    let text = (lines[first] as string).trim();
    for (let next = first + 1; text.endsWith('\\'); next++)
      text = `${text.slice(0, -1)}${(lines[next] as string).trim()}`;
    // The command of the JSON document is a JSON string.
    if (text.startsWith('"')) text = JSON.parse(text.replace(/,$/, '')) as string;
    const command = text
      .replace('cd /models && ', '')
      .replace(
        /npx (--yes )?bitnibble/,
        [process.execPath, ...cliArguments()].map((part) => `'${part}'`).join(' '),
      )
      .replace('large.h5', `'${digits}'`);
    const own = at(variable);
    mkdirSync(path.join(own, 'parts'), { recursive: true });
    for (const index of indices) {
      const { status, stderr } = spawnSync('sh', ['-c', command], {
        cwd: own,
        encoding: 'utf8',
        env: { ...process.env, [variable]: String(index) },
      });
      assert.is(status, 0, `${command}: ${stderr}`);
    }
    const merged = path.join(own, 'large.safetensors');
    await done('merge', path.join(own, 'parts/*.part'), '-o', merged, '--quiet');
    made.add(readFileSync(merged).toString('base64'));
  }
  await done('quantize', digits, '-o', at('digits.safetensors'), '--scheme', 'int4', '--quiet');
  assert.equal([...made], [readFileSync(at('digits.safetensors')).toString('base64')]);
});

test('compare in parts: the document of one run, but for its times', async () => {
  mkdirSync(at('rows'));
  const options = ['--data', path.join(root, 'examples/digits'), '--limit', '60', '--backend', 'bitnibble'];
  for (const part of [1, 2, 3])
    await done(
      'compare',
      digits,
      ...options,
      '--shard',
      `${part}/3`,
      '-o',
      at(`rows/${part}.part`),
      '--quiet',
    );
  const merged = await done('merge', at('rows/*.part'), '-o', at('rows.json'));
  const one = await done('compare', digits, ...options, '--json');
  const timeless = (text: string) => text.replace(/"(seconds|imagesPerSecond)": [\d.e+-]+/g, '"$1": 0');
  assert.is(timeless(readFileSync(at('rows.json'), 'utf8')), timeless(one.stdout));
  const table = await done('compare', digits, ...options);
  const rows = (text: string) =>
    text.split('\n').filter((line) => /^(float32|binary|int|kernels|every)/.test(line));
  assert.ok(rows(table.stdout).length > 10);
  assert.equal(rows(merged.stdout), rows(table.stdout));
  for (const [more, text] of [
    [['--limit', '61'], 'its data is '],
    [['--batch', '7'], 'its batch is 7, not 100'],
  ] as const) {
    await done('compare', digits, ...options, ...more, '--shard', '2/3', '-o', at('other.part'), '--quiet');
    const { status, stderr } = await runCli([
      'merge',
      at('rows/1.part'),
      at('other.part'),
      at('rows/3.part'),
      '-o',
      at('x.json'),
    ]);
    assert.is(status, 1);
    assert.match(stderr, `${at('other.part')}: a part of another run than ${at('rows/1.part')}: ${text}`);
  }
  assert.not(existsSync(at('x.json')));
});

test('wrong usage is refused before the work', async () => {
  writeFileSync(at('text.part'), 'no part');
  await done('quantize', digits, '-o', at('alone.part'), '--scheme', 'int4', '--shard', '1/1', '--quiet');
  for (const [args, status, text] of [
    [
      ['quantize', digits, '-o', at('a.part'), '--scheme', 'int4', '--shard', '0/2'],
      2,
      '--shard expected a part and their number, as 2/4, counted from 1, got 0/2',
    ],
    [['quantize', digits, '-o', at('a.part'), '--scheme', 'int4', '--shard', '3/2'], 2, 'got 3/2'],
    [
      ['quantize', digits, '-o', at('a.safetensors'), '--scheme', 'int4', '--shard', '1/2'],
      2,
      '--output expected a name ending in .part',
    ],
    [
      ['quantize', digits, '-o', at('a.part'), '--scheme', 'int4'],
      2,
      '--output expected a name ending in .safetensors',
    ],
    [
      ['quantize', digits, '-o', at('a.part'), '--scheme', 'int4', '--shard', '1/2', '--shard-size', '1GB'],
      2,
      'exclude each other',
    ],
    [
      ['compare', digits, '--data', folder, '--shard', '1/2'],
      2,
      '--shard needs --output with a name ending in .part, got none',
    ],
    [['compare', digits, '--data', folder, '-o', at('a.part')], 2, '--output needs --shard'],
    [['merge', at('text.part'), '-o', at('a.safetensors')], 1, 'text.part: expected a safetensors file'],
    [['merge', digits, '-o', at('a.safetensors')], 1, 'expected a safetensors file'],
    [['merge', at('alone.part'), '-o', at('a.json')], 2, '--output expected a name ending in .safetensors'],
    [
      ['merge', at('alone.part'), '-o', at('a.safetensors'), '--shard-size', '1GB'],
      2,
      '.safetensors.index.json, for shards',
    ],
    [['merge', at('*.none'), '-o', at('a.safetensors')], 1, 'no file fits this pattern'],
  ] as const) {
    const result = await runCli([...args]);
    assert.match(result.stderr, text);
    assert.is(result.status, status, result.stderr);
  }
  assert.equal(
    readdirSync(folder).filter((name) => name.startsWith('a.')),
    [],
  );
});

test.run();
