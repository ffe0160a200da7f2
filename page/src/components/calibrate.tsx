import type { SchemeName } from 'bitnibble';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Calibrator } from '../calibration.js';
import { chosenFiles } from '../dropped.js';
import * as format from '../format.js';
import { type Fault, faultOf } from '../model.js';
import { bitsText, type Choice, schemeChoices } from '../schemes.js';
import type { CalibrationRequest, DataFacts, DataInput, DataRequest } from '../worker/protocol.js';
import { Fall, Fitted } from './fitted.js';
import { NumberField } from './number.js';

/** Samples at most, as the command `calibrate` takes them. */
const SAMPLES = 2048;

interface CalibrateProps {
  readonly calibrator: Calibrator;
  readonly choice: Choice;
  /** Of the model's file, for names of downloads. */
  readonly file: string;
  /** Data that comes with the page, for the demo. */
  readonly demo?: () => Promise<DataRequest>;
  /** Said to screen readers. */
  readonly onAnnounce: (text: string) => void;
}

/** Data, dropped or chosen; layers fitted to it; and what that gained. */
export function Calibrate({ calibrator, choice, file, demo, onAnnounce }: CalibrateProps) {
  const { state, take, run, cancel } = calibrator;
  const { reading, facts, running, fault, models, isCancelled } = state;
  useAnnouncements(calibrator, onAnnounce);
  const title = useRef<HTMLHeadingElement>(null);
  const isRunning = running !== undefined;
  // The button that had the focus is gone: a keyboard goes on from the title, from the same frame on.
  useLayoutEffect(() => {
    const place = title.current;
    if (!isRunning) return;
    return () => {
      if (document.activeElement === document.body) place?.focus({ preventScroll: true });
    };
  }, [isRunning]);
  const falls = useMemo(() => {
    const now = running?.progress;
    const done = models.filter(({ scheme }) => scheme !== now?.scheme);
    return [...done, ...(now ? [now] : [])].map(({ scheme, fall }) => ({ scheme, fall }));
  }, [models, running?.progress]);
  return (
    <section class="calibrate" id="calibrate" aria-labelledby="calibrate-title">
      <h2 id="calibrate-title" tabIndex={-1} ref={title}>
        Calibrate it on your data
      </h2>
      <p class="explained">
        Calibration fits each layer to what it sees on samples, and is what makes one and two bits work. Drop
        a folder of images, with a folder for each class or without, or a <code>.npz</code> file anywhere on
        the page. It needs no labels; where they are there, accuracy is measured. The samples stay in this
        page.
      </p>
      <Chooser onData={take} demo={demo} isBusy={running !== undefined} />
      {reading && (
        <div class="progress">
          <progress aria-label="Reading data" max={1} value={reading.part === 0 ? undefined : reading.part} />
          <span class="small muted">Reading data …</span>
        </div>
      )}
      {fault && (
        <p class="failure message" role="alert">
          {fault.message}
        </p>
      )}
      {facts && (
        <Options
          key={facts.name}
          facts={facts}
          choice={choice}
          onRun={run}
          isRunning={running !== undefined}
        />
      )}
      {running && <Running schemes={running.schemes} progress={running.progress} onCancel={cancel} />}
      {isCancelled && <p class="muted">Calibration was cancelled; nothing of it is left.</p>}
      {falls.some(({ fall }) => fall.length > 1) && <Fall falls={falls} />}
      {models.length > 0 && <Fitted models={models} file={file} />}
    </section>
  );
}

/** Says when reading and calibration begin, pass a quarter, and end. */
function useAnnouncements({ state }: Calibrator, onAnnounce: (text: string) => void): void {
  const { facts, running, models } = state;
  const { scheme, done = 0, total = 1, fall = [] } = running?.progress ?? {};
  const quarter = Math.floor((4 * done) / total);
  const now = fall.at(-1)?.divergence;
  const latest = useRef(now);
  latest.current = now;
  useEffect(() => {
    if (facts) onAnnounce(`${facts.name}: ${format.plural(facts.samples, 'sample')}`);
  }, [facts, onAnnounce]);
  useEffect(() => {
    if (!scheme) return;
    const divergence = latest.current === undefined ? '' : `, divergence ${format.value(latest.current)}`;
    onAnnounce(`Calibrating ${bitsText(scheme)}: ${25 * quarter} percent${divergence}`);
  }, [scheme, quarter, onAnnounce]);
  const last = models.at(-1);
  useEffect(() => {
    if (!last) return;
    const { dataFree, calibrated } = last.divergence;
    onAnnounce(
      `${bitsText(last.scheme)} calibrated: divergence ${format.value(calibrated)}, rounded ${format.value(dataFree)}`,
    );
  }, [last, onAnnounce]);
}

interface ChooserProps {
  readonly onData: (data: DataRequest) => void;
  readonly demo?: () => Promise<DataRequest>;
  readonly isBusy: boolean;
}

/** Every browser has it, and no standard. */
const WHOLE_FOLDER: object = { webkitdirectory: true };

function Chooser({ onData, demo, isBusy }: ChooserProps) {
  const folder = useRef<HTMLInputElement>(null);
  const files = useRef<HTMLInputElement>(null);
  const [isFetching, setFetching] = useState(false);
  const [fault, setFault] = useState<Fault>();
  const take = (input: HTMLInputElement) => {
    const chosen = chosenFiles(input.files);
    // The same file again is a change, too.
    input.value = '';
    if (chosen.length > 0) onData({ files: chosen });
  };
  const takeDemo = async () => {
    setFetching(true);
    setFault(undefined);
    try {
      if (demo) onData(await demo());
    } catch (error) {
      setFault(faultOf(error));
    } finally {
      setFetching(false);
    }
  };
  return (
    <div class="buttons">
      <button type="button" disabled={isBusy} onClick={() => folder.current?.click()}>
        Choose a folder of images
      </button>
      <button type="button" disabled={isBusy} onClick={() => files.current?.click()}>
        Choose files
      </button>
      {demo && (
        <button type="button" disabled={isBusy || isFetching} onClick={takeDemo}>
          Take the demo's digits
        </button>
      )}
      <input
        ref={folder}
        type="file"
        hidden
        {...WHOLE_FOLDER}
        data-testid="data-folder"
        aria-label="Folder of images"
        onChange={({ currentTarget }) => take(currentTarget)}
      />
      <input
        ref={files}
        type="file"
        hidden
        multiple
        data-testid="data-files"
        aria-label="Files of samples"
        accept=".npz,.npy,.safetensors,.csv,.tsv,.gz,image/*"
        onChange={({ currentTarget }) => take(currentTarget)}
      />
      {fault && (
        <p class="failure message" role="alert">
          {fault.message}
        </p>
      )}
    </div>
  );
}

interface OptionsProps {
  readonly facts: DataFacts;
  readonly choice: Choice;
  readonly onRun: (request: CalibrationRequest) => void;
  readonly isRunning: boolean;
}

/** What was read, what is still to be settled, and the button that begins. */
function Options({ facts, choice, onRun, isRunning }: OptionsProps) {
  const [schemes, setSchemes] = useState<readonly SchemeName[]>(() => schemeChoices.map(({ name }) => name));
  // What is unclear is chosen by somebody, or nothing begins.
  const [readings, setReadings] = useState<readonly (number | undefined)[]>(() =>
    facts.inputs.map(({ unclear }) => (unclear ? undefined : 0)),
  );
  const [samples, setSamples] = useState(SAMPLES);
  const isSettled = readings.every((reading) => reading !== undefined) && schemes.length > 0;
  const toggle = (name: SchemeName) =>
    setSchemes((old) => (old.includes(name) ? old.filter((own) => own !== name) : [...old, name]));
  const shapes = facts.inputs.map(({ shape }) => format.shape(shape)).join(' and ');
  return (
    <form
      class="data"
      aria-label="How to calibrate"
      onSubmit={(event) => {
        event.preventDefault();
        if (!isSettled) return;
        const order = schemeChoices.flatMap(({ name }) => (schemes.includes(name) ? [name] : []));
        onRun({ choice, schemes: order, readings: readings.map((reading) => reading ?? 0), samples });
      }}
    >
      <p data-testid="data-facts">
        <strong>{facts.name}</strong>: {format.plural(facts.samples, 'sample')} of {shapes},{' '}
        {facts.answers === 'classes'
          ? `with labels: ${facts.note}`
          : facts.answers === 'numbers'
            ? 'with numbers to be predicted'
            : 'without labels'}
        .{facts.answers !== 'classes' && facts.note && ` They are no classes: ${facts.note}.`}
      </p>
      {facts.inputs.map((input, i) => (
        <InputReading
          key={input.name}
          input={input}
          isOnly={facts.inputs.length === 1}
          value={readings[i]}
          onChange={(value) => setReadings((old) => old.map((own, at) => (at === i ? value : own)))}
        />
      ))}
      <div class="data-options">
        <fieldset>
          <legend>Calibrate to</legend>
          <div class="checks">
            {schemeChoices.map(({ name }) => (
              <label key={name} class="field">
                <input
                  type="checkbox"
                  name="calibrate-scheme"
                  value={name}
                  checked={schemes.includes(name)}
                  onChange={() => toggle(name)}
                />
                {bitsText(name)}
              </label>
            ))}
          </div>
        </fieldset>
        <NumberField label="Samples at most" value={samples} min={16} max={1_000_000} onValue={setSamples} />
      </div>
      <div class="buttons">
        <button type="submit" class="primary" disabled={!isSettled || isRunning}>
          Calibrate
        </button>
      </div>
    </form>
  );
}

interface InputReadingProps {
  readonly input: DataInput;
  readonly isOnly: boolean;
  readonly value: number | undefined;
  readonly onChange: (value: number) => void;
}

/** What the values of an input become; where that is unclear, both readings. */
function InputReading({ input, isOnly, value, onChange }: InputReadingProps) {
  const { name, readings, why, unclear } = input;
  const what = isOnly ? 'The values' : name;
  if (unclear)
    return (
      <fieldset class="unclear">
        <legend>{what} can be read in two ways</legend>
        <p>
          In {name}, {unclear}. Which is right?
        </p>
        {readings.map(({ label }, i) => (
          <label key={label} class="field">
            <input type="radio" name={`reading-${name}`} checked={value === i} onChange={() => onChange(i)} />
            {label}
          </label>
        ))}
      </fieldset>
    );
  const [first] = readings;
  const because = why && value === 0 && <span class="small muted">since {why}</span>;
  return (
    <p class="reading">
      {readings.length > 1 ? (
        <label class="field">
          {isOnly ? 'Bytes become' : `Bytes of ${name} become`}
          <select value={value} onChange={({ currentTarget }) => onChange(Number(currentTarget.value))}>
            {readings.map(({ label }, i) => (
              <option key={label} value={i}>
                {label}
              </option>
            ))}
          </select>
        </label>
      ) : (
        <span>
          {what} {isOnly ? 'are' : 'is'} taken {first?.label}
        </span>
      )}{' '}
      {because}
    </p>
  );
}

interface RunningProps {
  readonly schemes: readonly SchemeName[];
  readonly progress: NonNullable<Calibrator['state']['running']>['progress'];
  readonly onCancel: () => void;
}

/** How far it is: layers, and the divergence by now. */
function Running({ schemes, progress, onCancel }: RunningProps) {
  const { scheme, done = 0, total = 1, layer = '', fall = [] } = progress ?? {};
  const now = fall.at(-1)?.divergence;
  const button = useRef<HTMLButtonElement>(null);
  // What began the work is out of use now.
  useLayoutEffect(() => button.current?.focus({ preventScroll: true }), []);
  const which = scheme && schemes.length > 1 ? `, ${schemes.indexOf(scheme) + 1} of ${schemes.length}` : '';
  return (
    <div class="running" aria-busy="true">
      <progress
        aria-label={scheme ? `Calibrating to ${bitsText(scheme)}` : 'Calibrating'}
        max={total}
        value={layer ? done : undefined}
      />
      <p class="small" data-testid="calibration-progress">
        {scheme ? (
          <>
            <strong>
              {bitsText(scheme)}
              {which}
            </strong>
            {layer ? `: layer ${done} of ${total}, ${layer}` : ': looking at the samples'}
            {now !== undefined && `; divergence so far ${format.value(now)}`}
          </>
        ) : (
          'Fetching TensorFlow.js from this page’s own server …'
        )}
      </p>
      <button type="button" ref={button} onClick={onCancel}>
        Cancel
      </button>
    </div>
  );
}
