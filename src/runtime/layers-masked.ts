import { type Build, type Context, numbersOf } from './context.js';
import { addCombination } from './elements.js';
import { addSum } from './layers-reductions.js';
import { globalPooling } from './layers-simple.js';
import type { Tensor } from './program.js';

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

const prelu: Build = (c) => {
  const [x] = c.inputs as [Tensor];
  const shared = c.attributes.shared_axes === null ? [] : numbersOf(c.attributes.shared_axes);
  const shape = x.shape.map((n, i) => (shared.includes(i + 1) ? 1 : n));
  const alpha = c.program.constant(c.values('alpha') as Float32Array, shape);
  return [addCombination(c.program, x, alpha, 'prelu')];
};

/** Means that a mask leaves steps out of, masks taken together, and functions with a slope for each element. */
export const MASKED: Readonly<Record<string, Build>> = {
  GlobalAveragePooling1D: globalMean,
  PReLU: prelu,
  CombineMasks: (c) => [
    addCombination(
      c.program,
      ...(c.inputs as [Tensor, Tensor]),
      c.attributes.how === 'and' ? 'minimum' : 'maximum',
    ),
  ],
};
