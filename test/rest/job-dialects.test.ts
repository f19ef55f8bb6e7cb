import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endedRun } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { ask, issuesOf, type RestAnswer, type RestFailure, type RestRecord, send } from './requests.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

interface Job extends Readonly<Record<string, unknown>> {
  readonly id: string;
  readonly jobName: string;
  readonly version: number;
  readonly createTime: number;
  readonly updateTime: number;
}

interface Run extends Readonly<Record<string, unknown>> {
  readonly id: string;
  readonly jobId: string;
  readonly status: string;
}

let jobs = 0;
/** Settings of a job that only runJob starts. */
const settings = (changes: Readonly<Record<string, unknown>> = {}): Record<string, unknown> => {
  jobs += 1;
  return {
    jobName: `job ${jobs}`,
    s3Url: `exports/job-${jobs}`,
    format: 'csv',
    aggregationBucket: 'day',
    range: 'ago(7d)',
    enabled: false,
    ...changes,
  };
};

const DEFAULTS = {
  description: null,
  enabled: true,
  email: null,
  compression: 'none',
  timeZone: 'UTC',
  bucketOwner: null,
  region: null,
  encryption: null,
  kmsKeyId: null,
  csvDialect: 'standard',
  csvDelimiter: 'comma',
  endTimeOffset: null,
  cron: null,
  scheduledTimeInSeconds: null,
  meterApiNames: null,
  groupBy: null,
  filter: null,
  sparse: true,
  minimizeFresh: true,
  rescaleFunction: null,
  restatement: 'automatic',
  restateAfter: 'ago(1h)',
  restateWithin: 'ago(35d)',
  completeWithin: null,
};

const EVERY_FIELD = {
  description: 'Everything there is',
  enabled: false,
  email: 'billing@example.com',
  compression: 'gzip',
  timeZone: 'Europe/Berlin',
  bucketOwner: '111122223333',
  region: 'eu-central-1',
  encryption: 'kms',
  kmsKeyId: 'alias/exports',
  csvDialect: 'excel',
  csvDelimiter: 'semicolon',
  endTimeOffset: 'ago(1h)',
  cron: '0 2 * * *',
  meterApiNames: ['api-calls', 'storage'],
  groupBy: ['customer_id', 'element'],
  filter: { region: ['us-east-1', 'eu-west-1'], element: ['hooli'] },
  sparse: false,
  minimizeFresh: false,
  rescaleFunction: { function: 'multiply', coefficient: 0.001 },
  restatement: 'none',
  restateAfter: 'ago(2h)',
  restateWithin: 'ago(100d)',
  completeWithin: 'ago(6h)',
};

const create = async (changes: Readonly<Record<string, unknown>> = {}): Promise<Job> => {
  const { status, text, body } = await ask<Job>(server, 'POST /jobs', { body: settings(changes) });
  if (status !== 201) throw new Error(text);
  return body;
};

const read = async (id: string): Promise<Job> => (await ask<Job>(server, `GET /jobs/${id}`)).body;

/** The settings of a job. */
const KEPT = [
  'region',
  'encryption',
  'kmsKeyId',
  'csvDialect',
  'csvDelimiter',
  'restatement',
  'restateAfter',
  'restateWithin',
  'completeWithin',
] as const;

const settingsOf = (job: Job): Record<string, unknown> => {
  const { id: _, version: _v, createTime: _c, updateTime: _u, schedulerContext: _s, warnings: _w, ...rest } = job;
  return rest;
};

test('job > has defaults for absent and null fields', async () => {
  const sent = settings();
  const { enabled: _, ...required } = sent;
  // No schedule, and enabled is false; otherwise the job would run immediately.
  const answer = await ask<Job>(server, 'POST /jobs/check', { body: required });
  expect(answer).toMatchObject({ status: 200, body: { job: { ...required, ...DEFAULTS } } });
  const nulls = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, null]));
  expect(await ask(server, 'POST /jobs/check', { body: { ...required, ...nulls } })).toMatchObject({
    status: 200,
    body: { job: { ...required, ...DEFAULTS } },
  });
});

test('job > returns every field as sent, and the same in GraphQL', async () => {
  const job = await create(EVERY_FIELD);
  expect(job).toMatchObject(EVERY_FIELD);
  expect(job).toMatchObject({ version: 1, schedulerContext: { nextRunTimesInSeconds: [] } });
  const { node } = await server.graphql<{ node: object }>(
    `query ($id: ID!) { node(id: $id) { ... on Job { id version jobName format compression aggregationBucket
       filter { dimension values } rescaleFunction { function coefficient } createdAt } } }`,
    { id: job.id },
  );
  expect(node).toEqual({
    id: job.id,
    version: 1,
    jobName: job.jobName,
    format: 'CSV',
    compression: 'GZIP',
    aggregationBucket: 'DAY',
    filter: [
      { dimension: 'region', values: ['us-east-1', 'eu-west-1'] },
      { dimension: 'element', values: ['hooli'] },
    ],
    rescaleFunction: { function: 'MULTIPLY', coefficient: '0.001' },
    // Without a fraction if it is zero.
    createdAt: new Date(job.createTime).toISOString().replace('.000Z', 'Z'),
  });
});

test.each([
  [{ format: 'CSV', aggregationBucket: 'HOUR', compression: 'NONE' }],
  [{ format: 'Json', aggregationBucket: 'Week', compression: 'GZip' }],
  [{ format: 'ndjson', aggregationBucket: 'month', compression: 'none' }],
])('enum values of a job > may be in any case: %j', async (words) => {
  const rescaleFunction = { function: 'Multiply', coefficient: 2 };
  const job = await create({ ...words, range: 'ago(90d)', rescaleFunction });
  expect(job).toMatchObject({
    ...Object.fromEntries(Object.entries(words).map(([name, word]) => [name, word.toLowerCase()])),
    rescaleFunction: { function: 'multiply', coefficient: 2 },
  });
});

const coefficients: [sent: string, answered: string][] = [
  ['0.001', '0.001'],
  ['0.1', '0.1'],
  ['-2.50', '-2.5'],
  ['"0.001"', '0.001'],
  ['1e3', '1000'],
  ['12345678901234567890.123456789012', '12345678901234567890.123456789012'],
  ['"12345678901234567890.123456789012"', '12345678901234567890.123456789012'],
  ['0.30000000000000004', '0.30000000000000004'],
];

test.each(coefficients)('coefficient %s > keeps its digits', async (sent, answered) => {
  const body = JSON.stringify(settings({ rescaleFunction: null })).replace(
    '"rescaleFunction":null',
    `"rescaleFunction":{"function":"multiply","coefficient":${sent}}`,
  );
  const answer = await ask<Job>(server, 'POST /jobs', { body });
  const shown = `"rescaleFunction":{"function":"multiply","coefficient":${answered}}`;
  expect(answer.status === 201 ? answer.text : issuesOf(answer)).toContain(shown);
  // Sent back unchanged, it is the same.
  const path = `/jobs/${answer.body.id}`;
  const again = await ask(server, `PUT ${path}`, { body: (await ask(server, `GET ${path}`)).text });
  expect(again.text).toContain(shown);
});

test('filter of a job > accepts a single value without a list, as in a record', async () => {
  const job = await create({ filter: { region: 'eu' } });
  expect(job.filter).toEqual({ region: ['eu'] });
});

describe('PUT', () => {
  test.each([
    ['with the id in the path', (id: string) => `PUT /jobs/${id}`, () => ({})],
    ['with the id in the body', () => 'PUT /jobs', (id: string) => ({ id })],
  ])('%s > replaces all settings, with defaults for absent fields that Amberflo knows', async (_, routeOf, idIn) => {
    const job = await create(EVERY_FIELD);
    // First without the schedule, then enabled by default. With both absent, the job would run immediately.
    const { enabled: _enabled, ...enabled } = settings({ cron: '5 5 * * *' });
    for (const [version, sent] of [
      [2, settings()],
      [3, enabled],
    ] as const) {
      const answer = await ask<Job>(server, routeOf(job.id), { body: { ...sent, ...idIn(job.id) } });
      expect(answer.status).toBe(200);
      const kept = Object.fromEntries(KEPT.map((field) => [field, EVERY_FIELD[field]]));
      expect(settingsOf(answer.body)).toEqual({ ...DEFAULTS, ...kept, ...sent });
      expect(answer.body).toMatchObject({ id: job.id, version, createTime: job.createTime });
      expect(answer.body.updateTime).toBeGreaterThanOrEqual(job.updateTime);
      expect(await read(job.id)).toEqual(answer.body);
    }
  });

  test('accepts a response with one changed field', async () => {
    const job = await create(EVERY_FIELD);
    const edited = { ...job, description: 'edited' };
    const first = await ask<Job>(server, `PUT /jobs/${job.id}`, { body: edited });
    expect(first).toMatchObject({ status: 200, body: { ...settingsOf(job), description: 'edited', version: 2 } });
    const second = await ask<Job>(server, 'PUT /jobs', { body: { ...first.body, description: 'twice' } });
    expect(second).toMatchObject({ status: 200, body: { description: 'twice', version: 3 } });
  });

  test('keeps the fields that other scripts do not know if they are absent, and clears them if they are null', async () => {
    const later = {
      region: 'eu-central-1',
      encryption: 'kms',
      kmsKeyId: 'alias/exports',
      csvDialect: 'excel',
      csvDelimiter: 'semicolon',
      restatement: 'none',
      restateAfter: 'ago(2h)',
      restateWithin: 'ago(100d)',
      completeWithin: 'ago(6h)',
    };
    const sent = settings(later);
    const job = await create(sent);
    const known = Object.fromEntries(Object.entries(sent).filter(([field]) => !(field in later)));
    const kept = await ask<Job>(server, `PUT /jobs/${job.id}`, { body: { ...known, description: 'edited' } });
    expect(kept).toMatchObject({ status: 200, body: { ...later, description: 'edited' } });
    const nulls = Object.fromEntries(KEPT.map((field) => [field, null]));
    const cleared = await ask<Job>(server, `PUT /jobs/${job.id}`, { body: { ...known, ...nulls } });
    const defaults = Object.fromEntries(KEPT.map((field) => [field, DEFAULTS[field]]));
    expect(cleared).toMatchObject({ status: 200, body: defaults });
  });

  test('ignores read-only fields', async () => {
    const job = await create();
    const { id: _, ...body } = { ...job, createTime: 1, updateTime: 'x', schedulerContext: null };
    const answer = await ask<Job>(server, `PUT /jobs/${job.id}`, { body: { ...body, id: 'another' } });
    expect(answer).toMatchObject({ status: 200, body: { id: job.id, createTime: job.createTime } });
  });

  test('with a stale version > is a conflict and changes nothing', async () => {
    const job = await create();
    const edit = await ask<Job>(server, `PUT /jobs/${job.id}`, { body: { ...job, description: 'first' } });
    for (const route of [`PUT /jobs/${job.id}`, 'PUT /jobs']) {
      const answer = await ask(server, route, { body: { ...job, description: 'second' } });
      expect(answer).toMatchObject({ status: 409, body: { error: { code: 'CONFLICT', issues: [] } } });
    }
    expect(await read(job.id)).toEqual(edit.body);
    // Without a version the last write wins.
    const { version: _, ...unguarded } = job;
    expect(await ask(server, 'PUT /jobs', { body: unguarded })).toMatchObject({ status: 200, body: { version: 3 } });
  });

  test('with the name or destination of another job > is a conflict', async () => {
    const [one, other] = [await create(), await create()];
    const name = await ask(server, `PUT /jobs/${one.id}`, { body: { ...one, jobName: other.jobName } });
    expect(name).toMatchObject({ status: 409, body: { error: { code: 'CONFLICT' } } });
    const again = await ask(server, 'POST /jobs', { body: settings({ jobName: other.jobName }) });
    expect(again).toMatchObject({ status: 409, body: { error: { code: 'CONFLICT' } } });
    expect(await read(one.id)).toEqual(one);
  });

  test('without an id in path or body > is rejected', async () => {
    const answer = await ask(server, 'PUT /jobs', { body: settings() });
    expect([answer.status, issuesOf(answer)]).toEqual([400, ['id: REQUIRED']]);
  });
});

describe('unknown field', () => {
  const routes: [what: string, ask: (body: object) => Promise<RestAnswer<RestFailure>>][] = [
    ['POST /jobs', (body) => ask(server, 'POST /jobs', { body })],
    ['POST /jobs/check', (body) => ask(server, 'POST /jobs/check', { body })],
    ['PUT /jobs/{id}', async (body) => ask(server, `PUT /jobs/${(await create()).id}`, { body })],
    ['PUT /jobs', async (body) => ask(server, 'PUT /jobs', { body: { ...body, id: (await create()).id } })],
  ];

  test.each(routes)('is rejected by name in %s', async (_, send) => {
    const unknown = { filters: {}, rangee: 'ago(1d)', JobName: 'x', toString: 1 };
    const answer = await send({ ...settings(), ...unknown, rescaleFunction: { function: 'multiply', factor: 2 } });
    expect(answer.status).toBe(400);
    expect(issuesOf(answer).toSorted()).toEqual(
      [
        ...Object.keys(unknown).map((name) => `${name}: UNKNOWN_FIELD`),
        'rescaleFunction/factor: UNKNOWN_FIELD',
        'rescaleFunction/coefficient: REQUIRED',
      ].toSorted(),
    );
    expect(answer.body.error.issues.find(({ path }) => path[0] === 'filters')?.message).toBe(
      'The field "filters" does not exist. Did you mean "filter"?',
    );
  });

  test.each(['id', 'version', 'createTime', 'updateTime', 'schedulerContext'])(
    'is rejected if it is %s in the creation of a job',
    async (name) => {
      const answer = await ask(server, 'POST /jobs', { body: settings({ [name]: 1 }) });
      expect([answer.status, issuesOf(answer)]).toEqual([400, [`${name}: UNKNOWN_FIELD`]]);
    },
  );
});

describe('check', () => {
  interface Check {
    readonly job: Readonly<Record<string, unknown>>;
    readonly query: Readonly<Record<string, unknown>>;
    readonly objectKeys: readonly string[];
    readonly sample: readonly string[];
    readonly warnings: readonly string[];
  }

  test('returns job, query, object keys, sample and warnings, and stores nothing', async () => {
    const day = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
    const record = `{"timestamp":"${day}","granularity":"DAILY","filter":{"region":["eu"]},"element-name":"hooli","value":7}`;
    await send(server, 'JSON', ['checked', 'sum'], [record]);
    const body = settings({
      meterApiNames: ['checked', 'missing'],
      groupBy: ['region'],
      filter: { region: ['eu'] },
      cron: '0 2 * * *',
      enabled: true,
    });
    const answer = await ask<Check>(server, 'POST /jobs/check', { body });
    expect(answer.status).toBe(200);
    const { job, query, objectKeys, sample, warnings } = answer.body;
    expect(job).toEqual({
      ...DEFAULTS,
      ...body,
      schedulerContext: { nextRunTimesInSeconds: expect.arrayContaining([expect.any(Number)]) },
    });
    expect(query).toMatchObject({ aggregationBucket: 'day', meterApiNames: ['checked'], filter: { region: ['eu'] } });
    expect(query['sql']).toMatch(/^\s*(?:SELECT|WITH)\b/i);
    expect(query['windowEnd']).toMatch(/^\d{4}-\d\d-\d\dT00:00:00Z$/);
    expect(objectKeys).toEqual([
      expect.stringMatching(/_\d{8}T000000Z\.csv$/),
      expect.stringMatching(/\.manifest\.json$/),
    ]);
    expect(sample.join()).toContain(`checked,${day}T00:00:00Z`);
    expect(warnings.join()).toContain('missing');
    // The name and the destination are still free.
    expect(await ask(server, 'POST /jobs', { body })).toMatchObject({ status: 201 });
    expect(await ask(server, 'POST /jobs/check', { body })).toMatchObject({ status: 409 });
  });

  test('with an id > checks a PUT of that job, and accepts a response unchanged', async () => {
    const job = await create(EVERY_FIELD);
    expect(await ask(server, 'POST /jobs/check', { body: job })).toMatchObject({
      status: 200,
      body: { job: settingsOf(job) },
    });
    const { id: _, ...withoutId } = job;
    expect(await ask(server, 'POST /jobs/check', { body: withoutId })).toMatchObject({ status: 409 });
    expect(await ask(server, 'POST /jobs/check', { body: { ...job, id: 'nothing' } })).toMatchObject({ status: 404 });
    expect(await read(job.id)).toEqual(job);
  });
});

describe('lists', () => {
  /** Reads all pages by their Link headers. */
  const follow = async <Row>(path: string): Promise<Row[][]> => {
    const pages: Row[][] = [];
    for (let next: string | null = path; next !== null;) {
      const answer: RestAnswer<Row[]> = await ask<Row[]>(server, `GET ${next}`);
      if (answer.status !== 200) throw new Error(answer.text);
      pages.push(answer.body);
      const link: string | undefined = /^<([^>]*)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
      const { pathname, search } = new URL(link ?? '', server.url + next);
      next = link === undefined ? null : pathname + search;
    }
    return pages;
  };

  test('of more than 100 jobs continue with a Link with rel="next"', async () => {
    const made: string[] = [];
    for (let index = 0; index < 205; index += 1) made.push((await create()).id);
    const pages = await follow<Job>('/jobs');
    expect(pages.slice(0, -1).map((page) => page.length)).toEqual(pages.slice(0, -1).map(() => 100));
    const ids = pages.flat().map((job) => job.id);
    // Newest first, each once; other tests created some before.
    expect(ids.slice(0, made.length)).toEqual(made.toReversed());
    expect(new Set(ids).size).toBe(ids.length);
    const small = await follow<Job>('/jobs?limit=70');
    expect(small.flat().map((job) => job.id)).toEqual(ids);
    expect(small[0]).toHaveLength(70);
    // The same ids as in GraphQL.
    const { jobs: inGraphQL } = await server.graphql<{ jobs: { edges: { node: { id: string } }[] } }>(
      '{ jobs(first: 100) { edges { node { id } } } }',
    );
    expect(inGraphQL.edges.map(({ node }) => node.id)).toEqual(ids.slice(0, 100));
  });

  test('of the runs of a job continue in the same way', async () => {
    const job = await create();
    const other = await create();
    await ask(server, `POST /jobs/${other.id}/run`);
    // Sequentially, over one connection.
    const mutations = Array.from(
      { length: 103 },
      (_, index) => `r${index}: runJob(input: { jobId: "${job.id}" }) { ... on Run { id } }`,
    );
    const runs = await server.graphql<Record<string, { id: string }>>(`mutation { ${mutations.join(' ')} }`);
    const made = Object.values(runs).map(({ id }) => id);
    const pages = await follow<Run>(`/jobs/${job.id}/runs`);
    expect(pages.map((page) => page.length)).toEqual([100, 3]);
    expect(pages.flat().map((run) => run.id)).toEqual(made.toReversed());
    for (const run of pages.flat()) expect(run.jobId).toBe(job.id);
    expect((await follow<Run>(`/jobs/${job.id}/runs?limit=50`)).map((page) => page.length)).toEqual([50, 50, 3]);
  });

  test.each(['limit=0', 'limit=101', 'limit=x', 'limit='])('with %s are rejected', async (query) => {
    const answer = await ask(server, `GET /jobs?${query}`);
    expect([answer.status, issuesOf(answer)]).toEqual([400, ['limit: BAD_VALUE']]);
  });

  test.each(['x', 'W10', ''])('after the invalid cursor "%s" are rejected', async (after) => {
    expect(await ask(server, `GET /jobs?after=${after}`)).toMatchObject({
      status: 400,
      body: { error: { code: 'BAD_USER_INPUT', issues: [] } },
    });
  });
});

describe('runs', () => {
  test('are returned immediately by POST, and can be read by id', async () => {
    const line = `{"timestamp":"2026-01-25","granularity":"DAILY","element-name":"hooli","value":12345678901234567890.5}`;
    await send<RestRecord>(server, 'JSON', ['run', 'sum'], [line]);
    const job = await create({ meterApiNames: ['run'], range: 'ago(1d)' });
    const made = await ask<Run>(server, `POST /jobs/${job.id}/run`, {
      body: { scheduledFor: '2026-01-26T00:00:00Z' },
    });
    expect(made).toMatchObject({
      status: 200,
      body: {
        jobId: job.id,
        jobName: job.jobName,
        trigger: 'manual',
        status: 'queued',
        scheduledFor: '2026-01-26T00:00:00Z',
        windowStart: '2026-01-25T00:00:00Z',
        windowEnd: '2026-01-26T00:00:00Z',
        attempt: 0,
        objects: [],
        manifestKey: null,
        error: null,
      },
    });
    const ended = await endedRun(server, made.body.id);
    const answer = await ask<Run>(server, `GET /runs/${made.body.id}`);
    expect(answer).toMatchObject({
      status: 200,
      body: {
        id: ended.id,
        status: 'succeeded',
        attempt: 1,
        rowsWritten: 1,
        objects: ended.objects,
        manifestKey: ended.manifestKey,
      },
    });
    expect(ended.objects).toHaveLength(1);
    expect((await ask<Run[]>(server, `GET /jobs/${job.id}/runs`)).body).toEqual([answer.body]);
  });

  test.each([
    ['no body', undefined],
    ['{}', '{}'],
    ['null', '{"scheduledFor": null}'],
  ])('with %s > are for now', async (_, body) => {
    const job = await create();
    const before = Math.floor(Date.now() / 1000) * 1000;
    const { status, body: run } = await ask<Run>(server, `POST /jobs/${job.id}/run`, {
      ...(body !== undefined && { body }),
    });
    expect(status).toBe(200);
    expect(Date.parse(String(run['scheduledFor']))).toBeGreaterThanOrEqual(before);
    expect(Date.parse(String(run['scheduledFor']))).toBeLessThanOrEqual(Date.now());
  });

  test.each([
    ['{"scheduledFor": "tomorrow"}', 'scheduledFor: BAD_TIMESTAMP'],
    ['{"scheduledFor": 7}', 'scheduledFor: BAD_TYPE'],
    ['{"scheduledfor": "2026-01-26T00:00:00Z"}', 'scheduledfor: UNKNOWN_FIELD'],
    ['[]', ': BAD_TYPE'],
  ])('with %s > are rejected', async (body, issue) => {
    const answer = await ask(server, `POST /jobs/${(await create()).id}/run`, { body });
    expect([answer.status, issuesOf(answer)]).toEqual([400, [issue]]);
  });

  test('start once for an enabled job without a schedule, and not again by a PUT', async () => {
    const job = await create({ enabled: true });
    const runsOf = async () => (await ask<Run[]>(server, `GET /jobs/${job.id}/runs`)).body;
    expect(await runsOf()).toMatchObject([{ trigger: 'immediate' }]);
    await ask(server, `PUT /jobs/${job.id}`, { body: job });
    expect(await runsOf()).toHaveLength(1);
  });
});

test('deleted job > is not found, and its runs remain', async () => {
  const job = await create();
  const { body: run } = await ask<Run>(server, `POST /jobs/${job.id}/run`);
  await endedRun(server, run.id);
  const answer = await ask(server, `DELETE /jobs/${job.id}`);
  expect([answer.status, answer.text, answer.headers.get('content-type')]).toEqual([204, '', null]);
  for (const route of ['GET', 'DELETE'].map((method) => `${method} /jobs/${job.id}`)) {
    expect(await ask(server, route)).toMatchObject({ status: 404, body: { error: { code: 'NOT_FOUND' } } });
  }
  expect(await ask(server, `GET /runs/${run.id}`)).toMatchObject({ status: 200, body: { jobId: job.id } });
});

test('update of a job whose one-off time has passed > reports only the problems of the update', async () => {
  const seconds = Math.floor(Date.now() / 1000) + 10;
  const job = await create({ scheduledTimeInSeconds: seconds });
  await expect.poll(() => Date.now() / 1000, { timeout: 30_000 }).toBeGreaterThan(seconds + 0.1);
  const bad = await ask(server, `PUT /jobs/${job.id}`, { body: { ...job, format: 'xml' } });
  expect([bad.status, issuesOf(bad)]).toEqual([400, ['format: BAD_VALUE']]);
  expect(await ask(server, `PUT /jobs/${job.id}`, { body: job })).toMatchObject({ status: 200 });
});
