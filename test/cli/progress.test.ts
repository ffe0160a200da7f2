import { Writable } from 'node:stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { duration, type ProgressHost, progress } from '../../src/cli/progress.js';

/** A stream that is no terminal, with a clock that the test turns. */
function log(): ProgressHost & { time: number; readonly lines: string[] } {
  const lines: string[] = [];
  const stream = new Writable({
    write(chunk, _, done) {
      lines.push(String(chunk));
      done();
    },
  });
  const host = { stream, lines, time: 1000, now: () => host.time };
  return host;
}

test('without a terminal a long run writes a line every half minute, with what is left', () => {
  const host = log();
  const own = progress({}, 'evaluating', 'samples', host);
  for (let done = 0; done <= 10_000; done += 100) {
    own.update(done, 10_000);
    host.time += 1000;
  }
  own.stop();
  assert.equal(host.lines, [
    'evaluating: 30 %, 3,000 of 10,000 samples, about 70 s left\n',
    'evaluating: 60 %, 6,000 of 10,000 samples, about 40 s left\n',
    'evaluating: 90 %, 9,000 of 10,000 samples, about 10 s left\n',
  ]);
});

test('a short run writes nothing, and --quiet never writes', () => {
  const short = log();
  const bar = progress({}, 'evaluating', 'samples', short);
  for (let done = 0; done < 29; done++) {
    short.time += 1000;
    bar.update(done, 29);
  }
  bar.stop();
  assert.equal(short.lines, []);
  const quiet = log();
  const none = progress({ quiet: true }, 'evaluating', 'samples', quiet);
  quiet.time += 1e6;
  none.update(1, 2);
  assert.equal(quiet.lines, []);
});

test('times are rounded as people say them', () => {
  assert.equal([0.2, 89, 90, 300, 5399, 5400].map(duration), [
    '1 s',
    '89 s',
    '2 min',
    '5 min',
    '90 min',
    '1.5 h',
  ]);
});

test.run();
