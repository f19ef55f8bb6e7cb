// Pure: what two runs of one window have to agree in to write the same rows to the same keys.
import type { JobSettings } from './settings.ts';
import { isDestinationProblem, parseS3Url, toSlug } from './destination.ts';

/**
 * All that decides which bytes a run of these settings writes, and where to, but its window and the records: one text, equal
 * where the settings may stand for each other. Lists in another order count as other settings, which costs a run too many
 * and never loses one.
 */
export const exportFingerprint = (settings: JobSettings): string => {
  const destination = parseS3Url(settings.s3Url);
  return JSON.stringify([
    isDestinationProblem(destination) ? settings.s3Url : [destination.bucket, destination.path],
    toSlug(settings.jobName),
    settings.format,
    settings.compression,
    settings.aggregationBucket,
    settings.timeZone,
    settings.meterApiNames,
    settings.groupBy,
    settings.filter?.map(({ dimension, values }) => [dimension, values]),
    settings.sparse,
    settings.rescaleFunction && [settings.rescaleFunction.function, settings.rescaleFunction.coefficient],
  ]);
};
