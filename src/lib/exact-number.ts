// Pure: numbers of JSON with more digits than a JavaScript number has.

/** Returns a number with the digits of the text, by JSON.rawJSON (ES2026), which TypeScript's library does not declare yet. */
export function exactNumber(text: string): number {
  return (JSON as unknown as { rawJSON(source: string): number }).rawJSON(text);
}
