// A thread of bitnibble/runtime in Node.js: what it has to do comes with it.
import { workerData } from 'node:worker_threads';
import { serve } from '../runtime/thread.js';

await serve(workerData);
