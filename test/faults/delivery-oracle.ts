import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { type AggregationBucket, floorToBucket } from '../../src/usage/buckets.ts';
import type { Put, StrictS3 } from '../support/strict-s3.ts';
import type { CorrectedJob } from './ledger-traffic.ts';

// Compares what a reader of the S3 bucket finds with the ledger.

/** The fields of a manifest that are compared. */
interface StoredManifest {
  readonly state: 'complete' | 'rewriting' | 'moved';
  readonly runId: string;
  readonly revision: number;
  readonly supersedes: { readonly revision: number; readonly runId: string } | null;
  readonly changes?: Changes | null;
  readonly settings: { readonly sparse: boolean };
  readonly window: { readonly start: string; readonly end: string };
  readonly objects: readonly { readonly key: string; readonly sha256: string }[];
}

interface Counted {
  readonly rowsAdded: number;
  readonly rowsRemoved: number;
  readonly rowsChanged: number;
}

interface Changes extends Counted {
  readonly meters: readonly (Counted & {
    readonly meterApiName: string;
    readonly valueBefore: number | string;
    readonly valueAfter: number | string;
  })[];
}

/** Values by the key of the row, which begins with the start of the bucket and the stream. */
type Rows = ReadonlyMap<string, string>;

function sha256(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex');
}

/** Everything that was ever stored, by what is looked up. */
class Store {
  readonly newest: ReadonlyMap<string, Put>;
  readonly manifests = new Map<string, StoredManifest[]>();
  readonly #bySha = new Map<string, Buffer>();

  constructor({ puts }: Pick<StrictS3, 'puts'>) {
    this.newest = new Map(puts.map((put) => [`${put.bucket}/${put.key}`, put]));
    for (const { bucket, key, body } of puts) {
      this.#bySha.set(sha256(body), body);
      if (!key.endsWith('.manifest.json')) continue;
      const place = `${bucket}/${key}`;
      const manifest = JSON.parse(body.toString()) as StoredManifest;
      this.manifests.set(place, [...(this.manifests.get(place) ?? []), manifest]);
    }
  }

  /** The rows of a complete manifest, at any time. */
  rowsOf({ objects }: StoredManifest): Rows {
    const rows = new Map<string, string>();
    for (const { key: objectKey, sha256: hash } of objects) {
      const stored = this.#bySha.get(hash) ?? Buffer.alloc(0);
      const text = (objectKey.endsWith('.gz') ? gunzipSync(stored) : stored).toString();
      for (const line of text.split('\n').filter(Boolean)) {
        const {
          meterApiName,
          bucketStart,
          bucketEnd: _,
          value,
          ...groups
        } = JSON.parse(line) as Record<string, string>;
        rows.set(keyOf(bucketStart ?? '', meterApiName ?? '', groups), String(value));
      }
    }
    return rows;
  }
}

function keyOf(bucketStart: string, meter: string, groups: Readonly<Record<string, unknown>>): string {
  return `${new Date(bucketStart).toISOString()} ${meter} ${JSON.stringify(Object.values(groups))}`;
}

function startOf(key: string): number {
  return Date.parse(key.slice(0, key.indexOf(' ')));
}

/** Returns, as sentences, what is wrong with the revisions of all deliveries: the counts of the columns "lost" and "twice" of the tally. */
export function findRevisionFaults(s3: Pick<StrictS3, 'puts'>): {
  shared: string[];
  shrinking: string[];
  miscounted: string[];
  counted: number;
} {
  const store = new Store(s3);
  const shared: string[] = [];
  const shrinking: string[] = [];
  const miscounted: string[] = [];
  let counted = 0;
  for (const [place, manifests] of store.manifests) {
    const byRevision = new Map<number, StoredManifest>();
    const byRun = new Map<string, StoredManifest>();
    let greatest = 0;
    for (const manifest of manifests) {
      if (manifest.revision < greatest) shrinking.push(`${place}: revision ${manifest.revision} after ${greatest}`);
      greatest = Math.max(greatest, manifest.revision);
      if (manifest.state !== 'complete') continue;
      const same = byRevision.get(manifest.revision);
      if (same && JSON.stringify(same) !== JSON.stringify(manifest))
        shared.push(
          `${place}: two manifests have revision ${manifest.revision}, of ${same.runId} and ${manifest.runId}`,
        );
      byRevision.set(manifest.revision, manifest);
      byRun.set(manifest.runId, manifest);
      if (manifest.supersedes && manifest.supersedes.revision >= manifest.revision)
        shrinking.push(`${place}: revision ${manifest.revision} supersedes ${manifest.supersedes.revision}`);
      const before = manifest.supersedes && byRun.get(manifest.supersedes.runId);
      if (!before || !manifest.changes) continue;
      counted += 1;
      const expected = changesOf(store.rowsOf(before), store.rowsOf(manifest));
      const stated = statedChanges(manifest.changes);
      if (JSON.stringify(expected) !== JSON.stringify(stated)) {
        miscounted.push(
          `${place}: revision ${manifest.revision} states ${JSON.stringify(stated)} instead of ${JSON.stringify(expected)}`,
        );
      }
    }
  }
  return { shared, shrinking, miscounted, counted };
}

function valueOf(rows: Rows, key: string): number {
  return Number(rows.get(key) ?? 0);
}

/** Rows that `sparse: false` filled in are 0 and do not count; so a row of the value 0 is as good as none here. */
function changesOf(before: Rows, after: Rows): Record<string, number[]> {
  const meters: Record<string, number[]> = {};
  const countsOf = (key: string): number[] => (meters[key.split(' ')[1] ?? ''] ??= [0, 0, 0, 0, 0]);
  for (const key of new Set([...before.keys(), ...after.keys()])) {
    const [old, now] = [valueOf(before, key), valueOf(after, key)];
    const counts = countsOf(key) as [number, number, number, number, number];
    if (old === 0 && now !== 0) counts[0] += 1;
    else if (old !== 0 && now === 0) counts[1] += 1;
    else if (old !== now) counts[2] += 1;
    counts[3] += old;
    counts[4] += now;
  }
  const changed = Object.entries(meters).filter(
    ([, [added = 0, removed = 0, differing = 0]]) => added + removed + differing > 0,
  );
  return Object.fromEntries(changed.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function statedChanges({ meters }: Changes): Record<string, number[]> {
  return Object.fromEntries(
    meters
      .map(
        ({ meterApiName, rowsAdded, rowsRemoved, rowsChanged, valueBefore, valueAfter }) =>
          [meterApiName, [rowsAdded, rowsRemoved, rowsChanged, Number(valueBefore), Number(valueAfter)]] as [
            string,
            number[],
          ],
      )
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}

export interface DeliveryView {
  readonly id: string;
  readonly state: string;
  readonly windowStart: string;
  readonly windowEnd: string;
  readonly owedUntil: string;
  readonly revision: number;
  readonly manifestKey: string;
  readonly currentRun: { readonly id: string } | null;
}

export interface JobView {
  readonly aggregationBucket: AggregationBucket;
  readonly timeZone: string;
  readonly meterApiNames: readonly string[] | null;
  readonly groupBy: readonly string[];
  readonly filter: readonly { readonly dimension: string; readonly values: readonly string[] }[] | null;
  readonly sparse: boolean;
  readonly deliveries: { readonly edges: readonly { readonly node: DeliveryView }[] };
}

const JOB = `query ($id: ID!) { job(id: $id) { aggregationBucket timeZone meterApiNames groupBy filter { dimension values } sparse
  deliveries(first: 100) { edges { node { id state windowStart windowEnd owedUntil revision manifestKey currentRun { id } } } } } }`;
const USAGE = `query ($input: UsageInput!) { usage(input: $input) { __typename ... on UserError { code message }
  ... on Usage { series { meterApiName group { dimension values } points { bucketStart value } } } } }`;

interface UsageAnswer {
  readonly usage: {
    readonly __typename: string;
    readonly series?: readonly {
      readonly meterApiName: string;
      readonly group: readonly { readonly dimension: string; readonly values: readonly string[] | null }[];
      readonly points: readonly { readonly bucketStart: string; readonly value: string }[];
    }[];
  };
}

type Ask = <Data extends object>(
  key: string,
  document: string,
  variables: Readonly<Record<string, unknown>>,
) => Promise<Data>;

/** Deliveries of one job, and their differences from the ledger. */
export interface JobFindings {
  /** Deliveries that are CURRENT and whose file differs from `usage`, as sentences. */
  readonly contradictions: readonly string[];
  readonly deliveries: readonly DeliveryView[];
}

/** Compares each CURRENT file with `usage` in its owed span, and each bucket by the rule of readers. */
export async function compareWithUsage(
  ask: Ask,
  s3: Pick<StrictS3, 'puts'>,
  jobs: readonly CorrectedJob[],
): Promise<JobFindings[]> {
  const store = new Store(s3);
  const findings: JobFindings[] = [];
  for (const job of jobs) findings.push(await compareJob(ask, store, job));
  return findings;
}

async function compareJob(ask: Ask, store: Store, { jobId, accountKey, bucket }: CorrectedJob): Promise<JobFindings> {
  const { job } = await ask<{ job: JobView }>(accountKey, JOB, { id: jobId });
  const deliveries = job.deliveries.edges.map(({ node }) => node);
  const delivered = deliveries.filter(({ state }) => state === 'CURRENT' || state === 'SUPERSEDED');
  if (delivered.length === 0) return { contradictions: [], deliveries };
  const from = delivered.map(({ windowStart }) => windowStart).toSorted()[0] ?? '';
  const to =
    delivered
      .map(({ windowEnd }) => windowEnd)
      .toSorted()
      .at(-1) ?? '';
  const ledger = await readUsage(ask, accountKey, job, from, to);
  const known = deliveries.filter(({ state }) => state !== 'MISSING');
  const floor = (at: number | string): number =>
    floorToBucket(new Date(at), job.aggregationBucket, job.timeZone).getTime();
  // Windows from before an edit of the buckets or the time zone may begin within a bucket, which no other file has in the same form.
  const split = new Set(
    known
      .filter(({ windowStart }) => floor(windowStart) < Date.parse(windowStart))
      .map((one) => floor(one.windowStart)),
  );
  const isWhole = (at: number): boolean => !split.has(floor(at));
  const contradictions: string[] = [];
  const files = new Map<DeliveryView, Rows>();
  for (const delivery of delivered) {
    const manifest = store.manifests.get(`${bucket}/${delivery.manifestKey}`)?.at(-1);
    const isCurrent = delivery.state === 'CURRENT';
    if (manifest?.state !== 'complete') {
      if (isCurrent) contradictions.push(`${nameOf(delivery)}: its newest manifest is ${manifest?.state}`);
      continue;
    }
    const isIntact = manifest.objects.every(({ key, sha256: hash }) => {
      const put = store.newest.get(`${bucket}/${key}`);
      return put && sha256(put.body) === hash;
    });
    if (!isIntact && isCurrent)
      contradictions.push(`${nameOf(delivery)}: its objects have other bytes than its manifest says`);
    const rows = store.rowsOf(manifest);
    files.set(delivery, rows);
    if (!isCurrent) continue;
    const [start, end] = [Date.parse(delivery.windowStart), Date.parse(delivery.owedUntil)];
    contradictions.push(...differences(nameOf(delivery), rows, ledger, (at) => at >= start && at < end && isWhole(at)));
  }
  contradictions.push(
    ...compareAsReader(known, files, ledger, ({ windowEnd }, at) => at < floor(windowEnd) && isWhole(at)),
  );
  return { contradictions, deliveries };
}

/**
 * For each bucket, the complete manifest with the latest window end counts, also of a RETIRED delivery, which is not compared. A bucket
 * that a window ends in is fresh data.
 */
function compareAsReader(
  deliveries: readonly DeliveryView[],
  files: ReadonlyMap<DeliveryView, Rows>,
  ledger: Rows,
  isCounted: (delivery: DeliveryView, at: number) => boolean,
): string[] {
  const newestFirst = deliveries.toSorted(
    (a, b) =>
      Date.parse(b.windowEnd) - Date.parse(a.windowEnd) || Date.parse(a.windowStart) - Date.parse(b.windowStart),
  );
  const found: string[] = [];
  const read: (readonly [number, number])[] = [];
  for (const delivery of newestFirst) {
    const [start, end] = [Date.parse(delivery.windowStart), Date.parse(delivery.windowEnd)];
    const rows = files.get(delivery);
    if (rows) {
      const counts = (at: number): boolean =>
        at >= start && isCounted(delivery, at) && !read.some(([from, to]) => at >= from && at < to);
      found.push(...differences(`as a reader, ${nameOf(delivery)}`, rows, ledger, counts));
    }
    read.push([start, end]);
  }
  return found;
}

function nameOf({ manifestKey, revision, state }: DeliveryView): string {
  return `${manifestKey} (${state}, revision ${revision})`;
}

/** @param counts whether a bucket is compared, by its start */
function differences(name: string, file: Rows, ledger: Rows, counts: (start: number) => boolean): string[] {
  return [...new Set([...file.keys(), ...ledger.keys()])]
    .filter((key) => counts(startOf(key)) && valueOf(file, key) !== valueOf(ledger, key))
    .map((key) => `${name}: ${key} is ${file.get(key)} instead of ${ledger.get(key)}`);
}

async function readUsage(ask: Ask, accountKey: string, job: JobView, from: string, to: string): Promise<Rows> {
  const { aggregationBucket, timeZone, meterApiNames, groupBy, filter } = job;
  const input = { aggregationBucket, timeZone, meterApiNames, groupBy, filter, from, to };
  const { usage } = await ask<UsageAnswer>(accountKey, USAGE, { input });
  if (!usage.series) throw new Error(JSON.stringify(usage));
  return new Map(
    usage.series.flatMap(({ meterApiName, group, points }) => {
      const groups = Object.fromEntries(
        group.map(({ dimension, values }) => [dimension, dimension === 'element' ? (values?.[0] ?? null) : values]),
      );
      return points.map(({ bucketStart, value }) => [keyOf(bucketStart, meterApiName, groups), value] as const);
    }),
  );
}
