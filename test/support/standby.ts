import { migrate } from '../../src/db/migrate.ts';
import { urlOfDatabase, urlOfRole, withClient } from './postgres-admin.ts';
import { type CopiedPostgres, type RestartablePostgres, startTestPostgres } from './postgres-server.ts';

/** The owner of the database, which is not a superuser. */
const OWNER = 'sluice_owner';

export interface PrimaryWithStandby {
  readonly primary: CopiedPostgres;
  readonly standby: RestartablePostgres;
  /** URL of the migrated database `sluice` on the primary, with its owner. */
  readonly url: string;
  /** URL of the same database on the standby. */
  readonly standbyUrl: string;
  stop(): Promise<void>;
}

/** Starts a PostgreSQL with a migrated database, and a standby of it. */
export async function startPrimaryWithStandby(): Promise<PrimaryWithStandby> {
  const primary = await startTestPostgres(process.env['TEST_POSTGRES_BIN'] || undefined);
  await withClient(primary.url, async (admin) => {
    await admin.query(`CREATE ROLE ${OWNER} LOGIN PASSWORD 'owner'`);
    await admin.query(`CREATE DATABASE sluice OWNER ${OWNER}`);
  });
  const urlOn = (server: RestartablePostgres): string => urlOfRole(urlOfDatabase(server.url, 'sluice'), OWNER, 'owner');
  await migrate(urlOn(primary));
  const standby = await primary.startStandby();
  return {
    primary,
    standby,
    url: urlOn(primary),
    standbyUrl: urlOn(standby),
    stop: async () => {
      await standby.stop();
      await primary.stop();
    },
  };
}
