import { BROWSER_ZONE } from '../../ui/figures.tsx';
import { formatUtc } from '../../ui/time-text.ts';
import { formatCompleteThrough, formatStreamBucket } from './bucket-text.ts';
import type { Granularity } from './selection.ts';
import type { Stream } from './streams-documents.ts';

export const GRANULARITY_NAMES: Readonly<Record<Granularity, string>> = {
  HOURLY: 'Hourly',
  DAILY: 'Daily',
  MONTHLY: 'Monthly',
};

interface BucketProps {
  /** Start of the bucket; null if there is none. */
  readonly start: string | null;
  readonly granularity: Granularity;
}

/** A bucket of a stream; UTC on hover. */
export function Bucket({ start, granularity }: BucketProps) {
  if (start === null) return 'None';
  return (
    <time dateTime={start} title={formatUtc(start)}>
      {formatStreamBucket(start, granularity, BROWSER_ZONE)}
    </time>
  );
}

interface BucketSpanProps {
  readonly first: string | null;
  readonly last: string | null;
  readonly granularity: Granularity;
}

/** The first and last bucket of an operation. */
export function BucketSpan({ first, last, granularity }: BucketSpanProps) {
  if (first === null || last === null) return null;
  if (first === last) return <Bucket start={first} granularity={granularity} />;
  return (
    <>
      <Bucket start={first} granularity={granularity} /> – <Bucket start={last} granularity={granularity} />
    </>
  );
}

/** The last bucket that was declared complete. */
export function CompleteThrough({ stream }: { readonly stream: Pick<Stream, 'completeThrough' | 'granularity'> }) {
  const { completeThrough, granularity } = stream;
  if (completeThrough === null) return 'Not declared';
  return (
    <time dateTime={completeThrough} title={`All buckets that end by ${formatUtc(completeThrough)}`}>
      {formatCompleteThrough(completeThrough, granularity, BROWSER_ZONE)}
    </time>
  );
}

interface FilterTextProps {
  readonly filter: readonly { readonly dimension: string; readonly values: readonly string[] }[];
}

/** The dimensions of a record with their values. */
export function FilterText({ filter }: FilterTextProps) {
  return (
    <span className="breakable">
      {filter.map(({ dimension, values }) => `${dimension}: ${values.join(' | ')}`).join(', ') || 'None'}
    </span>
  );
}
