import { expected } from '../errors.js';
import type { ModelSource } from '../model.js';
import { openNetwork } from '../network/index.js';
import { sizeOf } from '../shape.js';
import { loadLayersModel } from '../tfjs/load.js';
import type { Tensor, TensorFlow } from '../tfjs/types.js';
import type { WantedInput } from './inputs.js';

/** What runs a network: TensorFlow.js as the caller has it, or `'bitnibble'`, the runtime of this library. */
export type Backend = TensorFlow | 'bitnibble';

/** One output of a batch. */
export interface Prediction {
  /** `[batch, ...shape]` in C order. */
  readonly values: Float32Array;
  /** Without the batch. */
  readonly shape: readonly number[];
}

/** A network that is ready to answer. */
export interface Predictor {
  /** @param x `size` samples of each input @returns its outputs, in their order; NaN and infinities among them as they are */
  predict(x: readonly Float32Array[], size: number): Promise<readonly Prediction[]>;
  dispose(): void;
}

/** Shapes of a sample as the network takes it, of each input, from what its inputs and outputs are; throws where there are none. */
export type ChooseShapes = (
  inputs: readonly WantedInput[],
  outputs: number,
) => readonly (readonly number[])[];

/**
 * Makes a network ready.
 * @throws BitnibbleError `unsupported-layer` where the backend cannot run it; what `choose` throws
 */
export function loadPredictor(
  backend: Backend,
  source: ModelSource,
  choose: ChooseShapes,
): Promise<Predictor> {
  return backend === 'bitnibble' ? inRuntime(source, choose) : inTensorFlow(backend, source, choose);
}

async function inTensorFlow(tf: TensorFlow, source: ModelSource, choose: ChooseShapes): Promise<Predictor> {
  const model = await loadLayersModel(tf, source);
  try {
    const { inputs } = openNetwork(source).network;
    const shapes = choose(
      model.inputs.map(({ shape }, i) => ({ name: inputs[i]?.name ?? '', shape })),
      model.outputs.length,
    );
    return {
      async predict(x, size) {
        const made = tf.tidy(() => {
          const given = x.map((values, i) => tf.tensor(values, [size, ...(shapes[i] ?? [])]));
          return [model.predict(given)].flat();
        }) as Tensor[];
        const values = await Promise.all(made.map((tensor) => tensor.data() as Promise<Float32Array>));
        tf.dispose(made);
        return made.map((tensor, i) => ({
          ...{ values: values[i] as Float32Array, shape: tensor.shape.slice(1) },
        }));
      },
      dispose: () => model.dispose(),
    };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

async function inRuntime(source: ModelSource, choose: ChooseShapes): Promise<Predictor> {
  const { loadNetwork, NotFiniteError } = await import('../runtime/index.js');
  const { inputs, outputs, values } = openNetwork(source).network;
  const chosen = choose(
    inputs.map(({ name, value }) => ({ name, shape: values[value]?.shape ?? [] })),
    outputs.length,
  );
  const shapes = Object.fromEntries(inputs.map(({ name }, i) => [name, chosen[i] ?? []]));
  const network = await loadNetwork(source, { shapes });
  const named = (x: readonly Float32Array[]) =>
    Object.fromEntries(inputs.map(({ name }, i) => [name, x[i] as Float32Array]));
  const room = (size: number) =>
    network.outputs.map((port) => ({
      ...{ name: port.name, shape: port.shape, values: new Float32Array(size * sizeOf(port.shape)) },
    }));
  const into = (outs: ReturnType<typeof room>, from: number, size: number) =>
    Object.fromEntries(
      outs.map((out) => {
        const width = sizeOf(out.shape);
        return [out.name, out.values.subarray(from * width, (from + size) * width)];
      }),
    );
  return {
    async predict(x, size) {
      const outs = room(size);
      try {
        network.runInto(named(x), into(outs, 0, size));
        return outs;
      } catch (error) {
        if (!(error instanceof NotFiniteError)) throw error;
      }
      // Some sample becomes NaN or infinite on its way: one by one, and those get NaN.
      const sampleOf = (i: number) =>
        x.map((values) => values.subarray((i * values.length) / size, ((i + 1) * values.length) / size));
      for (let i = 0; i < size; i++) {
        const own = into(outs, i, 1);
        try {
          network.runInto(named(sampleOf(i)), own);
        } catch (error) {
          if (!(error instanceof NotFiniteError)) throw error;
          for (const values of Object.values(own)) values.fill(Number.NaN);
        }
      }
      return outs;
    },
    dispose: () => network.dispose(),
  };
}

/**
 * TensorFlow.js for what the runtime does not do: calibration, which needs the values between layers.
 *
 * @param own TensorFlow.js that the caller handed in for calibration
 * @throws TypeError where there is none
 */
export function tensorFlowFor(backend: Backend, own: TensorFlow | undefined): TensorFlow {
  if (own) return own;
  if (backend !== 'bitnibble') return backend;
  throw new TypeError(expected('calibration.tf', 'TensorFlow.js to calibrate with', undefined));
}
