// What every module of bitnibble tells its wrapper.

/** Version of the export lists: the wrapper refuses a module that answers another number. */
export function bitnibbleAbi(): i32 {
  return 2;
}

/** First byte that the module itself does not use: the wrapper's arena starts here. */
export function arenaBase(): usize {
  return __heap_base;
}
