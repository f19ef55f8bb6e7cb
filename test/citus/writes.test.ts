import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mergeTotals } from '../../src/streams/totals/merge-totals.ts';
import { createChance } from '../faults/chance.ts';
import { recordsOf } from '../rest/requests.ts';
import { hashKeysOf } from '../streams/hashed-streams.ts';
import { Model } from '../streams/model.ts';
import { expectLiveValues, expectUsage } from '../streams/played-histories.ts';
import { readRecords, type RecordInput, verdict, write, type WriteInput, type WriteKind } from '../streams/writes.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import type { UsageQuestion } from '../usage/usage-oracle.ts';
import { openAccounts, type PlacedAccount } from './accounts.ts';
import { type Cluster, createCluster, hasCluster } from './cluster.ts';
import { FORMS, type Form, randomRecords, writeAs } from './telemetry.ts';

const QUESTIONS: readonly UsageQuestion[] = (['DAY', 'WEEK', 'MONTH'] as const).flatMap((aggregationBucket) =>
  [[], ['region'], ['element'], ['region', 'element']].map((groupBy) => ({
    from: '2026-01-01T00:00:00Z',
    to: '2026-03-01T00:00:00Z',
    aggregationBucket,
    timeZone: 'UTC',
    groupBy,
    filter: [],
  })),
);

const KINDS: readonly WriteKind[] = ['Sum', 'Sum', 'Replace', 'Delete'];
const DAY = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY' };
const one = (elementName: string, value?: string): RecordInput => ({
  ...DAY,
  elementName,
  filter: [{ dimension: 'region', values: ['eu'] }],
  ...(value !== undefined && { value }),
});

describe.skipIf(!hasCluster)('accounts on different workers', () => {
  let cluster: Cluster;
  let server: TestServer;
  /** Stages what NDJSON brings, as every server does with large uploads. */
  let staging: TestServer;
  let accounts: readonly PlacedAccount[];
  beforeAll(async () => {
    cluster = await createCluster();
    server = await startTestServer({ database: cluster.database });
    staging = await startTestServer({ database: cluster.database, s3: server.s3, env: { INTAKE_HELD_BYTES: '0' } });
    accounts = await openAccounts(cluster, server, 'account');
  });
  afterAll(async () => {
    await staging?.stop();
    await server?.stop();
    await cluster?.drop();
  });

  const expectModel = async (model: Model, key: string): Promise<void> => {
    const meterApiNames = model.streams.map(({ name }) => name);
    await expectLiveValues(server, model.streams, key, meterApiNames);
    for (const asked of QUESTIONS) {
      for (const sparse of [true, false]) {
        await expectUsage(server, model.streams, key, { ...asked, meterApiNames, sparse, coefficient: null });
      }
    }
  };

  /** Sends random writes in the forms, and expects the receipts, records and usage of the model. */
  const expectWrites = async (
    at: TestServer,
    { name, key, id }: PlacedAccount,
    { stream, forms, hashed }: { readonly stream: string; readonly forms: readonly Form[]; readonly hashed?: boolean },
  ): Promise<void> => {
    const chance = createChance(`${stream} of ${name}`);
    const model = new Model();
    for (let number = 0; number < 24; number += 1) {
      const kind = number === 0 ? 'Sum' : chance.pick(KINDS);
      const input: WriteInput = { stream, records: randomRecords(chance, kind, 20) };
      const expected = model.write(kind, input);
      expect(await writeAs(chance.pick(forms), at, kind, input, key), JSON.stringify(input)).toBe(expected);
      if (hashed && number === 4) await hashKeysOf(server, id, stream);
    }
    await expectModel(model, key);
    await mergeTotals(server.resources.database.acrossAccounts, { minOperations: 1 });
    await expectModel(model, key);
  };

  test.each(FORMS)('sums, replaces and deletes > change exactly what they name when sent as %s', async (form) => {
    for (const account of accounts) await expectWrites(server, account, { stream: `as-${form}`, forms: [form] });
  });

  test('sums, replaces and deletes > change exactly what they name when uploads are staged', async () => {
    for (const account of accounts) await expectWrites(staging, account, { stream: 'staged', forms: ['NDJSON'] });
  });

  test('sums, replaces and deletes > change exactly what they name when keys are hashed meanwhile', async () => {
    for (const account of accounts) {
      await expectWrites(server, account, { stream: 'hashed', forms: FORMS, hashed: true });
      await expectWrites(staging, account, { stream: 'hashed-and-staged', forms: ['NDJSON'], hashed: true });
    }
  });

  test('single sums > all count exactly once when 40 clients add to one stream on two servers', async () => {
    for (const { key } of accounts) {
      const values = Array.from({ length: 400 }, (_, index) => index + 1);
      const rest = values.map((value, index) => ({ value, at: index % 2 === 0 ? server : staging }));
      const sender = async (): Promise<void> => {
        for (let next = rest.pop(); next; next = rest.pop()) {
          const records = [one(`element ${next.value % 3}`, String(next.value))];
          expect(verdict(await write(next.at, 'Sum', { stream: 'gathered', records }, key))).toBe('taken');
        }
      };
      await Promise.all(Array.from({ length: 40 }, sender));
      const listed = await readRecords(server, 'gathered', { key });
      const expected = [0, 1, 2].map((rest3) =>
        values.filter((value) => value % 3 === rest3).reduce((sum, value) => sum + value, 0),
      );
      expect(listed?.map(({ value }) => value).toSorted()).toEqual(expected.map(String).toSorted());
    }
  });

  test('single replaces and deletes > leave at most one value of each key when they are concurrent', async () => {
    for (const { key } of accounts) {
      const elements = ['a', 'b', 'c'];
      expect(
        verdict(
          await write(server, 'Sum', { stream: 'contended', records: elements.map((each) => one(each, '0')) }, key),
        ),
      ).toBe('taken');
      const values = Array.from({ length: 60 }, (_, index) => String(index + 1));
      await Promise.all(
        values.flatMap((value, index) =>
          elements.map(async (element) => {
            const at = index % 2 === 0 ? server : staging;
            const isDelete = element === 'c' && index % 5 === 0;
            const records = [isDelete ? one(element) : one(element, value)];
            const answer = await write(at, isDelete ? 'Delete' : 'Replace', { stream: 'contended', records }, key);
            expect(answer.operation?.insertedRecords).toBe(isDelete ? 0 : 1);
          }),
        ),
      );
      const listed = (await readRecords(server, 'contended', { key })) ?? [];
      const found = listed.map(({ elementName }) => elementName);
      expect(found.filter((element) => element !== 'c').toSorted()).toEqual(['a', 'b']);
      expect(new Set(found).size).toBe(found.length);
      for (const { value } of listed) expect(values).toContain(value);
    }
  });

  test('idempotency key > is applied once when two servers get the request concurrently, in any format', async () => {
    for (const { key } of accounts) {
      for (const kind of ['Sum', 'Replace'] as const) {
        const stream = `keyed-${kind}`;
        const input = { stream, records: [one('a', '1.5'), one('b', '2')], idempotencyKey: `once ${kind}` };
        const answers = await Promise.all(
          [server, staging].flatMap((at) => FORMS.map((form) => writeAs(form, at, kind, input, key))),
        );
        expect(answers.toSorted()).toEqual(['taken 2 0', ...Array.from({ length: 5 }, () => 'taken 2 0 replayed')]);
        const other = { ...input, records: [one('a', '1.6')] };
        expect(verdict(await write(server, kind, other, key))).toBe('IDEMPOTENCY_MISMATCH');
        const listed = (await readRecords(server, stream, { key })) ?? [];
        expect(listed.map(({ elementName, value }) => `${elementName} ${value}`).toSorted()).toEqual(['a 1.5', 'b 2']);
      }
    }
  });

  test('pages of records > list every record once, over GraphQL and REST, with and without hashed keys', async () => {
    for (const { key, id } of accounts) {
      const records = Array.from({ length: 120 }, (_, index) => one(`element ${index}`, String(index)));
      expect(await writeAs('NDJSON', server, 'Sum', { stream: 'paged', records }, key)).toBe('taken 120 0');
      const expected = records.map(({ elementName, value }) => `${elementName} ${value}`).toSorted();
      for (const hash of [false, true]) {
        if (hash) await hashKeysOf(server, id, 'paged');
        const listed = (await readRecords(server, 'paged', { key, pageSize: 7 })) ?? [];
        expect(listed.map(({ elementName, value }) => `${elementName} ${value}`).toSorted()).toEqual(expected);
        const rest = await recordsOf(server, 'paged', key);
        expect(rest.map((each) => `${each['element-name']} ${each.value}`).toSorted()).toEqual(expected);
      }
    }
  });

  test('accounts > neither see nor change each other when their streams and idempotency keys have the same names', async () => {
    const model = new Map(accounts.map(({ name }) => [name, new Model()]));
    const chance = createChance('same names');
    for (let number = 0; number < 20; number += 1) {
      await Promise.all(
        accounts.map(async ({ name, key }) => {
          const kind = number === 0 ? 'Sum' : chance.pick(KINDS);
          const input = { stream: 'same', records: randomRecords(chance, kind, 8), idempotencyKey: `same ${number}` };
          const expected = model.get(name)?.write(kind, input);
          expect(await writeAs(chance.pick(FORMS), server, kind, input, key)).toBe(expected);
        }),
      );
    }
    for (const { name, key } of accounts) {
      const [stream] = model.get(name)?.streams ?? [];
      await expectLiveValues(server, stream ? [stream] : [], key, ['same']);
    }
    const stranger = await server.createKey('stranger', ['ADMIN']);
    expect(await readRecords(server, 'same', { key: stranger })).toBeNull();
  });
});
