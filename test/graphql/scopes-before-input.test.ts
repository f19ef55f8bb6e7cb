import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Scope } from '../../src/accounts/scopes.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
const keys = new Map<Scope, string>();
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  for (const scope of ['READ', 'INGEST', 'JOBS', 'ADMIN'] as const) {
    keys.set(scope, await server.createKey('default', [scope]));
  }
});
afterAll(() => server.stop());

const JOB = '{ jobName: " x", s3Url: "", format: CSV, aggregationBucket: DAY, range: "7d" }';
const SELECTION = '{ __typename ... on ValidationError { issues { path code } } }';

interface Field {
  readonly document: string;
  readonly without: Scope;
  readonly having: Scope;
  readonly issues: readonly { readonly path: readonly string[]; readonly code: string }[];
}

const JOB_ISSUES = [
  { path: ['input', 'jobName'], code: 'BAD_JOB_NAME' },
  { path: ['input', 's3Url'], code: 'BAD_BUCKET' },
  { path: ['input', 'range'], code: 'BAD_RANGE' },
];

const FIELDS: Readonly<Record<string, Field>> = {
  createJob: {
    document: `mutation { createJob(input: ${JOB}) ${SELECTION} }`,
    without: 'READ',
    having: 'JOBS',
    issues: JOB_ISSUES,
  },
  checkJob: {
    document: `mutation { checkJob(input: ${JOB}) ${SELECTION} }`,
    without: 'READ',
    having: 'JOBS',
    issues: JOB_ISSUES,
  },
  runJob: {
    document: `mutation { runJob(input: { jobId: "x", scheduledFor: "x" }) ${SELECTION} }`,
    without: 'READ',
    having: 'JOBS',
    issues: [{ path: ['input', 'scheduledFor'], code: 'BAD_TIMESTAMP' }],
  },
  createApiKey: {
    document: `mutation { createApiKey(input: { name: "", scopes: [] }) ${SELECTION} }`,
    without: 'JOBS',
    having: 'ADMIN',
    issues: [
      { path: ['input', 'name'], code: 'BAD_LENGTH' },
      { path: ['input', 'scopes'], code: 'NO_SCOPES' },
    ],
  },
  allocationSum: {
    document: `mutation { allocationSum(input: { stream: "a b", records: [], idempotencyKey: "" }) ${SELECTION} }`,
    without: 'JOBS',
    having: 'INGEST',
    issues: [
      { path: ['input', 'stream'], code: 'BAD_STREAM_NAME' },
      { path: ['input', 'idempotencyKey'], code: 'EMPTY' },
      { path: ['input', 'records'], code: 'NO_RECORDS' },
    ],
  },
  usage: {
    document: `{ usage(input: { from: "x", to: "y", aggregationBucket: DAY, groupBy: [""] }) ${SELECTION} }`,
    without: 'INGEST',
    having: 'READ',
    issues: [
      { path: ['input', 'from'], code: 'BAD_TIMESTAMP' },
      { path: ['input', 'to'], code: 'BAD_TIMESTAMP' },
      { path: ['input', 'groupBy', '0'], code: 'EMPTY' },
    ],
  },
};

describe.each(Object.entries(FIELDS))('%s with invalid input', (name, { document, without, having, issues }) => {
  test('returns UNAUTHENTICATED without a key', async () => {
    const { status, errors } = await server.request(document, {}, '');
    expect([status, errors?.[0]?.extensions?.['code']]).toEqual([401, 'UNAUTHENTICATED']);
  });

  test(`returns FORBIDDEN when the key has only ${without}`, async () => {
    const { data, errors } = await server.request(document, {}, keys.get(without));
    expect(errors?.map(({ message, extensions }) => [message, extensions?.['code']])).toEqual([
      [`The API key lacks the required scope: ${having}.`, 'FORBIDDEN'],
    ]);
    expect(data ?? null).toBeNull();
  });

  test(`returns all issues when the key has ${having}`, async () => {
    const data = await server.graphql<Record<string, object>>(document, {}, keys.get(having));
    expect(data[name]).toEqual({ __typename: 'ValidationError', issues });
  });
});
