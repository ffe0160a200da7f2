// Assertions of tests that would hold nothing.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root } from '../support/needs.js';

/** Places of `assert.throws` with a text or a class behind the call, which uvu does not look at. */
function emptyThrows(name: string, text: string): string[] {
  const source = ts.createSourceFile(name, text, ts.ScriptTarget.Latest);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    ts.forEachChild(node, visit);
    if (!ts.isCallExpression(node) || node.expression.getText(source) !== 'assert.throws') return;
    const [, expected] = node.arguments;
    const isEmpty =
      expected === undefined
        ? false
        : ts.isStringLiteralLike(expected) ||
          ts.isTemplateExpression(expected) ||
          (ts.isIdentifier(expected) && /^[A-Z]\w*Error$|^Error$/.test(expected.text));
    if (isEmpty)
      found.push(`${name}:${source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1}`);
  };
  visit(source);
  return found;
}

test('assert.throws is given a pattern or a function: it holds neither a text nor a class (test/support/throws.ts does)', () => {
  assert.equal(emptyThrows('a.ts', "assert.throws(f, 'x');\nassert.throws(f, RangeError, 'y');\n"), [
    ...['a.ts:1', 'a.ts:2'],
  ]);
  assert.equal(emptyThrows('a.ts', 'assert.throws(f, /x/); assert.throws(f); assert.throws(f, check);'), []);
  const folder = path.join(root, 'test');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const wrong = files.flatMap((name) => {
    const text = readFileSync(path.join(folder, name), 'utf8');
    return text.includes('assert.throws(') ? emptyThrows(name, text) : [];
  });
  assert.equal(wrong, []);
});

test.run();
