import type { Executor } from '../db/client.ts';
import type { StoredChanges, StoredMeterChange } from '../db/json-columns.ts';
import { executeNumbered } from '../db/numbered-query.ts';
import { hashOutput } from '../jobs/export-fingerprint.ts';
import { compareUtf8 } from '../lib/compare-utf8.ts';
import { subtractDecimals } from '../lib/decimal.ts';
import type { OperationRow } from '../streams/stream-rows.ts';
import type { Buckets } from '../usage/buckets.ts';
import type { UsageSpec } from '../usage/sums-query.ts';
import { readUsageRows, resolveStreams } from '../usage/usage.ts';
import {
  changesQuery,
  correctionsQuery,
  firstOperationsQuery,
  type KnownOperations,
  type LedgerSpan,
  type TouchedStream,
  touchedStreamsQuery,
} from './changes-query.ts';
import { endsWithBucket } from './delivery.ts';
import type { DeliveredRun } from './end-deliveries.ts';
import type { Superseded } from './superseded.ts';

// Finds the operations that touched a window since its delivery, and how they change its rows.

/** Maximum number of operations in a manifest, and of meters in the changes of a run. */
const MAX_OPERATIONS = 100;
const MAX_METERS = 1000;

/** Corrections of one window that are read by id. If there are more, the operations are read by transaction. */
const MAX_LISTED = 10_000;

const DAY_MS = 86_400_000;

/** An operation that touched the window after the superseded revision. */
export interface TouchingOperation extends Pick<OperationRow, 'kind' | 'receivedAt'> {
  readonly id: string;
  readonly meterApiName: string;
}

export interface Revision {
  /** The operations that touched the window, of which `first` has the oldest; null if they cannot be found. */
  readonly operations: { readonly count: number; readonly first: readonly TouchingOperation[] } | null;
  /** Null for the first revision, and if the changes cannot be computed. */
  readonly changes: StoredChanges | null;
}

export const FIRST_REVISION: Revision = { operations: { count: 0, first: [] }, changes: null };
const UNKNOWN: Revision = { operations: null, changes: null };

export interface RevisionSources {
  /** For the tables of runs and deliveries. */
  readonly local: Executor;
  /** For the tables of the ledger; may be a standby that has the watermark of the run. */
  readonly ledger: Executor;
  /** How long corrections are kept (CORRECTION_RETENTION_DAYS). */
  readonly correctionRetentionDays: number;
}

type RevisedRun = DeliveredRun & { readonly watermark: string; readonly watermarkEpoch: string };

/** Returns how the run changes the rows of the revision that it supersedes. `spec` is what the run exports. */
export async function readRevision(
  sources: RevisionSources,
  run: RevisedRun,
  superseded: Superseded,
  spec: UsageSpec,
): Promise<Revision> {
  const { ledger } = sources;
  if (!isComparable(run, superseded)) return UNKNOWN;
  const since = superseded.watermark;
  const { streams: before } = await resolveStreams(ledger, run.accountId, run.settings.meterApiNames, since);
  const live = new Set(spec.streams.map(({ id }) => id));
  const streams = [...spec.streams, ...before.filter(({ id }) => !live.has(id))];
  const span: LedgerSpan = { accountId: run.accountId, since, until: run.watermark, streams, buckets: spec.buckets };
  const known = await readKnownOperations(sources, run, superseded, span);
  const { touched, count, isPurged } = await readTouched(ledger, span, known);
  if (count === 0) return { operations: { count, first: [] }, changes: toChanges([]) };
  const first = await readFirstOperations(ledger, span, known);
  const operations = { count, first };
  return isPurged
    ? { operations, changes: null }
    : { operations, changes: await readChanges(ledger, spec, span, known, touched) };
}

/** Whether both revisions have rows of the same output, of whole buckets, from states of the ledger that can be compared. */
function isComparable(run: RevisedRun, superseded: Superseded): superseded is Superseded & { watermark: string } {
  return (
    superseded.jobId === run.jobId &&
    superseded.watermark !== null &&
    superseded.watermarkEpoch === run.watermarkEpoch &&
    superseded.outputSha256.equals(hashOutput(run.settings)) &&
    endsWithBucket(run.settings, run.windowEnd)
  );
}

/** Returns the corrections that the scan of the ledger has found, and up to where it has looked. */
async function readKnownOperations(
  { local, correctionRetentionDays }: RevisionSources,
  run: RevisedRun,
  { watermarkAt }: Superseded,
  span: LedgerSpan,
): Promise<KnownOperations> {
  const all = { listed: [], scanned: null };
  const age = (run.watermarkAt?.getTime() ?? Infinity) - (watermarkAt?.getTime() ?? 0);
  if (age > (correctionRetentionDays - 1) * DAY_MS) return all;
  const [cursor] = await executeNumbered<{ scanned: string; scanned_epoch: string; listed: string[] }>(
    local,
    correctionsQuery(span, MAX_LISTED + 1),
  );
  // Negative: a row that represents all operations of a stream.
  const isListed = cursor && cursor.listed.length <= MAX_LISTED && cursor.listed.every((id) => !id.startsWith('-'));
  return isListed && cursor.scanned_epoch === run.watermarkEpoch
    ? { listed: cursor.listed, scanned: cursor.scanned }
    : all;
}

async function readTouched(
  ledger: Executor,
  span: LedgerSpan,
  known: KnownOperations,
): Promise<{ touched: TouchedStream[]; count: number; isPurged: boolean }> {
  const rows = await executeNumbered<{
    stream_id: string;
    operations: string;
    first: Date | null;
    last: Date | null;
    purged: boolean;
  }>(ledger, touchedStreamsQuery(span, known));
  const byId = new Map(rows.map((row) => [row.stream_id, row]));
  const touched = span.streams
    .flatMap((stream) => {
      const row = byId.get(String(stream.id));
      return row ? [{ ...stream, first: toDate(row.first), last: toDate(row.last) }] : [];
    })
    .sort((a, b) => compareUtf8(a.name, b.name));
  return {
    touched,
    count: rows.reduce((sum, { operations }) => sum + Number(operations), 0),
    isPurged: rows.some(({ purged }) => purged),
  };
}

const toDate = (at: Date | string | null): Date | null => (at === null ? null : new Date(at));

async function readFirstOperations(
  ledger: Executor,
  span: LedgerSpan,
  known: KnownOperations,
): Promise<TouchingOperation[]> {
  const rows = await executeNumbered<{
    id: string;
    kind: TouchingOperation['kind'];
    stream_id: string;
    received_at: string;
  }>(ledger, firstOperationsQuery(span, known, MAX_OPERATIONS));
  const names = new Map(span.streams.map(({ id, name }) => [String(id), name]));
  return rows.map((row) => ({
    id: row.id,
    kind: row.kind,
    meterApiName: names.get(row.stream_id) ?? '',
    receivedAt: new Date(row.received_at),
  }));
}

async function readChanges(
  ledger: Executor,
  usage: UsageSpec,
  span: LedgerSpan,
  known: KnownOperations,
  touched: readonly TouchedStream[],
): Promise<StoredChanges> {
  const rows = await executeNumbered<{
    name: string;
    added: string;
    removed: string;
    changed: string;
    difference: string;
  }>(ledger, changesQuery({ usage, span, known, touched }));
  const sums = await readSums(ledger, usage, new Set(rows.slice(0, MAX_METERS).map(({ name }) => name)));
  const meters = rows.map(({ name, added, removed, changed, difference }): StoredMeterChange => {
    const valueAfter = sums.get(name) ?? '0';
    return {
      meterApiName: name,
      rowsAdded: Number(added),
      rowsRemoved: Number(removed),
      rowsChanged: Number(changed),
      valueBefore: subtractDecimals(valueAfter, difference),
      valueAfter,
      difference,
    };
  });
  return toChanges(meters);
}

/** Returns the sum of each meter over all rows of the export. */
async function readSums(ledger: Executor, usage: UsageSpec, names: ReadonlySet<string>): Promise<Map<string, string>> {
  const streams = usage.streams.filter(({ name }) => names.has(name));
  if (streams.length === 0) return new Map();
  const spec = { ...usage, streams, groupBy: [], sparse: true, buckets: joinBuckets(usage.buckets) };
  const rows = await readUsageRows(ledger, spec, streams.length);
  return new Map(rows.map(({ meterApiName, value }) => [meterApiName, value]));
}

function joinBuckets({ starts, ends, calendar }: Buckets): Buckets {
  return {
    starts: starts.slice(0, 1),
    ends: ends.slice(-1),
    calendar: [...calendar.slice(0, 1), ...calendar.slice(-1)],
  };
}

function toChanges(meters: readonly StoredMeterChange[]): StoredChanges {
  const sum = (count: (meter: StoredMeterChange) => number): number =>
    meters.reduce((total, meter) => total + count(meter), 0);
  return {
    rowsAdded: sum(({ rowsAdded }) => rowsAdded),
    rowsRemoved: sum(({ rowsRemoved }) => rowsRemoved),
    rowsChanged: sum(({ rowsChanged }) => rowsChanged),
    meterCount: meters.length,
    meters: meters.slice(0, MAX_METERS),
  };
}

export function isUnchanged({ rowsAdded, rowsRemoved, rowsChanged }: StoredChanges): boolean {
  return rowsAdded + rowsRemoved + rowsChanged === 0;
}
