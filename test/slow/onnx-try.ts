import { writeFileSync } from 'node:fs';
import { loadKernels } from '../../src/kernels/index.js';
import { type Case, fixtureCases } from '../support/onnx.js';
import { names } from '../tfjs/support.js';

async function main() {
  const kernels = await loadKernels();
  const cases: Case[] = [];
  const wanted = process.argv.slice(2);
  for (const name of names) {
    if (wanted.length && !wanted.includes(name)) continue;
    try {
      cases.push(...(await fixtureCases(name, kernels, '/tmp/h15a-onnx')));
    } catch (error) {
      console.log(name, (error as Error).stack?.split('\n').slice(0, 4).join(' | '));
    }
  }
  writeFileSync('/tmp/h15a-onnx/cases.json', JSON.stringify(cases));
}
void main();
