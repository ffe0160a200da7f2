import { useCallback, useEffect, useState } from 'preact/hooks';
import { BitnibbleError } from '../../src/errors.js';
import { type Fault, faultOf } from './model.js';

/** Bytes of a model that a link may name. */
const MOST_BYTES = 2 ** 30;

/** A model that the address of the page names, not fetched yet. */
export interface LinkOffer {
  readonly url: URL;
  readonly name: string;
  /** As its server says; absent where it does not. */
  readonly bytes?: number;
  /** Bytes that came so far, once it is fetched. */
  readonly done?: number;
}

/**
 * The model that `#model=URL` names.
 *
 * @returns undefined where there is none
 * @throws BitnibbleError `download` for anything but https, and http of this very machine
 */
export function linkedModel(hash: string): URL | undefined {
  const text = new URLSearchParams(hash.replace(/^#/, '')).get('model');
  if (text === null) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isLocal = url?.protocol === 'http:' && /^(127\.0\.0\.1|localhost)$/.test(url.hostname);
  if (!url || !(url.protocol === 'https:' || isLocal) || url.username || url.password)
    throw new BitnibbleError(
      'download',
      `#model expected the https address of a model, got ${text.slice(0, 200)}`,
    );
  return url;
}

/** The last part of its path. */
function nameOf({ pathname }: URL): string {
  const last = pathname.split('/').at(-1) ?? '';
  try {
    return decodeURIComponent(last) || 'model';
  } catch {
    return last;
  }
}

const OPTIONS: RequestInit = { credentials: 'omit', referrerPolicy: 'no-referrer', cache: 'no-store' };

function fault(name: string, what: string): BitnibbleError {
  return new BitnibbleError('download', `${name}: ${what}`);
}

async function ask(url: URL, method: 'HEAD' | 'GET'): Promise<Response> {
  const response = await fetch(url, { ...OPTIONS, method }).catch((cause) => {
    const why = 'its server must allow other origins to read it (CORS) and not send the page elsewhere';
    throw fault(nameOf(url), `cannot be fetched from ${url.host}: ${why} (${(cause as Error).message})`);
  });
  if (!response.ok) throw fault(nameOf(url), `${url.host} answers with status ${response.status}`);
  return response;
}

/** Bytes of the file, where the server says it and sends it as it is. */
function lengthOf({ headers }: Response): number | undefined {
  const length = headers.get('content-length');
  return length !== null && /^\d{1,15}$/.test(length) && !headers.get('content-encoding')
    ? Number(length)
    : undefined;
}

function requireSmall(name: string, bytes: number): void {
  if (bytes > MOST_BYTES)
    throw new BitnibbleError('too-large', `${name}: expected at most 1 GiB, the server has more`);
}

/** The whole file; a server that sends more than it said is stopped. */
async function download(offer: LinkOffer, onBytes: (done: number) => void): Promise<File> {
  const { url, name, bytes } = offer;
  const response = await ask(url, 'GET');
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let done = 0;
  const reader = response.body?.getReader();
  for (;;) {
    const { value, done: isOver } = (await reader?.read()) ?? { done: true, value: undefined };
    if (isOver || !value) break;
    done += value.length;
    parts.push(value);
    if (done > (bytes ?? MOST_BYTES)) {
      await reader?.cancel();
      requireSmall(name, done);
      throw fault(name, `${url.host} sends more than the ${bytes} bytes that it announced`);
    }
    onBytes(done);
  }
  if (bytes !== undefined && done !== bytes)
    throw fault(name, `${url.host} announced ${bytes} bytes and sent ${done}`);
  return new File(parts, name);
}

/** Asks for the size of a linked model; `accept` fetches and opens it. */
export function useLink(open: (file: File) => void, fail: (name: string, fault: Fault) => void) {
  const [offer, setOffer] = useState<LinkOffer>();
  useEffect(() => {
    // Another model may be on another server, which the policy of this page does not know: it starts again.
    const reload = () => location.reload();
    addEventListener('hashchange', reload);
    const look = async () => {
      const url = linkedModel(location.hash);
      if (!url) return;
      const name = nameOf(url);
      const bytes = lengthOf(await ask(url, 'HEAD'));
      requireSmall(name, bytes ?? 0);
      setOffer({ url, name, bytes });
    };
    look().catch((error) => fail('', faultOf(error)));
    return () => removeEventListener('hashchange', reload);
  }, [fail]);
  const accept = useCallback(async () => {
    if (!offer) return;
    try {
      let last = 0;
      const file = await download(offer, (done) => {
        if (performance.now() - last < 100) return;
        last = performance.now();
        setOffer({ ...offer, done });
      });
      setOffer(undefined);
      open(file);
    } catch (error) {
      setOffer(undefined);
      fail(offer.name, faultOf(error));
    }
  }, [offer, open, fail]);
  const decline = useCallback(() => setOffer(undefined), []);
  return { offer, accept, decline };
}
