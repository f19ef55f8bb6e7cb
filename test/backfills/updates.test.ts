import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openEventStream } from '../support/event-stream.ts';
import { createFaults, type Faults } from '../support/faults.ts';
import { createJob, exportAgain, innerId, querySql } from '../support/job-steps.ts';
import { ask } from '../rest/requests.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { startStrictS3, type StrictS3 } from '../support/strict-s3.ts';
import { startSmtp, type TestSmtp } from '../support/smtp.ts';
import { backfillThat, changeBackfill, createBackfill, endedBackfill, readBackfill } from './steps.ts';

let smtp: TestSmtp;
let database: TestDatabase;
let s3: StrictS3;
let server: TestServer;
let faults: Faults;

/** Starts a server on the same database and store, as a restart does. */
function startServer(): Promise<TestServer> {
  return startTestServer({ database, s3, env: { SMTP_URL: smtp.url, MAIL_FROM: 'sluice@example.com' } });
}

beforeAll(async () => {
  smtp = await startSmtp();
  database = await createTestDatabase();
  s3 = await startStrictS3({ buckets: ['exports'] });
  server = await startServer();
  faults = createFaults(s3);
});
afterAll(async () => {
  await server.stop();
  await s3.close();
  await database.drop();
  await smtp.close();
});

function makeJob(path: string, settings = {}): Promise<string> {
  const jobName = `Backfill ${path}`;
  return createJob(server, { jobName, s3Url: `exports/${path}`, cron: '0 1 * * *', range: 'ago(1d)', ...settings });
}

interface Update {
  readonly backfillUpdated: { readonly status: string; readonly delivered: number };
}

describe('backfillUpdated', () => {
  test('sends the current state, then states at most once per second, and ends with the backfill', async () => {
    const jobId = await makeJob('followed');
    const { id } = await createBackfill(server, { jobId, from: '2025-01-01T00:00:00Z', to: '2025-01-21T00:00:00Z' });
    const begun = performance.now();
    const stream = await openEventStream<Update>({
      url: server.url,
      key: server.key,
      query: 'subscription ($id: ID!) { backfillUpdated(id: $id) { status delivered } }',
      variables: { id },
    });
    expect(await stream.ended).toBe(true);
    const states = stream.results.flatMap(({ data }) => (data ? [data.backfillUpdated] : []));
    expect(states[0]).toMatchObject({ status: 'RUNNING' });
    expect(states.at(-1)).toEqual({ status: 'SUCCEEDED', delivered: 20 });
    expect(states.length).toBeLessThanOrEqual((performance.now() - begun) / 1000 + 2);
    const again = await openEventStream<Update>({
      url: server.url,
      key: server.key,
      query: 'subscription ($id: ID!) { backfillUpdated(id: $id) { status delivered } }',
      variables: { id },
    });
    expect(await again.ended).toBe(true);
    expect(again.results.map(({ data }) => data?.backfillUpdated.status)).toEqual(['SUCCEEDED']);
  });

  test('sends changes that are not of a run after the connection that listens was broken', async () => {
    const jobId = await makeJob('broken');
    faults.on('broken/', () => ({ hold: new Promise(() => undefined) }));
    const { id } = await createBackfill(server, { jobId, from: '2025-01-01T00:00:00Z', to: '2025-01-03T00:00:00Z' });
    const stream = await openEventStream<Update>({
      url: server.url,
      key: server.key,
      query: 'subscription ($id: ID!) { backfillUpdated(id: $id) { status delivered } }',
      variables: { id },
    });
    await stream.until(({ data }) => data?.backfillUpdated.status === 'RUNNING');
    await querySql(
      server,
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN sluice%'`,
    );
    await changeBackfill(server, 'pauseBackfill', id);
    await stream.until(({ data }) => data?.backfillUpdated.status === 'PAUSED');
    await changeBackfill(server, 'cancelBackfill', id);
    expect(await stream.ended).toBe(true);
    faults.clear('broken/');
  });
});

describe('mail about a backfill', () => {
  const mailsTo = (email: string) => smtp.messages.filter(({ to }) => to.includes(email));

  test('is sent once at an automatic pause and once at the end, and none per window', async () => {
    const email = 'backfill@example.com';
    const jobId = await makeJob('mailed', { email });
    faults.on('mailed/', () => ({ status: 403, code: 'AccessDenied' }));
    const { id } = await createBackfill(server, { jobId, from: '2025-01-01T00:00:00Z', to: '2025-01-07T00:00:00Z' });
    await eventually(
      () => Promise.resolve(mailsTo(email)),
      (mails) => mails.length === 1,
    );
    expect(mailsTo(email)[0]?.subject).toBe('Sluice: backfill of Backfill mailed was paused');
    expect(mailsTo(email)[0]?.text).toContain('Failed:    3');
    expect(mailsTo(email)[0]?.text).toContain('ACCESS_DENIED: ');
    faults.clear('mailed/');
    await changeBackfill(server, 'retryBackfill', id);
    await endedBackfill(server, id);
    await eventually(
      () => Promise.resolve(mailsTo(email)),
      (mails) => mails.length === 2,
    );
    expect(mailsTo(email)[1]?.subject).toBe('Sluice: backfill of Backfill mailed succeeded');
    expect(mailsTo(email)[1]?.text).toContain('Delivered: 6\n');
  });
});

describe('REST', () => {
  test('creates and returns a backfill', async () => {
    const jobId = await makeJob('rest');
    const body = { from: '2025-01-01T00:00:00Z', to: '2025-01-03T00:00:00Z', order: 'newest_first', reprocess: 'ALL' };
    const created = await ask<{ id: string }>(server, `POST /jobs/${jobId}/backfills`, { body });
    expect([created.status, created.body]).toEqual([
      201,
      expect.objectContaining({ jobId, order: 'newest_first', reprocess: 'all', status: 'running', windows: 2 }),
    ]);
    await endedBackfill(server, created.body.id);
    expect((await ask(server, `GET /backfills/${created.body.id}`)).body).toMatchObject({
      status: 'succeeded',
      from: '2025-01-01T00:00:00Z',
      delivered: 2,
      error: null,
    });
    const refused = await ask<{ error: { issues: object[] } }>(server, `POST /jobs/${jobId}/backfills`, {
      body: { from: '2025-01-02T00:00:00Z', to: '2025-01-01T00:00:00Z' },
    });
    expect([refused.status, refused.body.error.issues]).toEqual([
      400,
      [expect.objectContaining({ path: ['to'], code: 'EMPTY_WINDOW' })],
    ]);
  });
});

describe('backfill of a year', () => {
  test('survives a pause and a restart of the server, and delivers each window once', async () => {
    const jobId = await makeJob('long');
    for (const day of ['05', '06', '07', '20', '21']) await exportAgain(server, jobId, `2025-01-${day}T01:00:00Z`);
    const { id } = await createBackfill(server, { jobId, from: '2025-01-01T00:00:00Z', to: '2026-01-01T00:00:00Z' });
    await backfillThat(server, id, ({ delivered }) => delivered >= 100, 300_000);
    await changeBackfill(server, 'pauseBackfill', id);
    await server.stop();
    server = await startServer();
    expect(await readBackfill(server, id)).toMatchObject({ status: 'PAUSED' });
    await changeBackfill(server, 'resumeBackfill', id);
    expect(await endedBackfill(server, id, 300_000)).toMatchObject({
      status: 'SUCCEEDED',
      windows: 365,
      delivered: 360,
      skipped: 5,
      runs: { totalCount: 360 },
    });
    const revisions = await querySql<{ revision: number; count: number }>(
      server,
      'SELECT revision, count(*)::int FROM deliveries WHERE job_id = $1 GROUP BY 1',
      [innerId(jobId)],
    );
    expect(revisions).toEqual([{ revision: 1, count: 365 }]);
  }, 600_000);
});
