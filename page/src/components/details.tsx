import type { LevelHistogram, TensorReport } from 'bitnibble/pipeline';
import { useCallback, useEffect, useState } from 'preact/hooks';
import * as format from '../format.js';
import type { Result } from '../model.js';
import { Figure } from './figure.js';
import { NumberField } from './number.js';

interface DetailsProps {
  readonly tensor: TensorReport;
  readonly result: Result;
}

/** The large histogram of one tensor: all of it, or one block. */
export function Details({ tensor, result }: DetailsProps) {
  const { id, coding, maxError = 0, guess, parameters } = tensor;
  const { histogramOf } = result;
  const [block, setBlock] = useState<number>();
  const [histogram, setHistogram] = useState<LevelHistogram>();
  const blocks = histogram?.blocks ?? 1;
  const blockNoun = coding?.granularity === 'group' ? 'group' : 'channel';

  // Another rounding may have fewer blocks.
  useEffect(() => setBlock(undefined), [histogramOf]);
  useEffect(() => {
    let isOver = false;
    histogramOf(id, block).then(
      (found) => !isOver && setHistogram(found),
      // The figure below asks for the same and shows the fault.
      () => undefined,
    );
    return () => {
      isOver = true;
    };
  }, [histogramOf, id, block]);

  const draw = useCallback(
    async (plots: typeof import('../plots.js'), width: number) => {
      const found = await histogramOf(id, block);
      const label = found.unit === 'scale' ? `weight ÷ scale of its ${blockNoun}` : 'weight';
      return plots.largeHistogram(found, id, label, width);
    },
    [histogramOf, id, block, blockNoun],
  );

  return (
    <div class="details">
      <Figure draw={draw} height={220} />
      <div class="beside">
        <p class="legend" aria-hidden="true">
          <span>
            <span class="key key-bar" /> weights
          </span>
          <span>
            <span class="key key-level" /> levels they became
          </span>
        </p>
        {blocks > 1 && (
          <div class="blocks">
            <label>
              <input
                type="radio"
                name={`block-${id}`}
                checked={block === undefined}
                onChange={() => setBlock(undefined)}
              />
              all {format.plural(blocks, blockNoun)}
            </label>
            <label>
              <input
                type="radio"
                name={`block-${id}`}
                checked={block !== undefined}
                onChange={() => setBlock(0)}
              />
              one {blockNoun}
            </label>
            {block !== undefined && (
              <NumberField
                label={`which ${blockNoun}`}
                isBare
                value={block}
                min={0}
                max={blocks - 1}
                eager
                onValue={setBlock}
              />
            )}
          </div>
        )}
        <dl>
          <div>
            <dt>Weights</dt>
            <dd>{format.count(histogram?.weights ?? parameters)}</dd>
          </div>
          <div>
            <dt>Levels in use</dt>
            <dd>{histogram ? histogram.levels.length : '…'}</dd>
          </div>
          {histogram?.scale !== undefined && (
            <div>
              <dt>Scale</dt>
              <dd>{format.value(histogram.scale)}</dd>
            </div>
          )}
          {block === undefined && (
            <div>
              <dt>Largest error</dt>
              <dd>{format.value(maxError)}</dd>
            </div>
          )}
        </dl>
        {guess && (
          <p class="small muted">This layer's class is not known; the last axis is taken for its channels.</p>
        )}
      </div>
    </div>
  );
}
