import { readEpoch } from '../db/as-of.ts';
import type { Database } from '../db/client.ts';
import type { RowReaders } from '../db/row-readers.ts';
import { MovedError } from '../errors/errors.ts';
import { computeCompleteness } from '../deliveries/completeness.ts';
import { FIRST_REVISION, isUnchanged, readRevision, type Revision } from '../deliveries/read-revision.ts';
import { findSuperseded, isOutdated } from '../deliveries/superseded.ts';
import { folderOf, manifestNames, objectKey } from '../jobs/destination.ts';
import { findRunWarnings } from '../jobs/warnings.ts';
import { withSpan } from '../lib/spans.ts';
import { isStillNeeded } from '../runs/backfills/next-windows.ts';
import { DELIVERED } from '../runs/backfills/progress.ts';
import { JOB_CHANGED, type LeasedRun, type Outcome, UNCHANGED } from '../runs/lease.ts';
import { renameManifests } from '../runs/run-objects.ts';
import { buildUsageSpec, assertFilledRowsWithinLimit } from '../usage/usage.ts';
import { emptyFileOf, memoryOf, openFile } from './export-files.ts';
import { fileFormatOf } from './formats.ts';
import { completeManifest, findRoundingWarning, movedManifest, rewritingManifest } from './manifest.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { ObjectStore } from './object-store.ts';
import { type DeliveringRun, type ExportAttempt, ObjectWriter, type Progress } from './object-writer.ts';
import { splitIntoParts } from './parts.ts';
import type { ReadReplica } from './read-replica.ts';
import { buildCopyStatement } from './copy-statement.ts';

export interface ExportContext {
  readonly database: Database;
  readonly readers: RowReaders;
  /** The standby that rows are read from if possible; null if DATABASE_READ_URL is not set. */
  readonly replica: ReadReplica | null;
  readonly store: ObjectStore;
  readonly memory: MemoryBudget;
  readonly limits: ExportLimits;
}

export interface ExportLimits {
  /** Bytes of a part before compression. */
  readonly partBytes: number;
  readonly maxFilledRows: number;
  readonly correctionRetentionDays: number;
}

/**
 * Writes the export of a run: reads rows from PostgreSQL as of the run's watermark, writes each part with one PutObject, and the
 * manifest last. Every attempt writes the same bytes to the same keys. A restatement that has not written anything is skipped if the
 * rows of its window have not changed, or if its job has another output now; so is a run of a backfill whose window was delivered
 * meanwhile. Throws ObjectStoreError, LimitExceededError, MovedError,
 * ConflictError (the S3 bucket belongs to another account), LeaseLostError, and errors of the database.
 */
export async function writeExport(
  context: ExportContext,
  claimed: LeasedRun,
  progress: Progress,
  attempt: ExportAttempt,
): Promise<Outcome> {
  const { signal, tracer, traceContext } = attempt;
  const { database, limits } = context;
  const run: DeliveringRun = {
    ...claimed,
    manifestKey: manifestNames(claimed.manifestKey).current,
    supersedes: claimed.rewrites ? await findSuperseded(database.runs, claimed) : null,
  };
  if (run.trigger === 'BACKFILL' && !run.isResumed && !(await isStillNeeded(database.runs, run)))
    return { event: 'SKIP', reason: DELIVERED };
  const maySkip = run.trigger === 'RESTATEMENT' && !run.isResumed;
  if (maySkip && (await isOutdated(database.runs, run))) return { event: 'SKIP', reason: JOB_CHANGED };
  const window = { start: run.windowStart, end: run.windowEnd };
  const spec = await withSpan(tracer, 'plan', {}, traceContext, () =>
    buildUsageSpec(database.forRunOf(run.accountId), run.accountId, run.settings, window, run.watermark),
  );
  const completeness = computeCompleteness(run.settings, window, spec.streams);
  progress.warnings = findRunWarnings(run.settings, spec.streams, window).map(({ message }) => message);
  const format = fileFormatOf(run.settings);
  const folder = folderOf(run.manifestKey);
  const writer = new ObjectWriter(context, run, progress, attempt);
  const release = await withSpan(tracer, 'wait for memory', {}, traceContext, () =>
    context.memory.acquire(memoryOf(format, limits.partBytes), signal),
  );
  try {
    const reader = await withSpan(
      tracer,
      'connect',
      {},
      traceContext,
      async () => (await context.replica?.open(run, signal)) ?? context.readers.open(run.accountId, signal),
    );
    let revision: Revision = FIRST_REVISION;
    try {
      const { supersedes } = run;
      if (supersedes) {
        const sources = { local: database.runs, ledger: reader.db, ...limits };
        revision = await withSpan(tracer, 'compare', {}, traceContext, () =>
          readRevision(sources, run, supersedes, spec),
        );
      }
      const { changes } = revision;
      if (maySkip && !run.supersedes?.isOverwritten && run.reason !== 'COMPLETE' && changes && isUnchanged(changes)) {
        await assertSameEpoch(database, run);
        return { event: 'SKIP', reason: UNCHANGED, changes };
      }
      await withSpan(tracer, 'count', {}, traceContext, () =>
        assertFilledRowsWithinLimit(reader.db, spec, limits.maxFilledRows),
      );
      if (run.rewrites) {
        await writer.putManifest(rewritingManifest(run));
        progress.isRewriting = true;
      }
      if (claimed.manifestKey !== run.manifestKey) await moveManifest(writer, database, run, claimed.manifestKey);
      const copying = new Date();
      const parts = splitIntoParts(reader.lines(buildCopyStatement(spec, format)), {
        openFile: () => openFile(run, format, spec.groupBy, limits.partBytes),
        crlf: format.isExcel,
        maxBytes: limits.partBytes,
        onProgress: (rows, bytes) => writer.showProgress(rows, bytes),
      });
      for await (const part of parts) {
        const single = part.last && part.number === 1;
        const key = objectKey({ folder, window, ...format, part: single ? undefined : part.number });
        // The COPY span includes the uploads, because rows are read only as fast as S3 accepts parts.
        if (part.last) {
          const attributes = { 'sluice.export.rows': writer.totals.rows + part.rows };
          tracer.startSpan('COPY', { startTime: copying, attributes }, traceContext).end();
        }
        await writer.putObject(key, part, part.last);
      }
    } finally {
      reader.close();
    }
    await assertSameEpoch(database, run);
    const { keys, owner } = await writer.closeObjects();
    const overwritten = await overwriteStaleKeys(writer, keys, (key) => emptyFileOf(key, run, format, spec.groupBy));
    const rounded = findRoundingWarning(writer.objects);
    if (rounded !== null) progress.warnings.push(rounded);
    // The owner is read again if objects were written in between.
    await writer.putManifest(
      completeManifest(run, revision, completeness, writer.objects, progress.warnings),
      overwritten > 0 ? {} : { known: owner },
    );
    return {
      event: 'SUCCEED',
      totals: { ...writer.totals, complete: completeness.complete },
      changes: revision.changes,
    };
  } finally {
    release();
  }
}

/** Throws MovedError if what was read is inconsistent, because the account moved or was repaired meanwhile. */
async function assertSameEpoch(database: Database, { accountId, watermarkEpoch }: LeasedRun): Promise<void> {
  const epoch = await readEpoch(database.forRunOf(accountId), accountId);
  if (epoch !== watermarkEpoch) throw new MovedError();
}

/**
 * Moves the manifest of the window from its former name, before the first object. The names of the runs change last, so that
 * after a crash the next attempt starts under the name whose manifest was in force.
 */
async function moveManifest(
  writer: ObjectWriter,
  database: Database,
  run: DeliveringRun,
  former: string,
): Promise<void> {
  if (run.rewrites) await writer.putManifest(movedManifest(run), { key: former });
  await renameManifests(database.runs, run, former);
}

/** Overwrites the keys that earlier runs of the window wrote and this run did not, with empty files. Returns their number. */
async function overwriteStaleKeys(
  writer: ObjectWriter,
  keysWritten: readonly string[],
  emptyFile: (key: string) => Promise<Buffer | null>,
): Promise<number> {
  const current = new Set(writer.objects.map((object) => object.key));
  for (const key of keysWritten) {
    const body = current.has(key) ? null : await emptyFile(key);
    if (body) await writer.putObject(key, { body, rows: 0, roundedRows: 0 });
  }
  return writer.objects.length - current.size;
}
