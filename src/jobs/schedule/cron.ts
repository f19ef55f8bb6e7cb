// Pure: the grammar of a crontab's five fields. It is stricter than croner's, whose five-part mode also accepts
// `@daily`, `L`, `W`, `#`, `?` and ISO dates.

/** The wall-clock times that a cron expression selects. */
export interface CronFields {
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly daysOfMonth: readonly number[];
  readonly months: readonly number[];
  /** 0 is Sunday. */
  readonly weekdays: readonly number[];
  /** Whether the hour field is `*` or `*\/n`, or a list with one of them: then every elapsed hour counts. */
  readonly everyHour: boolean;
  /**
   * Whether neither day-of-month nor weekday starts with `*`: then a date has to match only one of them, otherwise both.
   * crontab(5) defines it like this, including for `*\/2`.
   */
  readonly eitherDay: boolean;
}

interface Field {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  /** In the order of their values; the first is `from`. */
  readonly names?: readonly string[];
}

const WEEKDAY: Field = {
  name: 'weekday',
  from: 0,
  to: 7,
  names: ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'],
};

/** In the order of an expression. */
const FIELDS: readonly Field[] = [
  { name: 'minute', from: 0, to: 59 },
  { name: 'hour', from: 0, to: 23 },
  { name: 'day-of-month', from: 1, to: 31 },
  {
    name: 'month',
    from: 1,
    to: 12,
    names: ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'],
  },
  WEEKDAY,
];

// A list of every minute has 143 characters.
const MAX_EXPRESSION = 500;

/**
 * Parses five fields separated by spaces: minute, hour, day-of-month, month, weekday. Spaces around the expression are ignored.
 * Each field is a list of `*`, numbers, ranges `a-b`, and steps `*\/n` or `a-b/n`. Months may be JAN to DEC, weekdays SUN to SAT,
 * in upper or lower case; weekdays 0 and 7 are Sunday. Returns the reason, as a sentence, if the expression is not valid.
 */
export function parseCron(expression: string): CronFields | string {
  const trimmed = expression.trim();
  if (trimmed.length > MAX_EXPRESSION) return `A cron expression has at most ${MAX_EXPRESSION} characters.`;
  const texts = trimmed.split(/[ \t]+/);
  if (texts.length !== FIELDS.length) return describeFieldCount(texts);
  const values: number[][] = [];
  for (const [index, field] of FIELDS.entries()) {
    const parsed = parseField(texts[index] ?? '', field);
    if (typeof parsed === 'string') return parsed;
    values.push(parsed);
  }
  const [, hour = '', dayOfMonth = '', , weekday = ''] = texts;
  const [minutes = [], hours = [], daysOfMonth = [], months = [], weekdays = []] = values;
  return {
    minutes: ascending(minutes),
    hours: ascending(hours),
    daysOfMonth: ascending(daysOfMonth),
    months: ascending(months),
    weekdays: ascending(weekdays.map((day) => day % 7)),
    everyHour: hour.includes('*'),
    eitherDay: !dayOfMonth.startsWith('*') && !weekday.startsWith('*'),
  };
}

function describeFieldCount(texts: readonly string[]): string {
  const count = texts.filter((text) => text !== '').length;
  return `A cron expression has five fields (minute, hour, day-of-month, month, weekday); this one has ${count}.`;
}

function parseField(text: string, field: Field): number[] | string {
  const values: number[] = [];
  for (const element of text.split(',')) {
    const parsed = parseElement(element, field);
    if (typeof parsed === 'string') return `Invalid ${field.name} field ${JSON.stringify(text)}: ${parsed}.`;
    for (let value = parsed.from; value <= parsed.to; value += parsed.step) values.push(value);
  }
  return values;
}

interface Progression {
  readonly from: number;
  readonly to: number;
  readonly step: number;
}

function parseElement(element: string, field: Field): Progression | string {
  const match = /^(?:(\*)|([0-9]{1,2}|[A-Za-z]{3})(?:-([0-9]{1,2}|[A-Za-z]{3}))?)(?:\/([0-9]{1,2}))?$/.exec(element);
  if (match === null) return `${JSON.stringify(element)} is not standard crontab`;
  const [, star, first = '', second, every] = match;
  // Weekday 7 is Sunday like 0, so a step over `*` ends with Saturday.
  const size = field === WEEKDAY ? 7 : field.to - field.from + 1;
  const step = every === undefined ? 1 : Number(every);
  if (step < 1 || step > size) return `a step is from 1 to ${size}, not ${every}`;
  if (star !== undefined) return { from: field.from, to: field.from + size - 1, step };
  if (second === undefined && every !== undefined) {
    return `a step needs a range or * before it, but ${JSON.stringify(element)} has a number`;
  }
  const from = parseValue(first, field);
  if (typeof from === 'string') return from;
  if (second === undefined) return { from, to: from, step };
  // In a range such as FRI-SUN, Sunday is 7.
  const to = field === WEEKDAY && second.toUpperCase() === 'SUN' && from > 0 ? 7 : parseValue(second, field);
  if (typeof to === 'string') return to;
  if (from > to) return `the range ${JSON.stringify(element)} ends before it starts`;
  return { from, to, step };
}

function parseValue(text: string, field: Field): number | string {
  const value = /^[0-9]/.test(text) ? Number(text) : namedValue(text, field);
  if (value === undefined) return `${JSON.stringify(text)} is not the name of a ${field.name}`;
  if (value < field.from || value > field.to) return `${text} is not from ${field.from} to ${field.to}`;
  return value;
}

function namedValue(text: string, field: Field): number | undefined {
  const index = field.names?.indexOf(text.toUpperCase()) ?? -1;
  return index < 0 ? undefined : index + field.from;
}

const ascending = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b);
