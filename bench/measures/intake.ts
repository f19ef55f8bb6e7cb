import { once } from 'node:events';
import { from as copyFrom } from 'pg-copy-streams';
import { type Figure, median } from '../support/figures.ts';
import { copyLine, graphqlRecord, type MadeUpRecord, ndjsonLine, recordAt } from '../support/made-up-records.ts';
import { type Answer, measureRate, post } from '../support/senders.ts';
import type { Stage } from '../support/stage.ts';
import { sumPath } from '../support/streams.ts';

// Intake by GraphQL, REST and NDJSON, compared with COPY of the same rows into a table with the same columns and indexes.

const BATCH = 5000;
const SENDERS = 3;
const BATCHES = 24;
/** Alternating, so that a change in the machine's speed affects all of them. */
const ROUNDS = 3;
const SECONDS = 5;
/** Lines of one NDJSON request. */
const LINES = 100_000;

const SHAPE = { days: 30, keys: BATCH * BATCHES, repeats: 1 };

const MUTATION =
  'mutation ($input: AllocationInput!) { allocationSum(input: $input) { __typename ... on AllocationReceipt { replayed } } }';

function batches(write: (records: readonly MadeUpRecord[]) => string): Buffer[] {
  return Array.from({ length: BATCHES }, (_, batch) =>
    Buffer.from(write(Array.from({ length: BATCH }, (__, index) => recordAt(batch * BATCH + index, SHAPE)))),
  );
}

function expect({ status, text }: Answer, part: string): void {
  if (status !== 200 || !text.includes(part)) throw new Error(`${status}: ${text.slice(0, 500)}`);
}

export async function measureIntake(stage: Stage): Promise<Figure[]> {
  const server = await stage.server();
  const { url } = server;
  const copy = await openCopy(stage);

  const graphql = batches(
    (records) =>
      `{"query":${JSON.stringify(MUTATION)},"variables":{"input":{"stream":"graphql","records":[${records.map(graphqlRecord).join(',')}]}}}`,
  );
  const sendGraphql = async (call: number): Promise<void> =>
    expect(await post(url, '/graphql', graphql[call % BATCHES] as Buffer), '"replayed":false');

  const rest = batches((records) => `{"records":[${records.map((record) => ndjsonLine(record).trim()).join(',')}]}`);
  const sendRest = async (call: number): Promise<void> =>
    expect(await post(url, sumPath('rest'), rest[call % BATCHES] as Buffer), `"insertedRecords":${BATCH}`);

  const lines = batches((records) => records.map(ndjsonLine).join(''));
  const body = Array.from({ length: LINES / BATCH }, (_, index) => lines[index % BATCHES] as Buffer);
  const sendLines = async (): Promise<void> =>
    expect(
      await post(url, sumPath('ndjson'), body, { 'content-type': 'application/x-ndjson' }),
      `"insertedRecords":${LINES}`,
    );

  const ways = [
    { name: 'GraphQL allocationSum', each: `${BATCH} records`, records: BATCH, atLeast: 0.15, send: sendGraphql },
    { name: 'REST JSON', each: `${BATCH} records`, records: BATCH, atLeast: 0.3, send: sendRest },
    { name: 'NDJSON', each: `${LINES} lines`, records: LINES, atLeast: 0.4, send: sendLines },
  ];
  for (const { send } of ways) await measureRate(SENDERS, 3, send);
  const rounds: { readonly limit: number; readonly rates: readonly number[] }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const limit = (await measureRate(SENDERS, SECONDS, copy)) * BATCH;
    const rates: number[] = [];
    for (const { records, send } of ways) rates.push((await measureRate(SENDERS, SECONDS, send)) * records);
    rounds.push({ limit, rates });
  }
  await server.stop();
  const copyRowsPerSecond = median(rounds.map(({ limit }) => limit));
  return ways.map(({ name, each, atLeast }, way): Figure => {
    const rateIn = ({ rates }: { readonly rates: readonly number[] }): number => rates[way] ?? Number.NaN;
    return {
      what: `${name}, ${each} per request, ${SENDERS} clients`,
      against: `COPY in batches of ${BATCH}`,
      value: median(rounds.map((round) => rateIn(round) / round.limit)),
      unit: 'x',
      bound: { atLeast },
      details: { recordsPerSecond: median(rounds.map(rateIn)), copyRowsPerSecond },
    };
  });
}

/** Copies a batch in its own transaction, on one connection per client. */
async function openCopy(stage: Stage): Promise<(call: number) => Promise<void>> {
  const first = await stage.connect();
  await first.query('CREATE TABLE bench_copied (LIKE records INCLUDING ALL)');
  const free = [first, ...(await Promise.all(Array.from({ length: SENDERS - 1 }, () => stage.connect())))];
  const rows = batches((records) => records.map(copyLine).join(''));
  const copy = async (call: number): Promise<void> => {
    const client = free.pop();
    if (!client) throw new Error('More calls than connections.');
    const stream = client.query(copyFrom('COPY bench_copied FROM STDIN'));
    stream.end(rows[call % BATCHES] as Buffer);
    await once(stream, 'finish');
    free.push(client);
  };
  await measureRate(SENDERS, 2, copy);
  return copy;
}
