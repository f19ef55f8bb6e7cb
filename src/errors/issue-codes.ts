// Pure: every code that an issue of a ValidationError can have, with its meaning. Source of docs/reference/errors.md (npm run docs).

/** Grouped by subject: form of the input, records and filters, streams, usage, jobs, accounts and API keys. */
export const ISSUE_CODES = {
  REQUIRED: 'A required field is missing.',
  UNKNOWN_FIELD: 'The input has no field with this name.',
  BAD_TYPE: 'The value has the wrong JSON type, such as a number instead of a string.',
  BAD_VALUE: 'The value is not one of the values that the field accepts.',
  REPEATED_NAME: 'A JSON object has the same name twice, so its value is ambiguous.',
  NOT_JSON: 'The line of an NDJSON body is not valid JSON.',
  JSON_TOO_LARGE: 'The JSON in the line of an NDJSON body has more levels, names or digits than a record can have.',
  LINE_TOO_LONG: 'The line of an NDJSON body is longer than a record can be.',
  BAD_ENCODING: 'The line of an NDJSON body is not valid UTF-8.',
  EMPTY: 'The text is empty.',
  TOO_LONG: 'The text has too many characters.',
  BAD_LENGTH: 'The text is empty or has too many characters.',
  CONTROL_CHARACTER: 'The text contains a control character.',
  MALFORMED_UNICODE: 'The text contains half of a surrogate pair, which UTF-8 cannot encode.',
  BAD_TEXT: 'The text contains characters that a UTF-8 text in the database cannot contain.',

  NO_RECORDS: 'The request contains no records.',
  BAD_TIMESTAMP: 'The timestamp is not in an accepted format, or is outside the years 1 to 9999.',
  FUTURE_TIMESTAMP: 'The bucket of the timestamp starts too far in the future.',
  GRANULARITY_DIFFERS:
    'The granularity differs from that of the stream, or from that of the first record of the request.',
  DIMENSIONS_DIFFER:
    'The dimensions differ from those of the stream, or from those of the first record of the request.',
  TOO_MANY_DIMENSIONS: 'A filter or a list to group by names too many dimensions.',
  DUPLICATE_DIMENSION: 'The filter or the list to group by names the dimension twice.',
  RESERVED_DIMENSION: 'The dimension has a reserved name: that of the element or of an export column.',
  NO_VALUES: 'The dimension has no values.',
  TOO_MANY_VALUES: 'The dimension has too many distinct values.',
  BAD_DECIMAL: 'The value is not a valid decimal number.',
  NEGATIVE_VALUE: 'The value is less than 0.',
  TOO_MANY_DIGITS: 'The number has too many significant digits.',
  TOO_MANY_DECIMALS: 'The number has too many decimals.',
  PRECISION_LOST:
    'The number lost digits before it arrived, because JSON numbers are parsed as doubles. Send a string.',
  DUPLICATE_KEY: 'Two records of a replace have the same bucket, filter and element.',
  TWO_ELEMENTS: 'The element is given under both of its field names.',
  OTHER_STREAM: 'The record names another stream than the URL.',
  VALUE_FORBIDDEN: 'A selector of a delete has a value. Remove it.',
  UNKNOWN_DIMENSION: 'The stream does not have this dimension.',

  BAD_STREAM_NAME: 'Invalid stream name.',
  STREAM_NOT_EMPTY: 'The stream has live records. Delete it with `force` to hide them.',

  TIMESTAMP_OUT_OF_RANGE: 'The timestamp is outside the range for which usage can be computed.',
  EMPTY_WINDOW: 'The end of the window is not after its start.',
  BAD_TIME_ZONE: 'The time zone is not in the IANA time zone database.',
  WINDOW_TOO_LONG: 'The window contains too many buckets.',

  BAD_JOB_NAME: 'Invalid job name.',
  BAD_EMAIL: 'Invalid email address, or more than one address.',
  BAD_BUCKET: 'Not a valid name of a general purpose S3 bucket.',
  BAD_PATH: 'Invalid object key prefix.',
  BAD_PLACEHOLDER: 'The path has braces that are not one of the placeholders {yyyy}, {MM}, {dd}, {HH} and {job}.',
  BAD_SLUG: 'The job name contains no characters that can be used in an object key.',
  KEY_TOO_LONG: 'The object keys would exceed the maximum length that S3 allows.',
  BAD_BUCKET_OWNER: 'Not an AWS account id of 12 digits.',
  BAD_REGION: 'Not the name of a region.',
  ONE_OF: 'Exactly one of two fields must be set, or a field is only allowed with the other one.',
  KMS_ONLY: 'The KMS key requires the encryption KMS.',
  BAD_KMS_KEY: 'Not a key id, a key ARN or an alias ARN of AWS KMS.',
  CSV_ONLY: 'The setting requires the format CSV.',
  BAD_RANGE: 'Not a valid range, such as `ago(7d)` or `previous(month)`.',
  BUCKET_TOO_LARGE:
    'The calendar range does not consist of whole aggregation buckets: a week does not contain whole months.',
  BAD_DURATION: 'Not a valid duration, such as `ago(2h)`.',
  OFFSET_NOT_SHORTER: 'endTimeOffset is not shorter than range.',
  TWO_SCHEDULES: 'cron and scheduledTimeInSeconds are both set.',
  BAD_CRON: 'Not a valid cron expression of five fields, or one without a next time.',
  BAD_EPOCH_SECONDS: 'Not a Unix timestamp in whole seconds.',
  IN_THE_PAST: 'The scheduled time of the job is in the past.',
  NO_STREAMS: 'The list of streams is empty. Use null for all streams.',
  TOO_MANY_STREAMS: 'The job names too many streams.',
  DUPLICATE_STREAM: 'The list names the stream twice.',
  WARNING: 'With `strict: true`, a warning of checkJob.',

  BAD_ACCOUNT_NAME: 'Invalid account name.',
  NO_SCOPES: 'The API key has no scopes. Set at least one.',
} as const satisfies Readonly<Record<string, string>>;

export type IssueCode = keyof typeof ISSUE_CODES;
