/**
 * Packed models in shards: `model-00001-of-00004.safetensors` and so on, with an index that says which tensor is where. They are
 * opened as packed files in one piece are.
 * @module bitnibble/shards
 */
export type { OpenShard } from './beside.js';
export { openPackedShards } from './read.js';
export { openRemoteShards, type RemoteShardOptions } from './remote.js';
export { type StreamShardsOptions, streamShards } from './stream.js';
