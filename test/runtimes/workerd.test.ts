// The conformance suite in workerd, the runtime of Cloudflare Workers, by way of miniflare.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { need } from '../support/needs.js';
import type { Report } from './suite/conformance.js';
import { bundleHosts } from './support/bundle.js';
import { check } from './support/report.js';
import { serve } from './support/server.js';
import { startWorker } from './support/workerd.js';

const test = suite('conformance in workerd');

need(test, 'workerd')('workerd', async ({ workerd }) => {
  const folder = await bundleHosts(['workerd.ts'], ['bitnibble/*.wasm']);
  const server = await serve(folder);
  const modules = Object.fromEntries(
    ['kernels', 'reader', 'runtime'].map((name) => [`bitnibble/${name}.wasm`, `${name}.wasm`]),
  );
  const worker = await startWorker(workerd, folder, 'workerd.js', modules);
  try {
    const url = encodeURIComponent(`${server.origin}/plain/golden.safetensors`);
    const response = await worker.fetch(`http://worker/?url=${url}`);
    assert.is(response.status, 200, response.status === 200 ? '' : await response.text());
    const report = (await response.json()) as Report;
    const doors = [
      'module',
      'reader module',
      'reader of all kernels',
      'reference',
      'refusals',
      'runtime module',
    ];
    check(`workerd ${worker.version}`, report, doors);
    assert.is(report.passed.refusals, 3);
  } finally {
    await worker.stop();
    server.close();
  }
});

test.run();
