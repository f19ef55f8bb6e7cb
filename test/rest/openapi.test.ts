import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { AxiosResponse } from 'axios';
import { randomUUID } from 'node:crypto';
import { type OpenAPIClient, OpenAPIClientAxios } from 'openapi-client-axios';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { ask, linesOf, NDJSON, recordsOf, send } from './requests.ts';

interface Operation {
  readonly operationId: string;
  readonly deprecated?: boolean;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: object }[];
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { readonly schema: object; readonly example?: unknown }>>;
  };
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, object>>; readonly headers?: Record<string, object> }>
  >;
}

interface Document {
  readonly openapi: string;
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

let server: TestServer;
let document: Document;
let client: OpenAPIClient;
const ajv = new Ajv2020({ strict: false, allErrors: true });

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api', MAX_BODY_BYTES: '100000' } });
  const answer = await ask<Document>(server, 'GET /openapi.json', { key: null });
  document = answer.body;
  ajv.addSchema(document, 'document');
  // Its only server is relative to the URL of the document.
  const api = new OpenAPIClientAxios({
    definition: `${server.url}/openapi.json`,
    withServer: { url: server.url },
    axiosConfigDefaults: { headers: { 'X-API-Key': server.key }, validateStatus: () => true },
  });
  client = await api.init();
});
afterAll(() => server.stop());

const operations = (): { path: string; method: string; operation: Operation }[] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );

const find = (operationId: string) => {
  const found = operations().find(({ operation }) => operation.operationId === operationId);
  if (!found) throw new Error(`There is no ${operationId}.`);
  return found;
};

/** Returns a schema of the document by its path. */
const schemaAt = (...path: readonly string[]): ValidateFunction => {
  const pointer = path.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/');
  return ajv.compile({ $ref: `document#/${pointer}` });
};

const expectValid = (validate: ValidateFunction, value: unknown): void => {
  validate(value);
  expect(validate.errors ?? [], JSON.stringify(value)).toEqual([]);
};

const responseSchema = (operationId: string, status: number): ValidateFunction => {
  const { path, method } = find(operationId);
  return schemaAt('paths', path, method, 'responses', String(status), 'content', 'application/json', 'schema');
};

const requestSchema = (operationId: string, type: string): ValidateFunction => {
  const { path, method } = find(operationId);
  return schemaAt('paths', path, method, 'requestBody', 'content', type, 'schema');
};

const record = (changes: object = {}) => ({
  timestamp: '2026-01-25T00:00:00Z',
  granularity: 'DAILY',
  filter: { region: ['eu'] },
  'element-name': 'hooli',
  value: '1200.5',
  ...changes,
});
const selector = () => {
  const { value: _, ...rest } = record();
  return rest;
};
const job = (changes: object = {}) => ({
  jobName: randomUUID(),
  s3Url: `exports/${randomUUID()}`,
  format: 'csv',
  aggregationBucket: 'day',
  range: 'ago(7d)',
  enabled: false,
  filter: { region: ['eu'] },
  rescaleFunction: { function: 'multiply', coefficient: 0.001 },
  ...changes,
});

const newStream = async (): Promise<string> => {
  const stream = randomUUID();
  await send(server, 'JSON', [stream, 'sum'], [JSON.stringify(record())]);
  return stream;
};
const newJob = async (): Promise<string> => (await ask<{ id: string }>(server, 'POST /jobs', { body: job() })).body.id;
const newRun = async (): Promise<string> =>
  (await ask<{ id: string }>(server, `POST /jobs/${await newJob()}/run`)).body.id;

const SPAN = { from: '2025-01-01T00:00:00Z', to: '2025-03-01T00:00:00Z' };
const newScheduledJob = async (): Promise<string> =>
  (await ask<{ id: string }>(server, 'POST /jobs', { body: job({ cron: '0 2 1 * *', range: 'previous(month)' }) })).body
    .id;

interface Sent {
  readonly parameters?: Readonly<Record<string, string | number>>;
  readonly body?: unknown;
}

/** Arguments with which each operation succeeds. A route that is missing here fails the test. */
const CALLS: Readonly<Record<string, () => Promise<Sent>>> = {
  allocationSum: async () => ({
    parameters: { stream: randomUUID(), 'Idempotency-Key': randomUUID() },
    body: { records: [record(), record({ value: 7, filter: { region: 'us' } })] },
  }),
  allocationSumDeprecated: async () => ({ parameters: { stream: randomUUID() }, body: { records: [record()] } }),
  allocationSumOldest: async () => {
    const stream = randomUUID();
    return {
      body: { records: [record({ 'telemetry-stream': stream }), record({ 'telemetry-stream': stream, value: 7 })] },
    };
  },
  allocationReplace: async () => ({ parameters: { stream: await newStream() }, body: { records: [record()] } }),
  allocationDelete: async () => ({ parameters: { stream: await newStream() }, body: { records: [selector()] } }),
  declareComplete: async () => ({
    parameters: { stream: await newStream() },
    body: { through: '2026-01-26T00:00:00Z' },
  }),
  listRecords: async () => ({ parameters: { stream: await newStream(), limit: 10 } }),
  deleteStream: async () => ({ parameters: { stream: await newStream(), force: 'true' }, body: { force: true } }),
  listJobs: async () => {
    await newJob();
    await newJob();
    return { parameters: { limit: 1 } };
  },
  createJob: async () => ({ body: job({ cron: '0 2 * * *', timeZone: 'Europe/Berlin', enabled: true }) }),
  replaceJobById: async () => ({ body: job({ id: await newJob(), version: 1 }) }),
  checkJob: async () => ({ body: job({ groupBy: ['region', 'element'], meterApiNames: [await newStream()] }) }),
  getJob: async () => ({ parameters: { id: await newJob() } }),
  replaceJob: async () => ({ parameters: { id: await newJob() }, body: job({ rescaleFunction: null, filter: null }) }),
  deleteJob: async () => ({ parameters: { id: await newJob() } }),
  runJob: async () => ({ parameters: { id: await newJob() }, body: { scheduledFor: '2026-01-26T00:00:00Z' } }),
  testDestination: async () => ({ parameters: { id: await newJob() } }),
  listRuns: async () => {
    const id = await newJob();
    await ask(server, `POST /jobs/${id}/run`);
    return { parameters: { id } };
  },
  getRun: async () => ({ parameters: { id: await newRun() } }),
  createBackfill: async () => ({
    parameters: { id: await newScheduledJob() },
    body: { ...SPAN, order: 'newest_first', reprocess: 'all' },
  }),
  getBackfill: async () => {
    const created = await ask<{ id: string }>(server, `POST /jobs/${await newScheduledJob()}/backfills`, {
      body: SPAN,
    });
    return { parameters: { id: created.body.id } };
  },
  listDeliveries: async () => {
    const id = await newJob();
    await ask(server, `POST /jobs/${id}/run`);
    return { parameters: { id } };
  },
  readCoverage: async () => ({
    parameters: { id: await newJob(), from: '2026-01-01T00:00:00Z', to: '2026-02-01T00:00:00Z' },
  }),
};

const call = async (operationId: string, { parameters = {}, body }: Sent): Promise<AxiosResponse<unknown>> => {
  const invoke = client[operationId];
  if (!invoke) throw new Error(`There is no ${operationId}.`);
  return (await invoke(parameters, body)) as AxiosResponse<unknown>;
};

describe('OpenAPI document', () => {
  test('is valid OpenAPI 3.1 and served without an API key', async () => {
    const answer = await ask<Document>(server, 'GET /openapi.json', { key: null });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(answer.body.openapi).toMatch(/^3\.1\./);
    const validator = new Validator();
    const result = await validator.validate(JSON.parse(answer.text) as Record<string, unknown>);
    expect(result).toEqual({ valid: true });
    expect(validator.version).toBe('3.1');
    // It does not name another server.
    expect(answer.body.servers.map(({ url }) => url)).toEqual(['.']);
    expect(await ask(server, 'GET /openapi.json', { key: 'wrong' })).toMatchObject({ status: 200 });
  });

  test('is checked by a validator that finds errors', async () => {
    const broken = { ...document, paths: { '/x': { get: { responses: [] } } } };
    expect((await new Validator().validate(structuredClone(broken))).valid).toBe(false);
  });

  test('has exactly the operations in the table of calls', () => {
    expect(
      operations()
        .map(({ operation }) => operation.operationId)
        .toSorted(),
    ).toEqual(Object.keys(CALLS).toSorted());
  });

  test('lists the errors of each route', () => {
    for (const { path, method, operation } of operations()) {
      const statuses = Object.keys(operation.responses).map(Number);
      const expected = [
        400,
        403,
        500,
        503,
        ...(path.startsWith('/unit-cost') ? [] : [401]),
        ...(operation.requestBody ? [408, 413, 415] : []),
        ...(path.includes('/allocation/') ? [409, 429] : []),
        ...(path.includes('{id}') || operation.operationId === 'replaceJobById' ? [404] : []),
      ];
      expect([method, path, statuses]).toEqual([method, path, expect.arrayContaining(expected)]);
    }
  });

  test('marks the deprecated paths', () => {
    const deprecated = operations().filter(({ operation }) => operation.deprecated);
    expect(deprecated.map(({ path }) => path)).toEqual([
      '/unit-cost/v1/telemetry/allocation/{stream}',
      '/unit-cost/v1/telemetry',
    ]);
  });
});

describe.each(Object.keys(CALLS))('%s', (operationId) => {
  test('returns what the document says when a generated client calls it', async () => {
    const { operation } = find(operationId);
    const sent = await (CALLS[operationId] as () => Promise<Sent>)();
    const answer = await call(operationId, sent);
    const [success = ''] = Object.keys(operation.responses).filter((status) => status.startsWith('2'));
    expect([answer.status, answer.data]).toEqual([Number(success), expect.anything()]);
    const { content, headers = {} } = operation.responses[success] ?? {};
    if (content) {
      expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
      expectValid(responseSchema(operationId, answer.status), answer.data);
    } else {
      expect(answer.data).toBe('');
    }
    // Headers of every response.
    if ('Deprecation' in headers) expect(answer.headers['deprecation']).toBeTruthy();
    if (operationId === 'listJobs') expect(answer.headers['link']).toContain('rel="next"');
    if (sent.body !== undefined) expectValid(requestSchema(operationId, 'application/json'), sent.body);
    for (const { name, in: where } of operation.parameters ?? []) {
      if (where === 'path') expect(sent.parameters).toHaveProperty([name]);
    }
  });

  test('returns errors in the format of the document', async () => {
    const { path, method, operation } = find(operationId);
    const route = `${method.toUpperCase()} ${path.replace(/\{\w+\}/, 'nothing')}`;
    const failures = [
      await ask(server, route, { key: null }),
      await ask(server, `${route}?limit=0&force=maybe`, { ...(operation.requestBody && { body: '{' }) }),
      ...(operation.requestBody
        ? [
            await ask(server, route, { body: '{"nothing": 1}' }),
            await ask(server, route, { body: Buffer.alloc(100_001, ' ') }),
            await ask(server, route, { body: '{}', headers: { 'content-encoding': 'zstd' } }),
          ]
        : []),
    ];
    for (const { status, body } of failures) {
      if (status === 200) continue;
      expect(Object.keys(operation.responses)).toContain(String(status));
      expectValid(responseSchema(operationId, status), body);
    }
    expect(failures[0]?.status).toBeGreaterThan(400);
  });
});

test('examples in the OpenAPI document > are valid and accepted', async () => {
  let taken = 0;
  for (const { path, method, operation } of operations()) {
    for (const [type, { example }] of Object.entries(operation.requestBody?.content ?? {})) {
      if (example === undefined) continue;
      expectValid(requestSchema(operation.operationId, type), example);
      const stream = randomUUID();
      // The records that the delete selects.
      const before = JSON.stringify(record({ filter: { 'tag:environment': ['prod'] } }));
      await send(server, 'JSON', [stream, 'sum'], [before]);
      const body = type === NDJSON['content-type'] ? linesOf([JSON.stringify(example)]) : JSON.stringify(example);
      const answer = await ask(server, `${method.toUpperCase()} ${path.replace('{stream}', stream)}`, {
        body,
        headers: { 'content-type': type },
      });
      expect(answer.status, answer.text).toBeLessThan(300);
      taken += 1;
    }
  }
  // Four writes in both formats, a delete of a stream, a job.
  expect(taken).toBeGreaterThanOrEqual(10);
});

test('list of records > can be sent back unchanged, and is valid by the OpenAPI document', async () => {
  const stream = await newStream();
  const records = await recordsOf(server, stream);
  const body = { records };
  expectValid(requestSchema('allocationReplace', 'application/json'), body);
  const answer = await call('allocationReplace', { parameters: { stream }, body });
  expect(answer).toMatchObject({ status: 200, data: { insertedRecords: 1, hiddenRecords: 1 } });
  expect(await recordsOf(server, stream)).toEqual(records);
});

describe('page at /docs', () => {
  const get = async (path: string) => {
    const response = await fetch(server.url + path);
    return { status: response.status, headers: response.headers, text: await response.text() };
  };

  test('is served by this server with all its files, without an API key', async () => {
    const page = await get('/docs');
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toContain('text/html');
    const named = [...page.text.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, url = '']) => url);
    const files = named.filter((url) => !url.startsWith('data:'));
    expect(files.length).toBeGreaterThanOrEqual(3);
    for (const file of files) {
      // Relative to the page, which may be below the prefix of a proxy.
      expect(file).toMatch(/^docs\/[^/]+$/);
      const { status, headers, text } = await get(`/${file}`);
      expect([file, status]).toEqual([file, 200]);
      expect(headers.get('content-type')).toMatch(file.endsWith('.css') ? /^text\/css/ : /^text\/javascript/);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(text.length).toBeGreaterThan(50);
      if (file.endsWith('.css')) {
        for (const [, url] of text.matchAll(/url\((['"]?[^)]*)\)/g)) expect(url).toMatch(/^['"]?data:/);
        expect(text).not.toMatch(/@import/);
      }
    }
    expect(page.text).not.toMatch(/https?:|\/\/[a-z]/i);
  });

  test('does not allow the browser to contact other hosts', async () => {
    const policy = (await get('/docs')).headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    const sources = policy.split(';').flatMap((directive) => directive.trim().split(' ').slice(1));
    expect(new Set(sources)).toEqual(new Set(["'none'", "'self'", "'unsafe-inline'", 'data:']));
    // Only scripts of the server.
    expect(policy).toContain("script-src 'self';");
  });

  test('shows the document of this server without sending it to a validator', async () => {
    const start = (await get('/docs/start.js')).text;
    expect(start).toContain("url: 'openapi.json'");
    expect(start).toContain('validatorUrl: null');
    expect(start).not.toMatch(/https?:/);
  });
});
