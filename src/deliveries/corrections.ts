// Pure: which corrections the scan of a ledger stores, and with which spans of buckets it marks deliveries.

/** Operations of one stream that a scan found, and the bounds of those that may be corrections. */
export interface FoundStream {
  readonly streamId: bigint;
  readonly name: string;
  /** Whether its buckets are calendar dates: DAILY or MONTHLY. */
  readonly isCalendar: boolean;
  readonly operations: number;
  /** Whether one of the operations is a COMPLETE. */
  readonly isDeclared: boolean;
  /** Number of operations that touch a bucket of a window. */
  readonly late: number;
  /** Bounds of all late operations. */
  readonly bounds: BucketBounds;
  readonly greatestId: bigint;
  readonly greatestXid: string;
}

/** First and last bucket that an operation may touch, in Unix milliseconds; null if unknown: every bucket. */
export interface BucketBounds {
  readonly first: number | null;
  readonly last: number | null;
}

export interface Correction {
  readonly streamId: bigint;
  /** Negative for a summary row, which represents all operations of the stream up to it. */
  readonly operationId: bigint;
  readonly xid: string;
  readonly bounds: BucketBounds;
}

/** Maximum number of operations of a stream that a scan stores one by one. */
const MAX_SINGLE = 1000;

/** Returns the streams of which the scan stores each late operation. */
export function selectSingles(streams: readonly FoundStream[]): FoundStream[] {
  return streams.filter(({ late }) => late > 0 && late <= MAX_SINGLE);
}

/** Returns one row for each stream with more late operations than are stored one by one. */
export function summarize(streams: readonly FoundStream[]): Correction[] {
  return streams
    .filter(({ late }) => late > MAX_SINGLE)
    .map(({ streamId, greatestId, greatestXid, bounds }) => ({
      streamId,
      operationId: -greatestId,
      xid: greatestXid,
      bounds,
    }));
}

/** Buckets of a stream that operations may have touched. */
export interface TouchedSpan {
  readonly name: string;
  readonly isCalendar: boolean;
  readonly bounds: BucketBounds;
}

/** With more spans of a stream, deliveries are marked by its first and last bucket: a needless mark costs one look-up. */
const MAX_SPANS = 16;
const HOUR = 3_600_000;

/** Returns the spans that the corrections of each stream touch, merged if they touch or overlap. */
export function mergeTouched(streams: readonly FoundStream[], corrections: readonly Correction[]): TouchedSpan[] {
  const byStream = new Map<bigint, BucketBounds[]>();
  for (const { streamId, bounds } of corrections) {
    const list = byStream.get(streamId);
    if (list) list.push(bounds);
    else byStream.set(streamId, [bounds]);
  }
  return streams.flatMap(({ streamId, name, isCalendar, bounds: all }) => {
    const merged: { first: number; last: number }[] = [];
    const sorted = (byStream.get(streamId) ?? [])
      .map(({ first, last }) => ({ first: first ?? -Infinity, last: last ?? Infinity }))
      .toSorted((a, b) => a.first - b.first);
    for (const span of sorted) {
      const before = merged.at(-1);
      if (!before || before.last + HOUR < span.first) merged.push({ ...span });
      else before.last = Math.max(before.last, span.last);
    }
    const spans = merged.length > MAX_SPANS ? [all] : merged.map(toBounds);
    return spans.map((bounds) => ({ name, isCalendar, bounds }));
  });
}

function toBounds({ first, last }: { first: number; last: number }): BucketBounds {
  return { first: Number.isFinite(first) ? first : null, last: Number.isFinite(last) ? last : null };
}

/**
 * Returns the seconds until the next scan: the interval doubles while scans find nothing.
 */
export function nextInterval(
  before: number,
  found: boolean,
  limits: { readonly least: number; readonly most: number },
): number {
  return found ? limits.least : Math.max(limits.least, Math.min(before * 2, limits.most));
}
