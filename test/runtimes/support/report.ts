import * as assert from 'uvu/assert';
import type { Report } from '../suite/conformance.js';

/**
 * Prints what a runtime ran, and fails unless every door ran its tests and all passed.
 * @param runtime with its version
 * @param doors that must have run: those that read only, and those that also quantize
 */
export function check(runtime: string, report: Report, doors: readonly string[]): void {
  assert.equal(report.failures, []);
  const { passed } = report;
  const missing = doors.filter((door) => !passed[door]);
  assert.equal(missing, [], `${runtime}: doors that ran nothing`);
  // The reference runs everywhere and knows all tests, the readers those of reading.
  const [all, least, networks] = [passed.reference ?? 0, 15, 18];
  assert.ok(all > 130, `${runtime}: ${all} tests of the reference`);
  for (const door of doors) {
    if (door === 'refusals') continue;
    if (door.startsWith('runtime')) {
      assert.is(passed[door], networks, door);
      continue;
    }
    const isReader = door.startsWith('reader');
    assert.ok(isReader ? (passed[door] ?? 0) >= least : passed[door] === all, `${door}: ${passed[door]}`);
  }
  const total = Object.values(passed).reduce((sum, count) => sum + count, 0);
  const list = Object.entries(passed).map(([door, count]) => `${door} ${count}`);
  process.stdout.write(`\nRAN: ${total} tests in ${runtime} (${list.join(', ')})\n`);
}
