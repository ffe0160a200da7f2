import { BitnibbleError } from '../errors.js';
import type { Json, JsonObject } from '../model.js';

/** Most layers that a message names. */
const SHOWN = 6;

const isRecord = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** References to tensors, `[layer, call, tensor, ...]`, in any notation of Keras; `depth` is bounded where JSON is read. */
function* references(value: Json): Generator<readonly [layer: string, call: number]> {
  if (Array.isArray(value)) {
    const [layer, call] = value;
    if (typeof layer === 'string' && typeof call === 'number') yield [layer, call];
    for (const item of value) yield* references(item);
  } else if (isRecord(value)) {
    for (const item of Object.values(value)) yield* references(item);
  }
}

/**
 * Refuses layers that are called on what is made of their own outputs: Keras cannot build them. Calls are followed, not
 * layers, since a shared layer may well be called on what it made before.
 *
 * @param layers entries of a model's layers
 * @throws BitnibbleError `corrupt-file`, naming layers of the circle
 */
export function checkGraph(layers: readonly Json[], model: string, what: string): void {
  /** Layer -> number of its first call. */
  const first = new Map<string, number>();
  const calls: { layer: string; node: Json }[] = [];
  const shift = new Set<string>();
  for (const entry of layers) {
    if (!isRecord(entry)) continue;
    const config = isRecord(entry.config) ? entry.config : {};
    const layer = entry.name ?? config.name;
    if (typeof layer !== 'string' || !Array.isArray(entry.inbound_nodes) || first.has(layer)) continue;
    // A model inside counts from 1 in Keras 2. In Keras 3 this takes the call before, which was made before.
    if (Array.isArray(entry.config) || Array.isArray(config.layers)) shift.add(layer);
    if (entry.inbound_nodes.length > 0) first.set(layer, calls.length);
    for (const node of entry.inbound_nodes) calls.push({ layer, node });
  }
  const users: number[][] = calls.map(() => []);
  const open = calls.map(({ node }, user) => {
    let count = 0;
    for (const [layer, given] of references(node)) {
      const start = first.get(layer);
      if (start === undefined) continue;
      let call = start + Math.max(0, Math.trunc(given) - (shift.has(layer) ? 1 : 0));
      while (calls[call]?.layer !== layer) call--;
      users[call]?.push(user);
      count++;
    }
    return count;
  });
  const ready = open.flatMap((count, call) => (count === 0 ? [call] : []));
  let done = 0;
  for (let call = ready.pop(); call !== undefined; call = ready.pop()) {
    done++;
    for (const user of users[call] as number[]) if (--(open[user] as number) === 0) ready.push(user);
  }
  if (done === calls.length) return;
  throw new BitnibbleError(
    'corrupt-file',
    `${what}: layers of ${model} are called on their own outputs: ${circle(users, open)
      .map((call) => calls[call]?.layer)
      .join(', ')}`,
  );
}

/** Calls of one circle, in order; `open` tells those that wait for others. */
function circle(users: readonly (readonly number[])[], open: readonly number[]): number[] {
  /** One call that each waiting one waits for, itself waiting. */
  const waits = new Map<number, number>();
  for (const [call, list] of users.entries())
    if (open[call] !== 0) for (const user of list) waits.set(user, call);
  const seen: number[] = [];
  const at = new Map<number, number>();
  let call = waits.keys().next().value as number;
  while (!at.has(call)) {
    at.set(call, seen.length);
    seen.push(call);
    call = waits.get(call) as number;
  }
  return seen.slice(at.get(call)).reverse().slice(0, SHOWN);
}
