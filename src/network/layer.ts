// What an entry of an architecture is: an operation with its attributes, out of the wrappers around it, or a model.
import { isObject, type Json, type JsonObject } from '../model.js';
import { classOf, unknownType } from './config.js';
import { foreignReason, modelFault } from './faults.js';
import { isModel, OPERATION } from './notation.js';
import { isOpLambda } from './op-lambda.js';
import { operationConfig } from './operations/arguments.js';
import { canonicalName, operationOf } from './operations/index.js';
import type { Operation, WeightRole } from './operations/operation.js';
import { readAttributes } from './operations/read-attributes.js';
import { bidirectional } from './operations/sequences.js';

export { dtypeName, trainingOf } from './config.js';

/** A layer as it is computed. */
export interface Layer {
  readonly kind: 'operation';
  /** Keras 3's name, or the class as it is written where it is not known. */
  readonly name: string;
  /** Undefined where it is not known. */
  readonly operation: Operation | undefined;
  readonly attributes: JsonObject;
  /** Class with the wrappers around it, for messages. */
  readonly className: string;
  readonly steps: number;
  /** The configuration of the innermost layer. */
  readonly config: JsonObject;
  /** Weights that a wrapper stores behind the layer's own. */
  readonly behind: readonly WeightRole[];
  readonly problems: readonly string[];
}

/** A model inside, perhaps within TimeDistributed. */
export interface InnerModel {
  readonly kind: 'model';
  readonly entry: JsonObject;
  readonly className: string;
  readonly steps: number;
}

const CODE = /^(Lambda|TensorFlowOpLayer|TorchModuleWrapper|JaxLayer|FlaxLayer|TFSMLayer|PyTorchLayer)$/;

/** What is no part of the computation, and may differ between the two directions: names, identities, training. */
const ASIDE =
  /^(name|go_backwards|module|registered_name|build_config|shared_object_id|seed)$|_(initializer|regularizer|constraint)$/;

/** What a layer computes, as text. */
const direction = (value: Json): string =>
  JSON.stringify(value, (key, item) => (ASIDE.test(key) ? undefined : item));

const CELLS = /^(LSTM|GRU|SimpleRNN)Cell$/;

/** The layer or model that an entry is. `call` are the arguments of an operation on tensors. */
export function layerOf(entry: JsonObject, isKeras3: boolean, call: JsonObject = {}): Layer | InnerModel {
  return resolved(entry, isKeras3, call, { label: '', steps: 0, behind: [] });
}

interface Wrapping {
  /** Classes of the wrappers, each with `/`. */
  readonly label: string;
  readonly steps: number;
  readonly behind: readonly WeightRole[];
}

function resolved(
  entry: JsonObject,
  isKeras3: boolean,
  call: JsonObject,
  { label, steps, behind }: Wrapping,
): Layer | InnerModel {
  const written = classOf(entry);
  const className = label + (written.startsWith(OPERATION) ? `keras.${written}` : written);
  const fault = isModel(entry) ? modelFault(entry) : undefined;
  if (isModel(entry) && fault === undefined) return { kind: 'model', entry, className, steps };
  const config = isObject(entry.config) ? entry.config : {};
  const unknown = (problem: string): Layer => ({
    kind: 'operation',
    ...{ name: written, operation: undefined, attributes: {}, className, steps, config, behind },
    problems: [problem],
  });
  if (fault !== undefined) return unknown(fault);
  const held = isObject(config.layer) ? config.layer : undefined;
  switch (canonicalName(written)) {
    case 'TimeDistributed':
      if (!held) return unknown('it holds no layer');
      return resolved(held, isKeras3, call, { label: `${className}/`, steps: steps + 1, behind });
    case 'SpectralNormalization':
      if (!held) return unknown('it holds no layer');
      // Kernels are stored normalized; outside of training the layer inside is all there is.
      if (held.class_name === 'Embedding')
        return unknown('an Embedding inside, whose outputs Keras makes whole numbers');
      if (isModel(held)) return unknown('a model inside');
      return resolved(held, isKeras3, call, {
        label: `${className}/`,
        steps,
        behind: [{ role: 'vector_u', isUnused: true }, ...behind],
      });
    case 'Bidirectional': {
      if (!held) return unknown('it holds no layer');
      const { backward_layer: back } = config;
      const inner = isModel(held)
        ? undefined
        : resolved(held, isKeras3, call, { label: `${className}/`, steps, behind });
      if (inner?.kind !== 'operation') return unknown('a model inside');
      if (back && direction(back) !== direction(held))
        return {
          ...inner,
          className,
          operation: undefined,
          problems: ['a backward layer unlike the forward layer'],
        };
      const operation = bidirectional(inner.name);
      if (!operation)
        return inner.operation
          ? { ...inner, operation: undefined, problems: [`${inner.name} inside`] }
          : inner;
      const merged = { ...inner.config, merge_mode: config.merge_mode ?? null };
      if (!('merge_mode' in config)) merged.merge_mode = 'concat';
      const { attributes, faults } = readAttributes(operation.attributes, merged, { isKeras3 });
      // Sequences in both directions have zeros at masked steps, whatever is written, in Keras 3 and in tf.keras, whose layers
      // have time_major. Keras 2.0 to 2.3 of its own repeats the step before, and so do convolutional layers of tf.keras.
      const hasZeros = isKeras3 || ('time_major' in inner.config && !inner.name.startsWith('Conv'));
      const isForced = 'zero_output_for_mask' in attributes && (hasZeros || inner.name.startsWith('Conv'));
      return {
        ...inner,
        name: 'Bidirectional',
        operation,
        attributes: {
          ...attributes,
          ...(isForced ? { zero_output_for_mask: hasZeros && attributes.return_sequences === true } : {}),
          cell: inner.name,
        },
        problems: faults,
      };
    }
    case 'RNN': {
      const cell = isObject(config.cell) ? config.cell : undefined;
      const name = canonicalName(cell ? classOf(cell) : '');
      if (!cell || !CELLS.test(name)) return unknown(`the cell ${cell ? classOf(cell) : 'of nothing'}`);
      const { cell: _, ...own } = config;
      const cellConfig = isObject(cell.config) ? cell.config : {};
      const merged = { class_name: name.slice(0, -4), config: { ...cellConfig, ...own } };
      return { ...resolved(merged, isKeras3, call, { label, steps, behind }), className };
    }
  }
  if (CODE.test(written)) return unknown('it holds code, which is never executed');
  if (isOpLambda(entry))
    return unknown(
      `the function ${String(config.function)} with these arguments is not among those converted`,
    );
  const name = canonicalName(written);
  const operation = operationOf(name);
  if (!operation)
    return unknown(
      name.startsWith(OPERATION)
        ? 'an operation that bitnibble does not know'
        : 'a layer that bitnibble does not know',
    );
  const given = name.startsWith(OPERATION)
    ? operationConfig(
        name.slice(OPERATION.length),
        config,
        (call.args ?? []) as Json[],
        isObject(call.kwargs) ? call.kwargs : {},
      )
    : { ...config, ...call };
  if (typeof given === 'string') return unknown(given);
  const isOpen = '*' in operation.attributes;
  const { attributes, faults } = isOpen
    ? { attributes: {}, faults: [] }
    : readAttributes(operation.attributes, given, { isKeras3 });
  const foreign = foreignReason(config);
  const type = unknownType(config.dtype);
  return {
    kind: 'operation',
    ...{ name, operation, attributes, className, steps, config, behind },
    problems: foreign ? [foreign] : type === undefined ? faults : [...faults, `values of type ${type}`],
  };
}
