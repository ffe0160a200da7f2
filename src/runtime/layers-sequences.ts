import { type ActivationSpec, activationNamed, addActivation, applyActivation } from './activations.js';
import { type Build, type Context, numberOf, refuse } from './context.js';
import { rowsLayer } from './layers-products.js';
import { addCombination } from './layers-simple.js';
import { addConcatenation } from './moves.js';
import { makeConvolution, type Product } from './product.js';
import type { Program, Tensor } from './program.js';
import { COMBINATIONS } from './record.js';

const GATES: Readonly<Record<string, number>> = { LSTM: 4, GRU: 3, SimpleRNN: 1 };
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

/** Class of the layer, or of the one inside a Bidirectional. */
const cellOf = ({ node, attributes }: Context): string => String(attributes.cell ?? node.operation);

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
  readonly states: readonly Tensor[];
}

/** One direction of a recurrent layer. @returns all outputs `[time, units]` and the states behind the last step */
function addDirection(c: Context, x: Tensor, way: Direction): Outputs {
  const { program, node, attributes: a } = c;
  const [time, features] = x.shape as [number, number];
  const units = numberOf(a.units);
  const operation = cellOf(c);
  const width = (GATES[operation] as number) * units;
  const isAfter = operation === 'GRU' && a.reset_after === true;
  const bias = c.values(`${way.prefix}bias`);
  const product = (role: string, rows: number, channels: number, own: Float32Array | undefined): Product => {
    const values = () => c.values(way.prefix + role) as Float32Array;
    const weight = c.weight(way.prefix + role);
    const layer = rowsLayer(node.layer, rows, channels, width, weight, values, { bias: own });
    return makeConvolution(program, layer, c.options);
  };
  const input = product('kernel', time, features, bias?.subarray(0, width));
  const recurrent = product('recurrent_kernel', 1, units, isAfter ? bias?.subarray(width) : undefined);
  const slot = input.isInteger ? program.rangeOf(x) : 0;
  const stateSlot = program.slot();
  const spare = program.slot();
  const zx = program.tensor([time, width]);
  const work = program.tensor([WORK_UNITS * units]);
  const h = program.tensor([units]);
  const state = program.tensor([units]);
  const sequence = program.tensor([time, units]);
  const cell: Cell = {
    ...{ program, units, out: activation(c, 'activation') },
    gate: operation === 'SimpleRNN' ? activation(c, 'activation') : activation(c, 'recurrent_activation'),
    recur(from, to) {
      const { words } = program;
      words[stateSlot >> 2] = 0;
      words[(stateSlot >> 2) + 1] = 0;
      if (recurrent.isInteger) program.kernels.range(from, units, stateSlot);
      recurrent.run(from, stateSlot, to, spare);
    },
  };
  const step =
    operation === 'LSTM' ? lstm : operation === 'SimpleRNN' ? simple : isAfter ? gruAfter : gruBefore;
  const begin = (given: Tensor | undefined, to: number) => {
    if (given) copy(given.storage.at, to);
    else program.kernels.fill(to, units, 0);
  };
  const { mask } = way;
  const isZeroed = a.zero_output_for_mask === true;
  const copy = (from: number, to: number) =>
    program.kernels.move(from, to, 1, 1, 1, 4 * units, 0, 0, 0, 0, 0, 0);
  program.step([x, ...way.initial, ...(mask ? [mask] : [])], [zx, work, h, state, sequence], () => {
    const { kernels } = program;
    let before = 0;
    begin(way.initial[0], h.storage.at);
    begin(way.initial[1], state.storage.at);
    input.run(x.storage.at, slot, zx.storage.at, spare);
    for (let s = 0; s < time; s++) {
      const t = way.isBackward ? time - 1 - s : s;
      const to = sequence.storage.at + 4 * units * (way.isInPlace ? t : s);
      if (mask && program.floats[(mask.storage.at >> 2) + t] === 0) {
        // The output is that of the step before, of which there is none at first.
        if (before === 0 || isZeroed) kernels.fill(to, units, 0);
        else copy(before, to);
      } else {
        step(cell, zx.storage.at + 4 * width * t, h.storage.at, state.storage.at, work.storage.at);
        copy(h.storage.at, to);
      }
      before = to;
    }
  });
  return { sequence, states: operation === 'LSTM' ? [h, state] : [h] };
}

const recurrent: Build = (c) => {
  const { attributes: a, node, inputs } = c;
  const [x] = inputs as [Tensor];
  if (node.roles.some((role) => !['x', 'state', 'mask'].includes(role)))
    refuse(`inputs: ${node.roles.join(', ')}`);
  if (a.stateful === true) refuse('stateful');
  if (!(cellOf(c) in GATES)) refuse(cellOf(c));
  const initial = inputs.filter((_, i) => node.roles[i] === 'state');
  const mask = inputs[node.roles.indexOf('mask')];
  const isDouble = 'merge_mode' in a;
  const isSequence = a.return_sequences === true;
  const states = (outputs: readonly Outputs[]) =>
    a.return_state === true ? outputs.flatMap((one) => one.states) : [];
  if (!isDouble) {
    const isBackward = a.go_backwards === true;
    const one = addDirection(c, x, { prefix: '', isBackward, isInPlace: false, initial, mask });
    return [isSequence ? one.sequence : (one.states[0] as Tensor), ...states([one])];
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
  ] as const;
  const [forward, backward] = ways.map((one) => (isSequence ? one.sequence : (one.states[0] as Tensor))) as [
    Tensor,
    Tensor,
  ];
  return [...merge(c, forward, backward), ...states(ways)];
};

function merge(c: Context, forward: Tensor, backward: Tensor): Tensor[] {
  const { program } = c;
  switch (c.attributes.merge_mode) {
    case 'concat':
      return [addConcatenation(program, [forward, backward], forward.shape.length - 1)];
    case 'sum':
      return [addCombination(program, forward, backward, 'add')];
    case 'mul':
      return [addCombination(program, forward, backward, 'multiply')];
    case 'ave': {
      const sum = addCombination(program, forward, backward, 'add');
      return [addActivation(program, sum, { type: 'element', kind: 'linear', parameters: [0.5, 0] })];
    }
    case null:
    case 'none':
      return [forward, backward];
    default:
      return refuse(`merge_mode: ${String(c.attributes.merge_mode)}`);
  }
}

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

/** Recurrent layers, in both directions too, and masks. */
export const SEQUENCES: Readonly<Record<string, Build>> = {
  LSTM: recurrent,
  GRU: recurrent,
  SimpleRNN: recurrent,
  Bidirectional: recurrent,
  ComputeMask: computeMask,
  Masking: masking,
};
