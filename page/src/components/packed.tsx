import { useCallback, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Client } from '../client.js';
import * as format from '../format.js';
import { runsOf } from '../model.js';
import type { PackedFacts, PackedTensor } from '../worker/protocol.js';
import { Figure } from './figure.js';
import { OpenButtons, type OpenProps } from './start.js';
import { type Samples, Try } from './try.js';
import { Use } from './use.js';

/** Rows of the table at first. */
const PAGE = 100;

interface PackedProps extends OpenProps, Samples {
  readonly facts: PackedFacts;
  readonly client: Client;
}

/** A packed file: what is in it, whether it runs, and its answers. There is nothing left to round. */
export function Packed({ facts, client, sample, onSample, ...ways }: PackedProps) {
  const title = useRef<HTMLHeadingElement>(null);
  const [limit, setLimit] = useState(PAGE);
  useLayoutEffect(() => title.current?.focus(), [client]);
  const ask = useMemo(() => runsOf(client), [client]);
  const { tensors } = facts;
  return (
    <>
      <section class="model" aria-labelledby="model-title">
        <div>
          <h1 id="model-title" ref={title} tabIndex={-1}>
            {facts.file}
          </h1>
          <p class="muted">
            Already packed: {format.plural(facts.layers, 'layer')} with weights,{' '}
            {format.plural(facts.packedParameters, 'weight')} of {format.count(facts.parameters)} at{' '}
            {facts.bitsPerWeight.toFixed(2)} bits
            {facts.kerasVersion && `, Keras ${facts.kerasVersion}`}
            {`, a file of ${format.bytes(facts.bytes)}`}
          </p>
          <p class="small muted">
            There is nothing left to round: for other bits, open the Keras file that it was made of.
          </p>
        </div>
        <OpenButtons {...ways} quiet />
      </section>
      <div class="result">
        <Try client={client} runsOf={ask} sample={sample} onSample={onSample} />
        <Use name={facts.file} runsOf={ask} />
        <section class="layers" aria-labelledby="layers-title">
          <h2 id="layers-title">What is in it</h2>
          <table class="contents">
            <thead>
              <tr>
                <th scope="col">Weight</th>
                <th scope="col">Shape</th>
                <th scope="col" class="number">
                  Bytes
                </th>
                <th scope="col">Coding</th>
                <th scope="col">Levels in use</th>
              </tr>
            </thead>
            <tbody>
              {tensors.slice(0, limit).map((tensor) => (
                <Row key={tensor.id} tensor={tensor} client={client} />
              ))}
            </tbody>
          </table>
          {tensors.length > limit && (
            <button type="button" class="more" onClick={() => setLimit(limit + PAGE)}>
              Show {Math.min(PAGE, tensors.length - limit)} of {tensors.length - limit} more
            </button>
          )}
        </section>
      </div>
    </>
  );
}

function Row({ tensor, client }: { readonly tensor: PackedTensor; readonly client: Client }) {
  const { id, className, shape, bytes, coding, bits } = tensor;
  const draw = useCallback(
    async (plots: typeof import('../plots.js'), width: number) =>
      plots.levelBars((await client.levels(id)).levels, id, width, 40),
    [client, id],
  );
  return (
    <tr>
      <th scope="row">
        <code>{id}</code>
        <span class="class">{className}</span>
      </th>
      <td class="shape">{format.shape(shape)}</td>
      <td class="number">{format.bytes(bytes)}</td>
      <td>{coding}</td>
      <td class="levels">{bits !== undefined && <Figure draw={draw} height={40} lazy />}</td>
    </tr>
  );
}
