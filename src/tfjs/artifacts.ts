import { bytesOf } from '../formats/dtypes.js';
import { floatToHalf } from '../formats/float16.js';
import type { JsonObject, ModelSource, WeightInfo } from '../model.js';
import { sizeOf } from '../shape.js';
import { prepare } from './load.js';

/** How a layers model is written. */
export interface LayersModelOptions {
  /** Weights as float16, half the bytes; TensorFlow.js makes float32 of them. Default: float32. */
  readonly float16?: boolean;
  /** Bytes of a weight file, at least 1. Default: 4 MiB. */
  readonly shardBytes?: number;
  /** Name and version of the program, for `convertedBy`. Default: `bitnibble`. */
  readonly convertedBy?: string;
}

/** A model in the files of TensorFlow.js: weight files first, `model.json` last. */
export interface LayersModelFiles {
  /** Names and contents; the contents of one file must be taken before those of the next. */
  readonly files: Iterable<{ readonly name: string; readonly pieces: Iterable<Uint8Array> }>;
  /** Contents of `model.json` where the weight files, in order, are stored under other names than `files` gives them. */
  readonly jsonFor: (names: readonly string[]) => Uint8Array;
  /** Classes that `registerLayers` provides; empty: plain TensorFlow.js loads the model. */
  readonly registered: readonly string[];
  /** What was left out or kept in float32, and why; known in full once all files are written. */
  readonly remarks: readonly string[];
  /** Bytes of all weights. */
  readonly weightBytes: number;
}

const SHARD = 4 * 2 ** 20;

/** Largest finite float16; larger values round to it up to 65520, exclusive. */
const fitsHalf = (values: Float32Array) => values.every((v) => Math.abs(v) < 65520);

/**
 * A Keras model, float or packed, as the files of a TensorFlow.js layers model. Initializers and regularizers are kept.
 * Weights are read one at a time.
 *
 * @param jsonName name of the topology's file
 * @throws BitnibbleError `unsupported-layer` before any weight is read, `missing-weight`; RangeError for `shardBytes`
 */
export function layersModelFiles(
  source: ModelSource,
  jsonName: string,
  options: LayersModelOptions = {},
): LayersModelFiles {
  const { float16 = false, shardBytes = SHARD, convertedBy = 'bitnibble' } = options;
  if (!Number.isSafeInteger(shardBytes) || shardBytes < 1) {
    throw new RangeError(`"shardBytes" expected a whole number of at least 1, got ${shardBytes}`);
  }
  const { topology, source: model } = prepare(source, { keepTraining: true });
  const remarks = [...topology.remarks];
  const known = new Map(model.weights.map((weight) => [weight.id, weight]));
  const weights = [...topology.weights].map(([name, id]) => ({
    name,
    weight: known.get(id) as WeightInfo,
    half: float16,
  }));
  if (float16) {
    // Whether a weight fits decides how many bytes it has, which the names of all files depend on.
    for (const entry of weights) {
      if (fitsHalf(model.read(entry.weight.id))) continue;
      entry.half = false;
      remarks.push(`${entry.weight.id} stays float32: float16 ends at 65504`);
    }
  }
  const weightBytes = weights.reduce(
    (sum, { weight, half }) => sum + (half ? 2 : 4) * sizeOf(weight.shape),
    0,
  );
  const count = Math.ceil(weightBytes / shardBytes);
  const paths = Array.from({ length: count }, (_, i) => `group1-shard${i + 1}of${count}.bin`);
  const manifest = {
    weights: weights.map(({ name, weight, half }): JsonObject => {
      const spec: JsonObject = { name, shape: [...weight.shape], dtype: 'float32' };
      return half ? { ...spec, quantization: { dtype: 'float16', original_dtype: 'float32' } } : spec;
    }),
  };
  const jsonFor = (names: readonly string[]): Uint8Array => {
    const json: JsonObject = {
      format: 'layers-model',
      generatedBy: `keras v${model.kerasVersion}`,
      convertedBy,
      modelTopology: topology.modelTopology,
      weightsManifest: [{ paths: [...names], ...manifest }],
    };
    return new TextEncoder().encode(JSON.stringify(json));
  };
  function* files() {
    const data = new Pieces(values(model, weights));
    for (const name of paths) yield { name, pieces: data.take(shardBytes) };
    yield { name: jsonName, pieces: [jsonFor(paths)] };
  }
  return { files: files(), jsonFor, registered: topology.registered, remarks, weightBytes };
}

function* values(
  model: ModelSource,
  weights: readonly { weight: WeightInfo; half: boolean }[],
): Generator<Uint8Array> {
  for (const { weight, half } of weights) {
    const floats = model.read(weight.id);
    yield bytesOf(half ? floatToHalf(floats) : floats);
  }
}

/** Bytes from a row of pieces, in portions of any length. */
class Pieces {
  #rest = new Uint8Array(0);

  constructor(readonly source: Iterator<Uint8Array>) {}

  *take(length: number): Generator<Uint8Array> {
    for (let needed = length; needed > 0; ) {
      if (this.#rest.length === 0) {
        const { value, done } = this.source.next();
        if (done) return;
        this.#rest = value as Uint8Array<ArrayBuffer>;
        continue;
      }
      const part = this.#rest.subarray(0, needed);
      this.#rest = this.#rest.subarray(part.length);
      needed -= part.length;
      yield part;
    }
  }
}
