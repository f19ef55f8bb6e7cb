// An oracle for src/jobs/schedule/schedule.ts. It follows the text of the specification minute by minute over readings of the
// clock, and shares no code with schedule.ts: not croner, Temporal or its grammar.
import type { ClockReading } from '../support/clock-readings.ts';

const MINUTE = 60_000;
const MONTHS = ['', 'JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const WEEKDAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

/** Returns the instants of the readings at which a valid cron has a slot, ascending. */
export function slotsByOracle(cron: string, readings: readonly ClockReading[]): number[] {
  const [, hour = ''] = cron.split(' ');
  const matches = wallTimeMatcher(cron);
  return readings
    .filter((reading) => (hour.includes('*') ? matches(reading.wall) : reaches(reading, matches)))
    .map(({ at }) => at);
}

// With fixed hours a slot is the minute at which the clock first shows a selected time or a later one.
function reaches({ wall, latestBefore }: ClockReading, matches: (wall: number) => boolean): boolean {
  for (let reached = latestBefore + MINUTE; reached <= wall; reached += MINUTE) if (matches(reached)) return true;
  return false;
}

function wallTimeMatcher(cron: string): (wall: number) => boolean {
  const [minute = '', hour = '', dayOfMonth = '', month = '', weekday = ''] = cron.split(' ');
  const minutes = tableOf(minute, 0, 59);
  const hours = tableOf(hour, 0, 23);
  const daysOfMonth = tableOf(dayOfMonth, 1, 31);
  const months = tableOf(month, 1, 12, MONTHS);
  const weekdays = tableOf(weekday, 0, 7, WEEKDAYS);
  const either = !dayOfMonth.startsWith('*') && !weekday.startsWith('*');
  return (wall) => {
    const date = new Date(wall);
    if (minutes[date.getUTCMinutes()] !== true) return false;
    if (hours[date.getUTCHours()] !== true || months[date.getUTCMonth() + 1] !== true) return false;
    const byDay = daysOfMonth[date.getUTCDate()] === true;
    const byWeekday = weekdays[date.getUTCDay()] === true || (date.getUTCDay() === 0 && weekdays[7] === true);
    return either ? byDay || byWeekday : byDay && byWeekday;
  };
}

function tableOf(field: string, lowest: number, highest: number, names: readonly string[] = []): boolean[] {
  const number = (text: string): number =>
    names.includes(text.toUpperCase()) ? names.indexOf(text.toUpperCase()) : Number(text);
  const table: boolean[] = [];
  for (const element of field.split(',')) {
    const [range = '', step = '1'] = element.split('/');
    const [first = '', last = first] = range === '*' ? [String(lowest), String(highest)] : range.split('-');
    for (let value = lowest; value <= highest; value += 1) {
      if (value >= number(first) && value <= number(last) && (value - number(first)) % Number(step) === 0)
        table[value] = true;
    }
  }
  // A step over all weekdays ends with Saturday, so */7 matches Sunday as 0.
  return table;
}
