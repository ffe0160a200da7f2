// Recipes: fields of other types, patterns that take RegExp for ever, on names that are long.

import { parseJson } from '../../src/formats/json.js';
import { decide, parseRecipe } from '../../src/pipeline/recipe.js';
import { mutatedText, randomFrom } from './fuzz-cases.js';
import { type FuzzKind, pick, type Random } from './fuzz-kind.js';

const RECIPE = {
  rules: [
    { layer: 'conv2d', keep: true },
    { class: 'Dense', scheme: 'int4', granularity: 'group', groupSize: 32 },
    { layer: '/^head_/', weight: 'kernel', scheme: 'int4', scale: 'lsq', axes: [0] },
  ],
  default: { scheme: 'binary', granularity: 'channel', scaleDtype: 'F16' },
};

const WEIGHTS = Array.from({ length: 300 }, (_, i) => {
  const layer = i % 3 === 0 ? `${'a'.repeat(i * 3)}b/conv2d_${i}` : `head_${i}`;
  const info = { layer, className: i % 2 === 0 ? 'Dense' : 'Conv2D', name: 'kernel', id: `${layer}/kernel` };
  return { ...info, shape: i % 2 === 0 ? [3, 4] : [2, 2, 3, 4], dtype: 'F32' as const };
});

const PIECES = [
  'a',
  'b',
  '*',
  '?',
  '+',
  '(',
  ')',
  '(?:',
  '|',
  '[ab]',
  '[^a]',
  '.',
  '\\w',
  '{1,50}',
  '{2,}',
  '^',
  '$',
  '(a+)+',
  '(a|a)*',
];

function pattern(random: Random): string {
  const text = Array.from({ length: 1 + random(1 << random(10)) }, () => pick(random, PIECES)).join('');
  return random(2) === 0 ? `/${text}/${pick(random, ['', 'i', 'u', 'su'])}` : text;
}

export const recipes: FuzzKind = {
  name: 'recipes',
  cases: 4000,
  async prepare(number, seed) {
    const random = randomFrom(`recipe ${seed} ${number}`);
    const rules = RECIPE.rules.map((rule) => (random(2) === 0 ? rule : { ...rule, layer: pattern(random) }));
    if (random(10) === 0)
      for (let n = random(500); n > 0; n--) rules.unshift({ layer: pattern(random), keep: true });
    const bytes = new TextEncoder().encode(JSON.stringify({ ...RECIPE, rules }));
    const text = new TextDecoder().decode(random(2) === 0 ? mutatedText(bytes, random) : bytes);
    return async () => decide(parseRecipe(parseJson(text, 'recipe.json'), 'recipe.json'), WEIGHTS, 'm.h5');
  },
};
