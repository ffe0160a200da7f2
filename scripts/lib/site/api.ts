// The API pages, by typedoc; they are made again only where what they are made from is another.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { hashOf, root } from '../project.js';

/** What stands for the way from a page to the root of the site. */
export const SITE = 'site:';

/**
 * Makes the API pages in a folder, unless they are there already.
 * @throws Error where typedoc warns
 */
export async function buildApi(folder: string, links: Readonly<Record<string, string>>): Promise<boolean> {
  const stamp = `${folder}.stamp`;
  const inputs = [
    'src',
    'tsconfig.json',
    'tsconfig.build.json',
    'package-lock.json',
    'scripts/lib/site/api.ts',
  ];
  const state = JSON.stringify([hashOf(inputs), links]);
  if (existsSync(folder) && existsSync(stamp) && readFileSync(stamp, 'utf8') === state) return false;
  rmSync(folder, { recursive: true, force: true });
  const { Application, TSConfigReader } = await import('typedoc');
  const options = {
    ...{ tsconfig: path.join(root, 'tsconfig.build.json'), out: folder, navigationLinks: links },
    favicon: path.join(root, 'page/public/favicon.svg'),
    logLevel: 'Warn' as const,
  };
  const app = await Application.bootstrap(options, [new TSConfigReader()]);
  const project = await app.convert();
  if (!project) throw new Error('typedoc made nothing of src');
  app.validate(project);
  if (app.logger.hasErrors() || app.logger.hasWarnings())
    throw new Error('typedoc warns: see above; its settings are in tsconfig.build.json');
  await app.generateOutputs(project);
  mkdirSync(path.dirname(stamp), { recursive: true });
  writeFileSync(stamp, state);
  return true;
}
