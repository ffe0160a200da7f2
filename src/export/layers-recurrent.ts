import { mergedWays } from '../network/operations/sequences.js';
import type { Direction, Ends } from './cells.js';
import { type Context, type Emit, floatOf } from './context.js';
import { refuse } from './refusal.js';
import { Tensor } from './tensor.js';
import type { Val } from './values.js';

/** A recurrent layer in both directions, and what is made of them. @param run computes one way, or both at once */
export const recurrent =
  <C extends Context>(run: (c: C, ways: readonly Direction[]) => readonly Ends[]): Emit<C> =>
  (c) => {
    const { attributes: a, node, inputs } = c;
    if (node.roles.some((role) => !['x', 'state', 'mask'].includes(role)))
      refuse(`inputs: ${node.roles.join(', ')}`);
    if (a.stateful === true) refuse('stateful');
    const initial = inputs.filter((_, i) => node.roles[i] === 'state').map((x) => floatOf(x));
    const isSequence = a.return_sequences === true;
    const outputOf = (ends: Ends): Tensor =>
      isSequence ? (ends.sequence as Tensor) : Tensor.of(c.graph, ends.last);
    const tensors = (ends: readonly Ends[]) =>
      a.return_state === true ? ends.flatMap((own) => own.states.map((val) => Tensor.of(c.graph, val))) : [];
    if (!('merge_mode' in a)) {
      const isBackward = a.go_backwards === true;
      const ends = run(c, [{ prefix: '', isBackward, isTurned: isBackward, initial }]);
      return [outputOf(ends[0] as Ends), ...tensors(ends)];
    }
    const half = initial.length / 2;
    const isBackward = a.go_backwards === true;
    const ways: Direction[] = [
      { prefix: 'forward/', isBackward, isTurned: isBackward, initial: initial.slice(0, half) },
      // Outputs of the way back are turned, so that each stands where its input stands; of both turned, one is.
      { prefix: 'backward/', isBackward: !isBackward, isTurned: isBackward, initial: initial.slice(half) },
    ];
    const ends = isBackward ? ways.flatMap((way) => run(c, [way])) : run(c, ways);
    const [forward, backward] = ends.map(outputOf) as [Tensor, Tensor];
    return [...merged(c, forward, backward), ...tensors(ends)];
  };

function merged(c: Context, forward: Tensor, backward: Tensor): Tensor[] {
  const { graph } = c;
  const { order } = forward;
  const [x, y] = [forward.in(order), backward.in(order)];
  const of = (val: Val) => Tensor.of(graph, val, order);
  return mergedWays(c.attributes.merge_mode, forward, backward, {
    concat: () => of(graph.concat([x, y], order.indexOf(forward.rank - 1))),
    sum: () => of(graph.binary('Add', x, y)),
    mul: () => of(graph.binary('Mul', x, y)),
    ave: () => of(graph.binary('Mul', graph.binary('Add', x, y), 0.5)),
  });
}
