import { expandedEquation } from '../network/operations/layers.js';
import { addActivation } from './activations.js';
import { axisOf, type Build, type Context, numberOf, numbersOf, product, refuse } from './context.js';
import { addCombination } from './elements.js';
import { rowsLayer } from './layers-products.js';
import { addSum, addUnit } from './layers-reductions.js';
import { addMatmul } from './matmul.js';
import { addPermutation } from './moves.js';
import { addConvolution } from './product.js';
import type { Program, Tensor } from './program.js';

interface Equation {
  readonly left: string;
  readonly right: string;
  readonly out: string;
}

/** Sum over products of two tensors by letters of their axes, as products of matrices. */
function addEinsum(program: Program, { left, right, out }: Equation, x: Tensor, y: Tensor): Tensor {
  if ([left, right, out].some((letters) => new Set(letters).size !== letters.length))
    refuse('a letter that stands twice');
  const sizes = new Map<string, number>();
  const learn = (letters: string, shape: readonly number[]) => {
    [...letters].forEach((letter, i) => {
      const n = shape[i] as number;
      if ((sizes.get(letter) ?? n) !== n) refuse(`axis ${letter} of lengths ${sizes.get(letter)} and ${n}`);
      sizes.set(letter, n);
    });
  };
  learn(left, x.shape);
  learn(right, y.shape);
  const both = [...left].filter((letter) => right.includes(letter));
  const batch = both.filter((letter) => out.includes(letter)).join('');
  const summed = both.filter((letter) => !out.includes(letter)).join('');
  const only = (a: string, b: string) =>
    [...a].filter((letter) => !b.includes(letter) && out.includes(letter)).join('');
  const [rows, columns] = [only(left, right), only(right, left)];
  const matrix = (tensor: Tensor, letters: string, order: readonly string[]) => {
    const wanted = order.join('');
    const extra = [...letters].flatMap((letter, i) => (wanted.includes(letter) ? [] : [i]));
    const own = extra.length > 0 ? addSum(program, tensor, extra, false) : tensor;
    const kept = [...letters].filter((letter) => wanted.includes(letter)).join('');
    const turned = addPermutation(
      program,
      own,
      [...wanted].map((letter) => kept.indexOf(letter)),
    );
    return program.view(
      turned,
      order.map((part) => product([...part].map((letter) => sizes.get(letter) as number))),
    );
  };
  const made = addMatmul(
    program,
    matrix(x, left, [batch, rows, summed]),
    matrix(y, right, [batch, summed, columns]),
  );
  const letters = batch + rows + columns;
  const full = program.view(
    made,
    [...letters].map((letter) => sizes.get(letter) as number),
  );
  return addPermutation(
    program,
    full,
    [...out].map((letter) => letters.indexOf(letter)),
  );
}

/** The batch, which tensors here do not have, comes first in both, and in what is made. */
const einsum: Build = (c) => {
  const [x, y] = c.inputs as [Tensor, Tensor];
  const { left, right, out } = expandedEquation(String(c.attributes.subscripts), x.shape.length + 1);
  const isBatch = c.inputs.length === 2 && left[0] === right[0] && left[0] === out[0];
  if (!isBatch) refuse(`subscripts: ${String(c.attributes.subscripts)}`);
  return [addEinsum(c.program, { left: left.slice(1), right: right.slice(1), out: out.slice(1) }, x, y)];
};

const matmul: Build = (c) => {
  const { program, inputs } = c;
  const [x, y] = inputs as [Tensor, Tensor];
  if (inputs.length !== 2) refuse('a product with numbers');
  const [before, behind] = [x.shape.slice(0, -2), y.shape.slice(0, -2)];
  const isPair = x.shape.length === y.shape.length && x.shape.length >= 2 && `${before}` === `${behind}`;
  if (!isPair || x.shape.at(-1) !== y.shape.at(-2)) refuse(`shapes [${x.shape}] and [${y.shape}]`);
  const flat = (m: Tensor) => program.view(m, [product(before), ...m.shape.slice(-2)]);
  const made = addMatmul(program, flat(x), flat(y));
  return [program.view(made, [...before, ...made.shape.slice(1)])];
};

const LETTERS = 'abcdefghijklmnopqrstuvwxyz';

const dot: Build = (c) => {
  const { program, attributes: a } = c;
  const given = c.inputs as [Tensor, Tensor];
  const axes = numbersOf(a.axes);
  const [i, j] = given.map((tensor, at) => axisOf(axes[at] ?? axes[0], tensor.shape.length)) as [
    number,
    number,
  ];
  const [x, y] =
    a.normalize === true
      ? [addUnit(program, given[0], [i], 1e-12), addUnit(program, given[1], [j], 1e-12)]
      : given;
  const left = LETTERS.slice(0, x.shape.length);
  const summed = left[i] as string;
  const free = LETTERS.slice(x.shape.length, x.shape.length + y.shape.length);
  const right = free.slice(0, j) + summed + free.slice(j + 1);
  const out = (left + right).replaceAll(summed, '');
  const made = addEinsum(program, { left, right, out }, x, y);
  return [made.shape.length === 0 ? program.view(made, [1]) : made];
};

/** An equation that is no product of rows: the kernel as a tensor in float32. */
function addDenseEinsum(c: Context, x: Tensor, bias: Float32Array | undefined): Tensor {
  const { attributes: a, program } = c;
  const equation = expandedEquation(String(a.equation), x.shape.length + 1);
  const [left, right, out] = [equation.left.slice(1), equation.right, equation.out.slice(1)];
  const isRight = equation.left[0] === equation.out[0] && !right.includes(equation.left[0] as string);
  if (!isRight) refuse(`equation: ${String(a.equation)}`);
  const given = [a.output_shape].flat();
  const dims = (letters: string): number[] =>
    [...letters].map((letter) => {
      const own = left.includes(letter)
        ? x.shape[left.indexOf(letter)]
        : given[given.length - out.length + out.indexOf(letter)];
      return typeof own === 'number' ? own : refuse('an output_shape that is not known');
    });
  const kernel = program.constant(c.values('kernel') as Float32Array, dims(right));
  const made = addEinsum(program, { left, right, out }, x, kernel);
  if (!bias) return made;
  const axes = String(a.bias_axes);
  const from = Math.min(...[...axes].map((letter) => out.indexOf(letter)));
  const shape = dims(out.slice(from)).map((n, i) => (axes.includes(out[from + i] as string) ? n : 1));
  return addCombination(program, made, program.constant(bias, shape), 'add');
}

/** Axes that stay, axes summed over and axes made, each together: a product of rows. Other equations: products of tensors. */
const einsumDense: Build = (c) => {
  const { attributes: a, program } = c;
  const [x] = c.inputs as [Tensor];
  const parts = /^(\S*?),(\S*?)->(\S*)$/.exec(String(a.equation).replace(/\s/g, ''));
  const [, left = '', right = '', out = ''] = parts ?? [];
  const plain = left.replace('...', '');
  const summed = [...right].filter((letter) => !out.includes(letter)).join('');
  const made = [...right].filter((letter) => out.includes(letter)).join('');
  const isRows =
    right === summed + made &&
    plain.endsWith(summed) &&
    out.replace('...', '').endsWith(made) &&
    left.slice(0, left.length - summed.length) === out.slice(0, out.length - made.length);
  const bias = c.values('bias');
  const isWhole = !bias || String(a.bias_axes).length === made.length;
  if (!isRows || !isWhole || summed === '' || made === '')
    return [addActivation(program, addDenseEinsum(c, x, bias), c.tail(0).activation)];
  const given = Array.isArray(a.output_shape) ? numbersOf(a.output_shape) : [numberOf(a.output_shape)];
  const columnsShape = given.slice(given.length - made.length);
  if (columnsShape.some((n) => !Number.isInteger(n))) refuse('an output_shape that is not known');
  const depth = product(x.shape.slice(x.shape.length - summed.length));
  const columns = product(columnsShape);
  const layer = rowsLayer(
    ...([c.node.layer, x.size / depth, depth, columns, c.weight('kernel')] as const),
    ...([() => c.values('kernel') as Float32Array, { bias }] as const),
  );
  const result = addConvolution(program, x, layer, c.options);
  const shape = [...x.shape.slice(0, x.shape.length - summed.length), ...columnsShape];
  return [addActivation(program, program.view(result, shape), c.tail(columns).activation)];
};

/** Sums of products of tensors. */
export const CONTRACTIONS: Readonly<Record<string, Build>> = {
  EinsumDense: einsumDense,
  Dot: dot,
  'ops.Einsum': einsum,
  'ops.Matmul': matmul,
};
