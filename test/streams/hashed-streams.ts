import { hashStreamKeys } from '../../src/streams/key-hashes/hash-stream-keys.ts';
import { createStreamQueue } from '../../src/streams/stream-queue.ts';
import { findStream } from '../../src/streams/streams.ts';
import type { TestServer } from '../support/server.ts';

/** As a server does when it finds a large bucket; nothing if there is no such stream. */
export const hashKeysOf = async (server: TestServer, accountId: bigint, name: string): Promise<void> => {
  const db = server.resources.database.forAccount(accountId);
  const stream = await findStream(db, accountId, name);
  const streamQueue = createStreamQueue({ waitMs: 60_000, onBusy: () => undefined });
  if (!stream) return;
  const context = { db, streamQueue, signal: new AbortController().signal, waitMs: 60_000 };
  await hashStreamKeys(context, stream, stream.hashesKeys ? 'HASHING' : 'LARGE');
};
