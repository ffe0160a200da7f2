import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root } from '../support/needs.js';

const source = path.join(root, 'src');

/** Rooms from the ground up. Imports go down, or stay in their room; rooms of one level do not see each other. */
const LEVELS: Readonly<Record<string, number>> = {
  'errors.ts': 0,
  'model.ts': 0,
  'tensorflow.ts': 0,
  'shape.ts': 0.5,
  kernels: 1,
  formats: 1,
  schemes: 2,
  network: 2,
  keras: 3,
  packed: 3,
  export: 3.5,
  onnx: 4,
  litert: 4,
  tfjs: 4,
  runtime: 4,
  data: 4,
  pipeline: 5,
  report: 5.5,
  node: 6,
  cli: 7,
  'index.ts': 5,
  'reader.ts': 4,
};
const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.ts'),
);

interface Import {
  readonly from: string;
  readonly to: string;
  readonly isType: boolean;
}

const imports: Import[] = files.flatMap((from) => {
  const text = readFileSync(path.join(source, from), 'utf8');
  const statements = text.matchAll(
    /^(?:import|export)\s+(type\s)?[^;'"]*?from\s+'([^']+)';|(typeof )?\bimport\('([^']+)'\)|^import '([^']+)';/gm,
  );
  // The type of a package's module says nothing of what is loaded.
  const counted = [...statements].filter(([, , , typeOf, to]) => !typeOf || to?.startsWith('.'));
  return counted.map(([, type, named, typeOf, dynamic, bare]) => ({
    from,
    to: (named ?? dynamic ?? bare) as string,
    isType: (type ?? typeOf) !== undefined,
  }));
});

const roomOf = (file: string) => file.split(/[\\/]/)[0] as string;
const target = ({ from, to }: Import) =>
  path.relative(source, path.resolve(source, path.dirname(from), to)).replace(/\.js$/, '.ts');

test('every room has a level', () => {
  assert.equal(
    [...new Set(files.map(roomOf))].filter((room) => !(room in LEVELS)),
    [],
  );
  assert.ok(imports.length > 100, `${imports.length} imports were found`);
});

test('imports go down', () => {
  for (const item of imports.filter(({ to }) => to.startsWith('.'))) {
    const from = roomOf(item.from);
    const to = roomOf(target(item));
    const isDown = from === to || (LEVELS[to] as number) < (LEVELS[from] as number);
    assert.ok(isDown, `${item.from} imports ${item.to}: ${to} is not below ${from}`);
  }
});

/** Files that import each other, types included: each group once. */
function circles(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const reached = (start: string): Set<string> => {
    const seen = new Set<string>();
    const queue = [...(edges.get(start) ?? [])];
    for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
      if (seen.has(file)) continue;
      seen.add(file);
      queue.push(...(edges.get(file) ?? []));
    }
    return seen;
  };
  const after = new Map([...edges.keys()].map((file) => [file, reached(file)]));
  const inCircle = [...edges.keys()].filter((file) => after.get(file)?.has(file));
  const groups = inCircle.map((file) =>
    inCircle.filter((other) => after.get(file)?.has(other) && after.get(other)?.has(file)),
  );
  return groups.filter((group, i) => group[0] === inCircle[i]);
}

test('no file imports itself in a circle, in its room or beyond, by type or by value', () => {
  const edges = new Map<string, string[]>();
  for (const item of imports.filter(({ to }) => to.startsWith('.')))
    edges.set(item.from, [...(edges.get(item.from) ?? []), target(item)]);
  assert.equal(circles(edges), []);
  const ring = new Map([
    ['a', ['b']],
    ['b', ['c', 'd']],
    ['c', ['a']],
    ['d', ['d']],
    ['e', ['a']],
  ]);
  assert.equal(circles(ring), [['a', 'b', 'c'], ['d']]);
});

test('only the rooms on top know Node.js, and each package has its importer', () => {
  for (const { from, to, isType } of imports) {
    const room = roomOf(from);
    if (to.startsWith('node:')) assert.ok(room === 'node' || room === 'cli', `${from} imports ${to}`);
    if (to === 'linkedom' || to === '@observablehq/plot') assert.is(room, 'report', `${from} imports ${to}`);
    if (to === 'h5wasm') assert.is(from.replaceAll('\\', '/'), 'keras/h5-library.ts');
    if (to.startsWith('@tensorflow/') && room !== 'node')
      assert.ok(isType, `${from} imports ${to} as a value`);
  }
});

/** What the files of an entry point pull in, by value. */
function reach(entry: string): Set<string> {
  const seen = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const item of imports.filter(({ from, isType }) => from === file && !isType)) {
      visit(item.to.startsWith('.') ? target(item) : item.to);
    }
  };
  visit(entry);
  return seen;
}

for (const entry of ['index.ts', 'reader.ts', path.join('packed', 'shards', 'index.ts')]) {
  test(`${entry} pulls in no package and no Node.js at all`, () => {
    const outside = [...reach(entry)].filter((name) => !name.endsWith('.ts'));
    assert.equal(outside, []);
  });
}

test('the reader pulls in no writer and none of the kernels that quantize', () => {
  const packing = ['embedded', 'wasm', 'wasm-stats', 'reference'].map((name) => `kernels/${name}.ts`);
  const found = [...reach('reader.ts')].map((name) => name.replaceAll('\\', '/'));
  assert.equal(
    found.filter((name) => [...packing, 'packed/write.ts'].includes(name)),
    [],
  );
  assert.ok(found.includes('kernels/embedded-reader.ts'));
});

test('files stay under about 400 lines', () => {
  const long = files.filter((file) => readFileSync(path.join(source, file), 'utf8').split('\n').length > 401);
  assert.equal(
    long.filter((file) => !/embedded[-a-z]*\.ts$/.test(file)),
    [],
  );
});

test.run();
