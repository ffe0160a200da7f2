export * as common from '../common.js';
export { Crew, crewBytes, planCrew } from '../crew.js';
export { SHARING } from '../crew-parts.js';
export { sharedMemory, withSharedMemory } from '../shared.js';
