import { afterAll, beforeAll, expect, test } from 'vitest';
import { brokenPromises } from '../support/bucket-check.ts';
import { openEventStream } from '../support/event-stream.ts';
import { createFaults, createGate } from '../support/faults.ts';
import { addRecords, createJob, endedRun, querySql, runJob, runThat } from '../support/job-steps.ts';
import { openSocket } from '../support/socket-client.ts';
import { createChance, inForm } from './chance.ts';
import { type Deployment, type ServerProcess, startDeployment } from './deployment.ts';
import { keepSending, type Sent, sendSlowly } from './keep-alive-senders.ts';
import { counted, tally } from './tally.ts';

const SENDERS = 10;
const ROUNDS = inForm({ short: 2, full: 6 });
const GRACE_SECONDS = 6;
/** Tolerance for a busy machine, in addition to the grace period. */
const MARGIN_MS = 15_000;
const SLOT = '2026-01-28T02:00:00Z';
/** Longer than it takes a server that cuts requests off to do so. */
const SLOW_UPLOAD = { lines: 20, everyMs: 200 };
const SUBSCRIPTION = 'subscription { runUpdated { id status } }';

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment({ SHUTDOWN_GRACE_SECONDS: String(GRACE_SECONDS) });
});
afterAll(() => deployment?.close());

/** Whether it has logged that of the run. */
const says = ({ process }: ServerProcess, runId: string, words: string): boolean =>
  process.stderr.split('\n').some((line) => line.includes(`"runId":"${runId}"`) && line.includes(`"msg":"${words}`));

type Update = { runUpdated: { id: string; status: string } };

test(
  'SIGTERM under load fails no accepted request, and what an export has not ended another server ends',
  { timeout: ROUNDS * 60_000 + 60_000 },
  async () => {
    const chance = createChance('orderly stops');
    const faults = createFaults(deployment.s3);
    let [stopping, staying] = await Promise.all([deployment.startServer(), deployment.startServer()]);
    await addRecords(staying, 'usage', 'DAILY', [{ timestamp: SLOT, elementName: 'e', value: '1' }]);
    const jobsIn = (folder: string): Promise<string[]> =>
      Promise.all(
        [1, 2, 3, 4].map((index) =>
          createJob(staying, { jobName: `${folder} ${index}`, s3Url: `s3://exports/${folder}` }),
        ),
      );
    const jobs = [...(await jobsIn('ends')), ...(await jobsIn('stays'))];

    const sent: Sent[] = [];
    let over = false;
    const targets = (): ServerProcess[] => [stopping, staying];
    const senders = Array.from({ length: SENDERS }, (_, index) =>
      keepSending(
        `sender ${index}`,
        targets,
        createChance(`orderly ${index}`),
        () => over,
        (one) => sent.push(one),
      ),
    );
    let handedOver = 0;
    let runCount = 0;
    const uploads: Sent[] = [];
    try {
      for (let round = 1; round <= ROUNDS; round += 1) {
        const gate = createGate();
        const asked = new Set<string>();
        // Those that end are slow, those that stay wait until the server has gone.
        for (const folder of ['ends', 'stays']) {
          faults.on(folder, ({ key }) => {
            if (asked.has(key)) return undefined;
            asked.add(key);
            return { hold: folder === 'ends' ? new Promise((resolve) => setTimeout(resolve, 2500)) : gate.opened };
          });
        }
        const runs = await Promise.all(jobs.map((job) => runJob(staying, job, SLOT)));
        for (const id of runs) await runThat(staying, id, ({ status }) => status !== 'QUEUED');
        const own = runs.filter((id) => says(stopping, id, 'run started'));
        expect(own.length).toBeGreaterThan(0);
        const events = await openEventStream<Update>({ ...stopping, query: SUBSCRIPTION });
        const socket = await openSocket(stopping.url, { 'X-API-Key': stopping.key });
        await socket.until(({ type }) => type === 'connection_ack');
        socket.send({ type: 'subscribe', id: 'runs', payload: { query: SUBSCRIPTION } });
        await socket.until(({ type }) => type === 'next');
        await events.until(({ data }) => data != null);
        const idempotencyKey = `upload ${round}`;
        const upload = sendSlowly(stopping, idempotencyKey, SLOW_UPLOAD.lines, SLOW_UPLOAD.everyMs);

        await new Promise((resolve) => setTimeout(resolve, chance.between(300, 1200)));
        const toldAt = performance.now();
        stopping.process.kill('SIGTERM');
        expect(await stopping.process.ended).toBe(0);
        expect(performance.now() - toldAt).toBeLessThan(GRACE_SECONDS * 1000 + MARGIN_MS);
        // 1001 (going away): clients of graphql-ws reconnect. Their next server notifies them of the end of the run.
        expect(await socket.closed).toBe(1001);
        await events.ended;
        expect(events.results.at(-1)?.errors?.[0]?.extensions).toMatchObject({ code: 'UNAVAILABLE' });
        uploads.push({ idempotencyKey, outcome: await upload });

        const again = await openEventStream<Update>({ ...staying, query: SUBSCRIPTION });
        const left = own.filter((id) => says(stopping, id, 'run released on shutdown'));
        gate.open();
        const ended = await Promise.all(runs.map((id) => endedRun(staying, id, 60_000)));
        // A run that is handed over loses no attempt.
        expect(ended.filter(({ status, attempt }) => status !== 'SUCCEEDED' || attempt !== 1)).toEqual([]);
        for (const id of left) {
          await again.until(({ data }) => data?.runUpdated.id === id && data.runUpdated.status === 'SUCCEEDED');
        }
        again.close();
        handedOver += left.length;
        runCount += ended.length;
        [stopping, staying] = [staying, await deployment.startServer()];
      }
    } finally {
      over = true;
      await Promise.all(senders);
    }

    const rows = await querySql<{ key: string; count: number }>(
      deployment,
      `SELECT idempotency_key AS key, count(*)::int FROM operations WHERE idempotency_key IS NOT NULL GROUP BY 1`,
    );
    const stored = new Map(rows.map(({ key, count }) => [key, count]));
    const isAnswered = ({ outcome }: Sent): boolean => 'status' in outcome && outcome.status === 200;
    const all = [...sent, ...uploads];
    const answered = all.filter(isAnswered);
    // A new connection that was reset carried no accepted request, unless that was stored.
    const failed = all.filter(
      (one) => !isAnswered(one) && !('refused' in one.outcome && !stored.has(one.idempotencyKey)),
    );
    expect(failed).toEqual([]);
    const missing = answered.filter(({ idempotencyKey }) => !stored.has(idempotencyKey));
    expect(missing).toEqual([]);
    expect(brokenPromises(deployment.s3.puts)).toEqual([]);
    expect(handedOver).toBeGreaterThan(0);
    await tally({
      scenario: 6,
      done: `SIGTERM to one of two servers under load, ${counted(ROUNDS, 'times')}; exit code 0 each time`,
      tried: `${counted(answered.length, 'requests')} over kept connections; ${counted(runCount, 'exports')}, ${counted(handedOver, 'of them handed over')}`,
      lost: failed.length + missing.length,
      twice: [...stored.values()].filter((count) => count > 1).length,
    });
  },
);
