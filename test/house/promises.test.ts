// docs/TESTING.md says which test keeps which promise: each is there, by its name.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root } from '../support/needs.js';

test('every promise names a test that is there', () => {
  const document = readFileSync(path.join(root, 'docs/TESTING.md'), 'utf8');
  const section = document.split('\n## Promises\n')[1]?.split('\n## ')[0] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('| ') && line.endsWith('` |'));
  assert.ok(rows.length > 40, `${rows.length} promises`);
  for (const row of rows) {
    const [promise = '', name = '', file = ''] = row.slice(2, -2).split(' | ');
    const source = readFileSync(path.join(root, 'test', `${file.replaceAll('`', '')}.test.ts`), 'utf8');
    const isThere = [`'${name.replaceAll("'", "\\'")}`, `"${name}`].some((quoted) => source.includes(quoted));
    assert.ok(isThere, `${promise}: no test ${name} in ${file}`);
  }
});

test.run();
