// Pure: placeholders in the path of an s3Url.
import { wallTimeAt } from '../lib/zoned-time.ts';

/** Written in the path: the start of the window in the time zone of the job, and the slug of the job. */
const PLACEHOLDER = /\{(yyyy|MM|dd|HH|job)\}/g;

/** Returns a sentence if the path has other braces than those of placeholders; else null. */
export function findPlaceholderProblem(path: string): string | null {
  const brace = /\{[^{}/]{0,20}\}|[{}]/.exec(path.replace(PLACEHOLDER, ''));
  if (brace === null) return null;
  return `The path contains ${JSON.stringify(brace[0])}. Braces are only allowed in {yyyy}, {MM}, {dd}, {HH} and {job}.`;
}

/** Replaces `{job}`, which every window of a job has in common. */
export const substituteJob = (path: string, slug: string): string => path.replaceAll('{job}', slug);

/**
 * Replaces the placeholders of a path: dates by the start of the window in the time zone, with leading zeros. `{HH}` repeats
 * when a clock goes back; keys stay distinct because their file names contain the window in UTC.
 */
export function expandPath(path: string, slug: string, start: Date, timeZone: string): string {
  if (!path.includes('{')) return path;
  const wall = new Date(wallTimeAt(start.getTime(), timeZone));
  const values: Record<string, string> = {
    // Every year has four digits, so that all keys of a path have the same length.
    yyyy: String(Math.min(Math.max(wall.getUTCFullYear(), 0), 9999)).padStart(4, '0'),
    MM: twoDigits(wall.getUTCMonth() + 1),
    dd: twoDigits(wall.getUTCDate()),
    HH: twoDigits(wall.getUTCHours()),
    job: slug,
  };
  return path.replace(PLACEHOLDER, (_, name: string) => values[name] ?? '');
}

const twoDigits = (value: number): string => String(value).padStart(2, '0');

/** Replaces each placeholder by the same text, and converts the text between them. */
export function replacePlaceholders(path: string, replacement: string, convert: (text: string) => string): string {
  return path
    .split(/\{(?:yyyy|MM|dd|HH|job)\}/)
    .map(convert)
    .join(replacement);
}
