// The examples as their READMEs run them: scripts in Node.js from what is published, the Vite app in Chromium; and the notebook.
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { need, root, run } from '../support/needs.js';
import { launch } from './support/chromium.js';
import { packedDigits } from './support/digits.js';
import { emptyProject, snippetOf } from './support/project.js';
import { serve } from './support/server.js';

const test = suite('examples');
const withBoth = need(test, 'bundlers', 'chromium');
const modules = path.join(root, 'node_modules');

/** A project that has installed bitnibble, with these folders of examples in it. */
function projectOf(...names: readonly string[]): string {
  const project = emptyProject(modules);
  for (const name of names)
    cpSync(path.join(root, 'examples', name), path.join(project, 'examples', name), {
      recursive: true,
      filter: (from) => !/[\\/](node_modules|dist|package-lock\.json)$/.test(from),
    });
  return project;
}

/** Runs a script of an example as `npx tsx` does. */
async function runScript(project: string, ...args: readonly string[]): Promise<string[]> {
  const { status, stdout, output } = await run(process.execPath, ['--import', 'tsx', ...args], {
    cwd: project,
  });
  assert.is(status, 0, output);
  return stdout.trimEnd().split('\n');
}

/** Lines of a README's first block of commands behind a text. */
const commandsOf = (page: string, after: string): string[] =>
  snippetOf(after, 'sh', page)
    .trim()
    .split('\n')
    .map((line) => line.replace(/ +#.*/, ''));

test('a folder of images: accuracy and bytes, and a packed file that answers', async () => {
  const page = 'examples/image-folder/README.md';
  const [build, script = '', ...rest] = commandsOf(page, 'Start in the root');
  assert.equal([build, rest], ['npm run build', []]);
  const project = projectOf('image-folder', 'digits');
  const lines = await runScript(project, ...script.split(' ').slice(2));
  assert.is(lines[0], '40 images of 10 classes');
  assert.is(lines[1], 'float32  276584 bytes  accuracy 1.000');
  const accuracies = lines.slice(2, 5).map((line) => Number(/accuracy ([\d.]+)$/.exec(line)?.[1]));
  const [int4 = 0, int2 = 0, binary = 0] = accuracies;
  assert.ok(int4 >= 0.95 && int2 > 0.8 && binary < int2, lines.join('\n'));
  assert.equal(
    new Uint8Array(readFileSync(path.join(project, 'digits.safetensors'))),
    await packedDigits(true),
  );
  // An image of another size is named.
  const strange = path.join(project, 'examples/image-folder/images/3/strange.png');
  cpSync(path.join(root, 'docs/page.png'), strange);
  const refused = await run(process.execPath, ['--import', 'tsx', ...script.split(' ').slice(2)], {
    cwd: project,
  });
  assert.is(refused.status, 1);
  assert.match(refused.stderr, /strange\.png: expected 28 x 28 pixels, got \d+ x \d+/);
});

test('the notebook: signs lose the network, scales and calibration keep it, each tensor has its error', async () => {
  // What Keras and NumPy measured: examples/digits/measure.py.
  const lines = await runScript(root, 'examples/notebook.ts');
  const accuracyOf = (name: string) => {
    const line = lines.find((own) => own.startsWith(`${name}  `)) ?? '';
    return Number(/accuracy (\d\.\d{4})/.exec(line)?.[1] ?? Number.NaN);
  };
  assert.is(accuracyOf('as trained'), 0.989);
  assert.is(accuracyOf('every array to +1 and -1'), 0.239);
  assert.is(accuracyOf('1 bit, one scale per channel (mean |w|)'), 0.585);
  const kernels = ['conv1', 'conv2', 'conv3', 'conv4', 'conv5', 'dense1', 'digit'];
  for (const scheme of ['int4', 'int2', 'binary']) {
    const name = `${scheme}, calibrated`;
    assert.ok(accuracyOf(name) > 0.97, `${name}: ${accuracyOf(name)}`);
    const from = lines.findIndex((line) => line.startsWith(name)) + 2;
    const rows = lines.slice(from, from + kernels.length).map((line) => line.trim().split(/ {2,}/));
    assert.equal(
      rows.map(([id]) => id),
      kernels.map((layer) => `${layer}/kernel`),
    );
    for (const [, lost = '', ratio = ''] of rows) {
      assert.match(lost, /^\d+\.\d\d %$/);
      assert.match(ratio, /^-?\d+\.\d dB$/);
    }
  }
});

test('a network that takes tokens: its table says what the README says, and it knows its lines', async () => {
  const page = 'examples/tokens/README.md';
  const [build, ...scripts] = commandsOf(page, 'Start in the root');
  assert.is(build, 'npm run build');
  const project = projectOf('tokens');
  const [first = '', second = ''] = scripts;
  const lines = await runScript(project, ...first.split(' ').slice(2));
  const shown = readFileSync(path.join(root, page), 'utf8');
  for (const line of lines.slice(0, 5)) assert.ok(shown.includes(line), line);
  assert.equal(
    lines.slice(6).map((line) => line.split(' ')[0]),
    ['TypeScript', 'Python', 'prose'],
  );
  const [, , , ...words] = second.split(' ');
  const own = words.join(' ').replace(/^'|'$/g, '');
  const asked = await runScript(project, ...second.split(' ').slice(2, 3), own);
  assert.match(asked.at(-1) ?? '', /^TypeScript \(\d+ %\): for \(const x of xs\)/);
});

withBoth(
  'a Vite app: built without configuration, it reads digits of images',
  async ({ bundlers, chromium }) => {
    const page = 'examples/vite/README.md';
    const commands = commandsOf(page, 'Start in the root');
    assert.equal(commands, [
      'npm run build',
      'cd examples/vite',
      'npm install',
      'npm run model',
      'npm run dev',
    ]);
    const project = projectOf('vite', 'digits');
    const app = path.join(project, 'examples/vite');
    const { scripts } = JSON.parse(readFileSync(path.join(app, 'package.json'), 'utf8'));
    const [program, ...model] = scripts.model.split(' ');
    assert.is(program, 'bitnibble');
    const cli = path.join(project, 'node_modules/bitnibble/dist/cli/main.js');
    const quantized = await run(process.execPath, [cli, ...model], { cwd: app });
    assert.is(quantized.status, 0, quantized.output);
    assert.is(scripts.build, 'vite build');
    const vite = path.join(bundlers, 'node_modules/vite/bin/vite.js');
    const built = await run(process.execPath, [vite, 'build'], { cwd: app, timeout: 120_000 });
    assert.is(built.status, 0, built.output);
    assert.ok(existsSync(path.join(app, 'dist/index.html')));
    const server = await serve(path.join(app, 'dist'));
    const browser = await launch(chromium);
    try {
      const window = await browser.newPage();
      const faults: string[] = [];
      window.on('pageerror', (error) => faults.push(error.message));
      await window.goto(`${server.origin}/index.html`);
      const status = window.getByRole('status');
      await window.getByText('The network is ready.').waitFor({ timeout: 60_000 });
      const images = path.join(root, 'examples/image-folder/images');
      for (const [file, digit] of [
        ['0/000.png', 0],
        ['7/001.png', 7],
      ] as const) {
        await window.getByLabel('An image of a digit:').setInputFiles(path.join(images, file));
        await window.getByText(`${path.basename(file)}: ${digit}, with `).waitFor({ timeout: 30_000 });
      }
      const text = path.join(app, 'none.png');
      writeFileSync(text, 'no image');
      await window.getByLabel('An image of a digit:').setInputFiles(text);
      await window.getByText(/^none\.png: .*(decod|image)/i).waitFor({ timeout: 30_000 });
      assert.ok(await status.textContent());
      assert.equal(faults, []);
      process.stdout.write('\nRAN: examples/vite in Chromium\n');
    } finally {
      await browser.close();
      server.close();
      rmSync(path.join(app, 'dist'), { recursive: true });
    }
  },
);

test.run();
