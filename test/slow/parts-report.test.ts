// report in parts, as a command: what merge makes of the parts is what one run gives.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { done, refused, timeless } from '../support/commands.js';
import { root, tempDir } from '../support/needs.js';

const folder = tempDir();
const at = (name: string) => path.join(folder, name);
const digits = path.join(root, 'examples/digits');
const model = path.join(digits, 'digits.h5');
const images = path.join(digits, 'calibration-images-idx3-ubyte.gz');
const text = (name: string) => readFileSync(at(name), 'utf8');

const onFew = ['report', model, '--data', digits, '--limit', '24'];
const report = [...onFew, '--calibrate', images, '--samples', '16', '--mixes', '1'];
/** Nothing is calibrated: that is soon done. */
const bare = [...onFew, '--calibrate', 'none', '--backend', 'bitnibble'];

test('report: the page and the document of one run, but for its times', async () => {
  mkdirSync(at('rows'));
  for (const part of [1, 2])
    await done(...report, '--shard', `${part}/2`, '-o', at(`rows/${part}.part`), '--quiet');
  const page = at('report.html');
  const { stdout } = await done('merge', at('rows/*.part'), '-o', page, '--json');
  const html = readFileSync(page, 'utf8');
  const one = await done(...report, '-o', page, '--json');
  const command = (own: string) => own.replace(' --json"', '"');
  assert.is(command(timeless(stdout)), command(timeless(one.stdout)));
  assert.match(html, '<section class="part"><h2>Time spent');
  // Times are numbers with a unit in the page, bars of a figure, and its date.
  const still = (own: string) =>
    own
      .replace(/<section class="part"><h2>Time spent[\s\S]*?<\/section>/, '')
      .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '')
      .replace(/[\d.,]+(\s|&nbsp;|\u00a0)(s|ms|min)\b/g, '')
      .replace(' --json', '');
  const seconds = /<td[^>]*>[\d.,]+<\/td>/g;
  const apart = still(html)
    .split('\n')
    .filter((line, i) => line !== still(readFileSync(page, 'utf8')).split('\n')[i]);
  assert.equal(
    apart.filter((line) => line.replace(seconds, '') === line),
    [],
  );
  await done('merge', at('rows/*.part'), '-o', at('report.json'), '--quiet');
  assert.is(timeless(text('report.json')).length > 10_000, true);
  const { rows } = JSON.parse(text('report.json'));
  assert.equal(rows, JSON.parse(stdout).rows);
});

test('report: parts of another run, and wrong usage', async () => {
  const [first, second] = [1, 2].map((part) => at(`rows/${part}.part`)) as [string, string];
  const out = ['-o', at('never.html')];
  const other = at('rows-other.part');
  await done(...bare, '--seed', '4', '--shard', '2/2', '-o', other, '--quiet');
  const differs = `${other}: a part of another run than ${first}: its `;
  await refused(1, differs, 'merge', first, other, ...out);
  await done(...bare, '--shard', '1/2', '-o', at('bare-1.part'), '--quiet');
  await refused(1, 'its seed is 4, not 0', 'merge', at('bare-1.part'), other, ...out);
  await done('quantize', model, '--scheme', 'int4', '--shard', '2/2', '-o', at('quantized.part'), '--quiet');
  await refused(1, 'its command is "quantize", not "report"', 'merge', first, at('quantized.part'), ...out);
  await refused(1, 'parts are missing: 2/2', 'merge', first, ...out);
  await refused(2, '--output expected a name ending in .html, or .json', 'merge', first, second, '-o', other);
  await refused(
    2,
    '--bits is for parts of sensitivity, got parts of report',
    'merge',
    first,
    second,
    ...out,
    '--bits',
    '2',
  );
  await refused(2, '--shard needs --output with a name ending in .part', ...bare, '--shard', '1/2', ...out);
  await refused(2, 'parts are for --shard', ...bare, '-o', at('never.part'));
  assert.not(existsSync(at('never.html')));
});

test.run();
