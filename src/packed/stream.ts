import type { Decoder } from '../kernels/types.js';
import type { ModelInfo, WeightInfo } from '../model.js';
import type { DecodeTarget } from '../schemes/target.js';
import { type PlannedWeight, partsOf, planPacked } from './plan.js';
import { readWeight } from './quantized-model.js';
import { packedWeight } from './read.js';
import { ByteInput, type ByteStream, bodyOf, isResponse, type OnProgress, takeHeader } from './source.js';

/** What happens while a packed file arrives. */
export interface StreamOptions {
  /** Names the file in errors; default: the URL of the response. */
  readonly name?: string;
  /** Called as bytes arrive. */
  readonly onProgress?: OnProgress;
  /** Called once, when the header is there, before any weight is. */
  readonly onHeader?: (info: ModelInfo, weights: readonly WeightInfo[]) => void;
  /** Memory for the values of a weight, `product(shape)` of them; undefined: a new `Float32Array`. */
  readonly into?: (weight: WeightInfo) => DecodeTarget | undefined;
}

/** A weight that has arrived. */
export interface StreamedWeight {
  readonly id: string;
  readonly weight: WeightInfo;
  /** In C order; what `into` gave where it gave something. */
  readonly values: DecodeTarget;
}

/**
 * Decodes a packed file as its bytes arrive: each weight as soon as its codes and scales are there, in the order of the
 * file. Nothing is kept: the memory it takes is that of the header, the scales and one weight's codes. Files in which
 * codes stand before scales are read as well, and keep those codes waiting.
 *
 * Leaving the loop early cancels the download.
 *
 * @param source what `fetch` resolved to, or any stream of bytes
 * @param kernels of `loadKernels` or, enough to read with, of `loadDecoder`
 * @throws BitnibbleError `download`, and what {@link openPacked} throws; whether the file is whole is known at the end
 */
export async function* streamPacked(
  source: Response | ByteStream,
  kernels: Decoder,
  options: StreamOptions = {},
): AsyncGenerator<StreamedWeight, void, undefined> {
  const response = isResponse(source) ? source : undefined;
  const name = options.name ?? (response?.url || 'packed model');
  const { stream, total } = response
    ? bodyOf(response, name)
    : { stream: source as ByteStream, total: undefined };
  const input = new ByteInput(stream, name, total, options.onProgress);
  try {
    const { header } = await takeHeader(input);
    const { info, weights } = planPacked(header, name);
    options.onHeader?.(info, weights);
    const owners = new Map<string, PlannedWeight>();
    for (const weight of weights) for (const part of partsOf(weight)) owners.set(part.name, weight);
    const waiting = new Map<string, Uint8Array>();
    for (const entry of header.tensors.values()) {
      waiting.set(entry.name, await input.take(entry.end - entry.start));
      const planned = owners.get(entry.name) as PlannedWeight;
      const parts = partsOf(planned);
      if (!parts.every((part) => waiting.has(part.name))) continue;
      const weight = packedWeight(planned, (part) => waiting.get(part.name) as Uint8Array, name);
      const out = options.into?.(weight);
      const values = readWeight(kernels, weight, name, out);
      for (const part of parts) waiting.delete(part.name);
      yield { id: weight.id, weight, values };
    }
    await input.end();
  } finally {
    await input.stop();
  }
}
