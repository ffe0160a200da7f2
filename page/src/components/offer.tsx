import * as format from '../format.js';
import type { LinkOffer } from '../link.js';

interface OfferProps {
  readonly offer: LinkOffer;
  readonly accept: () => void;
  readonly decline: () => void;
}

/** A model that the address names: nothing is fetched before somebody agrees to its size. */
export function Offer({ offer: { url, name, bytes, done }, accept, decline }: OfferProps) {
  const size =
    bytes === undefined ? 'a size that its server does not say, at most 1 GiB' : format.bytes(bytes);
  return (
    <section class="offer" aria-labelledby="offer-title">
      <h2 id="offer-title">
        This link opens <code>{name}</code>
      </h2>
      <p>
        From <strong>{url.host}</strong>, {size}. It is read in this page like a file that you drop, and goes
        nowhere else.
      </p>
      {done === undefined ? (
        <div class="buttons">
          <button type="button" class="primary" onClick={accept}>
            Fetch and open it
          </button>
          <button type="button" onClick={decline}>
            No
          </button>
        </div>
      ) : (
        <div class="progress">
          <progress aria-label="Fetching" max={bytes ?? 1} value={bytes === undefined ? undefined : done} />
          <span class="small muted">{format.bytes(done)}</span>
        </div>
      )}
    </section>
  );
}
