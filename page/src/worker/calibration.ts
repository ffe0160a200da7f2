import { type Dataset, inputsOf, type Preprocess } from 'bitnibble/data';
import type { KerasModel } from 'bitnibble/keras';
import {
  bindInputs,
  calibrateModel,
  foldBatchNorm,
  type HeldOut,
  holdBack,
  inputRanges,
  wantedInputs,
} from 'bitnibble/pipeline';
import { readNetwork } from '../../../src/network/index.js';
import { factorText, readScale, storedRanges } from '../../../src/pipeline/input-range.js';
import { checkLabels, checkSamples } from '../../../src/pipeline/inputs.js';
import { prepare } from '../../../src/tfjs/load.js';
import { folds } from '../schemes.js';
import { readData } from './data.js';
import type {
  CalibratedModel,
  CalibrationProgress,
  CalibrationRequest,
  DataFacts,
  DataInput,
  DataRequest,
  OnCalibration,
  OnProgress,
  Reading,
} from './protocol.js';
import { paced, packedBlob, type Session } from './session.js';

/** Samples at a time: as the command `calibrate` takes them, so that its files are the same ones. */
const BATCH = 100;

/** Calibrates the model of a session with data that is opened beside it. */
export class Calibration {
  #data: { readonly dataset: Dataset; readonly check?: Dataset; readonly facts: DataFacts } | undefined;

  constructor(private readonly session: Session) {}

  async openData({ files, check }: DataRequest, listener: OnProgress): Promise<DataFacts> {
    this.#close();
    const model = this.session.opened();
    // Layers that nobody can run are named before any data is read.
    prepare(model);
    const onProgress = paced(listener);
    const onPart = (part: number) => onProgress({ stage: 'reading', part });
    const { inputs, values } = readNetwork(model);
    const wanted = inputs.map(({ name, value }) => {
      const shape = values[value]?.shape?.slice(1);
      return { name, ...(shape ? { shape } : {}) };
    });
    const dataset = await readData(files, wanted, onPart);
    const own = check && (await readData(check, wanted, onPart));
    this.#data = {
      ...{ dataset, facts: factsOf(model, dataset, own ?? dataset) },
      ...(own ? { check: own } : {}),
    };
    if (own) checkSamples(model, own);
    return this.#data.facts;
  }

  async calibrate(
    { choice, schemes, readings, samples }: CalibrationRequest,
    onProgress: OnCalibration,
    onModel: (model: CalibratedModel) => unknown,
  ): Promise<void> {
    if (!this.#data) throw new Error('no data is open');
    const model = this.session.opened();
    const { dataset, facts, check: own } = this.#data;
    const each = facts.inputs.map(({ readings: list }, i) => list[readings[i] ?? 0]?.preprocess ?? {});
    const preprocess: Preprocess | Preprocess[] = each.length === 1 ? (each[0] as Preprocess) : each;
    checkSamples(model, dataset, preprocess);
    const held: HeldOut | undefined = own
      ? { fit: dataset, check: own, how: own.name }
      : holdBack(model, dataset, samples);
    const [{ loadTensorFlow }, kernels] = await Promise.all([
      import('./tensorflow.js'),
      this.session.kernels(),
    ]);
    const tf = await loadTensorFlow();
    const source = folds(choice) ? foldBatchNorm(model).source : model;
    const { granularity, groupSize } = choice;
    for (const scheme of schemes) {
      const start = performance.now();
      const fall: { done: number; divergence: number }[] = [];
      let last: CalibrationProgress = { scheme, done: 0, total: 1, layer: '', fall };
      const report = (change: Partial<CalibrationProgress>) => {
        last = { ...last, ...change, fall: [...fall] };
        onProgress(last);
      };
      report({});
      const found = await calibrateModel(
        tf,
        source,
        { default: { scheme, granularity, ...(granularity === 'group' ? { groupSize } : {}) } },
        {
          ...{ kernels, dataset: held?.fit ?? dataset, preprocess, samples, batchSize: BATCH, seed: 0 },
          ...(held ? { check: { dataset: held.check } } : {}),
          onProgress: (done, total, layer) => report({ done, total, layer }),
          onDivergence(divergence, done) {
            fall.push({ done, divergence });
            report({ done });
          },
        },
      );
      const { divergence, check, keptDataFree, warnings, samples: fitted, bytesAfter } = found.report;
      // It arrives before the next is begun, and before the end.
      await onModel({
        ...{ scheme, choice, samples: fitted, fall, divergence, isRounded: keptDataFree, warnings },
        packed: packedBlob(found.model, bytesAfter, () => undefined),
        ...(check && held ? { check: { ...check, how: held.how } } : {}),
        seconds: (performance.now() - start) / 1000,
      });
    }
  }

  #close(): void {
    this.#data?.dataset.close?.();
    this.#data?.check?.close?.();
    this.#data = undefined;
  }
}

/**
 * What is known of data before anything is computed.
 * @throws BitnibbleError `data-mismatch` for samples and labels that the model does not take
 */
function factsOf(model: KerasModel, dataset: Dataset, answered: Dataset): DataFacts {
  checkSamples(model, dataset);
  const { labels, targets, classNames, count, name } = answered;
  const hasClasses = labels !== undefined && readNetwork(model).outputs.length === 1;
  if (hasClasses) checkLabels(model, answered, count);
  const classes = classNames?.length ?? new Set(labels).size;
  return {
    ...{ name: dataset.name, samples: dataset.count, inputs: dataInputs(model, dataset) },
    answers: hasClasses ? 'classes' : targets ? 'numbers' : 'none',
    note: hasClasses
      ? `${classes} classes${answered === dataset ? '' : ` in ${name}`}`
      : (answered.labelFault ?? ''),
  };
}

const AS_THEY_ARE: Reading = { label: 'as they are', preprocess: { scale: 1 } };

/** The inputs of the network with what the values of their arrays can mean. @throws BitnibbleError `data-mismatch` */
function dataInputs(model: KerasModel, dataset: Dataset): DataInput[] {
  const wanted = wantedInputs(model);
  const bound = wanted ? bindInputs(wanted, model.file, dataset) : [];
  const ranges = inputRanges(model);
  const stored = storedRanges(dataset);
  return inputsOf(dataset).map(({ name, shape, dtype }, i): DataInput => {
    const own = bound.find(({ from }) => from === i);
    const range = own && ranges.get(own.name);
    const found = readScale(range, stored[i] as (typeof stored)[number]);
    const input = { name: own?.name ?? name ?? `input ${i + 1}`, shape };
    if ('unclear' in found) {
      const readings = found.readings.map(({ scale, when }) => ({
        label: `× ${factorText(scale)}: ${when}`,
        preprocess: { scale },
      }));
      return { ...input, readings, why: '', unclear: found.unclear };
    }
    const { scale, why } = found;
    const taken = scale === 1 ? AS_THEY_ARE : { label: `× ${factorText(scale)}`, preprocess: { scale } };
    if (dtype !== 'uint8' || range?.kind === 'indices') return { ...input, readings: [taken], why };
    const bytes: Reading[] = [
      { label: '0 to 1 (× 1/255)', preprocess: { scale: 1 / 255 } },
      { label: '−1 to 1', preprocess: { scale: 1 / 127.5, mean: 1 } },
      { label: '0 to 255, as they are', preprocess: { scale: 1 } },
    ];
    const first = bytes.findIndex(({ preprocess }) => preprocess.scale === scale);
    return { ...input, readings: [...bytes.splice(first, 1), ...bytes], why };
  });
}
