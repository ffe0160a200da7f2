/**
 * A network that takes tokens: it says whether a line is TypeScript, Python or prose. Quantized, compared on lines that it was not
 * trained on, and asked.
 *
 *     npx tsx examples/tokens/classify.ts ['a line' ...]
 *
 * The table of the Embedding is quantized like every other kernel. It needs no TensorFlow.js.
 */
import { fileURLToPath } from 'node:url';
import { loadKernels, packedBytes } from 'bitnibble';
import { openDataset, openKeras } from 'bitnibble/node';
import { evaluateModel, quantizeModel, type Recipe } from 'bitnibble/pipeline';
import { loadNetwork } from 'bitnibble/runtime';

const CLASSES = ['TypeScript', 'Python', 'prose'];
/** Tokens that the network takes: bytes of the line, zeros behind them. */
const LENGTH = 64;
const LINES = [
  'export const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);',
  'def sum_of(values): return sum(value for value in values if value is not None)',
  'The sum of the values is what the table shows, for every row that has one.',
];
const RECIPES: Readonly<Record<string, Recipe>> = {
  int4: { default: { scheme: 'int4' } },
  'int4, the table in 2 bits': {
    rules: [{ class: 'Embedding', scheme: 'int2' }],
    default: { scheme: 'int4' },
  },
  int2: { default: { scheme: 'int2' } },
};

const at = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const given = process.argv.slice(2);

function tokensOf(line: string): Float32Array {
  const tokens = new Float32Array(LENGTH);
  const bytes = [...line.trim()].slice(0, LENGTH).map((letter) => letter.charCodeAt(0));
  // The table has 128 rows: what is not ASCII is a question mark.
  tokens.set(bytes.map((code) => (code < 128 ? code : 63)));
  return tokens;
}

const model = await openKeras(at('lines.h5'));
try {
  const kernels = await loadKernels();
  const dataset = await openDataset(at('lines.npz'));
  const show = (name: string, bytes: number, { top1 }: { readonly top1: number }) =>
    console.log(`${name.padEnd(26)} ${String(bytes).padStart(6)} bytes  accuracy ${top1.toFixed(3)}`);
  console.log(`${dataset.count} lines of files that the network was not trained on`);
  show('float32', 4 * model.parameters, await evaluateModel('bitnibble', model, dataset));
  const files = new Map<string, Uint8Array>();
  for (const [name, recipe] of Object.entries(RECIPES)) {
    const { model: packed } = quantizeModel(model, recipe, { kernels });
    const file = packedBytes(packed);
    files.set(name, file);
    show(name, file.length, await evaluateModel('bitnibble', packed, dataset));
  }
  const network = await loadNetwork(files.get('int4') as Uint8Array);
  console.log();
  for (const line of given.length > 0 ? given : LINES) {
    const scores = network.run(tokensOf(line));
    const best = scores.indexOf(Math.max(...scores));
    console.log(`${CLASSES[best]} (${Math.round(100 * (scores[best] ?? 0))} %): ${line}`);
  }
} finally {
  model.close();
}
