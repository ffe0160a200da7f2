// scripts/release.js refuses before it publishes.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root, run } from '../support/needs.js';

const { ACTIONS_ID_TOKEN_REQUEST_URL: _, ...env } = process.env;
const release = (...args: string[]) =>
  run(process.execPath, ['scripts/release.js', ...args], { cwd: root, env });

test('nothing is published where the runner cannot sign', async () => {
  const { status, stderr } = await release();
  assert.is(status, 1);
  assert.match(stderr, 'provenance is signed by the runner');
  assert.match(stderr, 'nothing was published');
});

test('an unknown option is named', async () => {
  const { status, stderr } = await release('--yes');
  assert.is(status, 2);
  assert.match(stderr, 'unknown option --yes');
});

test.run();
