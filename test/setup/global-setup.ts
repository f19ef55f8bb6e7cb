import { randomUUID } from 'node:crypto';
import type { TestProject } from 'vitest/node';
import { PostgresMissingError } from '../../src/local/postgres/postgres-binaries.ts';
import { migrate } from '../../src/db/migrate.ts';
import { urlOfDatabase, urlOfRole, withClient } from '../support/postgres-admin.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres-server.ts';

/**
 * Opens the PostgreSQL server of this run. `TEST_DATABASE_URL` names a running server, whose role must be allowed to
 * create databases and roles; `TEST_POSTGRES_BIN` names a directory with the programs to start one. Without either the
 * embedded PostgreSQL is started.
 */
const openServer = async (): Promise<TestPostgres> => {
  const { TEST_DATABASE_URL: url, TEST_POSTGRES_BIN: bin } = process.env;
  if (url) return { url, stop: async () => {} };
  return startTestPostgres(bin || undefined).catch((error: unknown) => {
    if (!(error instanceof PostgresMissingError)) throw error;
    // If the error were thrown, Vitest would print its stack.
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
};

let stop = async (): Promise<void> => {};

export const setup = async (project: TestProject): Promise<void> => {
  const server = await openServer();
  const run = randomUUID().replaceAll('-', '');
  const template = `sluice_template_${run}`;
  const owner = `sluice_owner_${run}`;
  const ownerUrl = urlOfRole(server.url, owner, run);
  const dropTemplate = () =>
    withClient(server.url, async (admin) => {
      await admin.query(`DROP DATABASE IF EXISTS ${template} WITH (FORCE)`);
      await admin.query(`DROP ROLE IF EXISTS ${owner}`);
    });
  stop = async () => {
    try {
      await dropTemplate();
    } finally {
      await server.stop();
    }
  };
  try {
    await withClient(server.url, async (admin) => {
      await admin.query(`CREATE ROLE ${owner} LOGIN PASSWORD '${run}'`);
      await admin.query(`GRANT ${owner} TO CURRENT_USER`);
      await admin.query(`CREATE DATABASE ${template} OWNER ${owner}`);
    });
    await migrate(urlOfDatabase(ownerUrl, template));
    // PostgreSQL cannot copy a database that has a session.
    await withClient(server.url, (admin) => admin.query(`ALTER DATABASE ${template} ALLOW_CONNECTIONS false`));
  } catch (error) {
    await stop();
    throw error;
  }
  project.provide('postgresAdminUrl', server.url);
  project.provide('postgresOwnerUrl', ownerUrl);
  project.provide('postgresTemplate', template);
};

export const teardown = (): Promise<void> => stop();
