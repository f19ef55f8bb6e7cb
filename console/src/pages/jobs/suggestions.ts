// Pure: names and ranges that the form suggests.

/** Returns `element`, and the dimensions of the chosen streams in the order of their names; of all streams if none is chosen. */
export function suggestDimensions(
  streams: readonly { readonly name: string; readonly dimensions: readonly string[] }[],
  chosen: readonly string[],
): string[] {
  const dimensions = streams
    .filter(({ name }) => chosen.length === 0 || chosen.includes(name))
    .flatMap((stream) => stream.dimensions);
  return ['element', ...[...new Set(dimensions)].toSorted()];
}

/** A duration before the slot, which the user types. */
export const DURATION = 'ago';

export const RANGES = [
  { value: 'previous(day)', label: 'The day before' },
  { value: 'previous(week)', label: 'The week before, Monday to Sunday' },
  { value: 'previous(month)', label: 'The month before' },
  { value: 'toDate(week)', label: 'The week so far' },
  { value: 'toDate(month)', label: 'The month so far' },
  { value: 'toDate(year)', label: 'The year so far' },
  { value: DURATION, label: 'A duration before each run' },
] as const;

/** Returns the option of a range: a calendar range, or a duration. */
export function optionOfRange(range: string): string {
  return RANGES.find(({ value }) => value === range)?.value ?? DURATION;
}
