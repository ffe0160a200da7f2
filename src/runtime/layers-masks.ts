import { type Build, type Context, numberOf } from './context.js';
import { addCombination } from './elements.js';
import { addSum } from './layers-reductions.js';
import { concatenation } from './layers-shapes.js';
import { globalPooling } from './layers-simple.js';
import type { Program, Tensor } from './program.js';

/** 1 for rows of `width` in which anything differs from the value that stands for nothing, else 0. */
function addPresence(
  program: Program,
  x: Tensor,
  width: number,
  nothing: number,
  shape: readonly number[],
): Tensor {
  const out = program.tensor(shape);
  program.step([x], [out], () => {
    const { floats } = program;
    const [from, to] = [x.storage.at >> 2, out.storage.at >> 2];
    for (let t = 0; t < out.size; t++) {
      let isThere = 0;
      for (let i = 0; i < width; i++) if (floats[from + t * width + i] !== nothing) isThere = 1;
      floats[to + t] = isThere;
    }
  });
  return out;
}

/** Where a mask is true: tokens that are not 0, or steps that are there. */
const computeMask: Build = (c) => {
  const { program, attributes: a } = c;
  const [x] = c.inputs as [Tensor];
  if (a.tokens === true) return [addPresence(program, x, 1, 0, x.shape)];
  const nothing = Math.fround(numberOf(a.mask_value));
  return [addPresence(program, x, x.shape.at(-1) as number, nothing, x.shape.slice(0, -1))];
};

/** Steps that are not there become zeros. */
const masking: Build = (c) => {
  const { program } = c;
  const [x] = c.inputs as [Tensor];
  const nothing = Math.fround(numberOf(c.attributes.mask_value));
  const shape = [...x.shape.slice(0, -1), 1];
  const presence = addPresence(program, x, x.shape.at(-1) as number, nothing, shape);
  return [addCombination(program, x, presence, 'multiply')];
};

/** Mean over the steps that a mask leaves. */
function addMaskedMean(c: Context, x: Tensor, mask: Tensor): Tensor {
  const { program } = c;
  const column = program.view(mask, [mask.size, 1]);
  const sum = addSum(program, addCombination(program, x, column, 'multiply'), [0], true);
  const mean = addCombination(program, sum, addSum(program, column, [0], true), 'divide');
  return c.attributes.keepdims === true ? mean : program.view(mean, mean.shape.slice(1));
}

const globalMean: Build = (c) => {
  const [x] = c.inputs as [Tensor];
  const mask = c.inputs[c.node.roles.indexOf('mask')];
  return mask ? [addMaskedMean(c, x, mask)] : globalPooling(false)(c);
};

/** Masks of sequences, and what takes them into account. */
export const MASKS: Readonly<Record<string, Build>> = {
  ComputeMask: computeMask,
  ConcatenateMasks: concatenation,
  CombineMasks: (c) => [
    addCombination(
      c.program,
      ...(c.inputs as [Tensor, Tensor]),
      c.attributes.how === 'and' ? 'minimum' : 'maximum',
    ),
  ],
  Masking: masking,
  GlobalAveragePooling1D: globalMean,
};
