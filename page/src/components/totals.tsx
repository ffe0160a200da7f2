import * as format from '../format.js';
import type { Result } from '../model.js';
import { useObjectUrl } from '../object-url.js';
import { bitsText, needsData } from '../schemes.js';
import type { CalibratedModel, ModelFacts } from '../worker/protocol.js';

/** `model.int4.safetensors` for `model.h5`. */
export function packedName(file: string, scheme: string): string {
  return `${file.replace(/(\.weights)?\.(h5|hdf5|keras)$/i, '')}.${scheme}.safetensors`;
}

/** What became of the model as a whole, and the file to take away. */
export function Totals({
  result,
  facts,
  calibrated,
}: {
  readonly result: Result;
  readonly facts: ModelFacts;
  /** Of the same scheme. */
  readonly calibrated?: CalibratedModel;
}) {
  const { report, packed, seconds, choice, folded } = result;
  const { file, weightBytes: before } = facts;
  const url = useObjectUrl(packed);
  const name = packedName(file, choice.scheme);
  const part = packed.size / before;
  const isLarger = part > 1;
  // There is no kernel: a packed file would hold what the Keras file holds.
  if (report.quantizedParameters === 0) return null;
  return (
    <section class="totals" aria-labelledby="totals-title">
      <h2 id="totals-title" class="visually-hidden">
        In all
      </h2>
      <div class="balance">
        <p class="big">
          <span>{format.bytes(before)}</span>
          <span class="muted" aria-hidden="true">
            →
          </span>
          <span class="visually-hidden">become</span>
          <strong>{format.bytes(packed.size)}</strong>
        </p>
        <div class="bar" aria-hidden="true">
          <span style={{ width: `${Math.max(0.5, Math.min(100, 100 * part))}%` }} />
        </div>
      </div>
      <dl class="figures">
        <div>
          <dt>{isLarger ? 'larger: a small model, and its architecture takes the room' : 'smaller'}</dt>
          <dd data-testid="ratio">{(isLarger ? part : 1 / part).toFixed(1)}×</dd>
        </div>
        <div>
          <dt>bits per rounded weight</dt>
          <dd>{report.bitsPerWeight.toFixed(2)}</dd>
        </div>
        <div>
          <dt>weights rounded</dt>
          <dd>{format.percent(report.quantizedParameters / report.parameters)}</dd>
        </div>
        <div>
          <dt>time to round</dt>
          <dd>{format.duration(1000 * seconds)}</dd>
        </div>
      </dl>
      <div class="take">
        <a class="button primary" href={url} download={name}>
          Download the packed file
        </a>
        <p class="small muted">
          <code>{name}</code>, {format.count(packed.size)} bytes, architecture and scales included
          {folded > 0 &&
            `; ${format.plural(folded, 'batch normalization')} folded into the ${folded === 1 ? 'layer before it' : 'layers before them'}`}
        </p>
        {needsData(choice.scheme) && <PlainWords scheme={choice.scheme} calibrated={calibrated} />}
      </div>
    </section>
  );
}

/** What few bits are worth without data, and the way to more. */
function PlainWords({
  scheme,
  calibrated,
}: {
  readonly scheme: Result['choice']['scheme'];
  readonly calibrated?: CalibratedModel;
}) {
  const show = () => {
    const title = document.getElementById('calibrate-title');
    title?.scrollIntoView();
    title?.focus({ preventScroll: true });
  };
  return (
    <p class="plain-words" data-testid="plain-words">
      {calibrated ? (
        <>
          This file is rounded alone. The one that is calibrated to {bitsText(scheme)} has a download of its
          own below.
        </>
      ) : (
        <>
          <strong>Rounding alone usually destroys a network at {bitsText(scheme)}.</strong> Expect wrong
          answers of this file until the network is calibrated on some of your data.
        </>
      )}{' '}
      <button type="button" class="inline" onClick={show}>
        {calibrated ? 'Go there' : 'Calibrate it'}
      </button>
    </p>
  );
}
