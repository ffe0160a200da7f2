import type { ModelInfo, ModelSource } from '../model.js';
import type { OpenNetwork } from '../network/open.js';
import type { LoadRuntimeKernelsOptions } from './kernels-simd.js';
import type { Rows } from './rows.js';
import type { Kernels } from './types.js';

/** What most networks do without, and who needs it waits for. */
export interface Later {
  kernels(options: LoadRuntimeKernelsOptions): Promise<Kernels>;
  /** A network that is not plain. */
  network(model: ModelSource): Promise<OpenNetwork>;
  /** All operations. */
  rows(): Promise<Rows>;
  /** A packed file that is not as usual. @throws BitnibbleError for one that is none */
  packed(bytes: Uint8Array, name: string): Promise<ModelSource>;
  /** A body that is not as usual. @throws BitnibbleError likewise */
  body(source: unknown, name: string, limit: number): Promise<Uint8Array>;
  ranges(model: ModelInfo): Promise<ReadonlyMap<string, number>>;
  crew(): Promise<typeof import('./crew.js')>;
}
