// The conformance suite in a module worker.
import { run } from './web.js';

postMessage(await run('module worker', new URLSearchParams(location.search).has('no-wasm')));
