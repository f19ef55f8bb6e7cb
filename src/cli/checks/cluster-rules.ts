// Pure: the rules of `scale-out check`, applied to the rows that the coordinator returned.
import { DISTRIBUTED, LOCAL, REFERENCE } from '../../db/table-distribution.ts';
import { pluralize } from '../../lib/format-amounts.ts';
import { broken, type CheckResult, ok, skipped, warn } from './check-result.ts';

/** A node as the coordinator lists it, and its state. */
export interface ClusterNode {
  /** Such as `worker-1:5432`. */
  readonly address: string;
  readonly isCoordinator: boolean;
  readonly isActive: boolean;
  readonly hasShards: boolean;
  /** An error message if the node did not respond. */
  readonly state: NodeState | string;
}

/** The state that a node reports. */
export interface NodeState {
  readonly postgres: string;
  readonly citus: string;
  /** The identifier that initdb generates. */
  readonly systemIdentifier: string;
  readonly walLevel: string;
  readonly maxConnections: number;
  readonly maxPreparedTransactions: number;
  readonly maxWorkerProcesses: number;
  /** Transactions that were prepared some minutes ago and are neither committed nor rolled back. */
  readonly leftovers: number;
  /** Shards without row-level security, or with row-level security that the owner of the tables bypasses. */
  readonly openShards: readonly string[];
  readonly unloggedShards: number;
}

/** The result of one node connecting to another; null if the first one could not be asked. */
export interface ReachRow {
  readonly from: string;
  readonly to: string;
  readonly reached: boolean | null;
}

export interface TableRow {
  readonly name: string;
  readonly placement: 'distributed' | 'reference' | 'managed' | 'local';
  /** The distribution column; null unless distributed. */
  readonly column: string | null;
  readonly colocation: number | null;
  readonly isLogged: boolean;
  readonly isSecured: boolean;
  readonly policies: number;
  /** The number of policies that contain a sub-select. */
  readonly subSelects: number;
}

export interface ForeignKeyRow {
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

/** The default of PostgreSQL. A node needs a worker process per move, in addition to those of Citus and of parallel queries. */
const MIN_WORKER_PROCESSES = 8;
/** The number of policies per table: own_account and all_accounts. */
const POLICIES = 2;

function formatNames(names: readonly string[]): string {
  return names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ');
}

const isOnCluster = ({ placement }: TableRow): boolean => placement === 'distributed' || placement === 'reference';

function respondingNodes(nodes: readonly ClusterNode[]): { readonly address: string; readonly state: NodeState }[] {
  return nodes.flatMap(({ address, state }) => (typeof state === 'string' ? [] : [{ address, state }]));
}

/** Returns the addresses of the nodes whose state matches. */
function nodesWith(nodes: readonly ClusterNode[], matches: (state: NodeState) => boolean): string[] {
  return respondingNodes(nodes)
    .filter(({ state }) => matches(state))
    .map(({ address }) => address);
}

export function judgeVersions(nodes: readonly ClusterNode[]): CheckResult {
  const states = respondingNodes(nodes);
  if (states.length === 0) return skipped('no node responds');
  const versions = new Set(states.map(({ state }) => `Citus ${state.citus} on PostgreSQL ${state.postgres}`));
  if (versions.size > 1) {
    return warn(
      `the nodes run different versions: ${states.map(({ address, state }) => `${address} has Citus ${state.citus} on PostgreSQL ${state.postgres}`).join(', ')}`,
    );
  }
  const holders = nodes.filter(({ hasShards }) => hasShards).length;
  const summary = `${[...versions].join()}; ${pluralize(nodes.length, 'node')}, ${holders} with shards`;
  return holders === 0 ? warn(`${summary}: add a worker with citus_add_node()`) : ok(summary);
}

export function judgeNodes(nodes: readonly ClusterNode[], reach: readonly ReachRow[]): CheckResult {
  const silent = nodes.flatMap(({ address, state }) => (typeof state === 'string' ? [`${address} (${state})`] : []));
  if (silent.length > 0) return broken(`no response from ${silent.join(', ')}: requests for accounts there fail`);
  const inactive = nodes.filter(({ isActive }) => !isActive).map(({ address }) => address);
  if (inactive.length > 0) return broken(`disabled: ${inactive.join(', ')}. Run citus_activate_node() for each`);
  const twins = respondingNodes(nodes).filter(({ state }, index, all) =>
    all.some((other, position) => position !== index && other.state.systemIdentifier === state.systemIdentifier),
  );
  if (twins.length > 0) {
    return broken(
      `copies of one data directory: ${twins.map(({ address }) => address).join(', ')}. Sluice identifies nodes by the identifier that initdb generates, and would not notice that an account moved between them. Create each node with initdb`,
    );
  }
  const parted = reach.filter(({ reached }) => reached !== true).map(({ from, to }) => `${from} to ${to}`);
  return parted.length > 0
    ? broken(`cannot connect: ${formatNames(parted)}. Check pg_hba.conf and .pgpass of these nodes`)
    : ok(`each connects to each: ${nodes.map(({ address }) => address).join(', ')}`);
}

export function judgePlacements(tables: readonly TableRow[]): CheckResult {
  if (!tables.some(isOnCluster)) {
    return warn(
      'no table is distributed: Sluice uses the coordinator only. docs/scale-out.md has the SQL that distributes the tables',
    );
  }
  const colocation = tables.find(({ name }) => name === DISTRIBUTED[0])?.colocation;
  const problems = [
    ...DISTRIBUTED.flatMap((name) => findDistributionProblems(name, tables, colocation)),
    ...REFERENCE.flatMap((name) => findPlacementProblems(name, 'reference', tables)),
    ...LOCAL.flatMap((name) =>
      findPlacement(name, tables) === 'managed' ? [] : findPlacementProblems(name, 'local', tables),
    ),
  ];
  if (problems.length > 0) return broken(problems.join('; '));
  const managed = LOCAL.filter((name) => findPlacement(name, tables) === 'managed');
  if (managed.length > 0) {
    return warn(
      `local, but managed by Citus: ${formatNames(managed)}. Drop the foreign keys that connect them to reference tables, then run undistribute_table() for each`,
    );
  }
  return ok(
    `distributed by account_id: ${DISTRIBUTED.join(', ')}; reference: ${REFERENCE.join(', ')}; local: ${LOCAL.join(', ')}`,
  );
}

function findPlacement(name: string, tables: readonly TableRow[]): TableRow['placement'] | undefined {
  return tables.find((table) => table.name === name)?.placement;
}

const PLACEMENTS: Readonly<Record<TableRow['placement'], string>> = {
  distributed: 'distributed',
  reference: 'a reference table',
  managed: 'local, managed by Citus,',
  local: 'local',
};

function findPlacementProblems(name: string, placement: TableRow['placement'], tables: readonly TableRow[]): string[] {
  const found = findPlacement(name, tables);
  if (found === placement) return [];
  return [
    found === undefined
      ? `${name} is missing`
      : `${name} is ${PLACEMENTS[found]} and should be ${PLACEMENTS[placement]}`,
  ];
}

function findDistributionProblems(
  name: string,
  tables: readonly TableRow[],
  colocation: number | null | undefined,
): string[] {
  const table = tables.find((other) => other.name === name);
  if (table?.placement !== 'distributed') return findPlacementProblems(name, 'distributed', tables);
  if (table.column !== 'account_id') return [`${name} is distributed by ${table.column} and should be by account_id`];
  return table.colocation === colocation ? [] : [`${name} is not colocated with ${DISTRIBUTED[0]}`];
}

export function judgeForeignKeys(tables: readonly TableRow[], keys: readonly ForeignKeyRow[]): CheckResult {
  const wrong = keys.filter(({ from, to }) => LOCAL.includes(from) && findPlacement(to, tables) === 'reference');
  return wrong.length === 0
    ? ok('no local table refers to a reference table')
    : warn(
        `local tables that refer to reference tables become tables of Citus: drop ${wrong.map(({ name, from }) => `${name} of ${from}`).join(', ')}`,
      );
}

export function judgePolicies(tables: readonly TableRow[], nodes: readonly ClusterNode[]): CheckResult {
  const secured = tables.filter(isOnCluster);
  const open = secured.filter(({ isSecured }) => !isSecured).map(({ name }) => name);
  if (open.length > 0) {
    return broken(
      `row-level security does not separate the accounts in ${formatNames(open)}: run ALTER TABLE ... ENABLE ROW LEVEL SECURITY and FORCE ROW LEVEL SECURITY`,
    );
  }
  const openShards = respondingNodes(nodes).flatMap(({ address, state }) =>
    state.openShards.map((shard) => `${shard} on ${address}`),
  );
  if (openShards.length > 0) {
    return broken(`row-level security does not separate the accounts in these shards: ${formatNames(openShards)}`);
  }
  const bare = secured.filter(({ policies }) => policies < POLICIES).map(({ name }) => name);
  if (bare.length > 0) return broken(`a policy is missing, so rows are not found in ${formatNames(bare)}`);
  const nested = secured.filter(({ subSelects }) => subSelects > 0).map(({ name }) => name);
  return nested.length > 0
    ? broken(`policies with a sub-select, which Citus does not support: ${formatNames(nested)}`)
    : ok('row-level security separates the accounts in every table and shard');
}

/** Whether shards can be moved by logical replication. Moves that block writes need none of this. */
export function judgeMoves(tables: readonly TableRow[], nodes: readonly ClusterNode[]): CheckResult {
  const unlogged = tables
    .filter((table) => table.placement === 'distributed' && !table.isLogged)
    .map(({ name }) => name);
  const unloggedShards = nodesWith(nodes, ({ unloggedShards: count }) => count > 0);
  const physical = nodesWith(nodes, ({ walLevel }) => walLevel !== 'logical');
  const few = nodesWith(nodes, ({ maxWorkerProcesses }) => maxWorkerProcesses < MIN_WORKER_PROCESSES);
  const problems = [
    ...unlogged.map((name) => `run ALTER TABLE ${name} SET LOGGED`),
    ...(unlogged.length === 0 && unloggedShards.length > 0
      ? [`unlogged shards on ${formatNames(unloggedShards)}`]
      : []),
    ...(physical.length > 0 ? [`set wal_level = logical on ${formatNames(physical)}`] : []),
    ...(few.length > 0 ? [`set max_worker_processes to ${MIN_WORKER_PROCESSES} or more on ${formatNames(few)}`] : []),
  ];
  return problems.length === 0
    ? ok('shards can be moved with or without blocking writes')
    : warn(`shards can be moved with block_writes only: ${problems.join('; ')}`);
}

export function judgeCommits(nodes: readonly ClusterNode[]): CheckResult {
  const without = nodesWith(nodes, ({ maxPreparedTransactions }) => maxPreparedTransactions === 0);
  if (without.length > 0) {
    return broken(`set max_prepared_transactions on ${formatNames(without)}: transactions on several nodes fail`);
  }
  const leftovers = respondingNodes(nodes).flatMap(({ address, state }) =>
    state.leftovers > 0 ? [`${state.leftovers} on ${address}`] : [],
  );
  if (leftovers.length > 0) {
    return warn(
      `transactions that were prepared more than 5 minutes ago hold locks, and moves of shards wait for them: ${formatNames(leftovers)}. Look at pg_prepared_xacts there; Citus ends its own within a minute`,
    );
  }
  const few = nodesWith(nodes, (state) => state.maxPreparedTransactions < state.maxConnections);
  return few.length > 0
    ? warn(`set max_prepared_transactions to at least max_connections on ${formatNames(few)}`)
    : ok('no prepared transaction is left over');
}

/** A connection to the coordinator opens one to each node that it asks. */
export function judgeConnections(nodes: readonly ClusterNode[]): CheckResult {
  const coordinator = nodes.find(({ isCoordinator }) => isCoordinator)?.state;
  if (coordinator === undefined || typeof coordinator === 'string') return broken('the coordinator does not respond');
  const wanted = coordinator.maxConnections;
  const few = nodesWith(nodes, ({ maxConnections }) => maxConnections < wanted);
  return few.length > 0
    ? warn(`set max_connections to ${wanted}, as on the coordinator, or more on ${formatNames(few)}`)
    : ok(`every node accepts ${wanted} connections or more`);
}

export function judgePropagation(setting: string | null): CheckResult {
  return setting === 'local'
    ? ok('SET LOCAL reaches the nodes')
    : broken(
        `citus.propagate_set_commands is ${setting === null ? 'not set' : `set to ${setting}`}, so the nodes do not learn which account a transaction is for, and return no rows: run ALTER DATABASE ... SET citus.propagate_set_commands = 'local' on each node, and restart the servers`,
      );
}
