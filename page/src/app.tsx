import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { useCalibration } from './calibration.js';
import { Calibrate } from './components/calibrate.js';
import { Controls } from './components/controls.js';
import { Digits } from './components/digits.js';
import { Failure } from './components/failure.js';
import { Footer } from './components/footer.js';
import { Layers } from './components/layers.js';
import { Offer } from './components/offer.js';
import { Packed } from './components/packed.js';
import { Failed, OpenButtons, type OpenProps, Start } from './components/start.js';
import { packedName, Totals } from './components/totals.js';
import { isArrays, isSample, type Samples, Try } from './components/try.js';
import { Use } from './components/use.js';
import { demoData } from './demo.js';
import { droppedFiles, modelAmong } from './dropped.js';
import * as format from './format.js';
import { useLink } from './link.js';
import { type Fault, faultOf, type Model, type State, useModel } from './model.js';
import type { CalibratedModel, DataFile, DataRequest, Progress } from './worker/protocol.js';

const STAGES: Readonly<Record<Progress['stage'], string>> = {
  opening: 'Opening',
  rounding: 'Rounding',
  writing: 'Packing',
  reading: 'Reading',
};

/** Files and folders that are dragged over the page, wherever: whether some are there now. */
function useDrop(
  onFiles: (files: readonly DataFile[]) => void,
  onFailure: (name: string, fault: Fault) => void,
): boolean {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const hasFile = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
    const over = (event: DragEvent) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => event.relatedTarget === null && setOver(false);
    const drop = (event: DragEvent) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      setOver(false);
      if (event.dataTransfer)
        droppedFiles(event.dataTransfer).then(onFiles, (error) => onFailure('', faultOf(error)));
    };
    addEventListener('dragover', over);
    addEventListener('dragleave', leave);
    addEventListener('drop', drop);
    return () => {
      removeEventListener('dragover', over);
      removeEventListener('dragleave', leave);
      removeEventListener('drop', drop);
    };
  }, [onFiles, onFailure]);
  return isOver;
}

/** What a screen reader is told about the state. */
function announcement(state: State): string {
  if (state.kind === 'opening') return `Opening ${state.file}`;
  if (state.kind === 'packed') return `${state.facts.file} is packed already`;
  if (state.kind !== 'ready') return '';
  if (state.progress) return 'Rounding';
  if (!state.result) return '';
  const { report, packed } = state.result;
  return `Done: ${format.bytes(report.bytesBefore)} became ${format.bytes(packed.size)}`;
}

export function App() {
  const model = useModel();
  const { state, open, fail } = model;
  const link = useLink(open, fail);
  const [sample, setSample] = useState<File>();
  const [data, setData] = useState<DataRequest>();
  const { kind } = state;
  const take = useCallback(
    (files: readonly DataFile[]) => {
      const { model, data: others } = modelAmong(files);
      const [first, second] = others;
      const isOne = !model && first && !second && !first.path.includes('/');
      const isAnswered = isOne && isSample(first.file) && (kind === 'ready' || kind === 'packed');
      if (isAnswered) setSample(first.file);
      const isData = first && (!isOne || (kind === 'ready' && isArrays(first.file)));
      if (model || (isOne && !isAnswered && !isData)) {
        setSample(undefined);
        setData(isData ? { files: others } : undefined);
        open(model ?? (first as DataFile).file);
      } else if (isData && kind === 'ready') setData({ files: others });
      else if (isData && !isAnswered) {
        const [name = ''] = first.path.split('/');
        const message = `${name}: expected a Keras model first, or beside it: data is what it is calibrated with`;
        fail(name, { message });
      } else if (files.length === 0) fail('', { message: 'expected files, got an empty folder' });
    },
    [kind, open, fail],
  );
  const isOver = useDrop(take, fail);
  const samples = { sample, onSample: setSample };
  const [answer, setAnswer] = useState('');
  const [calibrated, setCalibrated] = useState('');
  const ways = {
    onFile(file: File, isDemo?: boolean) {
      setSample(undefined);
      setData(undefined);
      open(file, isDemo);
    },
    onFailure: fail,
  };
  return (
    <div class="page">
      <header class="top">
        <a class="wordmark" href="./" aria-label="bitnibble, start again">
          <svg viewBox="0 0 22 22" aria-hidden="true">
            <rect x="0" y="0" width="10" height="10" rx="2" class="on" />
            <rect x="12" y="0" width="10" height="10" rx="2" />
            <rect x="0" y="12" width="10" height="10" rx="2" />
            <rect x="12" y="12" width="10" height="10" rx="2" />
          </svg>
          bitnibble
        </a>
        <p class="local">
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="M4.5 7V5a3.5 3.5 0 0 1 7 0v2M3 7h10v7H3z" />
          </svg>
          runs on this machine alone
        </p>
      </header>
      <main>
        {state.kind === 'empty' && link.offer && <Offer {...link} offer={link.offer} />}
        {state.kind === 'empty' && <Start {...ways} />}
        {state.kind === 'opening' && <Busy title={`Opening ${state.file}`} progress={state.progress} />}
        {state.kind === 'failed' && <Failed {...ways} fault={state.fault} />}
        {state.kind === 'packed' && (
          <Packed {...ways} {...samples} facts={state.facts} client={state.client} />
        )}
        {state.kind === 'ready' && (
          <Opened
            {...ways}
            {...samples}
            model={model}
            state={state}
            data={data}
            onAnnounce={setAnswer}
            onProgress={setCalibrated}
          />
        )}
      </main>
      <Footer />
      <p class="visually-hidden" role="status">
        {announcement(state)}
      </p>
      <p class="visually-hidden" aria-live="polite">
        {answer}
      </p>
      <p class="visually-hidden" aria-live="polite" data-testid="calibration-said">
        {calibrated}
      </p>
      {isOver && (
        <div class="overlay" aria-hidden="true">
          <p>Drop it to open it</p>
        </div>
      )}
    </div>
  );
}

function Busy({ title, progress }: { readonly title: string; readonly progress: Progress }) {
  return (
    <section class="busy" aria-busy="true">
      <h1>{title}</h1>
      <Bar progress={progress} />
    </section>
  );
}

function Bar({ progress: { stage, part } }: { readonly progress: Progress }) {
  return (
    <div class="progress">
      <progress aria-label={STAGES[stage]} max={1} value={stage === 'opening' ? undefined : part} />
      <span class="small muted">
        {STAGES[stage]}
        {stage === 'opening' ? ' …' : ` ${Math.round(100 * part)} %`}
      </span>
    </div>
  );
}

interface OpenedProps extends OpenProps, Samples {
  readonly model: Model;
  readonly state: Extract<State, { kind: 'ready' }>;
  /** To calibrate with, dropped. */
  readonly data?: DataRequest;
  readonly onAnnounce: (text: string) => void;
  readonly onProgress: (text: string) => void;
}

function Opened({ model, state, data, onAnnounce, onProgress, ...ways }: OpenedProps) {
  const { choice, choose, answerBy } = model;
  const { facts, file, result, progress, fault, client, isDemo } = state;
  const [answering, setAnswering] = useState(0);
  const onModel = useCallback(
    async (calibrated: CalibratedModel) => {
      await answerBy(calibrated);
      setAnswering((count) => count + 1);
    },
    [answerBy],
  );
  const calibrator = useCalibration(file, onModel);
  const { take } = calibrator;
  useEffect(() => data && take(data), [data, take]);
  const title = useRef<HTMLHeadingElement>(null);
  // The button that was pressed is gone: a keyboard goes on from here.
  useLayoutEffect(() => title.current?.focus(), [client]);
  return (
    <>
      <section class="model" aria-labelledby="model-title">
        <div>
          <h1 id="model-title" ref={title} tabIndex={-1}>
            {facts.file}
          </h1>
          <p class="muted">
            {format.plural(facts.layers, 'layer')}, {format.plural(facts.parameters, 'weight')}
            {facts.kerasVersion && `, Keras ${facts.kerasVersion}`}
            {`, a file of ${format.bytes(facts.bytes)}`}
          </p>
        </div>
        <OpenButtons onFile={ways.onFile} onFailure={ways.onFailure} quiet />
      </section>
      <Controls choice={choice} foldable={facts.foldable} onChange={choose} />
      <div class="working">{progress && <Bar progress={progress} />}</div>
      {fault && <Failure title={<h2>It cannot be rounded</h2>} fault={fault} />}
      {result && (
        <div class="result" aria-busy={progress !== undefined}>
          <Totals
            result={result}
            facts={facts}
            calibrated={calibrator.state.models.find(({ scheme }) => scheme === result.choice.scheme)}
          />
          {isDemo && <Digits client={client} calibrations={answering} onAnnounce={onAnnounce} />}
          {result.report.quantizedParameters > 0 && (
            <Calibrate
              calibrator={calibrator}
              choice={choice}
              file={facts.file}
              demo={isDemo ? demoData : undefined}
              onAnnounce={onProgress}
            />
          )}
          {result.report.quantizedParameters > 0 && (
            <Use name={packedName(facts.file, result.choice.scheme)} runsOf={result.runsOf} />
          )}
          <Try {...ways} client={client} runsOf={result.runsOf} />
          <Layers result={result} />
        </div>
      )}
    </>
  );
}
