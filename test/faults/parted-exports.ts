// Exports of several parts, and what must be in the bucket after them by the data that was put in.
import { createHash } from 'node:crypto';
import { addRecords, type Manifest, type RunView, type Settings, type StepServer } from '../support/job-steps.ts';

/** The window of every job here holds the day of the records. */
export const SLOT = '2026-01-28T02:00:00Z';
const DAY = '2026-01-25T00:00:00Z';
const NEXT_DAY = '2026-01-26T00:00:00Z';

/** Some 60 bytes a row: 200 of them make six parts. */
export const PART_BYTES = '2048';

export const settingsOf = (stream: string, jobName: string, folder: string): Settings => ({
  jobName,
  s3Url: `exports/${folder}`,
  meterApiNames: [stream],
  groupBy: ['element'],
});

const elementsOf = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `customer ${String(index).padStart(4, '0')}`);

/** Adds a value to each of `count` elements of a stream. */
export const addToAll = (server: StepServer, stream: string, count: number, value: number): Promise<void> =>
  addRecords(
    server,
    stream,
    'DAILY',
    elementsOf(count).map((elementName, index) => ({ timestamp: DAY, elementName, value: value * (index + 1) })),
  );

/** Hides all of the `count` elements of a stream except the first `left`. */
export const leaveOf = async (server: StepServer, stream: string, count: number, left: number): Promise<void> => {
  const records = elementsOf(count)
    .slice(left)
    .map((elementName) => ({ timestamp: DAY, granularity: 'DAILY', elementName }));
  const { allocationDelete } = await server.graphql<{ allocationDelete: { __typename: string } }>(
    'mutation ($input: AllocationDeleteInput!) { allocationDelete(input: $input) { __typename } }',
    { input: { stream, records } },
  );
  if (allocationDelete.__typename !== 'AllocationReceipt') throw new Error(JSON.stringify(allocationDelete));
};

/** The rows of an export of the stream after `value` in total was added to each element. */
export const rowsOf = (stream: string, count: number, value: number): string[] =>
  elementsOf(count).map((element, index) => `${stream},${DAY},${NEXT_DAY},${element},${value * (index + 1)}`);

export interface Difference {
  /** Rows that were put in and are in no object that the manifest names. */
  readonly lost: number;
  /** Rows too many. */
  readonly twice: number;
}

/**
 * Holds the manifest of a run against the objects in the store and against the rows that must be there.
 * Throws if there is no complete manifest of this run, or if its figures differ from its objects.
 */
export const differenceOf = (server: Pick<StepServer, 's3'>, run: RunView, rows: readonly string[]): Difference => {
  const told = JSON.stringify({ id: run.id, status: run.status, error: run.error });
  const body = (key: string): Buffer => {
    const put = server.s3.object('exports', key);
    if (!put) throw new Error(`There is no object ${key}, of the run ${told}`);
    return put.body;
  };
  if (run.status !== 'SUCCEEDED' || run.manifestKey === null) throw new Error(`The run did not succeed: ${told}`);
  const manifest = JSON.parse(body(run.manifestKey).toString()) as Manifest;
  if (manifest.state !== 'complete' || manifest.runId !== run.id)
    throw new Error(`The manifest is ${manifest.state}, of ${manifest.runId}: ${told}`);
  const found: string[] = [];
  const seen = manifest.objects.map(({ key }) => {
    const bytes = body(key);
    const [, ...lines] = bytes.toString().split('\n').slice(0, -1);
    found.push(...lines);
    return {
      key,
      rows: lines.length,
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    };
  });
  const totals = {
    objects: seen.length,
    rows: found.length,
    bytes: seen.reduce((sum, { bytes }) => sum + bytes, 0),
  };
  const figures = JSON.stringify({ objects: seen, totals });
  for (const [who, objects, total] of [
    ['manifest', manifest.objects, manifest.totals],
    ['run', run.objects, { objects: run.objects.length, rows: run.rowsWritten, bytes: run.bytesWritten }],
  ] as const) {
    const said = JSON.stringify({ objects, totals: total });
    if (said !== figures) throw new Error(`The ${who} says ${said}, the store has ${figures}`);
  }
  const missing = new Set(rows);
  let twice = 0;
  for (const row of found) if (!missing.delete(row)) twice += 1;
  return { lost: missing.size, twice };
};

export const sumOf = (differences: readonly Difference[]): Difference => ({
  lost: differences.reduce((sum, { lost }) => sum + lost, 0),
  twice: differences.reduce((sum, { twice }) => sum + twice, 0),
});
