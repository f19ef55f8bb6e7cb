import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, allocationPath } from '../rest/requests.ts';
import { withClient } from '../support/postgres-admin.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { readRecords, tryWrite } from '../streams/writes.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

const RECORD = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', elementName: 'hooli', value: '1' };
const BODY = { records: [{ ...RECORD, 'element-name': 'hooli', elementName: undefined }] };

/** Makes PostgreSQL roll back every write with this error, as it does for conflicts with other transactions. */
const conflicting = (state: string) =>
  withClient(server.database.url, async (client) => {
    await client.query(`CREATE OR REPLACE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql
      AS $$ BEGIN RAISE 'rolled back' USING ERRCODE = '${state}'; END $$`);
    await client.query('CREATE TRIGGER conflict BEFORE INSERT ON operations EXECUTE FUNCTION conflict()');
  });
const peaceful = () => withClient(server.database.url, (client) => client.query('DROP TRIGGER conflict ON operations'));

describe.each([
  ['serialization failure', '40001'],
  ['deadlock', '40P01'],
])('%s', (_, state) => {
  test('returns 503 over GraphQL and REST, with Retry-After, and a retry of the request succeeds', async () => {
    const stream = `stream-${state}`;
    const input = { stream, records: [RECORD], idempotencyKey: state };
    await conflicting(state);
    try {
      const overGraphql = await tryWrite(server, 'Sum', input);
      expect([overGraphql.status, overGraphql.errors?.[0]?.extensions]).toEqual([503, { code: 'UNAVAILABLE' }]);
      const overRest = await ask(server, `POST ${allocationPath(stream, 'replace')}`, { body: BODY });
      expect([overRest.status, overRest.headers.get('retry-after'), overRest.body]).toMatchObject([
        503,
        '5',
        { error: { code: 'UNAVAILABLE' } },
      ]);
    } finally {
      await peaceful();
    }
    const { data } = await tryWrite(server, 'Sum', input);
    expect(data?.answer).toMatchObject({ __typename: 'AllocationReceipt', replayed: false });
    expect(await readRecords(server, stream)).toMatchObject([{ value: '1' }]);
  });
});
