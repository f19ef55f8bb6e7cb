import type pg from 'pg';
import type { Writable } from 'node:stream';
import {
  buildTransactionTimeoutRemoval,
  buildLocalSettings,
  buildSettingsQuery,
  READ_VERSION_SQL,
  type SessionNeeds,
  type SettingRow,
  type VersionRow,
} from './session-settings.ts';

/** The SET LOCAL statements of each connection, since its first transaction. */
const preludes = new WeakMap<pg.ClientBase, readonly string[]>();

/**
 * The SET LOCAL statements that each transaction of this connection begins with: those whose values differ from what Sluice
 * needs. A connection reads its own settings once, in two round trips before its first transaction: setting all of them for
 * each transaction would cost more than a small statement.
 *
 * ALTER DATABASE and ALTER ROLE change new connections alone. A change of postgresql.conf also reaches open ones, and a pooler
 * in transaction mode may put newer sessions behind an open one; both are noticed when the connection is replaced (pool.ts
 * bounds its life). The level of a transaction and jit do not depend on it.
 */
export async function loadPrelude(client: pg.ClientBase, needs: SessionNeeds): Promise<readonly string[]> {
  const prelude = preludes.get(client);
  if (prelude) return prelude;
  const version = await client.query<VersionRow>(READ_VERSION_SQL);
  sendTogether(client);
  const statements = buildSettingsQuery(buildTransactionTimeoutRemoval(version.rows), needs);
  const answers = await Promise.allSettled(statements.map((text) => client.query<SettingRow>(text)));
  for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
  const rows = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value.rows : []));
  const read = buildLocalSettings(rows, needs);
  preludes.set(client, read);
  return read;
}

/**
 * Joins everything that is sent in this tick of the event loop into one write to the socket: each write costs this process as much
 * as making a statement (0.1 ms), and wakes the database again.
 */
export function sendTogether(client: pg.ClientBase): void {
  const { stream } = (client as unknown as { readonly connection: { readonly stream: Writable } }).connection;
  stream.cork();
  process.nextTick(() => stream.uncork());
}
