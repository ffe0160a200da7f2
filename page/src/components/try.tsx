import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { Client } from '../client.js';
import * as format from '../format.js';
import { type Fault, faultOf, type RunsOf, useRuns } from '../model.js';
import type { How, PixelRange, Tried, TriedColumn } from '../worker/protocol.js';

/** An image or arrays to run a network on, dropped anywhere or chosen. */
export interface Samples {
  readonly sample?: File;
  readonly onSample: (file: File | undefined) => void;
}

export const isSample = ({ name, type }: File): boolean =>
  type.startsWith('image/') || /\.(np[yz]|png|jpe?g|gif|webp|avif|bmp)$/i.test(name);

/** Whether a file may hold samples of any number, to calibrate with. */
export const isArrays = ({ name }: File): boolean => /\.(np[yz]|csv|tsv)$/i.test(name);

const RANGES: readonly { readonly value: PixelRange; readonly label: string }[] = [
  { value: 'unit', label: '0 to 1' },
  { value: 'signed', label: '−1 to 1' },
  { value: 'bytes', label: '0 to 255' },
];

/** Outputs that are listed, the largest first. */
const LISTED = 5;

interface TryProps extends Samples {
  readonly client: Client;
  readonly runsOf: RunsOf;
}

/** The network answers an image or arrays of one's own: before and after rounding, or the packed file alone. */
export function Try({ client, runsOf, sample, onSample }: TryProps) {
  const runs = useRuns(runsOf);
  const [range, setRange] = useState<PixelRange>();
  const [isInverted, setInverted] = useState(false);
  const [tried, setTried] = useState<Tried>();
  const [fault, setFault] = useState<Fault>();
  const input = useRef<HTMLInputElement>(null);

  const chosen = range ?? (runs?.runs && runs.rescales ? 'bytes' : 'unit');
  // Asked again when what is dropped, how it is read, or the rounding changes.
  const answer = useCallback(
    (file: File, how: How) => runsOf().then(() => client.tryOn(file, how)),
    [client, runsOf],
  );
  useEffect(() => {
    if (!sample || !runs?.runs) return setTried(undefined);
    let isOver = false;
    answer(sample, { range: chosen, isInverted }).then(
      (found) => {
        if (isOver) return;
        setTried(found);
        setFault(undefined);
      },
      (error) => {
        if (isOver) return;
        setTried(undefined);
        setFault(faultOf(error));
      },
    );
    return () => {
      isOver = true;
    };
  }, [answer, sample, runs, chosen, isInverted]);

  const shape = runs?.runs ? (runs.inputs[0]?.shape ?? []) : [];
  const isImage = shape.length === 3;
  return (
    <section class="try" aria-labelledby="try-title">
      <h2 id="try-title">Try it on your own data</h2>
      {!runs && <p class="muted">Asking the runtime …</p>}
      {runs && !runs.runs && (
        <p class="refusal" data-testid="refusal">
          bitnibble's runtime does not run this network. {runs.message}
        </p>
      )}
      {runs?.runs && (
        <>
          <p data-testid="runs">
            bitnibble's runtime runs this network in {format.bytes(runs.bytes)} of memory. It takes{' '}
            <code>{format.shape(shape)}</code>: drop {isImage ? 'an image, or ' : ''}a <code>.npy</code> or{' '}
            <code>.npz</code> file anywhere on the page.
          </p>
          <div class="try-controls">
            <button type="button" onClick={() => input.current?.click()}>
              {isImage ? 'Choose an image or arrays' : 'Choose arrays'}
            </button>
            <input
              ref={input}
              type="file"
              hidden
              data-testid="sample"
              aria-label="Image or arrays"
              accept={isImage ? 'image/*,.npy,.npz' : '.npy,.npz'}
              onChange={({ currentTarget }) => {
                const file = currentTarget.files?.[0];
                currentTarget.value = '';
                if (file) onSample(file);
              }}
            />
            {isImage && (
              <>
                <label class="field">
                  Pixels become
                  <select
                    value={chosen}
                    onChange={({ currentTarget }) => setRange(currentTarget.value as PixelRange)}
                  >
                    {RANGES.map(({ value, label }) => (
                      <option key={value} value={value}>
                        {label}
                      </option>
                    ))}
                  </select>
                </label>
                <label class="field">
                  <input
                    type="checkbox"
                    checked={isInverted}
                    onChange={({ currentTarget }) => setInverted(currentTarget.checked)}
                  />
                  dark becomes bright
                </label>
              </>
            )}
          </div>
        </>
      )}
      {fault && (
        <p class="failure message" role="alert">
          {fault.message}
        </p>
      )}
      {tried && <Answers tried={tried} />}
    </section>
  );
}

function Answers({ tried }: { readonly tried: Tried }) {
  const { from, preview, columns, samples } = tried;
  const compared = columns.filter(({ against }) => against);
  return (
    <div class="tried" aria-live="polite">
      <div class="seen">
        {preview && <Preview {...preview} />}
        <p class="small muted">{from}</p>
        {compared.map(({ title, against = { same: 0, difference: 0 } }) => (
          <p key={title} class="small" data-testid={compared.length === 1 ? 'verdict' : `verdict-${title}`}>
            {compared.length > 1 && <strong>{title}: </strong>}
            {samples === 1
              ? against.same === 1
                ? 'The same answer'
                : 'Another answer'
              : `The same answer for ${against.same} of ${samples} samples`}
            , outputs differ by {format.value(against.difference)} at most.
          </p>
        ))}
      </div>
      {columns.map((column) => (
        <Column key={column.title} column={column} />
      ))}
    </div>
  );
}

/** What the network sees, as many pixels as it takes. */
function Preview({ width, height, pixels }: NonNullable<Tried['preview']>) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const image = new ImageData(new Uint8ClampedArray(pixels), width, height);
    canvas.current?.getContext('2d')?.putImageData(image, 0, 0);
  }, [width, height, pixels]);
  return <canvas ref={canvas} width={width} height={height} role="img" aria-label="What the network sees" />;
}

function Column({ column: { title, scores, shape, milliseconds } }: { readonly column: TriedColumn }) {
  const order = [...scores.keys()].sort((a, b) => (scores[b] as number) - (scores[a] as number));
  const most = Math.max(...scores.map(Math.abs)) || 1;
  return (
    <div class="try-column" data-column={title}>
      <h3>{title}</h3>
      <p class="small muted">
        {format.duration(milliseconds)} per sample; output {format.shape(shape)}
      </p>
      <ol class="scores">
        {order.slice(0, LISTED).map((at) => (
          <li key={at}>
            <span class="index">{at}</span>
            <span class="bar" aria-hidden="true">
              <span style={{ width: `${(100 * Math.abs(scores[at] as number)) / most}%` }} />
            </span>
            <span class="score-value">{format.value(scores[at] as number)}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}
