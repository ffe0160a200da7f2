import type { JsonObject } from '../model.js';
import { plainOperation } from '../network/operations/plain-layers.js';
import type { Network, NetworkNode } from '../network/types.js';
import { type ActivationSpec, activationOf } from './activations.js';
import type { Build, Context } from './context.js';
import { AFFINE } from './layers-affine.js';
import { INTEGER_PRODUCTS } from './layers-products.js';
import { SHAPES } from './layers-shapes.js';
import { SIMPLE } from './layers-simple.js';
import type { Program, Tensor } from './program.js';

/** What the runtime computes operations with: all of them, or those of a network at hand. */
export interface Rows {
  readonly builds: Readonly<Record<string, Build>>;
  /** What a node computes of each element or row alone; undefined for other operations. */
  activationOf(operation: string, attributes: JsonObject): ActivationSpec | undefined;
  /** A layer applied to each step of a sequence; absent where no node has steps. */
  overSteps?(context: Context, build: Build): readonly Tensor[];
  /** Bounds on whole numbers that a node takes, before its steps, and gives, behind them; absent where there are none. */
  readonly bounds?: {
    inputs(program: Program, node: NetworkNode, inputs: readonly Tensor[], network: Network): void;
    results(program: Program, node: NetworkNode, results: readonly Tensor[], network: Network): void;
  };
  /** Whether an operation hands its first input on as it is. */
  isIdentity(operation: string): boolean;
}

/** Of networks of convolutions and dense layers whose weights are integers, pools and merges. */
export const PLAIN_ROWS: Rows = {
  builds: { ...INTEGER_PRODUCTS, ...SIMPLE, ...SHAPES, ...AFFINE },
  activationOf,
  isIdentity: (operation) => plainOperation(operation)?.isIdentity === true,
};

/** Whether rows compute an operation with some attributes. */
export const isPlanned = (
  rows: Rows,
  { operation, attributes }: Pick<NetworkNode, 'operation' | 'attributes'>,
): boolean =>
  Object.hasOwn(rows.builds, operation) ||
  rows.isIdentity(operation) ||
  rows.activationOf(operation, attributes) !== undefined;

/** The activation that a layer has itself, by the attribute of that name. */
export const ownActivation = (rows: Rows, { activation = 'linear' }: JsonObject) =>
  rows.activationOf('Activation', { activation });
