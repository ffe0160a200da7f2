import { cellOf, everyRecurrent, gatesOf, mergedWays } from '../network/operations/sequences.js';
import { type ActivationSpec, applyActivation } from './activations.js';
import { activationNamed } from './activations-more.js';
import { type Build, type Context, numberOf, numbersOf, refuse, product as volume } from './context.js';
import { addCombination } from './elements.js';
import { type Frame, frameWith, outShape } from './frames.js';
import { addFunction } from './functions.js';
import { rowsLayer } from './layers-products.js';
import { addConcatenation, addPermutation, copyFloats } from './moves.js';
import { makeConvolution, type Product } from './product.js';
import type { Program, Tensor } from './program.js';
import { COMBINATIONS } from './record.js';

const [ADD, SUBTRACT, MULTIPLY] = (['add', 'subtract', 'multiply'] as const).map((kind) =>
  COMBINATIONS.indexOf(kind),
) as [number, number, number];

/** One step of a cell: addresses of what the input gives, of states and of work. */
interface Cell {
  readonly program: Program;
  readonly units: number;
  readonly gate: ActivationSpec;
  readonly out: ActivationSpec;
  /** Sums of a state with the recurrent kernel, its own bias added. */
  recur(from: number, to: number): void;
}

/** Room of a step, in floats of `units`: gates, sums of the state, two vectors. */
const WORK_UNITS = 10;

type StepOf = (cell: Cell, zx: number, h: number, c: number, work: number) => void;

const at = (address: number, { units }: Cell, vectors: number) => address + 4 * units * vectors;

function joinTwo({ program, units }: Cell, x: number, y: number, kind: number, to: number, vectors = 1) {
  program.kernels.combine(x, y, units * vectors, units * vectors, kind, to);
}

const apply = ({ program, units }: Cell, spec: ActivationSpec, from: number, to: number, vectors = 1) =>
  applyActivation(program, spec, from, units * vectors, units, to);

/** `c = f c + i g`, `h = o act(c)`: gates i, f, g, o. */
const lstm: StepOf = (cell, zx, h, c, work) => {
  const z = work;
  const zh = at(work, cell, 4);
  const t = at(work, cell, 8);
  cell.recur(h, zh);
  joinTwo(cell, zx, zh, ADD, z, 4);
  apply(cell, cell.gate, z, z, 2);
  apply(cell, cell.out, at(z, cell, 2), at(z, cell, 2));
  apply(cell, cell.gate, at(z, cell, 3), at(z, cell, 3));
  joinTwo(cell, at(z, cell, 1), c, MULTIPLY, c);
  joinTwo(cell, z, at(z, cell, 2), MULTIPLY, t);
  joinTwo(cell, c, t, ADD, c);
  apply(cell, cell.out, c, t);
  joinTwo(cell, at(z, cell, 3), t, MULTIPLY, h);
};

/** `h = g + z (h - g)`: what `z h + (1 - z) g` is. */
function blend(cell: Cell, z: number, g: number, h: number, t: number) {
  joinTwo(cell, h, g, SUBTRACT, t);
  joinTwo(cell, z, t, MULTIPLY, t);
  joinTwo(cell, g, t, ADD, h);
}

/** Gates z, r, g; the reset gate on the sums: `g = act(x + r sums)`. */
const gruAfter: StepOf = (cell, zx, h, _c, work) => {
  const z = work;
  const zh = at(work, cell, 4);
  const t = at(work, cell, 8);
  cell.recur(h, zh);
  joinTwo(cell, zx, zh, ADD, z, 2);
  apply(cell, cell.gate, z, z, 2);
  const g = at(z, cell, 2);
  joinTwo(cell, at(z, cell, 1), at(zh, cell, 2), MULTIPLY, t);
  joinTwo(cell, at(zx, cell, 2), t, ADD, g);
  apply(cell, cell.out, g, g);
  blend(cell, z, g, h, t);
};

/** The reset gate on the state: `g = act(x + (r h) U)`. */
const gruBefore: StepOf = (cell, zx, h, _c, work) => {
  const z = work;
  const zh = at(work, cell, 4);
  const t = at(work, cell, 8);
  cell.recur(h, zh);
  joinTwo(cell, zx, zh, ADD, z, 2);
  apply(cell, cell.gate, z, z, 2);
  const g = at(z, cell, 2);
  joinTwo(cell, at(z, cell, 1), h, MULTIPLY, t);
  cell.recur(t, zh);
  joinTwo(cell, at(zx, cell, 2), at(zh, cell, 2), ADD, g);
  apply(cell, cell.out, g, g);
  blend(cell, z, g, h, t);
};

const simple: StepOf = (cell, zx, h, _c, work) => {
  cell.recur(h, work);
  joinTwo(cell, zx, work, ADD, work);
  apply(cell, cell.out, work, h);
};

function activation(c: Context, key: string): ActivationSpec {
  const name = String(c.attributes[key]);
  return activationNamed(name) ?? refuse(`activation ${name}`);
}

interface Direction {
  readonly prefix: string;
  readonly isBackward: boolean;
  /** Outputs stand where their inputs stand, whichever way they were found. */
  readonly isInPlace: boolean;
  readonly initial: readonly Tensor[];
  /** 0 where a step is left out. */
  readonly mask: Tensor | undefined;
}

interface Outputs {
  readonly sequence: Tensor;
  /** The last output, where it is wanted. */
  readonly last: Tensor;
  readonly states: readonly Tensor[];
}

/** Sums of the inputs and of a state with their kernels, gate after gate. */
interface Gates {
  /** Floats of a state, and its shape. */
  readonly units: number;
  readonly shape: readonly number[];
  /** Sums of all inputs at x: `[time][gates][units]`. */
  project(x: number, to: number): void;
  recur(from: number, to: number): void;
}

/** Whether a layer has kernels over windows. */
const isConvolving = (c: Context) => cellOf(c.node).startsWith('Conv');

/** Gates of a dense cell: all times in one product. */
function denseGates(c: Context, x: Tensor, prefix: string): Gates {
  const { program, node, attributes: a } = c;
  const [time, features] = x.shape as [number, number];
  const units = numberOf(a.units);
  const operation = cellOf(c.node);
  const width = gatesOf(operation) * units;
  const isAfter = operation === 'GRU' && a.reset_after === true;
  const bias = c.values(`${prefix}bias`);
  const product = (role: string, rows: number, channels: number, own: Float32Array | undefined): Product => {
    const values = () => c.values(prefix + role) as Float32Array;
    const layer = rowsLayer(node.layer, rows, channels, width, c.weight(prefix + role), values, {
      bias: own,
    });
    return makeConvolution(program, layer, c.options);
  };
  const input = product('kernel', time, features, bias?.subarray(0, width));
  const recurrent = product('recurrent_kernel', 1, units, isAfter ? bias?.subarray(width) : undefined);
  program.ledger.work(input.kind, input.macs);
  program.ledger.work(recurrent.kind, time * recurrent.macs);
  const slot = input.isInteger ? program.rangeOf(x) : 0;
  const recur = measured(program, recurrent, units);
  const spare = program.slot();
  return { units, shape: [units], project: (from, to) => input.run(from, slot, to, spare), recur };
}

/** A product whose input changes from step to step: its range is found each time. */
function measured(program: Program, product: Product, n: number): (from: number, to: number) => void {
  const [slot, spare] = [program.slot(), program.slot()];
  return (from, to) => {
    const { words } = program;
    words[slot >> 2] = 0;
    words[(slot >> 2) + 1] = 0;
    if (product.isInteger) program.kernels.range(from, n, slot);
    product.run(from, slot, to, spare);
  };
}

/** Gates of a cell over images: outputs of a convolution, `[pixels][gates][filters]`, put gate after gate. */
function convolvedGates(c: Context, x: Tensor, prefix: string): Gates {
  const { program, node, attributes: a } = c;
  const time = x.shape[0] as number;
  const image = x.shape.slice(1);
  const filters = numberOf(a.filters);
  const ones = image.slice(1).map(() => 1);
  const kernel = numbersOf(a.kernel_size);
  const frame = frameWith(image, {
    ...{ kernel, strides: numbersOf(a.strides), dilations: numbersOf(a.dilation_rate), padding: a.padding },
  });
  const shape = outShape(image.length, frame, filters);
  const units = volume(shape);
  const own = frameWith(shape, { kernel, strides: ones, dilations: ones, padding: 'same' });
  const product = (role: string, over: Frame, bias: Float32Array | undefined): Product => {
    const values = () => c.values(prefix + role) as Float32Array;
    const layer = { ...over, name: node.layer, weight: c.weight(prefix + role), values, bias };
    const more = { groups: 1, columns: 4 * filters, low: -Infinity, high: Infinity };
    const made = makeConvolution(program, { ...layer, ...more }, c.options);
    program.ledger.work(made.kind, time * made.macs);
    return made;
  };
  const input = measured(program, product('kernel', frame, c.values(`${prefix}bias`)), volume(image));
  const recurrent = measured(program, product('recurrent_kernel', own, undefined), units);
  program.room('work', 16 * units);
  const pixels = units / filters;
  const sort = (to: number) =>
    program.kernels.move(
      ...([program.roomAt('work'), to, 1, 4, pixels, 4 * filters] as const),
      ...([0, 4 * filters, 16 * filters, 0, 4 * units, 4 * filters] as const),
    );
  return {
    ...{ units, shape },
    project(from, to) {
      for (let t = 0; t < time; t++) {
        input(from + 4 * t * volume(image), program.roomAt('work'));
        sort(to + 16 * t * units);
      }
    },
    recur(from, to) {
      recurrent(from, program.roomAt('work'));
      sort(to);
    },
  };
}

/** One direction of a recurrent layer. @returns all outputs `[time, ...]` and the states behind the last step */
function addDirection(c: Context, x: Tensor, way: Direction): Outputs {
  const { program, attributes: a } = c;
  const time = x.shape[0] as number;
  const operation = cellOf(c.node);
  const gates = (isConvolving(c) ? convolvedGates : denseGates)(c, x, way.prefix);
  const { units, shape } = gates;
  const width = gatesOf(operation) * units;
  const zx = program.tensor([time, width]);
  const work = program.tensor([WORK_UNITS * units]);
  const h = program.tensor(shape);
  const state = program.tensor(shape);
  const sequence = program.tensor([time, ...shape]);
  const cell: Cell = {
    ...{ program, units, out: activation(c, 'activation'), recur: gates.recur },
    gate: operation === 'SimpleRNN' ? activation(c, 'activation') : activation(c, 'recurrent_activation'),
  };
  const isAfter = operation === 'GRU' && a.reset_after === true;
  const step = isAfter
    ? gruAfter
    : operation === 'GRU'
      ? gruBefore
      : operation === 'SimpleRNN'
        ? simple
        : lstm;
  const begin = (given: Tensor | undefined, to: number) => {
    if (given) copyFloats(program, given.storage.at, to, units);
    else program.kernels.fill(to, units, 0);
  };
  const { mask } = way;
  const isZeroed = a.zero_output_for_mask === true;
  // With a mask the last output may be that of a step before, or zeros, while the state is the one that was kept.
  const last = mask && a.return_sequences !== true ? program.tensor(shape) : h;
  const made = [zx, work, h, state, sequence, ...(last === h ? [] : [last])];
  program.step([x, ...way.initial, ...(mask ? [mask] : [])], made, () => {
    const { kernels } = program;
    let before = 0;
    begin(way.initial[0], h.storage.at);
    begin(way.initial[1], state.storage.at);
    gates.project(x.storage.at, zx.storage.at);
    for (let s = 0; s < time; s++) {
      const t = way.isBackward ? time - 1 - s : s;
      const to = sequence.storage.at + 4 * units * (way.isInPlace ? t : s);
      if (mask && program.floats[(mask.storage.at >> 2) + t] === 0) {
        // The output is that of the step before, of which there is none at first.
        if (before === 0 || isZeroed) kernels.fill(to, units, 0);
        else copyFloats(program, before, to, units);
      } else {
        step(cell, zx.storage.at + 4 * width * t, h.storage.at, state.storage.at, work.storage.at);
        copyFloats(program, h.storage.at, to, units);
      }
      before = to;
    }
    if (last !== h) copyFloats(program, before, last.storage.at, units);
  });
  return { sequence, last, states: step === lstm ? [h, state] : [h] };
}

/** Axes with the one at `from` put at `to`. */
function moved(rank: number, from: number, to: number): number[] {
  const order = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== from);
  order.splice(to, 0, from);
  return order;
}

const recurrent: Build = (c) => {
  const { attributes: a, node, inputs, program } = c;
  const [given] = inputs as [Tensor];
  if (node.roles.some((role) => !['x', 'state', 'mask'].includes(role)))
    refuse(`inputs: ${node.roles.join(', ')}`);
  if (a.stateful === true) refuse('stateful');
  const isFirst = isConvolving(c) && a.data_format === 'channels_first';
  /** Channels behind the others, or back to where they were; `at` is where they are first. */
  const toLast = (tensor: Tensor, at: number) =>
    isFirst
      ? addPermutation(program, tensor, moved(tensor.shape.length, at, tensor.shape.length - 1))
      : tensor;
  const toFirst = (tensor: Tensor, at: number) =>
    isFirst
      ? addPermutation(program, tensor, moved(tensor.shape.length, tensor.shape.length - 1, at))
      : tensor;
  const x = toLast(given, 1);
  const back = ({ sequence, last, states: own }: Outputs): Outputs => ({
    sequence: toFirst(sequence, 1),
    last: toFirst(last, 0),
    states: own.map((state) => toFirst(state, 0)),
  });
  const initial = inputs.filter((_, i) => node.roles[i] === 'state');
  const mask = inputs[node.roles.indexOf('mask')];
  const isDouble = 'merge_mode' in a;
  const isSequence = a.return_sequences === true;
  const states = (outputs: readonly Outputs[]) =>
    a.return_state === true ? outputs.flatMap((one) => one.states) : [];
  if (!isDouble) {
    const isBackward = a.go_backwards === true;
    const one = back(addDirection(c, x, { prefix: '', isBackward, isInPlace: false, initial, mask }));
    return [isSequence ? one.sequence : one.last, ...states([one])];
  }
  if (a.go_backwards === true) refuse('go_backwards in both directions');
  const half = initial.length / 2;
  const ways = [
    addDirection(c, x, {
      ...{ prefix: 'forward/', isBackward: false, isInPlace: true, initial: initial.slice(0, half), mask },
    }),
    addDirection(c, x, {
      ...{ prefix: 'backward/', isBackward: true, isInPlace: true, initial: initial.slice(half), mask },
    }),
  ].map(back);
  const [forward, backward] = ways.map((one) => (isSequence ? one.sequence : one.last)) as [Tensor, Tensor];
  return [...merge(c, forward, backward), ...states(ways)];
};

function merge(c: Context, forward: Tensor, backward: Tensor): Tensor[] {
  const { program } = c;
  return mergedWays(c.attributes.merge_mode, forward, backward, {
    concat: () => addConcatenation(program, [forward, backward], forward.shape.length - 1),
    sum: () => addCombination(program, forward, backward, 'add'),
    mul: () => addCombination(program, forward, backward, 'multiply'),
    ave: () => {
      const sum = addCombination(program, forward, backward, 'add');
      return addFunction(program, sum, 'linear', 0.5, 0);
    },
  });
}

/** Recurrent layers, in both directions too. */
export const SEQUENCES: Readonly<Record<string, Build>> = everyRecurrent(recurrent);
