import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectHistory } from '../streams/played-histories.ts';
import { history, question } from '../streams/random-requests.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { accountIdOf } from '../streams/held-transactions.ts';
import { type Cluster, createCluster, hasCluster } from './cluster.ts';

const HISTORIES = 16;

describe.skipIf(!hasCluster)('random histories on a cluster', () => {
  let cluster: Cluster;
  let server: TestServer;
  beforeAll(async () => {
    cluster = await createCluster();
    server = await startTestServer({ database: cluster.database });
  });
  afterAll(async () => {
    await server?.stop();
    await cluster?.drop();
  });

  const forgetTotals = async (accountId: bigint, stream: string): Promise<void> => {
    const values = [String(accountId), stream];
    const ids = '(SELECT id FROM streams WHERE account_id = $1 AND name = $2)';
    await cluster.query(`DELETE FROM totals WHERE account_id = $1 AND stream_id IN ${ids}`, values);
    await cluster.query(`UPDATE operations SET totalled = false WHERE account_id = $1 AND stream_id IN ${ids}`, values);
    await cluster.query('UPDATE streams SET totals_merged_xid = NULL WHERE account_id = $1 AND name = $2', values);
  };

  test('live values, counts, usage, and usage as of earlier watermarks > are those of the model', async () => {
    let accounts = 0;
    await fc.assert(
      fc.asyncProperty(history, fc.array(question, { minLength: 2, maxLength: 2 }), async (one, questions) => {
        const accountName = `history-${(accounts += 1)}`;
        await expectHistory({ server, accountName, forgetTotals }, one, questions);
      }),
      { numRuns: HISTORIES, endOnFailure: true },
    );
    const workers = new Set<number>();
    for (let number = 1; number <= accounts; number += 1) {
      const worker = await cluster.workerOf(await accountIdOf(server, `history-${number}`));
      workers.add(worker.id);
    }
    expect(workers.size).toBe(cluster.workers.length);
  });
});
