import fc from 'fast-check';
import { TEXTS, TIMESTAMPS, VALUES } from '../streams/spellings.ts';
import { type Json, RawJson } from './mutate.ts';
import type { Random } from './random.ts';

// Values for arguments, fields and parameters: valid ones by name, and hostile ones.

const cursor = (key: unknown): string => Buffer.from(JSON.stringify(key)).toString('base64url');
const id = (text: string): string => Buffer.from(text).toString('base64url');
const UUID = '018f4e3c-7b1a-7000-8000-000000000001';

const STREAMS = [
  'usage.v1',
  'api-calls',
  'storage',
  'x'.repeat(256),
  'x'.repeat(257),
  '..',
  '.',
  'a/b',
  'a b',
  '',
  '%2e%2e',
];
const DIMENSIONS = ['region', 'tag:environment', 'custom:feature', 'element', 'element_name', 'value', '__proto__', ''];
const CURSORS = [
  cursor(['2026-01-25T00:00:00.000Z', UUID]),
  cursor(['usage.v1']),
  cursor(['2026-01-25T00:00:00.000Z', '1', 'hooli']),
  cursor(['2026-01-25T00:00:00.000Z', 'x', '']),
  cursor(['1']),
  cursor(['9'.repeat(30)]),
  cursor(['\u0000', '\u0000']),
  cursor(['-infinity', UUID]),
  cursor(['+275760-09-13T00:00:00.000Z', UUID]),
  cursor(['2026-01-25T00:00:00.000Z', '1', '\u0000']),
  cursor(['2026-01-25T00:00:00.000Z', '-1', '1', 'x']),
  cursor([]),
  cursor(null),
  '',
  'x',
];
const IDS = [
  ...['Job', 'Run', 'ApiKey'].flatMap((type) => [id(`${type}:${UUID}`), id(`${type}:x`), id(`${type}:`)]),
  ...['Stream', 'AllocationOperation'].flatMap((type) =>
    ['1', '2', '999999999999999999', '9'.repeat(40), '-1', '1e3', '\u0000', ''].map((inner) => id(`${type}:${inner}`)),
  ),
  id('Nothing:1'),
  UUID,
  '',
];
const S3_URLS = [
  ...'exports exports/here s3://my.bucket/a/b/ arn:aws:s3:::x s3://a..b exports/../x exports//x x--x-s3'.split(' '),
  'http://169.254.169.254/',
  'exports/\u0000',
  'exports/\r\nx',
  `exports/${'x'.repeat(1100)}`,
  '',
];
const CRONS = [
  '0 2 * * *',
  '*/5 * * * *',
  '0 0 31 2 *',
  '@daily',
  '60 * * * *',
  '* * * * * *',
  '0 0 L * ?',
  '0-59/0 * * * *',
  '',
];
const DURATIONS = [
  'ago(7d)',
  'ago(1h)',
  'ago(90m)',
  'previous(month)',
  'toDate(year)',
  'previous(year)',
  'ago(0d)',
  'ago(99999999999999999999d)',
  'ago(400000d)',
  'ago(-1d)',
  'ago()',
  '',
];
const ZONES = [
  'UTC',
  'Europe/Berlin',
  'Asia/Kathmandu',
  'Pacific/Apia',
  '+05:30',
  'PST',
  'europe/berlin',
  'US/Eastern',
  'Etc/GMT+5',
  'Mars/Base',
  '',
];
const MOMENTS = [
  ...TIMESTAMPS.map(([text]) => text),
  '2026-01-01T00:00:00Z',
  '2026-02-01T00:00:00Z',
  '2026-01-25 00:00:00',
  '2026-01-25 00:00:00.123456 +0100 CET',
  '2026-01-25T00:00+01:00[Europe/Berlin]',
  '20260125T240000Z',
];

/** Values by the name of the field, argument or parameter. Other names get values by type. */
const BY_NAME: Readonly<Record<string, readonly Json[]>> = {
  stream: STREAMS,
  meterApiNames: STREAMS,
  dimension: DIMENSIONS,
  groupBy: DIMENSIONS,
  after: CURSORS,
  before: CURSORS,
  s3Url: S3_URLS,
  cron: CRONS,
  range: DURATIONS,
  endTimeOffset: DURATIONS,
  timeZone: ZONES,
  jobName: ['daily export', 'daily-export', ' x', 'x'.repeat(256), 'a_b', ''],
  idempotencyKey: ['one', 'two', 'x'.repeat(255), 'x'.repeat(256), '\u0000', ''],
  search: ['%', '_', '\\', 'usage', '\u0000', 'x'.repeat(5000)],
  email: ['someone@example.com', 'a@b', 'a@b\r\nBcc: c@d.example', `${'x'.repeat(300)}@example.com`, ''],
  coefficient: ['0.001', '-1', '1e-12', '0', new RawJson('0.1234567890123456789'), '9'.repeat(39)],
  scheduledTimeInSeconds: [4_102_444_800, 0, -1, 1e15, 1.5, Number.MAX_SAFE_INTEGER],
  first: [0, 1, 20, 100, 101, -1],
  last: [0, 1, 20, 100, 101, -1],
  limit: ['1', '100', '1000', '1001', '0', '-1', '1e2', '0x10', '', 'x', '9'.repeat(30)],
  force: ['true', 'false', '', 'TRUE'],
  version: [1, 2, 0, -1, 2_147_483_647],
};

/** By the type in the schema. */
const BY_TYPE: Readonly<Record<string, readonly Json[]>> = {
  ID: IDS,
  DateTime: MOMENTS,
  Decimal: VALUES.map(([value]) => value),
  CronExpression: CRONS,
  AgoDuration: DURATIONS,
  TimeZone: ZONES,
  Boolean: [true, false],
  Int: [0, 1, 5, -1, 2_147_483_647],
  SafeInt: [0, 1, Number.MAX_SAFE_INTEGER, -1, 1.5],
  String: TEXTS.map(([, text]) => text),
};

/** Values that no field accepts. */
const hostile: fc.Arbitrary<Json> = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.double().map((value) => (Number.isFinite(value) ? value : null)),
  fc.bigInt().map((value) => new RawJson(String(value))),
  fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>,
  fc.constantFrom<Json>(
    null,
    {},
    [],
    true,
    '\u0000',
    '\ud800',
    'x'.repeat(3000),
    '%',
    '\\',
    "'; --",
    new RawJson('1e400'),
    new RawJson('-0'),
    new RawJson('9'.repeat(400)),
    new RawJson('{"__proto__":{"x":1}}'),
    new RawJson(`${'['.repeat(2000)}${']'.repeat(2000)}`),
    new RawJson('{"sluice:digits":"1"}'),
    new RawJson('{"sluice:digits":{}}'),
  ),
);

export interface Values {
  /** Mostly fit for the field of that name and type, now and then not. */
  for(name: string, type?: string): Json;
  /** Unexpected values. */
  hostile(): Json;
}

const POOL = 500;

/** `known` are ids and names of what there is, so that requests find something. */
export const createValues = (random: Random, known: Readonly<Record<string, readonly string[]>> = {}): Values => {
  // Drawn in pools, because the library prepares each value separately, which takes longer than a request.
  let pool: Json[] = [];
  const takeHostile = (): Json => {
    if (pool.length === 0) pool = fc.sample(hostile, { numRuns: POOL, seed: random.below(2 ** 31) });
    return pool.pop() ?? null;
  };
  return {
    for: (name, type = 'String') => {
      if (random.chance(0.06)) return takeHostile();
      const there = known[type === 'ID' ? type : name] ?? [];
      if (there.length > 0 && random.chance(0.6)) return random.pick(there);
      return random.pick(BY_NAME[name] ?? BY_TYPE[type] ?? BY_TYPE['String'] ?? []);
    },
    hostile: takeHostile,
  };
};
