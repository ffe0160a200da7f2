// Samples held back, and the form of the model that is kept by them.
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayDataset, type Dataset, inputsOf, samplesFrom } from '../../src/data/index.js';
import { BitnibbleError } from '../../src/errors.js';
import { loadKernels } from '../../src/kernels/index.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { packedBytes } from '../../src/packed/index.js';
import { calibrateModel } from '../../src/pipeline/calibrate/calibrate.js';
import { holdBack, type Metric, requireMetric } from '../../src/pipeline/calibrate/check.js';
import { tuneModel } from '../../src/pipeline/calibrate/tune.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { predictAll } from '../../src/pipeline/report/predict.js';
import { sizeOf } from '../../src/shape.js';
import { dense, input, quantizable, random, smallModel } from './support.js';

const { tf } = await loadTensorFlow();
const kernels = await loadKernels();

/** Samples that hold their own place. */
const counted = (count: number, shape: number[], labels?: Int32Array) =>
  arrayDataset({
    ...{ name: 'd', inputShape: shape, values: new Float32Array(count * sizeOf(shape)).map((_, i) => i) },
    ...(labels ? { labels } : {}),
  });
const placesOf = (dataset: Dataset) => {
  const size = sizeOf(inputsOf(dataset)[0]?.shape ?? []);
  return [...dataset.batches({ batchSize: 1 })].map(({ x }) => (x[0] as number) / size);
};

const table = smallModel([input([4]), dense('out', [4, 3], ['x'])], ['out']);
const series = smallModel([input([4, 2]), dense('out', [2, 1], ['x'])], ['out']);

test('held back: a stretch of time, of every class its share, or spread evenly; never what is fitted to', () => {
  const time = holdBack(series, counted(80, [4, 2]), 80);
  assert.equal(
    placesOf(time?.check as Dataset),
    Array.from({ length: 10 }, (_, i) => 70 + i),
  );
  const behind = holdBack(series, counted(200, [4, 2]), 80);
  assert.is(behind?.fit.count, 80);
  assert.equal(
    placesOf(behind?.check as Dataset),
    Array.from({ length: 10 }, (_, i) => 80 + i),
  );
  const even = placesOf(holdBack(table, counted(80, [4]), 80)?.check as Dataset);
  assert.equal(
    even,
    Array.from({ length: 10 }, (_, i) => 4 + 8 * i),
  );
  const labels = Int32Array.from({ length: 160 }, (_, i) => (i < 80 ? 0 : i < 120 ? 1 : 2));
  const classes = holdBack(table, counted(160, [4], labels), 160)?.check;
  assert.equal(
    [0, 1, 2].map((own) => classes?.labels?.filter((label) => label === own).length),
    [10, 5, 5],
  );
  assert.is(holdBack(table, counted(12, [4]), 12), undefined);
  fc.assert(
    fc.property(
      fc.integer({ min: 16, max: 300 }),
      fc.integer({ min: 16, max: 300 }),
      fc.constantFrom(1, 3, 7, 0),
      fc.boolean(),
      (count, samples, classCount, isSeries) => {
        const own = classCount
          ? Int32Array.from({ length: count }, (_, i) => (i * 31) % classCount)
          : undefined;
        const data = counted(count, isSeries ? [4, 2] : [4], own);
        const held = holdBack(isSeries ? series : table, data, samples);
        const [fit, check] = [placesOf(held?.fit as Dataset), placesOf(held?.check as Dataset)];
        assert.is(new Set([...fit, ...check]).size, fit.length + check.length);
        assert.ok(fit.length <= samples && Math.max(...fit) < Math.min(samples, count));
        const wanted = Math.floor(Math.min(samples, count) / 8);
        assert.ok(Math.abs(check.length - wanted) <= 1, `${check.length} of ${wanted}`);
      },
    ),
    { numRuns: 60 },
  );
});

const relu = { activation: 'relu' };
const network = quantizable(
  smallModel([input([6]), dense('one', [6, 8], ['x'], relu), dense('out', [8, 4], ['one'])], ['out'], {
    seed: 3,
  }),
);
const recipe = { default: { scheme: 'binary' } } as const;

function samples(count: number): Dataset {
  const next = random(9);
  const values = Float32Array.from({ length: count * 6 }, (_, i) => next() + (i % 6) / 6);
  return arrayDataset({ name: 'samples', inputShape: [6], values });
}
const all = samples(320);
const fit = samplesFrom(all, 0, 256);
const rest = samplesFrom(all, 256, 64);

/** Answers of the rounded model on the samples held back, as classes or numbers. */
async function answered(as: 'labels' | 'targets'): Promise<Dataset> {
  const rounded = quantizeModel(network, recipe, { kernels }).model;
  const [output] = (await predictAll(tf, rounded, rest, {})).outputs;
  const values = output?.values as Float32Array;
  if (as === 'targets') return { ...rest, targets: { shape: [4], values } };
  const labels = Int32Array.from({ length: 64 }, (_, i) => {
    const row = values.subarray(4 * i, 4 * i + 4);
    return row.indexOf(row.reduce((a, b) => Math.max(a, b)));
  });
  return { ...rest, labels };
}

test('with samples to check on, the divergence on those fitted to is of as many, whole batches; without, of all', async () => {
  const few = { ...fit, count: 100 };
  const options = { kernels, dataset: few, batchSize: 32 };
  const check = { dataset: { ...rest, count: 40 } };
  assert.is((await calibrateModel(tf, network, recipe, { ...options, check })).report.divergence.samples, 64);
  assert.is((await calibrateModel(tf, network, recipe, options)).report.divergence.samples, 100);
});

test('what is kept follows from what was asked for, on samples that nothing was fitted to', async () => {
  const rounded = packedBytes(quantizeModel(network, recipe, { kernels }).model);
  for (const [as, metrics] of [
    ['labels', ['accuracy']],
    ['targets', ['r2', 'mae']],
  ] as const) {
    const dataset = await answered(as);
    const run = (by: Metric) =>
      calibrateModel(tf, network, recipe, { kernels, dataset: fit, check: { dataset, by } });
    const near = await run('divergence');
    assert.is(near.report.check?.kept, 'calibrated');
    assert.is(near.report.check?.samples, 64);
    assert.is(near.report.divergence.samples, 64);
    const [one, two] = near.report.check?.candidates ?? [];
    assert.equal([one?.name, two?.name], ['rounded', 'calibrated']);
    assert.ok((two?.divergence ?? 1) < (one?.divergence ?? 0));
    // The answers are the rounded network's own: by these it is the best, and it is kept.
    for (const by of metrics) {
      const { model, report } = await run(by);
      assert.is(report.check?.kept, 'rounded', by);
      assert.is(report.keptDataFree, true);
      assert.equal(packedBytes(model), rounded);
      assert.match(report.warnings.join(), `on the samples held back its ${by} is`);
      const best = report.check?.candidates[0]?.[by] as number;
      assert.ok(Math.abs(best - (by === 'mae' ? 0 : 1)) < 1e-6, `${by} ${best}`);
      assert.ok(report.check?.float[by] !== undefined);
    }
  }
});

test('tuning is kept or not by the same samples', async () => {
  const labelled = await answered('labels');
  const rounded = quantizeModel(network, recipe, { kernels }).model;
  const options = { kernels, dataset: fit, steps: 20, latentRate: 0.05 };
  const near = await tuneModel(tf, network, rounded, { ...options, check: { dataset: labelled } });
  assert.is(near.report.check?.kept, 'tuned');
  assert.equal([near.report.tuned, near.report.checked], [256, 64]);
  const own = await tuneModel(tf, network, rounded, {
    ...{ ...options, check: { dataset: labelled, by: 'accuracy' as const } },
  });
  assert.is(own.report.keptUntuned, true);
  assert.is(own.model, rounded);
});

test('a metric that the answers do not give is refused before the work', () => {
  const faultOf = (dataset: Dataset, by: Metric) => {
    try {
      requireMetric(network, { dataset, by });
    } catch (error) {
      assert.instance(error, BitnibbleError);
      return (error as Error).message;
    }
    return '';
  };
  const labelled = { ...rest, labels: new Int32Array(64) };
  assert.match(faultOf(rest, 'accuracy'), 'small and samples: accuracy needs labels');
  assert.match(faultOf(labelled, 'r2'), 'r2 cannot be taken of outputs [4] and class numbers: accuracy can');
  const targets = { ...rest, targets: { shape: [4], values: new Float32Array(256) } };
  assert.match(faultOf(targets, 'accuracy'), 'targets of shape [4]: r2 or mae can');
  assert.is(faultOf(targets, 'mae'), '');
  assert.is(faultOf(rest, 'divergence'), '');
});

test.run();
