import { readdirSync, readFileSync } from 'node:fs';

/** Processes that a process started; Linux only. */
export function childrenOf(pid: number | 'self'): number[] {
  return readdirSync(`/proc/${pid}/task`)
    .flatMap((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim().split(' '))
    .filter((child) => child !== '')
    .map(Number);
}

/** Processes that this one started, by the name of their program; Linux only. */
export function children(program: string): number[] {
  return childrenOf('self').filter((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === program);
}

/** Milliseconds that all threads of a process have computed, to the microsecond; Linux only. */
export function cpuMilliseconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
  );
  return threads.reduce((sum, nanoseconds) => sum + nanoseconds, 0) / 1e6;
}

/** MiB of memory that a process has ever held at once; Linux only. */
export function peakMegabytes(pid: number): number {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}
