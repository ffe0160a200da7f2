import { useEffect, useState } from 'preact/hooks';
import * as format from '../format.js';
import type { Result } from '../model.js';
import type { ModelFacts } from '../worker/protocol.js';

/** `model.int4.safetensors` for `model.h5`. */
export function packedName(file: string, scheme: string): string {
  return `${file.replace(/(\.weights)?\.(h5|hdf5|keras)$/i, '')}.${scheme}.safetensors`;
}

/** What became of the model as a whole, and the file to take away. */
export function Totals({ result, facts }: { readonly result: Result; readonly facts: ModelFacts }) {
  const { report, packed, seconds, choice, folded } = result;
  const { file, weightBytes: before } = facts;
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    const made = URL.createObjectURL(packed);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [packed]);
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
      </div>
    </section>
  );
}
