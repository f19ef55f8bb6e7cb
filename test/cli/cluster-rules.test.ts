import { describe, expect, test } from 'vitest';
import {
  type ClusterNode,
  type ForeignKeyRow,
  judgeCommits,
  judgeConnections,
  judgeForeignKeys,
  judgeMoves,
  judgeNodes,
  judgePlacements,
  judgePolicies,
  judgePropagation,
  judgeVersions,
  type NodeState,
  type ReachRow,
  type TableRow,
} from '../../src/cli/checks/cluster-rules.ts';
import type { CheckResult } from '../../src/cli/checks/check-result.ts';
import { DISTRIBUTED, LOCAL, REFERENCE } from '../../src/db/table-distribution.ts';

const STATE: NodeState = {
  postgres: '15.20',
  citus: '13.2.2',
  systemIdentifier: '0',
  walLevel: 'logical',
  maxConnections: 100,
  maxPreparedTransactions: 200,
  maxWorkerProcesses: 8,
  leftovers: 0,
  openShards: [],
  unloggedShards: 0,
};

const node = (address: string, changes: Partial<ClusterNode> = {}, state: Partial<NodeState> = {}): ClusterNode => ({
  address,
  isCoordinator: address === 'coordinator',
  isActive: true,
  hasShards: address !== 'coordinator',
  state: { ...STATE, systemIdentifier: address, ...state },
  ...changes,
});

/** A coordinator and two workers, of which the second one is in this state. */
const nodesWith = (state: Partial<NodeState>, changes: Partial<ClusterNode> = {}): ClusterNode[] => [
  node('coordinator'),
  node('worker-1'),
  node('worker-2', changes, state),
];
const NODES = nodesWith({});

const ROW = { isLogged: true, isSecured: true, policies: 2, subSelects: 0 };
const TABLES: readonly TableRow[] = [
  ...DISTRIBUTED.map((name): TableRow => ({
    ...ROW,
    name,
    placement: 'distributed',
    column: 'account_id',
    colocation: 2,
  })),
  ...REFERENCE.map((name): TableRow => ({ ...ROW, name, placement: 'reference', column: null, colocation: 1 })),
  ...LOCAL.map((name): TableRow => ({
    ...ROW,
    name,
    placement: 'local',
    column: null,
    colocation: null,
    subSelects: 2,
  })),
];

/** The tables with one of them changed. */
const tablesWith = (name: string, changes: Partial<TableRow>): TableRow[] =>
  TABLES.map((table) => (table.name === name ? { ...table, ...changes } : table));

const reach = (...unreached: string[]): ReachRow[] =>
  NODES.flatMap((from) =>
    NODES.map((to) => ({
      from: from.address,
      to: to.address,
      reached: !unreached.includes(`${from.address} to ${to.address}`),
    })),
  );

const key = (from: string, to: string): ForeignKeyRow => ({ name: `${from}_fk`, from, to });

describe('cluster check', () => {
  test.each<[string, CheckResult['verdict'], string, CheckResult, string]>([
    [
      'citus',
      'ok',
      'when nothing is wrong',
      judgeVersions(NODES),
      'Citus 13.2.2 on PostgreSQL 15.20; 3 nodes, 2 with shards',
    ],
    [
      'citus',
      'warn',
      'on a cluster without workers',
      judgeVersions([node('coordinator')]),
      '1 node, 0 with shards: add a worker',
    ],
    [
      'citus',
      'warn',
      'on a cluster with two versions',
      judgeVersions(nodesWith({ citus: '13.0.1' })),
      'different versions: coordinator has Citus 13.2.2 on PostgreSQL 15.20, worker-1 has Citus 13.2.2',
    ],
    [
      'citus',
      'skipped',
      'on a cluster on which no node responds',
      judgeVersions([node('coordinator', { state: 'timeout' })]),
      'no node responds',
    ],
    [
      'nodes',
      'ok',
      'when nothing is wrong',
      judgeNodes(NODES, reach()),
      'each connects to each: coordinator, worker-1, worker-2',
    ],
    [
      'nodes',
      'broken',
      'on a cluster with a node that is down',
      judgeNodes(nodesWith({}, { state: 'failed to connect to worker-2' }), reach()),
      'no response from worker-2 (failed to connect to worker-2)',
    ],
    [
      'nodes',
      'broken',
      'on a cluster with a disabled node',
      judgeNodes(nodesWith({}, { isActive: false }), reach()),
      'disabled: worker-2.',
    ],
    [
      'nodes',
      'broken',
      'on a cluster with workers that do not reach each other',
      judgeNodes(NODES, reach('worker-1 to worker-2', 'worker-2 to worker-1')),
      'cannot connect: worker-1 to worker-2, worker-2 to worker-1. Check pg_hba.conf and .pgpass',
    ],
    [
      'nodes',
      'broken',
      'on a cluster with nodes that were copied from one directory',
      judgeNodes(nodesWith({ systemIdentifier: 'worker-1' }), reach()),
      'copies of one data directory: worker-1, worker-2. Sluice identifies nodes by',
    ],
    [
      'nodes',
      'broken',
      'on a cluster with a node that was not asked',
      judgeNodes(NODES, [{ from: 'worker-1', to: 'worker-2', reached: null }]),
      'cannot connect: worker-1 to worker-2',
    ],
    ['tables', 'ok', 'when nothing is wrong', judgePlacements(TABLES), 'distributed by account_id: streams, ledgers,'],
    [
      'tables',
      'warn',
      'when nothing is distributed yet',
      judgePlacements(TABLES.map((table) => ({ ...table, placement: 'local', column: null, colocation: null }))),
      'no table is distributed',
    ],
    [
      'tables',
      'broken',
      'on a cluster with a table that was forgotten',
      judgePlacements(tablesWith('ledgers', { placement: 'local' })),
      'ledgers is local and should be distributed',
    ],
    [
      'tables',
      'broken',
      'on a cluster with a reference table that is distributed',
      judgePlacements(tablesWith('api_keys', { placement: 'distributed' })),
      'api_keys is distributed and should be a reference table',
    ],
    [
      'tables',
      'broken',
      'on a cluster with a local table that is distributed',
      judgePlacements(tablesWith('runs', { placement: 'distributed', column: 'account_id' })),
      'runs is distributed and should be local',
    ],
    [
      'tables',
      'broken',
      'on a cluster with another distribution column',
      judgePlacements(tablesWith('records', { column: 'stream_id' })),
      'records is distributed by stream_id and should be by account_id',
    ],
    [
      'tables',
      'broken',
      'on a cluster with a table that is not colocated',
      judgePlacements(tablesWith('totals', { colocation: 3 })),
      'totals is not colocated with streams',
    ],
    [
      'tables',
      'broken',
      'on a cluster without one of the tables',
      judgePlacements(TABLES.filter(({ name }) => name !== 'ledgers')),
      'ledgers is missing',
    ],
    [
      'tables',
      'warn',
      'on a cluster with a local table that Citus manages',
      judgePlacements(tablesWith('jobs', { placement: 'managed' })),
      'local, but managed by Citus: jobs. Drop the foreign keys',
    ],
    [
      'references',
      'ok',
      'when nothing is wrong',
      judgeForeignKeys(TABLES, [key('api_keys', 'accounts'), key('runs', 'jobs')]),
      'no local table refers to',
    ],
    [
      'references',
      'ok',
      'when nothing is distributed yet',
      judgeForeignKeys(
        TABLES.map((table) => ({ ...table, placement: 'local' })),
        [key('jobs', 'accounts')],
      ),
      'no local table refers to',
    ],
    [
      'references',
      'warn',
      'on a cluster with a foreign key of a local table to a reference table',
      judgeForeignKeys(TABLES, [key('jobs', 'accounts')]),
      'drop jobs_fk of jobs',
    ],
    [
      'policies',
      'ok',
      'when nothing is wrong',
      judgePolicies(TABLES, NODES),
      'separates the accounts in every table and shard',
    ],
    [
      'policies',
      'broken',
      'on a cluster with a table without row-level security',
      judgePolicies(tablesWith('records', { isSecured: false }), NODES),
      'does not separate the accounts in records',
    ],
    [
      'policies',
      'broken',
      'on a cluster with a shard without row-level security',
      judgePolicies(TABLES, nodesWith({ openShards: ['records_102040'] })),
      'in these shards: records_102040 on worker-2',
    ],
    [
      'policies',
      'broken',
      'and names five of many shards without row-level security',
      judgePolicies(TABLES, nodesWith({ openShards: ['a', 'b', 'c', 'd', 'e', 'f', 'g'] })),
      'a on worker-2, b on worker-2, c on worker-2, d on worker-2, e on worker-2 and 2 more',
    ],
    [
      'policies',
      'broken',
      'on a cluster with a missing policy',
      judgePolicies(tablesWith('filters', { policies: 1 }), NODES),
      'a policy is missing, so rows are not found in filters',
    ],
    [
      'policies',
      'broken',
      'on a cluster with a sub-select in a policy',
      judgePolicies(tablesWith('accounts', { subSelects: 1 }), NODES),
      'policies with a sub-select, which Citus does not support: accounts',
    ],
    ['session', 'ok', 'when nothing is wrong', judgePropagation('local'), 'SET LOCAL reaches the nodes'],
    [
      'session',
      'broken',
      'on a cluster with the default',
      judgePropagation('none'),
      'citus.propagate_set_commands is set to none',
    ],
    [
      'session',
      'broken',
      'on a cluster without the setting',
      judgePropagation(null),
      'citus.propagate_set_commands is not set',
    ],
    ['commits', 'ok', 'when nothing is wrong', judgeCommits(NODES), 'no prepared transaction is left over'],
    [
      'commits',
      'broken',
      'on a cluster without prepared transactions',
      judgeCommits(nodesWith({ maxPreparedTransactions: 0 })),
      'set max_prepared_transactions on worker-2',
    ],
    [
      'commits',
      'warn',
      'on a cluster with few prepared transactions',
      judgeCommits(nodesWith({ maxPreparedTransactions: 99 })),
      'set max_prepared_transactions to at least max_connections on worker-2',
    ],
    [
      'commits',
      'warn',
      'on a cluster with prepared transactions that are left over',
      judgeCommits(nodesWith({ leftovers: 2 })),
      'hold locks, and moves of shards wait for them: 2 on worker-2.',
    ],
    [
      'moves',
      'ok',
      'when nothing is wrong',
      judgeMoves(TABLES, NODES),
      'shards can be moved with or without blocking writes',
    ],
    [
      'moves',
      'warn',
      'on a cluster with an unlogged table',
      judgeMoves(tablesWith('staged_batches', { isLogged: false }), nodesWith({ unloggedShards: 32 })),
      'with block_writes only: run ALTER TABLE staged_batches SET LOGGED',
    ],
    [
      'moves',
      'warn',
      'on a cluster with unlogged shards',
      judgeMoves(TABLES, nodesWith({ unloggedShards: 32 })),
      'unlogged shards on worker-2',
    ],
    [
      'moves',
      'warn',
      'on a cluster without logical decoding',
      judgeMoves(TABLES, nodesWith({ walLevel: 'replica', maxWorkerProcesses: 4 })),
      'set wal_level = logical on worker-2; set max_worker_processes to 8 or more on worker-2',
    ],
    ['limits', 'ok', 'when nothing is wrong', judgeConnections(NODES), 'every node accepts 100 connections or more'],
    [
      'limits',
      'warn',
      'on a cluster with fewer connections on a worker than on the coordinator',
      judgeConnections(nodesWith({ maxConnections: 50 })),
      'set max_connections to 100, as on the coordinator, or more on worker-2',
    ],
    [
      'limits',
      'broken',
      'on a cluster without a coordinator that responds',
      judgeConnections([node('coordinator', { state: 'timeout' })]),
      'the coordinator does not respond',
    ],
  ])('%s > reports %s %s', (_, verdict, __, finding, message) => {
    expect(finding).toEqual({ verdict, message: expect.stringContaining(message) });
  });

  test('leaves out nodes that are down', () => {
    const nodes = nodesWith({}, { state: 'timeout' });
    expect(judgeVersions(nodes).verdict).toBe('ok');
    expect(judgeCommits(nodes).verdict).toBe('ok');
    expect(judgeMoves(TABLES, nodes).verdict).toBe('ok');
    expect(judgeConnections(nodes).verdict).toBe('ok');
    expect(judgePolicies(TABLES, nodes).verdict).toBe('ok');
  });
});
