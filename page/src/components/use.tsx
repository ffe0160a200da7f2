import { useState } from 'preact/hooks';
import { type RunsOf, useRuns } from '../model.js';
import { snippetsFor } from '../snippets.js';

/** What to do with the packed file: code for this very file. */
export function Use({ name, runsOf }: { readonly name: string; readonly runsOf: RunsOf }) {
  const runs = useRuns(runsOf);
  const [chosen, setChosen] = useState(0);
  if (!runs) return null;
  const snippets = snippetsFor(name, runs);
  const { code, note } = snippets[chosen] ?? { code: '', note: '' };
  return (
    <section class="use" aria-labelledby="use-title">
      <h2 id="use-title">What to do with the file</h2>
      <fieldset>
        <legend>Code to {runs.runs ? 'run' : 'read'} it</legend>
        <div class="options">
          {snippets.map(({ title }, i) => (
            <label key={title}>
              <input
                type="radio"
                name="snippet"
                value={title}
                checked={i === chosen}
                onChange={() => setChosen(i)}
              />
              <span>{title}</span>
            </label>
          ))}
        </div>
      </fieldset>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: code that scrolls sideways is reached by keyboard */}
      <section class="code" tabIndex={0} aria-label={`Code: ${snippets[chosen]?.title}`}>
        <pre>
          <code data-testid="snippet">{code}</code>
        </pre>
      </section>
      <p class="small muted">{note}</p>
    </section>
  );
}
