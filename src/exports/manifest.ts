// Pure: the manifest of a window, the commit point of a run: readers trust the objects that a "complete" manifest lists, and nothing else.
import type { Completeness } from '../deliveries/completeness.ts';
import { type JobSettings, pickSettings } from '../jobs/settings.ts';
import type { StoredChanges } from '../db/json-columns.ts';
import type { Superseded } from '../deliveries/superseded.ts';
import type { Revision, TouchingOperation } from '../deliveries/read-revision.ts';
import { DECIMAL_SCALE } from './parquet-values.ts';
import { exactNumber } from '../lib/exact-number.ts';
import { encodeGlobalId } from '../lib/global-ids.ts';
import type { RunTrigger } from '../runs/runs.ts';

/** Maximum number of meters whose completeness is listed. */
const MAX_METERS = 1000;

/** Incremented if a change breaks existing readers. */
const MANIFEST_VERSION = 1;

export interface ManifestRun {
  readonly id: string;
  readonly jobId: string;
  readonly trigger: RunTrigger;
  readonly settings: JobSettings;
  readonly windowStart: Date;
  readonly windowEnd: Date;
  readonly scheduledFor: Date;
  /** State of the ledger that the run read, and the time at which it was taken. */
  readonly watermark: string;
  readonly watermarkAt: Date | null;
  /** Number of this write of the delivery: grows with each write, and may have gaps. */
  readonly revision: number | null;
  /** The revision in the S3 bucket before this one; null if there was none. */
  readonly supersedes: Superseded | null;
}

export interface ManifestObject {
  readonly key: string;
  readonly rows: number;
  readonly bytes: number;
  readonly sha256: string;
  /** Rows whose value was rounded. Only in Parquet. */
  readonly roundedRows?: number;
}

/** Returns the manifest that is written before the first object if the window may have been written before. */
export const rewritingManifest = (run: ManifestRun): Buffer => toBytes({ ...head(run, 'rewriting') });

/** Returns the manifest that is written under the name that it had before. Readers continue with that of `manifestKey`. */
export function movedManifest(run: ManifestRun & { readonly manifestKey: string }): Buffer {
  return toBytes({ ...head(run, 'moved'), manifestKey: run.manifestKey });
}

/** Returns the manifest that is written after the last object. */
export function completeManifest(
  run: ManifestRun,
  { operations, changes }: Revision,
  { complete, meters }: Completeness,
  objects: readonly ManifestObject[],
  warnings: readonly string[],
): Buffer {
  return toBytes({
    ...head(run, 'complete'),
    reason: {
      trigger: run.trigger,
      operationCount: operations?.count ?? null,
      operations: operations?.first.map(formatOperation) ?? [],
    },
    changes: changes && formatChanges(changes),
    completeness: {
      complete,
      meters: meters.slice(0, MAX_METERS).map((meter) => ({
        ...meter,
        completeThrough: meter.completeThrough && second(meter.completeThrough),
      })),
    },
    objects: objects.map(({ key, rows, bytes, sha256, roundedRows }) => ({ key, rows, bytes, sha256, roundedRows })),
    totals: {
      objects: objects.length,
      rows: objects.reduce((sum, object) => sum + object.rows, 0),
      bytes: objects.reduce((sum, object) => sum + object.bytes, 0),
      ...(run.settings.format === 'PARQUET' && { roundedRows: countRoundedRows(objects) }),
    },
    warnings,
  });
}

function formatOperation({ id, kind, meterApiName, receivedAt }: TouchingOperation) {
  return { id: encodeGlobalId('AllocationOperation', id), kind, meterApiName, receivedAt: receivedAt.toISOString() };
}

function formatChanges({ rowsAdded, rowsRemoved, rowsChanged, meterCount, meters }: StoredChanges) {
  return {
    rowsAdded,
    rowsRemoved,
    rowsChanged,
    meterCount,
    // Member by member, because jsonb does not keep their order.
    meters: meters.map((meter) => ({
      meterApiName: meter.meterApiName,
      rowsAdded: meter.rowsAdded,
      rowsRemoved: meter.rowsRemoved,
      rowsChanged: meter.rowsChanged,
      valueBefore: exactNumber(meter.valueBefore),
      valueAfter: exactNumber(meter.valueAfter),
      difference: exactNumber(meter.difference),
    })),
  };
}

function countRoundedRows(objects: readonly ManifestObject[]): number {
  return objects.reduce((sum, { roundedRows = 0 }) => sum + roundedRows, 0);
}

/** Returns the warning of a run whose file could not hold all decimals; null if no value was rounded. */
export function findRoundingWarning(objects: readonly ManifestObject[]): string | null {
  const rounded = countRoundedRows(objects);
  if (rounded === 0) return null;
  const [values, were] = rounded === 1 ? ['1 value', 'was'] : [`${rounded} values`, 'were'];
  return `${values} had more than ${DECIMAL_SCALE} decimals and ${were} rounded half to even. Export as CSV, JSON or NDJSON to keep all decimals.`;
}

function head(run: ManifestRun, state: 'rewriting' | 'moved' | 'complete') {
  // Readers of the S3 bucket do not need the email address.
  const { email: _, jobName, timeZone, ...settings } = pickSettings(run.settings);
  return {
    version: MANIFEST_VERSION,
    state,
    runId: encodeGlobalId('Run', run.id),
    jobId: encodeGlobalId('Job', run.jobId),
    jobName,
    settings,
    scheduledFor: second(run.scheduledFor),
    window: { start: second(run.windowStart), end: second(run.windowEnd) },
    timeZone,
    watermark: formatWatermark(run),
    revision: run.revision,
    supersedes: run.supersedes && {
      revision: run.supersedes.revision,
      runId: encodeGlobalId('Run', run.supersedes.runId),
      watermark: formatWatermark(run.supersedes),
      objects: run.supersedes.objects,
    },
  };
}

function formatWatermark({ watermark, watermarkAt }: Pick<Superseded, 'watermark' | 'watermarkAt'>) {
  return { snapshot: watermark, at: watermarkAt?.toISOString() ?? null };
}

const second = (at: Date): string => at.toISOString().replace(/\.\d{3}Z$/, 'Z');

const toBytes = (manifest: object): Buffer => Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
