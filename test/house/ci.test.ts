// The run for every change leaves nothing out: what needs tfjs-node runs where it is built.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root } from '../support/needs.js';

const script = readFileSync(path.join(root, '.ci/run'), 'utf8');
const listed = (name: string): string[] => {
  const [, inside] = new RegExp(`^${name}=\\(([^)]*)\\)`, 'm').exec(script) ?? [];
  return inside?.trim().split(/\s+/) ?? [];
};
const files = readdirSync(path.join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.test.ts'));

test('every test that needs tfjs-node is in the run that has it', () => {
  const names = [...listed('native'), ...listed('with_data')];
  const asking = files.filter((file) =>
    /\bneed\([^)]*'tfjs-node'/.test(readFileSync(path.join(root, 'test', file), 'utf8')),
  );
  assert.ok(asking.length > 5, asking.join());
  assert.equal(
    asking.filter((file) => !names.some((name) => file.includes(name)) && !file.startsWith('support/')),
    [],
  );
});

test('names of .ci/run are names of tests', () => {
  for (const name of ['required', 'native', 'with_data'].flatMap(listed))
    assert.ok(
      files.some((file) => file.includes(name)),
      name,
    );
});

test.run();
