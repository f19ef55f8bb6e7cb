import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createFaults, type Faults } from '../support/faults.ts';
import { addRecords, exportAgain, filterOf, querySql, readExport } from '../support/job-steps.ts';
import { daysAgo, deliverDay, deliveriesOf, restatementsOf, settled, write } from '../support/correction-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { startSmtp, type TestSmtp } from '../support/smtp.ts';

let smtp: TestSmtp;
let server: TestServer;
let faults: Faults;
beforeAll(async () => {
  smtp = await startSmtp();
  server = await startTestServer({
    env: {
      LEDGER_SCAN_SECONDS: '1',
      LEDGER_SCAN_IDLE_SECONDS: '1',
      SMTP_URL: smtp.url,
      MAIL_FROM: 'sluice@example.com',
    },
  });
  faults = createFaults(server.s3);
});
afterAll(async () => {
  await server?.stop();
  await smtp?.close();
});

const at = (elementName: string, value: string) => ({
  timestamp: daysAgo(9, 5),
  elementName,
  value,
  filter: filterOf({ env: 'prod' }),
});

/** Delivers the window of 9 days ago with acme 100 and hooli 250, by a job that sends mails. */
async function deliver(stream: string, settings = {}) {
  await addRecords(server, stream, 'HOURLY', [at('acme', '100'), at('hooli', '250')]);
  const email = `${stream}@example.com`;
  return { email, ...(await deliverDay(server, stream, 9, { email, s3Url: `exports/${stream}`, ...settings })) };
}

/** Waits until every mail of the server has been sent, and returns the subjects of those to the address. */
async function subjectsTo(email: string): Promise<string[]> {
  const queued = `SELECT count(*)::int AS count FROM pgboss.job WHERE name LIKE '%mail%' AND state < 'completed'`;
  await eventually(
    () => querySql<{ count: number }>(server, queued),
    ([row]) => row?.count === 0,
  );
  return smtp.messages.filter(({ to }) => to.includes(email)).map(({ subject }) => subject);
}

const bodiesOf = (stream: string) =>
  server.s3
    .objects()
    .filter(({ key }) => key.startsWith(`${stream}/`))
    .map(({ key, body }) => [key, body.toString()]);

describe('restatement', () => {
  test('that the destination refuses leaves everything as it was, sends one mail, and follows the next slot', async () => {
    const { jobId, email, run } = await deliver('refused');
    const before = bodiesOf('refused');
    expect(before).toHaveLength(2);
    const refused: string[] = [];
    faults.on('refused/', ({ key }) => {
      refused.push(key);
      return { status: 403, code: 'AccessDenied' };
    });
    const id = await write(server, 'allocationSum', 'refused', [at('acme', '40')]);
    await settled(server);
    expect(await restatementsOf(server, jobId)).toMatchObject([
      { status: 'FAILED', attempt: 1, error: { code: 'ACCESS_DENIED' } },
    ]);
    expect(refused).toEqual([run.manifestKey]);
    expect(bodiesOf('refused')).toEqual(before);
    expect(await deliveriesOf(server, jobId)).toMatchObject([
      { state: 'STALE', revision: 1, pendingOperations: [{ id, kind: 'SUM' }] },
    ]);
    expect((await subjectsTo(email)).filter((subject) => subject.includes('failed'))).toHaveLength(1);

    faults.clear('refused/');
    await settled(server);
    // It waits for a run of the job that succeeds.
    expect(await restatementsOf(server, jobId)).toHaveLength(1);
    await exportAgain(server, jobId, daysAgo(7, 1));
    await settled(server);
    const restated = (await restatementsOf(server, jobId)).find(({ status }) => status === 'SUCCEEDED');
    if (!restated) throw new Error('The window was not restated.');
    const { manifest, text } = readExport(server, restated);
    expect(manifest).toMatchObject({ revision: 3, supersedes: { revision: 1, runId: run.id } });
    expect(text).toContain(',acme,140\n');
    expect((await deliveriesOf(server, jobId)).map(({ state, revision }) => [state, revision])).toEqual([
      ['CURRENT', 1],
      ['CURRENT', 3],
    ]);
    const subjects = await subjectsTo(email);
    expect(subjects).toHaveLength(4);
    expect(subjects.filter((subject) => subject.includes('failed'))).toHaveLength(1);
  });

  test('without a difference between its rows writes nothing and sends no mail', async () => {
    const { jobId, email } = await deliver('moved', { groupBy: ['env'] });
    const before = [server.s3.puts.length, await subjectsTo(email)];
    await write(server, 'allocationReplace', 'moved', [at('acme', '90'), at('hooli', '260')]);
    await settled(server);
    expect(await restatementsOf(server, jobId)).toMatchObject([{ status: 'CANCELED', error: { code: 'UNCHANGED' } }]);
    expect([server.s3.puts.length, await subjectsTo(email)]).toEqual(before);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 1, pendingOperations: [] }]);
  });
});
