import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    env: { ROLE: 'api', INTAKE_RECORDS_PER_SECOND: '8', INTAKE_BURST: '10' },
  });
});
afterAll(() => server.stop());

const record = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', 'element-name': 'hooli', value: '1' };

const post = async (count: number, key: string, type = 'application/json') => {
  const records = Array.from({ length: count }, () => record);
  const response = await fetch(`${server.url}/unit-cost/v1/telemetry/allocation/calls/sum`, {
    method: 'POST',
    headers: { 'x-api-key': key, 'content-type': type },
    body:
      type === 'application/json' ? JSON.stringify({ records }) : records.map((one) => JSON.stringify(one)).join('\n'),
  });
  return { status: response.status, retryAfter: response.headers.get('retry-after'), body: await response.json() };
};

const SUM = `mutation { allocationSum(input: { stream: "calls", records: [{ timestamp: "2026-01-25T00:00:00Z",
  granularity: DAILY, elementName: "hooli", value: "1" }] }) { __typename } }`;

test.each(['application/json', 'application/x-ndjson'])(
  'intake rate > returns 429 with Retry-After to an API key that sent too much %s, and not to another key',
  async (type) => {
    const [busy, calm] = await Promise.all([
      server.createKey('acme', ['INGEST']),
      server.createKey('acme', ['INGEST']),
    ]);
    const begun = performance.now();
    // Six times the capacity of the token bucket: an admitted request is not cut off.
    expect(await post(60, busy, type)).toMatchObject({ status: 200 });
    const refused = await post(1, busy, type);
    expect(refused).toMatchObject({ status: 429, body: { error: { code: 'RATE_LIMITED', issues: [] } } });
    // A debt of 50 records, minus the refill, plus one for this record.
    const longest = Math.ceil(51 / 8);
    const elapsed = Math.ceil((performance.now() - begun) / 1000);
    expect(Number(refused.retryAfter)).toBeGreaterThanOrEqual(Math.max(1, longest - elapsed));
    expect(Number(refused.retryAfter)).toBeLessThanOrEqual(longest);
    expect(await post(1, calm, type)).toMatchObject({ status: 200 });
    expect(
      (
        await eventually(
          () => post(1, busy, type),
          ({ status }) => status !== 429,
        )
      ).status,
    ).toBe(200);
  },
);

test('intake rate > is 429 with the same code over GraphQL', async () => {
  const key = await server.createKey('acme', ['INGEST']);
  expect(await post(60, key)).toMatchObject({ status: 200 });
  const answer = await fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: { 'x-api-key': key, 'content-type': 'application/json' },
    body: JSON.stringify({ query: SUM }),
  });
  expect(answer.status).toBe(429);
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(await answer.json()).toMatchObject({ errors: [{ extensions: { code: 'RATE_LIMITED' } }] });
});
