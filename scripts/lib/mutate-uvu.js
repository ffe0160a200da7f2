// @ts-check
// What `uvu` is to test files under `npm run mutate`: tests are collected, to be run one by one and again and again.

/**
 * @typedef {(state: object) => unknown} Handler
 * @typedef {{ before: Handler[], after: Handler[], each: Handler[], afterEach: Handler[], state: object }} Hooks
 * @typedef {{ name: string, handler: Handler, hooks: Hooks }} Collected
 */

/** @type {Collected[]} */
export const collected = [];

export function suite(name = '', state = {}) {
  /** @type {Hooks} */
  const hooks = {
    before: [],
    after: [],
    each: [],
    afterEach: [],
    state: { ...state, __suite__: name, __test__: '' },
  };
  const test = (/** @type {string} */ title, /** @type {Handler} */ handler) => {
    collected.push({ name: title, handler, hooks });
  };
  /** @param {keyof Omit<Hooks, 'state'>} key */
  const into = (key) => (/** @type {Handler} */ handler) => {
    hooks[key].push(handler);
  };
  return Object.assign(test, {
    before: Object.assign(into('before'), { each: into('each') }),
    after: Object.assign(into('after'), { each: into('afterEach') }),
    only: test,
    skip: () => {},
    run: () => {},
  });
}

export const test = suite();
