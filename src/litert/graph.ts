// A graph of LiteRT while it is put together: shapes are numbers, operations are those of its schema.
import type { Binary, Builder, Edge, Part, Reduction, Unary } from '../export/builder.js';
import { refuse } from '../export/refusal.js';
import { type Dim, type ElementType, type Shape, spread, type Val } from '../export/values.js';
import { sizeOf } from '../shape.js';
import { einsum } from './einsum.js';
import { type Angles, FUNCTIONS } from './functions.js';
import { lengthsOf, OperationStore } from './store.js';
import { TYPES } from './types.js';

/** Functions of one value that are one operation. */
const UNARY: Readonly<Partial<Record<Unary, string>>> = {
  Abs: 'ABS',
  Ceil: 'CEIL',
  Cos: 'COS',
  Exp: 'EXP',
  Floor: 'FLOOR',
  HardSwish: 'HARD_SWISH',
  LeakyRelu: 'LEAKY_RELU',
  Log: 'LOG',
  Neg: 'NEG',
  Not: 'LOGICAL_NOT',
  Relu: 'RELU',
  Round: 'ROUND',
  Sigmoid: 'LOGISTIC',
  Sign: 'SIGN',
  Sin: 'SIN',
  Sqrt: 'SQRT',
  Tanh: 'TANH',
};

const BINARY: Readonly<Record<Binary, string>> = {
  Add: 'ADD',
  And: 'LOGICAL_AND',
  Div: 'DIV',
  Equal: 'EQUAL',
  Greater: 'GREATER',
  GreaterOrEqual: 'GREATER_EQUAL',
  Less: 'LESS',
  LessOrEqual: 'LESS_EQUAL',
  Max: 'MAXIMUM',
  Min: 'MINIMUM',
  Mul: 'MUL',
  Or: 'LOGICAL_OR',
  Pow: 'POW',
  Sub: 'SUB',
  Xor: 'NOT_EQUAL',
};

const REDUCTIONS: Readonly<Partial<Record<Reduction, string>>> = {
  ReduceMax: 'REDUCE_MAX',
  ReduceMean: 'MEAN',
  ReduceMin: 'REDUCE_MIN',
  ReduceProd: 'REDUCE_PROD',
  ReduceSum: 'SUM',
};

/** Puts a graph together. */
export class GraphBuilder extends OperationStore implements Builder, Angles {
  filled(like: Val, rest: readonly number[], value = 0): Val {
    const shape = [lengthsOf(like)[0] as number, ...rest];
    return this.constant('float', Array<number>(sizeOf(shape)).fill(value), shape);
  }

  unary(op: Unary, x: Val, numbers: Readonly<Record<string, number>> = {}): Val {
    const shape = lengthsOf(x);
    if (op === 'Identity') return this.add('RESHAPE', [x, this.ints(shape)], shape, { new_shape: shape });
    const { alpha = 1 } = numbers;
    if (op === 'Elu' && alpha === 1) return this.add('ELU', [x], shape);
    if (op === 'Elu') {
      const bent = this.add('ELU', [this.binary('Min', x, 0)], shape);
      return this.binary('Add', this.unary('Relu', x), this.binary('Mul', bent, alpha));
    }
    const own = UNARY[op];
    if (own) return this.add(own, [x], shape, op === 'LeakyRelu' ? { alpha } : {});
    const work = FUNCTIONS[op];
    return work ? work(this, x, numbers) : refuse(`the function ${op}`);
  }

  binary(op: Binary, x: Val, y: Val | number, type?: ElementType): Val {
    const other = typeof y === 'number' ? this.scalar(y, x.type) : y;
    return this.add(BINARY[op], [x, other], spread([x.shape, other.shape]) as number[], {}, type ?? x.type);
  }

  clip(x: Val, low: number | undefined, high: number | undefined): Val {
    const shape = lengthsOf(x);
    if (x.type === 'float' && low === 0 && high === undefined) return this.add('RELU', [x], shape);
    if (x.type === 'float' && low === 0 && high === 6) return this.add('RELU6', [x], shape);
    if (x.type === 'float' && low === -1 && high === 1) return this.add('RELU_N1_TO_1', [x], shape);
    const above = low === undefined ? x : this.binary('Max', x, low);
    return high === undefined ? above : this.binary('Min', above, high);
  }

  gelu(x: Val, isApproximate: boolean): Val {
    return this.add('GELU', [x], lengthsOf(x), { approximate: isApproximate });
  }

  softmax(x: Val, axis: number, isLog = false): Val {
    const rank = x.shape.length;
    // Both run over the last axis.
    const order = Array.from({ length: rank }, (_, i) => (i === axis ? rank - 1 : i === rank - 1 ? axis : i));
    const turned = this.transpose(x, order);
    const shape = lengthsOf(turned);
    const made = isLog
      ? this.add('LOG_SOFTMAX', [turned], shape)
      : this.add('SOFTMAX', [turned], shape, { beta: 1 });
    return this.transpose(made, order);
  }

  prelu(x: Val, slope: Val): Val {
    return this.add('PRELU', [x, slope], lengthsOf(x));
  }

  atan2(y: Val, x: Val): Val {
    const shape = spread([x.shape, y.shape]) as number[];
    // Both have to be of one shape.
    const whole = x.shape.length === shape.length ? x : this.binary('Add', this.binary('Mul', y, 0), x);
    return this.add('ATAN2', [y, whole], shape);
  }

  cast(x: Val, type: ElementType): Val {
    if (x.type === type) return x;
    if (type === 'bool') return this.add('NOT_EQUAL', [x, this.scalar(0, x.type)], lengthsOf(x), {}, 'bool');
    const options = { in_data_type: TYPES[x.type], out_data_type: TYPES[type] };
    return this.add('CAST', [x], lengthsOf(x), options, type);
  }

  where(condition: Val, x: Val, y: Val): Val {
    const shape = spread([condition.shape, x.shape, y.shape]) as number[];
    return this.add('SELECT_V2', [condition, x, y], shape, {}, x.type);
  }

  matmul(x: Val, y: Val): Val {
    const [a, b] = [lengthsOf(x), lengthsOf(y)];
    if (a.length < 2 || b.length < 2) {
      const wide = this.matmul(
        a.length < 2 ? this.unsqueeze(x, [0]) : x,
        b.length < 2 ? this.unsqueeze(y, [1]) : y,
      );
      const rank = wide.shape.length;
      return this.squeeze(wide, [...(a.length < 2 ? [rank - 2] : []), ...(b.length < 2 ? [rank - 1] : [])]);
    }
    const batch = spread([a.slice(0, -2), b.slice(0, -2)]) as number[];
    const shape = [...batch, a.at(-2) as number, b.at(-1) as number];
    return this.add('BATCH_MATMUL', [x, y], shape);
  }

  einsum(equation: string, x: Val, y: Val): Val {
    return einsum(this, equation, x, y);
  }

  reduce(op: Reduction, x: Val, axes: readonly number[], keep: boolean): Val {
    if (op === 'ReduceL1') return this.reduce('ReduceSum', this.unary('Abs', x), axes, keep);
    if (op === 'ReduceL2')
      return this.unary('Sqrt', this.reduce('ReduceSum', this.binary('Mul', x, x), axes, keep));
    if (op === 'ReduceLogSumExp') {
      const top = this.reduce('ReduceMax', x, axes, true);
      const exps = this.unary('Exp', this.binary('Sub', x, top));
      const logs = this.unary('Log', this.reduce('ReduceSum', exps, axes, keep));
      return this.binary('Add', logs, keep ? top : this.squeeze(top, axes));
    }
    const lengths = lengthsOf(x);
    const shape = lengths.flatMap((n, i) => (axes.includes(i) ? (keep ? [1] : []) : [n]));
    return this.add(REDUCTIONS[op] as string, [x, this.ints(axes)], shape, { keep_dims: keep });
  }

  place(op: 'ArgMax' | 'ArgMin', x: Val, axis: number, keep: boolean): Val {
    const shape = lengthsOf(x).filter((_, i) => i !== axis);
    const name = op === 'ArgMax' ? 'ARG_MAX' : 'ARG_MIN';
    const made = this.add(
      name,
      [x, this.scalar(axis, 'int32')],
      shape,
      { output_type: TYPES.int32 },
      'int32',
    );
    return keep ? this.unsqueeze(made, [axis]) : made;
  }

  transpose(x: Val, perm: readonly number[]): Val {
    if (perm.every((axis, i) => axis === i)) return x;
    const lengths = lengthsOf(x);
    const shape = perm.map((axis) => lengths[axis] as number);
    // Where only axes of length 1 move, the elements stay where they are.
    const long = perm.filter((axis) => lengths[axis] !== 1);
    if (long.every((axis, i) => i === 0 || axis > (long[i - 1] as number))) return this.reshape(x, shape);
    return this.add('TRANSPOSE', [x, this.ints(perm)], shape);
  }

  reshape(x: Val, shape: Shape): Val {
    const own = lengthsOf(x);
    const open = shape.filter((n) => typeof n !== 'number').length;
    if (open > 1) refuse('a shape of which more than one length is not known');
    const rest = sizeOf(shape.filter((n): n is number => typeof n === 'number'));
    const target = shape.map((n) => (typeof n === 'number' ? n : sizeOf(own) / rest));
    if (target.length === own.length && target.every((n, i) => n === own[i])) return x;
    return this.add('RESHAPE', [x, this.ints(target)], target, { new_shape: target });
  }

  flatten(x: Val): Val {
    return this.reshape(x, [x.shape[0] as Dim, sizeOf(lengthsOf(x).slice(1))]);
  }

  unsqueeze(x: Val, axes: readonly number[]): Val {
    let next = 0;
    const rank = x.shape.length + axes.length;
    return this.reshape(
      x,
      Array.from({ length: rank }, (_, i) => (axes.includes(i) ? 1 : (x.shape[next++] as Dim))),
    );
  }

  squeeze(x: Val, axes: readonly number[]): Val {
    return this.reshape(
      x,
      x.shape.filter((_, i) => !axes.includes(i)),
    );
  }

  repeat(x: Val, times: readonly number[]): Val {
    return this.tile(
      x,
      times.map((n, i) => (x.shape[i] === 1 ? n : 1)),
    );
  }

  tile(x: Val, times: readonly number[]): Val {
    if (times.every((n) => n === 1)) return x;
    const shape = lengthsOf(x).map((n, i) => n * (times[i] as number));
    return this.add('TILE', [x, this.ints(times)], shape);
  }

  concat(xs: readonly Val[], axis: number): Val {
    const [first] = xs as [Val];
    if (xs.length === 1) return first;
    const sum = xs.reduce((n, x) => n + (lengthsOf(x)[axis] as number), 0);
    const shape = lengthsOf(first).map((n, i) => (i === axis ? sum : n));
    return this.add('CONCATENATION', xs, shape, { axis });
  }

  split(x: Val, lengths: readonly number[], axis: number): Val[] {
    const own = lengthsOf(x);
    const shapes = lengths.map((n) => own.map((length, i) => (i === axis ? n : length)));
    const at = this.scalar(axis, 'int32');
    const options = { num_splits: lengths.length };
    return lengths.every((n) => n === lengths[0])
      ? this.addMany('SPLIT', [at, x], shapes, options, x.type)
      : this.addMany('SPLIT_V', [x, this.ints(lengths), at], shapes, options, x.type);
  }

  /** Places of an axis as values without it. */
  unpack(x: Val, axis: number): Val[] {
    const lengths = lengthsOf(x);
    const num = lengths[axis] as number;
    const shape = lengths.filter((_, i) => i !== axis);
    return this.addMany(
      'UNPACK',
      [x],
      Array.from({ length: num }, () => shape),
      { num, axis },
    );
  }

  /** Values side by side along an axis of their own. */
  pack(xs: readonly Val[], axis: number): Val {
    const shape = lengthsOf(xs[0] as Val);
    const whole = [...shape.slice(0, axis), xs.length, ...shape.slice(axis)];
    return this.add('PACK', xs, whole, { values_count: xs.length, axis });
  }

  slice(x: Val, parts: readonly Part[]): Val {
    if (parts.length === 0) return x;
    const lengths = lengthsOf(x);
    const clamp = (place: number, n: number, low: number, high: number) =>
      Math.min(Math.max(place < 0 ? place + n : place, low), high);
    const shape = [...lengths];
    const begin = lengths.map(() => 0);
    const end = [...lengths];
    const steps = lengths.map(() => 1);
    let endMask = 0;
    for (const { axis, start, end: stop, step = 1 } of parts) {
      const n = lengths[axis] as number;
      const [low, high] = step > 0 ? [0, n] : [-1, n - 1];
      const [from, to] = [clamp(start, n, low, high), clamp(stop, n, low, high)];
      begin[axis] = from;
      // The place before the first one cannot be written: -1 is the last.
      end[axis] = Math.max(to, 0);
      if (to < 0) endMask |= 1 << axis;
      steps[axis] = step;
      shape[axis] = Math.max(Math.ceil((to - from) / step), 0);
    }
    if (steps.every((n) => n === 1)) return this.add('SLICE', [x, this.ints(begin), this.ints(shape)], shape);
    const inputs = [x, this.ints(begin), this.ints(end), this.ints(steps)];
    return this.add('STRIDED_SLICE', inputs, shape, { end_mask: endMask });
  }

  gather(x: Val, indices: Val, axis: number): Val {
    const own = lengthsOf(x);
    const shape = [...own.slice(0, axis), ...lengthsOf(indices), ...own.slice(axis + 1)];
    return this.add('GATHER', [x, indices], shape, { axis });
  }

  pad(x: Val, ends: readonly Edge[], value = 0): Val {
    const pairs = lengthsOf(x).map((_, i) => ends.find(({ axis }) => axis === i)?.pair ?? [0, 0]);
    if (pairs.every(([before, after]) => before === 0 && after === 0)) return x;
    const shape = lengthsOf(x).map((n, i) => n + (pairs[i]?.[0] ?? 0) + (pairs[i]?.[1] ?? 0));
    const around = this.ints(pairs.flat(), [pairs.length, 2]);
    return value === 0
      ? this.add('PAD', [x, around], shape)
      : this.add('PADV2', [x, around, this.scalar(value, x.type)], shape);
  }
}
