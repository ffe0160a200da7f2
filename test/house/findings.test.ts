// Every script of findings/ can be run as it stands, and its README tells of it.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root } from '../support/needs.js';

const folder = path.join(root, 'findings');
const scripts = readdirSync(folder).filter((name) => name.endsWith('.sh') && name !== 'lib.sh');

test('every script has the run bit and a row of its own', () => {
  const readme = readFileSync(path.join(folder, 'README.md'), 'utf8');
  const rows = [...readme.matchAll(/^\| \[[\w-]+\]\(([\w-]+\.sh)\) \|/gm)].map(([, name]) => name);
  assert.equal(rows.sort(), scripts.sort());
  // Windows has no such bit.
  const still = scripts.filter((name) => !(statSync(path.join(folder, name)).mode & 0o111));
  if (process.platform !== 'win32') assert.equal(still, []);
});

test.run();
