// Pure: names of time buckets: `25 Jan 2026, 06:00`, `25 Jan 2026`, `January 2026`.
import type { Granularity, UsageBucket } from './selection.ts';

const formats = new Map<string, Intl.DateTimeFormat>();

function format(instant: string | number, zone: string, options: Intl.DateTimeFormatOptions): string {
  const name = `${zone} ${JSON.stringify(options)}`;
  const known = formats.get(name) ?? new Intl.DateTimeFormat('en-GB', { ...options, timeZone: zone, hourCycle: 'h23' });
  formats.set(name, known);
  return known.format(new Date(instant));
}

const DAY = { day: 'numeric', month: 'short', year: 'numeric' } as const;
const HOUR = { ...DAY, hour: '2-digit', minute: '2-digit' } as const;
const MONTH = { month: 'long', year: 'numeric' } as const;

/** Formats the bucket that starts at an instant. A week has the date of its Monday. */
export function formatBucket(start: string, bucket: UsageBucket, zone: string): string {
  switch (bucket) {
    case 'HOUR':
      return format(start, zone, HOUR);
    case 'DAY':
      return format(start, zone, { ...DAY, weekday: 'short' });
    case 'WEEK':
      return `Week of ${format(start, zone, DAY)}`;
    case 'MONTH':
      return format(start, zone, MONTH);
  }
}

/** Formats a bucket of a stream. That of a DAILY or MONTHLY stream is a calendar date, the same in every zone. */
export function formatStreamBucket(start: string, granularity: Granularity, zone: string): string {
  if (granularity === 'HOURLY') return `${format(start, zone, HOUR)} ${zone}`;
  return format(start, 'UTC', granularity === 'DAILY' ? DAY : MONTH);
}

/** Formats an instant through which a stream is complete: the last complete day or month, or the instant of an HOURLY stream. */
export function formatCompleteThrough(through: string, granularity: Granularity, zone: string): string {
  if (granularity === 'HOURLY') return formatStreamBucket(through, granularity, zone);
  return formatStreamBucket(new Date(Date.parse(through) - 1).toISOString(), granularity, zone);
}

export type TickUnit = 'hour' | 'day' | 'month';

/** Formats a tick of a time axis. The first hour of a day has the date. */
export function formatTick(time: number, unit: TickUnit, zone: string): string {
  if (unit === 'month') return format(time, zone, { month: 'short', year: 'numeric' });
  const day = format(time, zone, { day: 'numeric', month: 'short' });
  if (unit === 'day') return day;
  const hour = format(time, zone, { hour: '2-digit', minute: '2-digit' });
  return hour === '00:00' ? day : hour;
}
