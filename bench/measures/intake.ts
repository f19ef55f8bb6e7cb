import { once } from 'node:events';
import { from as copyFrom } from 'pg-copy-streams';
import { type Figure } from '../support/figures.ts';
import { copyLine, graphqlRecord, type MadeUpRecord, ndjsonLine, recordAt } from '../support/made-up-records.ts';
import { type Answer, measureRate, post } from '../support/senders.ts';
import type { Stage } from '../support/stage.ts';
import { sumPath } from '../support/streams.ts';

// Records in, by each of the three ways, against COPY of the same rows into a table of the same columns and indexes.

const BATCH = 5000;
const SENDERS = 3;
const BATCHES = 24;
const SECONDS = 8;
/** Lines of one NDJSON request. */
const LINES = 100_000;

const SHAPE = { days: 30, keys: BATCH * BATCHES, repeats: 1 };

const MUTATION =
  'mutation ($input: AllocationInput!) { allocationSum(input: $input) { __typename ... on AllocationReceipt { replayed } } }';

const batches = (write: (records: readonly MadeUpRecord[]) => string): Buffer[] =>
  Array.from({ length: BATCHES }, (_, batch) =>
    Buffer.from(write(Array.from({ length: BATCH }, (__, index) => recordAt(batch * BATCH + index, SHAPE)))),
  );

const expect = ({ status, text }: Answer, part: string): void => {
  if (status !== 200 || !text.includes(part)) throw new Error(`${status}: ${text.slice(0, 500)}`);
};

export const measureIntake = async (stage: Stage): Promise<Figure[]> => {
  const limit = await copyRate(stage);
  const server = await stage.server();
  const { url } = server;

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

  const figures: Figure[] = [];
  const measure = async (
    what: string,
    records: number,
    atLeast: number,
    send: (call: number) => Promise<void>,
  ): Promise<void> => {
    await measureRate(SENDERS, 3, send);
    const rate = (await measureRate(SENDERS, SECONDS, send)) * records;
    figures.push({
      what,
      against: `COPY in batches of ${BATCH}`,
      value: rate / limit,
      unit: 'x',
      bound: { atLeast },
      details: { recordsPerSecond: rate, copyRowsPerSecond: limit },
    });
  };
  await measure(`GraphQL allocationSum, ${BATCH} records a request, ${SENDERS} senders`, BATCH, 0.15, sendGraphql);
  await measure(`REST JSON, ${BATCH} records a request, ${SENDERS} senders`, BATCH, 0.3, sendRest);
  await measure(`NDJSON, ${LINES} lines a request, ${SENDERS} senders`, LINES, 0.4, sendLines);
  await server.stop();
  return figures;
};

/** Rows a second that COPY takes, one transaction each batch, as many connections as there are senders. */
const copyRate = async (stage: Stage): Promise<number> => {
  const server = await stage.server();
  await server.stop();
  const first = await stage.connect();
  await first.query('CREATE TABLE bench_copied (LIKE records INCLUDING ALL)');
  const clients = [first, ...(await Promise.all(Array.from({ length: SENDERS - 1 }, () => stage.connect())))];
  const rows = batches((records) => records.map(copyLine).join(''));
  const free = [...clients];
  const copy = async (call: number): Promise<void> => {
    const client = free.pop();
    if (!client) throw new Error('More calls than connections.');
    const stream = client.query(copyFrom('COPY bench_copied FROM STDIN'));
    stream.end(rows[call % BATCHES] as Buffer);
    await once(stream, 'finish');
    free.push(client);
  };
  await measureRate(SENDERS, 2, copy);
  const rate = (await measureRate(SENDERS, SECONDS, copy)) * BATCH;
  await first.query('DROP TABLE bench_copied');
  return rate;
};
