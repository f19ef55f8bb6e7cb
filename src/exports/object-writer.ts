import type { Context, Tracer } from '@opentelemetry/api';
import { createHash } from 'node:crypto';
import type { Database } from '../db/client.ts';
import { assertBucketOwnedBy, type BucketOwner, claimBucket } from '../jobs/bucket-ownership.ts';
import { type JobSettings, readSetting } from '../jobs/settings.ts';
import { yieldToEventLoop } from '../lib/event-loop.ts';
import { withSpan } from '../lib/spans.ts';
import type { LeasedRun } from '../runs/lease.ts';
import { assertOwnsLease, closeObjects, markObjectWritten, planObject } from '../runs/run-objects.ts';
import { contentTypeOf, type FileFormat, fileFormatOf, parseExportKey } from './formats.ts';
import type { ManifestObject, ManifestRun } from './manifest.ts';
import type { ObjectStore, StoreDestination } from './object-store.ts';
import type { BuiltFile } from './text-file.ts';

/** Updated while the run writes; the heartbeat stores it. */
export interface Progress {
  rows: number;
  bytes: number;
  /** Whether the earlier manifest of the window was replaced by one with the state `rewriting`. */
  isRewriting: boolean;
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
export type DeliveringRun = LeasedRun & Pick<ManifestRun, 'supersedes'>;

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

/** Dependencies of a writer, the same for all attempts of a server. */
interface WriterContext {
  readonly database: Database;
  readonly store: ObjectStore;
}

interface ManifestPut {
  readonly key?: string;
  readonly known?: BucketOwner;
}

/** Writes the objects and the manifests of an attempt. Each is stored in run_objects, and the lease checked, before its PutObject. */
export class ObjectWriter {
  readonly objects: ManifestObject[] = [];
  readonly totals = { rows: 0, bytes: 0 };
  readonly #context: WriterContext;
  readonly #run: DeliveringRun;
  readonly #progress: Progress;
  readonly #attempt: ExportAttempt;
  readonly #format: FileFormat;

  constructor(context: WriterContext, run: DeliveringRun, progress: Progress, attempt: ExportAttempt) {
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
