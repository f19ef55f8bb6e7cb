import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { triedBlock } from '../docs/pages.ts';
import { scrape } from '../support/scrape.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { openAccounts, type PlacedAccount } from './accounts.ts';
import { type Cluster, createCluster, hasCluster, type MoveMode, paste } from './cluster.ts';
import { type Load, startLoads } from './counted-load.ts';
import { expectAllOnce, reportCounts } from './ledger.ts';

describe.skipIf(!hasCluster)('moved account', () => {
  let cluster: Cluster;
  let servers: readonly TestServer[];
  let accounts: readonly PlacedAccount[];
  beforeAll(async () => {
    cluster = await createCluster();
    const first = await startTestServer({ database: cluster.database });
    servers = [first, await startTestServer({ database: cluster.database, s3: first.s3 })];
    accounts = await openAccounts(cluster, first, 'moved');
  });
  afterAll(async () => {
    for (const server of servers?.toReversed() ?? []) await server.stop();
    await cluster?.drop();
  });

  const repairs = async (): Promise<number> => {
    const values = await Promise.all(
      servers.map(async ({ url }) => (await scrape(url)).value('sluice_ledger_repairs_total') ?? 0),
    );
    return values.reduce((sum, value) => sum + value, 0);
  };

  /** Moves each account to every other worker and back to its first one. */
  const moveAll = async (mode: MoveMode, rounds: number, loads: readonly Load[]): Promise<number> => {
    let moves = 0;
    for (let round = 1; round <= rounds; round += 1) {
      for (const { id, worker } of accounts) {
        for (const to of [...cluster.workers.filter((other) => other !== worker), worker]) {
          await Promise.all(loads.map((load) => load.progress()));
          const before = await repairs();
          await cluster.moveAccount(id, to, mode);
          await Promise.all(loads.map((load) => load.progress()));
          expect(await repairs()).toBeGreaterThan(before);
          expect((await cluster.workerOf(id)).id).toBe(to.id);
          moves += 1;
        }
      }
    }
    return moves;
  };

  test.each([
    ['block_writes', 2],
    ['force_logical', 1],
  ] as const)(
    'writes, usage and exports > count each request once, and never less than was acknowledged, when shards move with %s',
    async (mode, rounds) => {
      const isOnline = mode === 'force_logical';
      const block = (when: 'before' | 'after'): Promise<string> =>
        triedBlock('docs/scale-out.md', `${when} moves without blocked writes`);
      if (isOnline) await paste(cluster.database.url, await block('before'));
      const loads = await startLoads(servers, accounts, { suffix: mode.replace('_', '-'), senders: 2 });
      let moves = 0;
      try {
        moves = await moveAll(mode, rounds, loads);
      } finally {
        await Promise.all(loads.map((load) => load.stop()));
        if (isOnline) await paste(cluster.database.url, await block('after'));
      }
      expect(loads.flatMap(({ wrong }) => wrong)).toEqual([]);
      expect(moves).toBe(rounds * accounts.length * cluster.workers.length);
      for (const [index, load] of loads.entries()) {
        expect(load.exports).toBeGreaterThan(0);
        await expectAllOnce(cluster, accounts[index]?.id ?? 0n, load);
      }
      expect(await cluster.query(`SELECT status FROM runs WHERE status <> 'SUCCEEDED'`)).toEqual([]);
      reportCounts(`${moves} moves with ${mode}`, loads);
    },
  );
});
