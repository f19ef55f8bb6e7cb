import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createJob, innerId, querySql, type Settings } from '../support/job-steps.ts';
import { type Chance, createChance, inForm } from './chance.ts';
import { type Deployment, startDeployment } from './deployment.ts';
import { FORMS, type KeyedRequest, sendUntilAcknowledged } from './retrying-senders.ts';
import { type SupervisedServers, superviseServers } from './supervised-servers.ts';
import { counted, tally } from './tally.ts';

const CLIENTS = 8;
const ROUNDS = inForm({ short: 400, full: 10_000 }) / CLIENTS;
const HOUR = 3_600_000;
const MINUTE = 60_000;

let deployment: Deployment;
let servers: SupervisedServers;
beforeAll(async () => {
  deployment = await startDeployment({ RUN_LEASE_SECONDS: '5' });
  servers = await superviseServers(deployment, [{}, {}]);
});
afterAll(async () => {
  await servers?.stop();
  await deployment?.close();
});

/** The first hour of every stream. Each round has the next hour. */
const FIRST = Math.floor(Date.now() / HOUR) * HOUR - (ROUNDS + 2) * HOUR;
const startOf = (round: number): string => new Date(FIRST + round * HOUR).toISOString();

interface Client {
  readonly stream: string;
  /** Global id of a job that exports one hour of the stream. */
  readonly jobId: string;
  /** Number of elements that were acknowledged, by round. */
  readonly acknowledged: number[];
  /** The round that the client is in. */
  round: number;
}

const failures: string[] = [];
const noteFailure = (error: unknown): void => void failures.push(String(error));

/** Sends until a server acknowledges it. */
async function askUntilAnswered<Data extends object>(
  chance: Chance,
  query: string,
  variables: Settings,
): Promise<Data> {
  for (;;) {
    const { answering } = servers;
    try {
      if (answering.length > 0) return await chance.pick(answering).graphql<Data>(query, variables);
    } catch (error) {
      // Killed, or the request needs the server that was killed.
      if (!/fetch failed|other side closed|terminated|ECONN|UNAVAILABLE|_BUSY|TIMEOUT|OVERLOADED/.test(String(error)))
        throw error;
    }
    await delay(chance.between(20, 200));
  }
}

async function declare(chance: Chance, stream: string, round: number): Promise<void> {
  const { declareComplete } = await askUntilAnswered<{ declareComplete: { __typename: string } }>(
    chance,
    `mutation ($input: DeclareCompleteInput!) { declareComplete(input: $input) { __typename ... on UserError { message } } }`,
    { input: { stream, through: startOf(round + 1), idempotencyKey: `${stream} complete ${round}` } },
  );
  if (declareComplete.__typename !== 'AllocationReceipt') failures.push(JSON.stringify(declareComplete));
}

/** In each round, sums into one hour are acknowledged, and then the hour is declared complete. */
async function sendRounds(client: Client): Promise<void> {
  const chance = createChance(`declared ${client.stream}`);
  for (let round = 0; round < ROUNDS; round += 1) {
    const sums = chance.between(1, 3);
    for (let sum = 0; sum < sums; sum += 1) {
      const record = {
        timestamp: startOf(round),
        granularity: 'HOURLY' as const,
        elementName: `element ${sum}`,
        value: '1',
      };
      const request: KeyedRequest = {
        kind: 'Sum',
        input: { stream: client.stream, records: [record], idempotencyKey: `${client.stream} ${round} ${sum}` },
      };
      await sendUntilAcknowledged(servers, chance, request, FORMS, noteFailure);
      // Before the first round, the job has no stream to read.
      client.round = round;
    }
    client.acknowledged[round] = sums;
    await declare(chance, client.stream, round);
  }
}

/** Runs the job for the hour in which its client is, one run after the other, until all rounds are over. */
async function exportRounds(client: Client, isOver: () => boolean): Promise<void> {
  const chance = createChance(`exported ${client.stream}`);
  while (!isOver()) {
    await askUntilAnswered(
      chance,
      'mutation ($input: RunJobInput!) { runJob(input: $input) { __typename ... on UserError { message } } }',
      { input: { jobId: client.jobId, scheduledFor: startOf(client.round + 1) } },
    );
    const isBusy = async (): Promise<boolean> =>
      (
        await querySql(deployment, `SELECT 1 FROM runs WHERE job_id = $1 AND status IN ('QUEUED', 'RUNNING') LIMIT 1`, [
          innerId(client.jobId),
        ])
      ).length > 0;
    while (await isBusy()) await delay(chance.between(5, 25));
  }
}

interface EndedRun {
  readonly job: string;
  readonly window: Date;
  readonly status: string;
  readonly complete: boolean | null;
  readonly rows: string;
}

test(
  'no run that reports complete lacks a record that was acknowledged before the declaration was sent, though servers are killed',
  { timeout: 20 * MINUTE },
  async () => {
    const chance = createChance('declared');
    const [server] = servers.answering;
    if (!server) throw new Error('No server answers.');
    const clients: Client[] = await Promise.all(
      Array.from({ length: CLIENTS }, async (_, index) => {
        const stream = `declared-${index}`;
        const settings = { jobName: stream, s3Url: `exports/${stream}`, meterApiNames: [stream], groupBy: ['element'] };
        const jobId = await createJob(server, { ...settings, aggregationBucket: 'HOUR', range: 'ago(1h)' });
        return { stream, jobId, acknowledged: [], round: 0 };
      }),
    );
    let over = false;
    const kill = async (): Promise<void> => {
      // By progress, since a slow machine needs longer to start servers.
      for (let next = 0; !over; await delay(50)) {
        const declared = clients.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0);
        if (declared < next || servers.answering.length < 2) continue;
        if (next > 0) servers.killOne(chance.pick);
        next = declared + chance.between(50, 250);
      }
    };
    const sending = Promise.all(clients.map(sendRounds)).finally(() => (over = true));
    await Promise.all([sending, kill(), ...clients.map((client) => exportRounds(client, () => over))]);

    const runs = await querySql<EndedRun>(
      deployment,
      'SELECT job_id AS job, window_start AS window, status, complete, rows_written AS rows FROM runs',
    );
    expect(failures).toEqual([]);
    expect(servers.endedByThemselves).toEqual([]);
    expect(runs.filter(({ status }) => status !== 'SUCCEEDED')).toEqual([]);
    const byJob = new Map(clients.map((client) => [innerId(client.jobId), client]));
    const acknowledgedOf = ({ job, window }: EndedRun): number =>
      byJob.get(job)?.acknowledged[(window.getTime() - FIRST) / HOUR] ?? Number.NaN;
    const complete = runs.filter((run) => run.complete);
    const lacking = complete.filter((run) => Number(run.rows) < acknowledgedOf(run));
    const wrong = complete.filter((run) => !(Number(run.rows) <= acknowledgedOf(run)));
    // Runs met rounds before and after their declarations.
    expect(complete.length).toBeGreaterThan(CLIENTS);
    expect(runs.length - complete.length).toBeGreaterThan(CLIENTS);
    await tally({
      scenario: 9,
      done: `two servers under ${CLIENTS} clients, each of which declared an hour complete as soon as its sums were acknowledged; SIGKILL ${counted(servers.kills, 'times')}`,
      tried: `${counted(ROUNDS * CLIENTS, 'declarations')}; ${counted(complete.length, 'runs')} that reported complete, and ${counted(runs.length - complete.length, 'others')}`,
      lost: lacking.length,
      twice: wrong.length,
    });
  },
);
