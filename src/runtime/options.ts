/** How products are made. */
export interface ProductOptions {
  /** Weights stay packed and are decoded in each call, or are decoded once. */
  readonly weights: 'packed' | 'decoded';
  /** Largest magnitudes of tensors by name, used instead of those of each sample. */
  readonly ranges?: ReadonlyMap<string, number>;
  /** Tensors that are measured: those of which integers are made, or all that layers make. */
  readonly measures?: 'integers' | 'all';
}

/** Parts of one claim word. */
export const MOST_THREADS = 64;
