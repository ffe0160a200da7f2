// Random changes of JSON, from a seed.
import type { Json } from '../../src/model.js';

/** Numbers from 0 to below 1, the same for a seed: a multiplicative congruential generator. */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

const VALUES: readonly Json[] = [
  ...[null, true, false, 0, 1, 2, 3, -1, 0.5, 1e300, '', 'x', 'same', 'relu', 'float16', 'Dense'],
  ...[[], {}, [1], [1, 1], [[1, 1]], ['a', 0, 0], { class_name: 'Dense', config: {} }],
];

/** JSON with one value changed: left out, doubled, put in place of another one, or replaced. */
export function changedJson(value: Json, random: () => number): Json {
  const copy = JSON.parse(JSON.stringify(value)) as Json;
  const places: { holder: Record<string, Json>; key: string }[] = [];
  const visit = (holder: Json): void => {
    if (typeof holder !== 'object' || holder === null) return;
    for (const key of Object.keys(holder)) {
      places.push({ holder: holder as Record<string, Json>, key });
      visit((holder as Record<string, Json>)[key] as Json);
    }
  };
  visit(copy);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const { holder, key } = pick(places);
  const other = pick(places);
  switch (Math.floor(random() * 5)) {
    case 0:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
      break;
    case 1:
      if (Array.isArray(holder)) holder.push(JSON.parse(JSON.stringify(holder[Number(key)])));
      else holder[`${key}_2`] = holder[key] as Json;
      break;
    case 2:
      holder[key] = JSON.parse(JSON.stringify(other.holder[other.key]));
      break;
    case 3:
      if (typeof holder[key] === 'number') holder[key] = Math.round((random() - 0.3) * 10);
      else holder[key] = pick(VALUES);
      break;
    default:
      holder[key] = pick(VALUES);
  }
  return copy;
}
