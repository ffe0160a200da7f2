// The conformance suite in a page, and in a module worker that the page starts; page.html?worker&no-wasm.
import type { Report } from '../suite/conformance.js';
import { run } from './web.js';

const query = new URLSearchParams(location.search);

function inWorker(): Promise<Report> {
  const worker = new Worker(new URL(`worker.js${location.search}`, import.meta.url), { type: 'module' });
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data as Report);
    worker.onerror = ({ message }) => reject(new Error(`worker: ${message}`));
  });
}

Object.assign(globalThis, {
  report: query.has('worker') ? inWorker() : run('page', query.has('no-wasm')),
});
