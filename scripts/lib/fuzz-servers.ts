// Servers that lie, each on this machine for the length of a case.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { BitnibbleError } from '../../src/errors.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openRemotePacked, streamPacked } from '../../src/packed/index.js';
import { loadNetwork } from '../../src/runtime/index.js';
import { packedHandler } from '../../src/tfjs/handler.js';
import { mutateSeveral, randomFrom } from './fuzz-cases.js';
import { type FuzzKind, pick, type Random } from './fuzz-kind.js';
import { samplePacked } from './fuzz-packed.js';

const kernels = await loadKernels();
const file = samplePacked();
/** A caller's own patience: what is slow is for the caller to end. */
const PATIENCE = 700;
const bomb = gzipSync(new Uint8Array(2 ** 26));

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Sends chunks for ever, or until nobody listens. */
function drip(response: ServerResponse, first: Uint8Array, chunk: Uint8Array, wait: number): void {
  response.write(first);
  const timer = setInterval(() => {
    for (let n = 0; n < (wait === 0 ? 16 : 1); n++) response.write(chunk);
  }, wait);
  response.on('close', () => clearInterval(timer));
}

/** Parts of the file, with something wrong about them. */
function wrongRanges(random: Random): Answer {
  const way = random(12);
  let requests = 0;
  return (request, response) => {
    requests++;
    const [, first = 0, last = 0] =
      /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')?.map(Number) ?? [];
    const to = Math.min(file.length - 1, last) - (way === 0 ? 1 : 0);
    const size = way === 1 ? file.length + requests : way === 2 ? '*' : file.length;
    const range =
      way === 3
        ? `bytes ${first + 1}-${to + 1}/${size}`
        : way === 4
          ? 'pages 1-2'
          : `bytes ${first}-${to}/${size}`;
    const headers: Record<string, string> = {
      'content-range': range,
      etag: way === 5 ? `"${requests}"` : '"1"',
    };
    if (way === 6) delete headers.etag;
    if (way === 7) headers['content-encoding'] = 'x-none';
    if (way === 8) delete headers['content-range'];
    response.writeHead(way === 9 ? 200 : 206, headers);
    const part = file.subarray(way === 10 ? 0 : first, way === 11 ? file.length : to + 1);
    response.end(part);
  };
}

function answerOf(random: Random): Answer {
  const zeros = new Uint8Array(2 ** 16);
  const body = random(2) === 0 ? mutateSeveral(file, random) : file;
  switch (random(9)) {
    case 0:
      return (_, response) => drip(response, random(2) === 0 ? zeros : file, zeros, 0);
    case 1:
      return (_, response) =>
        drip(response, file.subarray(0, random(file.length)), zeros.subarray(0, 1), 100);
    case 2: {
      const to = pick(random, ['/', '/x', 'http://127.0.0.1:1/', 'file:///etc/hostname', '//', 'data:,x']);
      return (_, response) => response.writeHead(pick(random, [301, 302, 307, 308]), { location: to }).end();
    }
    case 3: {
      const packed = random(2) === 0 ? gzipSync(body) : body;
      const encoding = pick(random, ['gzip', 'br', 'deflate', 'x-none']);
      return (_, response) => response.writeHead(200, { 'content-encoding': encoding }).end(packed);
    }
    case 4: {
      // Fewer bytes than stated: the connection is closed.
      const length = file.length + random(1000);
      return (_, response) => {
        response.writeHead(200, { 'content-length': String(length) });
        response.write(body.subarray(0, random(body.length)));
        setTimeout(() => response.destroy(), 20);
      };
    }
    case 5:
      return (_, response) => response.writeHead(pick(random, [204, 400, 404, 416, 500])).end();
    case 6: {
      return (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb);
    }
    default:
      return wrongRanges(random);
  }
}

async function meet(url: string, client: number): Promise<void> {
  const signal = AbortSignal.timeout(PATIENCE);
  if (client === 0) {
    await packedHandler(url, { kernels, signal }).load?.();
  } else if (client === 1 || client === 4) {
    const response = await fetch(url, { signal }).catch((cause) => {
      throw new BitnibbleError('download', String(cause), { cause });
    });
    if (client === 4) await loadNetwork(response, { memoryLimit: 2 ** 26 });
    else for await (const _ of streamPacked(response, kernels));
  } else {
    const remote = await openRemotePacked(url, kernels, { signal, allowUnversioned: client === 2 });
    for (const { id } of remote.weights) await remote.read(id);
  }
}

export const servers: FuzzKind = {
  name: 'servers',
  cases: 600,
  async prepare(number, seed) {
    const random = randomFrom(`server ${seed} ${number}`);
    const server = createServer(answerOf(random));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/m.safetensors`;
    return async () => {
      try {
        await meet(url, random(5));
      } finally {
        server.close();
        server.closeAllConnections();
      }
    };
  },
};
