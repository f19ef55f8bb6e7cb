// Pure: formats instants in a time zone, with its name.
import { findZone } from './zones.ts';

const formats = new Map<string, Intl.DateTimeFormat>();

function findFormat(zone: string, hasTime: boolean): Intl.DateTimeFormat {
  const name = `${zone} ${hasTime}`;
  const known = formats.get(name);
  if (known) return known;
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    ...(hasTime && { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }),
  });
  formats.set(name, format);
  return format;
}

/** Formats an instant such as `29 Nov 2026, 06:15 Europe/Berlin`. */
export function formatInstant(iso: string, zone: string): string {
  const usable = findZone(zone);
  return `${findFormat(usable, true).format(new Date(iso))} ${usable}`;
}

/** Formats the calendar date of an instant in the time zone, such as `29 Nov 2026`. */
export function formatDay(iso: string, zone: string): string {
  return findFormat(findZone(zone), false).format(new Date(iso));
}

/** Formats a span such as `28 Nov 2026, 00:00 – 29 Nov 2026, 00:00 Europe/Berlin`. The date is not repeated within a day. */
export function formatSpan(from: string, to: string, zone: string): string {
  const usable = findZone(zone);
  const format = findFormat(usable, true);
  const [start, end] = [format.format(new Date(from)), format.format(new Date(to))];
  const date = `${formatDay(from, usable)}, `;
  return `${start} – ${start.startsWith(date) && end.startsWith(date) ? end.slice(date.length) : end} ${usable}`;
}

/** Formats an instant in UTC with seconds, such as `2026-11-29 05:15:00 UTC`. */
export function formatUtc(iso: string): string {
  return `${new Date(iso).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

const STEPS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
] as const;

/** Formats the distance of two instants in its largest unit, such as `3 days ago`, `in 2 hours` or `now`. */
export function formatDistance(iso: string, now: number): string {
  const distance = new Date(iso).getTime() - now;
  for (const [unit, length] of STEPS) {
    const count = Math.floor(Math.abs(distance) / length);
    if (count === 0) continue;
    const words = `${count} ${unit}${count === 1 ? '' : 's'}`;
    return distance < 0 ? `${words} ago` : `in ${words}`;
  }
  return 'now';
}
