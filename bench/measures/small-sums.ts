import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Figure, median } from '../support/figures.ts';
import { ndjsonLine, recordAt } from '../support/made-up-records.ts';
import { quoted, runCommand } from '../support/programs.ts';
import { measureRate, post } from '../support/senders.ts';
import type { Stage } from '../support/stage.ts';
import { sumPath } from '../support/streams.ts';

// Sums of one record each, compared with equally small transactions of pgbench. Each is durable before its response.

const SENDERS = 64;
const CONNECTIONS = 16;
/** Alternating, so that a change in the machine's speed affects both. */
const ROUNDS = 5;
const SECONDS = 4;
const SHAPE = { days: 30, keys: 100_000, repeats: 1 };

const SCRIPT = `\\set id random(1, 100000)
INSERT INTO bench_inserted (account_id, stream_id, bucket_start, filter_id, element, value, operation_id)
VALUES (1, 1, '2026-01-25 00:00:00+00', :id % 15, 'customer-' || :id, 12.5, :id);
`;

export async function measureSmallSums(stage: Stage): Promise<Figure[]> {
  const server = await stage.server({ DATABASE_POOL: String(CONNECTIONS) });
  const client = await stage.connect();
  await client.query('CREATE TABLE bench_inserted (LIKE records INCLUDING ALL)');
  const script = join(stage.directory, 'insert.sql');
  await writeFile(script, SCRIPT);
  const pgbench = async (): Promise<number> => {
    const { output } = await runCommand(
      `pgbench -n -c ${CONNECTIONS} -j 2 -T ${SECONDS} -f ${quoted(script)} ${quoted(stage.databaseUrl)}`,
    );
    return Number(/tps = ([\d.]+)/.exec(output)?.[1]);
  };

  const send = async (call: number): Promise<void> => {
    const body = Buffer.from(`{"records":[${ndjsonLine(recordAt(call % SHAPE.keys, SHAPE)).trim()}]}`);
    const { status, text } = await post(server.url, sumPath('small'), body, { 'idempotency-key': `sum-${call}` });
    if (status !== 200) throw new Error(`${status}: ${text}`);
  };
  let calls = 0;
  const next = (): Promise<void> => send((calls += 1));
  await measureRate(SENDERS, 2, next);
  const rounds: { readonly rate: number; readonly limit: number }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const limit = await pgbench();
    rounds.push({ limit, rate: await measureRate(SENDERS, SECONDS, next) });
  }
  await server.stop();
  return [
    {
      what: `one-record sums, ${SENDERS} clients with idempotency keys`,
      against: `pgbench, one INSERT per transaction, ${CONNECTIONS} connections`,
      value: median(rounds.map(({ rate, limit }) => rate / limit)),
      unit: 'x',
      bound: { atLeast: 0.35 },
      details: {
        sumsPerSecond: median(rounds.map(({ rate }) => rate)),
        pgbenchTps: median(rounds.map(({ limit }) => limit)),
      },
    },
  ];
}
