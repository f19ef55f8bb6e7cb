import type { TestServer } from '../support/server.ts';
import { accountIdOf } from '../streams/held-transactions.ts';
import type { Cluster } from './cluster.ts';
import type { Node } from './nodes.ts';

/** Those of the test servers' S3. Each belongs to the account that writes to it first. */
const BUCKETS = ['exports', 'other-exports', 'my.bucket', 'handed-on'];

/** An account, and the worker that held its rows when it was opened. */
export interface PlacedAccount {
  readonly name: string;
  /** An ADMIN key of it. */
  readonly key: string;
  readonly id: bigint;
  readonly worker: Node;
  /** For its exports. */
  readonly bucket: string;
}

/** One account on each worker, in the order of the workers; at most as many as there are buckets. */
export const openAccounts = async (
  cluster: Cluster,
  server: TestServer,
  prefix: string,
): Promise<readonly PlacedAccount[]> => {
  const workers = cluster.workers.slice(0, BUCKETS.length);
  const placed = new Map<number, Omit<PlacedAccount, 'bucket'>>();
  for (let number = 1; !workers.every((worker) => placed.has(worker.id)); number += 1) {
    const name = `${prefix}-${number}`;
    const key = await server.createKey(name, ['ADMIN']);
    const id = await accountIdOf(server, name);
    const worker = await cluster.workerOf(id);
    if (!placed.has(worker.id)) placed.set(worker.id, { name, key, id, worker });
  }
  return workers.flatMap(({ id }, index) => {
    const account = placed.get(id);
    return account ? [{ ...account, bucket: BUCKETS[index] ?? '' }] : [];
  });
};
