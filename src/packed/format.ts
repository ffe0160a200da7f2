import type { Dtype } from '../model.js';
import type { ScaleRule, SchemeName } from '../schemes/types.js';
import type { Granularity } from '../shape.js';

/** Values of `format` and `format_version` in `__metadata__`; see `docs/FORMAT.md`. */
export const FORMAT = 'bitnibble';
export const VERSION = '1';

/** An element of the JSON list `weights` in `__metadata__`. */
export type StoredWeight = {
  readonly id: string;
  readonly layer: string;
  readonly class: string;
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
} & (
  | { readonly scheme: 'keep'; readonly reason: string }
  | {
      readonly scheme: SchemeName;
      readonly granularity: Granularity;
      readonly group_size?: number;
      readonly axes?: readonly number[];
      readonly scale: ScaleRule;
    }
);
