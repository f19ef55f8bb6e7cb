// Pure: the schedule of a job in words.
import cronstrue from 'cronstrue';
import { formatInstant } from './time-text.ts';

export interface Schedule {
  readonly cron: string | null;
  readonly scheduledTimeInSeconds: number | null;
  readonly timeZone: string;
}

/**
 * Describes a crontab expression, such as `at 06:15 every day`. Returns the expression itself if it restricts both the day of the
 * month and the weekday: words would not say whether a date has to match both, which depends on a `*` in one of them.
 */
export function describeCron(cron: string): string {
  const expression = cron.trim();
  const [, , dayOfMonth, , weekday] = expression.split(/[ \t]+/);
  if (dayOfMonth !== '*' && weekday !== '*') return `cron ${expression}`;
  try {
    const words = cronstrue.toString(expression, { use24HourTimeFormat: true, throwExceptionOnParseError: true });
    const sentence = `${words.charAt(0).toLowerCase()}${words.slice(1)}`;
    return /^at [\d: and,]+$/.test(sentence)
      ? `${sentence} every day`
      : sentence.replace(', only on ', ' every ').replace(', on day', ' on day');
  } catch {
    return `cron ${expression}`;
  }
}

/** Describes a schedule with its time zone, such as `at 06:15 every day, Europe/Berlin`. */
export function describeSchedule({ cron, scheduledTimeInSeconds, timeZone }: Schedule): string {
  if (cron !== null) return `${describeCron(cron)}, ${timeZone}`;
  if (scheduledTimeInSeconds === null) return 'on request';
  return `once, ${formatInstant(new Date(scheduledTimeInSeconds * 1000).toISOString(), timeZone)}`;
}
