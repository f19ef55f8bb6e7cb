// Pure: the shapes that stand in jsonb columns.

/** The settings of a job, all defaults filled in; copied into each run when it is queued. */
export interface JobSettings {
  readonly jobName: string;
  readonly description: string | null;
  readonly enabled: boolean;
  readonly email: string | null;
  /** As the user wrote it; bucket and path are parsed from it. */
  readonly s3Url: string;
  /** 12 digits: the AWS account that the bucket must belong to. Absent in settings from before there was such a field. */
  readonly bucketOwner?: string | null;
  readonly format: 'JSON' | 'CSV' | 'NDJSON';
  readonly compression: 'NONE' | 'GZIP';
  readonly aggregationBucket: 'HOUR' | 'DAY' | 'WEEK' | 'MONTH';
  readonly timeZone: string;
  readonly range: string;
  readonly endTimeOffset: string | null;
  readonly cron: string | null;
  /** Unix epoch seconds. */
  readonly scheduledTimeInSeconds: number | null;
  readonly meterApiNames: readonly string[] | null;
  readonly groupBy: readonly string[] | null;
  readonly filter: readonly DimensionValues[] | null;
  readonly sparse: boolean;
  readonly minimizeFresh: boolean;
  readonly rescaleFunction: Rescale | null;
}

export interface DimensionValues {
  readonly dimension: string;
  readonly values: readonly string[];
}

export interface Rescale {
  readonly function: 'MULTIPLY';
  /** A decimal in plain notation. */
  readonly coefficient: string;
}

/** Why an attempt or a run ended badly; the message is written for the job's owner. */
export interface RunFailure {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}
