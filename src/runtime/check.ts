import { BitnibbleError } from '../errors.js';
import { packedLength } from '../export/arrange.js';
import { BITS, type CodedSource, weightInfos } from '../export/stored.js';
import type { ModelSource } from '../model.js';
import type { PackedWeight } from '../packed/quantized-model.js';
import { blockCount, layoutSize, sizeOf } from '../shape.js';
import { LATER } from './later-all.js';
import { fixedShape, prepare } from './prepare.js';
import { Program } from './program.js';
import type { Kernels } from './types.js';

/** Kernels that compute nothing, over memory that is not there. */
const NOTHING = new Proxy({} as Kernels, {
  get: (_, name) => {
    if (name === 'backend') return 'reference';
    if (name === 'base') return 0;
    // It is no promise: who awaits it gets it.
    if (name === 'then') return undefined;
    return name === 'memory' ? { buffer: new ArrayBuffer(0) } : () => undefined;
  },
});

/** A program that is planned and never run: nothing is written. */
class DryProgram extends Program {
  constructor() {
    super(NOTHING);
  }
  override write(): void {}
  override decode(): void {}
}

/** Zeros for weights: none is read. */
function hollow(model: CodedSource): ModelSource {
  const infoOf = weightInfos(model);
  const { file, architecture, kerasVersion, backend, weights } = model;
  const read = (id: string) => new Float32Array(sizeOf(infoOf(id).shape));
  const weight = (id: string): PackedWeight | undefined => {
    const own = model.weight?.(id);
    if (own?.kind !== 'quantized') return own;
    const { coding, layout, shape } = own.tensor;
    const codes = new Uint8Array(packedLength(layoutSize(layout), BITS[coding.scheme]));
    return { ...own, tensor: { coding, layout, shape, codes, scales: new Float32Array(blockCount(layout)) } };
  };
  return Object.assign({ file, architecture, kerasVersion, backend, weights, read }, { weight });
}

/** What stands for a length that is not fixed. */
const ANY = 64;

/**
 * Why {@link loadNetwork} would refuse a model: everything but its weights is looked at, and no memory is taken for them.
 *
 * @param shapes of inputs by name; a length that is not fixed and not given counts as 64
 * @returns the reason, naming layers and classes; undefined where the model can be run
 */
export async function whyNotRunnable(
  model: ModelSource,
  shapes: Readonly<Record<string, readonly number[]>> = {},
): Promise<string | undefined> {
  try {
    await prepare(
      LATER,
      hollow(model),
      { kernelsOf: async () => NOTHING, programOf: () => new DryProgram() },
      { weights: 'packed' },
      (name, own) => fixedShape(name, own, shapes[name] ?? own?.map((n) => n ?? ANY), model.file),
    );
    return undefined;
  } catch (error) {
    const isReason = error instanceof BitnibbleError || error instanceof RangeError;
    if (!isReason) throw error;
    return error.message.replace(`${model.file}: `, '');
  }
}
