import { randomUUID } from 'node:crypto';
import {
  getNamedType,
  getNullableType,
  type GraphQLField,
  type GraphQLInputType,
  isEnumType,
  isInputObjectType,
  isListType,
  isUnionType,
} from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSchema } from '../../src/graphql/schema/schema.ts';
import { createLogLines } from '../support/log-lines.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const logged = createLogLines();
let server: TestServer;
let jobId = '';
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' }, resources: { log: logged.log } });
  await server.graphql(
    `mutation { allocationSum(input: { stream: "there", records: [{ timestamp: "2026-01-25T00:00:00Z", granularity: DAILY, elementName: "x", value: 1, filter: [{ dimension: "region", values: ["eu"] }] }] }) { __typename } }`,
  );
  const { createJob } = await server.graphql<{ createJob: { id: string } }>(
    `mutation { createJob(input: { jobName: "There", s3Url: "exports/there", format: CSV, aggregationBucket: DAY, range: "ago(1d)", cron: "0 2 * * *", enabled: false }) { ... on Job { id } } }`,
  );
  jobId = createJob.id;
});
afterAll(() => server.stop());

const TEXTS = [
  '',
  '\u0000',
  'a\u0000b',
  '\ud800',
  '\u202e\u0007',
  '%_\\',
  `'; DROP TABLE runs; --`,
  '💥'.repeat(300),
  'x'.repeat(3000),
  '9'.repeat(400),
  '1e999999999',
  '1e-999999999',
  'NaN',
  '-000001-01-01T00:00:00Z',
  '+275760-09-13T00:00:00Z',
  '9999-12-31T23:59:59.999999999+23:59',
  '2026-01-01T24:00:00Z',
  `ago(${'9'.repeat(30)}d)`,
  'ago(9007199254740993h)',
  '* * * * * *',
  '0 0 31 2 *',
  `${'9'.repeat(300)} * * * *`,
  `${'a'.repeat(300)}@example.com`,
];
const id = (text: string): string => Buffer.from(text).toString('base64url');
const NODE_TYPES = ['Stream', 'AllocationOperation', 'Job', 'Run', 'ApiKey'];
const INNER_IDS = ['', '\u0000', '-1', '9'.repeat(18), '9'.repeat(40), '1e3', randomUUID(), `${randomUUID()}'`, '{}'];
const IDS = [...TEXTS, ...NODE_TYPES.flatMap((type) => INNER_IDS.map((inner) => id(`${type}:${inner}`)))];
const cursor = (...key: unknown[]): string => id(JSON.stringify(key));
const CURSORS = [
  ...TEXTS,
  cursor(),
  cursor(null),
  cursor('\u0000'),
  cursor('\ud800'),
  cursor('9'.repeat(18)),
  cursor('9'.repeat(40)),
  cursor('-1'),
  cursor('x', 'y'),
  ...[
    '2026-01-01T00:00:00Z',
    '2026',
    '1',
    'Thu, 01 Jan 1970 00:00:00 GMT (x)',
    '+275760-09-13T00:00:00.000Z',
    '-000001-01-01T00:00:00Z',
    '2026-01-01',
    '12/13/2026',
    '2026-01-01T00:00:00Z\u0000',
  ].flatMap((at) => [
    cursor(at),
    cursor(at, randomUUID()),
    cursor(at, 'x'),
    cursor(at, '1', 'element'),
    cursor(at, '1', '\u0000'),
    cursor(at, '9'.repeat(40), ''),
  ]),
];
const NUMBERS = [0, -1, 1, 100, 101, 2_147_483_647, -2_147_483_648, 2 ** 31, 2 ** 53, -(2 ** 53), 1e308, 0.5, 1e-320];

const valuesOf = (name: string, type: string): readonly unknown[] => {
  if (name === 'after' || name === 'before') return CURSORS;
  if (type === 'ID') return IDS;
  if (type === 'Int' || type === 'SafeInt') return NUMBERS;
  return type === 'Decimal' ? [...TEXTS, ...NUMBERS] : TEXTS;
};

/** Something that is right, by the name of the field or else of its type. */
const RIGHT: Readonly<Record<string, unknown>> = {
  stream: 'there',
  timestamp: '2026-01-25T00:00:00Z',
  granularity: 'DAILY',
  through: '2026-01-25T00:00:00Z',
  from: '2026-01-01T00:00:00Z',
  to: '2026-02-01T00:00:00Z',
  aggregationBucket: 'DAY',
  dimension: 'region',
  s3Url: 'exports/fuzz',
  // The job has warnings, such as that about its email without SMTP_URL.
  strict: false,
  bucketOwner: '111122223333',
  region: 'eu-central-1',
  // The KMS key requires it.
  encryption: 'KMS',
  range: 'ago(1d)',
  endTimeOffset: 'ago(1h)',
  restateAfter: 'ago(1h)',
  restateWithin: 'ago(35d)',
  completeWithin: 'ago(6h)',
  scheduledFor: '2026-01-25T00:00:00Z',
  timeZone: 'UTC',
  email: 'a@example.com',
  enabled: false,
};
/** Placeholder for the id of a job, which is known later. */
const JOB_ID = 'the id of a job';
/** Arguments that exclude others. */
const LEFT_OUT = new Set([
  'TestDestinationInput.jobId',
  'last',
  'before',
  'scheduledTimeInSeconds',
  'first',
  'after',
  'idempotencyKey',
  'version',
  'scope',
  'asOf',
  'CorrectionPreviewInput.replace',
  'CorrectionPreviewInput.delete',
  'CorrectionPreviewInput.revertOperation',
]);

interface Leaf {
  readonly path: readonly (string | number)[];
  readonly type: string;
}

/** A right value of the type, and where its leaves are. */
const build = (type: GraphQLInputType, name: string, path: Leaf['path'], leaves: Leaf[]): unknown => {
  const nullable = getNullableType(type);
  if (isListType(nullable)) return [build(nullable.ofType, name, [...path, 0], leaves)];
  if (isInputObjectType(nullable)) {
    return Object.fromEntries(
      Object.values(nullable.getFields()).flatMap((field) => {
        const value = build(field.type, field.name, [...path, field.name], leaves);
        return LEFT_OUT.has(field.name) || LEFT_OUT.has(`${nullable.name}.${field.name}`) ? [] : [[field.name, value]];
      }),
    );
  }
  if (isEnumType(nullable)) return RIGHT[name] ?? nullable.getValues()[0]?.name;
  const scalar = getNamedType(nullable).name;
  if (scalar === 'Boolean') return RIGHT[name] ?? true;
  leaves.push({ path, type: scalar });
  if (name in RIGHT) return RIGHT[name];
  if (scalar === 'ID') return JOB_ID;
  if (scalar === 'CronExpression') return '0 2 * * *';
  return scalar === 'Int' || scalar === 'SafeInt' ? 1 : scalar === 'Decimal' ? '1' : 'region';
};

const replaced = (value: unknown, [step, ...rest]: Leaf['path'], by: unknown): unknown => {
  if (step === undefined) return by;
  if (Array.isArray(value)) return value.map((item, index) => (index === step ? replaced(item, rest, by) : item));
  const object = (value ?? {}) as Record<string, unknown>;
  return { ...object, [step]: replaced(object[step], rest, by) };
};

/** Selections that make the server resolve everything behind the field. */
const selectionOf = (field: GraphQLField<unknown, unknown>): string => {
  const type = getNamedType(field.type);
  if (isUnionType(type)) return '{ __typename ... on UserError { code message } }';
  if (type.name.endsWith('Connection'))
    return 'totalCount' in (type as unknown as { getFields(): object }).getFields()
      ? '{ totalCount edges { cursor } }'
      : '{ edges { cursor } }';
  return 'getFields' in type ? '{ __typename }' : '';
};

interface Call {
  readonly name: string;
  readonly leaf: Leaf;
  readonly document: string;
  readonly variables: Readonly<Record<string, unknown>>;
}

const schema = createSchema();
const calls: Call[] = [schema.getQueryType(), schema.getMutationType()].flatMap((root) =>
  Object.values(root?.getFields() ?? {}).flatMap((field) => {
    const leaves: Leaf[] = [];
    const all = Object.fromEntries(field.args.map((arg) => [arg.name, build(arg.type, arg.name, [arg.name], leaves)]));
    return leaves.map((leaf) => {
      const top = String(leaf.path[0]);
      // Pages in one direction; a leaf that was left out comes in alone.
      const used = field.args.filter(({ name }) => !LEFT_OUT.has(name) || name === top);
      const declared = used.map(({ name, type }) => `$${name}: ${String(type)}`).join(', ');
      const passed = used.map(({ name }) => `${name}: $${name}`).join(', ');
      return {
        name: `${root?.name}.${field.name}(${leaf.path.join('.')})`,
        leaf,
        document: `${root?.name.toLowerCase()} (${declared}) { it: ${field.name}(${passed}) ${selectionOf(field)} }`,
        variables: Object.fromEntries(used.map(({ name }) => [name, all[name]])),
      };
    });
  }),
);

const BELOW = [
  [
    'stream.records',
    'query ($x: String) { stream(name: "there") { records(after: $x) { edges { cursor } } } }',
    CURSORS,
  ],
  [
    'stream.records.from',
    'query ($x: DateTime) { stream(name: "there") { records(from: $x) { edges { cursor } } } }',
    TEXTS,
  ],
  [
    'stream.records.to',
    'query ($x: DateTime) { stream(name: "there") { records(to: $x) { edges { cursor } } } }',
    TEXTS,
  ],
  [
    'stream.records.elementName',
    'query ($x: String) { stream(name: "there") { records(elementName: $x) { edges { cursor } } } }',
    TEXTS,
  ],
  [
    'stream.operations',
    'query ($x: String) { stream(name: "there") { operations(after: $x) { edges { cursor } } } }',
    CURSORS,
  ],
  ['job.runs', 'query ($x: String) { jobs { edges { node { runs(after: $x) { edges { cursor } } } } } }', CURSORS],
  ['job.nextRuns', 'query ($x: Int!) { jobs { edges { node { nextRuns(first: $x) } } } }', NUMBERS],
] as const;

const withJob = (variables: object): Record<string, unknown> =>
  JSON.parse(JSON.stringify(variables).replaceAll(JOB_ID, jobId)) as Record<string, unknown>;

/** Sends a value. Returns a description of the response unless it is an expected one. */
const sent = async (document: string, variables: object, value: unknown): Promise<string[]> => {
  const { status, errors = [] } = await server.request(document, withJob(variables));
  const codes = errors.map(({ extensions }) => String(extensions?.['code']));
  const isExpected = status < 500 && codes.every((code) => code === 'BAD_USER_INPUT');
  return isExpected ? [] : [`${JSON.stringify(value)?.slice(0, 80)}: ${status} ${codes.join()}`];
};

describe('arguments of GraphQL', () => {
  test('are all covered by this test', () => {
    expect(calls.length).toBeGreaterThan(80);
  });

  test('return data or a typed error when all of them are valid', async () => {
    const refused: string[] = [];
    for (const { name, document, variables } of calls) {
      const { data } = await server.request<{ it: { __typename?: string } | null }>(document, withJob(variables));
      if (data?.it?.__typename === 'ValidationError') refused.push(name);
    }
    expect(refused).toEqual([]);
  });

  test.each(calls.map((call) => [call.name, call] as const))(
    '%s returns data, a typed error or BAD_USER_INPUT for any value',
    async (_name, { document, variables, leaf }) => {
      const values = valuesOf(String(leaf.path.findLast((step) => typeof step === 'string')), leaf.type);
      const unexpected: string[] = [];
      for (let at = 0; at < values.length; at += 8) {
        const batch = values.slice(at, at + 8);
        const results = await Promise.all(
          batch.map((value) => sent(document, replaced(variables, leaf.path, value) as object, value)),
        );
        unexpected.push(...results.flat());
      }
      expect(unexpected).toEqual([]);
    },
  );

  test.each(BELOW)(
    '%s returns data, a typed error or BAD_USER_INPUT for any value below it',
    async (_name, document, values) => {
      const results = await Promise.all(values.map((value) => sent(document, { x: value }, value)));
      expect(results.flat()).toEqual([]);
    },
  );

  test('log no unexpected error', () => {
    expect(logged.lines().filter(({ level }) => level >= 50)).toEqual([]);
  });
});
