// Preloaded into a process (node --import): when it ends, writes what it took to the file in $BITNIBBLE_MEASURE.
import { readFileSync, writeFileSync } from 'node:fs';

/** Largest resident memory in bytes. On Linux `maxRSS` begins with that of the process which started this one. */
function peak() {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024;
  return Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}

process.on('exit', () => {
  const { userCPUTime, systemCPUTime } = process.resourceUsage();
  const took = { megabytes: peak() / 2 ** 20, seconds: (userCPUTime + systemCPUTime) / 1e6 };
  writeFileSync(process.env.BITNIBBLE_MEASURE, JSON.stringify(took));
});
