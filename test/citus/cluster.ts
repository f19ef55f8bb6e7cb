import { randomUUID } from 'node:crypto';
import { migrate } from '../../src/db/migrate.ts';
import { triedBlock } from '../docs/pages.ts';
import { urlOfDatabase, urlOfRole } from '../support/postgres-admin.ts';
import type { TestDatabase } from '../support/postgres.ts';
import { type Node, onNode, queryOn } from './nodes.ts';
import { moveTransactionIdsApart } from './transaction-ids.ts';

/** A superuser's connection string of a coordinator with at least two workers, to a database in which its nodes are registered. */
const { CITUS_URL } = process.env;

/** Tests are skipped without a cluster. Set them up inside the skipped `describe`, whose hooks then do not run. */
export const hasCluster = Boolean(CITUS_URL);

/** How Citus moves a shard: it blocks writes, or replicates what is written meanwhile. */
export type MoveMode = 'block_writes' | 'force_logical';

/** A distributed database of one test file's own, on a cluster that may have others. */
export interface Cluster {
  /** As the role of the servers, which owns the database and is not a superuser. */
  readonly database: TestDatabase;
  readonly coordinator: Node;
  readonly workers: readonly Node[];
  /** Rows of a statement on the coordinator, as the superuser, whom row-level security does not hide anything from. */
  query<Row>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** The worker that holds the rows of the account. */
  workerOf(accountId: bigint): Promise<Node>;
  /** Moves the shard of the account, with those of the other tables, from the worker that holds it. */
  moveAccount(accountId: bigint, to: Node, mode: MoveMode): Promise<void>;
  drop(): Promise<void>;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Coordinator first. */
const readAddresses = async (url: string): Promise<readonly [Address, ...Address[]]> => {
  const rows = await queryOn<Address & { readonly groupid: number }>(
    url,
    `SELECT nodename AS host, nodeport AS port, groupid FROM pg_dist_node
     WHERE isactive AND noderole = 'primary' ORDER BY groupid`,
  );
  const workers = rows.filter(({ groupid }) => groupid > 0);
  if (workers.length < 2)
    throw new Error(`CITUS_URL names a cluster of ${workers.length} workers, not of two or more.`);
  const { hostname, port } = new URL(url);
  return [rows.find(({ groupid }) => groupid === 0) ?? { host: hostname, port: Number(port || 5432) }, ...workers];
};

const urlOfNode = (url: string, { host, port }: Address): string => {
  const changed = new URL(url);
  changed.hostname = host;
  changed.port = String(port);
  return changed.href;
};

/**
 * Creates the database on every node, migrates it, and distributes its tables with the commands of docs/scale-out.md. The transaction
 * ids of the nodes are far apart afterwards.
 */
export const createCluster = async (): Promise<Cluster> => {
  if (!CITUS_URL) throw new Error('CITUS_URL is not set.');
  const addresses = await readAddresses(CITUS_URL);
  const name = `sluice_citus_${randomUUID().replaceAll('-', '')}`;
  const maintenanceUrls = addresses.map((address) => urlOfNode(CITUS_URL, address));
  const [coordinatorUrl = '', ...workerUrls] = maintenanceUrls.map((url) => urlOfDatabase(url, name));
  const nodeUrls = [coordinatorUrl, ...workerUrls];

  const drop = async (): Promise<void> => {
    // Neither what a crash left half committed nor what a move left behind may hold the database.
    await queryOn(coordinatorUrl, 'SELECT recover_prepared_transactions()').catch(() => undefined);
    await queryOn(coordinatorUrl, 'CALL citus_cleanup_orphaned_resources()').catch(() => undefined);
    for (const url of maintenanceUrls) {
      await onNode(url, async (client) => {
        await client.query('SET citus.enable_ddl_propagation = off');
        await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
        await client.query(`DROP ROLE IF EXISTS ${name}`);
      });
    }
  };

  try {
    for (const url of maintenanceUrls) {
      await onNode(url, async (client) => {
        await client.query('SET citus.enable_ddl_propagation = off');
        await client.query(`CREATE ROLE ${name} LOGIN PASSWORD '${name}'`);
        await client.query(`CREATE DATABASE ${name} OWNER ${name}`);
      });
    }
    // As on the page: a database that Sluice has used becomes the coordinator's.
    const databaseUrl = urlOfRole(coordinatorUrl, name, name);
    await migrate(databaseUrl);
    for (const url of nodeUrls) {
      await onNode(url, async (client) => {
        await client.query('CREATE EXTENSION citus');
        await client.query(`ALTER DATABASE ${name} SET citus.propagate_set_commands = 'local'`);
        await client.query('INSERT INTO pg_dist_authinfo VALUES (0, $1, $2)', [name, `password=${name}`]);
      });
    }
    const [{ host, port }, ...workers] = addresses;
    await onNode(coordinatorUrl, async (client) => {
      await client.query('SELECT citus_set_coordinator_host($1, $2)', [host, port]);
      for (const worker of workers) await client.query('SELECT citus_add_node($1, $2)', [worker.host, worker.port]);
    });
    await paste(databaseUrl, await triedBlock('docs/scale-out.md', 'places of the tables'));
    const nodes = await readNodes(coordinatorUrl, nodeUrls);
    await moveTransactionIdsApart(nodes);
    return toCluster(databaseUrl, nodes, drop);
  } catch (error) {
    await drop().catch(() => undefined);
    throw error;
  }
};

/** Sends a block of SQL statement after statement, as psql does: with a SET LOCAL, Citus would send the workers all that is in its message. */
export const paste = (url: string, block: string): Promise<void> =>
  onNode(url, async (client) => {
    for (const statement of block.split(/(?<=;)\n/)) await client.query(statement);
  });

const readNodes = async (coordinatorUrl: string, nodeUrls: readonly string[]): Promise<readonly Node[]> => {
  const rows = await queryOn<Address & { readonly id: number; readonly groupid: number }>(
    coordinatorUrl,
    'SELECT nodeid AS id, nodename AS host, nodeport AS port, groupid FROM pg_dist_node ORDER BY groupid',
  );
  return rows.map(({ id, host, port, groupid }, index) => ({
    id,
    host,
    port,
    isCoordinator: groupid === 0,
    url: nodeUrls[index] ?? '',
  }));
};

const toCluster = (databaseUrl: string, nodes: readonly Node[], drop: () => Promise<void>): Cluster => {
  const [coordinator, ...workers] = nodes;
  if (!coordinator) throw new Error('A cluster without nodes.');
  const query: Cluster['query'] = (text, values) => queryOn(coordinator.url, text, values);
  const workerOf: Cluster['workerOf'] = async (accountId) => {
    const [place] = await query<{ id: number }>(
      `SELECT n.nodeid AS id FROM pg_dist_placement p JOIN pg_dist_node n USING (groupid)
       WHERE p.shardid = get_shard_id_for_distribution_column('streams', $1::bigint)`,
      [String(accountId)],
    );
    const worker = workers.find(({ id }) => id === place?.id);
    if (!worker) throw new Error(`No worker holds the account ${accountId}.`);
    return worker;
  };
  return {
    database: { url: databaseUrl, drop },
    coordinator,
    workers,
    query,
    workerOf,
    moveAccount: async (accountId, to, mode) => {
      const from = await workerOf(accountId);
      await query(
        `SELECT citus_move_shard_placement(get_shard_id_for_distribution_column('streams', $1::bigint),
           $2, $3::int, $4, $5::int, shard_transfer_mode => $6::citus.shard_transfer_mode)`,
        [String(accountId), from.host, from.port, to.host, to.port, mode],
      );
    },
    drop,
  };
};
