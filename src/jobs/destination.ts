// Pure: the destination of a job: S3 bucket, path, slug and object keys.
import { expandPath, findPlaceholderProblem, substituteJob } from './placeholders.ts';

/** `path` may contain placeholders. It has no slash at either end, and is empty if objects go to the top of the bucket. */
export interface Destination {
  readonly bucket: string;
  readonly path: string;
}

export type DestinationProblemCode = 'BAD_BUCKET' | 'BAD_PATH' | 'BAD_PLACEHOLDER' | 'BAD_SLUG' | 'KEY_TOO_LONG';

/** `message` says what to change. */
export interface DestinationProblem {
  readonly code: DestinationProblemCode;
  readonly message: string;
}

export type ObjectExtension = 'csv' | 'json' | 'ndjson' | 'parquet';

export type ObjectCompression = 'NONE' | 'GZIP' | 'ZSTD';

const COMPRESSION_SUFFIXES: Record<ObjectCompression, string> = { NONE: '', GZIP: '.gz', ZSTD: '.zst' };

/** Half-open, whole seconds. */
export interface KeyWindow {
  readonly start: Date;
  readonly end: Date;
}

/** Maximum length of a key in UTF-8. S3 rejects longer ones with KeyTooLongError. */
const MAX_KEY_BYTES = 1024;

/** Part numbers have five digits, so that keys sort in the order of the parts. 99,999 parts of 64 MiB are 6 TiB. */
export const MAX_PARTS = 99_999;

// The rules of general purpose buckets, docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html.
// Reserved names are rejected because an alias or a directory bucket has another host and another protocol.
const RESERVED_PREFIXES = ['xn--', 'sthree-', 'amzn-s3-demo-'];
const RESERVED_SUFFIXES: readonly (readonly [suffix: string, what: string])[] = [
  ['-s3alias', 'an alias of an access point'],
  ['--ol-s3', 'an alias of an Object Lambda access point'],
  ['.mrap', 'a Multi-Region Access Point'],
  ['--x-s3', 'a directory bucket'],
  ['--xa-s3', 'an access point of a directory bucket'],
  ['--op-s3', 'an alias of an access point on Outposts'],
  ['--table-s3', 'a table bucket'],
];

export function isDestinationProblem(value: Destination | DestinationProblem): value is DestinationProblem {
  return 'code' in value;
}

/**
 * Reads `bucket`, `bucket/path` or `s3://bucket/path`, with or without a slash at the end. Nothing is trimmed or normalized.
 * Returns a problem with the code BAD_BUCKET, BAD_PATH or BAD_PLACEHOLDER if the text is not a destination.
 */
export function parseS3Url(s3Url: string): Destination | DestinationProblem {
  const destination = parseStoredS3Url(s3Url);
  if (isDestinationProblem(destination)) return destination;
  const message = findPlaceholderProblem(destination.path);
  return message === null ? destination : { code: 'BAD_PLACEHOLDER', message };
}

/** Like parseS3Url(), but leaves other braces than those of placeholders in the path, which a job from before placeholders may have. */
export function parseStoredS3Url(s3Url: string): Destination | DestinationProblem {
  const rest = s3Url.startsWith('s3://') ? s3Url.slice('s3://'.length) : s3Url;
  if (/^arn:/i.test(rest)) {
    return badBucket('ARNs are not supported. Use the name of the bucket, as in s3://my-bucket/path.');
  }
  if (/^[a-z][a-z0-9+.-]*:/i.test(rest)) {
    return badBucket('Web addresses and schemes other than s3 are not supported. Use the form s3://my-bucket/path.');
  }
  const slash = rest.indexOf('/');
  const bucket = slash < 0 ? rest : rest.slice(0, slash);
  const path = slash < 0 ? '' : rest.slice(slash + 1).replace(/\/$/, '');
  const problem = findBucketProblem(bucket) ?? findPathProblem(path, rest.slice(bucket.length));
  return problem ?? { bucket, path };
}

function findBucketProblem(bucket: string): DestinationProblem | null {
  if (bucket === '') return badBucket('The bucket name is missing. Use the form s3://my-bucket/path.');
  if (bucket.length < 3 || bucket.length > 63) {
    return badBucket(`A bucket name has 3 to 63 characters; this one has ${bucket.length}.`);
  }
  if (!/^[a-z0-9.-]+$/.test(bucket)) {
    return badBucket('A bucket name contains only lower-case letters, digits, dots and hyphens.');
  }
  if (!/^[a-z0-9].*[a-z0-9]$/.test(bucket)) {
    return badBucket('A bucket name begins and ends with a letter or a digit.');
  }
  if (bucket.includes('..')) return badBucket('A bucket name does not contain two adjacent dots.');
  if (/^\d+\.\d+\.\d+\.\d+$/.test(bucket)) {
    return badBucket('A bucket name must not be formatted as an IP address.');
  }
  const prefix = RESERVED_PREFIXES.find((reserved) => bucket.startsWith(reserved));
  if (prefix !== undefined) return badBucket(`AWS reserves bucket names that begin with ${prefix}.`);
  const suffix = RESERVED_SUFFIXES.find(([reserved]) => bucket.endsWith(reserved));
  if (suffix !== undefined) {
    return badBucket(`A name that ends with ${suffix[0]} is ${suffix[1]}. Use the name of a general purpose bucket.`);
  }
  return null;
}

function findPathProblem(path: string, written: string): DestinationProblem | null {
  // "" and "/" mean the top of the bucket; "//" has an empty segment.
  if (path === '')
    return written.length <= 1 ? null : badPath('The path has an empty segment. Remove the extra slash.');
  if (!path.isWellFormed()) return badPath('The path contains half of a surrogate pair, which is not valid Unicode.');
  if (/\p{Cc}/u.test(path)) return badPath('The path contains a control character.');
  for (const segment of path.split('/')) {
    if (segment === '') return badPath('The path has an empty segment. Remove the extra slash.');
    // Clients and proxies normalize these segments, so that the object would be written or looked up under another key.
    if (segment === '.' || segment === '..') return badPath(`The path has the segment "${segment}". Remove it.`);
  }
  return null;
}

const badBucket = (message: string): DestinationProblem => ({ code: 'BAD_BUCKET', message });

const badPath = (message: string): DestinationProblem => ({ code: 'BAD_PATH', message });

/** The settings of a job that decide where its objects go. */
interface DestinationSettings {
  readonly s3Url: string;
  readonly jobName: string;
}

/** Returns S3 bucket, path and slug of checked settings. */
export function parseDestination({ s3Url, jobName }: DestinationSettings): Destination & { readonly slug: string } {
  const destination = parseStoredS3Url(s3Url);
  if (isDestinationProblem(destination)) throw new Error(`A stored job has an invalid s3Url: ${destination.message}`);
  return { ...destination, slug: toSlug(jobName) };
}

/** Returns S3 bucket and folder of checked settings as one text with its placeholders of dates, unique in a deployment. */
export function formatDestination(settings: DestinationSettings): string {
  const { bucket, path, slug } = parseDestination(settings);
  return `${bucket}/${folderTemplate(path, slug)}`;
}

/** The path with the slug: in place of `{job}`, or else as the last segment. */
function folderTemplate(path: string, slug: string): string {
  if (path.includes('{job}')) return substituteJob(path, slug);
  return path === '' ? slug : `${path}/${slug}`;
}

/** Returns the folder of the keys of a window that starts at `start`, without a slash at either end. */
export function expandFolder({ path, slug }: { path: string; slug: string }, start: Date, timeZone: string): string {
  return expandPath(folderTemplate(path, slug), slug, start, timeZone);
}

/** Returns the name in lower case, with a hyphen for each run of other characters than a-z and 0-9, and none at either end. */
export function toSlug(jobName: string): string {
  return jobName
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
}

/**
 * Returns BAD_SLUG, an issue of jobName, if the slug of the name is empty, as that of "(,)": keys would have an empty segment.
 * Returns KEY_TOO_LONG, an issue of s3Url, if the longest key is too long in any format, so that a change of format or
 * compression never breaks a job.
 */
export function findKeyProblem(path: string, jobName: string): DestinationProblem | null {
  const slug = toSlug(jobName);
  if (slug === '') {
    return {
      code: 'BAD_SLUG',
      message: 'Must contain at least one letter or digit, because object keys are made of them.',
    };
  }
  const bytes = longestKeyBytes(path, slug);
  if (bytes <= MAX_KEY_BYTES) return null;
  return {
    code: 'KEY_TOO_LONG',
    message:
      `The longest object key would have ${bytes} bytes, but S3 allows ${MAX_KEY_BYTES}. ` +
      `Shorten the path or the name by ${bytes - MAX_KEY_BYTES} bytes.`,
  };
}

/** Length in UTF-8 of the longest key that the path and the slug can have in any format, with placeholders expanded. */
export function longestKeyBytes(path: string, slug: string): number {
  const window = { start: new Date(0), end: new Date(0) };
  const folder = expandFolder({ path, slug }, window.start, 'UTC');
  const key = objectKey({ folder, window, extension: 'ndjson', compression: 'ZSTD', part: MAX_PARTS });
  return Math.max(Buffer.byteLength(key), Buffer.byteLength(manifestKey(folder, window)));
}

export interface ObjectKeyParts {
  /** See expandFolder(). */
  readonly folder: string;
  readonly window: KeyWindow;
  readonly extension: ObjectExtension;
  /** Adds a suffix, except in Parquet, which compresses its pages. */
  readonly compression: ObjectCompression;
  /** 1 to 99,999; absent if the export is one object. */
  readonly part?: number | undefined;
}

/** Returns `<folder>/<start>_<end>[-00001].<ext>[.gz|.zst]`. Throws RangeError if the part is out of range. */
export function objectKey(key: ObjectKeyParts): string {
  const part = key.part === undefined ? '' : `-${partDigits(key.part)}`;
  const suffix = key.extension === 'parquet' ? '' : COMPRESSION_SUFFIXES[key.compression];
  return `${key.folder}/${stem(key.window)}${part}.${key.extension}${suffix}`;
}

/** `<folder>/_<start>_<end>.manifest.json`: Athena, Spark and DuckDB skip names with an underscore when they read a folder. */
export function manifestKey(folder: string, window: KeyWindow): string {
  return `${folder}/_${stem(window)}.manifest.json`;
}

/**
 * Returns both names of the manifest of a window, from either of them. Versions before the underscore wrote `former`, which a
 * run that finds the window under it moves to `current`.
 */
export function manifestNames(key: string): { readonly current: string; readonly former: string } {
  const folder = folderOf(key);
  const name = key.slice(folder.length + 1).replace(/^_/, '');
  return { current: `${folder}/_${name}`, former: `${folder}/${name}` };
}

/** Returns the folder of a key. */
export const folderOf = (key: string): string => key.slice(0, key.lastIndexOf('/'));

const stem = (window: KeyWindow): string => `${compactUtc(window.start)}_${compactUtc(window.end)}`;

/** 2026-11-15T00:00:00Z as `20261115T000000Z`. */
const compactUtc = (at: Date): string => at.toISOString().replace(/[-:]|\.\d{3}/g, '');

function partDigits(part: number): string {
  if (!Number.isInteger(part) || part < 1 || part > MAX_PARTS) {
    throw new RangeError(`A part number is from 1 to ${MAX_PARTS}, not ${part}.`);
  }
  return String(part).padStart(5, '0');
}
