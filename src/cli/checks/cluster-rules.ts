// Pure: what `scale-out check` reports about a Citus cluster, from the rows that the coordinator returned.
import { DISTRIBUTED, LOCAL, REFERENCE } from '../../db/table-distribution.ts';
import { broken, type Finding, ok, skipped, warn } from './check-result.ts';

/** A node as the coordinator lists it, with the answer of the node itself. */
export interface ClusterNode {
  /** Such as `worker-1:5432`. */
  readonly address: string;
  readonly isCoordinator: boolean;
  readonly isActive: boolean;
  readonly hasShards: boolean;
  /** An error message if the node did not answer. */
  readonly state: NodeState | string;
}

/** What a node says about itself. */
export interface NodeState {
  readonly postgres: string;
  readonly citus: string;
  /** Created by initdb. */
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
  readonly place: 'distributed' | 'reference' | 'managed' | 'local';
  /** The distribution column; null unless distributed. */
  readonly column: string | null;
  readonly colocation: number | null;
  readonly isLogged: boolean;
  readonly isSecured: boolean;
  readonly policies: number;
  /** Of the policies, how many have a sub-select. */
  readonly subSelects: number;
}

export interface ForeignKeyRow {
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

/** The default of PostgreSQL. A node needs a worker for each move, beside those of Citus itself and of parallel queries. */
const LEAST_WORKER_PROCESSES = 8;
/** Policies of each table: own_account and all_accounts. */
const POLICIES = 2;

const named = (names: readonly string[]): string =>
  names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ');

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

const isOnCluster = ({ place }: TableRow): boolean => place === 'distributed' || place === 'reference';

const answered = (nodes: readonly ClusterNode[]): { readonly address: string; readonly state: NodeState }[] =>
  nodes.flatMap(({ address, state }) => (typeof state === 'string' ? [] : [{ address, state }]));

/** The addresses of the nodes whose state is like this. */
const nodesWith = (nodes: readonly ClusterNode[], isLike: (state: NodeState) => boolean): string[] =>
  answered(nodes)
    .filter(({ state }) => isLike(state))
    .map(({ address }) => address);

export const judgeVersions = (nodes: readonly ClusterNode[]): Finding => {
  const states = answered(nodes);
  if (states.length === 0) return skipped('no node answers');
  const versions = new Set(states.map(({ state }) => `Citus ${state.citus} on PostgreSQL ${state.postgres}`));
  if (versions.size > 1) {
    return warn(
      `the nodes run different versions: ${states.map(({ address, state }) => `${address} has Citus ${state.citus} on PostgreSQL ${state.postgres}`).join(', ')}`,
    );
  }
  const holders = nodes.filter(({ hasShards }) => hasShards).length;
  const words = `${[...versions].join()}; ${plural(nodes.length, 'node')}, ${holders} with shards`;
  return holders === 0 ? warn(`${words}: add a worker with citus_add_node()`) : ok(words);
};

export const judgeNodes = (nodes: readonly ClusterNode[], reach: readonly ReachRow[]): Finding => {
  const silent = nodes.flatMap(({ address, state }) => (typeof state === 'string' ? [`${address} (${state})`] : []));
  if (silent.length > 0) return broken(`no answer from ${silent.join(', ')}: requests for accounts there fail`);
  const inactive = nodes.filter(({ isActive }) => !isActive).map(({ address }) => address);
  if (inactive.length > 0) return broken(`disabled: ${inactive.join(', ')}. Run citus_activate_node() for each`);
  const twins = answered(nodes).filter(({ state }, index, all) =>
    all.some((other, place) => place !== index && other.state.systemIdentifier === state.systemIdentifier),
  );
  if (twins.length > 0) {
    return broken(
      `copies of one data directory: ${twins.map(({ address }) => address).join(', ')}. Sluice knows nodes by the identifier that initdb creates, and would not notice that an account moved between them: create each with initdb`,
    );
  }
  const parted = reach.filter(({ reached }) => reached !== true).map(({ from, to }) => `${from} to ${to}`);
  return parted.length > 0
    ? broken(`cannot connect: ${named(parted)}. Check pg_hba.conf and .pgpass of these nodes`)
    : ok(`each connects to each: ${nodes.map(({ address }) => address).join(', ')}`);
};

export const judgePlaces = (tables: readonly TableRow[]): Finding => {
  if (!tables.some(isOnCluster)) {
    return warn(
      'no table is distributed: Sluice uses the coordinator only. docs/scale-out.md has the SQL that distributes the tables',
    );
  }
  const colocation = tables.find(({ name }) => name === DISTRIBUTED[0])?.colocation;
  const problems = [
    ...DISTRIBUTED.flatMap((name) => problemOfDistributed(name, tables, colocation)),
    ...REFERENCE.flatMap((name) => problemOf(name, 'reference', tables)),
    ...LOCAL.flatMap((name) => (placeOf(name, tables) === 'managed' ? [] : problemOf(name, 'local', tables))),
  ];
  if (problems.length > 0) return broken(problems.join('; '));
  const managed = LOCAL.filter((name) => placeOf(name, tables) === 'managed');
  if (managed.length > 0) {
    return warn(
      `local, but managed by Citus: ${named(managed)}. Drop the foreign keys that connect them to reference tables, then run undistribute_table() for each`,
    );
  }
  return ok(
    `distributed by account_id: ${DISTRIBUTED.join(', ')}; reference: ${REFERENCE.join(', ')}; local: ${LOCAL.join(', ')}`,
  );
};

const placeOf = (name: string, tables: readonly TableRow[]): TableRow['place'] | undefined =>
  tables.find((table) => table.name === name)?.place;

const PLACES: Readonly<Record<TableRow['place'], string>> = {
  distributed: 'distributed',
  reference: 'a reference table',
  managed: 'local, managed by Citus,',
  local: 'local',
};

const problemOf = (name: string, place: TableRow['place'], tables: readonly TableRow[]): string[] => {
  const found = placeOf(name, tables);
  if (found === place) return [];
  return [found === undefined ? `${name} is missing` : `${name} is ${PLACES[found]} and should be ${PLACES[place]}`];
};

const problemOfDistributed = (
  name: string,
  tables: readonly TableRow[],
  colocation: number | null | undefined,
): string[] => {
  const table = tables.find((other) => other.name === name);
  if (table?.place !== 'distributed') return problemOf(name, 'distributed', tables);
  if (table.column !== 'account_id') return [`${name} is distributed by ${table.column} and should be by account_id`];
  return table.colocation === colocation ? [] : [`${name} is not colocated with ${DISTRIBUTED[0]}`];
};

export const judgeForeignKeys = (tables: readonly TableRow[], keys: readonly ForeignKeyRow[]): Finding => {
  const wrong = keys.filter(({ from, to }) => LOCAL.includes(from) && placeOf(to, tables) === 'reference');
  return wrong.length === 0
    ? ok('no local table refers to a reference table')
    : warn(
        `local tables that refer to reference tables become tables of Citus: drop ${wrong.map(({ name, from }) => `${name} of ${from}`).join(', ')}`,
      );
};

export const judgePolicies = (tables: readonly TableRow[], nodes: readonly ClusterNode[]): Finding => {
  const secured = tables.filter(isOnCluster);
  const open = secured.filter(({ isSecured }) => !isSecured).map(({ name }) => name);
  if (open.length > 0) {
    return broken(
      `row-level security does not separate the accounts in ${named(open)}: run ALTER TABLE ... ENABLE ROW LEVEL SECURITY and FORCE ROW LEVEL SECURITY`,
    );
  }
  const openShards = answered(nodes).flatMap(({ address, state }) =>
    state.openShards.map((shard) => `${shard} on ${address}`),
  );
  if (openShards.length > 0) {
    return broken(`row-level security does not separate the accounts in these shards: ${named(openShards)}`);
  }
  const bare = secured.filter(({ policies }) => policies < POLICIES).map(({ name }) => name);
  if (bare.length > 0) return broken(`a policy is missing, so rows are not found in ${named(bare)}`);
  const nested = secured.filter(({ subSelects }) => subSelects > 0).map(({ name }) => name);
  return nested.length > 0
    ? broken(`policies with a sub-select, which Citus does not support: ${named(nested)}`)
    : ok('row-level security separates the accounts in every table and shard');
};

/** Whether shards can be moved by logical replication. Moves that block writes need none of this. */
export const judgeMoves = (tables: readonly TableRow[], nodes: readonly ClusterNode[]): Finding => {
  const unlogged = tables.filter((table) => table.place === 'distributed' && !table.isLogged).map(({ name }) => name);
  const unloggedShards = nodesWith(nodes, ({ unloggedShards: count }) => count > 0);
  const physical = nodesWith(nodes, ({ walLevel }) => walLevel !== 'logical');
  const few = nodesWith(nodes, ({ maxWorkerProcesses }) => maxWorkerProcesses < LEAST_WORKER_PROCESSES);
  const problems = [
    ...unlogged.map((name) => `run ALTER TABLE ${name} SET LOGGED`),
    ...(unlogged.length === 0 && unloggedShards.length > 0 ? [`unlogged shards on ${named(unloggedShards)}`] : []),
    ...(physical.length > 0 ? [`set wal_level = logical on ${named(physical)}`] : []),
    ...(few.length > 0 ? [`set max_worker_processes to ${LEAST_WORKER_PROCESSES} or more on ${named(few)}`] : []),
  ];
  return problems.length === 0
    ? ok('shards can be moved with or without blocking writes')
    : warn(`shards can be moved with block_writes only: ${problems.join('; ')}`);
};

export const judgeCommits = (nodes: readonly ClusterNode[]): Finding => {
  const without = nodesWith(nodes, ({ maxPreparedTransactions }) => maxPreparedTransactions === 0);
  if (without.length > 0) {
    return broken(`set max_prepared_transactions on ${named(without)}: transactions on several nodes fail`);
  }
  const leftovers = answered(nodes).flatMap(({ address, state }) =>
    state.leftovers > 0 ? [`${state.leftovers} on ${address}`] : [],
  );
  if (leftovers.length > 0) {
    return warn(
      `transactions that were prepared more than 5 minutes ago hold locks, and moves of shards wait for them: ${named(leftovers)}. Look at pg_prepared_xacts there; Citus ends its own within a minute`,
    );
  }
  const few = nodesWith(nodes, (state) => state.maxPreparedTransactions < state.maxConnections);
  return few.length > 0
    ? warn(`set max_prepared_transactions to at least max_connections on ${named(few)}`)
    : ok('no prepared transaction is left over');
};

/** A connection to the coordinator opens one to each node that it asks. */
export const judgeConnections = (nodes: readonly ClusterNode[]): Finding => {
  const coordinator = nodes.find(({ isCoordinator }) => isCoordinator)?.state;
  if (coordinator === undefined || typeof coordinator === 'string') return broken('the coordinator does not answer');
  const wanted = coordinator.maxConnections;
  const few = nodesWith(nodes, ({ maxConnections }) => maxConnections < wanted);
  return few.length > 0
    ? warn(`set max_connections to ${wanted}, as on the coordinator, or more on ${named(few)}`)
    : ok(`every node accepts ${wanted} connections or more`);
};

export const judgePropagation = (setting: string | null): Finding =>
  setting === 'local'
    ? ok('SET LOCAL reaches the nodes')
    : broken(
        `citus.propagate_set_commands is ${setting ?? 'not set'}, so the nodes do not learn which account a transaction is for, and return no rows: run ALTER DATABASE ... SET citus.propagate_set_commands = 'local' on each node, and restart the servers`,
      );
