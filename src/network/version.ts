import type { ModelInfo } from '../model.js';

/** Keras's major version; NaN where the file does not say. */
export const versionOf = ({ kerasVersion }: ModelInfo): number => Number.parseInt(kerasVersion, 10);

const ONE_KEY_OF_KERAS_1 = /"(nb_filter|W_regularizer|border_mode|inner_activation|dim_ordering)":/;

/** Whether an architecture is in the words of Keras 1: by its version, or where that is not known by its words. */
export function isKeras1({ kerasVersion, architecture }: ModelInfo): boolean {
  if (kerasVersion !== '') return /^[01]\./.test(kerasVersion);
  return architecture !== undefined && ONE_KEY_OF_KERAS_1.test(JSON.stringify(architecture));
}
