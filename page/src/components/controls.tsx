import type { Granularity } from 'bitnibble';
import type { ComponentChildren } from 'preact';
import { type Choice, folds, GRANULARITIES, schemeChoices, type WeightRule } from '../schemes.js';
import { NumberField } from './number.js';

const GRANULARITY_TEXT: Readonly<Record<Granularity, string>> = {
  tensor: 'tensor',
  channel: 'channel',
  group: 'group of rows',
};
const SCALE_TEXT: Readonly<Record<WeightRule, string>> = {
  absmax: 'largest weight',
  mean: 'mean weight',
  lsq: 'least squares',
  hqq: 'half-quadratic',
  none: 'none: ±1',
};

interface OptionsProps<T extends string> {
  readonly legend: string;
  readonly name: string;
  readonly value: T;
  readonly options: readonly { readonly value: T; readonly label: string; readonly note?: string }[];
  readonly onChange: (value: T) => void;
  readonly children?: ComponentChildren;
}

function Options<T extends string>({ legend, name, value, options, onChange, children }: OptionsProps<T>) {
  return (
    <fieldset>
      <legend>{legend}</legend>
      <div class="options">
        {options.map((option) => (
          <label key={option.value}>
            <input
              type="radio"
              name={name}
              value={option.value}
              checked={option.value === value}
              onChange={() => onChange(option.value)}
            />
            <span>
              {option.label}
              {option.note && <span class="note"> {option.note}</span>}
            </span>
          </label>
        ))}
      </div>
      {children}
    </fieldset>
  );
}

/** Scheme, granularity and scales. */
export function Controls({
  choice,
  foldable,
  onChange,
}: {
  choice: Choice;
  /** Batch normalizations that can be folded. */
  foldable: number;
  onChange: (change: Partial<Choice>) => void;
}) {
  const scheme = schemeChoices.find(({ name }) => name === choice.scheme);
  const scales = scheme?.scales ?? [];
  const chosenScale = choice.scale ?? scales[0];
  return (
    <form class="controls" aria-label="How to round" onSubmit={(event) => event.preventDefault()}>
      <Options
        legend="Bits per weight"
        name="scheme"
        value={choice.scheme}
        options={schemeChoices.map(({ name, bits }) => ({
          value: name,
          label: `${bits} ${bits === 1 ? 'bit' : 'bits'}`,
          note: name,
        }))}
        // Another scheme has other rules for scales.
        onChange={(value) => onChange({ scheme: value, scale: undefined })}
      />
      <Options
        legend="One scale per"
        name="granularity"
        value={choice.granularity}
        options={GRANULARITIES.map((value) => ({ value, label: GRANULARITY_TEXT[value] }))}
        onChange={(granularity) => onChange({ granularity })}
      >
        {choice.granularity === 'group' && (
          <NumberField
            label="Rows in a group"
            value={choice.groupSize}
            min={1}
            max={65536}
            onValue={(groupSize) => groupSize !== choice.groupSize && onChange({ groupSize })}
          />
        )}
      </Options>
      {chosenScale && (
        <Options
          legend="Scale from"
          name="scale"
          value={chosenScale}
          options={scales.map((value) => ({ value, label: SCALE_TEXT[value] }))}
          onChange={(scale) => onChange({ scale: scale === scales[0] ? undefined : scale })}
        />
      )}
      {foldable > 0 && (
        <Options
          legend={foldable === 1 ? 'Batch normalization' : `${foldable} batch normalizations`}
          name="fold"
          value={folds(choice) ? 'folded' : 'kept'}
          options={[
            { value: 'folded', label: 'folded in' },
            { value: 'kept', label: 'kept' },
          ]}
          onChange={(value) => onChange({ fold: value === 'folded' })}
        />
      )}
    </form>
  );
}
