// What the configuration of a layer says of its number types: before and after quantization.
import type { Json, JsonObject } from '../../model.js';
import { isObject } from '../config.js';

const NAME = /^(mixed_)?(float16|bfloat16|float32|float64)$/;

/** The name of a policy of floats, `float32` where none is stated; undefined for others. */
export function floatPolicy(dtype: Json | undefined): string | undefined {
  if (dtype === undefined || dtype === null) return 'float32';
  const name =
    typeof dtype === 'string' ? dtype : isObject(dtype) && isObject(dtype.config) ? dtype.config.name : 0;
  return typeof name === 'string' && NAME.test(name) ? name : undefined;
}

const object = (module: string, className: string, config: JsonObject): JsonObject => ({
  module,
  class_name: className,
  config,
  registered_name: null,
});

/** `DTypePolicy` of Keras 3. */
export const plainPolicy = (name: string): JsonObject => object('keras', 'DTypePolicy', { name });

/** `Int4DTypePolicy` of Keras 3.15: per channel without a block size. */
export const int4Policy = (source: string, blockSize: number | undefined): JsonObject =>
  object('keras.dtype_policies', 'Int4DTypePolicy', { mode: `int4/${blockSize ?? -1}`, source_name: source });

/** `Int4QuantizationConfig`: weights alone. */
export const int4Config = (blockSize: number | undefined): JsonObject =>
  object('keras.quantizers', 'Int4QuantizationConfig', {
    weight_quantizer: null,
    activation_quantizer: null,
    block_size: blockSize ?? null,
  });

/** `DTypePolicyMap`: policies of the parts of a layer, by their paths as patterns. */
export const policyMap = (source: string, parts: ReadonlyMap<string, JsonObject>): JsonObject =>
  object('keras.dtype_policies', 'DTypePolicyMap', {
    default_policy: plainPolicy(source),
    policy_map: Object.fromEntries(parts),
  });

/** The path of a part of a layer as a pattern, whatever models are around it. */
export const partPattern = (layer: string, part: string): string =>
  `(.*/)?${layer.replace(/[^\w/]/g, '\\$&')}/${part}`;

/** Mode and the policy before, of a dtype policy of Keras's quantization. */
export function quantizedPolicy(dtype: Json | undefined): { mode: string; source: string } | undefined {
  if (typeof dtype === 'string') {
    const [, mode, source] = /^((?:int8|int4|float8|gptq|awq)[-/\d]*)_from_(\w+)$/.exec(dtype) ?? [];
    return mode !== undefined && source !== undefined ? { mode, source } : undefined;
  }
  const config = isObject(dtype) && isObject(dtype.config) ? dtype.config : {};
  const { mode, source_name: source } = config;
  return typeof mode === 'string'
    ? { mode, source: typeof source === 'string' ? source : 'float32' }
    : undefined;
}

/** The policy that a layer had before it was quantized, or before parts of it were; undefined for one that was not. */
export function policyBefore(dtype: Json | undefined): string | undefined {
  const own = quantizedPolicy(dtype);
  if (own) return own.source;
  if (!isObject(dtype) || dtype.class_name !== 'DTypePolicyMap' || !isObject(dtype.config)) return undefined;
  const { default_policy: usual, policy_map: map } = dtype.config;
  const parts = isObject(map) ? Object.values(map) : [];
  return parts.length > 0 && parts.every((part) => quantizedPolicy(part)) ? floatPolicy(usual) : undefined;
}
