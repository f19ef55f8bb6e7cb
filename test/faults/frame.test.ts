import { afterAll, beforeAll, expect, test } from 'vitest';
import { withClient } from '../support/postgres-admin.ts';
import { type Deployment, startDeployment } from './deployment.ts';

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment();
});
afterAll(() => deployment.close());

test('deployment of the suite > keeps committed data when PostgreSQL is cut off, and its servers are not superusers', async () => {
  const server = await deployment.startServer();
  await server.graphql('{ viewer { accountName } }');
  const { url } = deployment.database;
  const roles = await withClient(url, async (admin) => {
    const { rows } = await admin.query<{ usesuper: boolean; count: number }>(
      `SELECT u.usesuper, count(*)::int FROM pg_stat_activity a JOIN pg_user u USING (usename)
       WHERE a.application_name LIKE 'sluice%' AND a.application_name <> 'sluice-tests' GROUP BY 1`,
    );
    await admin.query('CREATE TABLE kept AS SELECT 1 AS one');
    return rows;
  });
  expect(roles).toEqual([{ usesuper: false, count: expect.any(Number) }]);
  await deployment.postgres.goAway();
  await expect(withClient(url, () => Promise.resolve())).rejects.toThrow('ECONNREFUSED');
  await deployment.postgres.comeBack();
  const kept = await withClient(url, (admin) => admin.query('SELECT * FROM kept'));
  expect(kept.rows).toEqual([{ one: 1 }]);
});
