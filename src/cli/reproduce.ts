import { createHash } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { WEIGHTS_MEMBER } from '../keras/archive.js';
import type { KerasModel } from '../keras/keras-model.js';
import type { Reproduction } from '../report/types.js';
import type { TensorFlow } from '../tfjs/types.js';
import { version } from './version.js';

/** Size and SHA-256 of a file. */
export async function fileOf(path: string): Promise<Reproduction['files'][number]> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path)) hash.update(piece as Uint8Array);
  return { name: path, bytes: statSync(path).size, sha256: hash.digest('hex') };
}

/** A word as a POSIX shell takes it. */
export const quoted = (word: string) =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** The command with its arguments as they can be typed again. */
export const commandLine = (args: readonly string[]): string => ['bitnibble', ...args].map(quoted).join(' ');

/** What was measured, as it is told. */
interface How extends Pick<Reproduction, 'backend' | 'preprocessing'> {
  /** The arguments of the command line. */
  readonly command: readonly string[];
}

/**
 * What it takes to measure a model again: its files, the command, versions and the machine.
 * @param tf undefined where it took no TensorFlow.js
 */
export async function reproductionOf(
  tf: TensorFlow | undefined,
  model: KerasModel,
  { backend, preprocessing, command }: How,
): Promise<Reproduction> {
  const { container, h5 } = model.files;
  const parts = {
    h5: [model.file],
    keras: [model.file],
    folder: ['config.json', 'metadata.json', WEIGHTS_MEMBER].map((name) => join(model.file, name)),
    shards: [model.file, ...h5.map(({ name }) => join(dirname(model.file), name))],
  };
  const files: Reproduction['files'][number][] = [];
  for (const path of parts[container].filter((own) => existsSync(own))) files.push(await fileOf(path));
  const versions = tf?.version as Readonly<Record<string, string>> | undefined;
  const { binding } = (tf?.backend() ?? {}) as { binding?: { TF_Version?: string } };
  const native = binding?.TF_Version;
  const processors = cpus();
  return {
    command: commandLine(command),
    date: new Date().toISOString(),
    ...{ files, preprocessing, backend },
    versions: {
      bitnibble: version,
      node: process.versions.node,
      ...(versions ? { tfjs: versions.tfjs ?? versions['tfjs-core'] ?? '?' } : {}),
      ...(native === undefined ? {} : { TensorFlow: native }),
    },
    machine: {
      cpu: processors[0]?.model.trim() ?? '?',
      cores: processors.length,
      platform: `${process.platform} ${process.arch}`,
      memoryBytes: totalmem(),
    },
  };
}
