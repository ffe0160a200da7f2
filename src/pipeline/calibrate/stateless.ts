import { isObject, type Json, type JsonObject, type ModelSource } from '../../model.js';

/** An architecture whose recurrent layers begin anew with every sample; undefined where they do so anyway. */
function withoutStates(value: Json): { readonly value: Json; readonly isChanged: boolean } {
  let isChanged = false;
  const edit = (own: Json): Json => {
    if (Array.isArray(own)) return own.map(edit);
    if (!isObject(own)) return own;
    const out: JsonObject = {};
    for (const [key, inner] of Object.entries(own)) {
      out[key] = key === 'stateful' && inner === true ? false : edit(inner);
      if (out[key] !== inner && key === 'stateful') isChanged = true;
    }
    return out;
  };
  return { value: edit(value), isChanged };
}

/** Batches of one size, which states ask for, as batches of any. */
function withoutBatch(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutBatch);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const isShape = /^batch_(input_)?shape$/.test(key) && Array.isArray(inner);
      return [key, isShape ? [null, ...inner.slice(1)] : withoutBatch(inner)];
    }),
  );
}

/**
 * The same model with states of recurrent layers that are zero before each sample, and batches of any size. A stateful layer keeps
 * its states from one call to the next: what it computes within a sample is the same, and that is what its kernels are fitted to.
 */
export function stateless(model: ModelSource): ModelSource {
  const { architecture } = model;
  if (!architecture) return model;
  const { value, isChanged } = withoutStates(architecture);
  if (!isChanged) return model;
  return {
    ...{ file: model.file, kerasVersion: model.kerasVersion, backend: model.backend },
    ...(model.activationRanges === undefined ? {} : { activationRanges: model.activationRanges }),
    architecture: withoutBatch(value) as JsonObject,
    weights: model.weights,
    read: (id) => model.read(id),
  };
}
