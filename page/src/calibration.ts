import type { SchemeName } from 'bitnibble';
import { proxy } from 'comlink';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { startWorker } from './client.js';
import { type Fault, faultOf } from './model.js';
import type {
  CalibratedModel,
  CalibrationProgress,
  CalibrationRequest,
  DataFacts,
  DataRequest,
  Progress,
} from './worker/protocol.js';

export interface Calibrating {
  /** While data is read. */
  readonly reading?: Progress;
  /** Of the data that is open. */
  readonly facts?: DataFacts;
  /** While a model is calibrated: how far that is, once it is known; and the schemes that are asked for. */
  readonly running?: { readonly schemes: readonly SchemeName[]; readonly progress?: CalibrationProgress };
  readonly fault?: Fault;
  readonly isCancelled?: boolean;
  /** The last of each scheme. */
  readonly models: readonly CalibratedModel[];
}

export interface Calibrator {
  readonly state: Calibrating;
  take(data: DataRequest): void;
  run(request: CalibrationRequest): void;
  cancel(): void;
}

/**
 * Calibrates a model in a worker of its own, beside the one that rounds and answers. To cancel is to end that worker; the data is opened
 * anew when it is needed.
 *
 * @param onModel called with each model that is calibrated
 */
export function useCalibration(file: File, onModel: (model: CalibratedModel) => void): Calibrator {
  const [state, setState] = useState<Calibrating>({ models: [] });
  const worker = useRef<ReturnType<typeof startWorker> | undefined>(undefined);
  const data = useRef<DataRequest | undefined>(undefined);

  const stop = useCallback(() => {
    worker.current?.stop();
    worker.current = undefined;
  }, []);

  /** Starts a worker with the model and the data. */
  const open = useCallback(
    async (request: DataRequest) => {
      stop();
      const started = startWorker((message) => {
        if (started === worker.current)
          setState((old) => ({ models: old.models, fault: { message: `calibration ended: ${message}` } }));
      });
      worker.current = started;
      const isCurrent = () => started === worker.current;
      const onReading = proxy(
        (reading: Progress) =>
          void (isCurrent() && setState((old) => (old.reading ? { ...old, reading } : old))),
      );
      await started.client.open(
        file,
        proxy(() => undefined),
      );
      const facts = await started.client.openData(request, onReading);
      return { client: started.client, facts, isCurrent };
    },
    [file, stop],
  );

  const take = useCallback(
    (request: DataRequest) => {
      data.current = request;
      setState(({ models }) => ({ models, reading: { stage: 'reading', part: 0 } }));
      const isOwn = () => data.current === request;
      open(request).then(
        ({ facts }) => isOwn() && setState(({ models }) => ({ models, facts })),
        (error) => isOwn() && setState(({ models }) => ({ models, fault: faultOf(error) })),
      );
    },
    [open],
  );

  const run = useCallback(
    async (request: CalibrationRequest) => {
      const own = data.current;
      if (!own) return;
      const { schemes } = request;
      setState(({ models, facts }) => ({ models, facts, running: { schemes } }));
      let isCurrent = () => data.current === own;
      try {
        const ready = worker.current ? undefined : await open(own);
        const started = worker.current;
        const client = ready?.client ?? started?.client;
        if (!client) return;
        isCurrent = () => started === worker.current && data.current === own;
        await client.calibrate(
          request,
          proxy(
            (progress: CalibrationProgress) =>
              void (
                isCurrent() &&
                setState((old) => (old.running ? { ...old, running: { schemes, progress } } : old))
              ),
          ),
          proxy((model: CalibratedModel) => {
            if (!isCurrent()) return;
            setState((old) => ({
              ...old,
              models: [...old.models.filter(({ scheme }) => scheme !== model.scheme), model],
            }));
            onModel(model);
          }),
        );
        if (isCurrent()) setState(({ models, facts }) => ({ models, facts }));
      } catch (error) {
        if (isCurrent()) setState(({ models, facts }) => ({ models, facts, fault: faultOf(error) }));
      }
    },
    [open, onModel],
  );

  const cancel = useCallback(() => {
    stop();
    setState(({ models, facts }) => ({ models, facts, isCancelled: true }));
  }, [stop]);

  useEffect(() => stop, [stop]);
  return { state, take, run, cancel };
}
