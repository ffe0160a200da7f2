import type { Granularity, ScaleRule, SchemeName } from 'bitnibble';
import { codingOf, SCHEMES } from '../../src/schemes/quantize.js';

/** How a model is to be rounded. */
export interface Choice {
  readonly scheme: SchemeName;
  readonly granularity: Granularity;
  /** Rows per scale, with granularity `group`. */
  readonly groupSize: number;
  /** Absent: the scheme's default. */
  readonly scale?: WeightRule;
  /** Whether batch normalizations are folded into the layers before them. Absent: where the command does it unasked. */
  readonly fold?: boolean;
}

/** As `bitnibble quantize` does for packed files: a scale of a whole tensor would suffer from it. */
export const folds = ({ fold, granularity }: Choice): boolean => fold ?? granularity !== 'tensor';

/** Rules that need the weights alone. */
export type WeightRule = Exclude<ScaleRule, 'calibrated'>;

export interface SchemeChoice {
  readonly name: SchemeName;
  readonly bits: number;
  /** The default first. */
  readonly scales: readonly WeightRule[];
}

const RULES: readonly WeightRule[] = ['mean', 'absmax', 'lsq', 'hqq', 'none'];

/** What the library offers, fewest bits first. */
export const schemeChoices: readonly SchemeChoice[] = (Object.keys(SCHEMES) as SchemeName[])
  .map((name) => ({ name, bits: SCHEMES[name].bits, scales: rulesOf(name) }))
  .sort((a, b) => a.bits - b.bits);

/** Rules for scales that a scheme takes. For one bit, least squares is the mean: the same twice. */
function rulesOf(scheme: SchemeName): WeightRule[] {
  const first = codingOf({ scheme }, 2).scale;
  const takes = (scale: WeightRule) => {
    try {
      return codingOf({ scheme, scale }, 2).scale === scale;
    } catch {
      return false;
    }
  };
  return RULES.filter(takes)
    .filter((rule) => !(first === 'mean' && rule === 'lsq'))
    .sort((a, b) => Number(b === first) - Number(a === first));
}

export const GRANULARITIES: readonly Granularity[] = ['tensor', 'channel', 'group'];

export const firstChoice: Choice = { scheme: 'int4', granularity: 'channel', groupSize: 32 };

/** `1 bit`, `4 bits` */
export const bitsText = (scheme: SchemeName): string => {
  const { bits } = SCHEMES[scheme];
  return `${bits} ${bits === 1 ? 'bit' : 'bits'}`;
};

/** Schemes of so few levels that rounding alone seldom leaves a network of use. */
export const needsData = (scheme: SchemeName): boolean => SCHEMES[scheme].bits <= 2;
