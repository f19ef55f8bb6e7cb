import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createChance } from '../faults/chance.ts';
import { brokenPromises } from '../support/bucket-check.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { openAccounts, type PlacedAccount } from './accounts.ts';
import { type Cluster, createCluster, hasCluster } from './cluster.ts';
import { startLoads } from './counted-load.ts';
import { expectAllOnce, reportCounts } from './ledger.ts';
import { type Node, type NodeProcess, processOf } from './nodes.ts';

const ROUNDS = 3;

describe.skipIf(!hasCluster)('crash of a node', () => {
  let cluster: Cluster;
  let servers: readonly TestServer[];
  let accounts: readonly PlacedAccount[];
  const processes = new Map<Node, NodeProcess>();
  beforeAll(async () => {
    cluster = await createCluster();
    for (const node of [cluster.coordinator, ...cluster.workers]) processes.set(node, await processOf(node));
    // An export whose node crashed starts again when its lease is over.
    const env = { RUN_LEASE_SECONDS: '10' };
    const first = await startTestServer({ database: cluster.database, env });
    servers = [first, await startTestServer({ database: cluster.database, s3: first.s3, env })];
    accounts = await openAccounts(cluster, first, 'crashed');
  });
  afterAll(async () => {
    for (const node of processes.values()) await node.start();
    for (const server of servers?.toReversed() ?? []) await server.stop();
    await cluster?.drop();
  });

  test('writes, usage and exports > lose and duplicate nothing when nodes crash in turn, and other accounts are served meanwhile', async () => {
    const chance = createChance('crashes');
    const loads = await startLoads(servers, accounts, { suffix: 'load', senders: 3 });
    const progress = (which = loads): Promise<unknown> => Promise.all(which.map((load) => load.progress()));
    let crashes = 0;
    try {
      for (let round = 1; round <= ROUNDS; round += 1) {
        const rest = [...processes];
        while (rest.length > 0) {
          await progress();
          const [[node, its]] = rest.splice(chance.between(0, rest.length - 1), 1) as [[Node, NodeProcess]];
          await its.crash();
          crashes += 1;
          if (!node.isCoordinator) await progress(loads.filter((_, index) => accounts[index]?.worker !== node));
          await its.start();
        }
      }
      await progress();
    } finally {
      for (const node of processes.values()) await node.start();
      await Promise.all(loads.map((load) => load.stop()));
    }
    expect(loads.flatMap(({ wrong }) => wrong)).toEqual([]);
    expect(crashes).toBe(ROUNDS * (cluster.workers.length + 1));
    for (const [index, load] of loads.entries()) {
      expect(load.exports).toBeGreaterThan(0);
      await expectAllOnce(cluster, accounts[index]?.id ?? 0n, load);
    }
    const statuses = await eventually(
      () =>
        cluster.query<{ status: string; runs: number }>('SELECT status, count(*)::int AS runs FROM runs GROUP BY 1'),
      (rows) => rows.every(({ status }) => status !== 'QUEUED' && status !== 'RUNNING'),
    );
    expect(statuses.map(({ status }) => status)).toEqual(['SUCCEEDED']);
    expect(brokenPromises(servers[0]?.s3.puts ?? [])).toEqual([]);
    reportCounts(`${crashes} crashes, ${statuses[0]?.runs} runs`, loads);
  });
});
