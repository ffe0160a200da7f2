import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
  '.safetensors': 'application/octet-stream',
};

/** What the first part of a path stands for. */
const POLICIES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  plain: {},
  isolated: {
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-embedder-policy': 'require-corp',
  },
  strict: {
    'content-security-policy':
      "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'",
  },
  'no-wasm': {
    'content-security-policy': "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'",
  },
};

export interface StaticServer {
  /** `http://127.0.0.1:PORT` */
  readonly origin: string;
  close(): void;
}

/**
 * Serves a folder on 127.0.0.1, with ETags and ranges (not under `?whole`), as `/FILE` and `/plain/FILE`, `/isolated/FILE` (cross-origin isolation),
 * `/strict/FILE` (a strict content security policy that allows WebAssembly) and `/no-wasm/FILE` (one that does not).
 * @param isKept files are read and hashed once, for benchmarks
 * @param policy of `/FILE`
 */
export async function serve(folder: string, isKept = false, policy = 'plain'): Promise<StaticServer> {
  const kept = isKept ? new Map<string, Served>() : undefined;
  const server = createServer((request, response) => {
    answer({ folder, kept, usual: policy }, request, response).catch((error) => response.destroy(error));
  });
  // A connection that the server ends after 5 idle seconds may be the one that a client has just chosen: its fetch then fails.
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

interface Served {
  readonly bytes: Buffer;
  readonly etag: string;
}

async function served(file: string, kept: Map<string, Served> | undefined): Promise<Served | undefined> {
  const before = kept?.get(file);
  if (before) return before;
  const bytes = await readFile(file).catch(() => undefined);
  if (!bytes) return undefined;
  const found = { bytes, etag: `"${createHash('sha256').update(bytes).digest('base64url')}"` };
  kept?.set(file, found);
  return found;
}

interface Site {
  readonly folder: string;
  readonly kept: Map<string, Served> | undefined;
  readonly usual: string;
}

async function answer(
  { folder, kept, usual }: Site,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost');
  const [, first = '', ...rest] = decodeURIComponent(pathname).split('/');
  const policy = first in POLICIES ? first : usual;
  const file = path.join(folder, ...(first in POLICIES ? [] : [first]), ...rest);
  const found = file.startsWith(folder) && (await served(file, kept));
  if (!found) return void response.writeHead(404).end();
  const { bytes, etag } = found;
  const headers = { ...POLICIES[policy], 'content-type': TYPES[path.extname(file)] ?? 'text/plain', etag };
  const range = searchParams.has('whole') ? null : /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  if (!range) return void response.writeHead(200, { ...headers, 'content-length': bytes.length }).end(bytes);
  const from = Number(range[1]);
  const to = Math.min(Number(range[2]), bytes.length - 1);
  const part = bytes.subarray(from, to + 1);
  const where = { 'content-range': `bytes ${from}-${to}/${bytes.length}`, 'content-length': part.length };
  response.writeHead(206, { ...headers, ...where }).end(part);
}
