import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { computeBuckets } from '../../src/usage/buckets.ts';
import { takeWatermark } from '../../src/db/as-of.ts';
import { readUsageRows, resolveStreams } from '../../src/usage/usage.ts';
import { accountIdOf } from '../streams/held-transactions.ts';
import { ownerOf, urlOfDatabase, withClient } from '../support/postgres-admin.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { type FilterEntry, readRecords, type RecordInput, write } from '../streams/writes.ts';
import { daily, issuesOf, pointsOf, readUsage, sendRecords, type UsageAnswer, type UsageInput } from './questions.ts';

// The expected values were computed by hand. test/streams/histories.test.ts compares random histories with an oracle.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ resources: { clock: { now: () => new Date('2027-02-01T00:00:00Z') } } });
});
afterAll(() => server.stop());

const send = (stream: string, records: readonly RecordInput[]) => sendRecords(server, stream, records);
const usage = (stream: string, input: Omit<UsageInput, 'meterApiNames'>): Promise<UsageAnswer> =>
  readUsage(server, { meterApiNames: [stream], ...input });

describe('usage', () => {
  const region = (...values: string[]): FilterEntry => ({ dimension: 'region', values });
  const team = (...values: string[]): FilterEntry => ({ dimension: 'team', values });
  const of = (element: string, record: RecordInput): RecordInput => ({ ...record, elementName: element });
  beforeAll(async () => {
    await send('B', [
      of('hooli', daily('2026-01-25', '1', [region('us', 'eu'), team('z')])),
      of('Zed', daily('2026-01-25', '20', [region('eu'), team('a')])),
      of('\u{1f600}', daily('2026-01-26', '300', [region('eu', 'ap'), team('\uff5e')])),
    ]);
    await send('a', [of('hooli', daily('2026-01-25', '4000', [region('us')]))]);
    await send('Z_', [of('hooli', daily('2026-01-26', '50000'))]);
  });
  const ask = (input: Partial<UsageInput>): Promise<UsageAnswer> =>
    readUsage(server, {
      meterApiNames: ['a', 'Z_', 'B'],
      from: '2026-01-25T00:00:00Z',
      to: '2026-01-27T00:00:00Z',
      aggregationBucket: 'MONTH',
      ...input,
    });
  const rows = async (input: Partial<UsageInput>): Promise<unknown[]> =>
    (await ask(input)).series.map(({ meterApiName, group, total }) => [
      meterApiName,
      ...group.map(({ dimension, values }) => `${dimension}=${values.join('|')}`),
      total,
    ]);

  test('returns one series per stream, sorted bytewise by name, when it is not grouped', async () => {
    expect(await rows({})).toEqual([
      ['B', '321'],
      ['Z_', '50000'],
      ['a', '4000'],
    ]);
  });

  test('groups by all values of a dimension together, and omits it for a stream that lacks it', async () => {
    expect(await rows({ groupBy: ['region'] })).toEqual([
      ['B', 'region=ap|eu', '300'],
      ['B', 'region=eu', '20'],
      ['B', 'region=eu|us', '1'],
      ['Z_', '50000'],
      ['a', 'region=us', '4000'],
    ]);
    expect(await rows({ groupBy: ['team', 'region', 'nowhere'] })).toEqual([
      ['B', 'team=a', 'region=eu', '20'],
      ['B', 'team=z', 'region=eu|us', '1'],
      ['B', 'team=\uff5e', 'region=ap|eu', '300'],
      ['Z_', '50000'],
      ['a', 'region=us', '4000'],
    ]);
  });

  test.each(['element', 'element-name', 'element_name', 'elementName'])(
    'groups and filters by the element with the name %s, sorted bytewise',
    async (name) => {
      expect(await rows({ groupBy: [name], meterApiNames: ['B'] })).toEqual([
        ['B', 'element=Zed', '20'],
        ['B', 'element=hooli', '1'],
        ['B', 'element=\u{1f600}', '300'],
      ]);
      expect(await rows({ filter: [{ dimension: name, values: ['hooli', 'nobody'] }] })).toEqual([
        ['B', '1'],
        ['Z_', '50000'],
        ['a', '4000'],
      ]);
    },
  );

  test.each<[string, FilterEntry[], unknown[]]>([
    [
      'records with one matching value of a dimension',
      [region('us')],
      [
        ['B', '1'],
        ['a', '4000'],
      ],
    ],
    [
      'records that match one of several allowed values',
      [region('ap', 'us', 'us')],
      [
        ['B', '301'],
        ['a', '4000'],
      ],
    ],
    ['only records that match every dimension of the filter', [region('eu'), team('z', 'a')], [['B', '21']]],
    ['no records of a stream that lacks the dimension', [team('z')], [['B', '1']]],
    ['no records whose values differ in case', [region('US')], []],
    ['no records when no stream has the dimension', [{ dimension: 'nowhere', values: ['x'] }], []],
  ])('filters: returns %s', async (_, filter, expected) => {
    expect(await rows({ filter })).toEqual(expected);
  });

  test('returns every stream when meterApiNames is null, and ignores unknown and repeated names', async () => {
    expect(await rows({ meterApiNames: null })).toEqual(await rows({}));
    expect(await rows({ meterApiNames: ['a', 'nobody', 'a', 'A', '', 'a\u0000', '\ud800'] })).toEqual([['a', '4000']]);
    expect(await rows({ meterApiNames: [] })).toEqual([]);
    // More names than a statement can have parameters.
    const many = Array.from({ length: 70_000 }, (_, index) => `n${index}`);
    expect(await rows({ meterApiNames: [...many, 'a'] })).toEqual([['a', '4000']]);
  });

  test('contains no records of other accounts', async () => {
    const key = await server.createKey('elsewhere', ['READ']);
    const answer = await readUsage(
      server,
      { from: '2026-01-25T00:00:00Z', to: '2026-01-27T00:00:00Z', aggregationBucket: 'DAY' },
      key,
    );
    expect(answer.series).toEqual([]);
  });

  test('has every bucket of the window for each group with usage when sparse is false', async () => {
    const answer = await ask({
      from: '2026-01-24T12:00:00Z',
      to: '2026-01-27T00:00:00Z',
      aggregationBucket: 'DAY',
      groupBy: ['team'],
      filter: [region('eu')],
      sparse: false,
    });
    expect(answer.series.map(({ group, points }) => [group[0]?.values, points.map((point) => point.value)])).toEqual([
      [['a'], ['0', '20', '0']],
      [['z'], ['0', '1', '0']],
      [['\uff5e'], ['0', '0', '300']],
    ]);
    expect(answer.series[0]?.points[0]).toEqual({
      bucketStart: '2026-01-24T00:00:00Z',
      bucketEnd: '2026-01-25T00:00:00Z',
      value: '0',
    });
    const nothing = { filter: [region('nowhere')], sparse: false };
    expect((await ask(nothing)).series).toEqual([]);
  });

  test('contains a record of the value 0, and no hidden record, when it is sparse', async () => {
    await send('zeros', [daily('2026-01-25', '0'), daily('2026-01-26', '5')]);
    const hide = { timestamp: '2026-01-26T00:00:00Z', granularity: 'DAILY' };
    await write(server, 'Delete', { stream: 'zeros', records: [hide] });
    expect(pointsOf(await ask({ meterApiNames: ['zeros'], aggregationBucket: 'DAY' }))).toEqual({
      '2026-01-25T00:00:00Z': '0',
    });
  });
});

describe('values of usage', () => {
  const day = { from: '2026-01-25T00:00:00Z', to: '2026-01-27T00:00:00Z', aggregationBucket: 'DAY' };
  beforeAll(async () => {
    await send('exact', [
      daily('2026-01-25', '99999999999999999999999999.999999999999'),
      daily('2026-01-25', '0.000000000001'),
      daily('2026-01-26', '12345678901234567890.123456789012'),
    ]);
    await send('nothing', [daily('2026-01-25', '0.000')]);
  });

  test('are exact in points and totals', async () => {
    const answer = await usage('exact', day);
    expect(answer.series[0]?.points.map((point) => point.value)).toEqual([
      '100000000000000000000000000',
      '12345678901234567890.123456789012',
    ]);
    expect(answer.series[0]?.total).toBe('100000012345678901234567890.123456789012');
  });

  test.each<[string | number, string[], string]>([
    [
      '-0.000000000000000000000000000001',
      ['-0.0001', '-0.000000000012345678901234567890123456789012'],
      '-0.000100000012345678901234567890123456789012',
    ],
    [
      '1e3',
      ['100000000000000000000000000000', '12345678901234567890123.456789012'],
      '100000012345678901234567890123.456789012',
    ],
    [
      -2,
      ['-200000000000000000000000000', '-24691357802469135780.246913578024'],
      '-200000024691357802469135780.246913578024',
    ],
    ['0', ['0', '0'], '0'],
    ['-0.0', ['0', '0'], '0'],
    [
      '1.000',
      ['100000000000000000000000000', '12345678901234567890.123456789012'],
      '100000012345678901234567890.123456789012',
    ],
    [
      '0.00000000000000000000000000000000000001',
      ['0.000000000001', '0.00000000000000000012345678901234567890123456789012'],
      '0.00000000000100000012345678901234567890123456789012',
    ],
  ])('are exact when they are multiplied by %s', async (coefficient, values, total) => {
    const answer = await usage('exact', { ...day, rescaleFunction: { function: 'MULTIPLY', coefficient } });
    expect([answer.series[0]?.points.map((point) => point.value), answer.series[0]?.total]).toEqual([values, total]);
  });

  test('are 0 and not -0 when 0 is multiplied by a negative coefficient', async () => {
    const answer = await usage('nothing', { ...day, rescaleFunction: { function: 'MULTIPLY', coefficient: '-1.5' } });
    expect(answer.series[0]).toMatchObject({ total: '0', points: [{ value: '0' }] });
  });

  test.each<[string | number, string]>([
    ['x', 'BAD_DECIMAL'],
    ['', 'BAD_DECIMAL'],
    ['NaN', 'BAD_DECIMAL'],
    ['1'.repeat(39), 'TOO_MANY_DIGITS'],
    ['1e-39', 'TOO_MANY_DIGITS'],
    ['1e401', 'BAD_DECIMAL'],
    [0.1 + 0.2, 'PRECISION_LOST'],
  ])('are rejected with the coefficient %s: %s', async (coefficient, code) => {
    const answer = await usage('exact', { ...day, rescaleFunction: { function: 'MULTIPLY', coefficient } });
    expect(issuesOf(answer)).toBe(`input.rescaleFunction.coefficient: ${code}`);
  });
});

test('usage > is sorted bytewise when the collation of the database is that of a language', async () => {
  const name = `sluice_icu_${randomUUID().replaceAll('-', '')}`;
  const admin = inject('postgresAdminUrl');
  const owner = ownerOf(server.database.url);
  await withClient(admin, (client) =>
    // In this collation "a" sorts before "B" and "é" before "f".
    client.query(
      `CREATE DATABASE ${name} OWNER ${owner} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'`,
    ),
  );
  const drop = () =>
    withClient(admin, async (client) => void (await client.query(`DROP DATABASE ${name} WITH (FORCE)`)));
  try {
    const sorting = await startTestServer({ database: { url: urlOfDatabase(server.database.url, name), drop } });
    try {
      const texts = ['a', 'B', 'f', 'é', '_', 'a b', 'ab'];
      await write(sorting, 'Sum', {
        stream: 'sorted',
        records: texts.map((text) => ({
          ...daily('2026-01-25', '1', [{ dimension: 'd', values: ['x', text] }]),
          elementName: text,
        })),
      });
      // Reads rows as exports do, because the usage query sorts its series again.
      const db = sorting.resources.database.acrossAccounts;
      const accountId = await accountIdOf(sorting, 'default');
      const watermark = (await takeWatermark(db, accountId)).snapshot;
      const groupsOf = async (groupBy: string) => {
        const rows = await readUsageRows(
          db,
          {
            accountId,
            watermark,
            ...(await resolveStreams(db, accountId, null, watermark)),
            buckets: computeBuckets({ start: new Date('2026-01-25'), end: new Date('2026-01-26') }, 'DAY', 'UTC'),
            timeZone: 'UTC',
            groupBy: [groupBy],
            filter: [],
            sparse: true,
            coefficient: null,
          },
          100,
        );
        return rows.map((row) => [row['g1']].flat().join('|'));
      };
      expect(await groupsOf('element')).toEqual(['B', '_', 'a', 'a b', 'ab', 'f', 'é']);
      expect(await groupsOf('d')).toEqual(['B|x', '_|x', 'a|x', 'a b|x', 'ab|x', 'f|x', 'x|é']);
      const records = await readRecords(sorting, 'sorted', { pageSize: 2 });
      expect(records?.map((one) => one.elementName).toSorted()).toEqual(texts.toSorted());
    } finally {
      await sorting.stop();
    }
  } finally {
    await drop();
  }
});
