import type { Context, Tracer } from '@opentelemetry/api';
import { createHash } from 'node:crypto';
import { readEpoch } from '../db/as-of.ts';
import { type Database, inOrder } from '../db/client.ts';
import type { RowReaders } from '../db/row-readers.ts';
import { MovedError } from '../errors/errors.ts';
import { type BucketOwner, claimBucket, assertBucketOwnedBy } from '../jobs/bucket-ownership.ts';
import { computeCompleteness } from '../deliveries/completeness.ts';
import { FIRST_REVISION, isUnchanged, readRevision, type Revision } from '../deliveries/read-revision.ts';
import { findSuperseded, isOutdated } from '../deliveries/superseded.ts';
import { folderOf, manifestNames, objectKey } from '../jobs/destination.ts';
import { type JobSettings, readSetting } from '../jobs/settings.ts';
import { findRunWarnings } from '../jobs/warnings.ts';
import { withSpan } from '../lib/spans.ts';
import { yieldToEventLoop } from '../lib/event-loop.ts';
import { readDeclarations } from '../streams/declarations.ts';
import { JOB_CHANGED, type LeasedRun, type Outcome, UNCHANGED } from '../runs/lease.ts';
import { assertOwnsLease, closeObjects, markObjectWritten, planObject, renameManifests } from '../runs/run-objects.ts';
import { buildUsageSpec, assertFilledRowsWithinLimit } from '../usage/usage.ts';
import { emptyFileOf, memoryOf, openFile } from './export-files.ts';
import { contentTypeOf, type FileFormat, fileFormatOf, parseExportKey } from './formats.ts';
import {
  completeManifest,
  findRoundingWarning,
  type ManifestObject,
  type ManifestRun,
  movedManifest,
  rewritingManifest,
} from './manifest.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { ObjectStore, StoreDestination } from './object-store.ts';
import { splitIntoParts } from './parts.ts';
import type { BuiltFile } from './text-file.ts';
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

/** Updated while the run writes; the heartbeat stores it. */
export interface Progress {
  rows: number;
  bytes: number;
  /** Warnings for the owner of the job: at first those of the attempt before. Stored when the attempt ends, and in the manifest. */
  warnings: string[];
}

/** The attempt for which an export is written. */
export interface ExportAttempt {
  readonly tracer: Tracer;
  /** The parent of the spans of the export. */
  readonly traceContext: Context;
  /** Aborted when the export must stop. */
  readonly signal: AbortSignal;
  /**
   * Throws if the lease may have expired, by the worker's own clock. Needed although the database was asked before: a process that
   * was suspended (SIGSTOP) reads the response, then long outdated, before its timers fire.
   */
  assertLeaseCurrent(): void;
}

/** A run with the revision that it replaces, for its manifests. */
type DeliveringRun = LeasedRun & Pick<ManifestRun, 'supersedes'>;

/** Hashing 1 MiB takes 1 to 2 ms; hashing 64 MiB in one call would block all requests for 100 ms and more. */
const HASH_BLOCK_BYTES = 1024 * 1024;

async function computeSha256(body: Buffer): Promise<string> {
  const hash = createHash('sha256');
  for (let at = 0; at < body.length; at += HASH_BLOCK_BYTES) {
    if (at > 0) await yieldToEventLoop();
    hash.update(body.subarray(at, at + HASH_BLOCK_BYTES));
  }
  return hash.digest('hex');
}

/**
 * Writes the export of a run: reads rows from PostgreSQL as of the run's watermark, writes each part with one PutObject, and the
 * manifest last. Every attempt writes the same bytes to the same keys. A restatement that has not written anything is skipped if the rows of its
 * window have not changed, or if its job has another output now. Throws ObjectStoreError, LimitExceededError, MovedError,
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
  const maySkip = run.trigger === 'RESTATEMENT' && !run.isResumed;
  if (maySkip && (await isOutdated(database.runs, run))) return { event: 'SKIP', reason: JOB_CHANGED };
  const window = { start: run.windowStart, end: run.windowEnd };
  const [spec, declared] = await withSpan(tracer, 'plan', {}, traceContext, () =>
    // Pipelined.
    database
      .forRunOf(run.accountId)
      .transaction((tx) =>
        inOrder([
          buildUsageSpec(tx, run.accountId, run.settings, window, run.watermark),
          readDeclarations(tx, run.accountId, run.settings.meterApiNames, run.watermark),
        ]),
      ),
  );
  const completeness = computeCompleteness(run.settings, window, declared);
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
      if (run.rewrites) await writer.putManifest(rewritingManifest(run));
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

/** Returns where and how the objects of a job are written. */
export function storeDestination(bucket: string, settings: JobSettings): StoreDestination {
  return {
    bucket,
    bucketOwner: readSetting(settings, 'bucketOwner'),
    region: readSetting(settings, 'region'),
    encryption: readSetting(settings, 'encryption'),
    kmsKeyId: readSetting(settings, 'kmsKeyId'),
  };
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

interface ManifestPut {
  readonly key?: string;
  readonly known?: BucketOwner;
}

class ObjectWriter {
  readonly objects: ManifestObject[] = [];
  readonly totals = { rows: 0, bytes: 0 };
  readonly #context: ExportContext;
  readonly #run: DeliveringRun;
  readonly #progress: Progress;
  readonly #attempt: ExportAttempt;
  readonly #format: FileFormat;

  constructor(context: ExportContext, run: DeliveringRun, progress: Progress, attempt: ExportAttempt) {
    this.#context = context;
    this.#run = run;
    this.#progress = progress;
    this.#attempt = attempt;
    this.#format = fileFormatOf(run.settings);
  }

  /** Updates the progress: the objects written so far, plus the rows and bytes of the current part. */
  showProgress(rows: number, bytes: number): void {
    this.#progress.rows = this.totals.rows + rows;
    this.#progress.bytes = this.totals.bytes + bytes;
  }

  /** @param isLast whether closeObjects() follows, which records that the object was written */
  async putObject(key: string, { body, rows, roundedRows }: BuiltFile, isLast = false): Promise<void> {
    const db = this.#context.database.runs;
    const format = parseExportKey(key, this.#format);
    if (!format) throw new Error(`"${key}" is not the key of an export.`);
    const sha256 = await computeSha256(body);
    const object = {
      key,
      rows,
      bytes: body.length,
      sha256,
      ...(this.#format.extension === 'parquet' && { roundedRows: roundedRows ?? 0 }),
    };
    this.#attempt.signal.throwIfAborted();
    const owner = await planObject(db, this.#run, { ...object, ordinal: this.objects.length + 1 });
    await this.#put(owner, key, body, contentTypeOf(format), sha256);
    if (!isLast) await markObjectWritten(db, this.#run, key);
    this.objects.push(object);
    this.totals.rows += rows;
    this.totals.bytes += body.length;
    this.showProgress(0, 0);
  }

  /** Returns every key that runs of the window may have written, and the owner of the S3 bucket. */
  closeObjects(): ReturnType<typeof closeObjects> {
    const last = this.objects.at(-1);
    if (!last) throw new Error('An export has at least one object.');
    return closeObjects(this.#context.database.runs, this.#run, last.key);
  }

  /** @param known the owner of the S3 bucket, if it was read immediately before */
  async putManifest(body: Buffer, { key = this.#run.manifestKey, known }: ManifestPut = {}): Promise<void> {
    this.#attempt.signal.throwIfAborted();
    const sha256 = await computeSha256(body);
    const owner = known ?? (await assertOwnsLease(this.#context.database.runs, this.#run));
    await this.#put(owner, key, body, 'application/json', sha256);
  }

  async #put(owner: BucketOwner, key: string, body: Buffer, contentType: string, sha256Hex: string): Promise<void> {
    const { accountId, bucket } = this.#run;
    // Checked before each put, because the operator may move the S3 bucket to another account during a run.
    const own = assertBucketOwnedBy(owner, accountId);
    this.#attempt.assertLeaseCurrent();
    await withSpan(
      this.#attempt.tracer,
      'PutObject',
      { attributes: { 'aws.s3.bucket': bucket, 'aws.s3.key': key, 'sluice.object.bytes': body.length } },
      this.#attempt.traceContext,
      () =>
        this.#context.store.put({
          ...storeDestination(bucket, this.#run.settings),
          key,
          body,
          contentType,
          sha256Hex,
          signal: this.#attempt.signal,
        }),
    );
    if (!own) await claimBucket(this.#context.database.runs, accountId, bucket);
  }
}
