// Pure: what the S3 bucket has of each day of a job, from the spans of its coverage.
import { addDays, startOfDay } from '../../ui/zone-dates.ts';

interface Span {
  readonly from: string;
  readonly to: string;
}

/** `DeliveryCoverage` of the API. Stale spans are delivered too. */
export interface Coverage extends Span {
  readonly delivered: readonly Span[];
  readonly stale: readonly Span[];
  readonly gaps: readonly Span[];
}

/** A delivered window of the job. */
export interface DeliveredWindow {
  readonly windowStart: string;
  readonly windowEnd: string;
  readonly state: string;
}

/** Adds what windows contain after the end of the coverage: a run by hand may deliver usage whose slot is in the future. */
export function addWindowsAhead(coverage: Coverage, windows: readonly DeliveredWindow[]): Coverage {
  const end = Date.parse(coverage.to);
  const ahead = windows
    .filter(({ windowEnd, state }) => Date.parse(windowEnd) > end && ['CURRENT', 'TOUCHED', 'STALE'].includes(state))
    .map(({ windowStart, windowEnd, state }) => ({
      from: Date.parse(windowStart) > end ? windowStart : coverage.to,
      to: windowEnd,
      isStale: state !== 'CURRENT',
    }));
  return {
    ...coverage,
    delivered: [...coverage.delivered, ...ahead],
    stale: [...coverage.stale, ...ahead.filter(({ isStale }) => isStale)],
  };
}

/**
 * delivered: the bucket has what the ledger has. stale: the ledger has changed since. missing: a slot was due, and no delivery contains
 * it. undelivered: no delivery contains it, and no slot of the job was due. notDue: its slot is in the future.
 */
export type CoverageState = 'delivered' | 'stale' | 'missing' | 'undelivered' | 'notDue';

export const COVERAGE_WORDS: Readonly<Record<CoverageState, { readonly text: string; readonly meaning: string }>> = {
  delivered: { text: 'Delivered', meaning: 'The files agree with the ledger.' },
  stale: { text: 'Stale', meaning: 'The ledger has changed since the delivery.' },
  missing: { text: 'Missing', meaning: 'A slot was due, and no delivery contains it.' },
  undelivered: { text: 'No delivery', meaning: 'No slot was due, for example before the job was created.' },
  notDue: { text: 'Not due', meaning: 'Its slot is in the future.' },
};

/** Half-open, in milliseconds since the epoch. */
export interface Part {
  readonly state: CoverageState;
  readonly from: number;
  readonly to: number;
}

/** What decides whether a gap is missing. */
export interface CoveredJob {
  readonly timeZone: string;
  readonly createdAt: string;
  readonly aggregationBucket: string;
  /** Null without a schedule: then no slot is due. */
  readonly cron: string | null;
}

const HOUR_MS = 3_600_000;

/** Returns the instant from which the schedule of a job owes deliveries: the start of the bucket in which it was created. */
export function findOwedFrom({ timeZone, createdAt, aggregationBucket, cron }: CoveredJob): number {
  if (cron === null) return Infinity;
  const created = Date.parse(createdAt);
  if (aggregationBucket === 'HOUR') return Math.floor(created / HOUR_MS) * HOUR_MS;
  const day = new Date(created).toISOString().slice(0, 10);
  // The date in the time zone of the job may be the one before or after.
  const starts = [addDays(day, -1), day, addDays(day, 1)].map((date) => startOfDay(date, timeZone));
  return Math.max(...starts.filter((start) => start <= created));
}

function contains(spans: readonly Span[], instant: number): boolean {
  return spans.some(({ from, to }) => Date.parse(from) <= instant && instant < Date.parse(to));
}

/** Returns the parts of a span in order, each as long as possible. */
export function findParts(coverage: Coverage, from: number, to: number, owedFrom: number): Part[] {
  const stateAt = (instant: number): CoverageState => {
    if (contains(coverage.stale, instant)) return 'stale';
    if (contains(coverage.delivered, instant)) return 'delivered';
    if (instant >= Date.parse(coverage.to)) return 'notDue';
    return instant < owedFrom ? 'undelivered' : 'missing';
  };
  const spans = [coverage, ...coverage.delivered, ...coverage.stale];
  const edges = [owedFrom, ...spans.flatMap((span) => [Date.parse(span.from), Date.parse(span.to)])];
  const inside = edges.filter((edge) => from < edge && edge < to).toSorted((a, b) => a - b);
  const parts: Part[] = [];
  for (const [index, start] of [from, ...inside].entries()) {
    const end = inside[index] ?? to;
    if (start === end) continue;
    const state = stateAt(start);
    const last = parts.at(-1);
    if (last?.state === state) parts[parts.length - 1] = { ...last, to: end };
    else parts.push({ state, from: start, to: end });
  }
  return parts;
}

/** The state that a day shows is the first that one of its parts has. */
const BY_URGENCY: readonly CoverageState[] = ['missing', 'stale', 'delivered', 'undelivered', 'notDue'];

export interface CoveredDay {
  readonly date: string;
  readonly state: CoverageState;
  /** The state, and the hours that have it unless the whole day has it, such as `Missing, 3 of 24 h`. */
  readonly text: string;
  readonly parts: readonly Part[];
}

function formatHours(milliseconds: number): string {
  return String(Math.round((milliseconds / HOUR_MS) * 10) / 10);
}

/** Returns the state of a date in the time zone of the job. */
export function findDay(coverage: Coverage, date: string, timeZone: string, owedFrom: number): CoveredDay {
  const [from, to] = [startOfDay(date, timeZone), startOfDay(addDays(date, 1), timeZone)];
  const parts = findParts(coverage, from, to, owedFrom);
  const state = BY_URGENCY.find((one) => parts.some((part) => part.state === one)) ?? 'notDue';
  const length = parts.filter((part) => part.state === state).reduce((sum, part) => sum + part.to - part.from, 0);
  const { text } = COVERAGE_WORDS[state];
  return {
    date,
    state,
    text: length === to - from ? text : `${text}, ${formatHours(length)} of ${formatHours(to - from)} h`,
    parts,
  };
}

/** Returns the hours of a day, each with the first state that one of its parts has. A day of a clock change has 23 or 25. */
export function listHours({ parts }: Pick<CoveredDay, 'parts'>): Part[] {
  const [from, to] = [parts[0]?.from ?? 0, parts.at(-1)?.to ?? 0];
  const hours: Part[] = [];
  for (let start = from; start < to; start += HOUR_MS) {
    const end = Math.min(start + HOUR_MS, to);
    const states = parts.filter((part) => part.from < end && start < part.to).map(({ state }) => state);
    hours.push({ from: start, to: end, state: BY_URGENCY.find((one) => states.includes(one)) ?? 'notDue' });
  }
  return hours;
}
