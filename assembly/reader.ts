// What opening a packed file needs of assembly/index.ts, and nothing else: build/reader.wasm.

export { unpackSignColumns, unpackSignRuns } from './sign';
export { unpackInt2Columns, unpackInt2Runs } from './int2';
export { unpackInt4Columns, unpackInt4Runs } from './int4';
export { extendColumns } from './lanes';
export { arenaBase, bitnibbleAbi } from './module';
