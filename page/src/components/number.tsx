import { useState } from 'preact/hooks';

interface NumberFieldProps {
  readonly label: string;
  /** The label is there for screen readers alone. */
  readonly isBare?: boolean;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  /** Every whole number on the way is taken, not only the last. */
  readonly eager?: boolean;
  readonly onValue: (value: number) => void;
}

/** A whole number. What is being typed stays while the page around it changes. */
export function NumberField({
  label,
  isBare = false,
  value,
  min,
  max,
  eager = false,
  onValue,
}: NumberFieldProps) {
  const [typed, setTyped] = useState<string | undefined>(undefined);
  return (
    <label class="field">
      <span class={isBare ? 'visually-hidden' : ''}>{label}</span>
      <input
        type="number"
        min={min}
        max={max}
        step={1}
        required
        value={typed ?? String(value)}
        onInput={({ currentTarget }) => {
          setTyped(currentTarget.value);
          if (eager && currentTarget.validity.valid) onValue(currentTarget.valueAsNumber);
        }}
        onChange={({ currentTarget }) => {
          if (!currentTarget.reportValidity()) return;
          setTyped(undefined);
          onValue(currentTarget.valueAsNumber);
        }}
      />
    </label>
  );
}
