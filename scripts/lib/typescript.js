// @ts-check
// `node --import ./scripts/lib/typescript.js FILE.ts` runs it, as `--import tsx` does.
import module from 'node:module';

process.setSourceMapsEnabled(true);
const hooks = new URL('./typescript-hooks.js', import.meta.url).href;
/** From Node.js 22.15 on: hooks in the thread that imports. @type {((hooks: object) => void) | undefined} */
const registerHooks = Reflect.get(module, 'registerHooks');
if (registerHooks) registerHooks(await import(hooks));
else module.register(hooks);
