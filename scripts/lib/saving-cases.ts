// Saves that are killed, run out of space, or go on at one time: what is there afterwards is the old output or the new one, whole.
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { typescript } from './project.js';
import { atCall } from './saving-faults.js';
import { formOf, KINDS, saveAs } from './saving-models.js';

export interface SavingOptions {
  /** Processes that are killed, over all kinds of outputs; from 100 on, every call of a save fails once, else every third. */
  readonly rounds: number;
  /** No more processes are killed then. Default: never. */
  readonly seconds?: number;
  readonly seed?: number;
}

/** How often what was tried. */
export interface SavingCounts {
  /** Saves of which one call to the file system failed. */
  faults: number;
  /** Processes killed while they saved. */
  killed: number;
  /** Of these, how many left a temporary file, which the next save removed. */
  leftovers: number;
  /** Saves refused for want of space, and those that succeeded. */
  full: number;
  fitted: number;
  /** Saves of one output at one time, in one process and in several. */
  together: number;
  processes: number;
  /** The case that took the processor longest in this process. */
  slowest: { name: string; milliseconds: number };
  /** What was left out, and why. */
  skipped: string[];
  failures: string[];
}

/** Numbers below 1, the same for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A process that saves until it is killed, or kills itself. */
function start(folder: string, kind: string, ...more: readonly number[]): ChildProcess {
  return fork(
    fileURLToPath(new URL('./saving-worker.ts', import.meta.url)),
    [folder, kind, ...more.map(String)],
    {
      execArgv: ['--import', typescript],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    },
  );
}

/** Resolves once a process has printed a word that often; rejects with what it says where it ends before. */
function printed(child: ChildProcess, word: string, times = 1): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    let faults = '';
    child.stderr?.on('data', (piece) => {
      faults += piece;
    });
    child.on('exit', (code, signal) =>
      reject(new Error(`ended with ${signal ?? code}: ${faults.slice(-1000)}`)),
    );
    child.stdout?.on('data', (piece) => {
      text += piece;
      if (text.split(word).length > times) resolve();
    });
  });
}

const ended = (child: ChildProcess) =>
  new Promise<void>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.on('exit', () => resolve());
  });

const drafts = (folder: string) => readdirSync(folder).filter((name) => name.startsWith('.'));

/** What is in a folder that no output has: drafts, parts that no index names. A door of Keras stands among the shards. */
function straysIn(folder: string, kind: string): string[] {
  const names = new Set([`out${kind}`, 'out_00000.weights.h5']);
  if (kind.endsWith('.json')) {
    const text = readFileSync(path.join(folder, `out${kind}`), 'utf8');
    for (const name of readdirSync(folder)) if (text.includes(`"${name}"`)) names.add(name);
  }
  return readdirSync(folder).filter((name) => !names.has(name));
}

/** @param calls that the process makes before it is killed in its first save, or in its second over the first */
async function killOne(
  folder: string,
  kind: string,
  isFirst: boolean,
  calls: number,
  counts: SavingCounts,
): Promise<void> {
  const stem = path.join(folder, 'out');
  const child = start(folder, kind, isFirst ? 0 : 1, calls);
  let faults = '';
  child.stderr?.on('data', (piece) => {
    faults += piece;
  });
  child.stdout?.resume();
  const timer = setTimeout(() => child.kill('SIGTERM'), 600_000);
  await ended(child);
  clearTimeout(timer);
  if (child.signalCode !== 'SIGKILL')
    throw new Error(`ended with ${child.signalCode ?? child.exitCode}: ${faults}`);
  counts.killed++;
  if (!isFirst || existsSync(stem + kind)) await formOf(stem, kind);
  if (drafts(folder).length > 0) counts.leftovers++;
  // The next save finds its way whatever the killed one left.
  const save = await saveAs(kind);
  await save(stem, 1);
  if ((await formOf(stem, kind)) !== 1) throw new Error('the next save is not there');
  if (drafts(folder).length > 0) throw new Error(`left behind: ${drafts(folder)}`);
}

/** Saves to a file system of little room. */
async function fill(scratch: string, kind: string, counts: SavingCounts): Promise<void> {
  const mount = path.join(scratch, `disk${kind}`);
  const [whole, stem] = [path.join(scratch, `whole${kind}`), path.join(mount, 'out')];
  mkdirSync(whole);
  const save = await saveAs(kind);
  await save(path.join(whole, 'out'), 0);
  const bytes = readdirSync(whole).reduce((sum, name) => sum + statSync(path.join(whole, name)).size, 0);
  mkdirSync(mount);
  // Room for one output, and for a part of a second one beside it.
  for (const share of [0.3, 1.2, 1.6]) {
    const size = Math.ceil((bytes * share) / 4096 + 2) * 4096;
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', mount]);
    try {
      let isThere = false;
      for (const form of [0, 1, 0]) {
        let fault: (Error & { code?: string }) | undefined;
        await save(stem, form).catch((error: Error) => {
          fault = error;
        });
        if (fault) {
          if (fault.code !== 'not-writable' || !/no space is left/.test(fault.message)) throw fault;
          counts.full++;
        } else {
          counts.fitted++;
          isThere = true;
        }
        if (!isThere && readdirSync(mount).length > 0) throw new Error(`left behind: ${readdirSync(mount)}`);
        if (!isThere) continue;
        const found = await formOf(stem, kind);
        if (!fault && found !== form) throw new Error('the new output is not there');
        const strays = straysIn(mount, kind);
        if (strays.length > 0) throw new Error(`left behind: ${strays}`);
      }
    } finally {
      execFileSync('umount', [mount]);
    }
  }
}

/** Saves of which one call fails, each in its turn: with an error the old output is whole, without one the new. */
async function failEach(folder: string, kind: string, stride: number, counts: SavingCounts): Promise<void> {
  const save = await saveAs(kind);
  for (let n = 1, hasCome = true; hasCome; n += stride) {
    const place = path.join(folder, String(n));
    const stem = path.join(place, 'out');
    mkdirSync(place);
    await save(stem, 0);
    let fault: unknown;
    let failed = '';
    const undo = atCall(n, (name) => {
      failed = name;
      throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO', syscall: name });
    });
    try {
      await save(stem, 1).catch((error: unknown) => {
        fault = error;
      });
    } finally {
      hasCome = undo();
    }
    const about = `call ${n}, ${failed}`;
    if (fault !== undefined && (fault as { code?: string }).code !== 'not-writable' && failed !== 'openSync')
      throw new Error(`${about}: ${fault}`);
    const found = await formOf(stem, kind);
    if (fault === undefined && found !== 1) throw new Error(`${about}: no error, and the old output`);
    if (hasCome) counts.faults++;
    const left = drafts(place);
    if (left.length > 0) throw new Error(`${about}: left behind: ${left}`);
  }
}

async function together(folder: string, kind: string, counts: SavingCounts): Promise<void> {
  const stem = path.join(folder, 'out');
  const save = await saveAs(kind);
  const times = 6;
  await Promise.all(Array.from({ length: times }, (_, i) => save(stem, i % 2)));
  counts.together += times;
  await formOf(stem, kind);
  const strays = straysIn(folder, kind);
  if (strays.length > 0) throw new Error(`left behind: ${strays}`);
}

/** Two processes that save at once, while this one reads. */
async function sideBySide(folder: string, kind: string, counts: SavingCounts): Promise<void> {
  const children = [start(folder, kind), start(folder, kind)];
  try {
    await Promise.all(children.map((child) => printed(child, 'saved', 5)));
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(children.map(ended));
  }
  counts.processes += children.length;
  await formOf(path.join(folder, 'out'), kind);
}

/**
 * Tries to lose an output.
 * @returns counts, and failures: none where all is well
 */
export async function runSavingCases(options: SavingOptions): Promise<SavingCounts> {
  const { rounds, seconds = Number.POSITIVE_INFINITY, seed = 1 } = options;
  const random = randomFrom(seed);
  const counts: SavingCounts = {
    ...{ faults: 0, killed: 0, leftovers: 0, full: 0, fitted: 0, together: 0, processes: 0 },
    ...{ slowest: { name: 'none', milliseconds: 0 }, skipped: [], failures: [] },
  };
  const scratch = mkdtempSync(path.join(tmpdir(), 'bitnibble-saving-'));
  const stride = rounds < 100 ? 3 : 1;
  const attempt = async (name: string, work: (folder: string) => Promise<void>) => {
    const folder = mkdtempSync(path.join(scratch, 'case-'));
    const before = process.cpuUsage();
    try {
      await work(folder);
    } catch (error) {
      counts.failures.push(`${name}: ${(error as Error).message}`);
    }
    const { user, system } = process.cpuUsage(before);
    const milliseconds = (user + system) / 1000;
    if (milliseconds > counts.slowest.milliseconds) counts.slowest = { name, milliseconds };
  };
  try {
    const canMount = process.platform === 'linux' && process.getuid?.() === 0 && mounts(scratch);
    if (!canMount) counts.skipped.push('a full disk: mounting a small tmpfs takes root on Linux');
    for (const kind of KINDS) {
      await attempt(`together ${kind}`, (folder) => together(folder, kind, counts));
      await attempt(`failing calls ${kind}`, (folder) => failEach(folder, kind, stride, counts));
      if (canMount) await attempt(`full disk ${kind}`, (folder) => fill(folder, kind, counts));
    }
    const started = performance.now();
    const isLate = () => performance.now() - started > seconds * 1000;
    // On a machine however busy, every kind of output has its turn.
    for (let round = 0; round < rounds && (round < KINDS.length || !isLate()); round++) {
      const kind = KINDS[round % KINDS.length] as string;
      const calls = 1 + Math.floor(random() * 40);
      const isFirst = round % 3 === 2;
      await attempt(
        `killed ${kind} before call ${calls} of the ${isFirst ? 'first' : 'second'} save`,
        (folder) => killOne(folder, kind, isFirst, calls, counts),
      );
      if (round % 4 > 0) continue;
      await attempt(`side by side ${kind}`, (folder) => sideBySide(folder, kind, counts));
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return counts;
}

/** Whether a file system can be mounted here: containers often forbid it. */
function mounts(scratch: string): boolean {
  const folder = path.join(scratch, 'mount');
  mkdirSync(folder);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8192', 'tmpfs', folder], { stdio: 'ignore' });
    execFileSync('umount', [folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
