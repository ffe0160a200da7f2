import { isObject } from '../keras/config.js';
import type { Json, JsonObject } from '../model.js';
import { callsOf, endpoints, type Graph, type GraphLayer, OPERATION, type Ref } from './graph.js';
import { fromOpLambda } from './op-lambda.js';

/** Whether an entry of Keras 3 is an operation, `x + y` or one behind a mask: no dtype, which every layer has. */
function isBare(entry: JsonObject): boolean {
  return (
    isObject(entry.config) && !isModel(entry) && !('dtype' in entry.config) && !('trainable' in entry.config)
  );
}

/** Whether an entry holds layers of its own. */
export function isModel(entry: JsonObject): boolean {
  return Array.isArray(entry.config) || (isObject(entry.config) && Array.isArray(entry.config.layers));
}

/** Name of an entry. */
export function nameOf(entry: JsonObject, fallback: string): string {
  const config = isObject(entry.config) ? entry.config : {};
  return String(config.name ?? entry.name ?? fallback);
}

/**
 * The layers of a model's entry, their calls, its inputs and outputs, in the notation of any Keras. A Sequential model
 * is a chain, with an input layer first where the model says its input's shape.
 *
 * @param isKeras3 of the writer, which counts the calls of inner models and lists operations otherwise
 */
export function readGraph(entry: JsonObject, name: string, isKeras3: boolean): Graph {
  const raw = entry.config;
  const config: JsonObject = isObject(raw) ? raw : {};
  const list = (Array.isArray(raw) ? raw : (config.layers as Json[])).filter(isObject);
  return entry.class_name === 'Sequential' ? chain(list, config, name) : functional(list, config, isKeras3);
}

function chain(list: readonly JsonObject[], config: JsonObject, name: string): Graph {
  const first = list[0];
  const firstConfig = isObject(first?.config) ? first.config : {};
  const given = firstConfig.batch_shape ?? firstConfig.batch_input_shape ?? config.build_input_shape;
  const entries = [...list];
  if (first?.class_name !== 'InputLayer' && Array.isArray(given)) {
    const inputName = `${name}_input`;
    const dtype = first?.class_name === 'Embedding' ? 'int32' : 'float32';
    entries.unshift({
      class_name: 'InputLayer',
      config: { name: inputName, batch_input_shape: given, dtype },
    });
  }
  let previous: Ref | undefined;
  const layers = entries.map((entry, i): GraphLayer => {
    const layerName = nameOf(entry, `layer_${i}`);
    const inputs = previous ? [previous] : [];
    const isInput = entry.class_name === 'InputLayer';
    previous = { layer: layerName, call: 0, tensor: 0 };
    const call = { inputs, roles: inputs.map(() => 'x'), flags: {}, problems: [] };
    return { name: layerName, entry, isModel: isModel(entry), calls: isInput ? [] : [call] };
  });
  const start = layers[0];
  const inputs = start ? [{ layer: start.name, call: 0, tensor: 0 }] : [];
  return { layers, inputs, outputs: previous ? [previous] : [] };
}

function functional(list: readonly JsonObject[], config: JsonObject, isKeras3: boolean): Graph {
  const byName = new Map(list.map((entry, i) => [nameOf(entry, `layer_${i}`), entry]));
  const isOperation = (entry: JsonObject | undefined) => isKeras3 && entry !== undefined && isBare(entry);
  const isAutomatic = ({ layer }: Ref) => isOperation(byName.get(layer));
  const shift = (ref: Ref): Ref => {
    // A model inside a model has a node 0 of its own in Keras 2; Keras 3 counts calls from 0.
    const target = byName.get(ref.layer);
    const isInner = target !== undefined && isModel(target) && !isKeras3;
    return isInner ? { ...ref, call: Math.max(ref.call - 1, 0) } : ref;
  };
  const layers = [...byName].map(([name, given]): GraphLayer => {
    const entry = isOperation(given)
      ? { ...given, class_name: OPERATION + String(given.class_name) }
      : (fromOpLambda(given) ?? given);
    const calls = callsOf(String(entry.class_name), entry.inbound_nodes, isAutomatic).map((call) => ({
      ...call,
      inputs: call.inputs.map(shift),
    }));
    return { name, entry, isModel: isModel(entry), calls };
  });
  return {
    layers,
    inputs: endpoints(config.input_layers),
    outputs: endpoints(config.output_layers).map(shift),
  };
}
