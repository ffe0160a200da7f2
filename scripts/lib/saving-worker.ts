// Saves the same output over and over, one of two forms at a time, until it is killed:
// process.argv = FOLDER KIND SAVES CALLS, to kill itself before the CALLS-th call that changes a file after SAVES saves.
import path from 'node:path';
import { atCall } from './saving-faults.js';
import { saveAs } from './saving-models.js';

const [folder, kind, ...numbers] = process.argv.slice(2) as [string, string, ...string[]];
const [saves, calls] = numbers.map(Number);
const save = await saveAs(kind);
for (let n = 0; ; n++) {
  if (n === saves && calls) atCall(calls, () => process.kill(process.pid, 'SIGKILL'));
  await save(path.join(folder, 'out'), n % 2);
  process.stdout.write('saved\n');
  // Lets signals and the pipe have their turn.
  await new Promise((resolve) => setImmediate(resolve));
}
