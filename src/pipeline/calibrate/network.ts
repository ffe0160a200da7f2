import type { LayersModel, SymbolicTensor, Tensor } from '@tensorflow/tfjs';
import type { TensorFlow } from '../../tfjs/types.js';

export type Layer = LayersModel['layers'][number];

/** One call of a layer: which values it takes and makes. */
export interface NetworkCall {
  readonly layer: Layer;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** A model as calls in an order that can be run, models inside it taken apart. Values are numbered. */
export interface Network {
  readonly calls: readonly NetworkCall[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

interface Node {
  readonly outboundLayer: Layer;
  readonly inputTensors: readonly SymbolicTensor[];
  readonly outputTensors: readonly SymbolicTensor[];
}

interface Container {
  readonly nodesByDepth: Readonly<Record<string, readonly Node[]>>;
  readonly inputs: readonly SymbolicTensor[];
  readonly outputs: readonly SymbolicTensor[];
}

/** The graph of a model; a Sequential makes it when it is first needed, and keeps it inside. */
function containerOf(layer: Layer): Container | undefined {
  const own = layer as Layer & { model?: object };
  if (layer.getClassName() === 'Sequential' && !own.model) (layer as unknown as { build(): void }).build();
  const inner = own.model ?? layer;
  return 'nodesByDepth' in inner && inner.nodesByDepth ? (inner as Container) : undefined;
}

/** Takes a model apart into calls; a layer that is shared has several. */
export function networkOf(model: LayersModel): Network {
  const calls: NetworkCall[] = [];
  let values = 0;
  const visit = (container: Container, given: readonly number[]): number[] => {
    const known = new Map<number, number>(container.inputs.map(({ id }, i) => [id, given[i] as number]));
    const depths = Object.keys(container.nodesByDepth).map(Number);
    for (const depth of depths.sort((a, b) => b - a)) {
      for (const node of container.nodesByDepth[depth] ?? []) {
        if (node.outputTensors.every(({ id }) => known.has(id))) continue;
        const inputs = node.inputTensors.map(({ id }) => known.get(id) as number);
        const layer = node.outboundLayer;
        const inner = containerOf(layer);
        let outputs: number[];
        if (inner) outputs = visit(inner, inputs);
        else {
          outputs = node.outputTensors.map(() => values++);
          calls.push({ layer, inputs, outputs });
        }
        node.outputTensors.forEach(({ id }, i) => {
          known.set(id, outputs[i] as number);
        });
      }
    }
    return container.outputs.map(({ id }) => known.get(id) as number);
  };
  const container = containerOf(model) as Container;
  const inputs = container.inputs.map(() => values++);
  return { calls, inputs, outputs: visit(container, inputs) };
}

/** Runs one call in inference. */
export function runCall(tf: TensorFlow, layer: Layer, inputs: readonly Tensor[]): Tensor[] {
  return tf.tidy(() => {
    const output = layer.apply([...inputs], { training: false }) as Tensor | Tensor[];
    // A layer that hands its input on would have it disposed of twice.
    return (Array.isArray(output) ? output : [output]).map((tensor) =>
      inputs.includes(tensor) ? tensor.clone() : tensor,
    );
  });
}

/** The last call that takes each value; what the network gives is taken after all. */
export function lastUses({ calls, outputs }: Network): Map<number, number> {
  const last = new Map<number, number>();
  for (const [index, { inputs }] of calls.entries()) for (const value of inputs) last.set(value, index);
  for (const value of outputs) last.set(value, calls.length);
  return last;
}
