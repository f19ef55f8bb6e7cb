// Pure: time zones that the browser knows.

const known = new Map<string, string>();

/** Returns the zone, or UTC if the browser does not know it: the time zone database of the server may be newer. */
export function findZone(zone: string): string {
  const found = known.get(zone);
  if (found !== undefined) return found;
  let usable = zone;
  try {
    new Intl.DateTimeFormat('en-GB', { timeZone: zone });
  } catch {
    usable = 'UTC';
  }
  known.set(zone, usable);
  return usable;
}
