// Pure: schedules that need no crontab expression, and their expressions.

export type Frequency = 'daily' | 'weekly' | 'monthly' | 'cron' | 'once' | 'request';

export interface ScheduleValues {
  readonly frequency: Frequency;
  /** Wall-clock time such as `06:15`. */
  readonly time: string;
  /** 1 is Monday, 7 is Sunday. */
  readonly weekday: string;
  readonly dayOfMonth: string;
  readonly cron: string;
  /** Wall-clock time such as `2026-11-29T06:15`, in the time zone of the job. */
  readonly onceAt: string;
}

export const NEW_SCHEDULE: ScheduleValues = {
  frequency: 'daily',
  time: '06:15',
  weekday: '1',
  dayOfMonth: '1',
  cron: '',
  onceAt: '',
};

/** Returns the crontab expression of a schedule; null without one. */
export function cronOf(values: ScheduleValues): string | null {
  const [hour, minute] = values.time.split(':').map(Number);
  const time = hour === undefined || minute === undefined ? '' : `${minute} ${hour}`;
  switch (values.frequency) {
    case 'daily':
      return time && `${time} * * *`;
    case 'weekly':
      return time && `${time} * * ${Number(values.weekday) % 7}`;
    case 'monthly':
      return time && `${time} ${values.dayOfMonth} * *`;
    case 'cron':
      return values.cron.trim();
    case 'once':
    case 'request':
      return null;
  }
}

const SIMPLE = /^(\d{1,2}) (\d{1,2}) (?:\* \* (\*|[0-7]|[A-Z]{3})|(\d{1,2}) \* \*)$/;
const WEEKDAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT', 'SUN'];

/** Reads a schedule. An expression that is not that of a daily, weekly or monthly schedule is kept as it is. */
export function readSchedule(cron: string | null, scheduledTimeInSeconds: number | null, zone: string): ScheduleValues {
  if (scheduledTimeInSeconds !== null) {
    return { ...NEW_SCHEDULE, frequency: 'once', onceAt: formatWallTime(scheduledTimeInSeconds, zone) };
  }
  if (cron === null) return { ...NEW_SCHEDULE, frequency: 'request' };
  const [, minute = '', hour = '', weekday, dayOfMonth] = SIMPLE.exec(cron.toUpperCase()) ?? [];
  if (minute === '') return { ...NEW_SCHEDULE, frequency: 'cron', cron };
  const known = { ...NEW_SCHEDULE, cron, time: `${hour.padStart(2, '0')}:${minute.padStart(2, '0')}` };
  if (dayOfMonth !== undefined) return { ...known, frequency: 'monthly', dayOfMonth };
  if (weekday === '*' || weekday === undefined) return { ...known, frequency: 'daily' };
  const day = weekday.length === 1 ? Number(weekday) : WEEKDAYS.indexOf(weekday);
  return day < 0
    ? { ...NEW_SCHEDULE, frequency: 'cron', cron }
    : { ...known, frequency: 'weekly', weekday: String(day || 7) };
}

/** The window that fits a schedule: the last whole day, week or month. */
export const USUAL_RANGE: Readonly<Partial<Record<Frequency, string>>> = {
  daily: 'previous(day)',
  weekly: 'previous(week)',
  monthly: 'previous(month)',
};

function offsetMs(instantMs: number, zone: string): number {
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  }).formatToParts(instantMs);
  const part = (type: string): number => Number(parts.find((found) => found.type === type)?.value);
  const wall = Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
  return wall - Math.floor(instantMs / 1000) * 1000;
}

/** Formats an instant as a wall-clock time such as `2026-11-29T06:15`. */
export function formatWallTime(seconds: number, zone: string): string {
  return new Date(seconds * 1000 + offsetMs(seconds * 1000, zone)).toISOString().slice(0, 16);
}

/**
 * Returns the instant of a wall-clock time in seconds; null if either is not valid. A time that occurs twice is the first, and one
 * that is skipped moves by the length of the gap.
 */
export function readWallTime(wall: string, zone: string): number | null {
  const asUtc = Date.parse(`${wall}Z`);
  if (Number.isNaN(asUtc)) return null;
  try {
    // The offset a day before is that before a change of the clock.
    const before = asUtc - offsetMs(asUtc - 86_400_000, zone);
    if (offsetMs(before, zone) === asUtc - before) return before / 1000;
    const after = asUtc - offsetMs(asUtc + 86_400_000, zone);
    return (offsetMs(after, zone) === asUtc - after ? after : before) / 1000;
  } catch {
    // The zone is not one of the browser. The server reports it at its field.
    return null;
  }
}
