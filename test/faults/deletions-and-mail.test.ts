import { afterAll, beforeAll, expect, test } from 'vitest';
import { MAIL_QUEUE } from '../../src/db/queue.ts';
import { brokenPromises } from '../support/bucket-check.ts';
import { createFaults, createGate, type Faults } from '../support/faults.ts';
import { deleteJob, endedRun, innerId, querySql, runJob, updateJob } from '../support/job-steps.ts';
import { eventually } from '../support/server.ts';
import { startSmtp, type TestSmtp } from '../support/smtp.ts';
import {
  type CatchableJob,
  catchExports,
  createJobs,
  momentsOf,
  rewritingMomentsOf,
  runAll,
} from './caught-exports.ts';
import { inForm } from './chance.ts';
import { type Deployment, type ServerProcess, startDeployment } from './deployment.ts';
import { addToAll, differenceOf, PART_BYTES, rowsOf, SLOT, sumOf } from './parted-exports.ts';
import { counted, tally } from './tally.ts';

const ELEMENTS = 120;
const FAILING = inForm({ short: 4, full: 20 });
/** Time limit of a put that is held, and waiting time of the worker that takes over. */
const LEASE_SECONDS = 10;

let deployment: Deployment;
let smtp: TestSmtp;
let workers: ServerProcess[];
let faults: Faults;
beforeAll(async () => {
  smtp = await startSmtp();
  deployment = await startDeployment({
    RUN_LEASE_SECONDS: String(LEASE_SECONDS),
    EXPORT_PART_BYTES: PART_BYTES,
    EXPORT_CONCURRENCY: '12',
    SMTP_URL: smtp.url,
    MAIL_FROM: 'sluice@example.com',
  });
  faults = createFaults(deployment.s3);
  workers = [await deployment.startServer(), await deployment.startServer({ ROLE: 'worker' })];
});
afterAll(async () => {
  await deployment.close();
  await smtp.close();
});

const deleteStream = async (server: ServerProcess, name: string): Promise<void> => {
  const { deleteStream: deleted } = await server.graphql<{ deleteStream: { __typename: string } }>(
    'mutation ($name: String!) { deleteStream(name: $name) { __typename } }',
    { name },
  );
  expect(deleted.__typename).toBe('DeletedStream');
};

interface QueuedMail {
  readonly state: string;
}

test('deletions during exports and an unavailable mail server > leave complete windows and one mail per run', async () => {
  const [server, other] = workers;
  if (!server || !other) throw new Error('There are two servers.');
  await addToAll(server, 'staying', ELEMENTS, 1);
  await addToAll(server, 'doomed', ELEMENTS, 1);
  const [sample] = await createJobs(server, 'staying', 'sample', 1);
  const [whole] = await runAll(server, sample ? [sample] : []);
  const parts = whole?.objects.length ?? 0;
  const moments = momentsOf(parts);
  const momentsAgain = rewritingMomentsOf(parts).slice(0, 3);
  const mailed = (job: CatchableJob): string => `${job.jobId.replace(/=+$/, '')}@example.com`;

  const goingJobs = await createJobs(server, 'staying', 'going', moments.length + momentsAgain.length);
  const doomedJobs = await createJobs(server, 'doomed', 'doomed', moments.length);
  const rewritten = goingJobs.slice(moments.length);
  await runAll(server, rewritten);
  const failing = await createJobs(server, 'staying', 'failing', FAILING);
  for (const { folder } of failing) faults.on(folder, () => ({ status: 403, code: 'AccessDenied' }));
  const mailing = [...goingJobs, ...doomedJobs, ...failing];
  for (const job of mailing) await updateJob(server, job.jobId, { email: mailed(job) });

  const port = Number(new URL(smtp.url).port);
  await smtp.close();
  const awaySince = performance.now();

  // Jobs that are deleted while they run, each at a different time.
  const over = createGate();
  const going = await catchExports(server, faults, goingJobs, [...moments, ...momentsAgain], over.opened);
  for (const { jobId } of goingJobs) await deleteJob(server, jobId);
  over.open();
  for (const id of going) expect((await endedRun(server, id)).status).toBe('CANCELED');
  await eventually(
    () => querySql(server, 'SELECT id FROM runs WHERE id = ANY($1) AND lease_token IS NOT NULL', [going.map(innerId)]),
    (held) => held.length === 0,
  );
  const putsOfGone = (): number => deployment.s3.puts.filter(({ key }) => key.startsWith('going/')).length;
  const putsWhenLetGo = putsOfGone();

  // A stream that is deleted while it is exported, and a server that is killed over it.
  const deleted = createGate();
  const doomed = await catchExports(server, faults, doomedJobs, moments, deleted.opened);
  await deleteStream(server, 'doomed');
  other.process.kill('SIGKILL');
  deleted.open();
  const failed: string[] = [];
  for (const { jobId } of failing) failed.push(await runJob(server, jobId, SLOT));

  const differences = [];
  for (const id of doomed) {
    const run = await endedRun(server, id, (LEASE_SECONDS + 60) * 1000);
    differences.push(differenceOf(server, run, rowsOf('doomed', ELEMENTS, 1)));
  }
  for (const id of failed) expect((await endedRun(server, id)).status).toBe('FAILED');

  // No mail has left, and each was tried at least once.
  const ended = [...going, ...doomed, ...failed];
  const queued = (): Promise<QueuedMail[]> =>
    querySql<QueuedMail>(server, `SELECT state FROM pgboss.job WHERE name = $1 AND data ->> 'runId' = ANY($2)`, [
      MAIL_QUEUE,
      ended.map(innerId),
    ]);
  const allAre =
    (wanted: string) =>
    (mails: readonly QueuedMail[]): boolean =>
      mails.length === ended.length && mails.every(({ state }) => state === wanted);
  await eventually(queued, allAre('retry'), 90_000);
  smtp = await startSmtp({ port });
  const awaySeconds = Math.round((performance.now() - awaySince) / 1000);
  // The last of the pauses between attempts takes 4 minutes.
  await eventually(queued, allAre('completed'), 300_000);

  const subjects = mailing
    .map(mailed)
    .map((address) =>
      smtp.messages
        .filter(({ to }) => to.includes(address))
        .map(({ subject }) => subject.replace(/^.*?(canceled|succeeded|failed).*$/, '$1')),
    );
  const wanted = [
    ...goingJobs.map(() => 'canceled'),
    ...doomedJobs.map(() => 'succeeded'),
    ...failing.map(() => 'failed'),
  ];
  expect(subjects.map(([subject]) => subject ?? 'none')).toEqual(wanted);
  expect(smtp.messages).toHaveLength(subjects.flat().length);
  expect(putsOfGone()).toBe(putsWhenLetGo);
  expect(brokenPromises(deployment.s3.puts)).toEqual([]);
  const { lost, twice } = sumOf(differences);
  await tally({
    scenario: 7,
    done:
      `${counted(going.length, 'jobs')} deleted while they ran; a stream deleted while ${doomed.length} exports of it ran and one of their servers was ` +
      `killed; mail server unavailable for ${awaySeconds} s`,
    tried: `${counted(differences.length, 'exports')} of the state before the deletion, ${counted(ended.length, 'mails')}`,
    lost: lost + subjects.filter(({ length }) => length === 0).length,
    twice: twice + subjects.filter(({ length }) => length > 1).length,
  });
}, 600_000);
