// biome-ignore-all lint/a11y/noRedundantRoles: on phones rows are grids, and browsers then drop the roles of a table
import type { TensorReport } from 'bitnibble/pipeline';
import { useCallback, useState } from 'preact/hooks';
import * as format from '../format.js';
import type { Result } from '../model.js';
import { Details } from './details.js';
import { Figure } from './figure.js';

/** Rows of the table at first; a model of thousands of tensors would be slow to lay out. */
const PAGE = 100;

/** Every tensor of the model: rounded ones with what it cost, kept ones with why. */
export function Layers({ result }: { readonly result: Result }) {
  const { tensors } = result.report;
  const rounded = tensors.filter(({ result: what }) => what !== 'kept');
  const kept = tensors.filter(({ result: what }) => what === 'kept');
  const [open, setOpen] = useState(() => {
    const most = Math.max(...rounded.map(({ parameters }) => parameters));
    return rounded.find(({ parameters }) => parameters === most)?.id;
  });
  const [limit, setLimit] = useState(PAGE);
  return (
    <section class="layers" aria-labelledby="layers-title">
      <h2 id="layers-title">Layer by layer</h2>
      {rounded.length === 0 ? (
        <p class="empty">
          No tensor of this file is a kernel of floating-point numbers: there is nothing to round.
        </p>
      ) : (
        <table role="table">
          <caption class="visually-hidden">
            Rounded tensors. The error is the ratio of signal to noise: higher is closer.
          </caption>
          <thead role="rowgroup">
            <tr role="row">
              <th role="columnheader" scope="col">
                Layer
              </th>
              <th role="columnheader" scope="col">
                Shape
              </th>
              <th role="columnheader" scope="col">
                Bytes
              </th>
              <th role="columnheader" scope="col" class="number">
                Error <span class="note">SNR</span>
              </th>
              <th role="columnheader" scope="col">
                Weights and their levels
              </th>
            </tr>
          </thead>
          <tbody role="rowgroup">
            {rounded.slice(0, limit).map((tensor) => (
              <Row
                key={tensor.id}
                tensor={tensor}
                result={result}
                isOpen={open === tensor.id}
                onToggle={() => setOpen(open === tensor.id ? undefined : tensor.id)}
              />
            ))}
          </tbody>
        </table>
      )}
      {rounded.length > limit && (
        <button type="button" class="more" onClick={() => setLimit(limit + PAGE)}>
          Show {Math.min(PAGE, rounded.length - limit)} of {rounded.length - limit} more
        </button>
      )}
      {kept.length > 0 && <Kept tensors={kept} />}
    </section>
  );
}

interface RowProps {
  readonly tensor: TensorReport;
  readonly result: Result;
  readonly isOpen: boolean;
  readonly onToggle: () => void;
}

function Row({ tensor, result, isOpen, onToggle }: RowProps) {
  const { id, layer, className, shape, bytesBefore, bytesAfter, snrDb = Number.NaN } = tensor;
  const name = id.slice(layer.length + 1);
  const detailId = `detail-${id}`;
  const { histogramOf } = result;
  const draw = useCallback(
    async (plots: typeof import('../plots.js'), width: number) =>
      plots.smallHistogram(await histogramOf(id), id, width, 40),
    [histogramOf, id],
  );
  return (
    <>
      <tr role="row" class={isOpen ? 'open' : ''}>
        <th role="rowheader" scope="row">
          <button
            type="button"
            class="toggle"
            aria-expanded={isOpen}
            aria-controls={isOpen ? detailId : undefined}
            onClick={onToggle}
          >
            <svg viewBox="0 0 10 10" aria-hidden="true" class="chevron">
              <path d="M3 1.5 7 5 3 8.5" />
            </svg>
            <span class="layer">
              {layer}
              {name !== 'kernel' && <span class="part">/{name}</span>}
            </span>
          </button>
          <span class="class">{className}</span>
        </th>
        <td role="cell" data-label="Shape" class="shape">
          {format.shape(shape)}
        </td>
        <td role="cell" data-label="Bytes" class="bytes">
          <span>
            {format.bytes(bytesBefore)} <span class="muted">→</span>{' '}
            <strong>{format.bytes(bytesAfter)}</strong>
          </span>
          <span class="bar" aria-hidden="true">
            <span style={{ width: `${(100 * bytesAfter) / bytesBefore}%` }} />
          </span>
        </td>
        <td role="cell" data-label="Error" class="number error">
          {format.decibels(snrDb)}
        </td>
        <td role="cell" class="histogram">
          <Figure draw={draw} height={40} lazy />
        </td>
      </tr>
      {isOpen && (
        <tr role="row" class="detail">
          <td role="cell" colSpan={5} id={detailId}>
            <Details key={id} tensor={tensor} result={result} />
          </td>
        </tr>
      )}
    </>
  );
}

function Kept({ tensors }: { readonly tensors: readonly TensorReport[] }) {
  const size = tensors.reduce((sum, { bytesAfter }) => sum + bytesAfter, 0);
  return (
    <details class="kept">
      <summary>
        {format.plural(tensors.length, 'tensor')} kept as {tensors.length === 1 ? 'it is' : 'they are'},{' '}
        {format.bytes(size)}
      </summary>
      <table>
        <thead>
          <tr>
            <th scope="col">Tensor</th>
            <th scope="col">Shape</th>
            <th scope="col">Type</th>
            <th scope="col">Why</th>
          </tr>
        </thead>
        <tbody>
          {tensors.map(({ id, shape, dtype, reason }) => (
            <tr key={id}>
              <th scope="row">
                <code>{id}</code>
              </th>
              <td class="shape">{format.shape(shape)}</td>
              <td>{dtype}</td>
              <td>{reason}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
