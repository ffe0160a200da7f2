import type { SchemeName } from 'bitnibble';
import { useCallback } from 'preact/hooks';
import * as format from '../format.js';
import { useObjectUrl } from '../object-url.js';
import { bitsText } from '../schemes.js';
import type { CalibratedModel, CalibrationProgress } from '../worker/protocol.js';
import { Figure } from './figure.js';
import { packedName } from './totals.js';

interface FallProps {
  readonly falls: readonly { readonly scheme: SchemeName; readonly fall: CalibrationProgress['fall'] }[];
}

/** The divergence as layers are fitted, one line for each scheme. */
export function Fall({ falls }: FallProps) {
  const draw = useCallback(
    (plots: typeof import('../plots.js'), width: number) =>
      plots.fallingLines(
        falls.map(({ scheme, fall }) => ({ name: bitsText(scheme), points: fall })),
        width,
      ),
    [falls],
  );
  return (
    <div class="fall">
      <h3>Divergence from the float network, as layers are fitted</h3>
      <p class="small muted">
        Of the outputs on the first samples; layers that are still to come are rounded alone.
      </p>
      <Figure draw={draw} height={230} />
    </div>
  );
}

/** `model.binary.calibrated.safetensors` */
const calibratedName = (file: string, scheme: SchemeName) => packedName(file, `${scheme}.calibrated`);

/** Every calibrated model: what it gained, and its file. */
export function Fitted({
  models,
  file,
}: {
  readonly models: readonly CalibratedModel[];
  readonly file: string;
}) {
  const sorted = [...models].sort((a, b) => a.packed.size - b.packed.size);
  return (
    <>
      <ul class="fits">
        {sorted.map((model) => (
          <Fit key={model.scheme} model={model} file={file} />
        ))}
      </ul>
      <p class="small muted">
        Divergence is how far the outputs are from the float network's: in nats for classifiers, else as a
        share of their variance. 0 is the same.
      </p>
    </>
  );
}

/** `accuracy 71.3 %`, as the metric is written. */
const METRICS = [
  { key: 'accuracy', label: 'Accuracy', text: format.percent },
  { key: 'r2', label: 'R²', text: (value: number) => value.toFixed(3) },
  { key: 'mae', label: 'Mean error', text: format.value },
] as const;

function Fit({ model, file }: { readonly model: CalibratedModel; readonly file: string }) {
  const { scheme, choice, packed, samples, check, divergence, isRounded, warnings, seconds } = model;
  const url = useObjectUrl(packed);
  const rounded = check?.candidates.find(({ name }) => name === 'rounded');
  const calibrated = check?.candidates.find(({ name }) => name === 'calibrated');
  const metrics = [
    {
      label: 'Divergence',
      values: [
        0,
        rounded?.divergence ?? divergence.dataFree,
        calibrated?.divergence ?? divergence.calibrated,
      ],
      text: format.value,
    },
    ...METRICS.flatMap(({ key, label, text }) => {
      const values = [check?.float[key], rounded?.[key], calibrated?.[key]];
      return values.every((value) => value !== undefined) ? [{ label, values, text }] : [];
    }),
  ];
  const name = calibratedName(file, scheme);
  const scales = choice.granularity === 'group' ? `group of ${choice.groupSize} rows` : choice.granularity;
  return (
    <li class="fit" data-fit={scheme}>
      <h3>
        {bitsText(scheme)} <span class="note">{scheme}</span>
      </h3>
      <table>
        <thead>
          <tr>
            <td />
            {metrics.map(({ label }) => (
              <th key={label} scope="col">
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {['float', 'rounded', 'calibrated'].map((form, i) => (
            <tr key={form}>
              <th scope="row">{form}</th>
              {metrics.map(({ label, values, text }) => (
                <td key={label}>{text(values[i] as number)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <p class="small muted">
        {check
          ? `On ${format.plural(check.samples, 'sample')} that nothing was fitted to (${check.how}).`
          : 'On the samples that it was fitted to: too few are there to hold some back.'}{' '}
        Fitted to {format.plural(samples, 'sample')} in {format.duration(1000 * seconds)}; one scale per{' '}
        {scales}.
      </p>
      {isRounded && (
        <p class="small">
          <strong>Calibration made it no better:</strong> the file is the rounded network.
        </p>
      )}
      {warnings.length > 0 && (
        <details class="small">
          <summary>{format.plural(warnings.length, 'remark')}</summary>
          <ul class="remarks">
            {warnings.map((warning) => (
              <li key={warning}>{warning}</li>
            ))}
          </ul>
        </details>
      )}
      <a class="button" href={url} download={name}>
        Download {bitsText(scheme)}
        <span class="visually-hidden">, calibrated</span>
      </a>
      <p class="small muted">
        <code>{name}</code>, {format.count(packed.size)} bytes
      </p>
    </li>
  );
}
