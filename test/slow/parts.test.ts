// sensitivity and calibrate in parts, as commands: what merge makes of the parts is what one run gives.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { done, refused, timeless } from '../support/commands.js';
import { root, runCli, tempDir } from '../support/needs.js';

const folder = tempDir();
const at = (name: string) => path.join(folder, name);
const digits = path.join(root, 'examples/digits');
const model = path.join(digits, 'digits.h5');
const images = path.join(digits, 'calibration-images-idx3-ubyte.gz');
const text = (name: string) => readFileSync(at(name), 'utf8');

const measured = ['sensitivity', model, '--data', images, '--limit', '64'];

test('sensitivity: the document, the table and the recipe of one run', async () => {
  mkdirSync(at('layers'));
  for (const part of [1, 2, 3])
    await done(...measured, '--shard', `${part}/3`, '-o', at(`layers/${part}.part`), '--quiet');
  const merged = await done('merge', at('layers/*.part'), '-o', at('layers.json'));
  const one = await done(...measured, '--json');
  assert.is(timeless(text('layers.json')), timeless(one.stdout));
  await done('merge', at('layers/*.part'), '-o', at('recipe.json'), '--bits', '1.6', '--quiet');
  const chosen = await done(...measured, '--bits', '1.6', '-o', at('one.json'));
  assert.is(text('recipe.json'), text('one.json'));
  const rows = (own: string) => own.split('\n').filter((line) => /^(conv|dense|digit)/.test(line));
  assert.is(rows(merged.stdout).length, 7);
  assert.equal(rows(merged.stdout), rows(chosen.stdout).slice(0, 7));
});

test('sensitivity: parts that are missing, doubled or of another run are named', async () => {
  const [first, second, third] = [1, 2, 3].map((part) => at(`layers/${part}.part`)) as [
    string,
    string,
    string,
  ];
  const out = ['-o', at('never.json')];
  await refused(1, 'parts are missing: 2/3', 'merge', third, first, ...out);
  copyFileSync(second, at('again.part'));
  await refused(
    1,
    `${second}: part 2/3 again, as ${at('again.part')}`,
    'merge',
    at('again.part'),
    first,
    second,
    third,
    ...out,
  );
  for (const [more, what] of [
    [['--schemes', 'binary,int4'], 'its schemes is '],
    [['--no-fold'], 'its fold is false, not true'],
    [['--limit', '48'], 'its data is '],
  ] as const) {
    const other = at('other.part');
    await done(...measured, ...more, '--shard', '3/3', '-o', other, '--quiet');
    await refused(
      1,
      `${other}: a part of another run than ${first}: ${what}`,
      'merge',
      first,
      second,
      other,
      ...out,
    );
  }
  await refused(1, 'a budget of', 'merge', first, second, third, ...out, '--bits', '0.5');
  await refused(
    2,
    '--output expected a name ending in .json',
    'merge',
    first,
    second,
    third,
    '-o',
    at('never.html'),
  );
  await refused(
    2,
    '--shard-size is for parts of quantize, got parts of sensitivity',
    'merge',
    first,
    second,
    third,
    ...out,
    '--shard-size',
    '1GB',
  );
  const shard = ['--shard', '1/2', '-o', at('never.part')];
  await refused(2, 'merge takes --bits', ...measured, ...shard, '--bits', '2');
  await refused(2, 'merge, which does not have the model;', ...measured, ...shard, '--target-bytes', '30000');
  await refused(
    2,
    'merge, which does not have the model and the data;',
    ...measured,
    ...shard,
    '--max-drop',
    '0.1',
  );
  await refused(
    2,
    '--shard needs --output with a name ending in .part',
    ...measured,
    '--shard',
    '1/2',
    ...out,
  );
  assert.not(existsSync(at('never.json')));
  assert.not(existsSync(at('never.part')));
});

const fitted = ['--data', images, '--limit', '64', '--scheme', 'binary'];

test('calibrate: models of all parts are those of one run, and merge tells which are not there', async () => {
  for (const name of ['models', 'parts', 'whole']) mkdirSync(at(name));
  for (const name of ['a', 'b', 'c']) copyFileSync(model, at(`models/${name}.h5`));
  for (const part of [1, 2])
    await done(
      'calibrate',
      at('models/*.h5'),
      ...fitted,
      '-o',
      at('parts'),
      '--shard',
      `${part}/2`,
      '--quiet',
    );
  const names = ['a.safetensors', 'b.safetensors', 'c.safetensors'];
  assert.equal(readdirSync(at('parts')).sort(), [...names, 'calibrate-1-of-2.part', 'calibrate-2-of-2.part']);
  const one = await done('calibrate', at('models/*.h5'), ...fitted, '-o', at('whole'), '--json');
  for (const name of names)
    assert.equal(readFileSync(at(`parts/${name}`)), readFileSync(at(`whole/${name}`)), name);
  await done('merge', at('parts/*.part'), '-o', at('calibrated.json'));
  assert.is(timeless(text('calibrated.json')).replaceAll(at('parts'), at('whole')), timeless(one.stdout));

  const out = ['-o', at('never.json')];
  const merge = ['merge', at('parts/*.part'), ...out];
  const kept = readFileSync(at('parts/b.safetensors'));
  writeFileSync(at('parts/b.safetensors'), 'other');
  await refused(1, `${at('parts/b.safetensors')}: not the file that part 2/2`, ...merge);
  rmSync(at('parts/b.safetensors'));
  await refused(1, `${at('parts/b.safetensors')}: missing: part 2/2`, ...merge);
  writeFileSync(at('parts/b.safetensors'), kept);
  await refused(1, 'parts are missing: 2/2', 'merge', at('parts/calibrate-1-of-2.part'), ...out);
  for (const [list, more, what] of [
    [at('models/{a,b}.h5'), [], 'its models is ["a.safetensors","b.safetensors"], not '],
    [at('models/*.h5'), ['--seed', '5'], 'its seed is 5, not 0'],
    [at('models/*.h5'), ['--limit', '63'], 'its limit is 63, not 64'],
  ] as const) {
    await done('calibrate', list, ...fitted, ...more, '-o', at('parts'), '--shard', '2/2', '--quiet');
    await refused(
      1,
      `calibrate-2-of-2.part: a part of another run than ${at('parts/calibrate-1-of-2.part')}: ${what}`,
      ...merge,
    );
  }
  assert.not(existsSync(at('never.json')));
});

test('calibrate: a model that is no good keeps its part away, and not the other models', async () => {
  mkdirSync(at('some'));
  writeFileSync(at('models/bad.h5'), 'no model');
  const args = [at('models/{a,bad}.h5'), ...fitted, '-o', at('some')];
  const result = await runCli(['calibrate', ...args, '--shard', '1/1']);
  assert.is(result.status, 1);
  assert.match(result.stderr, /bad\.h5/);
  assert.match(result.stderr, '1 of 2 files were not calibrated');
  assert.equal(readdirSync(at('some')), ['a.safetensors']);
  await refused(
    2,
    '--shard needs --output naming a folder that is there',
    'calibrate',
    model,
    ...fitted,
    '--shard',
    '1/2',
    '-o',
    at('x.safetensors'),
  );
  await refused(
    2,
    '--output expected a folder that is there',
    'calibrate',
    at('models/{a,b}.h5'),
    ...fitted,
    '-o',
    at('x.safetensors'),
  );
  await refused(
    2,
    '--output expected a name ending in .safetensors, .h5 or .keras',
    'calibrate',
    model,
    ...fitted,
    '-o',
    at('x.safetensors.index.json'),
  );
});

test.run();
