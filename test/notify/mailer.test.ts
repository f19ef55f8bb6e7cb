import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MAIL_QUEUE } from '../../src/db/queue.ts';
import { createFaults, createGate, type Faults } from '../support/faults.ts';
import {
  addRecords,
  cancelRun,
  createJob,
  deleteJob,
  endedRun,
  innerId,
  querySql,
  runJob,
  runThat,
} from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { type ReceivedMail, startSmtp, type TestSmtp } from '../support/smtp.ts';

const SLOT = '2026-01-28T02:00:00Z';

let smtp: TestSmtp;
let server: TestServer;
let faults: Faults;
beforeAll(async () => {
  smtp = await startSmtp();
  server = await startTestServer({
    env: { SMTP_URL: smtp.url, MAIL_FROM: 'sluice@example.com', EXPORT_CONCURRENCY: '8' },
  });
  faults = createFaults(server.s3);
  await addRecords(server, 's', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'e', value: '1' }]);
});
afterAll(async () => {
  await server.stop();
  await smtp.close();
});

interface MailJob {
  readonly state: string;
  readonly seconds: number;
}

/** Messages about a run in the mail queue. */
const mailJobs = (runId: string): Promise<MailJob[]> =>
  querySql<MailJob>(
    server,
    `SELECT state, extract(epoch FROM start_after - now())::float8 AS seconds FROM pgboss.job WHERE name = $1 AND data ->> 'runId' = $2`,
    [MAIL_QUEUE, innerId(runId)],
  );

/** All mails to an address, after all messages about the run have left the queue. */
const mailsTo = async (address: string, runId: string): Promise<ReceivedMail[]> => {
  await eventually(
    () => mailJobs(runId),
    (jobs) => jobs.length > 0 && jobs.every(({ state }) => state === 'completed'),
  );
  return smtp.messages.filter(({ to }) => to.includes(address));
};

describe.concurrent('mailer > sends one mail about a run that', () => {
  test('succeeded', async () => {
    const email = 'succeeded@example.com';
    const jobId = await createJob(server, { email, jobName: 'Good news', s3Url: 'exports/mail' });
    const run = await endedRun(server, await runJob(server, jobId, SLOT));
    const mails = await mailsTo(email, run.id);
    expect(mails).toMatchObject([
      { from: 'sluice@example.com', to: [email], subject: 'Sluice: Good news succeeded (2026-01-21)' },
    ]);
    expect(mails[0]?.text).toContain('\nAttempt: 1\n');
    expect(mails[0]?.text).toContain(`\nRows:    1\nBytes:   ${run.bytesWritten}\n`);
    expect(mails[0]?.text).toContain(`\n  ${run.objects[0]?.key}\n`);
    expect(mails[0]?.text).toContain(`\nManifest:\n  ${run.manifestKey}\n`);
  });

  test('failed, with the change to make', async () => {
    const email = 'failed@example.com';
    faults.on('mail/bad-news/', () => ({ status: 403, code: 'AccessDenied' }));
    const jobId = await createJob(server, { email, jobName: 'Bad news', s3Url: 'exports/mail' });
    const run = await endedRun(server, await runJob(server, jobId, SLOT));
    const mails = await mailsTo(email, run.id);
    expect(mails.map(({ subject }) => subject)).toEqual(['Sluice: Bad news failed (2026-01-21)']);
    expect(mails[0]?.text).toContain(`ACCESS_DENIED: ${run.error?.message}`);
    // Readers of the mail may not have an API key to query the policy.
    const policy = /The policy to attach: (\{.*\})$/m.exec(mails[0]?.text ?? '')?.[1];
    const { bucketPolicy } = await server.graphql<{ bucketPolicy: string }>('{ bucketPolicy(s3Url: "exports/mail") }');
    expect(JSON.parse(policy ?? '')).toEqual(JSON.parse(bucketPolicy));
    expect(mails[0]?.raw).not.toContain('LEAK');
  });

  test('succeeded after a retry, and none about the failed attempt', async () => {
    const email = 'retried@example.com';
    let isBusy = true;
    faults.on('mail/at-last/', () => (isBusy ? { status: 503, code: 'SlowDown' } : undefined));
    const jobId = await createJob(server, { email, jobName: 'At last', s3Url: 'exports/mail' });
    const id = await runJob(server, jobId, SLOT);
    await runThat(server, id, ({ attempt, status }) => attempt > 0 && status !== 'RUNNING');
    expect(await mailJobs(id)).toEqual([]);
    isBusy = false;
    const run = await endedRun(server, id);
    expect(run.status).toBe('SUCCEEDED');
    expect(run.attempt).toBeGreaterThan(1);
    const mails = await mailsTo(email, id);
    expect(mails.map(({ subject }) => subject)).toEqual(['Sluice: At last succeeded (2026-01-21)']);
    expect(mails[0]?.text).toContain(`\nAttempt: ${run.attempt}\n`);
  });

  test('was canceled while it wrote, and one about the run that waited', async () => {
    const email = 'canceled@example.com';
    const gate = createGate();
    let asked = 0;
    faults.on('mail/enough/', () => ((asked += 1) === 1 ? { hold: gate.opened } : undefined));
    const jobId = await createJob(server, { email, jobName: 'Enough', s3Url: 'exports/mail' });
    const running = await runJob(server, jobId, SLOT);
    const waiting = await runJob(server, jobId, '2026-01-29T02:00:00Z');
    await eventually(
      () => Promise.resolve(asked),
      (count) => count === 1,
    );
    await cancelRun(server, waiting);
    await cancelRun(server, running);
    gate.open();
    await mailsTo(email, waiting);
    const mails = await mailsTo(email, running);
    expect(mails.map(({ subject }) => subject).toSorted()).toEqual([
      'Sluice: Enough was canceled (2026-01-21)',
      'Sluice: Enough was canceled (2026-01-22)',
    ]);
  });

  test('was canceled because its job was deleted', async () => {
    const email = 'deleted@example.com';
    faults.on('mail/gone/', () => 'hang');
    const jobId = await createJob(server, { email, jobName: 'Gone', s3Url: 'exports/mail' });
    const id = await runJob(server, jobId, SLOT);
    await deleteJob(server, jobId);
    expect((await mailsTo(email, id)).map(({ subject }) => subject)).toEqual([
      'Sluice: Gone was canceled (2026-01-21)',
    ]);
  });
});

describe('mailer', () => {
  afterAll(() => smtp.setBehavior('accept'));

  test('retries a mail that the mail server deferred', async () => {
    const email = 'later@example.com';
    smtp.setBehavior({ refuse: 'rcpt', code: 451 });
    const jobId = await createJob(server, { email, jobName: 'Later' });
    const run = await endedRun(server, await runJob(server, jobId, SLOT));
    const [job] = await eventually(
      () => mailJobs(run.id),
      ([one]) => one?.state === 'retry',
    );
    expect(job?.seconds).toBeGreaterThan(5);
    expect(job?.seconds).toBeLessThan(60);
    expect(smtp.messages.filter(({ to }) => to.includes(email))).toEqual([]);
    smtp.setBehavior('accept');
    await querySql(server, `UPDATE pgboss.job SET start_after = now() WHERE name = $1 AND state = 'retry'`, [
      MAIL_QUEUE,
    ]);
    // A message without a run, which only wakes the worker.
    await server.resources.queue.send(MAIL_QUEUE, { runId: randomUUID() });
    expect(await mailsTo(email, run.id)).toMatchObject([{ subject: 'Sluice: Later succeeded (2026-01-21)' }]);
  });

  test('does not retry a mail that the mail server rejected, and the run is unaffected', async () => {
    const email = 'never@example.com';
    smtp.setBehavior({ refuse: 'rcpt', code: 550 });
    const run = await endedRun(server, await runJob(server, await createJob(server, { email }), SLOT));
    expect(run.status).toBe('SUCCEEDED');
    expect(await mailsTo(email, run.id)).toEqual([]);
  });
});

test('mailer > logs a warning without SMTP_URL, and leaves no mail in the queue', async () => {
  const mute = await startTestServer();
  try {
    const settings = { email: 'nobody@example.com', jobName: 'Mute', s3Url: 'exports/mute' };
    const { checkJob } = await mute.graphql<{ checkJob: { warnings: string[] } }>(
      `mutation ($input: CreateJobInput!) { checkJob(input: $input) { ... on JobCheck { warnings } } }`,
      { input: { ...settings, format: 'CSV', aggregationBucket: 'DAY', range: 'ago(7d)' } },
    );
    expect(checkJob.warnings).toEqual([expect.stringContaining('SMTP_URL')]);
    const run = await endedRun(mute, await runJob(mute, await createJob(mute, settings), SLOT));
    expect(run.status).toBe('SUCCEEDED');
    await eventually(
      () => querySql<{ state: string }>(mute, `SELECT state FROM pgboss.job WHERE name = $1`, [MAIL_QUEUE]),
      (jobs) => jobs.length === 1 && jobs[0]?.state === 'completed',
    );
  } finally {
    await mute.stop();
  }
});
