/**
 * A file of `later/` as it is: bundlers that see what is used of it would drop `common.ts` from it, and with that the reason to leave
 * the first chunk in one piece.
 */
export const chunk = <T>(coming: Promise<T>): Promise<T> => coming;
