import { createHash } from 'node:crypto';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findAccount } from '../../src/accounts/accounts.ts';
import { moveBucketClaim } from '../../src/jobs/bucket-ownership.ts';
import { brokenPromises } from '../support/bucket-check.ts';
import { createFaults, type Faults } from '../support/faults.ts';
import {
  addRecords,
  createJob,
  deleteJob,
  endedRun,
  exportAgain,
  exportOnce,
  type Exported,
  filterOf,
  readExport,
  runJob,
  updateJob,
} from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

const PART_BYTES = 2048;
const SLOT = '2026-01-28T02:00:00Z';
const WINDOW = '20260121T000000Z_20260128T000000Z';
const DAY = '2026-01-25T00:00:00Z,2026-01-26T00:00:00Z';
const HEADER = 'meterApiName,bucketStart,bucketEnd,element,value\n';

let server: TestServer;
let faults: Faults;
beforeAll(async () => {
  server = await startTestServer({
    env: { EXPORT_PART_BYTES: String(PART_BYTES), EXPORT_CONCURRENCY: '8' },
  });
  faults = createFaults(server.s3);
});
afterAll(async () => {
  try {
    expect(brokenPromises(server.s3.puts)).toEqual([]);
    expect(server.s3.refusals).toEqual([]);
  } finally {
    await server.stop();
  }
});

const customer = (index: number): string => `customer ${String(index).padStart(4, '0')}`;

/** Sends one record of value 1 for each customer. */
const addCustomers = (stream: string, from: number, to: number): Promise<void> =>
  addRecords(
    server,
    stream,
    'DAILY',
    Array.from({ length: to - from }, (_, index) => ({
      timestamp: '2026-01-25T00:00:00Z',
      elementName: customer(from + index),
      value: '1',
    })),
  );

const deleteCustomers = async (stream: string, from: number, to: number): Promise<void> => {
  await server.graphql(
    `mutation ($input: AllocationDeleteInput!) { allocationDelete(input: $input) { ... on AllocationReceipt { replayed } } }`,
    {
      input: {
        stream,
        records: Array.from({ length: to - from }, (_, index) => ({
          timestamp: '2026-01-25T00:00:00Z',
          granularity: 'DAILY',
          elementName: customer(from + index),
        })),
      },
    },
  );
};

const csvRows = (stream: string, from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `${stream},${DAY},${customer(from + index)},1`);

/** The puts below a folder in order: the state of a manifest, or the end of the key. */
const story = (folder: string, since = 0): string[] =>
  server.s3.puts
    .filter(({ key, order }) => key.startsWith(folder) && order > since)
    .map(({ key, body }) =>
      key.endsWith('.manifest.json')
        ? (JSON.parse(body.toString()) as { state: string }).state
        : key.slice(key.indexOf(WINDOW) + WINDOW.length),
    );

const bodyOf = (key: string, bucket = 'exports'): string =>
  server.s3.object(bucket, key)?.body.toString() ?? 'no object';

const expectManifestOfBodies = ({ run, manifest, bodies }: Omit<Exported, 'jobId'>): void => {
  expect(manifest.objects).toEqual(run.objects);
  expect(run.objects.map(({ bytes, sha256 }) => ({ bytes, sha256 }))).toEqual(
    bodies.map((body) => ({ bytes: body.length, sha256: createHash('sha256').update(body).digest('hex') })),
  );
  expect(manifest.totals).toEqual({
    objects: bodies.length,
    rows: run.rowsWritten,
    bytes: bodies.reduce((sum, body) => sum + body.length, 0),
  });
  expect(run.bytesWritten).toBe(manifest.totals.bytes);
};

const decompress = (body: Buffer, compression: string): Buffer =>
  compression === 'NONE' ? body : compression === 'GZIP' ? gunzipSync(body) : zstdDecompressSync(body);

describe.concurrent('export of several parts', () => {
  beforeAll(() => addCustomers('many', 0, 300));

  test.each(['NONE', 'GZIP', 'ZSTD'])('writes complete files of its format (compression %s)', async (compression) => {
    const settings = { meterApiNames: ['many'], groupBy: ['element'], compression };
    const suffix = { NONE: '', GZIP: '.gz', ZSTD: '.zst' }[compression];
    const [csv, json, ndjson] = await Promise.all(
      ['CSV', 'JSON', 'NDJSON'].map((format) => exportOnce(server, { ...settings, format }, SLOT)),
    );
    if (!csv || !json || !ndjson) throw new Error('An export is missing.');
    const textsOf = ({ bodies }: Exported): string[] => bodies.map((body) => decompress(body, compression).toString());
    for (const [one, extension] of [
      [csv, 'csv'],
      [json, 'json'],
      [ndjson, 'ndjson'],
    ] as const) {
      expectManifestOfBodies(one);
      expect(one.run.rowsWritten).toBe(300);
      expect(one.run.objects.map(({ key }) => key.split('/').at(-1))).toEqual(
        one.bodies.map((_, index) => `${WINDOW}-${String(index + 1).padStart(5, '0')}.${extension}${suffix}`),
      );
      const texts = textsOf(one);
      expect(texts.every((text) => Buffer.byteLength(text) <= PART_BYTES)).toBe(true);
      // A row has at most 150 bytes, so only the last part can be smaller by more than a row.
      expect(texts.slice(0, -1).every((text) => Buffer.byteLength(text) > PART_BYTES - 150)).toBe(true);
    }

    const csvTexts = textsOf(csv);
    expect(csvTexts.every((text) => text.startsWith(HEADER) && text.endsWith('\n'))).toBe(true);
    expect(csvTexts.map((text) => text.slice(HEADER.length)).join('')).toBe(`${csvRows('many', 0, 300).join('\n')}\n`);
    expect(csv.run.objects.map(({ rows }) => rows)).toEqual(csvTexts.map((text) => text.split('\n').length - 2));

    const lines = textsOf(ndjson).flatMap((text) => text.trimEnd().split('\n'));
    expect(lines).toEqual(
      Array.from(
        { length: 300 },
        (_, index) =>
          `{"meterApiName":"many","bucketStart":"2026-01-25T00:00:00Z","bucketEnd":"2026-01-26T00:00:00Z","element":"${customer(index)}","value":1}`,
      ),
    );
    expect(textsOf(json).flatMap((text) => JSON.parse(text) as unknown[])).toEqual(
      lines.map((line) => JSON.parse(line) as unknown),
    );
    expect(json.run.objects.map(({ rows }) => rows)).toEqual(
      textsOf(json).map((text) => (JSON.parse(text) as unknown[]).length),
    );
  });
});

describe.concurrent('rewritten window', () => {
  test('has a rewriting manifest first, and empties the other keys if there are fewer rows', async () => {
    await addCustomers('shrinking', 0, 60);
    const first = await exportOnce(
      server,
      { s3Url: 'exports/again', jobName: 'shrinking', meterApiNames: ['shrinking'], groupBy: ['element'] },
      SLOT,
    );
    // 2,048 bytes minus 49 of the header: 29 rows of 68 bytes.
    expect(first.run.objects.map(({ rows }) => rows)).toEqual([29, 29, 2]);
    const parts = ['-00001.csv', '-00002.csv', '-00003.csv'];
    expect(story('again/shrinking/')).toEqual([...parts, 'complete']);

    await deleteCustomers('shrinking', 10, 60);
    let since = server.s3.puts.length;
    const fewer = await exportAgain(server, first.jobId, SLOT);
    expect(story('again/shrinking/', since)).toEqual(['rewriting', '.csv', ...parts, 'complete']);
    expect(fewer.run.objects.map(({ key, rows }) => [key.split(WINDOW)[1], rows])).toEqual([
      ['.csv', 10],
      ['-00001.csv', 0],
      ['-00002.csv', 0],
      ['-00003.csv', 0],
    ]);
    expect(fewer.bodies.map(String)).toEqual([
      HEADER +
        csvRows('shrinking', 0, 10)
          .map((row) => `${row}\n`)
          .join(''),
      HEADER,
      HEADER,
      HEADER,
    ]);
    expectManifestOfBodies(fewer);

    await addCustomers('shrinking', 10, 100);
    since = server.s3.puts.length;
    const more = await exportAgain(server, first.jobId, SLOT);
    expect(story('again/shrinking/', since)).toEqual(['rewriting', ...parts, '-00004.csv', '.csv', 'complete']);
    expect(more.run.objects.map(({ rows }) => rows)).toEqual([29, 29, 29, 13, 0]);
    expectManifestOfBodies(more);
    expect(more.run.rowsWritten).toBe(100);
  });

  test('in another format and compression > leaves an empty file of the old format at each old key', async () => {
    await addCustomers('changing', 0, 40);
    const settings = { s3Url: 'exports/again', jobName: 'changing', meterApiNames: ['changing'], groupBy: ['element'] };
    const { jobId } = await exportOnce(server, settings, SLOT);
    await updateJob(server, jobId, { format: 'NDJSON', compression: 'GZIP' });
    await exportAgain(server, jobId, SLOT);
    await updateJob(server, jobId, { format: 'CSV', compression: 'ZSTD' });
    await exportAgain(server, jobId, SLOT);
    await updateJob(server, jobId, { format: 'JSON', compression: 'GZIP', groupBy: null });
    const { run, bodies, ...rest } = await exportAgain(server, jobId, SLOT);
    expect(
      run.objects.map(({ key, rows }, index) => {
        const body = bodies[index] as Buffer;
        return [
          key.split(WINDOW)[1],
          rows,
          String(decompress(body, key.endsWith('.gz') ? 'GZIP' : key.endsWith('.zst') ? 'ZSTD' : 'NONE')),
        ];
      }),
    ).toEqual([
      [
        '.json.gz',
        1,
        '[{"meterApiName":"changing","bucketStart":"2026-01-25T00:00:00Z","bucketEnd":"2026-01-26T00:00:00Z","value":40}]',
      ],
      ['-00001.csv', 0, 'meterApiName,bucketStart,bucketEnd,value\n'],
      ['-00001.csv.zst', 0, 'meterApiName,bucketStart,bucketEnd,value\n'],
      ['-00001.ndjson.gz', 0, ''],
      ['-00002.csv', 0, 'meterApiName,bucketStart,bucketEnd,value\n'],
      ['-00002.csv.zst', 0, 'meterApiName,bucketStart,bucketEnd,value\n'],
      ['-00002.ndjson.gz', 0, ''],
      ['-00003.ndjson.gz', 0, ''],
    ]);
    expectManifestOfBodies({ run, bodies, ...rest });
  });

  test('after a failed run > has a rewriting manifest first, and empties the objects of that run', async () => {
    const folder = 'again/failing/';
    await addCustomers('failing', 0, 60);
    const settings = { s3Url: 'exports/again', jobName: 'failing', meterApiNames: ['failing'], groupBy: ['element'] };
    const jobId = await createJob(server, settings);
    faults.on(folder, ({ key }) => (key.includes('-00002') ? { status: 403, code: 'AccessDenied' } : undefined));
    const failed = await endedRun(server, await runJob(server, jobId, SLOT));
    expect(failed).toMatchObject({ status: 'FAILED', attempt: 1, manifestKey: null, error: { code: 'ACCESS_DENIED' } });
    expect(story(folder)).toEqual(['-00001.csv']);
    faults.clear(folder);

    await deleteCustomers('failing', 1, 60);
    let since = server.s3.puts.length;
    const { run } = await exportAgain(server, jobId, SLOT);
    // The put of part 2 was rejected, but its key has a file: it could have been stored anyway.
    expect(story(folder, since)).toEqual(['rewriting', '.csv', '-00001.csv', '-00002.csv', 'complete']);
    expect(run.objects.map(({ rows }) => rows)).toEqual([1, 0, 0]);

    // A complete window is no longer complete after its next run fails.
    faults.on(folder, ({ key }) => (key.endsWith('.csv') ? { status: 403, code: 'AccessDenied' } : undefined));
    since = server.s3.puts.length;
    expect((await endedRun(server, await runJob(server, jobId, SLOT))).status).toBe('FAILED');
    expect(story(folder, since)).toEqual(['rewriting']);
    faults.clear(folder);
    expect((await exportAgain(server, jobId, SLOT)).manifest.state).toBe('complete');
  });

  test('by another account with the destination of a deleted job > has a rewriting manifest first, and empties its parts', async () => {
    const folder = 'shared/usage/';
    await addCustomers('left', 0, 60);
    const place = { s3Url: 'handed-on/shared', jobName: 'usage', groupBy: ['element'] };
    const jobId = await createJob(server, { ...place, range: 'ago(7d)', meterApiNames: ['left'] });
    expect((await endedRun(server, await runJob(server, jobId, SLOT))).status).toBe('SUCCEEDED');
    await deleteJob(server, jobId);
    const key = await server.createKey('successor', ['JOBS', 'INGEST']);
    await addRecords(
      server,
      'taken-over',
      'DAILY',
      [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'theirs', value: '5' }],
      key,
    );
    const across = server.resources.database.acrossAccounts;
    await moveBucketClaim(across, 'handed-on', (await findAccount(across, 'successor'))?.id ?? 0n);
    const theirs = await createJob(server, { ...place, jobName: 'Usage' }, key);
    const since = server.s3.puts.length;
    await runJob(server, theirs, SLOT, key);
    await eventually(
      () => Promise.resolve(story(folder, since).at(-1)),
      (last) => last === 'complete',
    );
    expect(story(folder, since)).toEqual(['rewriting', '.csv', '-00001.csv', '-00002.csv', 'complete']);
    expect(bodyOf(`${folder}${WINDOW}-00002.csv`, 'handed-on')).toBe(HEADER);
    expect(bodyOf(`${folder}${WINDOW}.csv`, 'handed-on')).toBe(`${HEADER}taken-over,${DAY},theirs,5\n`);
  });
});

describe.concurrent('retry', () => {
  test('writes the same bytes as the previous attempt after new writes to its window', async () => {
    const folder = 'retried/frozen/';
    await addCustomers('frozen', 0, 60);
    const settings = { s3Url: 'exports/retried', jobName: 'frozen', meterApiNames: null, groupBy: ['element'] };
    const jobId = await createJob(server, {
      ...settings,
      filter: filterOf({ element: Array.from({ length: 100 }, (_, i) => customer(i)) }),
      meterApiNames: ['frozen', 'frozen.new'],
    });
    let refused = 0;
    const written = Promise.withResolvers<void>();
    faults.on(folder, ({ key }) => {
      // The second attempt writes the manifest before it reads, and is blocked there until the rest is written.
      if (refused > 0) return key.endsWith('.manifest.json') ? { hold: written.promise } : undefined;
      if (!key.includes('-00002')) return undefined;
      refused += 1;
      return { status: 503, code: 'SlowDown' };
    });
    const id = await runJob(server, jobId, SLOT);
    await eventually(
      () => Promise.resolve(refused),
      (count) => count === 1,
    );
    await addCustomers('frozen', 0, 30);
    await addCustomers('frozen', 60, 70);
    await deleteCustomers('frozen', 40, 50);
    await server.graphql(`mutation { deleteStream(name: "frozen") { __typename } }`);
    await addCustomers('frozen', 0, 5);
    await addCustomers('frozen.new', 0, 5);
    written.resolve();

    const run = await endedRun(server, id);
    expect(run).toMatchObject({ status: 'SUCCEEDED', attempt: 2, error: null, rowsWritten: 60 });
    expect(story(folder)).toEqual(['-00001.csv', 'rewriting', '-00001.csv', '-00002.csv', 'complete']);
    const firstParts = server.s3.puts.filter(({ key }) => key.startsWith(folder) && key.includes('-00001'));
    expect(firstParts[1]?.body.equals(firstParts[0]?.body as Buffer)).toBe(true);
    expect(
      readExport(server, run)
        .bodies.map((body) => body.toString().slice(HEADER.length))
        .join(''),
    ).toBe(
      csvRows('frozen', 0, 60)
        .map((row) => `${row}\n`)
        .join(''),
    );

    // The next run exports the current records.
    const { text } = await exportAgain(server, jobId, SLOT);
    expect(text).toBe(
      HEADER + [...csvRows('frozen', 0, 5), ...csvRows('frozen.new', 0, 5)].map((row) => `${row}\n`).join(''),
    );
  });

  test('writes the same objects if only the response to the first attempt was lost', async () => {
    const folder = 'retried/answer-lost/';
    await addCustomers('answer-lost', 0, 60);
    const settings = {
      s3Url: 'exports/retried',
      jobName: 'answer lost',
      meterApiNames: ['answer-lost'],
      groupBy: ['element'],
    };
    const jobId = await createJob(server, settings);
    let lost = 0;
    faults.on(folder, ({ key }) => {
      if (!key.endsWith('.manifest.json') || lost > 0) return undefined;
      lost += 1;
      return 'reset-after-store';
    });
    const run = await endedRun(server, await runJob(server, jobId, SLOT));
    expect(run).toMatchObject({ status: 'SUCCEEDED', attempt: 2, rowsWritten: 60 });
    const parts = ['-00001.csv', '-00002.csv', '-00003.csv'];
    expect(story(folder)).toEqual([...parts, 'complete', 'rewriting', ...parts, 'complete']);
    const manifests = server.s3.puts.filter(({ key }) => key.startsWith(folder) && key.endsWith('.manifest.json'));
    expect(manifests[2]?.body.equals(manifests[0]?.body as Buffer)).toBe(true);
    expect((JSON.parse(String(manifests[0]?.body)) as { runId: string }).runId).toBe(run.id);
  });
});
