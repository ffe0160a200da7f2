import type { Context as SharedContext, Emit as SharedEmit } from '../export/context.js';
import type { GraphBuilder } from './graph.js';
import type { WeightWriter } from './weights.js';

/** A node that is turned into operations of LiteRT. */
export type Context = SharedContext<GraphBuilder, WeightWriter>;

export type Emit = SharedEmit<Context>;
