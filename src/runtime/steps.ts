import { type Build, type Context, product, refuse } from './context.js';
import { copyFloats } from './moves.js';
import type { Tensor } from './program.js';

/** Operations that treat every row of the last axis alike. */
const ROWWISE = /^(Dense|BatchNormalization|LayerNormalization|RMSNormalization|Embedding)$/;

/** A layer applied to each step of a sequence: those that treat every row alike take all at once. */
export function overSteps(context: Context, build: Build): readonly Tensor[] {
  const { program, inputs, node } = context;
  const { steps, operation, attributes } = node;
  const [first] = inputs as [Tensor];
  const axis = Array.isArray(attributes.axis) ? attributes.axis : [attributes.axis ?? -1];
  const isLast = axis.length === 1 && (axis[0] === -1 || axis[0] === first.shape.length - steps);
  if (ROWWISE.test(operation) && isLast)
    return build({
      ...context,
      attributes: { ...attributes, ...('axis' in attributes ? { axis: -1 } : {}) },
    });
  const outer = first.shape.slice(0, steps);
  if (inputs.some(({ shape }) => `${shape.slice(0, steps)}` !== `${outer}`))
    refuse('steps of several lengths');
  const written: Tensor[] = [];
  return program.loop(product(outer), inputs, written, (turn) => {
    const own = inputs.map((x) => {
      const part = program.tensor(x.shape.slice(steps));
      program.step([x], [part], () => {
        copyFloats(program, x.storage.at + 4 * part.size * turn(), part.storage.at, part.size);
      });
      return part;
    });
    const results = build({ ...context, inputs: own });
    return results.map((part) => {
      const out = program.tensor([...outer, ...part.shape]);
      written.push(out);
      program.step([part], [out], () => {
        copyFloats(program, part.storage.at, out.storage.at + 4 * part.size * turn(), part.size);
      });
      return out;
    });
  });
}
