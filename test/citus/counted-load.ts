import { setTimeout as delay } from 'node:timers/promises';
import { type Chance, createChance } from '../faults/chance.ts';
import { FORMS, type Receiver, sendUntilAcknowledged } from '../faults/retrying-senders.ts';
import { createGraphQLClient } from '../support/graphql-client.ts';
import { createJob, endedRun, readExport, runJob, type StepServer } from '../support/job-steps.ts';
import { eventually, type TestServer } from '../support/server.ts';
import { readUsage } from '../usage/questions.ts';
import type { PlacedAccount } from './accounts.ts';

// Senders add 1 to each element in each region of a stream, again and again, while usage is asked and exported. So each answer must
// contain the same number everywhere, and it must lie between what was acknowledged before the question and what was sent by its end.

const ELEMENTS = ['a', 'b', 'c'];
const REGIONS = ['eu', 'us'];
const DAY = '2026-01-25T00:00:00Z';
const NEXT_DAY = '2026-01-26T00:00:00Z';
const SLOT = '2026-01-28T02:00:00Z';

const RECORDS = ELEMENTS.flatMap((elementName) =>
  REGIONS.map((region) => ({
    timestamp: DAY,
    granularity: 'DAILY',
    elementName,
    filter: [{ dimension: 'region', values: [region] }],
    value: '1',
  })),
);

export const RECORDS_OF_REQUEST = RECORDS.length;

const GROUPS = { element: ELEMENTS.length, region: REGIONS.length } as const;
type Group = keyof typeof GROUPS;
const GROUPINGS: readonly (readonly Group[])[] = [[], ['element'], ['region'], ['element', 'region']];
const rowsOf = (groupBy: readonly Group[]): number => groupBy.reduce((count, group) => count * GROUPS[group], 1);

/** A server, asked with the key of an account. */
type AccountServer = Receiver & StepServer;

export const asAccount = ({ url, s3, database }: TestServer, key: string): AccountServer => ({
  url,
  key,
  s3,
  database,
  ...createGraphQLClient(url, key),
});

export interface Load {
  readonly stream: string;
  /** Requests that have been sent at least once. */
  readonly begun: number;
  readonly acknowledged: number;
  /** Answers of the usage query that were compared. */
  readonly answers: number;
  readonly exports: number;
  /** Usage questions and steps of exports that failed with UNAVAILABLE and were repeated. */
  readonly repeated: number;
  /** Everything that was not as it had to be. */
  readonly wrong: readonly string[];
  /** Resolves when some more requests have been acknowledged, and some more questions answered. */
  progress(): Promise<void>;
  /** Resolves when each request has been acknowledged, and the question and the export in flight have ended. */
  stop(): Promise<void>;
}

interface LoadOptions {
  /** Asked with the key of one account. */
  readonly servers: readonly AccountServer[];
  /** The stream. Also distinguishes the random choices, jobs and idempotency keys of loads. */
  readonly name: string;
  readonly senders: number;
  readonly bucket: string;
}

/** How much happens before the next fault. */
const PROGRESS = 12;
const DEADLINE_MS = 60_000;

/** Resolves after the first request, when the stream and the jobs exist. */
const startLoad = async ({ servers, name, senders, bucket }: LoadOptions): Promise<Load> => {
  const counts = { begun: 0, acknowledged: 0, answers: 0, exports: 0, repeated: 0 };
  const wrong: string[] = [];
  let over = false;
  const note = (problem: unknown): void => void wrong.push(`${name}: ${String(problem)}`);

  const sendOne = async (chance: Chance, idempotencyKey: string): Promise<void> => {
    const input = { stream: name, records: RECORDS, idempotencyKey };
    counts.begun += 1;
    const receipt = await sendUntilAcknowledged({ answering: servers }, chance, { kind: 'Sum', input }, FORMS, note);
    counts.acknowledged += 1;
    if (receipt.inserted !== RECORDS.length || receipt.hidden !== 0) note(JSON.stringify(receipt));
  };
  const send = async (sender: number): Promise<void> => {
    const chance = createChance(`${name} ${sender}`);
    for (let number = 1; !over; number += 1) await sendOne(chance, `${name} ${sender} ${number}`);
  };

  /** Retries a request that failed because a node was down. */
  const persistently = async <Value>(step: () => Promise<Value>): Promise<Value> => {
    const late = performance.now() + DEADLINE_MS;
    for (;;) {
      try {
        return await step();
      } catch (error) {
        if (!String(error).includes('"UNAVAILABLE"') || performance.now() > late) throw error;
        counts.repeated += 1;
        await delay(50);
      }
    }
  };

  const compare = (what: string, values: readonly string[], groupBy: readonly Group[], acknowledgedBefore: number) => {
    const { begun } = counts;
    const rows = rowsOf(groupBy);
    const requests = Number(values[0] ?? 0) / (RECORDS.length / rows);
    const isWhole = values.length === (requests === 0 ? 0 : rows) && values.every((value) => value === values[0]);
    if (isWhole && requests >= acknowledgedBefore && requests <= begun) return;
    note(
      `${what} by [${groupBy.join()}] has ${values.join() || 'nothing'}, not ${acknowledgedBefore} to ${begun} requests`,
    );
  };

  const ask = async (): Promise<void> => {
    const chance = createChance(`questions of ${name}`);
    while (!over) {
      const groupBy = chance.pick(GROUPINGS);
      const window = { from: DAY, to: NEXT_DAY, aggregationBucket: 'DAY' };
      const question = { meterApiNames: [name], ...window, groupBy, sparse: true };
      const [acknowledged, answer] = await persistently(async () => [
        counts.acknowledged,
        await readUsage(chance.pick(servers), question),
      ]);
      compare(
        'usage',
        answer.series.map(({ total }) => total),
        groupBy,
        acknowledged,
      );
      counts.answers += 1;
    }
  };

  const jobs = new Map<readonly Group[], string>();
  const createJobs = async (server: AccountServer): Promise<void> => {
    for (const groupBy of GROUPINGS) {
      const jobName = `${name} by ${groupBy.join(' and ') || 'day'}`;
      const settings = { jobName, s3Url: `${bucket}/${name}`, meterApiNames: [name], groupBy };
      jobs.set(groupBy, await createJob(server, settings));
    }
  };

  const exportAgain = async (): Promise<void> => {
    const chance = createChance(`exports of ${name}`);
    while (!over) {
      const [groupBy, jobId] = chance.pick([...jobs]);
      const { acknowledged } = counts;
      const server = chance.pick(servers);
      const runId = await persistently(() => runJob(server, jobId, SLOT));
      const run = await persistently(() => endedRun(server, runId, DEADLINE_MS));
      const [, ...lines] = readExport(server, run, bucket).bodies.join('').trimEnd().split('\n');
      compare(
        `export ${runId}`,
        lines.map((line) => line.split(',').at(-1) ?? ''),
        groupBy,
        acknowledged,
      );
      counts.exports += 1;
    }
  };

  await sendOne(createChance(name), `${name} first`);
  await createJobs(servers[0] as AccountServer);
  const parts = [...Array.from({ length: senders }, (_, index) => send(index + 1)), ask(), exportAgain()].map((part) =>
    part.catch((error: unknown) => {
      note(error);
      over = true;
    }),
  );
  return {
    stream: name,
    get begun() {
      return counts.begun;
    },
    get acknowledged() {
      return counts.acknowledged;
    },
    get answers() {
      return counts.answers;
    },
    get exports() {
      return counts.exports;
    },
    get repeated() {
      return counts.repeated;
    },
    wrong,
    progress: async () => {
      const enough = { acknowledged: counts.acknowledged + PROGRESS, answers: counts.answers + PROGRESS };
      await eventually(
        () => Promise.resolve(counts),
        ({ acknowledged, answers }) => over || (acknowledged >= enough.acknowledged && answers >= enough.answers),
        DEADLINE_MS,
      );
      if (wrong.length > 0) throw new Error(wrong.slice(0, 10).join('\n'));
    },
    stop: async () => {
      over = true;
      await Promise.all(parts);
    },
  };
};

/** One for each account, on all of the servers. */
export const startLoads = (
  servers: readonly TestServer[],
  accounts: readonly PlacedAccount[],
  { suffix, senders }: { readonly suffix: string; readonly senders: number },
): Promise<Load[]> =>
  Promise.all(
    accounts.map(({ name, key, bucket }) =>
      startLoad({
        servers: servers.map((server) => asAccount(server, key)),
        name: `${name}-${suffix}`,
        senders,
        bucket,
      }),
    ),
  );
