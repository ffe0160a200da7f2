import type { LevelHistogram } from 'bitnibble/pipeline';
import { proxy } from 'comlink';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { type Client, startWorker } from './client.js';
import { type Choice, firstChoice } from './schemes.js';
import type { CalibratedModel, ModelFacts, PackedFacts, Progress, Rounded, Runs } from './worker/protocol.js';

export interface Fault {
  readonly message: string;
  /** Of a BitnibbleError: what kind of fault of the file it is. */
  readonly code?: string;
}

/** Counts weights and levels of a tensor of the model as it was rounded. */
export type HistogramOf = (id: string, block?: number) => Promise<LevelHistogram>;

/** Whether the runtime takes a network; asked once. */
export type RunsOf = () => Promise<Runs>;

export interface Result extends Rounded {
  /** What it was rounded by. */
  readonly choice: Choice;
  readonly histogramOf: HistogramOf;
  readonly runsOf: RunsOf;
}

export type State =
  | { readonly kind: 'empty' }
  | { readonly kind: 'opening'; readonly file: string; readonly progress: Progress }
  | { readonly kind: 'failed'; readonly file: string; readonly fault: Fault }
  | { readonly kind: 'packed'; readonly facts: PackedFacts; readonly client: Client }
  | {
      readonly kind: 'ready';
      readonly facts: ModelFacts;
      readonly file: File;
      readonly client: Client;
      readonly isDemo: boolean;
      /** Absent until it was rounded for the first time. */
      readonly result?: Result;
      /** While it is rounded. */
      readonly progress?: Progress;
      /** Why it could not be rounded. */
      readonly fault?: Fault;
    };

export interface Model {
  readonly state: State;
  readonly choice: Choice;
  open(file: File, isDemo?: boolean): void;
  fail(file: string, fault: Fault): void;
  choose(change: Partial<Choice>): void;
  /** Has a calibrated model answer from now on beside the rounded one of its scheme. */
  answerBy(model: CalibratedModel): Promise<void>;
}

export function faultOf(error: unknown): Fault {
  const { message, code } = error as { message?: string; code?: unknown };
  return { message: message || String(error), ...(typeof code === 'string' ? { code } : {}) };
}

/** Answers are kept: a table row that scrolls out and in again asks once. */
function remembered(client: Client): HistogramOf {
  const known = new Map<string, Promise<LevelHistogram>>();
  return (id, block) => {
    const key = `${block ?? ''}:${id}`;
    const found = known.get(key) ?? client.histogram(id, block);
    known.set(key, found);
    return found;
  };
}

/** The answer of the first call, for all of them. */
function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let known: Promise<T> | undefined;
  return () => {
    known ??= ask();
    return known;
  };
}

/** What the runtime says of the model that a worker holds; asked once. */
export const runsOf = (client: Client): RunsOf => once<Runs>(async () => client.runs());

/** What the runtime says, once it has answered. */
export function useRuns(runsOf: RunsOf): Runs | undefined {
  const [runs, setRuns] = useState<Runs>();
  useEffect(() => {
    let isOver = false;
    runsOf().then(
      (found) => !isOver && setRuns(found),
      (error) => !isOver && setRuns({ runs: false, ...faultOf(error) }),
    );
    return () => {
      isOver = true;
    };
  }, [runsOf]);
  return runs;
}

/** One model at a time, each in a worker of its own, so that a new file ends whatever is going on with the one before. */
export function useModel(): Model {
  const [state, setState] = useState<State>({ kind: 'empty' });
  const [choice, setChoice] = useState(firstChoice);
  const worker = useRef<ReturnType<typeof startWorker> | undefined>(undefined);
  const wanted = useRef(firstChoice);
  const isRounding = useRef(false);

  const round = useCallback(async (client: Client) => {
    const isCurrent = () => worker.current?.client === client;
    const update = (change: Partial<Extract<State, { kind: 'ready' }>>) =>
      isCurrent() && setState((old) => (old.kind === 'ready' ? { ...old, ...change } : old));
    if (isRounding.current) return;
    isRounding.current = true;
    // A choice that is made meanwhile is the next round; those between are left out.
    for (let done: Choice | undefined; isCurrent() && done !== wanted.current; ) {
      done = wanted.current;
      // Progress has a channel of its own: its last message may come after the result.
      let isDone = false;
      const onProgress = proxy((progress: Progress) => void (!isDone && update({ progress })));
      try {
        const rounded = await client.round(done, onProgress);
        isDone = true;
        const own = { choice: done, histogramOf: remembered(client), runsOf: runsOf(client) };
        update({ result: { ...rounded, ...own }, fault: undefined });
      } catch (error) {
        isDone = true;
        update({ result: undefined, fault: faultOf(error) });
      }
    }
    if (!isCurrent()) return;
    isRounding.current = false;
    update({ progress: undefined });
  }, []);

  const fail = useCallback((file: string, fault: Fault) => {
    worker.current?.stop();
    worker.current = undefined;
    setState({ kind: 'failed', file, fault });
  }, []);

  const open = useCallback(
    (file: File, isDemo = false) => {
      worker.current?.stop();
      isRounding.current = false;
      const started = startWorker((message) => started === worker.current && fail(file.name, { message }));
      worker.current = started;
      const { client } = started;
      const onProgress = proxy((progress: Progress) => {
        if (started === worker.current)
          setState((old) => (old.kind === 'opening' ? { ...old, progress } : old));
      });
      setState({ kind: 'opening', file: file.name, progress: { stage: 'opening', part: 0 } });
      client.open(file, onProgress).then(
        (facts) => {
          if (started !== worker.current) return;
          if (facts.kind === 'packed') return setState({ kind: 'packed', facts, client });
          setState({ kind: 'ready', facts, file, client, isDemo });
          round(client);
        },
        (error) => started === worker.current && fail(file.name, faultOf(error)),
      );
    },
    [fail, round],
  );

  const choose = useCallback(
    (change: Partial<Choice>) => {
      // Two changes may come before the first is drawn: the second builds upon it.
      wanted.current = { ...wanted.current, ...change };
      setChoice(wanted.current);
      if (worker.current) round(worker.current.client);
    },
    [round],
  );

  const answerBy = useCallback(async ({ scheme, packed, samples }: CalibratedModel) => {
    const client = worker.current?.client;
    if (!client) return;
    await client.answerBy(scheme, packed, samples);
    // What runs is asked about anew.
    const update = (old: State): State =>
      old.kind === 'ready' && old.client === client && old.result
        ? { ...old, result: { ...old.result, runsOf: runsOf(client) } }
        : old;
    setState(update);
  }, []);

  useEffect(() => () => worker.current?.stop(), []);
  return { state, choice, open, fail, choose, answerBy };
}
