import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { startTestPostgres } from '../support/postgres-server.ts';
import { withClient } from '../support/postgres-admin.ts';

/** Where Debian puts those of the oldest supported version. The embedded PostgreSQL comes without pg_dump. */
const DEBIAN_15 = '/usr/lib/postgresql/15/bin';

/** The directory with initdb, postgres, psql, pg_dump and pg_restore of one version; null where there is none. */
export const findPrograms = async (): Promise<string | null> => {
  const bin = process.env['POSTGRES_15_BIN'] ?? DEBIAN_15;
  const all = ['initdb', 'postgres', 'psql', 'pg_dump', 'pg_restore'].map((name) => access(join(bin, name)));
  return Promise.all(all).then(
    () => bin,
    () => null,
  );
};

export interface TwoClusters {
  /** The ports, and the password of the superuser of both. */
  readonly first: string;
  readonly second: string;
  readonly password: string;
  stop(): Promise<void>;
}

/** The first has lived for a while: its transaction ids are ahead of those of the second. */
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
