import { allocationPath, ask, type Receipt, type RestFailure } from '../rest/requests.ts';
import { openClient } from '../support/postgres-admin.ts';
import type { TestServer } from '../support/server.ts';
import { untilWaiting } from './held-transactions.ts';
import { type RecordInput, write, type WriteAnswer, type WriteInput, type WriteKind } from './writes.ts';

// Small writes that share transactions: how to send them so that they do.

/** The same as `write`, as JSON over REST. */
export const writeOverRest = async (
  at: TestServer,
  kind: WriteKind,
  { stream, idempotencyKey, records }: WriteInput,
): Promise<WriteAnswer> => {
  const verb = ({ Sum: 'sum', Replace: 'replace', Delete: 'delete' } as const)[kind];
  const { body } = await ask<Receipt | RestFailure>(at, `POST ${allocationPath(stream, verb)}`, {
    headers: {
      'content-type': 'application/json',
      ...(idempotencyKey != null && { 'idempotency-key': idempotencyKey }),
    },
    body: {
      records: records.map(({ elementName, filter, ...others }) => ({
        ...others,
        'element-name': elementName,
        filter: Object.fromEntries((filter ?? []).map(({ dimension, values }) => [dimension, values])),
      })),
    },
  });
  if ('error' in body) return { __typename: 'Refused', code: body.error.code };
  const { operationId: id, insertedRecords, hiddenRecords, replayed } = body;
  return { __typename: 'AllocationReceipt', replayed, operation: { id, insertedRecords, hiddenRecords } };
};

/** The id in the ledger: REST returns it as it is, GraphQL in a global id. */
export const ledgerId = ({ operation }: WriteAnswer): string => {
  const id = operation?.id ?? '';
  return /^\d+$/.test(id) ? id : (Buffer.from(id, 'base64url').toString().split(':')[1] ?? '');
};

/** Holds the stream's lock, so that what arrives meanwhile gathers behind a first sum on each server. */
export const gatherBehind = async (
  servers: readonly [TestServer, ...TestServer[]],
  stream: string,
  first: RecordInput,
  send: () => Promise<WriteAnswer>[],
  onLetGo: () => Promise<unknown> = () => Promise.resolve(),
): Promise<WriteAnswer[]> => {
  const client = await openClient(servers[0].database.url);
  try {
    await client.query('BEGIN');
    await client.query(
      'SELECT pg_advisory_xact_lock(hashtextextended(id::text, 0)) FROM streams WHERE name = $1 AND deleted_at IS NULL',
      [stream],
    );
    const sums = servers.map((server) => write(server, 'Sum', { stream, records: [first] }));
    await untilWaiting(servers[0], servers.length);
    const answers = send();
    // Sent after them, and with a way to the database that they do not have: when it is answered they have arrived.
    for (const one of servers) await one.graphql('{ streams { totalCount } }');
    await client.query('COMMIT');
    await Promise.all(sums);
    await onLetGo();
    return await Promise.all(answers);
  } finally {
    await client.end();
  }
};
