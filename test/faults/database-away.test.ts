import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { allocationPath, ask, NDJSON, type Receipt } from '../rest/requests.ts';
import { tryWrite } from '../streams/writes.ts';
import { brokenPromises } from '../support/bucket-check.ts';
import { type EventStream, openEventStream } from '../support/event-stream.ts';
import { createFaults, createGate } from '../support/faults.ts';
import { addRecords, createJob, endedRunsOf, querySql, runJob, runThat } from '../support/job-steps.ts';
import { eventually } from '../support/server.ts';
import { openSocket, type SocketClient } from '../support/socket-client.ts';
import { inForm } from './chance.ts';
import { type Deployment, type ServerProcess, startDeployment } from './deployment.ts';
import { counted, tally } from './tally.ts';

const AWAY_MS = inForm({ short: 12_000, full: 30_000 });
const SUBSCRIPTION = 'subscription { runUpdated { id status } }';
const SLOT = '2026-01-28T02:00:00Z';
const DAY = '2026-01-25T00:00:00Z';

let deployment: Deployment;
let servers: ServerProcess[];
beforeAll(async () => {
  deployment = await startDeployment();
  servers = await Promise.all([deployment.startServer(), deployment.startServer()]);
});
afterAll(() => deployment?.close());

type Update = { runUpdated: { id: string; status: string } };

const line = (elementName: string): string =>
  JSON.stringify({ timestamp: DAY, granularity: 'DAILY', 'element-name': elementName, value: '1' });

/** Every way in: what it answers, in one word where it is as it should be. */
const WAYS: Readonly<Record<string, (server: ServerProcess, idempotencyKey: string) => Promise<string>>> = {
  'REST, JSON': (server, key) => sendRest(server, key, `{"records":[${line(key)}]}`, {}),
  'REST, lines': (server, key) => sendRest(server, key, `${line(key)}\n`, NDJSON),
  'GraphQL, mutation': async (server, key) => {
    const records = [{ timestamp: DAY, granularity: 'DAILY', elementName: key, value: '1' }];
    const { status, data, errors } = await tryWrite(server, 'Sum', { stream: 'usage', idempotencyKey: key, records });
    if (data?.answer.__typename === 'AllocationReceipt') return 'taken';
    return status === 503 && errors?.[0]?.extensions?.['code'] === 'UNAVAILABLE'
      ? 'unavailable'
      : JSON.stringify(errors);
  },
  'GraphQL, query': async (server) => {
    const { status, data, errors } = await server.request('{ jobs { totalCount } }');
    if (data) return 'taken';
    return status === 503 && errors?.[0]?.extensions?.['code'] === 'UNAVAILABLE'
      ? 'unavailable'
      : JSON.stringify(errors);
  },
  'REST, jobs': async (server) => wordOf(await ask(server, 'GET /jobs')),
};

const wordOf = ({ status, headers, text }: { status: number; headers: Headers; text: string }): string => {
  if (status === 200) return 'taken';
  return status === 503 && Number(headers.get('retry-after')) > 0 ? 'unavailable' : `${status} ${text}`;
};

const sendRest = async (server: ServerProcess, key: string, body: string, headers: object): Promise<string> =>
  wordOf(
    await ask<Receipt>(server, `POST ${allocationPath('usage', 'sum')}`, {
      body,
      headers: { ...headers, 'idempotency-key': key },
    }),
  );

const statusOf = async ({ url }: ServerProcess, path: string): Promise<number> => (await fetch(url + path)).status;

const health = (): Promise<number[][]> =>
  Promise.all(servers.map((server) => Promise.all([statusOf(server, '/readyz'), statusOf(server, '/healthz')])));

const subscribe = async (server: ServerProcess): Promise<SocketClient> => {
  const socket = await openSocket(server.url, { 'X-API-Key': server.key });
  await socket.until(({ type }) => type === 'connection_ack');
  socket.send({ type: 'subscribe', id: 'runs', payload: { query: SUBSCRIPTION } });
  return socket;
};

const seenOver = (follower: EventStream<Update> | SocketClient): Update['runUpdated'][] =>
  'results' in follower
    ? follower.results.flatMap(({ data }) => (data ? [data.runUpdated] : []))
    : follower.messages.flatMap(({ type, payload }) =>
        type === 'next' ? [(payload as { data: Update }).data.runUpdated] : [],
      );

test(
  'unavailable database > causes 503 with Retry-After, and everything resumes automatically when it is back',
  { timeout: AWAY_MS + 240_000 },
  async () => {
    const [first, second] = servers as [ServerProcess, ServerProcess];
    const faults = createFaults(deployment.s3);
    await addRecords(first, 'usage', 'DAILY', [{ timestamp: DAY, elementName: 'e', value: '1' }]);
    const slow = await createJob(first, { jobName: 'slow', s3Url: 's3://exports/slow' });
    const followers = [
      await openEventStream<Update>({ ...first, query: SUBSCRIPTION }),
      await openEventStream<Update>({ ...second, query: SUBSCRIPTION }),
      await subscribe(first),
      await subscribe(second),
    ];
    const asked: string[] = [];
    const wrong: string[] = [];

    // One run is exporting, one becomes due while the database is down, one soon after.
    const gate = createGate();
    faults.on('slow', ({ key }) => (key.endsWith('.manifest.json') ? undefined : { hold: gate.opened }));
    const running = await runJob(first, slow, SLOT);
    await runThat(first, running, ({ status }) => status === 'RUNNING');
    const dueIn = async (what: string, seconds: number): Promise<string> =>
      createJob(first, {
        jobName: what,
        enabled: true,
        range: 'ago(1d)',
        scheduledTimeInSeconds: Math.ceil(Date.now() / 1000) + seconds,
      });
    const jobs = [await dueIn('meanwhile', 7), await dueIn('afterwards', 7 + AWAY_MS / 1000)];
    expect(await health()).toEqual([
      [200, 200],
      [200, 200],
    ]);

    await deployment.postgres.goAway();
    const backAt = performance.now() + AWAY_MS;
    const open = new Map<string, (server: ServerProcess, key: string) => Promise<string>>();
    // API keys are cached for a short time; after that no client can be authenticated.
    for (let turn = 1; performance.now() < backAt; turn += 1) {
      for (const [way, send] of Object.entries(WAYS)) {
        const key = `${way} ${turn}`;
        const words = await Promise.all(servers.map((server) => send(server, key)));
        asked.push(...words);
        wrong.push(...words.filter((word) => word !== 'unavailable').map((word) => `${key}: ${word}`));
        open.set(key, send);
      }
      for (const server of servers) {
        expect([await statusOf(server, '/readyz'), await statusOf(server, '/healthz')]).toEqual([503, 200]);
      }
      await delay(200);
    }
    await deployment.postgres.comeBack();
    const cameBackAt = performance.now();
    gate.open();
    await eventually(health, (all) => String(all) === '200,200,200,200', 90_000);
    const recoveryMs = performance.now() - cameBackAt;
    // Rejected clients retry at both servers, and each request is written once.
    for (const [key, send] of open) {
      for (const server of servers) {
        const word = await send(server, key);
        if (word !== 'taken') wrong.push(`${key} afterwards: ${word}`);
      }
    }
    const expectedRuns = [running];
    for (const job of jobs) expectedRuns.push(...(await endedRunsOf(second, job, 1, 60_000)).map(({ id }) => id));
    await runThat(second, running, ({ status }) => status === 'SUCCEEDED', 90_000);

    expect(wrong).toEqual([]);
    const runs = await querySql<{ status: string }>(deployment, 'SELECT status FROM runs');
    expect(runs).toEqual(expectedRuns.map(() => ({ status: 'SUCCEEDED' })));
    expect(expectedRuns.length).toBe(3);
    // The subscriptions from before still stand, and each of them has seen how every run ended.
    for (const follower of followers) {
      await eventually(
        () =>
          Promise.resolve(
            expectedRuns.filter((id) => !seenOver(follower).some((one) => one.id === id && one.status === 'SUCCEEDED')),
          ),
        (unseen) => unseen.length === 0,
      );
      follower.close();
    }
    const keys = await querySql<{ count: number }>(
      deployment,
      'SELECT count(*)::int FROM operations WHERE idempotency_key IS NOT NULL GROUP BY idempotency_key',
    );
    const values = await querySql<{ element: string; value: string }>(
      deployment,
      `SELECT element, sum(value)::text AS value FROM records WHERE hidden_by IS NULL AND element <> 'e' GROUP BY 1`,
    );
    const twice = values.filter(({ value }) => value !== '1').length;
    // Three of the ways write something.
    expect(values.length).toBe(keys.length);
    expect(keys.length * Object.keys(WAYS).length * servers.length).toBe(asked.length * 3);
    expect(brokenPromises(deployment.s3.puts)).toEqual([]);
    await tally({
      scenario: 4,
      done: `PostgreSQL unavailable for ${AWAY_MS / 1000} s to two servers with an export, due jobs and subscriptions`,
      tried: `${counted(asked.length, 'requests')} received 503 and succeeded on retry; ${counted(expectedRuns.length, 'runs')} followed by ${followers.length} subscriptions each`,
      lost: wrong.length + asked.length - asked.filter((word) => word === 'unavailable').length,
      twice: twice + keys.filter(({ count }) => count > 1).length,
    });
    expect(recoveryMs).toBeLessThan(60_000);
  },
);
