// examples/cifar10/train.ts on a few images: it trains, goes on where it was stopped, and writes a file that opens.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { typescript } from '../../scripts/lib/project.js';
import { openKeras } from '../../src/node/models.js';
import { need, root, run, tempDir } from '../support/needs.js';

need(
  test,
  'shared',
  'tfjs-node',
)('trains, goes on after a stop, saves', async ({ shared }) => {
  const folder = tempDir();
  const out = path.join(folder, 'trained.h5');
  const state = `${out}.state`;
  const script = path.join(root, 'examples/cifar10/train.ts');
  const data = path.join(shared, 'cifar-10-batches-bin');
  const command = ['--import', typescript, script, '--data', data, '--out', out, '--limit', '64'];
  const train = (...args: string[]) => run(process.execPath, [...command, ...args], { timeout: 600_000 });

  // Killed once the first epoch is saved.
  const first = spawn(process.execPath, [...command, '--epochs', '2', '--batch', '32'], { stdio: 'ignore' });
  const ended = new Promise((resolve) => first.once('exit', resolve));
  while (!existsSync(state) && first.exitCode === null)
    await new Promise((resolve) => setTimeout(resolve, 20));
  first.kill('SIGKILL');
  await ended;
  assert.ok(existsSync(state), 'no state was saved');

  const other = await train('--epochs', '3', '--batch', '32');
  assert.is(other.status, 1);
  assert.match(other.stderr, 'trained.h5.state is of another run');

  const rest = await train('--epochs', '2', '--batch', '32');
  assert.is(rest.status, 0, rest.output);
  assert.match(rest.stdout, /^1071542 parameters; 64 images/m);
  assert.match(rest.stdout, /^going on after epoch 1/m);
  assert.not.match(rest.stdout, /^epoch 1:/m);
  assert.match(rest.stdout, /^epoch 2: loss \d/m);
  assert.match(rest.stdout, /^accuracy 0\.\d{4}, loss \d+\.\d{4} on 64 test images/m);
  assert.not(existsSync(state));
  const model = await openKeras(out);
  const fresh = model.read('conv2d_15/kernel');
  const template = await openKeras(path.join(root, 'examples/cifar10/cifar10.h5'));
  assert.is(model.parameters, 1_071_542);
  assert.not.equal([...fresh.slice(0, 9)], [...template.read('conv2d_15/kernel').slice(0, 9)]);
  model.close();
  template.close();
});

test.run();
