import { type Build, numberOf } from './context.js';
import type { Tensor } from './program.js';

/** Where a mask is true: tokens that are not 0, or steps in which anything differs from the value that stands for nothing. */
const computeMask: Build = (c) => {
  const { program, attributes: a } = c;
  const [x] = c.inputs as [Tensor];
  const isTokens = a.tokens === true;
  const width = isTokens ? 1 : (x.shape.at(-1) as number);
  const nothing = isTokens ? 0 : Math.fround(numberOf(a.mask_value));
  const out = program.tensor(isTokens ? x.shape : x.shape.slice(0, -1));
  program.step([x], [out], () => {
    const { floats } = program;
    const [from, to] = [x.storage.at >> 2, out.storage.at >> 2];
    for (let t = 0; t < out.size; t++) {
      let isThere = 0;
      for (let i = 0; i < width; i++) if (floats[from + t * width + i] !== nothing) isThere = 1;
      floats[to + t] = isThere;
    }
  });
  return [out];
};

/** Steps in which everything is the value that stands for nothing become zeros. */
const masking: Build = (c) => {
  const { program } = c;
  const [x] = c.inputs as [Tensor];
  const width = x.shape.at(-1) as number;
  const nothing = Math.fround(numberOf(c.attributes.mask_value));
  const out = program.tensor(x.shape);
  program.step([x], [out], () => {
    const { floats } = program;
    const [from, to] = [x.storage.at >> 2, out.storage.at >> 2];
    for (let t = 0; t < x.size; t += width) {
      let isThere = 0;
      for (let i = 0; i < width; i++) if (floats[from + t + i] !== nothing) isThere = 1;
      for (let i = 0; i < width; i++) floats[to + t + i] = (floats[from + t + i] as number) * isThere;
    }
  });
  return [out];
};

/** Masks of sequences. */
export const MASKS: Readonly<Record<string, Build>> = {
  ComputeMask: computeMask,
  Masking: masking,
};
