import { type Node, onNode } from './nodes.ts';

const GAP = 50_000n;
/** Minimum of the gap that must remain after the transaction ids that a node uses during a test. */
const MARGIN = 20_000n;

const nextId = async (node: Node): Promise<bigint> =>
  onNode(node.url, async (client) => {
    const { rows } = await client.query<{ id: string }>('SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS id');
    return BigInt(rows[0]?.id ?? 0);
  });

const useUpTo = async (node: Node, id: bigint): Promise<void> => {
  const missing = id - (await nextId(node));
  if (missing <= 0n) return;
  await onNode(node.url, (client) =>
    client.query(`DO $$ BEGIN FOR i IN 1..${missing} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`),
  );
};

/**
 * Uses up transaction ids until the first worker is far ahead of the coordinator, and the coordinator far ahead of the other workers. So an
 * id that was taken on the wrong node is far in the past or far in the future, whichever worker holds the account.
 */
export const moveTransactionIdsApart = async (nodes: readonly Node[]): Promise<void> => {
  const [coordinator, first, ...others] = nodes;
  if (!coordinator || !first) throw new Error('A cluster without workers.');
  const ids = await Promise.all(others.map(nextId));
  const behind = ids.reduce((most, id) => (id > most ? id : most), 0n);
  await useUpTo(coordinator, behind + GAP + MARGIN);
  await useUpTo(first, (await nextId(coordinator)) + GAP + MARGIN);
};
