// The whole ABI. Pointers are byte addresses in the exported memory, counts are elements.
// Nothing here allocates, imports, or keeps state between calls; docs/KERNELS.md describes every export.

export { packSign, unpackSignColumns, unpackSignRuns } from './sign';
export { packInt2Columns, packInt2Runs, unpackInt2Columns, unpackInt2Runs } from './int2';
export {
  invertColumns,
  packInt4Columns,
  packInt4ColumnsUnclamped,
  packInt4Groups,
  packInt4Runs,
  packInt4RunsUnclamped,
  unpackInt4Columns,
  unpackInt4Runs,
} from './int4';
export { absMaxColumns, absMaxRuns, absSumColumns, absSumRuns, difference } from './stats';
export { projectInt2Columns, projectInt2Runs, projectInt4Columns, projectInt4Runs } from './project';
export { extendColumns } from './lanes';
export { arenaBase, bitnibbleAbi } from './module';
