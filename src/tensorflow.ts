/**
 * What of TensorFlow.js is in a program's types. Its declarations do not compile in a strict program that checks libraries, so
 * that `bitnibble/node` must not bring them: `src/tfjs/types.ts` fills this in, and it comes with `bitnibble/tfjs` and
 * `bitnibble/pipeline` alone, whose functions take TensorFlow.js anyway.
 */
// biome-ignore lint/suspicious/noEmptyInterface: filled by `declare module` in src/tfjs/types.ts
export interface TensorFlowTypes {}

/** The module of TensorFlow.js where its types are in the program, else `unknown`. */
export type LoadedModule = TensorFlowTypes extends { readonly module: infer Module } ? Module : unknown;
