import type { ComponentChild } from 'preact';
import type { Fault } from '../model.js';

/** What went wrong, in the library's own words. */
export function Failure({ title, fault }: { readonly title: ComponentChild; readonly fault: Fault }) {
  return (
    <section class="failure" role="alert">
      {title}
      <p class="message">{fault.message}</p>
      {fault.code && (
        <p class="small muted">
          <code>{fault.code}</code>
        </p>
      )}
    </section>
  );
}
