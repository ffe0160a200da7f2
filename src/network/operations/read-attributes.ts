import type { Json, JsonObject } from '../../model.js';
import { type Attribute, activationText, type Origin, plain, takeAttributes } from './attributes.js';

/** What a table of attributes makes of a configuration. */
export interface ReadAttributes {
  readonly attributes: JsonObject;
  readonly faults: readonly string[];
}

/** Keys that say nothing about what a layer computes outside of training, of layers that are not plain. */
const ASIDE: ReadonlySet<string> = new Set(
  'implementation unroll time_major adjustment renorm input_dtype input_dim input_length input_spec unit_forget_bias dropout recurrent_dropout cell_type flash_attention lora_rank lora_alpha gptq_unpacked_column_size shared_object_id build_input_shape num_constants constants_size validate_indices experimental_autocast expects_training_arg sparse_indices arguments function query_shape key_shape value_shape'.split(
    ' ',
  ),
);

const shown = (value: Json | undefined) =>
  value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 100);

/** As {@link takeAttributes}, of all layers, with what is wrong in words. */
export function readAttributes(
  table: Readonly<Record<string, Attribute>>,
  config: JsonObject,
  origin: Origin,
): ReadAttributes {
  const { attributes, wrong } = takeAttributes(table, config, origin, (key) => ASIDE.has(key));
  const faults = [...wrong].map(([key, fault]) => {
    if (!fault) return `${key}: ${shown(config[key])}`;
    const value = plain(config[key]);
    return /activation$/.test(key)
      ? `activation ${activationText(value)}`
      : `${key}: expected ${fault.expected}, got ${shown(value)}`;
  });
  return { attributes, faults };
}
