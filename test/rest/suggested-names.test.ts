import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createJob } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { allocationPath, ask, NDJSON } from './requests.ts';

let server: TestServer;
let job: string;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  job = await createJob(server);
  await ask(server, `POST ${allocationPath('x', 'sum')}`, { body: { records: [RECORD] } });
});
afterAll(() => server.stop());

const RECORD = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', 'element-name': 'hooli', value: '1' };

/** Sends the request, and returns the unknown names of the response with their messages. */
async function unknownNames(route: string, body?: unknown, headers: Record<string, string> = {}): Promise<string[]> {
  const answer = await ask(server, route.replace('{id}', job), { ...(body !== undefined && { body }), headers });
  return (answer.body.error?.issues ?? [])
    .filter(({ code }) => code === 'UNKNOWN_FIELD')
    .map(({ path, message }) => `${path.join('/')}: ${message}`);
}

const meant = (path: string, name: string): string =>
  `${path}: The field "${path.split('/').at(-1)}" does not exist. Did you mean "${name}"?`;

describe('unknown field of a body', () => {
  test.each<[route: string, body: object, path: string, name: string]>([
    ['POST /jobs', { job_name: 'x' }, 'job_name', 'jobName'],
    ['POST /jobs', { rescaleFunction: { coeficient: 2 } }, 'rescaleFunction/coeficient', 'coefficient'],
    ['POST /jobs/check', { timezone: 'UTC' }, 'timezone', 'timeZone'],
    ['PUT /jobs', { s3url: 'a/b' }, 's3url', 's3Url'],
    ['PUT /jobs/{id}', { verison: 1 }, 'verison', 'version'],
    ['POST /jobs/{id}/run', { scheduleFor: 'x' }, 'scheduleFor', 'scheduledFor'],
    ['POST /jobs/{id}/backfills', { form: 'x' }, 'form', 'from'],
    [`POST ${allocationPath('x', 'sum')}`, { record: [] }, 'record', 'records'],
    [`POST ${allocationPath('x', 'replace')}`, { records: [], scop: {} }, 'scop', 'scope'],
    [`POST ${allocationPath('x', 'delete')}`, { Records: [] }, 'Records', 'records'],
    [`POST ${allocationPath('x', 'replace')}`, { records: [], scope: { form: 'x' } }, 'scope/form', 'from'],
    [
      `POST ${allocationPath('x', 'sum')}`,
      { records: [{ ...RECORD, granularty: 'x' }] },
      'records/0/granularty',
      'granularity',
    ],
    [`POST ${allocationPath('x', 'delete')}`, { records: [{ timestmp: 'x' }] }, 'records/0/timestmp', 'timestamp'],
    ['POST /unit-cost/v1/telemetry/x/complete', { trough: 'x' }, 'trough', 'through'],
    ['DELETE /unit-cost/v1/telemetry/x', { fource: true }, 'fource', 'force'],
  ])('%s > is rejected with the name that was probably meant: %#', async (route, body, path, name) => {
    expect(await unknownNames(route, body)).toEqual([meant(path, name)]);
  });

  test('is rejected with the name that was probably meant in a line', async () => {
    const line = `${JSON.stringify({ ...RECORD, elementname: 'x' })}\n`;
    const [found] = await unknownNames(`POST ${allocationPath('x', 'sum')}`, line, NDJSON);
    expect(found).toMatch(/The field "elementname" does not exist\. Did you mean "element-name"\?$/);
  });

  test('is rejected without a name when none is near', async () => {
    expect(await unknownNames('POST /jobs', { colour: 1 })).toEqual(['colour: The field "colour" does not exist.']);
  });
});

describe('query parameter', () => {
  test.each([
    ['GET /jobs?limt=1', 'limt', 'limit'],
    ['GET /jobs?Limit=1', 'Limit', 'limit'],
    ['GET /jobs/{id}/runs?afer=x', 'afer', 'after'],
    ['GET /jobs/{id}/deliveries?limits=1', 'limits', 'limit'],
    ['GET /jobs/{id}/coverage?form=x&to=y', 'form', 'from'],
    ['GET /unit-cost/v1/telemetry/x/records?lmit=1', 'lmit', 'limit'],
    ['DELETE /unit-cost/v1/telemetry/x?forse=true', 'forse', 'force'],
    [`POST ${allocationPath('x', 'replace')}?fom=x`, 'fom', 'from'],
  ])('%s > is rejected with the name that was probably meant', async (route, path, name) => {
    expect(await unknownNames(route)).toEqual([
      `${path}: The query parameter "${path}" does not exist. Did you mean "${name}"?`,
    ]);
  });

  test('is ignored when it is near no parameter of the route', async () => {
    expect((await ask(server, 'GET /jobs?trace=1&limit=1')).status).toBe(200);
  });
});
