// @ts-check
// `node --import ./scripts/lib/mutate-loader.js`: TypeScript as in tests, but files with mutants from $BITNIBBLE_MUTANTS, and a
// `uvu` that only collects the tests.
import module from 'node:module';

process.setSourceMapsEnabled(true);
const hooks = new URL('./mutate-hooks.js', import.meta.url).href;
/** @type {((hooks: object) => void) | undefined} */
const registerHooks = Reflect.get(module, 'registerHooks');
if (registerHooks) registerHooks(await import(hooks));
else module.register(hooks);
