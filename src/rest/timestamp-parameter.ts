// Pure: timestamps in the query of a URL.
import { toRfc3339 } from '../lib/iso-8601.ts';

/** A blank before the digits of an offset. The end, the name of a zone or a bracket follows them. */
const BLANK_OF_PLUS = / (?=\d{2}(?::?\d{2})?(?:$|[ []))/g;

/** Returns the timestamp in RFC 3339. A plus sign of an offset that was not encoded as %2B arrives as a blank. */
export function readTimestampParameter(text: string): string {
  // The first blank may separate the date and the time.
  const time = text.search(/[Tt ]/) + 1;
  return toRfc3339(text.slice(0, time) + text.slice(time).replaceAll(BLANK_OF_PLUS, '+'));
}
