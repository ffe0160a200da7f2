import type { ModelInfo, ModelSource } from '../model.js';
import type { OpenNetwork } from '../network/open.js';
import type { OpenShard } from '../packed/shards/beside.js';
import type { Rows } from './rows.js';
import type { Sharing } from './sharing.js';
import type { Kernels, LoadRuntimeKernelsOptions } from './types.js';

/** What most networks do without, and who needs it waits for. */
export interface Later {
  kernels(options: LoadRuntimeKernelsOptions): Promise<Kernels>;
  /** Plain networks with weights in float32. */
  floatRows(): Promise<Rows>;
  /** A network that is not plain. */
  network(model: ModelSource): Promise<OpenNetwork>;
  /** All operations. */
  allRows(): Promise<Rows>;
  /** A packed file that is not as usual. @throws BitnibbleError for one that is none */
  packed(bytes: Uint8Array, name: string, limit: number, openShard?: OpenShard): Promise<ModelSource>;
  /** A body that is not as usual: of a response, or a stream of what is left of it. @throws BitnibbleError likewise */
  body(
    stream: unknown,
    name: string,
    limit: number,
    response: unknown,
    openShard?: OpenShard,
  ): Promise<Uint8Array>;
  ranges(model: ModelInfo): Promise<ReadonlyMap<string, number>>;
  /** Threads, and how they share layers. */
  threads(): Promise<typeof import('./crew.js') & { readonly SHARING: Sharing }>;
}
