// Pure: shortens texts of a request that the response repeats, because one may be as long as the whole request.

/** Returns the text, or its first `maxLength` characters and an ellipsis if it is longer. */
export function truncate(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength).toWellFormed()}…`;
}
