// Writes the tables of docs/TFJS.md from a run of the parity models on three backends.
//   npx tsx test/tfjs/make-table.ts
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { isObject } from '../../src/keras/config.js';
import { loadKernels } from '../../src/kernels/index.js';
import type { Json } from '../../src/model.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { toTopology } from '../../src/tfjs/index.js';
import { root } from '../support/needs.js';
import { fileOf, names, parity } from './support.js';

type Errors = Record<string, { float: number; int4: number }>;

const BACKENDS = ['tensorflow', 'wasm', 'cpu'] as const;

/** Errors of all models on one backend; two packages of TensorFlow.js cannot share a process. */
async function measure(backend: string): Promise<Errors> {
  const { tf } = await loadTensorFlow({ prefer: backend === 'tensorflow' ? 'node' : 'wasm' });
  await tf.setBackend(backend);
  const kernels = await loadKernels();
  const errors: Errors = {};
  for (const name of names) errors[name] = await parity(tf, name, kernels);
  return errors;
}

/** Class of every layer by its name, wrapped ones and those of inner models included. */
function classes(value: Json | undefined, found = new Map<string, string>()): Map<string, string> {
  if (Array.isArray(value)) for (const item of value) classes(item, found);
  if (!isObject(value)) return found;
  if (
    typeof value.class_name === 'string' &&
    isObject(value.config) &&
    typeof value.config.name === 'string'
  ) {
    found.set(value.config.name, value.class_name);
  }
  for (const item of Object.values(value)) classes(item, found);
  return found;
}

async function tables(): Promise<string> {
  const results = BACKENDS.map((backend) => {
    const output = execFileSync(
      process.execPath,
      ['--import', 'tsx', fileURLToPath(import.meta.url), backend],
      {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    );
    return JSON.parse(output.slice(output.indexOf('{"'))) as Errors;
  });
  const become = new Map<string, Map<string, Set<string>>>();
  const rows: string[] = [];
  for (const name of names) {
    const source = await openKeras(fileOf(name));
    const { modelTopology, registered } = toTopology(source);
    const target = classes(modelTopology);
    for (const [layer, keras] of classes(source.architecture)) {
      const now = target.get(layer);
      if (!now || /^(Functional|Model|Sequential|InputLayer)$/.test(keras)) continue;
      const forms = become.get(keras) ?? new Map<string, Set<string>>();
      become.set(keras, forms.set(now, (forms.get(now) ?? new Set()).add(name)));
    }
    source.close();
    const cells = results.map((errors) => {
      const { float = Number.NaN, int4 = Number.NaN } = errors[name] ?? {};
      return Math.max(float, int4).toExponential(0);
    });
    rows.push(
      `| ${name} | ${cells.join(' | ')} | ${registered.length === 0 ? 'none' : registered.join(', ')} |`,
    );
  }
  const layers = [...become]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([keras, forms]) => {
      const shown = [...forms.keys()]
        .sort()
        .map((form) => `\`${form}\``)
        .join(', ');
      const seen = new Set([...forms.values()].flatMap((set) => [...set]));
      return `| ${keras} | ${shown} | ${[...seen].sort().join(', ')} |`;
    });
  return [
    '| model | tfjs-node | wasm | cpu | registered classes |',
    '|---|---|---|---|---|',
    ...rows,
    '',
    '| Keras layer | becomes | compared with Keras in |',
    '|---|---|---|',
    ...layers,
  ].join('\n');
}

const backend = process.argv[2];
if (backend) {
  process.stdout.write(JSON.stringify(await measure(backend)));
} else {
  const file = path.join(root, 'docs/TFJS.md');
  const [before, rest = ''] = readFileSync(file, 'utf8').split('<!-- tables -->\n');
  const after = rest.split('<!-- end of tables -->')[1] ?? '\n';
  writeFileSync(file, `${before}<!-- tables -->\n\n${await tables()}\n\n<!-- end of tables -->${after}`);
}
