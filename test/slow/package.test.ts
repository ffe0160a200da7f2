// What npm would publish, packed, installed into an empty project and used there as a stranger would.
import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { npm } from '../../scripts/lib/project.js';
import { dense, fakeKeras } from '../support/h5.js';
import { need, root, run, tempDir } from '../support/needs.js';

const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const modules = Object.entries<string | { default: string }>(manifest.exports)
  .filter(([subpath, target]) => typeof target === 'object' && !subpath.endsWith('.wasm'))
  .map(([subpath]) => subpath.replace('.', 'bitnibble'));

const test = suite('package');
let tarball = '';
let packed: string[] = [];
let project = '';

test.before(async () => {
  assert.ok(existsSync(path.join(root, 'dist')), 'dist/ is not built: run `npm run build` first');
  const folder = tempDir();
  const pack = await npm(['pack', '--json', '--ignore-scripts', '--pack-destination', folder]);
  const json = JSON.parse(pack.stdout);
  // npm 12 answers with an object keyed by name, earlier ones with a list.
  const [report] = Object.values<{ filename: string; files: { path: string }[] }>(json);
  assert.ok(report, pack.output);
  tarball = path.join(folder, report.filename);
  packed = report.files.map((file) => file.path);

  project = tempDir();
  writeFileSync(path.join(project, 'package.json'), '{ "private": true, "type": "module" }');
  const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  const install = await npm(['install', ...flags, tarball], { cwd: project, timeout: 300_000 });
  assert.is(install.status, 0, install.output);
});

/** Runs an ES module of the empty project. */
async function runThere(code: string): Promise<string> {
  const file = path.join(project, 'try.js');
  writeFileSync(file, code);
  const { status, stdout, output } = await run(process.execPath, [file], { cwd: project });
  assert.is(status, 0, output);
  return stdout;
}

test('holds what is used and nothing else', () => {
  const needed = ['package.json', 'LICENSE', 'dist/index.js', 'dist/index.d.ts', 'dist/reader.js'];
  for (const file of [
    ...needed,
    'build/kernels.wasm',
    'build/reader.wasm',
    'build/linalg.wasm',
    'build/runtime-plain.wasm',
    'build/runtime.wasm',
  ]) {
    assert.ok(packed.includes(file), `${file} is missing`);
  }
  const known =
    /^(package\.json|LICENSE|README\.md|CHANGELOG\.md|SECURITY\.md|assembly\/module\.d\.ts|build\/(kernels|reader|linalg|runtime|runtime-plain)\.wasm|(dist|docs|examples\/digits)\/.+)$/;
  assert.equal(
    packed.filter((file) => !known.test(file) || file.startsWith('docs/api/')),
    [],
  );
  const dotfiles = packed.filter((file) => file.split('/').some((part) => part.startsWith('.')));
  assert.equal(dotfiles, []);
});

test('a default install brings neither TensorFlow.js nor figures, and less than 25 MB', () => {
  const installed = path.join(project, 'node_modules');
  for (const name of Object.keys(manifest.peerDependencies)) {
    assert.ok(manifest.peerDependenciesMeta[name]?.optional, name);
    assert.is(existsSync(path.join(installed, name)), false, name);
  }
  const bytes = readdirSync(installed, { recursive: true, encoding: 'utf8' })
    .map((name) => lstatSync(path.join(installed, name)))
    .reduce((sum, entry) => sum + (entry.isFile() ? entry.size : 0), 0);
  assert.ok(bytes > 15e6 && bytes < 25e6, `${bytes} bytes`);
});

for (const name of modules) {
  test(`import of ${name}`, async () => {
    const printed = await runThere(`console.log(Object.keys(await import('${name}')).length);`);
    assert.ok(Number(printed) > 0, `${name} exports nothing`);
  });
}

test('import of the WebAssembly modules and of package.json', async () => {
  const printed = await runThere(`
    import { readFileSync } from 'node:fs';
    import { createRequire } from 'node:module';
    const valid = (name) => WebAssembly.validate(readFileSync(new URL(import.meta.resolve(name))));
    const { version } = createRequire(import.meta.url)('bitnibble/package.json');
    console.log(valid('bitnibble/kernels.wasm'), valid('bitnibble/reader.wasm'), valid('bitnibble/linalg.wasm'), version);`);
  assert.is(printed.trim(), `true true true ${manifest.version}`);
});

for (const moduleResolution of ['NodeNext', 'Bundler']) {
  test(`types, with moduleResolution ${moduleResolution}`, async () => {
    const lines = modules.flatMap((name, index) => [
      `import * as m${index} from '${name}';`,
      // An `any` would take every assignment, so a declaration that is not found cannot hide.
      `export const typed${index}: 0 extends 1 & typeof m${index} ? never : typeof m${index} = m${index};`,
    ]);
    writeFileSync(path.join(project, 'try.ts'), lines.join('\n'));
    const module = moduleResolution === 'NodeNext' ? 'NodeNext' : 'ESNext';
    const compilerOptions = {
      ...{ module, moduleResolution, target: 'ES2022', lib: ['ES2023', 'DOM'], types: [] },
      ...{ strict: true, noEmit: true, skipLibCheck: true },
    };
    writeFileSync(
      path.join(project, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['try.ts'] }),
    );
    const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
    const { status, output } = await run(process.execPath, [tsc], { cwd: project });
    assert.is(status, 0, output);
  });
}

/** Compiles a program as strictly as TypeScript can, libraries checked. */
async function compilesStrictly(name: string, lines: readonly string[]): Promise<void> {
  writeFileSync(path.join(project, `${name}.ts`), lines.join('\n'));
  const compilerOptions = {
    ...{
      module: 'NodeNext',
      moduleResolution: 'NodeNext',
      target: 'ES2022',
      lib: ['ES2023', 'DOM'],
      types: ['node'],
      typeRoots: [path.join(root, 'node_modules/@types')],
    },
    ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
    ...{ noEmit: true, skipLibCheck: false },
  };
  const config = path.join(project, `tsconfig.${name}.json`);
  writeFileSync(config, JSON.stringify({ compilerOptions, files: [`${name}.ts`] }));
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  const { status, output } = await run(process.execPath, [tsc, '-p', config], { cwd: project });
  assert.is(status, 0, output);
}

test('types in a strict project that checks libraries, without TensorFlow.js; modules import as modules', async () => {
  const lines = [
    "import { loadTensorFlow } from 'bitnibble/node';",
    "import { loadDecoder } from 'bitnibble/reader';",
    "import reader from 'bitnibble/reader.wasm';",
    ...['kernels', 'linalg', 'runtime'].map((name) => `import ${name} from 'bitnibble/${name}.wasm';`),
    ...['', '/data', '/keras', '/network', '/onnx', '/runtime'].map(
      (name, i) => `import * as m${i} from 'bitnibble${name}';`,
    ),
    'export const modules: WebAssembly.Module[] = [kernels, linalg, reader, runtime];',
    'export const decoder = await loadDecoder({ module: reader });',
    'export const { tf } = await loadTensorFlow();',
    // Its types come with bitnibble/tfjs and bitnibble/pipeline alone.
    'export const unknown: unknown extends typeof tf ? true : false = true;',
    'export const all = [m0, m1, m2, m3, m4, m5];',
  ];
  await compilesStrictly('strict', lines);
});

test('every entry in such a project: what TensorFlow.js types is any there, and no error', async () => {
  const lines = modules.map((name, index) => `export * as m${index} from '${name}';`);
  const use = [
    "import { evaluateModel, quantizeModel } from 'bitnibble/pipeline';",
    "export const evaluate = (...[, ...rest]: Parameters<typeof evaluateModel>) => evaluateModel('bitnibble', ...rest);",
    'export const report: number = quantizeModel(null as never, {}, null as never).report.bitsPerWeight;',
  ];
  await compilesStrictly('entries', [...lines, ...use]);
});

need(test, 'node24')('require of every entry, where Node.js can require ES modules', async ({ node24 }) => {
  const code = `for (const name of ${JSON.stringify(modules)}) {
    if (Object.keys(require(name)).length === 0) throw new Error(name);
  }
  console.log('required');`;
  const file = path.join(project, 'try.cjs');
  writeFileSync(file, code);
  const { status, stdout, output } = await run(node24, [file], { cwd: project });
  assert.is(status, 0, output);
  assert.is(stdout.trim(), 'required');
});

test('source maps hold the TypeScript; embedded bytes have none', () => {
  const folder = path.join(project, 'node_modules/bitnibble/dist');
  const maps = packed.filter((file) => /^dist\/.*\.js\.map$/.test(file));
  const written = packed.filter((file) => /^dist\/(?!kernels\/embedded).*\.js$/.test(file));
  assert.equal(maps.sort(), written.map((file) => `${file}.map`).sort());
  const map = JSON.parse(readFileSync(path.join(folder, 'reader.js.map'), 'utf8'));
  assert.match(map.sources[0], /src\/reader\.ts$/);
  assert.match(map.sourcesContent[0], "from './packed/stream.js'");
});

test('the command line starts', async () => {
  const help = await npm(['exec', '--offline', '--', 'bitnibble', '--help'], { cwd: project });
  assert.is(help.status, 0, help.output);
  assert.match(help.stdout, /^Usage: bitnibble/m);
  const version = await npm(['exec', '--offline', '--', 'bitnibble', '--version'], { cwd: project });
  assert.is(version.stdout.trim(), manifest.version);
});

test('the command line quantizes the bundled model, evaluates and compares it on its own runtime', async () => {
  const digits = path.join(project, 'node_modules/bitnibble/examples/digits');
  const cli = (...args: string[]) => npm(['exec', '--offline', '--', 'bitnibble', ...args], { cwd: project });
  const from = path.join(digits, 'digits.h5');
  const quantize = await cli('quantize', from, '-o', 'digits.safetensors', '--scheme', 'int4', '--json');
  assert.is(quantize.status, 0, quantize.output);
  assert.ok(JSON.parse(quantize.stdout).quantizedParameters > 60_000);
  const inspect = await cli('inspect', 'digits.safetensors', '--json');
  assert.is(inspect.status, 0, inspect.output);
  const evaluate = await cli('evaluate', 'digits.safetensors', '--data', digits, '--json');
  assert.is(evaluate.status, 0, evaluate.output);
  const { top1, backend } = JSON.parse(evaluate.stdout);
  assert.is(backend, 'bitnibble');
  assert.ok(top1 > 0.97, String(top1));
  const compare = await cli('compare', from, '--data', digits, '--limit', '20', '--json');
  assert.is(compare.status, 0, compare.output);
  assert.is(compare.stderr, '');
  assert.is(JSON.parse(compare.stdout).backend, 'bitnibble');
  const numbers = ['report', from, '--data', digits, '--limit', '20', '--calibrate', 'none', '--json'];
  const report = await cli(...numbers);
  assert.is(report.status, 0, report.output);
  assert.is(JSON.parse(report.stdout).reproduce.backend, 'bitnibble');
  const convert = await cli('convert', 'digits.safetensors', '-o', 'web/model.json');
  assert.is(convert.status, 0, convert.output);
  const demo = await cli('demo');
  assert.is(demo.status, 0, demo.output);
  assert.match(
    demo.stderr,
    /^The calibrated rows are left out: they need TensorFlow\.js[^\n]*: run "npm install [^\n]*\n$/,
  );
  assert.match(demo.stdout, 'int2, half-quadratic per channel');
  assert.not.match(demo.stdout, 'calibrated');
});

test('what calibrates says in one line what it needs, before it opens any data', async () => {
  const digits = path.join(project, 'node_modules/bitnibble/examples/digits/digits.h5');
  const packages = '@tensorflow/tfjs @tensorflow/tfjs-backend-wasm';
  const install = `run "npm install ${packages}", or "npm install @tensorflow/tfjs-node", which computes faster`;
  const data = ['--data', 'nowhere.npz'];
  for (const args of [
    ['calibrate', digits, '-o', 'never.safetensors', '--scheme', 'binary', ...data],
    ['sensitivity', digits, ...data],
    ['compare', digits, ...data, '--calibrate', 'nowhere.npz'],
    ['report', digits, ...data, '--json'],
  ]) {
    const [command = ''] = args;
    const flags = args.includes('--json') ? [] : ['--json'];
    const { status, stdout, stderr } = await npm(
      ['exec', '--offline', '--', 'bitnibble', ...args, ...flags],
      {
        cwd: project,
      },
    );
    assert.is(status, 1, command);
    assert.is(stderr.trim().split('\n').length, 1, stderr);
    assert.ok(stderr.includes(`needs TensorFlow.js, and that is not installed: ${install}`), stderr);
    assert.is(JSON.parse(stdout).error.code, 'no-tfjs');
  }
  const report = await npm(
    ['exec', '--offline', '--', 'bitnibble', 'report', digits, ...data, '-o', 'report.html'],
    { cwd: project },
  );
  assert.is(report.status, 1);
  assert.match(report.stderr, `run "npm install @observablehq/plot linkedom ${packages}"`);
});

test('a JPEG names the package that it needs', async () => {
  writeFileSync(path.join(project, 'image.jpg'), Uint8Array.of(0xff, 0xd8, 0xff));
  const code = `import { openDataset } from 'bitnibble/node';
await openDataset('image.jpg').catch(({ code, message }) => process.stdout.write(code + ' ' + message));`;
  assert.match(
    await runThere(code),
    /^no-jpeg image\.jpg: JPEG images need the package @jsquash\/jpeg: run "npm install @jsquash\/jpeg"/,
  );
});

test('a network that the runtime does not run is named with the reason, and what to install', async () => {
  const input = { batch_input_shape: [null, 28, 28, 1], value_range: [0, 1], data_format: 'channels_last' };
  const layers = [
    { name: 'contrast', className: 'AutoContrast', config: input, weights: [] },
    { name: 'flatten', className: 'Flatten', config: {}, weights: [] },
    dense('scores', 784, 10, (i) => i % 3),
  ];
  writeFileSync(path.join(project, 'contrast.h5'), await fakeKeras(layers));
  const data = path.join(project, 'node_modules/bitnibble/examples/digits');
  const args = ['exec', '--offline', '--', 'bitnibble', 'evaluate', 'contrast.h5', '--data', data];
  const { status, stderr } = await npm(args, { cwd: project });
  assert.is(status, 1);
  assert.match(
    stderr,
    /bitnibble's own runtime does not run this model \(.+\); TensorFlow\.js may, and is not installed: run "npm/,
  );
});

test('the library decodes what the command line packed', async () => {
  const printed = await runThere(`
    import { readFileSync } from 'node:fs';
    import { loadKernels, openPacked } from 'bitnibble';
    const model = openPacked(new Uint8Array(readFileSync('digits.safetensors')), await loadKernels());
    console.log(model.weights.reduce((sum, { id }) => sum + model.read(id).length, 0));`);
  // Of 69,146, three vectors of 32 channels are folded away.
  assert.is(Number(printed), 69_146 - 96);
});

/** Every package and built-in module that files below dist/ import, followed from one file. */
function importsFrom(file: string, seen = new Map<string, string>(), visited = new Set<string>()) {
  if (visited.has(file)) return seen;
  visited.add(file);
  const source = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  for (const [, found = ''] of source.matchAll(
    /^(?:import|export)\b[^;'"`]*?\bfrom\s*'([^']+)'|^import\s*'([^']+)'/gm,
  )) {
    if (found.startsWith('.')) importsFrom(path.resolve(path.dirname(file), found), seen, visited);
    else seen.set(found, path.relative(root, file));
  }
  return seen;
}

test('the core imports nothing that is only in Node.js', () => {
  const imports = importsFrom(path.join(root, 'dist/index.js'));
  assert.equal(
    [...imports].filter(([name]) => name.startsWith('node:')),
    [],
  );
});

test('dist/ imports only declared packages', () => {
  const declared = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
  const files = packed.filter((file) => /^dist\/.*\.js$/.test(file)).map((file) => path.join(root, file));
  const imports = files.flatMap((file) => [...importsFrom(file)]);
  const strange = imports.filter(([name]) => {
    return !name.startsWith('node:') && !declared.some((one) => name === one || name.startsWith(`${one}/`));
  });
  assert.equal([...new Set(strange.map(([name, file]) => `${name} in ${file}`))], []);
});

test('publint finds nothing', async () => {
  const bytes = readFileSync(tarball);
  const data = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const { messages } = await publint({ pack: { tarball: data }, strict: true });
  assert.equal(
    messages.map((message) => formatMessage(message, manifest)),
    [],
  );
});

test.run();
