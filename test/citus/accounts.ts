import type { TestServer } from '../support/server.ts';
import { accountIdOf } from '../streams/held-transactions.ts';
import type { Cluster } from './cluster.ts';
import type { Node } from './nodes.ts';

/** An account, and the worker that held its rows when it was opened. */
export interface PlacedAccount {
  readonly name: string;
  /** An ADMIN key of it. */
  readonly key: string;
  readonly id: bigint;
  readonly worker: Node;
}

/** One account on each worker, in the order of the workers. */
export const openAccounts = async (
  cluster: Cluster,
  server: TestServer,
  prefix: string,
): Promise<readonly PlacedAccount[]> => {
  const placed = new Map<number, PlacedAccount>();
  for (let number = 1; placed.size < cluster.workers.length; number += 1) {
    const name = `${prefix}-${number}`;
    const key = await server.createKey(name, ['ADMIN']);
    const id = await accountIdOf(server, name);
    const worker = await cluster.workerOf(id);
    if (!placed.has(worker.id)) placed.set(worker.id, { name, key, id, worker });
  }
  return cluster.workers.flatMap(({ id }) => placed.get(id) ?? []);
};
