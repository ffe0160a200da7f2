/** A thread in a Worker of a page: what it has to do comes with its first message. */
import { serve, type ThreadStart } from './thread.js';

addEventListener(
  'message',
  (event) => void serve((event as MessageEvent<ThreadStart>).data).then(() => close()),
  {
    once: true,
  },
);
