import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { startTestPostgres } from '../support/postgres-server.ts';
import { withClient } from '../support/postgres-admin.ts';

/** Path of the oldest supported version on Debian. The embedded PostgreSQL has no pg_dump. */
const DEBIAN_15 = '/usr/lib/postgresql/15/bin';

/** Returns the directory with initdb, postgres, psql, pg_dump and pg_restore of one version, or null if there is none. */
export const findPrograms = async (): Promise<string | null> => {
  const bin = process.env['POSTGRES_15_BIN'] ?? DEBIAN_15;
  const all = ['initdb', 'postgres', 'psql', 'pg_dump', 'pg_restore'].map((name) => access(join(bin, name)));
  return Promise.all(all).then(
    () => bin,
    () => null,
  );
};

export interface TwoClusters {
  /** Ports of both clusters, and the password of their superuser. */
  readonly first: string;
  readonly second: string;
  readonly password: string;
  stop(): Promise<void>;
}

/** Starts two clusters. The transaction ids of the first are ahead of those of the second. */
export const startTwoClusters = async (bin: string): Promise<TwoClusters> => {
  const [first, second] = await Promise.all([startTestPostgres(bin), startTestPostgres(bin)]);
  await withClient(first.url, (client) =>
    client.query('DO $$ BEGIN FOR i IN 1..20000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$'),
  );
  return {
    first: new URL(first.url).port,
    second: new URL(second.url).port,
    password: new URL(first.url).password,
    stop: async () => {
      await Promise.all([first.stop(), second.stop()]);
    },
  };
};
