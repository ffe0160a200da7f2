import { useRef, useState } from 'preact/hooks';
import demoUrl from '../../../examples/digits/digits.h5?url';
import { type Fault, faultOf } from '../model.js';
import { Failure } from './failure.js';

export interface OpenProps {
  readonly onFile: (file: File, isDemo?: boolean) => void;
  readonly onFailure: (file: string, fault: Fault) => void;
}

const DEMO = 'digits.h5';

/** The two ways in, besides dropping a file anywhere. */
export function OpenButtons({ onFile, onFailure, quiet = false }: OpenProps & { readonly quiet?: boolean }) {
  const input = useRef<HTMLInputElement>(null);
  const [isFetching, setFetching] = useState(false);
  const takeDemo = async () => {
    setFetching(true);
    try {
      const response = await fetch(new URL(demoUrl, import.meta.url));
      if (!response.ok) throw new Error(`${DEMO} cannot be loaded: HTTP status ${response.status}`);
      onFile(new File([await response.blob()], DEMO), true);
    } catch (error) {
      onFailure(DEMO, faultOf(error));
    } finally {
      setFetching(false);
    }
  };
  return (
    <div class="buttons">
      <button type="button" class={quiet ? '' : 'primary'} onClick={() => input.current?.click()}>
        {quiet ? 'Open another file' : 'Choose a file'}
      </button>
      <button type="button" onClick={takeDemo} disabled={isFetching}>
        Take the demo model
      </button>
      <input
        ref={input}
        type="file"
        hidden
        data-testid="model"
        aria-label="Keras model or packed file"
        accept=".h5,.hdf5,.keras,.safetensors"
        onChange={({ currentTarget }) => {
          const file = currentTarget.files?.[0];
          // The same file again is a change, too.
          currentTarget.value = '';
          if (file) onFile(file);
        }}
      />
    </div>
  );
}

/** What a visitor sees first. */
export function Start(props: OpenProps) {
  return (
    <div class="start">
      <section class="hero">
        <h1>
          One bit or one <span class="nowrap">nibble per weight</span>
        </h1>
        <p class="lead">
          Drop a trained Keras model here. See, layer by layer, what rounding its weights to a few bits costs,
          and take the packed file with you.
        </p>
      </section>
      <section class="drop" aria-label="Open a model">
        <p class="drop-title">
          Drop a <code>.h5</code> or <code>.keras</code> file
        </p>
        <p class="muted">
          or a packed <code>.safetensors</code> anywhere on this page
        </p>
        <OpenButtons {...props} />
        <p class="muted small">The demo is a network for handwritten digits, 331 kB. You can draw for it.</p>
      </section>
      <ul class="facts">
        <li>
          <h2>Nothing leaves this machine</h2>
          <p>
            There is no server. The page may load its own files, and a model that a link to it names, and
            connect to nothing else; your browser enforces it.
          </p>
        </li>
        <li>
          <h2>Every layer, measured</h2>
          <p>
            Bytes before and after, the error in dB, and the weights with the levels that they were rounded
            to.
          </p>
        </li>
        <li>
          <h2>A file that runs</h2>
          <p>
            Packed <code>.safetensors</code>, run from its integers in pages, Node.js and edge runtimes, or by
            TensorFlow.js.
          </p>
        </li>
      </ul>
    </div>
  );
}

/** A file that could not be read: the library says why. */
export function Failed({ fault, ...props }: OpenProps & { readonly fault: Fault }) {
  return (
    <>
      <Failure title={<h1>This file cannot be read</h1>} fault={fault} />
      <section class="drop" aria-label="Open a model">
        <p class="drop-title">Try another one</p>
        <p class="muted">
          Whole models or weights alone, as Keras saves them: <code>.h5</code>, <code>.keras</code>,{' '}
          <code>.weights.h5</code>
        </p>
        <OpenButtons {...props} />
      </section>
    </>
  );
}
