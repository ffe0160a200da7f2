// Editors show what stands above a field: every option has it.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root } from '../support/needs.js';

const source = path.join(root, 'src');

/** Exported interfaces and types called `...Options`, and their fields, that have no documentation. */
function undocumented(
  name: string,
  text: string,
  isPublic = (_: string) => true,
): { options: number; bare: string[] } {
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.ES2022, true);
  const bare: string[] = [];
  let options = 0;
  const check = (node: ts.Node, label: string): void => {
    const before = text.slice(node.pos, node.getStart(file, false));
    if (!before.includes('/**')) bare.push(`${name}: ${label}`);
  };
  const fields = (node: ts.Node, label: string): void => {
    ts.forEachChild(node, (child) => {
      const own = ts.isPropertySignature(child) ? `${label}.${child.name.getText(file)}` : label;
      if (ts.isPropertySignature(child)) check(child, own);
      fields(child, own);
    });
  };
  for (const statement of file.statements) {
    if (!ts.isInterfaceDeclaration(statement) && !ts.isTypeAliasDeclaration(statement)) continue;
    const isExported = statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
    const label = statement.name.text;
    if (!isExported || !label.endsWith('Options') || !isPublic(label)) continue;
    options++;
    check(statement, label);
    fields(statement, label);
  }
  return { options, bare };
}

test('every option type and every field of it is documented', () => {
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const entries = files.filter((name) => /^(\w+[\\/])?(index|reader)\.ts$/.test(name));
  const read = (name: string) => readFileSync(path.join(source, name), 'utf8');
  const isPublic = new Set(entries.flatMap((name) => read(name).match(/\b\w+Options\b/g) ?? []));
  const found = files.map((name) => undocumented(name, read(name), (label) => isPublic.has(label)));
  assert.ok(found.reduce((sum, { options }) => sum + options, 0) > 25);
  assert.equal(
    found.flatMap(({ bare }) => bare),
    [],
  );
});

test('what has no documentation is found, inside of fields too', () => {
  const text =
    'export interface AOptions { /** x */ x: 1; y: { /** z */ z: 1; w: 2 } } interface BOptions { x: 1 }';
  assert.equal(undocumented('a.ts', text), {
    options: 1,
    bare: ['a.ts: AOptions', 'a.ts: AOptions.y', 'a.ts: AOptions.y.w'],
  });
});

test.run();
