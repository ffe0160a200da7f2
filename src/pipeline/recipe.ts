import { BitnibbleError } from '../errors.js';
import { isFloat } from '../formats/dtypes.js';
import { type Role, roleOf } from '../keras/axes.js';
import type { WeightInfo } from '../model.js';
import { codingOf } from '../schemes/quantize.js';
import type { QuantizeOptions } from '../schemes/types.js';
import { matcher, type Pattern, type Spend } from './pattern.js';

export type { Pattern } from './pattern.js';

/** What a rule looks at; every pattern given must match. */
export interface Match {
  /** Name of the layer, with or without the sub-models that hold it: `conv2d_*`, `encoder/*`. */
  readonly layer?: Pattern;
  /** Class of the layer, wrappers before it: `Dense`, `Bidirectional/LSTM`. */
  readonly class?: Pattern;
  /** Name or id of the weight: `kernel`, `conv2d_1/bias`. */
  readonly weight?: Pattern;
}

/**
 * What happens to the weights that match: `keep`, or a scheme.
 * A scheme takes kernels; with a `weight` pattern it takes whatever the pattern names, biases too.
 */
export type Rule = Match & ({ readonly keep: true } | QuantizeOptions);

/** Rules in order, the first that matches decides; `default` for kernels that none matches. */
export interface Recipe {
  readonly rules?: readonly Rule[];
  /** Default: keep. */
  readonly default?: QuantizeOptions;
}

/** What is to be done with one weight. */
export type Decision =
  | { readonly keep: string }
  | {
      readonly options: QuantizeOptions /** The axis is a guess: the class is not known. */;
      readonly guess: boolean;
    };

/** Most rules of a recipe. */
const MAX_RULES = 1000;
/** Steps of matching, all rules on all names together: about a second. Ten rules on a thousand weights take 2^20. */
const MAX_STEPS = 2 ** 28;

const MATCH_KEYS = ['layer', 'class', 'weight'] as const;
const OPTION_KEYS = ['scheme', 'granularity', 'groupSize', 'scale', 'scaleDtype', 'axes'];

function invalid(what: string, fault: string): BitnibbleError {
  return new BitnibbleError('recipe', `${what}: ${fault}`);
}

/** A name in a message, cut short. */
const quoted = (text: string) => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text);

function optionsOf(value: Record<string, unknown>, what: string): QuantizeOptions {
  const options = Object.fromEntries(
    OPTION_KEYS.filter((key) => key in value).map((key) => [key, value[key]]),
  );
  const { axes } = options;
  if (
    axes !== undefined &&
    !(Array.isArray(axes) && axes.every((axis) => Number.isInteger(axis) && axis >= 0))
  ) {
    throw invalid(what, '"axes" expected a list of axis numbers');
  }
  try {
    codingOf(options as unknown as QuantizeOptions, 1);
  } catch (error) {
    throw invalid(what, (error as Error).message);
  }
  return options as unknown as QuantizeOptions;
}

/**
 * Checks a recipe, as parsed from JSON or written in code.
 * @param what names it in errors
 * @throws BitnibbleError `recipe`, naming the rule
 */
export function parseRecipe(value: unknown, what = 'recipe'): Recipe {
  const isRecord = (v: unknown): v is Record<string, unknown> =>
    typeof v === 'object' && v !== null && !Array.isArray(v);
  if (!isRecord(value)) throw invalid(what, 'expected an object with "rules" and "default"');
  const stray = Object.keys(value).find((key) => key !== 'rules' && key !== 'default');
  if (stray) throw invalid(what, `unknown field ${quoted(stray)}, expected "rules" or "default"`);
  const { rules = [] } = value;
  if (!Array.isArray(rules)) throw invalid(what, '"rules" expected a list');
  if (rules.length > MAX_RULES)
    throw invalid(what, `"rules" expected at most ${MAX_RULES} rules, got ${rules.length}`);
  const checked = rules.map((rule: unknown, index): Rule => {
    const name = `${what}, rule ${index + 1}`;
    if (!isRecord(rule)) throw invalid(name, 'expected an object');
    const unknownKey = Object.keys(rule).find(
      (key) => ![...MATCH_KEYS, 'keep', ...OPTION_KEYS].includes(key),
    );
    if (unknownKey) throw invalid(name, `unknown field ${quoted(unknownKey)}`);
    const match: { [key in (typeof MATCH_KEYS)[number]]?: Pattern } = {};
    for (const key of MATCH_KEYS) {
      const pattern = rule[key];
      if (pattern === undefined) continue;
      if (typeof pattern !== 'string' && !(pattern instanceof RegExp)) {
        throw invalid(name, `"${key}" expected a glob or a regular expression`);
      }
      try {
        matcher(pattern);
      } catch (error) {
        throw invalid(name, (error as Error).message);
      }
      match[key] = pattern;
    }
    if (Object.keys(match).length === 0)
      throw invalid(name, `expected one of ${MATCH_KEYS.join(', ')} to match`);
    if (rule.keep !== undefined) {
      if (rule.keep !== true || rule.scheme !== undefined)
        throw invalid(name, 'expected "keep": true or a "scheme"');
      return { ...match, keep: true };
    }
    return { ...match, ...optionsOf(rule, name) };
  });
  const fallback = value.default;
  if (fallback === undefined) return { rules: checked };
  if (!isRecord(fallback)) throw invalid(what, '"default" expected an object with a "scheme"');
  return { rules: checked, default: optionsOf(fallback, `${what}, default`) };
}

/**
 * Applies a recipe to the weights of a model.
 * @throws BitnibbleError `recipe` for a rule that decides about no weight and for patterns that take too long on these
 *   names, `unsupported-dtype` for one that would
 *   quantize integers
 */
export function decide(recipe: Recipe, weights: readonly WeightInfo[], file: string): Map<string, Decision> {
  let steps = MAX_STEPS;
  const spend: Spend = (count) => {
    steps -= count;
    if (steps < 0)
      throw new BitnibbleError('recipe', `the patterns of the recipe take too long on the names of ${file}`);
  };
  const test = (pattern?: Pattern) => (pattern === undefined ? undefined : matcher(pattern, spend));
  const rules = (recipe.rules ?? []).map((rule) => ({
    rule,
    layer: test(rule.layer),
    class: test(rule.class),
    weight: test(rule.weight),
    matched: 0,
    used: 0,
  }));
  const decisions = new Map<string, Decision>();
  for (const weight of weights) {
    const role = roleOf(weight);
    const matching = rules.filter(
      (r) =>
        (r.layer === undefined ||
          r.layer(weight.layer) ||
          r.layer(weight.layer.split('/').at(-1) as string)) &&
        (r.class?.(weight.className) ?? true) &&
        (r.weight === undefined || r.weight(weight.name) || r.weight(weight.id)) &&
        ('keep' in r.rule || role.kind === 'kernel' || r.weight !== undefined),
    );
    for (const r of matching) r.matched++;
    const chosen = matching[0];
    if (chosen) chosen.used++;
    decisions.set(weight.id, decision(chosen?.rule, recipe.default, weight, role, file));
  }
  for (const [index, { rule, matched, used }] of rules.entries()) {
    if (used > 0) continue;
    const shown = MATCH_KEYS.filter((key) => rule[key] !== undefined).map(
      (key) => `${key} ${String(rule[key])}`,
    );
    const fault = matched === 0 ? 'matches no weight' : 'matches only weights that earlier rules take';
    throw new BitnibbleError(
      'recipe',
      `rule ${index + 1} of the recipe (${shown.join(', ')}) ${fault} of ${file}`,
    );
  }
  return decisions;
}

function decision(
  rule: Rule | undefined,
  fallback: QuantizeOptions | undefined,
  weight: WeightInfo,
  role: Role,
  file: string,
): Decision {
  if (rule && 'keep' in rule) return { keep: 'recipe' };
  if (!rule && role.kind === 'other') return { keep: role.reason };
  const chosen = rule ?? fallback;
  if (!chosen) return { keep: 'no rule' };
  if (weight.shape.includes(0)) return { keep: 'empty' };
  if (!isFloat(weight.dtype)) {
    throw new BitnibbleError(
      'unsupported-dtype',
      `${file}: expected floating-point weights to quantize, got ${weight.dtype} (tensor ${weight.id}); a recipe rule can keep it`,
    );
  }
  const { layer: _l, class: _c, weight: _w, ...options } = chosen as Match & QuantizeOptions;
  const axes = options.axes ?? (role.kind === 'kernel' ? role.axes : [Math.max(0, weight.shape.length - 1)]);
  return {
    options: { ...options, axes },
    guess: role.kind === 'kernel' && role.guess && options.axes === undefined,
  };
}
