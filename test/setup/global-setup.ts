import { randomUUID } from 'node:crypto';
import type { TestProject } from 'vitest/node';
import { migrate } from '../../src/db/migrate.ts';
import { urlOfDatabase, withClient } from '../support/postgres-admin.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres-server.ts';

/**
 * The server of this run: `TEST_DATABASE_URL` names one that is there already (its role must be allowed to
 * create databases), `TEST_POSTGRES_BIN` a directory with the programs of one to start; without either the
 * embedded PostgreSQL is started.
 */
const openServer = async (): Promise<TestPostgres> => {
  const { TEST_DATABASE_URL: url, TEST_POSTGRES_BIN: bin } = process.env;
  if (url) return { url, stop: async () => {} };
  return startTestPostgres(bin || undefined);
};

let stop = async (): Promise<void> => {};

export const setup = async (project: TestProject): Promise<void> => {
  const server = await openServer();
  const template = `sluice_template_${randomUUID().replaceAll('-', '')}`;
  const dropTemplate = () =>
    withClient(server.url, (admin) => admin.query(`DROP DATABASE IF EXISTS ${template} WITH (FORCE)`));
  stop = async () => {
    try {
      await dropTemplate();
    } finally {
      await server.stop();
    }
  };
  try {
    await withClient(server.url, (admin) => admin.query(`CREATE DATABASE ${template}`));
    await migrate(urlOfDatabase(server.url, template));
    // A database with a session in it cannot be copied.
    await withClient(server.url, (admin) => admin.query(`ALTER DATABASE ${template} ALLOW_CONNECTIONS false`));
  } catch (error) {
    await stop();
    throw error;
  }
  project.provide('postgresAdminUrl', server.url);
  project.provide('postgresTemplate', template);
};

export const teardown = (): Promise<void> => stop();
