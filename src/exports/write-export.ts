import type { Context, Tracer } from '@opentelemetry/api';
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { epochOf } from '../db/as-of.ts';
import type { Database } from '../db/client.ts';
import type { RowReaders } from '../db/row-readers.ts';
import { MovedError } from '../errors/errors.ts';
import { type BucketOwner, claimBucket, isOwn } from '../jobs/bucket-ownership.ts';
import { objectKey } from '../jobs/destination.ts';
import { destinationOf } from '../jobs/jobs.ts';
import { withSpan } from '../lib/spans.ts';
import { afterOthers } from '../lib/turns.ts';
import type { LeasedRun, RunTotals } from '../runs/lease.ts';
import { assertOwnsLease, closeObjects, markObjectWritten, planObject } from '../runs/run-objects.ts';
import { buildUsageSpec, checkFilledRows } from '../usage/usage.ts';
import { contentTypeOf, emptyFile, extensionOf, parseExportKey, framingOf } from './formats.ts';
import { completeManifest, type ManifestObject, rewritingManifest } from './manifest.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { ObjectStore } from './object-store.ts';
import { splitIntoParts } from './parts.ts';
import type { ReadReplica } from './read-replica.ts';
import { buildCopyStatement } from './copy-statement.ts';

export interface ExportContext {
  readonly database: Database;
  readonly readers: RowReaders;
  /** Where rows are read from, if it can; null where there is the database alone. */
  readonly replica: ReadReplica | null;
  readonly store: ObjectStore;
  readonly memory: MemoryBudget;
  readonly limits: ExportLimits;
}

export interface ExportLimits {
  /** Bytes of a part before compression. */
  readonly partBytes: number;
  readonly maxFilledRows: number;
}

/** Advances while the run writes; whoever holds it reads it when he likes. */
export interface Progress {
  rows: number;
  bytes: number;
}

/** A worker's hold on its run. */
export interface Hold {
  readonly tracer: Tracer;
  /** The parent of the spans of the export. */
  readonly traceContext: Context;
  /** Aborted where the run is to be written no more. */
  readonly signal: AbortSignal;
  /**
   * Throws where the lease may be over by now, by the worker's own clock. A process that was stopped hears what it asked
   * before its timers go off: the database had said yes long ago, and another may hold the run.
   */
  assertLeaseCurrent(): void;
}

const compress = promisify(gzip);

/** Bytes that are hashed in one go: 1 to 2 ms, while 64 MiB at once keep all requests waiting for 100 and more. */
const HASHED_AT_ONCE = 1024 * 1024;

const sha256Of = async (body: Buffer): Promise<string> => {
  const hash = createHash('sha256');
  for (let at = 0; at < body.length; at += HASHED_AT_ONCE) {
    if (at > 0) await afterOthers();
    hash.update(body.subarray(at, at + HASHED_AT_ONCE));
  }
  return hash.digest('hex');
};

/**
 * Writes the window of a run: rows out of Postgres into parts, each part one PutObject, the manifest last. Reads as of
 * the run's watermark, so that every attempt writes the same bytes to the same keys.
 * Throws ObjectStoreError, LimitExceededError, MovedError, ConflictError (another account's bucket), LeaseLostError, or what the database threw.
 */
export const writeExport = async (
  context: ExportContext,
  run: LeasedRun,
  progress: Progress,
  hold: Hold,
): Promise<RunTotals> => {
  const { signal, tracer, traceContext } = hold;
  const { database, limits } = context;
  const window = { start: run.windowStart, end: run.windowEnd };
  const spec = await withSpan(tracer, 'plan', {}, traceContext, () =>
    buildUsageSpec(database.forRunOf(run.accountId), run.accountId, run.settings, window, run.watermark),
  );
  const compressed = run.settings.compression === 'GZIP';
  const extension = extensionOf(run.settings.format);
  const { path, slug } = destinationOf(run.settings);
  const writer = new ObjectWriter(context, run, progress, hold);
  // Compressed output is gathered beside the compressor's own buffers; at worst it is as large as what went in.
  const release = await withSpan(tracer, 'wait for memory', {}, traceContext, () =>
    context.memory.acquire(limits.partBytes, signal),
  );
  try {
    const reader = await withSpan(
      tracer,
      'connect',
      {},
      traceContext,
      async () => (await context.replica?.open(run, signal)) ?? context.readers.open(run.accountId, signal),
    );
    try {
      await withSpan(tracer, 'count', {}, traceContext, () => checkFilledRows(reader.db, spec, limits.maxFilledRows));
      if (run.rewrites) await writer.putManifest(rewritingManifest(run));
      const copying = new Date();
      const parts = splitIntoParts(reader.lines(buildCopyStatement(spec, extension)), {
        framing: framingOf(extension, spec.groupBy),
        maxBytes: limits.partBytes,
        compressed,
        onProgress: (rows, bytes) => writer.showProgress(rows, bytes),
      });
      for await (const part of parts) {
        const single = part.last && part.number === 1;
        const key = objectKey({ path, slug, window, extension, compressed, part: single ? undefined : part.number });
        // The COPY span includes the uploads, because rows are read only as fast as S3 accepts parts.
        if (part.last) {
          const attributes = { 'sluice.export.rows': writer.totals.rows + part.rows };
          tracer.startSpan('COPY', { startTime: copying, attributes }, traceContext).end();
        }
        await writer.putObject(key, part.body, part.rows, part.last);
      }
    } finally {
      reader.close();
    }
    if ((await epochOf(database.forRunOf(run.accountId), run.accountId)) !== run.watermarkEpoch) throw new MovedError();
    const { keys, owner } = await writer.closeObjects();
    const overwritten = await overwriteStaleKeys(writer, keys, spec.groupBy);
    // Asked anew where something was written in between.
    await writer.putManifest(completeManifest(run, writer.objects), overwritten > 0 ? undefined : owner);
    return writer.totals;
  } finally {
    release();
  }
};

/** Keys of earlier runs of the window that this one does not write get an empty file of their own format. How many. */
const overwriteStaleKeys = async (
  writer: ObjectWriter,
  keysWritten: readonly string[],
  groupBy: readonly string[],
): Promise<number> => {
  const current = new Set(writer.objects.map((object) => object.key));
  for (const key of keysWritten) {
    const form = parseExportKey(key);
    if (current.has(key) || !form) continue;
    const empty = emptyFile(form.extension, groupBy);
    await writer.putObject(key, form.compressed ? await compress(empty) : empty, 0);
  }
  return writer.objects.length - current.size;
};

class ObjectWriter {
  readonly objects: ManifestObject[] = [];
  readonly totals = { rows: 0, bytes: 0 };
  readonly #context: ExportContext;
  readonly #run: LeasedRun;
  readonly #progress: Progress;
  readonly #hold: Hold;

  constructor(context: ExportContext, run: LeasedRun, progress: Progress, hold: Hold) {
    this.#context = context;
    this.#run = run;
    this.#progress = progress;
    this.#hold = hold;
  }

  /** What is written, and what has gone into the part being made. */
  showProgress(rows: number, bytes: number): void {
    this.#progress.rows = this.totals.rows + rows;
    this.#progress.bytes = this.totals.bytes + bytes;
  }

  /** @param isLast closeObjects comes next, and notes that it was written */
  async putObject(key: string, body: Buffer, rows: number, isLast = false): Promise<void> {
    const db = this.#context.database.runs;
    const form = parseExportKey(key);
    if (!form) throw new Error(`"${key}" is no key of an export.`);
    const sha256 = await sha256Of(body);
    const object = { key, rows, bytes: body.length, sha256 };
    this.#hold.signal.throwIfAborted();
    const owner = await planObject(db, this.#run, { ...object, ordinal: this.objects.length + 1 });
    await this.#put(owner, key, body, contentTypeOf(form.extension, form.compressed), sha256);
    if (!isLast) await markObjectWritten(db, this.#run, key);
    this.objects.push(object);
    this.totals.rows += rows;
    this.totals.bytes += body.length;
    this.showProgress(0, 0);
  }

  /** Every key that runs of the window may have written, and whose the bucket is. */
  closeObjects(): ReturnType<typeof closeObjects> {
    const last = this.objects.at(-1);
    if (!last) throw new Error('An export has at least one object.');
    return closeObjects(this.#context.database.runs, this.#run, last.key);
  }

  /** @param known whose the bucket is, where that was asked right before */
  async putManifest(body: Buffer, known?: BucketOwner): Promise<void> {
    this.#hold.signal.throwIfAborted();
    const sha256 = await sha256Of(body);
    const owner = known ?? (await assertOwnsLease(this.#context.database.runs, this.#run));
    await this.#put(owner, this.#run.manifestKey, body, 'application/json', sha256);
  }

  async #put(owner: BucketOwner, key: string, body: Buffer, contentType: string, sha256Hex: string): Promise<void> {
    const { accountId, bucket } = this.#run;
    // Asked before each, since the operator may move the bucket while a run writes.
    const own = isOwn(owner, accountId);
    this.#hold.assertLeaseCurrent();
    await withSpan(
      this.#hold.tracer,
      'PutObject',
      { attributes: { 'aws.s3.bucket': bucket, 'aws.s3.key': key, 'sluice.object.bytes': body.length } },
      this.#hold.traceContext,
      () =>
        this.#context.store.put({
          bucket,
          bucketOwner: this.#run.settings.bucketOwner ?? null,
          key,
          body,
          contentType,
          sha256Hex,
          signal: this.#hold.signal,
        }),
    );
    if (!own) await claimBucket(this.#context.database.runs, accountId, bucket);
  }
}
