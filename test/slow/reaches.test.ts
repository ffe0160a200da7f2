// What calibration reaches: on samples that it has not seen, outputs are no further from the float network's than those of rounding, and
// nearer where they must be. No kernel of these networks is fitted without data.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayDataset, type Dataset, joinInputs, samplesFrom } from '../../src/data/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import type { ModelSource, QuantizableModel } from '../../src/model.js';
import { readNetwork } from '../../src/network/index.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { calibrateModel } from '../../src/pipeline/calibrate/calibrate.js';
import { stateless } from '../../src/pipeline/calibrate/stateless.js';
import { indexedInputs } from '../../src/pipeline/input-range.js';
import { outputKind } from '../../src/pipeline/outputs.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import type { Recipe } from '../../src/pipeline/recipe.js';
import { distanceOf, predictAll } from '../../src/pipeline/report/predict.js';
import { measureSensitivity } from '../../src/pipeline/sensitivity.js';
import type { SchemeName } from '../../src/schemes/types.js';
import { sizeOf } from '../../src/shape.js';
import { dense, input, quantizable, random, type SmallLayer, smallModel } from '../pipeline/support.js';
import { fileOf } from '../tfjs/support.js';

const { tf } = await loadTensorFlow();
const kernels = await loadKernels();

/** Samples whose values hang together, about a mean that is not 0; whole numbers where a table takes them. */
function samplesFor(model: ModelSource, count = 384): Dataset {
  const { inputs, values: ports } = readNetwork(model);
  const indexed = indexedInputs(model);
  const parts = inputs.map(({ name, value }, at) => {
    const { shape = [], dtype } = ports[value] ?? {};
    const own = shape.slice(1).map((n) => n ?? 12);
    const size = sizeOf(own);
    const next = random(at + 5);
    const rank = Math.max(2, Math.ceil(size / 6));
    const mix = Array.from({ length: rank }, () => Float64Array.from({ length: size }, next));
    const mean = Float64Array.from({ length: size }, () => 0.5 * next());
    const values = new Float32Array(count * size);
    for (let i = 0; i < count; i++) {
      const z = Array.from({ length: rank }, () => next() + next());
      for (let j = 0; j < size; j++) {
        const sum = z.reduce((total, v, k) => total + v * (mix[k]?.[j] as number), 0) / Math.sqrt(rank);
        const plain = (mean[j] as number) + sum + 0.1 * next();
        const id = Math.floor((next() + 1) * 2.5);
        values[i * size + j] = indexed.has(name) ? id : dtype === 'bool' ? Number(next() > -0.6) : plain;
      }
    }
    return { name, dataset: arrayDataset({ name, inputShape: own, values }) };
  });
  const [first] = parts as [(typeof parts)[number]];
  return parts.length === 1 ? first.dataset : joinInputs('samples', parts);
}

async function compared(model: QuantizableModel, recipe: Recipe, isStateful = false) {
  const run = isStateful ? stateless(model) : model;
  const all = samplesFor(run);
  const { model: own, report } = await calibrateModel(tf, model, recipe, {
    ...{ kernels, dataset: samplesFrom(all, 0, 256) },
  });
  const rounded = quantizeModel(model, recipe, { kernels }).model;
  const held = samplesFrom(all, 256, 128);
  const kind = outputKind(model);
  const float = await predictAll(tf, run, held, {});
  const apart = async (other: ModelSource) =>
    distanceOf(float, await predictAll(tf, isStateful ? stateless(other) : other, held, {}), kind);
  const open = report.calibration.filter(({ fallback }) => fallback !== undefined);
  return { calibrated: await apart(own), rounded: await apart(rounded), open, report };
}

/** Share of rounding's divergence that is left at most, by what stands in the network. */
const NETWORKS: readonly (readonly [name: string, what: string, most: number])[] = [
  ['attention', 'self-attention and cross-attention, masks, several axes', 0.5],
  ['grouped_attention', 'heads that share keys, gates, windows', 0.5],
  ['transformer', 'an encoder', 0.3],
  ['conv_lstm', 'ConvLSTM, channels last', 0.7],
  ['conv_lstm13', 'ConvLSTM of one and three axes, channels first, both ways', 1],
  ['graph_distributed_model', 'a model in a TimeDistributed', 0.3],
  ['graph_distributed_twice', 'a recurrent layer in two TimeDistributed', 1],
  ['wrappers', 'wrappers of all kinds', 0.6],
  ['graph_model_of_models', 'models in models', 0.5],
  ['nested_shared', 'a shared model', 0.8],
  ['encoder_decoder', 'states handed on', 1],
  ['graph_states', 'states given', 0.7],
  ['einsum', 'products of one matrix and of several', 1],
];

for (const [name, what, most] of NETWORKS)
  test(`${name}: ${what}`, async () => {
    const model = await openKeras(fileOf(name));
    const { calibrated, rounded, open } = await compared(model, { default: { scheme: 'int2' } });
    assert.equal(open, []);
    assert.ok(calibrated <= most * rounded, `${calibrated}, rounding ${rounded}`);
    model.close();
  });

for (const scheme of ['int4', 'int2', 'binary'] as const)
  test(`one scale per tensor: ${scheme}`, async () => {
    for (const name of ['recurrent', 'transformer', 'wrappers']) {
      const model = await openKeras(fileOf(name));
      const recipe = { default: { scheme, granularity: 'tensor' } } as const;
      const { calibrated, rounded, open, report } = await compared(model, recipe);
      assert.equal(open, []);
      assert.ok(report.tensors.every(({ coding }) => !coding || coding.granularity === 'tensor'));
      assert.ok(calibrated < 0.5 * rounded, `${name}: ${calibrated}, rounding ${rounded}`);
      model.close();
    }
  });

const half = (scheme: SchemeName): Recipe => ({ default: { scheme } });

test('a stateful layer, whose file asks for batches of one sample: eight networks of such', async () => {
  const lstm: SmallLayer = {
    ...{ className: 'LSTM', calls: [['x']] },
    config: {
      ...{ name: 'lstm', units: 6, activation: 'tanh', recurrent_activation: 'sigmoid', use_bias: true },
      ...{ return_sequences: false, stateful: true },
    },
    weights: { kernel: [4, 24], recurrent_kernel: [6, 24], bias: [24] },
  };
  const start = input([5, 4]);
  const layers = [
    { ...start, config: { ...start.config, batch_shape: [1, 5, 4], batch_input_shape: [1, 5, 4] } },
    lstm,
    dense('out', [6, 3], ['lstm']),
  ];
  const modelOf = (seed: number) => quantizable(smallModel(layers, ['out'], { seed }));
  const shares: number[] = [];
  for (let seed = 1; seed <= 8; seed++) {
    const { calibrated, rounded, open } = await compared(modelOf(seed), half('int2'), true);
    assert.equal(open, []);
    shares.push(calibrated / rounded);
  }
  // One network of six units says little: of the same codes more or less, 0.03 to 0.5 of rounding's divergence is left.
  assert.ok(shares.reduce((sum, share) => sum + share, 0) / 8 < 0.25, shares.join(', '));
  assert.ok(Math.max(...shares) < 0.6, shares.join(', '));
  const model = modelOf(4);
  // The file's own architecture stays.
  const { model: own } = await calibrateModel(tf, model, half('int4'), {
    ...{ kernels, dataset: samplesFor(stateless(model), 64) },
  });
  assert.equal(own.architecture, model.architecture);
});

test('a layer called on its own outputs is fitted to all of its calls', async () => {
  const relu = { activation: 'tanh' };
  const loop = (calls: readonly string[]) => dense('own', [6, 6], calls, relu);
  const layers = [input([6]), loop(['x', 'own', 'own:1']), dense('out', [6, 4], ['own:2'])];
  const model = quantizable(smallModel(layers, ['out'], { seed: 6 }));
  const { calibrated, rounded, open, report } = await compared(model, half('int2'));
  assert.equal(open, []);
  assert.ok(calibrated < 0.6 * rounded, `${calibrated}, rounding ${rounded}`);
  // Three calls of 256 samples each.
  assert.is(report.calibration.find(({ id }) => id.startsWith('own'))?.positions, 3 * 256);
  const { rows } = await measureSensitivity(tf, model, { kernels, dataset: samplesFor(model, 128) });
  assert.ok(rows.every(({ fallback }) => fallback === undefined));
});

test.run();
