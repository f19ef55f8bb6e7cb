// Pure: whether two runs of one window write the same rows to the same keys.
import { createHash } from 'node:crypto';
import { type JobSettings, readSetting } from './settings.ts';
import { isDestinationProblem, parseStoredS3Url, toSlug } from './destination.ts';

const WHERE_AND_HOW = ['region', 'encryption', 'kmsKeyId', 'csvDialect', 'csvDelimiter'] as const;

/**
 * Returns a text of all settings that decide which bytes a run writes and where, apart from its window and the records. Two jobs
 * with equal texts write the same. Lists in another order give another text, which can cause an unnecessary run and never loses
 * one.
 */
export function exportFingerprint(settings: JobSettings): string {
  const destination = parseStoredS3Url(settings.s3Url);
  return JSON.stringify([
    isDestinationProblem(destination) ? settings.s3Url : [destination.bucket, destination.path],
    toSlug(settings.jobName),
    settings.format,
    settings.compression,
    ...WHERE_AND_HOW.map((field) => readSetting(settings, field)),
    settings.aggregationBucket,
    settings.timeZone,
    settings.meterApiNames,
    settings.groupBy,
    settings.filter?.map(({ dimension, values }) => [dimension, values]),
    settings.sparse,
    settings.rescaleFunction && [settings.rescaleFunction.function, settings.rescaleFunction.coefficient],
  ]);
}

/** Returns the SHA-256 of the fingerprint: the output of a job, by which deliveries are compared with its settings. */
export function hashOutput(settings: JobSettings): Buffer {
  return createHash('sha256').update(exportFingerprint(settings)).digest();
}
