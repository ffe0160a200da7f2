import { BitnibbleError } from '../errors.js';
import { isFloat } from '../formats/dtypes.js';
import { parseJson } from '../formats/json.js';
import { checkName, MAX_PATH } from '../formats/names.js';
import { UniqueNames } from '../formats/unique.js';
import type { JsonObject } from '../model.js';
import { checkShape } from './check-shapes.js';
import { configOf, isObject, type LayerNode, layersOfWeights, listedLayers } from './config.js';
import { plainPath } from './h5-limits.js';
import type { H5Attribute, Hdf5 } from './hdf5.js';
import type { KerasContents } from './keras-model.js';
import type { KerasWeight } from './keras-weight.js';
import { type Owner, ownerOf, ownersOf } from './owners.js';
import { classOfName, knowsClass } from './variables.js';

const MODELS = /^(Sequential|Functional|Model)$/;
const TOP_LEVEL = 'top_level_model_weights';

function text(value: H5Attribute | undefined): string | undefined {
  const first = Array.isArray(value) ? value[0] : value;
  return typeof first === 'string' ? first.replace(/\0+$/, '') : undefined;
}

/** `name`, or `name0`, `name1`, ... where Keras split a list of over 64 KB into chunks. */
function nameList(file: Hdf5, group: string, name: string): string[] | undefined {
  const list = (value: H5Attribute | undefined): string[] | undefined => {
    if (value === undefined) return undefined;
    const items = typeof value === 'string' ? [value] : Array.from(value as ArrayLike<unknown>, String);
    return items.map((item) =>
      checkName(item.replace(/\0+$/, ''), `${file.name}: an item of ${group}@${name}`, MAX_PATH),
    );
  };
  const whole = list(file.attribute(group, name));
  if (whole) return whole;
  const names: string[] = [];
  for (let chunk = 0; ; chunk++) {
    const part = list(file.attribute(group, `${name}${chunk}`));
    if (!part) return chunk === 0 ? undefined : names;
    for (const item of part) names.push(item);
  }
}

function config(file: Hdf5, name: string): JsonObject | undefined {
  const source = text(file.attribute('/', name));
  if (source === undefined) return undefined;
  const parsed = parseJson(source, `${file.name}: attribute ${name}`);
  if (!isObject(parsed)) {
    throw new BitnibbleError('corrupt-file', `${file.name}: attribute ${name} is not a JSON object`);
  }
  return parsed;
}

/** Whether an HDF5 file lists its layers as the writers before Keras 3, and Keras 3's legacy one, do. */
export function isLegacy(file: Hdf5): boolean {
  const names = file.attributeNames('/');
  return (
    file.kind('/model_weights') === 'group' ||
    ['model_config', 'layer_names', 'layer_names0', 'nb_layers'].some((name) => names.includes(name))
  );
}

/**
 * Reads a `.h5` of Keras 0 to 2, tf.keras and Keras 3's legacy writer: whole models and weights alone.
 *
 * @throws BitnibbleError `no-model-config` where there is neither an architecture nor a weight, `missing-weight`
 *   (listed and not there), `corrupt-file`, `unsupported-dtype` (a weight that is not an array of numbers),
 *   `shape-mismatch` (with the architecture)
 */
export function readLegacy(file: Hdf5): KerasContents {
  const architecture = config(file, 'model_config');
  const layers = architecture && listedLayers(architecture, file.name);
  const root = file.kind('/model_weights') === 'group' ? '/model_weights' : '/';
  const layerNames = nameList(file, root, 'layer_names');
  const reader = new Reader(file, root === '/' ? '' : root, layers);
  if (layerNames) reader.named(layerNames);
  else if (file.attributeNames(root).includes('nb_layers')) reader.numbered();
  else if (architecture) {
    throw new BitnibbleError('corrupt-file', `${file.name}: group ${root} lists no layer_names`);
  }
  const { weights } = reader;
  if (!layers && weights.length === 0) {
    throw new BitnibbleError(
      'no-model-config',
      `${file.name}: ${
        architecture
          ? `class ${String(architecture.class_name)} without layers`
          : 'no attribute model_config, so no architecture'
      }, and no weights: expected a model saved with model.save or model.save_weights`,
    );
  }
  const about = (name: string) => text(file.attribute(root, name)) ?? text(file.attribute('/', name));
  const kerasVersion = about('keras_version') ?? '';
  const backend = about('backend') ?? about('keras_backend');
  return {
    architecture,
    trainingConfig: config(file, 'training_config'),
    kerasVersion,
    backend: backend ?? (/^3/.test(kerasVersion) ? '' : backendOfNames(weights)),
    layers: layers ?? layersOfWeights(weights),
    weights,
  };
}

/** Keras 1 did not write its backend. TensorFlow's variables are called `kernel:0`, Theano's `kernel`. */
function backendOfNames(weights: readonly KerasWeight[]): string {
  if (weights.length === 0) return '';
  return weights.some(({ path }) => /:\d+$/.test(path)) ? 'tensorflow' : 'theano';
}

/** A layer of which only its name is known. */
function nodeOfName(name: string): LayerNode {
  const className = name === TOP_LEVEL ? 'Model' : (classOfName(name) ?? 'unknown');
  return { name, className, config: {}, entry: {}, children: [], isModel: false };
}

class Reader {
  readonly weights: KerasWeight[] = [];
  readonly #nodes: ReadonlyMap<string, LayerNode>;
  readonly #ids = new UniqueNames();
  readonly #paths = new Set<string>();

  constructor(
    readonly file: Hdf5,
    readonly root: string,
    layers: readonly LayerNode[] | undefined,
  ) {
    this.#nodes = new Map((layers ?? []).map((layer) => [layer.name, layer]));
  }

  /** A group for each of `layer_names`, which lists its `weight_names`. */
  named(layerNames: readonly string[]): void {
    const listed = new Set(layerNames);
    for (const name of [...listed, ...(listed.has(TOP_LEVEL) ? [] : [TOP_LEVEL])]) {
      const group = `${this.root}/${name}`;
      if (this.file.kind(group) !== 'group') {
        if (name === TOP_LEVEL) continue;
        throw new BitnibbleError(
          'missing-weight',
          `${this.file.name}: layer ${name} is listed and has no group`,
        );
      }
      const names = nameList(this.file, group, 'weight_names') ?? [];
      const known = this.#nodes.get(name);
      const owners = known && ownersOf(known, names, this.file.name);
      for (const [i, weightName] of names.entries()) {
        this.#add(name, weightName, `${group}/${weightName}`, owners?.[i]);
      }
    }
  }

  /** Keras 0: `layer_N/param_K`, counted by attributes. */
  numbered(): void {
    const count = (path: string, name: string): number => {
      const value = Number(this.file.attribute(path, name) ?? 0);
      const most = this.file.keys(path).length;
      if (Number.isInteger(value) && value >= 0 && value <= most) return value;
      throw new BitnibbleError(
        'missing-weight',
        `${this.file.name}: ${path} claims ${value} ${name}, it holds ${most}`,
      );
    };
    const layers = count(this.root || '/', 'nb_layers');
    for (let n = 0; n < layers; n++) {
      const group = `${this.root}/layer_${n}`;
      if (this.file.kind(group) !== 'group') {
        throw new BitnibbleError(
          'missing-weight',
          `${this.file.name}: layer ${n} is counted and has no group`,
        );
      }
      const params = count(group, 'nb_params');
      for (let k = 0; k < params; k++) this.#add(`layer_${n}`, `param_${k}`, `${group}/param_${k}`);
    }
  }

  #add(group: string, weightName: string, at: string, known?: Owner): void {
    const { file } = this;
    const path = plainPath(at);
    if (file.kind(path) !== 'dataset') {
      throw new BitnibbleError(
        'missing-weight',
        `${file.name}: layer ${group} lists the weight ${weightName}, which is not in the file`,
      );
    }
    if (this.#paths.has(path)) {
      throw new BitnibbleError(
        'corrupt-file',
        `${file.name}: layer ${group} lists the weight ${weightName} twice`,
      );
    }
    this.#paths.add(path);
    const { shape, dtype, other } = file.dataset(path);
    if (dtype === undefined) {
      throw new BitnibbleError(
        'unsupported-dtype',
        `${file.name}: weight ${weightName} of layer ${group} holds ${other}`,
      );
    }
    const owner = known ? knownOwner(known) : guessedOwner(group, weightName);
    const id = this.#ids.of([owner.layer, ...owner.rest].join('/'), file.name);
    const name = owner.rest.at(-1) as string;
    const { layer, className, guessed, config } = owner;
    const weight = { id, layer, className, name, shape, dtype, group, path, file: 0, copies: [] };
    if (owner.node && isFloat(dtype)) checkShape(file.name, owner.node, weight);
    this.weights.push({ ...weight, ...(guessed ? { guessed } : {}), ...(config ? { config } : {}) });
  }
}

interface Placement {
  readonly layer: string;
  readonly className: string;
  readonly rest: readonly string[];
  readonly guessed: boolean;
  readonly config: JsonObject | undefined;
  readonly node?: LayerNode;
}

/** The owner by the architecture; of a layer of another maker, the layer within it that names tell, as a guess. */
function knownOwner({ layer, node, rest }: Owner): Placement {
  const { className } = node;
  const within = knowsClass(className.split('/').at(-1) as string) ? undefined : classWithin(rest);
  if (within !== undefined)
    return { layer, className: `${className}/${within}`, rest, guessed: true, config: undefined, node };
  return { layer, className, rest, guessed: false, config: configOf(node), node };
}

/** The class that the innermost telling name before a variable's tells. */
function classWithin(rest: readonly string[]): string | undefined {
  const classes = rest.slice(0, -1).map(classOfName);
  return classes.findLast((name) => name !== undefined && !MODELS.test(name));
}

/**
 * The owner by names alone. A group holds one layer, or a sub-model whose layers the weights' names tell:
 * `dense_1/kernel:0`, in Keras 1 `dense_1_W`.
 */
function guessedOwner(group: string, weightName: string): Placement {
  const all = weightName
    .replace(/:\d+$/, '')
    .split('/')
    .filter((part) => part !== '');
  const parts = all.slice(all.slice(0, -1).lastIndexOf(group) + 1);
  const isModel = /^(sequential|functional|model)(_\d+)?$/.test(group);
  const flat = isModel && parts.length === 1 ? /^(.+_\d+)_([^_].*)$/.exec(parts[0] as string) : null;
  const head = flat ? [flat[1] as string, flat[2] as string] : parts;
  if (head.length > 1 && (isModel || tellsOther(head[0] as string, group))) {
    const path = head.slice(0, -1);
    const at = Math.max(
      0,
      path.findIndex((part) => !MODELS.test(classOfName(part) ?? 'Model')),
    );
    const layer = [group, ...path.slice(0, at + 1)].join('/');
    const className = classOfName(path[at] as string) ?? 'unknown';
    return { layer, className, rest: head.slice(at + 1), guessed: true, config: undefined };
  }
  const { layer, node, rest } = ownerOf(nodeOfName(group), weightName);
  const within = knowsClass(node.className) ? undefined : classWithin(rest);
  const className = within === undefined ? node.className : `${node.className}/${within}`;
  return { layer, className, rest, guessed: true, config: undefined };
}

/** Whether a name is that of another layer than the group's, not the group's with a number. */
function tellsOther(name: string, group: string): boolean {
  const tells = classOfName(name);
  return (
    tells !== undefined &&
    !name.startsWith(`${group}_`) &&
    tells !== classOfName(group) &&
    !/cell(_\d+)?$/.test(name)
  );
}
