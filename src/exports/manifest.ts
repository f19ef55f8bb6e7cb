// Pure: the manifest of a window. Where it says "complete", the export is whole; readers trust nothing else.
import type { JobSettings } from '../jobs/settings.ts';
import { encodeId } from '../db/public-ids.ts';

/** Grows when a reader would have to change. */
const MANIFEST_VERSION = 1;

export interface ManifestRun {
  readonly id: string;
  readonly jobId: string;
  readonly settings: JobSettings;
  readonly windowStart: Date;
  readonly windowEnd: Date;
  readonly scheduledFor: Date;
  /** As of which moment of the ledger the run read, and when that was. */
  readonly watermark: string;
  readonly watermarkAt: Date | null;
}

export interface ManifestObject {
  readonly key: string;
  readonly rows: number;
  readonly bytes: number;
  readonly sha256: string;
}

/** Written before the first object where the window may have been written before. */
export const rewritingManifest = (run: ManifestRun): Buffer => toBytes({ ...head(run, 'rewriting') });

/** Written last. The totals are those of the objects listed. */
export const completeManifest = (run: ManifestRun, objects: readonly ManifestObject[]): Buffer =>
  toBytes({
    ...head(run, 'complete'),
    objects: objects.map(({ key, rows, bytes, sha256 }) => ({ key, rows, bytes, sha256 })),
    totals: {
      objects: objects.length,
      rows: objects.reduce((sum, object) => sum + object.rows, 0),
      bytes: objects.reduce((sum, object) => sum + object.bytes, 0),
    },
  });

const head = (run: ManifestRun, state: 'rewriting' | 'complete') => {
  // Who is told by mail is nothing that the readers of the bucket need to know.
  const { email: _, jobName, timeZone, ...settings } = run.settings;
  return {
    version: MANIFEST_VERSION,
    state,
    runId: encodeId('Run', run.id),
    jobId: encodeId('Job', run.jobId),
    jobName,
    settings,
    scheduledFor: second(run.scheduledFor),
    window: { start: second(run.windowStart), end: second(run.windowEnd) },
    timeZone,
    watermark: { snapshot: run.watermark, at: run.watermarkAt?.toISOString() ?? null },
  };
};

const second = (at: Date): string => at.toISOString().replace(/\.\d{3}Z$/, 'Z');

const toBytes = (manifest: object): Buffer => Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
