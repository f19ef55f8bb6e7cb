import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { canonicalFilter, keyOf } from '../streams/model.ts';
import { history, question, respell, shapeAt, STREAM_NAMES } from '../streams/random-requests.ts';
import {
  deleteStream,
  readRecords,
  type RecordInput,
  type ScopeInput,
  write,
  type WriteAnswer,
  type WriteInput,
  type WriteKind,
} from '../streams/writes.ts';
import { readUsage } from '../usage/questions.ts';
import {
  ask,
  type Receipt,
  recordsOf,
  type RestAnswer,
  type RestFailure,
  type RestRecord,
  send,
  type Verb,
} from './requests.ts';

// The same requests to two accounts, to one over GraphQL and to the other over the REST routes.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api', MAX_RECORDS: '20000' } });
});
afterAll(() => server.stop());

let accounts = 0;
const openAccounts = async (): Promise<{ byGraphQL: string; byRest: string }> => {
  accounts += 1;
  return {
    byGraphQL: await server.createKey(`graphql-${accounts}`, ['ADMIN']),
    byRest: await server.createKey(`rest-${accounts}`, ['ADMIN']),
  };
};

const VERBS: Readonly<Record<WriteKind, Verb>> = { Sum: 'sum', Replace: 'replace', Delete: 'delete' };

/** Returns one of several spellings. */
type Pick = <Option>(...options: readonly Option[]) => Option;
const first: Pick = (...options) => options[0] as never;

/** A timestamp in one of the spellings of clients. */
const spellMoment = (timestamp: string, pick: Pick): string => {
  const inUtc = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d(?:\.\d+)?)Z$/.exec(timestamp);
  if (!inUtc) {
    const compact = timestamp.replace(/:(\d\d)$/, '$1');
    return pick(timestamp, timestamp.replace('T', ' '), compact, compact.replace('T', ' ').replace('.', ','));
  }
  const [, date = '', time = ''] = inUtc;
  const midnight = /^00:00:00(?:\.0+)?$/.test(time);
  return pick(
    timestamp,
    `${date} ${time}`,
    `${date}T${time}`,
    `${date} ${time}+00:00`,
    `${date} ${time} UTC`,
    midnight ? date : timestamp,
  );
};

/** Texts that are JSON numbers. */
const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

const spellValue = (value: string | number, pick: Pick): string => {
  const text = String(value);
  return JSON_NUMBER.test(text) ? pick(JSON.stringify(text), text) : JSON.stringify(text);
};

/** A record or selector as JSON text. */
const spellRecord = (record: RecordInput, pick: Pick): string => {
  const filter = record.filter ?? [];
  const fields: [string, string][] = [
    ['timestamp', JSON.stringify(spellMoment(record.timestamp, pick))],
    ['granularity', JSON.stringify(pick(record.granularity, record.granularity.toLowerCase()))],
  ];
  if (filter.length > 0) {
    const entries = filter.map(({ dimension, values }) => `${JSON.stringify(dimension)}:${JSON.stringify(values)}`);
    fields.push(['filter', `{${entries.join(',')}}`]);
  } else {
    const nothing = pick(null, '{}', '"*"', 'null');
    if (nothing !== null) fields.push(['filter', nothing]);
  }
  if (record.elementName != null) {
    fields.push([pick('element-name', 'element_name'), JSON.stringify(record.elementName)]);
  }
  if (record.value !== undefined) fields.push(['value', spellValue(record.value, pick)]);
  return `{${fields.map(([name, text]) => `"${name}":${text}`).join(',')}}`;
};

const sendRest = (
  form: 'JSON' | 'NDJSON',
  kind: WriteKind,
  { stream, records, idempotencyKey, scope }: WriteInput,
  key: string,
  pick: Pick,
): Promise<RestAnswer<Receipt | RestFailure>> =>
  send(
    server,
    form,
    [stream, VERBS[kind]],
    records.map((record) => spellRecord(record, pick)),
    {
      key,
      headers: idempotencyKey == null ? {} : { 'idempotency-key': idempotencyKey },
      ...(scope && { scope: spellScope(scope) }),
    },
  );

/** A scope with the names of REST. */
const spellScope = ({ from, to, filter, elementName }: ScopeInput) => ({
  from,
  to,
  filter: filter && Object.fromEntries(filter.map(({ dimension, values }) => [dimension, values])),
  'element-name': elementName,
});

/** NDJSON has no scope with a filter or an element. */
const formsOf = ({ scope }: WriteInput): readonly ('JSON' | 'NDJSON')[] =>
  scope && (scope.filter?.length || scope.elementName != null) ? ['JSON'] : ['JSON', 'NDJSON'];

interface Outcome {
  readonly code?: string | undefined;
  readonly issueCount?: number | undefined;
  /** Index of the record, its field, and the code. */
  readonly issues?: readonly string[];
  readonly inserted?: number;
  readonly hidden?: number;
  readonly replayed?: boolean | undefined;
}

/** Duplicate record keys in NDJSON are searched only if there is no other issue, because invalid records are not staged. */
const asToldOfLines = (outcome: Outcome): Outcome => {
  const { issues = [], issueCount = 0 } = outcome;
  const others = issues.filter((issue) => !issue.endsWith(' DUPLICATE_KEY'));
  if (others.length === 0) return outcome;
  return { ...outcome, issues: others, issueCount: issueCount - (issues.length - others.length) };
};

/** Counts, or codes with the index of the record and its field: the part that must be equal. */
const outcomeOfRest = ({ body }: RestAnswer<Receipt | RestFailure>): Outcome =>
  'error' in body
    ? {
        code: body.error.code,
        issueCount: body.error.issueCount,
        issues: body.error.issues
          // A scope in the query of NDJSON has no parent.
          .map(({ path, code }) => ({ code, path: /^(from|to)$/.test(path[0] ?? '') ? ['scope', ...path] : path }))
          .map(({ path, code }) => `${path[1]} ${path[2] ?? ''} ${code}`)
          .toSorted(),
      }
    : { inserted: body.insertedRecords, hidden: body.hiddenRecords, replayed: body.replayed };

/** Field of the record or scope to which an issue belongs. REST names a dimension of a scope, and GraphQL has its index in the list. */
const fieldOf = ([, , parent, field]: readonly string[], scope: WriteInput['scope']): string => {
  if (parent === 'filter') return scope?.filter?.[Number(field)]?.dimension ?? '';
  return field === 'elementName' ? 'element-name' : (field ?? '');
};

const outcomeOfGraphQL = (answer: WriteAnswer, scope?: WriteInput['scope']): Outcome =>
  answer.operation
    ? {
        inserted: answer.operation.insertedRecords,
        hidden: answer.operation.hiddenRecords,
        replayed: answer.replayed,
      }
    : {
        code: answer.code,
        issueCount: answer.issueCount,
        issues: (answer.issues ?? []).map(({ path, code }) => `${path[2]} ${fieldOf(path, scope)} ${code}`).toSorted(),
      };

/** Live records by their record keys, independent of the order of dimensions; null if the stream does not exist. */
const liveOf = async (stream: string, key: string): Promise<string[] | null> =>
  (await readRecords(server, stream, { key }))
    ?.map((record) => {
      const filter = canonicalFilter(record.filter);
      return `${keyOf({ bucket: record.timestamp, filter, element: record.elementName })} ${record.value}`;
    })
    .toSorted() ?? null;

/** The records that the REST route lists, in the same format. */
const listedOf = async (stream: string, key: string): Promise<string[]> =>
  (await recordsOf(server, stream, key))
    .map((record: RestRecord) => {
      const filter = canonicalFilter(
        Object.entries(record.filter).map(([dimension, values]) => ({ dimension, values })),
      );
      return `${keyOf({ bucket: record.timestamp, filter, element: record['element-name'] })} ${record.value}`;
    })
    .toSorted();

test('random histories > have the same result over GraphQL and REST, in any format and spelling', async () => {
  const seen = { taken: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(history, question, fc.gen(), async (one, asked, draw) => {
      const pick: Pick = (...options) => options[draw(fc.nat, { max: options.length - 1 })] as never;
      const { byGraphQL, byRest } = await openAccounts();
      const deletions = new Map<string, number>();
      const sent: { readonly kind: WriteKind; readonly input: WriteInput }[] = [];
      const both = async (kind: WriteKind, input: WriteInput): Promise<void> => {
        const form = pick(...formsOf(input));
        const expected = await write(server, kind, input, byGraphQL);
        const answer = await sendRest(form, kind, input, byRest, pick);
        const told = outcomeOfGraphQL(expected, input.scope);
        expect(outcomeOfRest(answer), `${form} ${kind} ${JSON.stringify(input)}`).toEqual(
          form === 'NDJSON' ? asToldOfLines(told) : told,
        );
        const status = { VALIDATION_FAILED: 400, NOT_FOUND: 400, IDEMPOTENCY_MISMATCH: 409 }[expected.code ?? ''];
        expect(answer.status).toBe(status ?? (kind === 'Delete' ? 201 : 200));
        if (expected.operation) seen.taken += 1;
        else seen.refused += 1;
      };
      for (const command of one.commands) {
        if (command.do === 'snapshot' || command.do === 'mergeTotals') continue;
        if (command.do === 'forgetTotals' || command.do === 'hashKeys') continue;
        if (command.do === 'deleteStream') {
          const { __typename } = await deleteStream(server, command.name, byGraphQL);
          const path = `/unit-cost/v1/telemetry/${command.name}?force=true`;
          const { status } = await ask(server, `DELETE ${path}`, { key: byRest });
          expect(status).toBe(__typename === 'DeletedStream' ? 200 : 400);
          if (status === 200) deletions.set(command.name, (deletions.get(command.name) ?? 0) + 1);
        } else if (command.do === 'again') {
          const earlier = sent[command.which % sent.length];
          if (earlier) await both(earlier.kind, respell(earlier.input));
        } else {
          const input = command.input((name) =>
            shapeAt(
              one.firstShape + STREAM_NAMES.findIndex((known) => known === name) + (deletions.get(name) ?? 0) * 2,
            ),
          );
          sent.push({ kind: command.do, input });
          await both(command.do, input);
        }
      }
      for (const stream of STREAM_NAMES) {
        const live = await liveOf(stream, byRest);
        expect(live, stream).toEqual(await liveOf(stream, byGraphQL));
        if (live !== null) expect(await listedOf(stream, byRest)).toEqual(live);
      }
      const { coefficient, ...input } = asked;
      const usage = {
        ...input,
        ...(coefficient !== null && { rescaleFunction: { function: 'MULTIPLY', coefficient } }),
      };
      expect(await readUsage(server, usage, byRest)).toEqual(await readUsage(server, usage, byGraphQL));
    }),
    { numRuns: 15 },
  );
  // Both kinds of results must occur.
  expect(seen.taken).toBeGreaterThan(30);
  expect(seen.refused).toBeGreaterThan(5);
});

// More lines than two batches of 2,000.
const COUNT = 5_040;
const DAYS = ['2026-01-25', '2026-01-26', '2026-01-27'];
const FILTERS = [
  ['eu', ['a']],
  ['eu', ['a', 'b']],
  ['us', ['a']],
  ['us', ['b']],
  ['ap', ['c']],
] as const;

/** A different record key for each index. */
const recordAt = (index: number, value: string): RecordInput => {
  const [region, teams] = FILTERS[index % FILTERS.length] as (typeof FILTERS)[number];
  const filter = [
    { dimension: 'region', values: [region] },
    { dimension: 'team', values: index % 2 === 0 ? teams : teams.toReversed() },
  ];
  return {
    timestamp: `${DAYS[Math.floor(index / 2) % DAYS.length]}T00:00:00Z`,
    granularity: 'DAILY',
    filter: index % 3 === 0 ? filter.toReversed() : filter,
    elementName: `e${Math.floor(index / 6)}`,
    value,
  };
};

/** Overlapping selectors of every kind: a record that several select is hidden and counted once. */
const selectorAt = (index: number): RecordInput => {
  const { value: _, ...record } = recordAt(index * 2, '0');
  const filter = record.filter ?? [];
  const of = (dimension: string) => filter.filter((entry) => entry.dimension === dimension);
  const { elementName, filter: _f, ...bucket } = record;
  switch (index % 6) {
    case 0:
      return record;
    case 1:
      return { ...bucket, filter: of('region'), elementName: elementName ?? null };
    case 2:
      return { ...bucket, filter: of('team'), elementName: elementName ?? null };
    case 3:
      return { ...bucket, elementName: elementName ?? null };
    case 4:
      // No record matches a subset or a superset of its values.
      return { ...bucket, filter: [{ dimension: 'team', values: ['b', 'c'] }], elementName: elementName ?? null };
    default:
      return { ...record, filter: [{ dimension: 'region', values: ['eu', 'us'] }] };
  }
};

test('NDJSON of several batches > has the result of one list of the same records, for sum, replace and delete', async () => {
  const { byGraphQL, byRest } = await openAccounts();
  const stream = 'long';
  const both = async (kind: WriteKind, records: readonly RecordInput[]): Promise<Outcome> => {
    const expected = outcomeOfGraphQL(await write(server, kind, { stream, records }, byGraphQL));
    const answer = await sendRest('NDJSON', kind, { stream, records }, byRest, first);
    expect(outcomeOfRest(answer)).toEqual(expected);
    return expected;
  };
  /** Live values by day and filter, and by element on request, which takes seconds. */
  const usageOf = (key: string, element: readonly 'element'[]) =>
    readUsage(
      server,
      {
        from: '2026-01-01T00:00:00Z',
        to: '2026-02-01T00:00:00Z',
        aggregationBucket: 'DAY',
        groupBy: ['region', 'team', ...element],
      },
      key,
    );
  const expectSame = async (...element: readonly 'element'[]): Promise<void> => {
    const usage = await usageOf(byRest, element);
    expect(usage.__typename).toBe('Usage');
    expect(usage).toEqual(await usageOf(byGraphQL, element));
  };
  const range = (from: number, value: (index: number) => string): RecordInput[] =>
    Array.from({ length: COUNT }, (_, place) => recordAt(from + place, value(from + place)));

  expect(
    await both(
      'Sum',
      range(0, (index) => `${index}.000000000001`),
    ),
  ).toMatchObject({ inserted: COUNT });
  // Half of the record keys again.
  await both(
    'Sum',
    range(COUNT / 2, (index) => `1${index}`),
  );
  await expectSame();
  expect(
    await both(
      'Replace',
      range(COUNT, () => '7'),
    ),
  ).toMatchObject({ inserted: COUNT, hidden: COUNT / 2 });
  await expectSame();
  const selectors = Array.from({ length: COUNT }, (_, index) => selectorAt(index));
  const deleted = await both('Delete', selectors);
  expect(deleted.hidden).toBeGreaterThan(COUNT);
  await expectSame('element');
  // Finally a whole day, and then everything.
  const days = (count: number): RecordInput[] =>
    DAYS.slice(0, count).map((day) => ({ timestamp: `${day}T12:00:00Z`, granularity: 'DAILY' }));
  await both('Delete', days(1));
  await expectSame();
  await both('Delete', days(3));
  expect(await readRecords(server, stream, { key: byRest })).toEqual([]);
});
