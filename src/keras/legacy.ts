import { BitnibbleError } from '../errors.js';
import type { Dtype, JsonObject } from '../model.js';
import { isObject, type LayerNode, layerTree, ownerOf, parseJson } from './config.js';
import type { H5Attribute, H5File } from './h5.js';
import type { KerasWeight } from './keras-model.js';

const MAX_CONFIG_CHARS = 2 ** 28;

/** What the legacy HDF5 layout says of a whole model. */
export interface LegacyModel {
  readonly architecture: JsonObject;
  readonly trainingConfig: JsonObject | undefined;
  readonly kerasVersion: string;
  readonly backend: string;
  readonly layers: readonly LayerNode[];
  readonly weights: readonly KerasWeight[];
}

function text(value: H5Attribute | undefined): string | undefined {
  const first = Array.isArray(value) ? value[0] : value;
  return typeof first === 'string' ? first.replace(/\0+$/, '') : undefined;
}

/** `name`, or `name0`, `name1`, ... where Keras split a list of over 64 KB into chunks. */
function nameList(file: H5File, group: string, name: string): string[] | undefined {
  const list = (value: H5Attribute | undefined): string[] | undefined => {
    if (value === undefined) return undefined;
    if (typeof value === 'string') return [value];
    return Array.from(value as ArrayLike<unknown>, (item) => String(item).replace(/\0+$/, ''));
  };
  const whole = list(file.attribute(group, name));
  if (whole) return whole;
  const names: string[] = [];
  for (let chunk = 0; ; chunk++) {
    const part = list(file.attribute(group, `${name}${chunk}`));
    if (!part) return chunk === 0 ? undefined : names;
    names.push(...part);
  }
}

function config(file: H5File, name: string): JsonObject | undefined {
  const source = text(file.attribute('/', name));
  if (source === undefined) return undefined;
  if (source.length > MAX_CONFIG_CHARS) {
    throw new BitnibbleError('corrupt-file', `${file.name}: ${name} of ${source.length} characters`);
  }
  const parsed = parseJson(source, `${file.name}: attribute ${name}`);
  if (!isObject(parsed)) {
    throw new BitnibbleError('corrupt-file', `${file.name}: attribute ${name} is not a JSON object`);
  }
  return parsed;
}

/**
 * Reads a whole-model `.h5` of Keras 1, 2, tf.keras and Keras 3's legacy writer, weights by `weight_names`.
 *
 * @throws BitnibbleError `no-model-config`, `missing-weight` (listed and not there), `corrupt-file`,
 *   `unsupported-dtype` (a weight that is not an array of numbers)
 */
export function readLegacyModel(file: H5File): LegacyModel {
  const architecture = config(file, 'model_config');
  if (!architecture) {
    throw new BitnibbleError(
      'no-model-config',
      `${file.name}: no attribute model_config, so no architecture: expected a whole model saved with model.save("name.h5")`,
    );
  }
  const layers = layerTree(architecture, file.name);
  const root = file.kind('/model_weights') === 'group' ? '/model_weights' : '/';
  const layerNames = nameList(file, root, 'layer_names');
  if (!layerNames) {
    throw new BitnibbleError('corrupt-file', `${file.name}: group ${root} lists no layer_names`);
  }
  const nodes = new Map(layers.map((layer) => [layer.name, layer]));
  const weights: KerasWeight[] = [];
  const ids = new Set<string>();
  for (const name of [...layerNames, 'top_level_model_weights']) {
    const group = `${root === '/' ? '' : root}/${name}`;
    const kind = file.kind(group);
    if (kind !== 'group') {
      if (name === 'top_level_model_weights') continue;
      throw new BitnibbleError('missing-weight', `${file.name}: layer ${name} is listed and has no group`);
    }
    const node: LayerNode = nodes.get(name) ?? {
      name,
      className: name === 'top_level_model_weights' ? 'Model' : 'unknown',
      config: {},
      entry: {},
      children: [],
      isModel: false,
    };
    for (const weightName of nameList(file, group, 'weight_names') ?? []) {
      const path = `${group}/${weightName}`;
      if (file.kind(path) !== 'dataset') {
        throw new BitnibbleError(
          'missing-weight',
          `${file.name}: layer ${name} lists the weight ${weightName}, which is not in the file`,
        );
      }
      const { shape, dtype } = file.dataset(path);
      if (dtype === undefined) {
        throw new BitnibbleError(
          'unsupported-dtype',
          `${file.name}: weight ${weightName} of layer ${name} is not an array of numbers`,
        );
      }
      const owner = ownerOf(node, weightName);
      const id = unique(ids, [owner.layer, ...owner.rest].join('/'));
      weights.push({
        id,
        layer: owner.layer,
        className: owner.className,
        name: owner.rest.at(-1) as string,
        shape,
        dtype: dtype as Dtype,
        group: name,
        path,
      });
    }
  }
  return {
    architecture,
    trainingConfig: config(file, 'training_config'),
    kerasVersion:
      text(file.attribute(root, 'keras_version')) ?? text(file.attribute('/', 'keras_version')) ?? '',
    backend: text(file.attribute(root, 'backend')) ?? text(file.attribute('/', 'backend')) ?? '',
    layers,
    weights,
  };
}

function unique(taken: Set<string>, id: string): string {
  let free = id;
  for (let n = 2; taken.has(free); n++) free = `${id}#${n}`;
  taken.add(free);
  return free;
}
