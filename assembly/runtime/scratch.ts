// Memory that a kernel needs while it runs. Every instance has its own: instances that share a memory are given other places.

/** 512 bytes: sums of groups, a sum of U, taps. */
let scratch: usize = memory.data(512, 16);

/** Takes the 512 bytes at `at`, a multiple of 16, instead. */
export function useScratch(at: usize): void {
  scratch = at;
}

/** 128 bytes: sums in float32 of what has been scaled so far, four pixels of eight channels. */
// @ts-ignore: decorator
@inline
export function partials(): usize {
  return scratch;
}

/** 32 bytes: 32768 times the sum of U at position (1, 1), for the eight columns of the panel at hand. */
// @ts-ignore: decorator
@inline
export function correction(): usize {
  return scratch + 128;
}

/** 288 bytes: nine taps of one channel, then of the next. */
// @ts-ignore: decorator
@inline
export function taps(): usize {
  return scratch + 160;
}
