// Pure: dates and times in the ISO 8601 spellings that languages, databases and cloud services write, as RFC 3339. Every
// text is read once from left to right, and none that is longer than MAX_LENGTH.
import { parseTimestamp } from './timestamps.ts';

const MAX_LENGTH = 1000;
/** Only this much of a refused text is examined for the reason, and quoted. */
const MAX_EXAMINED = 64;
const MAX_QUOTED = 40;

const ACCEPTED =
  'Send ISO 8601, for example 2026-01-25, 2026-01-25T08:30, 2026-01-25 08:30:00.123456, 2026-01-25T08:30:00+01:00 or 20260125T083000Z. The offset may be Z, UTC, +01:00, +0100 or +01; without one the time is UTC.';

/**
 * RFC 3339 with an offset. Unchanged if the text is not a timestamp: the rules for records refuse it then, and
 * `timestampProblem` says why.
 */
export function toRfc3339(text: string): string {
  if (isPlain(text)) return text;
  const reading = read(text);
  return typeof reading === 'string' ? reading : text;
}

/** Why a text is not accepted as a timestamp, and what is; null if it is accepted. */
export function timestampProblem(text: string): string | null {
  const reading = read(text);
  if (typeof reading === 'string') return null;
  const quoted = JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}...` : text);
  return `${quoted} is not accepted: ${reading.reason}. ${ACCEPTED}`;
}

/** The form that most programs write, `2026-01-25T08:30:00Z`, which is RFC 3339 already. False if any part needs a second look. */
function isPlain(text: string): boolean {
  return (
    text.length === 20 &&
    text.charCodeAt(4) === HYPHEN &&
    text.charCodeAt(7) === HYPHEN &&
    text.charCodeAt(10) === UPPER_T &&
    text.charCodeAt(13) === COLON &&
    text.charCodeAt(16) === COLON &&
    text.charCodeAt(19) === UPPER_Z &&
    isBetween(twoDigits(text, 0), 1, 99) &&
    twoDigits(text, 2) >= 0 &&
    isBetween(twoDigits(text, 5), 1, 12) &&
    isBetween(twoDigits(text, 8), 1, 28) &&
    isBetween(twoDigits(text, 11), 0, 23) &&
    isBetween(twoDigits(text, 14), 0, 59) &&
    isBetween(twoDigits(text, 17), 0, 59)
  );
}

const HYPHEN = 0x2d;
const COLON = 0x3a;
const UPPER_T = 0x54;
const UPPER_Z = 0x5a;

const isBetween = (number: number, least: number, most: number): boolean => number >= least && number <= most;

/** The number that two digits are; NaN if they are not digits. */
function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at) - 0x30;
  const ones = text.charCodeAt(at + 1) - 0x30;
  return isBetween(tens, 0, 9) && isBetween(ones, 0, 9) ? tens * 10 + ones : Number.NaN;
}

/** Why a text is refused, as the second half of a sentence. */
class Refusal {
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

/** RFC 3339, or why there is none. */
function read(text: string): string | Refusal {
  if (text.length > MAX_LENGTH) return new Refusal(`it has more than ${MAX_LENGTH} characters`);
  if (text.trim() !== text) return new Refusal('it begins or ends with a blank');
  const scanner = new Scanner(text);
  const date = readDate(scanner);
  if (date === null) return new Refusal(dateReason(text.slice(0, MAX_EXAMINED)));
  if (scanner.isAtEnd) return checked(date, '00:00:00', 'Z');
  if (!scanner.take('T') && !scanner.take('t') && !scanner.take(' ')) return new Refusal(restReason(scanner));
  const time = readTime(scanner);
  if (time instanceof Refusal) return time;
  const offset = readOffset(scanner);
  if (offset instanceof Refusal) return offset;
  return scanner.isAtEnd ? checked(date, time, offset) : new Refusal(restReason(scanner));
}

class Scanner {
  readonly text: string;
  at = 0;

  constructor(text: string) {
    this.text = text;
  }

  get isAtEnd(): boolean {
    return this.at === this.text.length;
  }

  /** Whether the character is next; goes past it. */
  take(character: string): boolean {
    const isNext = this.text[this.at] === character;
    if (isNext) this.at += 1;
    return isNext;
  }

  /** Goes past the digits that are next. */
  takeDigits(): string {
    return this.#takeWhile(isDigit);
  }

  /** Goes past the letters that are next. */
  takeLetters(): string {
    return this.#takeWhile(isLetter);
  }

  #takeWhile(isTaken: (code: number) => boolean): string {
    const from = this.at;
    while (this.at < this.text.length && isTaken(this.text.charCodeAt(this.at))) this.at += 1;
    return this.text.slice(from, this.at);
  }
}

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;

const isLetter = (code: number): boolean => (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);

/** `2026-01-25` or `20260125`; null for anything else. */
function readDate(scanner: Scanner): string | null {
  const year = scanner.takeDigits();
  if (year.length === 8) return `${year.slice(0, 4)}-${year.slice(4, 6)}-${year.slice(6)}`;
  if (year.length !== 4 || !scanner.take('-')) return null;
  const month = scanner.takeDigits();
  if (month.length !== 2 || !scanner.take('-')) return null;
  const day = scanner.takeDigits();
  return day.length === 2 ? `${year}-${month}-${day}` : null;
}

/** `08:30:00.5` of `08:30:00,5`, `8:30`, `083000`, `08` and the like. */
function readTime(scanner: Scanner): string | Refusal {
  const first = scanner.takeDigits();
  let [hour, minute, second] = [first, '00', '00'];
  let hasSeconds = false;
  if (scanner.take(':')) {
    // Spreadsheets write the hours before ten with one digit.
    hour = first.length === 1 ? `0${first}` : first;
    minute = scanner.takeDigits();
    hasSeconds = scanner.take(':');
    if (hasSeconds) second = scanner.takeDigits();
  } else {
    hour = first.slice(0, 2);
    hasSeconds = first.length === 6;
    if (first.length >= 4) minute = first.slice(2, 4);
    if (hasSeconds) second = first.slice(4);
    if (first.length !== 2 && first.length !== 4 && !hasSeconds) return new Refusal(timeReason(first));
  }
  if (hour.length !== 2 || minute.length !== 2 || second.length !== 2) return new Refusal(timeReason(first));
  if (!scanner.take('.') && !scanner.take(',')) return `${hour}:${minute}:${second}`;
  const fraction = scanner.takeDigits();
  if (!hasSeconds) return new Refusal('only seconds can have a fraction');
  if (fraction === '') return new Refusal('there are no digits after the decimal point of the seconds');
  return `${hour}:${minute}:${second}.${fraction}`;
}

function timeReason(digits: string): string {
  return digits === ''
    ? 'there is no time of day after the date'
    : 'the time of day is not of the form hh:mm, hh:mm:ss, hhmm or hhmmss';
}

/** `Z`, `+01:00` and the like. Names of the zone that follow a numeric offset (`+0000 UTC`, `[Europe/Berlin]`) are skipped. */
function readOffset(scanner: Scanner): string | Refusal {
  if (scanner.isAtEnd) return 'Z';
  scanner.take(' ');
  const sign = scanner.take('+') ? '+' : scanner.take('-') ? '-' : '';
  if (sign === '') {
    const word = scanner.takeLetters();
    if (!UTC_NAMES.has(word.toUpperCase())) return new Refusal(wordReason(word, scanner));
    skipBrackets(scanner);
    return 'Z';
  }
  const digits = scanner.takeDigits();
  const hours = digits.slice(0, 2);
  const minutes = digits.length === 2 && scanner.take(':') ? scanner.takeDigits() : digits.slice(2) || '00';
  if (hours.length !== 2 || minutes.length !== 2) {
    return new Refusal('the offset is not of the form +hh:mm, +hhmm or +hh');
  }
  skipZoneOfGo(scanner);
  skipBrackets(scanner);
  return `${sign}${hours}:${minutes}`;
}

const UTC_NAMES: ReadonlySet<string> = new Set(['Z', 'UTC', 'GMT']);

/** Go's Time.String writes the zone after the offset, ` CET` or ` +03`, and may write its monotonic clock, ` m=+0.01`. */
const ZONE_OF_GO = /^ (?:[A-Za-z]{3,6}|[+-]\d{2}(?:\d{2})?)(?: m=[+-]\d{1,20}(?:\.\d{1,20})?)?/;

function skipZoneOfGo(scanner: Scanner): void {
  const [found = ''] = ZONE_OF_GO.exec(scanner.text.slice(scanner.at, scanner.at + MAX_EXAMINED)) ?? [];
  scanner.at += found.length;
}

/** Java and JavaScript's Temporal write the zone in brackets (RFC 9557). The offset before it decides. */
function skipBrackets(scanner: Scanner): void {
  while (scanner.text[scanner.at] === '[') {
    const end = scanner.text.indexOf(']', scanner.at);
    if (end < 0) return;
    scanner.at = end + 1;
  }
}

/** RFC 3339 of parts that have the right lengths, if there are such a day, time and offset. */
function checked(date: string, time: string, offset: string): string | Refusal {
  if (!isDate(date)) return new Refusal(`there is no day ${date}`);
  const hour = twoDigits(time, 0);
  if (hour > 24 || twoDigits(time, 3) > 59 || twoDigits(time, 6) > 60) {
    return new Refusal(`there is no time of day ${time.slice(0, 8)}`);
  }
  if (hour < 24 && twoDigits(time, 6) === 60) return new Refusal('leap seconds are not stored');
  if (offset !== 'Z' && (twoDigits(offset, 1) > 23 || twoDigits(offset, 4) > 59)) {
    return new Refusal(`there is no offset ${offset}`);
  }
  if (hour === 24 && !/^24:00:00(?:\.0+)?$/.test(time)) return new Refusal('the hour 24 is midnight, 24:00:00, alone');
  const text = hour === 24 ? `${dayAfter(date)}T00:00:00${offset}` : `${date}T${time}${offset}`;
  // Far from both ends of the years, no offset leads beyond them.
  if (isBetween(twoDigits(date, 0), 1, 98) || parseTimestamp(text) !== null) return text;
  return new Refusal('it lies outside the years 1 to 9999');
}

function isDate(date: string): boolean {
  const month = twoDigits(date, 5);
  const day = twoDigits(date, 8);
  if (!isBetween(month, 1, 12) || !isBetween(day, 1, 31)) return false;
  // The day 0 of the next month is the last of this one.
  return day <= 28 || day <= new Date(Date.UTC(2000 + (Number(date.slice(0, 4)) % 400), month, 0)).getUTCDate();
}

const dayAfter = (date: string): string => new Date(Date.parse(`${date}T00:00:00Z`) + DAY).toISOString().slice(0, 10);

const DAY = 86_400_000;

// Reasons. Their patterns see MAX_EXAMINED characters at most.

const MONTH_NAME =
  /(?<![a-z])(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)(?![a-z])/i;

function dateReason(start: string): string {
  if (/^[+-]?\d+(?:[.,]\d*)?(?:[Ee][+-]?\d+)?$/.test(start)) {
    return 'a number alone, such as epoch seconds, does not say its unit';
  }
  if (/^\d{4}-?W\d/i.test(start)) return 'week dates are not supported';
  if (/^\d{4}-?\d{3}(?:$|[Tt ])/.test(start)) return 'ordinal dates (the day of the year) are not supported';
  if (/^\d{4}-?\d{2}$/.test(start)) return 'it has no day';
  if (/^[+-]\d{4,}[-Tt]/.test(start) || /^\d{5,6}-\d{2}-\d{2}/.test(start)) {
    return 'years with a sign or with more than four digits are not supported';
  }
  if (MONTH_NAME.test(start)) return 'month names are not supported';
  if (/^\d{1,2}[-./]\d{1,2}[-./]\d{4}/.test(start)) {
    return 'the order of day and month is ambiguous; the year comes first';
  }
  if (/^\d{1,2}[-./]\d{1,2}[-./]\d{1,2}/.test(start)) return 'two-digit years are ambiguous';
  return 'it does not begin with a date of the form YYYY-MM-DD or YYYYMMDD';
}

/** Why what follows the time of day is not an offset. */
function wordReason(word: string, scanner: Scanner): string {
  const from = scanner.at - word.length;
  if (/^[ap](?:m|\.m\.?)(?![a-z])/i.test(scanner.text.slice(from, from + MAX_EXAMINED)))
    return 'times of day have 24 hours, without AM and PM';
  if (word !== '' && scanner.text[scanner.at] !== '/') {
    return `"${word.slice(0, MAX_QUOTED)}" is not an offset from UTC; abbreviations of time zones are ambiguous`;
  }
  if (word !== '' || scanner.text[scanner.at] === '[') return 'a time zone name needs an offset before it';
  return restReason(scanner);
}

function restReason(scanner: Scanner): string {
  return scanner.text[scanner.at] === '/'
    ? 'it is an interval; send its start'
    : `${JSON.stringify(scanner.text.slice(scanner.at, scanner.at + MAX_QUOTED))} is unexpected`;
}
