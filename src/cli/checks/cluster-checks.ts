import { sql } from 'drizzle-orm';
import { SYSTEM_IDENTIFIER } from '../../db/as-of-text.ts';
import type { Db } from '../../db/client.ts';
import type { DatabaseAddress } from '../../db/database-address.ts';
import { DISTRIBUTED, REFERENCE } from '../../db/table-distribution.ts';
import { type CheckReport, formatError, runCheck } from './check-report.ts';
import { broken, type CheckResult } from './check-result.ts';
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
} from './cluster-rules.ts';

/** Whether the database is one PostgreSQL, or the coordinator or a worker node of a Citus cluster. */
type Distribution = 'none' | 'coordinator' | 'worker';

interface ClusterState {
  readonly db: Db;
  readonly nodes: readonly ClusterNode[];
  readonly tables: readonly TableRow[];
}

async function detectDistribution(db: Db): Promise<Distribution> {
  const extension = await db.execute(sql`SELECT 1 FROM pg_extension WHERE extname = 'citus'`);
  if (extension.rows.length === 0) return 'none';
  const { rows } = await db.execute<{ coordinator: boolean }>(
    sql`SELECT groupid = 0 AS coordinator FROM pg_dist_local_group`,
  );
  return rows[0]?.coordinator === false ? 'worker' : 'coordinator';
}

/**
 * Runs on each node and returns one text. A shard has the name of its table and a number. Reads only catalogs and settings that the
 * owner of the tables may read.
 */
const NODE_STATE = `
  WITH shards AS (
    SELECT relname, relrowsecurity AND relforcerowsecurity AS secured, relpersistence = 'p' AS logged
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
      AND relname ~ '^(${[...DISTRIBUTED, ...REFERENCE].join('|')})_[0-9]+$'
  )
  SELECT json_build_object(
    'postgres', split_part(current_setting('server_version'), ' ', 1),
    'citus', split_part(citus_version(), ' ', 2),
    'systemIdentifier', ${SYSTEM_IDENTIFIER}::text,
    'walLevel', current_setting('wal_level'),
    'maxConnections', current_setting('max_connections')::int,
    'maxPreparedTransactions', current_setting('max_prepared_transactions')::int,
    'maxWorkerProcesses', current_setting('max_worker_processes')::int,
    'leftovers', (SELECT count(*) FROM pg_prepared_xacts
      WHERE database = current_database() AND prepared < clock_timestamp() - interval '5 minutes'),
    'openShards', (SELECT coalesce(json_agg(relname ORDER BY relname), '[]') FROM shards WHERE NOT secured),
    'unloggedShards', (SELECT count(*) FROM shards WHERE NOT logged)
  )::text`;

/** Queries all nodes concurrently. A node that is down costs citus.node_connection_timeout, 30 s by default. */
async function readCluster(db: Db): Promise<ClusterState> {
  const { rows } = await db.execute<Omit<ClusterNode, 'state'> & { success: boolean; result: string }>(sql`
    SELECT n.nodename || ':' || n.nodeport AS address, n.groupid = 0 AS "isCoordinator", n.isactive AS "isActive",
      n.shouldhaveshards AS "hasShards", coalesce(a.success, false) AS success, coalesce(a.result, 'not asked') AS result
    FROM pg_dist_node n LEFT JOIN run_command_on_all_nodes(${NODE_STATE}) a ON a.nodeid = n.nodeid
    WHERE n.noderole = 'primary' ORDER BY n.groupid`);
  const nodes = rows.map(({ success, result, ...node }) => ({
    ...node,
    state: success ? (JSON.parse(result) as NodeState) : result,
  }));
  return { db, nodes, tables: await readTables(db) };
}

/** The checks of a Citus cluster, in this order. They change nothing and need no superuser. */
const CLUSTER_CHECKS: readonly {
  readonly name: string;
  readonly check: (state: ClusterState) => Promise<CheckResult> | CheckResult;
}[] = [
  { name: 'citus', check: ({ nodes }) => judgeVersions(nodes) },
  { name: 'nodes', check: async ({ db, nodes }) => judgeNodes(nodes, await readReach(db)) },
  { name: 'tables', check: ({ tables }) => judgePlacements(tables) },
  { name: 'references', check: async ({ db, tables }) => judgeForeignKeys(tables, await readForeignKeys(db)) },
  { name: 'policies', check: ({ tables, nodes }) => judgePolicies(tables, nodes) },
  { name: 'session', check: async ({ db }) => judgePropagation(await readPropagation(db)) },
  { name: 'commits', check: ({ nodes }) => judgeCommits(nodes) },
  { name: 'moves', check: ({ tables, nodes }) => judgeMoves(tables, nodes) },
  { name: 'limits', check: ({ nodes }) => judgeConnections(nodes) },
];

const WORKER_NODE = broken(
  'DATABASE_URL is the address of a worker node: set it to that of the coordinator, which has the jobs, the runs and the queue',
);

/**
 * Reports the checks of the Citus cluster that the database is the coordinator of. `address` is the database that a message about a lost
 * connection names. Returns null if it is unknown whether the database is distributed.
 */
export async function checkCluster(
  db: Db,
  { report }: CheckReport,
  address: DatabaseAddress | null,
): Promise<Distribution | null> {
  let state: ClusterState;
  try {
    const distribution = await detectDistribution(db);
    if (distribution === 'worker') report('citus', WORKER_NODE);
    if (distribution !== 'coordinator') return distribution;
    state = await readCluster(db);
  } catch (error) {
    report('citus', broken(formatError(error, address)));
    return null;
  }
  for (const { name, check } of CLUSTER_CHECKS) report(name, await runCheck(() => check(state), address));
  return 'coordinator';
}

async function readTables(db: Db): Promise<readonly TableRow[]> {
  const { rows } = await db.execute<TableRow & Record<string, unknown>>(sql`
    SELECT c.relname AS name,
      CASE WHEN p.logicalrelid IS NULL THEN 'local' WHEN p.partmethod <> 'n' THEN 'distributed'
        WHEN p.repmodel = 't' THEN 'reference' ELSE 'managed' END AS placement,
      CASE WHEN p.partmethod <> 'n' THEN column_to_column_name(p.logicalrelid, p.partkey) END AS "column",
      p.colocationid AS colocation, c.relpersistence = 'p' AS "isLogged",
      c.relrowsecurity AND c.relforcerowsecurity AS "isSecured",
      (SELECT count(*)::int FROM pg_policy o WHERE o.polrelid = c.oid) AS policies,
      (SELECT count(*)::int FROM pg_policy o WHERE o.polrelid = c.oid
        AND pg_get_expr(o.polqual, o.polrelid) ~* '\\mselect\\M') AS "subSelects"
    FROM pg_class c LEFT JOIN pg_dist_partition p ON p.logicalrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'`);
  return rows;
}

async function readReach(db: Db): Promise<readonly ReachRow[]> {
  const { rows } = await db.execute<ReachRow & Record<string, unknown>>(sql`
    SELECT from_nodename || ':' || from_nodeport AS "from", to_nodename || ':' || to_nodeport AS "to", result AS reached
    FROM citus_check_cluster_node_health() ORDER BY 1, 2`);
  return rows;
}

async function readForeignKeys(db: Db): Promise<readonly ForeignKeyRow[]> {
  const { rows } = await db.execute<ForeignKeyRow & Record<string, unknown>>(sql`
    SELECT k.conname AS name, f.relname AS "from", t.relname AS "to"
    FROM pg_constraint k JOIN pg_class f ON f.oid = k.conrelid JOIN pg_class t ON t.oid = k.confrelid
    WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace ORDER BY 2, 1`);
  return rows;
}

async function readPropagation(db: Db): Promise<string | null> {
  const { rows } = await db.execute<{ setting: string | null }>(
    sql`SELECT current_setting('citus.propagate_set_commands', true) AS setting`,
  );
  return rows[0]?.setting ?? null;
}
