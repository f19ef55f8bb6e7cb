// Pure: whether two runs of one window write the same rows to the same keys.
import { createHash } from 'node:crypto';
import { type JobSettings, readSetting } from './settings.ts';
import { isDestinationProblem, parseStoredS3Url, toSlug } from './destination.ts';

const STORE_FIELDS = ['region', 'encryption', 'kmsKeyId'] as const;

/**
 * Returns a text of all settings that decide which bytes a run writes, where and how, apart from its window and the records. Two
 * jobs with equal texts write the same.
 */
export function exportFingerprint(settings: JobSettings): string {
  return JSON.stringify([outputOf(settings), ...STORE_FIELDS.map((field) => readSetting(settings, field))]);
}

/**
 * Returns what two runs of a window must share to write the same rows to the same keys. Lists in another order give another output,
 * which can cause an unnecessary run and never loses one.
 */
function outputOf(settings: JobSettings): readonly unknown[] {
  const destination = parseStoredS3Url(settings.s3Url);
  return [
    isDestinationProblem(destination) ? settings.s3Url : [destination.bucket, destination.path],
    toSlug(settings.jobName),
    settings.format,
    settings.compression,
    readSetting(settings, 'csvDialect'),
    readSetting(settings, 'csvDelimiter'),
    settings.aggregationBucket,
    settings.timeZone,
    settings.meterApiNames,
    settings.groupBy,
    settings.filter?.map(({ dimension, values }) => [dimension, values]),
    settings.sparse,
    settings.rescaleFunction && [settings.rescaleFunction.function, settings.rescaleFunction.coefficient],
  ];
}

/** Returns the SHA-256 of the output of a job, by which its deliveries are compared with its settings. */
export function hashOutput(settings: JobSettings): Buffer {
  return createHash('sha256')
    .update(JSON.stringify(outputOf(settings)))
    .digest();
}
