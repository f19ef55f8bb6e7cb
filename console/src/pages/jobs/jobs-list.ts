// Pure: decisions of the list of jobs.

export const SHOWN = [
  { value: 'all', label: 'All' },
  { value: 'enabled', label: 'Enabled' },
  { value: 'disabled', label: 'Disabled' },
  { value: 'failed', label: 'Failed' },
] as const;

export type Shown = (typeof SHOWN)[number]['value'];

/** Returns the filter of an address. Defaults to all jobs. */
export function readShown(value: string | null): Shown {
  return SHOWN.find((option) => option.value === value)?.value ?? 'all';
}

/** Returns the earliest next slot of the jobs in milliseconds; null if there is none. */
export function findNextSlot(jobs: readonly { readonly nextRuns: readonly string[] }[]): number | null {
  const slots = jobs.flatMap(({ nextRuns: [next] }) => (next === undefined ? [] : [Date.parse(next)]));
  return slots.length === 0 ? null : Math.min(...slots);
}
