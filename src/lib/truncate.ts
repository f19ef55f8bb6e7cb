// Pure: shortens texts of a request that its answer repeats, since one may be as long as the whole request.

/** The beginning of a text that is longer. */
export const truncate = (text: string, maxLength: number): string =>
  text.length <= maxLength ? text : `${text.slice(0, maxLength).toWellFormed()}…`;
