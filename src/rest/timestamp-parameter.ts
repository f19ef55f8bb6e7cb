// Pure: timestamps in the query of a URL.
import { toRfc3339 } from '../lib/iso-8601.ts';

/** Returns the timestamp in RFC 3339. A plus sign of an offset that was not encoded as %2B arrives as a blank. */
export function readTimestampParameter(text: string): string {
  const blank = text.lastIndexOf(' ');
  const isOffset = blank > 0 && /[Tt ]/.test(text.slice(0, blank));
  return toRfc3339(isOffset ? `${text.slice(0, blank)}+${text.slice(blank + 1)}` : text);
}
