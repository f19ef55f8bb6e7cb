import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { deleteStream, readRecords, type RecordInput, write } from './writes.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const record = (changes: Partial<RecordInput> = {}): RecordInput => ({
  timestamp: '2026-01-25T00:00:00Z',
  granularity: 'DAILY',
  elementName: 'hooli',
  value: '1',
  ...changes,
});
const times = <Value>(count: number, make: (index: number) => Value): Value[] =>
  Array.from({ length: count }, (_, index) => make(index));

interface PageInfo {
  readonly hasNextPage: boolean;
  readonly hasPreviousPage: boolean;
  readonly startCursor: string | null;
  readonly endCursor: string | null;
}
interface Page {
  readonly names: readonly string[];
  readonly pageInfo: PageInfo;
  readonly totalCount: number;
}
interface PageArguments {
  readonly first?: number | null;
  readonly after?: string | null;
  readonly last?: number | null;
  readonly before?: string | null;
  readonly search?: string | null;
}

const STREAMS = `query ($first: Int, $after: String, $last: Int, $before: String, $search: String) {
  streams(first: $first, after: $after, last: $last, before: $before, search: $search) {
    edges { node { name } } totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`;

const OPERATIONS = `query ($first: Int, $after: String) { stream(name: "recorded") {
  operations(first: $first, after: $after) { edges { cursor node { kind insertedRecords } } pageInfo { hasNextPage } } } }`;

const RECORDS = `query ($first: Int, $after: String, $from: DateTime, $to: DateTime, $elementName: String) {
  stream(name: "recorded") { records(first: $first, after: $after, from: $from, to: $to, elementName: $elementName) {
    edges { cursor node { timestamp elementName value } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }`;

const codeOf = async (query: string, variables: Readonly<Record<string, unknown>>): Promise<unknown> => {
  const answer = await server.request(query, variables);
  return answer.errors?.map((error) => error.extensions?.['code']).join() ?? 'answered';
};

describe('streams', () => {
  let key: string;
  // 50 names of which the order differs by case and by locale.
  const NAMES = [...times(24, (index) => `s-${index}`), ...times(24, (index) => `S.${index}`), 's_1', '1_a'];
  const sorted = NAMES.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

  beforeAll(async () => {
    key = await server.createKey('lists', ['ADMIN']);
    await Promise.all(NAMES.map((stream) => write(server, 'Sum', { stream, records: [record()] }, key)));
    await write(server, 'Sum', { stream: 's-deleted', records: [record()] }, key);
    await deleteStream(server, 's-deleted', key);
  });

  const list = async (args: PageArguments): Promise<Page> => {
    const { streams } = await server.graphql<{
      streams: { edges: { node: { name: string } }[]; pageInfo: PageInfo; totalCount: number };
    }>(STREAMS, { ...args }, key);
    return { ...streams, names: streams.edges.map((edge) => edge.node.name) };
  };

  test('are listed by name with 20 per page, without deleted ones', async () => {
    const first = await list({});
    expect(first.names).toEqual(sorted.slice(0, 20));
    expect(first).toMatchObject({ totalCount: 50, pageInfo: { hasNextPage: true, hasPreviousPage: false } });
    const second = await list({ after: first.pageInfo.endCursor });
    expect(second.names).toEqual(sorted.slice(20, 40));
    expect(second.pageInfo).toMatchObject({ hasNextPage: true, hasPreviousPage: true });
    const third = await list({ after: second.pageInfo.endCursor });
    expect(third.names).toEqual(sorted.slice(40));
    expect(third.pageInfo).toMatchObject({ hasNextPage: false, hasPreviousPage: true });
  });

  test('are listed backwards with each page sorted by name', async () => {
    const last = await list({ last: 20 });
    expect(last.names).toEqual(sorted.slice(30));
    expect(last.pageInfo).toMatchObject({ hasNextPage: false, hasPreviousPage: true });
    const middle = await list({ last: 25, before: last.pageInfo.startCursor });
    expect(middle.names).toEqual(sorted.slice(5, 30));
    expect(middle.pageInfo).toMatchObject({ hasNextPage: true, hasPreviousPage: true });
    const front = await list({ last: 100, before: middle.pageInfo.startCursor });
    expect(front.names).toEqual(sorted.slice(0, 5));
    expect(front.pageInfo).toMatchObject({ hasNextPage: true, hasPreviousPage: false });
    // Between two cursors.
    const between = { after: front.pageInfo.endCursor, before: last.pageInfo.startCursor };
    expect((await list({ ...between, first: 100 })).names).toEqual(sorted.slice(5, 30));
    expect((await list({ ...between, last: 3 })).names).toEqual(sorted.slice(27, 30));
  });

  test.each([
    [{ first: 0 }, 0, true, false],
    [{ last: 0 }, 0, false, true],
    [{ first: 49 }, 49, true, false],
    [{ first: 50 }, 50, false, false],
    [{ first: 100 }, 50, false, false],
    [{ last: 100 }, 50, false, false],
    [{ first: null, last: null }, 20, true, false],
  ])('%j is a page of %i', async (args, size, hasNextPage, hasPreviousPage) => {
    const page = await list(args);
    expect([page.names.length, page.pageInfo.hasNextPage, page.pageInfo.hasPreviousPage, page.totalCount]).toEqual([
      size,
      hasNextPage,
      hasPreviousPage,
      50,
    ]);
    if (size === 0) expect([page.pageInfo.startCursor, page.pageInfo.endCursor]).toEqual([null, null]);
  });

  test.each([
    ['S-2', sorted.filter((name) => name.toLowerCase().includes('s-2'))],
    ['.', sorted.filter((name) => name.includes('.'))],
    // The wildcards of LIKE are plain characters here.
    ['_', sorted.filter((name) => name.includes('_'))],
    ['%', []],
    ['\\', []],
    ['s\u0000', []],
    ['\ud800', []],
    ['deleted', []],
    ['', sorted],
  ])('a search for %j finds what contains it in any case', async (search, expected) => {
    const page = await list({ search, first: 100 });
    expect([page.names, page.totalCount]).toEqual([expected, expected.length]);
  });

  test('keep the pages when a stream is created between two pages', async () => {
    const own = await server.createKey('moving', ['ADMIN']);
    for (const stream of ['b', 'd', 'f']) await write(server, 'Sum', { stream, records: [record()] }, own);
    const read = async (args: PageArguments) =>
      (
        await server.graphql<{ streams: { edges: { node: { name: string } }[]; pageInfo: PageInfo } }>(
          STREAMS,
          { ...args },
          own,
        )
      ).streams;
    const first = await read({ first: 2 });
    for (const stream of ['a', 'c', 'e']) await write(server, 'Sum', { stream, records: [record()] }, own);
    await deleteStream(server, 'd', own);
    const second = await read({ first: 2, after: first.pageInfo.endCursor });
    expect(second.edges.map((edge) => edge.node.name)).toEqual(['e', 'f']);
  });

  test('are null for a name that is not valid', async () => {
    for (const name of ['', '..', 'a\u0000', '\ud800', 'x'.repeat(10_000)]) {
      const answer = await server.request(`query ($name: String!) { stream(name: $name) { id } }`, { name });
      expect([answer.errors, answer.data]).toEqual([undefined, { stream: null }]);
      expect((await deleteStream(server, name)).__typename).toBe('NotFoundError');
    }
  });
});

describe('records and operations', () => {
  // Three days, newest first; in each five elements. Filters and elements keep one order from page to page.
  const days = ['2026-01-27', '2026-01-26', '2026-01-25'];
  const elements = times(5, (index) => `e${index}`);
  beforeAll(async () => {
    for (const day of days.toReversed()) {
      const records = elements.map((elementName) => record({ timestamp: `${day}T12:00:00Z`, elementName }));
      await write(server, 'Sum', { stream: 'recorded', records });
      await write(server, 'Sum', { stream: 'recorded', records: records.slice(1) });
    }
  });

  interface RecordPage {
    readonly edges: readonly { cursor: string; node: { timestamp: string; elementName: string; value: string } }[];
    readonly pageInfo: PageInfo;
  }
  const list = async (args: Readonly<Record<string, unknown>>): Promise<RecordPage> =>
    (await server.graphql<{ stream: { records: RecordPage } }>(RECORDS, args)).stream.records;
  const keysOf = (page: RecordPage) =>
    page.edges.map(({ node }) => `${node.timestamp.slice(8, 10)} ${node.elementName}`);
  const all = days.flatMap((day) => elements.map((element) => `${day.slice(8)} ${element}`));

  test.each([1, 2, 4, 5, 7, 14, 15, 100])('records come newest bucket first in pages of %i', async (pageSize) => {
    const records = (await readRecords(server, 'recorded', { pageSize })) ?? [];
    expect(records.map((one) => `${one.timestamp.slice(8, 10)} ${one.elementName}`)).toEqual(all);
    expect(new Set(records.map((one) => `${one.elementName} ${one.value}`))).toEqual(
      new Set(['e0 1', 'e1 2', 'e2 2', 'e3 2', 'e4 2']),
    );
  });

  test('continue after the cursor when its record was hidden', async () => {
    await write(server, 'Sum', { stream: 'hidden', records: elements.map((elementName) => record({ elementName })) });
    const query = RECORDS.replace('"recorded"', '"hidden"');
    const first = await server.graphql<{ stream: { records: RecordPage } }>(query, { first: 2 });
    await write(server, 'Delete', {
      stream: 'hidden',
      records: [{ timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', elementName: 'e1' }],
    });
    const after = first.stream.records.pageInfo.endCursor;
    const second = await server.graphql<{ stream: { records: RecordPage } }>(query, { first: 2, after });
    expect(keysOf(second.stream.records)).toEqual(['25 e2', '25 e3']);
    expect(second.stream.records.pageInfo).toMatchObject({ hasNextPage: true, hasPreviousPage: true });
  });

  test.each([
    [{ from: '2026-01-26T00:00:00Z' }, ['27', '26']],
    [{ from: '2026-01-26T00:00:00.001Z' }, ['27']],
    [{ to: '2026-01-26T00:00:00Z' }, ['25']],
    // Days are dates: the date as written counts, with any offset.
    [{ to: '2026-01-26T00:00:00+01:00' }, ['25']],
    [{ to: '2026-01-26T00:00:00-11:00' }, ['25']],
    [{ to: '2026-01-26T01:00:00+01:00' }, ['26', '25']],
    [{ from: '2026-01-26T00:00:00+14:00' }, ['27', '26']],
    [{ from: '2026-01-26T00:00:00-11:00' }, ['27', '26']],
    [{ from: '2026-01-26T00:00:00Z', to: '2026-01-27T00:00:00Z' }, ['26']],
    [{ from: '2026-01-27T00:00:00Z', to: '2026-01-26T00:00:00Z' }, []],
    [{ from: '0001-01-01T00:00:00Z', to: '9999-12-31T23:59:59.999Z' }, ['27', '26', '25']],
  ])('records of buckets %j', async (args, expected) => {
    const page = await list({ ...args, first: 100 });
    expect([...new Set(keysOf(page).map((key) => key.slice(0, 2)))]).toEqual(expected);
    expect(page.edges).toHaveLength(expected.length * 5);
  });

  test.each([
    ['e3', 3],
    ['E3', 0],
    ['', 0],
    ['e3\u0000', 0],
    ['\ud800', 0],
  ])('records of the element %j', async (elementName, count) => {
    const page = await list({ elementName });
    expect(page.edges.map(({ node }) => node.elementName)).toEqual(times(count, () => elementName));
  });

  test('list operations newest first in pages', async () => {
    interface Operations {
      stream: { operations: { edges: { cursor: string; node: { insertedRecords: number } }[]; pageInfo: PageInfo } };
    }
    const counts: number[] = [];
    let after: string | null = null;
    for (;;) {
      const answer: Operations = await server.graphql<Operations>(OPERATIONS, { first: 4, after });
      const { edges, pageInfo } = answer.stream.operations;
      counts.push(...edges.map((edge) => edge.node.insertedRecords));
      if (!pageInfo.hasNextPage) break;
      after = edges.at(-1)?.cursor ?? null;
    }
    expect(counts).toEqual([4, 5, 4, 5, 4, 5]);
  });

  const cursor = (key: unknown): string => Buffer.from(JSON.stringify(key)).toString('base64url');
  const MOMENT = '2026-01-25T00:00:00.000Z';

  test('reject a cursor of another list', async () => {
    const { stream } = await server.graphql<{ stream: { operations: { edges: { cursor: string }[] } } }>(OPERATIONS);
    const ofOperations = stream.operations.edges[0]?.cursor ?? '';
    const ofRecords = (await list({})).edges[0]?.cursor ?? '';
    expect(await codeOf(RECORDS, { after: ofOperations })).toBe('BAD_USER_INPUT');
    expect(await codeOf(OPERATIONS, { after: ofRecords })).toBe('BAD_USER_INPUT');
    expect(await codeOf(STREAMS, { after: ofRecords })).toBe('BAD_USER_INPUT');
  });

  test.each<[string, string]>([
    ['nothing', ''],
    ['no base64', '%%%'],
    ['no JSON', Buffer.from('[').toString('base64url')],
    ['an object', cursor({})],
    ['null', cursor(null)],
    ['an empty list', cursor([])],
    ['numbers', cursor([1, 2, 3])],
    ['a name with NUL', cursor(['a\u0000'])],
    ['a number of 300 digits', cursor(['9'.repeat(300)])],
    ['an operation of digits of another script', cursor(['\u0661'])],
    ['a date without a time', cursor(['2026', '1', 'e'])],
    ['a timestamp without an offset', cursor(['2026-01-25T00:00:00', '1', 'e'])],
    ['a timestamp that only JavaScript accepts', cursor(['+200000-01-01T00:00:00Z', '1', 'e'])],
    ['an invalid timestamp', cursor(['infinity', '1', 'e'])],
    ['a filter id that is not a number', cursor([MOMENT, '1; --', 'e'])],
    ['an element with NUL', cursor([MOMENT, '1', 'e\u0000'])],
    ['four parts', cursor([MOMENT, '1', 'e', 'x'])],
  ])('%s in a cursor is BAD_USER_INPUT', async (_, after) => {
    const codes = await Promise.all([STREAMS, RECORDS, OPERATIONS].map((query) => codeOf(query, { after })));
    expect(new Set(codes)).toEqual(new Set(['BAD_USER_INPUT']));
    expect(await codeOf(STREAMS, { last: 1, before: after })).toBe('BAD_USER_INPUT');
  });

  test.each([101, -1, 2 ** 31 - 1])('the page size %i is BAD_USER_INPUT', async (size) => {
    for (const query of [STREAMS, RECORDS, OPERATIONS])
      expect(await codeOf(query, { first: size })).toBe('BAD_USER_INPUT');
    expect(await codeOf(STREAMS, { last: size })).toBe('BAD_USER_INPUT');
    expect(await codeOf(STREAMS, { first: 1, last: 1 })).toBe('BAD_USER_INPUT');
    for (const query of [STREAMS, RECORDS, OPERATIONS]) expect(await codeOf(query, { first: 100 })).toBe('answered');
  });

  test.each([{ from: 'yesterday' }, { to: '2026-01-25' }, { from: '0000-01-01T00:00:00Z' }])(
    'the timestamp %j is BAD_USER_INPUT',
    async (args) => {
      expect(await codeOf(RECORDS, args)).toBe('BAD_USER_INPUT');
    },
  );
});
