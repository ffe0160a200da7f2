import { proxy } from 'comlink';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import type { Client } from '../client.js';
import * as format from '../format.js';
import { type Fault, faultOf } from '../model.js';
import type { Answer, Network, Score } from '../worker/protocol.js';
import { Figure } from './figure.js';
import { Pad, type PadHandle } from './pad.js';

const TEST_DIGITS = 1000;

const best = (scores: readonly number[]) => scores.indexOf(Math.max(...scores));

/** Draw a digit; the demo's networks answer side by side. */
export function Digits({
  client,
  calibrations,
  onAnnounce,
}: {
  readonly client: Client;
  /** How many networks were calibrated: with each, one of those that answer is another one. */
  readonly calibrations: number;
  readonly onAnnounce: (text: string) => void;
}) {
  const pad = useRef<PadHandle>(null);
  const waiting = useRef<{ pixels: Uint8Array; isDone: boolean } | undefined>(undefined);
  const isAsking = useRef(false);
  const isEmpty = useRef(true);
  const [networks, setNetworks] = useState<readonly Network[]>();
  const [answers, setAnswers] = useState<readonly Answer[]>();
  const [scores, setScores] = useState<readonly Score[]>();
  const [source, setSource] = useState<string>();
  const [fault, setFault] = useState<Fault>();
  const drawn = useRef<Uint8Array | undefined>(undefined);

  /** The latest drawing is asked about; those that came while an answer was awaited are not. */
  const ask = useCallback(async () => {
    if (isAsking.current) return;
    isAsking.current = true;
    try {
      for (let next = waiting.current; next; next = waiting.current) {
        waiting.current = undefined;
        const found = await client.classify(next.pixels, next.isDone);
        // The pad was cleared meanwhile.
        if (isEmpty.current) continue;
        setAnswers((old) => found.map((answer, i) => ({ milliseconds: old?.[i]?.milliseconds, ...answer })));
        if (next.isDone) {
          const networks = await client.loadNetworks();
          onAnnounce(networks.map(({ title }, i) => `${title}: ${best(found[i]?.scores ?? [])}`).join(', '));
        }
      }
    } catch (error) {
      setFault(faultOf(error));
    } finally {
      isAsking.current = false;
    }
  }, [client, onAnnounce]);

  const onDrawing = (pixels: Uint8Array | undefined, isDone: boolean) => {
    isEmpty.current = pixels === undefined;
    drawn.current = pixels;
    if (pixels) {
      waiting.current = { pixels, isDone };
      ask();
    } else {
      waiting.current = undefined;
      setAnswers(undefined);
      setSource(undefined);
    }
  };

  const takeDigit = useCallback(async () => {
    const { pixels, label } = await client.testDigit(Math.floor(Math.random() * TEST_DIGITS));
    pad.current?.show(pixels);
    setSource(`A ${label} from the test set. Your first stroke takes its place.`);
  }, [client]);

  useEffect(() => {
    let isOver = false;
    const start = async () => {
      const found = await client.loadNetworks();
      if (isOver) return;
      setNetworks(found);
      await takeDigit();
      await client.score(proxy((now: readonly Score[]) => void (!isOver && setScores(now))));
    };
    start().catch((error) => !isOver && setFault(faultOf(error)));
    return () => {
      isOver = true;
    };
  }, [client, takeDigit]);

  useEffect(() => {
    if (calibrations === 0) return;
    let isOver = false;
    const again = async () => {
      setNetworks(await client.loadNetworks());
      if (drawn.current) {
        waiting.current = { pixels: drawn.current, isDone: true };
        await ask();
      }
      await client.score(proxy((now: readonly Score[]) => void (!isOver && setScores(now))));
    };
    again().catch((error) => !isOver && setFault(faultOf(error)));
    return () => {
      isOver = true;
    };
  }, [client, calibrations, ask]);

  const calibrated = networks?.filter(({ isCalibrated }) => isCalibrated).map(({ title }) => title) ?? [];
  return (
    <section class="digits" aria-labelledby="digits-title">
      <h2 id="digits-title">Draw a digit</h2>
      {fault && (
        <p class="failure message" role="alert">
          {fault.message}
        </p>
      )}
      <div class="digits-body">
        <div class="drawing">
          <Pad
            handle={pad}
            isEmpty={!answers && networks !== undefined}
            onChange={(pixels, isDone) => {
              if (!isDone) setSource(undefined);
              onDrawing(pixels, isDone);
            }}
          />
          <div class="buttons">
            <button type="button" onClick={() => pad.current?.clear()}>
              Clear
            </button>
            <button type="button" disabled={!networks} onClick={takeDigit}>
              Another test digit
            </button>
          </div>
          <p id="pad-help" class="small muted">
            {source ??
              'With a finger, a pen or a mouse. With the keyboard: arrow keys move, space lowers and lifts the pen, escape clears.'}
          </p>
        </div>
        <ul class="answers" aria-busy={!networks}>
          {networks ? (
            networks.map((network, i) => (
              <Column key={network.id} network={network} answer={answers?.[i]} score={scores?.[i]} />
            ))
          ) : (
            <li class="waiting muted">{fault ? '' : 'Loading the networks …'}</li>
          )}
        </ul>
      </div>
      <p class="small muted">
        All four run in this page from their packed files, by <code>bitnibble/runtime</code>: products of 4, 2
        and 1 bit are computed in integers, those of float32 in floats.{' '}
        {calibrated.length > 0
          ? `Calibrated in this page: ${calibrated.join(', ')}. None is trained again.`
          : 'None is calibrated or trained again.'}{' '}
        Drawings are scaled and centred as MNIST's digits were.
      </p>
    </section>
  );
}

interface ColumnProps {
  readonly network: Network;
  readonly answer?: Answer;
  readonly score?: Score;
}

function Column({ network: { id, title, note, bytes }, answer, score }: ColumnProps) {
  const draw = useCallback(
    (plots: typeof import('../plots.js'), width: number) =>
      plots.scoreBars(answer?.scores ?? new Array<number>(10).fill(0), title, width),
    [answer, title],
  );
  const digit = answer && best(answer.scores);
  return (
    <li class="answer" data-network={id}>
      <header>
        <h3>{title}</h3>
        <span class="muted">{format.bytes(bytes)}</span>
      </header>
      <p class="digit">
        <span class="visually-hidden">Answer: </span>
        <span class={digit === undefined ? 'value none' : 'value'}>{digit ?? '–'}</span>
        <span class="sure">
          {answer && digit !== undefined ? format.percent(answer.scores[digit] as number) : ''}
        </span>
      </p>
      <Figure draw={draw} height={96} />
      <p class="time">
        <strong>{answer?.milliseconds === undefined ? '–' : format.duration(answer.milliseconds)}</strong>{' '}
        <span class="muted">per image</span>
      </p>
      <p class="small muted">{note}</p>
      <p class="small score">
        {score ? (
          <>
            <strong>{format.count(score.right)}</strong> of {format.count(score.done)} test digits right
          </>
        ) : (
          'Test digits are waiting'
        )}
      </p>
    </li>
  );
}
