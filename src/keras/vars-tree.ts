import { BitnibbleError } from '../errors.js';
import { checkName } from '../formats/names.js';
import type { Dtype } from '../model.js';
import type { Hdf5 } from './hdf5.js';

/** Groups within groups deeper than this are taken for a fault of the file. */
const MAX_DEPTH = 64;
/** Where Keras keeps the state of training: of no interest, and twice as large as the weights. */
export const OPTIMIZER = /^_?optimizer$/;

/** A dataset of a `vars` group. */
export interface StoredVariable {
  /** Its name there: `0`, `1`, ... */
  readonly key: string;
  /** Which file of a sharded model holds it. */
  readonly file: number;
  readonly path: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

/** What Keras 3 stores of one object: its variables, and the objects that are its attributes or list items. */
export interface VarsNode {
  /** The object's own name, written by Keras 3.8 and later. */
  name: string | undefined;
  /** An object, as opposed to a list of objects. */
  isObject: boolean;
  readonly variables: StoredVariable[];
  readonly children: Map<string, VarsNode>;
}

function emptyNode(): VarsNode {
  return { name: undefined, isObject: false, variables: [], children: new Map() };
}

/** `0`, `1`, ..., `10` as numbers, other keys after them as text. */
function byKey(a: StoredVariable, b: StoredVariable): number {
  const [x, y] = [Number(a.key), Number(b.key)];
  if (Number.isNaN(x) || Number.isNaN(y))
    return Number.isNaN(x) && Number.isNaN(y) ? (a.key < b.key ? -1 : 1) : Number.isNaN(x) ? 1 : -1;
  return x - y;
}

/**
 * The objects of a Keras 3 weights file, `PATH/vars/N`, all its shards together. Names that were written on Windows
 * have backslashes for slashes.
 *
 * @throws BitnibbleError `corrupt-file` for links, cycles and variables stored twice; `unsupported-dtype`
 */
export function readVarsTree(files: readonly Hdf5[]): VarsNode {
  const root = emptyNode();
  files.forEach((file, index) => {
    const fail = (path: string, fault: string): never => {
      throw new BitnibbleError('corrupt-file', `${file.name}: ${path} ${fault}`);
    };
    const entries = function* (path: string, depth: number) {
      if (depth > MAX_DEPTH) fail(path, 'is nested out of all reason');
      for (const key of file.keys(path)) {
        const inner = `${path === '/' ? '' : path}/${key}`;
        yield { key, inner, kind: file.kind(inner) };
      }
    };
    const collect = (path: string, prefix: string, node: VarsNode, depth: number): void => {
      for (const { key, inner, kind } of entries(path, depth)) {
        if (kind === 'group') collect(inner, `${prefix}${key}/`, node, depth + 1);
        if (kind !== 'dataset') continue;
        const { shape, dtype, other } = file.dataset(inner);
        if (dtype === undefined) {
          throw new BitnibbleError('unsupported-dtype', `${file.name}: ${inner} holds ${other}`);
        }
        const name = prefix + key;
        if (node.variables.some((variable) => variable.key === name)) fail(inner, 'is stored twice');
        node.variables.push({ key: name, file: index, path: inner, shape, dtype });
      }
    };
    const visit = (path: string, node: VarsNode, depth: number): void => {
      for (const { key, inner, kind } of entries(path, depth)) {
        if (kind !== 'group' || (depth === 0 && OPTIMIZER.test(key))) continue;
        if (key === 'vars') {
          const name = file.attribute(inner, 'name');
          node.isObject = true;
          if (typeof name === 'string') node.name = checkName(name, `${file.name}: ${inner}@name`);
          collect(inner, '', node, depth + 1);
          node.variables.sort(byKey);
          continue;
        }
        let child = node;
        for (const segment of key.split('\\').filter((part) => part !== '')) {
          const next = child.children.get(segment) ?? emptyNode();
          child.children.set(segment, next);
          child = next;
        }
        visit(inner, child, depth + 1);
      }
    };
    visit('/', root, 0);
  });
  return root;
}

/** All variables of a tree. */
export function* allVariables(node: VarsNode): Generator<StoredVariable> {
  yield* node.variables;
  for (const child of node.children.values()) yield* allVariables(child);
}
