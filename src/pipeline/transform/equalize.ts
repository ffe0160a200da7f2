import type { ModelSource } from '../../model.js';
import type { LeftLayer } from '../../network/passes/fold-norms.js';
import { inputChannel, type Kernel, outputChannel } from '../../network/passes/kernel.js';
import { findPairs, type Pair } from '../../network/passes/pairs.js';
import { networkOf, scalingOf, weightsOf } from './network.js';
import { type Scaling, TransformedModel } from './transformed-model.js';

/** Two kernels whose channels were scaled against each other. */
export interface EqualizedPair {
  /** Ids of the kernels. */
  readonly first: string;
  readonly second: string;
  /** Layers between them. */
  readonly through: readonly string[];
  readonly channels: number;
  /**
   * Mean over the channels of the share of the kernels' ranges that the channel uses, `r1 r2 / (R1 R2)` of equation 8,
   * before and after; 1: every channel has the range of its whole tensor.
   */
  readonly before: number;
  readonly after: number;
}

/** An equalized model, and what was scaled. */
export interface EqualizeResult {
  readonly source: TransformedModel;
  readonly pairs: readonly EqualizedPair[];
  /** Layers with kernels that are the first of no pair, and why. */
  readonly left: readonly LeftLayer[];
  /** Rounds over all pairs until no factor changed by more than a hundredth. */
  readonly rounds: number;
}

const MAX_ROUNDS = 100;
const TOLERANCE = 1e-2;
/** Total factors stay within 2^-40 and 2^40, so that channels that are all but dead do not leave float32. */
const MAX_FACTOR = 2 ** 40;

/** A kernel while its factors are being found. */
interface Balanced {
  readonly kernel: Kernel;
  /** `max |w|` over spatial positions, `[rows, columns]`. */
  readonly sizes: Float32Array;
  readonly inputs: Float64Array;
  readonly outputs: Float64Array;
}

/**
 * Cross-layer equalization: between two layers with a positively homogeneous function, `f(s x) = s f(x)`, channel `i` of
 * the first kernel is divided and that of the second multiplied by `s_i = sqrt(r1_i / r2_i)`, `r = max |w|` of the
 * channel, so that both ranges become `sqrt(r1_i r2_i)`. Nagel et al., Data-Free Quantization Through Weight Equalization
 * and Bias Correction, ICCV 2019, section 4.1. Repeated over all pairs until it settles; a depthwise convolution in the
 * middle is the second of one pair and the first of the next, which settles at the rule for three layers,
 * `r_i = (r1_i r2_i r3_i)^(1/3)`.
 *
 * The first layer's outputs must go to the second alone, through layers that scales pass: linear, ReLU, LeakyReLU and
 * PReLU (not ReLU6, whose bound would have to be scaled by channel), pooling, padding, dropout, Flatten, and batch
 * normalization, whose mean and beta are scaled as well. Layers and the architecture stay; outputs stay the same but for
 * rounding. Tensors are computed when they are read; `source` must stay open. Changed values are rounded to the number
 * type that the weight has.
 *
 * @throws BitnibbleError `corrupt-file` for an architecture that cannot be read
 */
export function equalize(source: ModelSource): EqualizeResult {
  const { pairs, left } = pairsOf(source);
  const kernels = new Map<string, Balanced>();
  const balancedOf = (kernel: Kernel): Balanced => {
    const found = kernels.get(kernel.id);
    if (found) return found;
    const balanced = {
      kernel,
      sizes: magnitudes(kernel, source.read(kernel.id)),
      inputs: new Float64Array(kernel.inputs).fill(1),
      outputs: new Float64Array(kernel.outputs).fill(1),
    };
    kernels.set(kernel.id, balanced);
    return balanced;
  };
  const linked = pairs.map((pair) => ({
    pair,
    first: balancedOf(pair.first),
    second: balancedOf(pair.second),
  }));
  const before = linked.map(({ pair, first, second }) => sharing(pair, first, second));
  let rounds = 0;
  for (let change = Number.POSITIVE_INFINITY; change > TOLERANCE && rounds < MAX_ROUNDS; ) {
    change = 0;
    for (const { pair, first, second } of linked)
      change = Math.max(change, balance(pair.channels, first, second));
    rounds++;
    if (linked.length === 0) break;
  }
  const scaled = new Map<string, Scaling>();
  for (const [id, { kernel, inputs, outputs }] of kernels)
    scaled.set(id, scalingOf({ kernel, inputs, outputs }));
  for (const { pair, first } of linked) {
    for (const id of pair.vectors)
      scaled.set(id, (values, from) => {
        for (let i = 0; i < values.length; i++)
          values[i] = (values[i] as number) * (first.outputs[(from + i) % pair.channels] as number);
      });
  }
  return {
    source: new TransformedModel(source, { scaled }),
    pairs: linked.map(({ pair, first, second }, i) => ({
      first: first.kernel.id,
      second: second.kernel.id,
      through: pair.through,
      channels: pair.channels,
      before: before[i] as number,
      after: sharing(pair, first, second),
    })),
    left,
    rounds,
  };
}

/** The pairs of a model, and every layer with a kernel that is the first of none. */
function pairsOf(source: ModelSource): { pairs: readonly Pair[]; left: readonly LeftLayer[] } {
  const network = networkOf(source);
  if (!network) {
    const why = 'the file holds no architecture';
    return { pairs: [], left: [{ layer: source.file, className: 'model', why }] };
  }
  const { pairs, left } = findPairs(network, weightsOf(source));
  const inPairs = new Set(pairs.flatMap(({ first, second }) => [first.id, second.id]));
  const seen = new Set(left.map(({ layer }) => layer));
  for (const { id, layer } of source.weights) if (inPairs.has(id)) seen.add(layer);
  const known = new Set(network.nodes.map(({ layer }) => layer));
  const more: LeftLayer[] = [];
  for (const { layer, className, shape } of source.weights) {
    if (seen.has(layer) || shape.length < 2) continue;
    seen.add(layer);
    const why = known.has(layer)
      ? 'a class without a kernel of known axes'
      : 'it is part of another layer, or no output of the model needs it';
    more.push({ layer, className, why });
  }
  return { pairs, left: [...left, ...more] };
}

/** `max |w|` over the spatial positions: `[rows, columns]`, C order. */
function magnitudes({ rows, columns }: Kernel, values: Float32Array): Float32Array {
  const out = new Float32Array(rows * columns);
  for (let i = 0, at = 0; i < values.length; i++) {
    const size = Math.abs(values[i] as number);
    if (size > (out[at] as number)) out[at] = size;
    if (++at === out.length) at = 0;
  }
  return out;
}

/** `max |w|` of each output channel. */
function outputRanges({ kernel, sizes, inputs, outputs }: Balanced): Float64Array {
  const ranges = new Float64Array(kernel.outputs);
  const [inputOf, outputOf] = [inputChannel(kernel), outputChannel(kernel)];
  eachElement(kernel, (at, a, b) => {
    const o = outputOf(a, b);
    const size = (sizes[at] as number) * (inputs[inputOf(a, b)] as number) * (outputs[o] as number);
    if (size > (ranges[o] as number)) ranges[o] = size;
  });
  return ranges;
}

/** `max |w|` of each channel of the inputs; input `j` is of channel `j mod channels`. */
function inputRanges({ kernel, sizes, inputs, outputs }: Balanced, channels: number): Float64Array {
  const ranges = new Float64Array(channels);
  const [inputOf, outputOf] = [inputChannel(kernel), outputChannel(kernel)];
  eachElement(kernel, (at, a, b) => {
    const i = inputOf(a, b);
    const c = i % channels;
    const size = (sizes[at] as number) * (inputs[i] as number) * (outputs[outputOf(a, b)] as number);
    if (size > (ranges[c] as number)) ranges[c] = size;
  });
  return ranges;
}

function eachElement({ rows, columns }: Kernel, visit: (at: number, a: number, b: number) => void): void {
  for (let a = 0, at = 0; a < rows; a++) for (let b = 0; b < columns; b++) visit(at++, a, b);
}

/** One step for one pair; returns how much the factor furthest from 1 changes a range. Channels that are zero on a side stay. */
function balance(channels: number, first: Balanced, second: Balanced): number {
  const r1 = outputRanges(first);
  const r2 = inputRanges(second, channels);
  const steps = new Float64Array(channels).fill(1);
  let largest = 0;
  for (let c = 0; c < channels; c++) {
    const s = Math.sqrt((r1[c] as number) / (r2[c] as number));
    const total = (first.outputs[c] as number) / s;
    if (!(s > 0 && total >= 1 / MAX_FACTOR && total <= MAX_FACTOR)) continue;
    steps[c] = s;
    first.outputs[c] = total;
    largest = Math.max(largest, s - 1, 1 / s - 1);
  }
  for (let i = 0; i < second.inputs.length; i++)
    second.inputs[i] = (second.inputs[i] as number) * (steps[i % channels] as number);
  return largest;
}

/** Mean of `r1_i r2_i / (R1 R2)` over the channels; 0 for a kernel of zeros. */
function sharing({ channels }: Pair, first: Balanced, second: Balanced): number {
  const r1 = outputRanges(first);
  const r2 = inputRanges(second, channels);
  const largest = (ranges: Float64Array) => ranges.reduce((a, b) => Math.max(a, b), 0);
  const whole = largest(r1) * largest(r2);
  const sum = r1.reduce((total, r, c) => total + r * (r2[c] as number), 0);
  return whole > 0 ? sum / channels / whole : 0;
}
