import { useEffect, useRef, useState } from 'preact/hooks';
import * as format from '../format.js';
import type { PackedFacts } from '../worker/protocol.js';
import { OpenButtons, type OpenProps } from './start.js';

/** Rows of the table at first. */
const PAGE = 100;

/** A packed file: what it is and what is in it. There is nothing left to round. */
export function Packed({ facts, ...ways }: OpenProps & { readonly facts: PackedFacts }) {
  const title = useRef<HTMLHeadingElement>(null);
  const [limit, setLimit] = useState(PAGE);
  useEffect(() => title.current?.focus(), [facts]);
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
            {format.plural(facts.packedParameters, 'weight')} of {facts.parameters.toLocaleString('en-US')} at{' '}
            {facts.bitsPerWeight.toFixed(2)} bits
            {facts.kerasVersion && `, Keras ${facts.kerasVersion}`}
            {`, a file of ${format.bytes(facts.bytes)}`}
          </p>
        </div>
        <OpenButtons {...ways} quiet />
      </section>
      <p>
        This is a file that bitnibble has written, with nothing left to round. To choose other bits, open the
        Keras file that it was made of. It runs as it is with TensorFlow.js, in Node.js and at the edge.
      </p>
      <section class="layers" aria-labelledby="layers-title">
        <h2 id="layers-title">What is in it</h2>
        <table>
          <thead>
            <tr>
              <th scope="col">Weight</th>
              <th scope="col">Shape</th>
              <th scope="col">Coding</th>
            </tr>
          </thead>
          <tbody>
            {tensors.slice(0, limit).map(({ id, shape, coding }) => (
              <tr key={id}>
                <th scope="row">
                  <code>{id}</code>
                </th>
                <td class="shape">{format.shape(shape)}</td>
                <td>{coding}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {tensors.length > limit && (
          <button type="button" class="more" onClick={() => setLimit(limit + PAGE)}>
            Show {Math.min(PAGE, tensors.length - limit)} of {tensors.length - limit} more
          </button>
        )}
      </section>
    </>
  );
}
