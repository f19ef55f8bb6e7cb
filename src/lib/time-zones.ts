// Pure: which names are time zones. Intl.supportedValuesOf lists 418 zones, each once and under V8's choice of its names;
// users have any of the 597 names of the tz database, and expect to read the one that they gave.
import { TIME_ZONE_NAMES, TZ_RELEASE } from './time-zone-names.ts';

/** Longer than any name. */
const MAX_LENGTH = 64;

const bySpelling = new Map(TIME_ZONE_NAMES.map((name) => [name.toLowerCase(), name]));

/** A Node that is older than the list may lack a name. */
function isKnownToNode(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions();
    return true;
  } catch {
    return false;
  }
}

const accepted = new Set<string>();

/**
 * Returns the time zone in the spelling of the tz database, ignoring the case of `name`; null if the database does not have it. A link
 * stays what it is: `us/eastern` is `US/Eastern`.
 */
export function findTimeZone(name: string): string | null {
  const found = name.length <= MAX_LENGTH ? bySpelling.get(name.toLowerCase()) : undefined;
  if (found === undefined) return null;
  if (!accepted.has(found)) {
    if (!isKnownToNode(found)) return null;
    accepted.add(found);
  }
  return found;
}

/** Why a name is refused. */
export function timeZoneProblem(name: string): string {
  const quoted = JSON.stringify(name.length > MAX_LENGTH ? `${name.slice(0, MAX_LENGTH)}...` : name);
  const start = name.slice(0, MAX_LENGTH).toUpperCase();
  if (/^(?:UTC|GMT|Z)? ?[+-]\d/.test(start)) {
    return `${quoted} is an offset, which does not say when clocks change. Use an IANA time zone name such as "Europe/Berlin"; "Etc/GMT-1" is always one hour east of UTC.`;
  }
  if (/^[A-Z]{1,5}$/.test(start)) {
    return `${quoted} is not a name in the IANA time zone database, and abbreviations are ambiguous. Use a name such as "America/Los_Angeles".`;
  }
  return `${quoted} is not a name in the IANA time zone database (release ${TZ_RELEASE}). Use a name such as "Europe/Berlin".`;
}

/** The names of UTC itself. */
const UTC_NAMES: ReadonlySet<string> = new Set(
  ['UTC', 'UCT', 'Universal', 'Zulu'].flatMap((name) => [name, `Etc/${name}`]),
);

export const isUtc = (timeZone: string): boolean => UTC_NAMES.has(timeZone);
