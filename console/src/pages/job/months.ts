// Pure: months of a calendar, and their names.
import { addDays, addMonths } from '../../ui/zone-dates.ts';

/** Returns whether a text is a month between 1970 and 9999. */
export function isMonth(text: string | null): text is string {
  return text !== null && /^(?:19[7-9]\d|[2-9]\d{3})-(?:0[1-9]|1[0-2])$/.test(text);
}

/** Returns the dates of a month by week. Weeks start on Monday; days of other months are null. */
export function listWeeks(month: string): (string | null)[][] {
  const first = `${month}-01`;
  const end = `${addMonths(month, 1)}-01`;
  // Sunday is 0.
  const before = (new Date(`${first}T00:00Z`).getUTCDay() + 6) % 7;
  const weeks: (string | null)[][] = [];
  for (let monday = addDays(first, -before); monday < end; monday = addDays(monday, 7)) {
    weeks.push(
      Array.from({ length: 7 }, (_, index) => addDays(monday, index)).map((date) =>
        date.startsWith(month) ? date : null,
      ),
    );
  }
  return weeks;
}

const MONTHS = 'January February March April May June July August September October November December'.split(' ');

/** Formats a month such as `November 2026`. */
export function formatMonth(month: string): string {
  return `${MONTHS[Number(month.slice(5)) - 1]} ${month.slice(0, 4)}`;
}

/** Formats a date such as `29 November 2026`. */
export function formatDate(date: string): string {
  return `${Number(date.slice(8))} ${formatMonth(date.slice(0, 7))}`;
}
