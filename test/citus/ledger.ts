import { expect } from 'vitest';
import type { Cluster } from './cluster.ts';
import { type Load, RECORDS_OF_REQUEST } from './counted-load.ts';

/** Expects one operation, with all of its records, for each request of the load. */
export const expectAllOnce = async (cluster: Cluster, accountId: bigint, load: Load): Promise<void> => {
  const values = [String(accountId), load.stream];
  const ofStream = 'account_id = $1 AND stream_id = (SELECT id FROM streams WHERE account_id = $1 AND name = $2)';
  const [operations] = await cluster.query(
    `SELECT count(*)::int AS operations, count(DISTINCT idempotency_key)::int AS keys FROM operations WHERE ${ofStream}`,
    values,
  );
  const [records] = await cluster.query(
    `SELECT count(*)::int AS records, sum(value)::int AS value FROM records WHERE ${ofStream} AND hidden_by IS NULL`,
    values,
  );
  const requests = load.acknowledged;
  const [single] = await cluster.query(
    `SELECT count(*)::int AS short FROM (
       SELECT operation_id FROM records WHERE ${ofStream} GROUP BY 1 HAVING count(*) <> $3::int) o`,
    [...values, RECORDS_OF_REQUEST],
  );
  const total = requests * RECORDS_OF_REQUEST;
  expect({ operations, records, single, begun: load.begun }).toEqual({
    operations: { operations: requests, keys: requests },
    records: { records: total, value: total },
    single: { short: 0 },
    begun: requests,
  });
};

/** Prints what was counted, for docs/scale-out.md. */
export const reportCounts = (what: string, loads: readonly Load[]): void => {
  const sum = (count: (load: Load) => number): string =>
    loads.reduce((total, load) => total + count(load), 0).toLocaleString('en-US');
  process.stdout.write(
    `\n${what}: ${sum((load) => load.acknowledged)} requests, ${sum((load) => load.answers)} answers of usage, ` +
      `${sum((load) => load.exports)} exports; ${sum((load) => load.repeated)} questions repeated\n`,
  );
};
