import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findHiddenRecords } from '../../src/streams/purge/find-purgeable.ts';
import { purgeStream } from '../../src/streams/purge/purge.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { deleteStream, readRecords, type RecordInput, write, type WriteInput, type WriteKind } from './writes.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

let stream = '';
let count = 0;
beforeEach(() => {
  count += 1;
  stream = `revert-${count}`;
});

interface Answer {
  readonly __typename: string;
  readonly code?: string;
  readonly message?: string;
  readonly replayed?: boolean;
  readonly operation?: {
    readonly id: string;
    readonly kind: string;
    readonly insertedRecords: number;
    readonly hiddenRecords: number;
    readonly reverts: { readonly id: string } | null;
  };
}

const revert = async (operationId: string, idempotencyKey: string | null = null, key = server.key): Promise<Answer> =>
  (
    await server.graphql<{ answer: Answer }>(
      `mutation ($input: RevertOperationInput!) { answer: revertOperation(input: $input) { __typename
        ... on AllocationReceipt { replayed operation { id kind insertedRecords hiddenRecords reverts { id } } }
        ... on UserError { code message } } }`,
      { input: { operationId, idempotencyKey } },
      key,
    )
  ).answer;

const DAY = '2026-01-25T00:00:00Z';
const record = (elementName: string, value: string | undefined = '1', timestamp = DAY): RecordInput => ({
  timestamp,
  granularity: 'DAILY',
  elementName,
  ...(value !== undefined && { value }),
});
const selector = (elementName?: string, timestamp = DAY): RecordInput => ({
  timestamp,
  granularity: 'DAILY',
  ...(elementName !== undefined && { elementName }),
});

/** Writes, and returns the id of the operation. */
const done = async (
  kind: WriteKind,
  records: readonly RecordInput[],
  more: Partial<WriteInput> = {},
): Promise<string> => {
  const { operation, message } = await write(server, kind, { stream, records, ...more });
  if (!operation) throw new Error(message);
  return operation.id;
};

const values = async (): Promise<string[]> =>
  ((await readRecords(server, stream)) ?? []).map(({ elementName, value }) => `${elementName} ${value}`).toSorted();

/** Returns the sum of all elements, which is read from the totals of operations. */
async function readTotal(): Promise<number> {
  const { usage } = await server.graphql<{ usage: { series: { total: string }[] } }>(
    `query ($input: UsageInput!) { usage(input: $input) { ... on Usage { series { total } } ... on UserError { message } } }`,
    { input: { meterApiNames: [stream], aggregationBucket: 'DAY', timeZone: 'UTC', ...YEAR } },
  );
  return usage.series.reduce((sum, { total }) => sum + Number(total), 0);
}

const YEAR = { from: '2026-01-01T00:00:00Z', to: '2027-01-01T00:00:00Z' };

describe('revertOperation', () => {
  test('removes what a sum added, and leaves a later sum', async () => {
    const sum = await done('Sum', [record('acme'), record('hooli', '2')]);
    await done('Sum', [record('acme', '40')]);
    const { operation } = await revert(sum);
    expect(operation).toMatchObject({ kind: 'REVERT', insertedRecords: 0, hiddenRecords: 2, reverts: { id: sum } });
    expect(await values()).toEqual(['acme 40']);
  });

  test('restores what a delete, a replace and a replace with a scope hid', async () => {
    await done('Sum', [record('acme', '1'), record('acme', '0.5'), record('hooli', '2')]);
    const before = await values();
    const writes = [
      () => done('Delete', [selector()]),
      () => done('Replace', [record('acme', '7')]),
      () => done('Replace', [record('initech', '9')], { scope: YEAR }),
    ];
    for (const next of writes) {
      expect((await revert(await next())).operation?.kind).toBe('REVERT');
      expect(await values()).toEqual(before);
    }
  });

  test('can itself be reverted', async () => {
    await done('Sum', [record('acme', '1')]);
    const replace = await done('Replace', [record('acme', '7')]);
    const first = await revert(replace);
    const second = await revert(first.operation?.id ?? '');
    expect(second.operation).toMatchObject({ insertedRecords: 1, hiddenRecords: 1 });
    expect(await values()).toEqual(['acme 7']);
  });

  test('returns the same receipt for the same key, and a conflict for another operation', async () => {
    const [sum, other] = [await done('Sum', [record('acme')]), await done('Sum', [record('hooli')])];
    const first = await revert(sum, stream);
    expect(await revert(sum, stream)).toEqual({ ...first, replayed: true });
    expect((await revert(other, stream)).code).toBe('IDEMPOTENCY_MISMATCH');
    expect((await revert(other, '')).code).toBe('VALIDATION_FAILED');
    expect(await values()).toEqual(['hooli 1']);
  });

  test('writes once for 8 concurrent requests with the same key', async () => {
    const sum = await done('Sum', [record('acme')]);
    const answers = await Promise.all(Array.from({ length: 8 }, () => revert(sum, stream)));
    expect(new Set(answers.map(({ operation }) => operation?.id)).size).toBe(1);
    expect(answers.filter(({ replayed }) => replayed === false)).toHaveLength(1);
  });

  test('does not find operations of another account', async () => {
    const sum = await done('Sum', [record('acme')]);
    const foreign = await server.createKey(`foreign-${count}`, ['ADMIN']);
    expect(await revert(sum, null, foreign)).toMatchObject({ __typename: 'NotFoundError', code: 'NOT_FOUND' });
    expect((await revert('nothing')).code).toBe('NOT_FOUND');
    expect(await values()).toEqual(['acme 1']);
  });

  /** Returns the operation to revert and, if there is one, the operation that the message must name. */
  type Obstacle = () => Promise<readonly [operation: string, named: string | null]>;
  test.each<[string, string, Obstacle]>([
    [
      'a record that it inserted is hidden',
      'A later write hid records that it inserted',
      async () => [await done('Sum', [record('acme')]), await done('Delete', [selector('acme')])],
    ],
    [
      'a later replace took its key',
      'A later write hid records that it inserted',
      async () => {
        await done('Sum', [record('acme')]);
        return [await done('Replace', [record('acme', '5')]), await done('Replace', [record('acme', '6')])];
      },
    ],
    [
      'a later replace took a key that it hid',
      'A later write has records with keys that it hid',
      async () => {
        await done('Sum', [record('acme'), record('hooli')]);
        return [await done('Delete', [selector('acme')]), await done('Replace', [record('acme', '5')])];
      },
    ],
    [
      'a later delete covers its buckets',
      'A later delete or replace with a scope covers its buckets',
      async () => {
        await done('Sum', [record('acme')]);
        return [await done('Delete', [selector('acme')]), await done('Delete', [selector('nobody')])];
      },
    ],
    [
      'a later replace with a scope covers its buckets',
      'A later delete or replace with a scope covers its buckets',
      async () => {
        await done('Sum', [record('acme'), record('hooli')]);
        const hid = await done('Delete', [selector('acme')]);
        return [hid, await done('Replace', [], { scope: { ...YEAR, elementName: 'nobody' } })];
      },
    ],
    [
      'records that it hid are purged',
      'Records that it hid are purged',
      async () => {
        await done('Sum', [record('acme')]);
        const hid = await done('Delete', [selector('acme')]);
        const { acrossAccounts } = server.resources.database;
        const age = { before: new Date(Date.now() + 60_000), assumedMs: 0 };
        const found = (await findHiddenRecords(acrossAccounts, age)).filter(({ streamName }) => streamName === stream);
        for (const one of found) expect(await purgeStream(acrossAccounts, one, age)).toMatchObject({ records: 1 });
        return [hid, null];
      },
    ],
    [
      'it deleted a stream',
      'A deletion of a stream is final',
      async () => {
        await done('Sum', [record('acme')]);
        const { deleteStream: deleted } = await server.graphql<{ deleteStream: { deletedId: string } }>(
          'mutation ($name: String!) { deleteStream(name: $name) { ... on DeletedStream { deletedId } } }',
          { name: stream },
        );
        const { node } = await server.graphql<{ node: { operations: { edges: { node: { id: string } }[] } } }>(
          'query ($id: ID!) { node(id: $id) { ... on Stream { operations(first: 1) { edges { node { id } } } } } }',
          { id: deleted.deletedId },
        );
        return [node.operations.edges[0]?.node.id ?? '', null];
      },
    ],
    [
      'the stream is deleted',
      'Its stream is deleted',
      async () => {
        const sum = await done('Sum', [record('acme')]);
        await deleteStream(server, stream);
        return [sum, null];
      },
    ],
  ])('is NOT_REVERTIBLE if %s', async (_, reason, write) => {
    const [operation, named] = await write();
    const before = await values();
    const answer = await revert(operation);
    expect(answer).toMatchObject({ __typename: 'ConflictError', code: 'NOT_REVERTIBLE' });
    expect(answer.message).toContain(named === null ? `${reason}.` : `${reason}: operation ${named}.`);
    // A deleted stream has no records to correct.
    expect(answer.message?.includes('replace instead')).toBe(!/deleted|final/.test(reason));
    expect(await values()).toEqual(before);
  });

  test('leaves later deletes of other buckets out of account', async () => {
    const sum = await done('Sum', [record('acme')]);
    for (const day of ['24', '26']) await done('Delete', [selector(undefined, `2026-01-${day}T00:00:00Z`)]);
    expect((await revert(sum)).operation?.hiddenRecords).toBe(1);
  });
});

interface Step {
  readonly kind: WriteKind | 'Revert';
  readonly elements: readonly number[];
  readonly days: readonly number[];
  readonly which: number;
  readonly scoped: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom<Step['kind']>('Sum', 'Sum', 'Replace', 'Delete', 'Revert', 'Revert', 'Revert'),
  elements: fc.uniqueArray(fc.nat(2), { minLength: 1, maxLength: 3 }),
  days: fc.uniqueArray(fc.nat(1), { minLength: 1, maxLength: 2 }),
  which: fc.nat(9),
  scoped: fc.boolean(),
});

interface Applied {
  readonly id: string;
  /** The live values after the write, computed from those before it. */
  readonly apply: (live: readonly Live[]) => Live[];
  readonly reverts?: string;
}

interface Live {
  readonly key: string;
  readonly value: string;
}

const dayOf = (day: number): string => `2026-01-2${5 + day}T00:00:00Z`;
const keyOf = (day: number, element: number): string => `${dayOf(day)} e${element}`;

/** The live values if the operations had been written in order, without those that an operation in force reverts. */
const replay = (log: readonly Applied[]): string[] => {
  const undone = new Set<string>();
  for (const one of log.toReversed()) if (one.reverts !== undefined && !undone.has(one.id)) undone.add(one.reverts);
  const live = log.reduce<Live[]>((now, one) => (undone.has(one.id) ? now : one.apply(now)), []);
  return live.map(({ key, value }) => `${key} ${value}`).toSorted();
};

/** The sums by key, as the stream lists them. */
const summed = (live: readonly string[]): string[] => {
  const sums = new Map<string, number>();
  for (const one of live) {
    const [at = '', element = '', value = ''] = one.split(' ');
    sums.set(`${at} ${element}`, (sums.get(`${at} ${element}`) ?? 0) + Number(value));
  }
  return [...sums].map(([key, sum]) => `${key} ${sum}`).toSorted();
};

test(
  'revertOperation > leaves the ledger as it would be without the operation, in random histories',
  { timeout: 240_000 },
  async () => {
    let reverted = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 12, size: 'max' }), async (steps) => {
        count += 1;
        stream = `revert-${count}`;
        const log: Applied[] = [];
        let value = 0;
        for (const { kind, elements, days, which, scoped } of steps) {
          const keys = days.flatMap((day) => elements.map((element) => ({ day, element })));
          const named = new Set(keys.map(({ day, element }) => keyOf(day, element)));
          if (kind === 'Revert') {
            const target = log[which % Math.max(1, log.length)];
            if (!target) continue;
            const { operation, code } = await revert(target.id);
            expect(operation ? 'reverted' : code).toBeOneOf(['reverted', 'NOT_REVERTIBLE']);
            // The newest operation always can be reverted.
            if (target === log.at(-1)) expect(code).toBeUndefined();
            if (operation) log.push({ id: operation.id, apply: (live) => [...live], reverts: target.id });
            reverted += operation ? 1 : 0;
          } else if (kind === 'Delete') {
            if (log.length === 0) continue;
            const id = await done(
              'Delete',
              keys.map(({ day, element }) => selector(`e${element}`, dayOf(day))),
            );
            log.push({ id, apply: (live) => live.filter(({ key }) => !named.has(key)) });
          } else {
            const records = keys.map(({ day, element }) => record(`e${element}`, String((value += 1)), dayOf(day)));
            const inserted = records.map((one) => ({
              key: `${one.timestamp} ${one.elementName}`,
              value: String(one.value),
            }));
            const scope = kind === 'Replace' && scoped ? { from: dayOf(Math.min(...days)), to: dayOf(3) } : undefined;
            const id = await done(kind, records, { ...(scope && { scope }) });
            const isHidden = ({ key }: Live): boolean =>
              kind === 'Replace' && (scope ? key.slice(0, 20) >= scope.from : named.has(key));
            log.push({ id, apply: (live) => [...live.filter((one) => !isHidden(one)), ...inserted] });
          }
          const listed = ((await readRecords(server, stream)) ?? []).map(
            ({ timestamp, elementName, value: sum }) => `${timestamp} ${elementName} ${sum}`,
          );
          expect(listed.toSorted()).toEqual(summed(replay(log)));
          if (kind === 'Revert') {
            expect(await readTotal()).toBe(listed.reduce((sum, one) => sum + Number(one.split(' ')[2]), 0));
          }
        }
      }),
      { numRuns: 40 },
    );
    expect(reverted).toBeGreaterThan(15);
  },
);
