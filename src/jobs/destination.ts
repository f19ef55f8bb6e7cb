// Pure: where the objects of a job go. Parses s3Url, makes the slug and the keys.

/** `path` has no slash at either end; it is empty where objects go to the top of the bucket. */
export interface Destination {
  readonly bucket: string;
  readonly path: string;
}

export type DestinationProblemCode = 'BAD_BUCKET' | 'BAD_PATH' | 'BAD_SLUG' | 'KEY_TOO_LONG';

/** `message` says what to change. */
export interface DestinationProblem {
  readonly code: DestinationProblemCode;
  readonly message: string;
}

export type ObjectExtension = 'csv' | 'json' | 'ndjson';

/** Half-open, whole seconds. */
export interface KeyWindow {
  readonly start: Date;
  readonly end: Date;
}

/** S3 counts the bytes of the UTF-8 form of a key and refuses more with KeyTooLongError. */
const MAX_KEY_BYTES = 1024;

/** Five digits in a part's name: 64 MiB parts reach 6 TiB, and the names of a run sort in the order of its parts. */
export const MAX_PARTS = 99_999;

// The rules of general purpose buckets, docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html.
// Reserved names are no pedantry: an alias or a directory bucket is reached by another host and another protocol.
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
 * Reads `bucket`, `bucket/path` or `s3://bucket/path`, with or without a slash at the end. Nothing is trimmed or
 * folded: what is written is the bucket and the key, or a problem (BAD_BUCKET, BAD_PATH).
 */
export function parseS3Url(s3Url: string): Destination | DestinationProblem {
  const rest = s3Url.startsWith('s3://') ? s3Url.slice('s3://'.length) : s3Url;
  if (/^arn:/i.test(rest)) {
    return badBucket('An ARN is not taken; give the name of the bucket, as in s3://my-bucket/path.');
  }
  if (/^[a-z][a-z0-9+.-]*:/i.test(rest)) {
    return badBucket('Give the bucket as s3://my-bucket/path; no other scheme and no web address is taken.');
  }
  const slash = rest.indexOf('/');
  const bucket = slash < 0 ? rest : rest.slice(0, slash);
  const path = slash < 0 ? '' : rest.slice(slash + 1).replace(/\/$/, '');
  const problem = findBucketProblem(bucket) ?? findPathProblem(path, rest.slice(bucket.length));
  return problem ?? { bucket, path };
}

function findBucketProblem(bucket: string): DestinationProblem | null {
  if (bucket === '') return badBucket('The name of the bucket is missing; give it as s3://my-bucket/path.');
  if (bucket.length < 3 || bucket.length > 63) {
    return badBucket(`The name of a bucket has 3 to 63 characters; this one has ${bucket.length}.`);
  }
  if (!/^[a-z0-9.-]+$/.test(bucket)) {
    return badBucket('The name of a bucket has lower-case letters, digits, dots and hyphens only.');
  }
  if (!/^[a-z0-9].*[a-z0-9]$/.test(bucket)) {
    return badBucket('The name of a bucket begins and ends with a letter or a digit.');
  }
  if (bucket.includes('..')) return badBucket('The name of a bucket never has two dots in a row.');
  if (/^\d+\.\d+\.\d+\.\d+$/.test(bucket)) {
    return badBucket('The name of a bucket is not formatted as an IP address.');
  }
  const prefix = RESERVED_PREFIXES.find((reserved) => bucket.startsWith(reserved));
  if (prefix !== undefined) return badBucket(`AWS reserves bucket names that begin with ${prefix}.`);
  const suffix = RESERVED_SUFFIXES.find(([reserved]) => bucket.endsWith(reserved));
  if (suffix !== undefined) {
    return badBucket(`A name that ends with ${suffix[0]} is ${suffix[1]}; give the name of a general purpose bucket.`);
  }
  return null;
}

function findPathProblem(path: string, written: string): DestinationProblem | null {
  // Only "" and "/" mean the top of the bucket; "//" would be an empty segment.
  if (path === '') return written.length <= 1 ? null : badPath('The path has an empty segment: take out the slash.');
  if (!path.isWellFormed()) return badPath('The path is not well-formed Unicode: it has half of a surrogate pair.');
  if (/\p{Cc}/u.test(path)) return badPath('The path has a control character.');
  for (const segment of path.split('/')) {
    if (segment === '') return badPath('The path has an empty segment: take out the doubled slash.');
    // Clients and proxies fold these away, and the object would lie, or be looked for, elsewhere.
    if (segment === '.' || segment === '..') return badPath(`The path has the segment "${segment}".`);
  }
  return null;
}

function badBucket(message: string): DestinationProblem {
  return { code: 'BAD_BUCKET', message };
}

function badPath(message: string): DestinationProblem {
  return { code: 'BAD_PATH', message };
}

/** The settings of a job that decide where its objects go. */
interface DestinationSettings {
  readonly s3Url: string;
  readonly jobName: string;
}

/** Returns S3 bucket, path and slug of checked settings. */
export function parseDestination({ s3Url, jobName }: DestinationSettings): Destination & { readonly slug: string } {
  const destination = parseS3Url(s3Url);
  if (isDestinationProblem(destination)) throw new Error(`A stored job has an invalid s3Url: ${destination.message}`);
  return { ...destination, slug: toSlug(jobName) };
}

/** Returns S3 bucket, path and slug of checked settings as one text, which is unique in a deployment. */
export function formatDestination(settings: DestinationSettings): string {
  const { bucket, path, slug } = parseDestination(settings);
  return [bucket, ...(path === '' ? [] : [path]), slug].join('/');
}

/** The lower-cased name, each run of characters other than a-z and 0-9 one hyphen, none at either end. */
export function toSlug(jobName: string): string {
  return jobName
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
}

/**
 * A name such as "(,)" has no slug, and its keys would have an empty segment: BAD_SLUG, an issue of jobName.
 * The longest key is reckoned for any format, so that a change of format or compression never breaks a job:
 * KEY_TOO_LONG, an issue of s3Url.
 */
export function findKeyProblem(path: string, jobName: string): DestinationProblem | null {
  const slug = toSlug(jobName);
  if (slug === '') {
    return {
      code: 'BAD_SLUG',
      message: 'The name needs at least one letter or digit: object keys are made of it.',
    };
  }
  const bytes = longestKeyBytes(path, slug);
  if (bytes <= MAX_KEY_BYTES) return null;
  return {
    code: 'KEY_TOO_LONG',
    message:
      `The longest object key would have ${bytes} bytes, S3 allows ${MAX_KEY_BYTES}: ` +
      `make the path or the name shorter by ${bytes - MAX_KEY_BYTES} bytes.`,
  };
}

/** Bytes of UTF-8 of the longest key that can follow from the path and the slug, of whatever format. */
export function longestKeyBytes(path: string, slug: string): number {
  const window = { start: new Date(0), end: new Date(0) };
  const key = objectKey({ path, slug, window, extension: 'ndjson', compressed: true, part: MAX_PARTS });
  return Math.max(Buffer.byteLength(key), Buffer.byteLength(manifestKey({ path, slug, window })));
}

export interface ObjectKeyParts {
  readonly path: string;
  readonly slug: string;
  readonly window: KeyWindow;
  readonly extension: ObjectExtension;
  readonly compressed: boolean;
  /** 1 to 99,999; absent where the export is one object. */
  readonly part?: number | undefined;
}

/** `<path>/<slug>/<start>_<end>[-00001].<ext>[.gz]`. Errors: RangeError for a part out of range. */
export function objectKey(key: ObjectKeyParts): string {
  const part = key.part === undefined ? '' : `-${partDigits(key.part)}`;
  return `${stem(key)}${part}.${key.extension}${key.compressed ? '.gz' : ''}`;
}

/** `<path>/<slug>/<start>_<end>.manifest.json` */
export function manifestKey(key: Pick<ObjectKeyParts, 'path' | 'slug' | 'window'>): string {
  return `${stem(key)}.manifest.json`;
}

function stem(key: Pick<ObjectKeyParts, 'path' | 'slug' | 'window'>): string {
  const folder = key.path === '' ? key.slug : `${key.path}/${key.slug}`;
  return `${folder}/${compactUtc(key.window.start)}_${compactUtc(key.window.end)}`;
}

/** 2026-11-15T00:00:00Z as `20261115T000000Z`. */
function compactUtc(at: Date): string {
  return at.toISOString().replace(/[-:]|\.\d{3}/g, '');
}

function partDigits(part: number): string {
  if (!Number.isInteger(part) || part < 1 || part > MAX_PARTS) {
    throw new RangeError(`A part is numbered 1 to ${MAX_PARTS}, not ${part}.`);
  }
  return String(part).padStart(5, '0');
}
