import { aligned, SLACK, type Storage, type Tensor } from './tensor.js';

/** What is read and written by a step. */
interface PlacedStep {
  readonly reads: readonly Tensor[];
  readonly writes: readonly Tensor[];
  /** The first tensor written may lie where the first read lies, if nobody needs that any more. */
  readonly isInPlace: boolean;
}

/**
 * Gives tensors their places, first fit, in the order of the steps: tensors share bytes where their lives do not meet.
 *
 * @returns the first byte behind them
 */
export function placeTensors(steps: readonly PlacedStep[], inputs: readonly Tensor[], base: number): number {
  let top = base;
  const live: Storage[] = [];
  const placed = new Set<Storage>();
  const place = (storage: Storage) => {
    if (storage.isConstant) return;
    const need = aligned(storage.bytes + SLACK);
    let at = base;
    for (const other of live) {
      if (at + need <= other.at) break;
      at = Math.max(at, other.at + aligned(other.bytes + SLACK));
    }
    storage.at = at;
    live.push(storage);
    live.sort((a, b) => a.at - b.at);
    top = Math.max(top, at + need);
  };
  const add = (storage: Storage) => {
    if (placed.has(storage)) return;
    placed.add(storage);
    place(storage);
  };
  for (const { storage } of inputs) add(storage);
  steps.forEach(({ reads, writes, isInPlace }, now) => {
    const [source, target] = [reads[0]?.storage, writes[0]?.storage];
    const canShare =
      isInPlace && source && target && source !== target && !placed.has(target) && !source.isConstant;
    if (canShare && source.last === now && source.bytes === target.bytes) {
      placed.add(target);
      target.at = source.at;
      live.splice(live.indexOf(source), 1, target);
    }
    for (const { storage } of writes) add(storage);
    for (let i = live.length - 1; i >= 0; i--) if ((live[i] as Storage).last <= now) live.splice(i, 1);
  });
  return top;
}
