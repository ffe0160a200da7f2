// The whole ABI. Pointers are byte addresses in the exported memory, counts are elements.
// Nothing here allocates, imports, or keeps state between calls; docs/KERNELS.md describes every export.

export { packSign, unpackSignColumns, unpackSignRuns } from './sign';
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
export { projectColumns, projectRuns } from './project';
export { extendColumns } from './lanes';
export { arenaBase, bitnibbleAbi } from './module';
