import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { querySql } from '../support/job-steps.ts';
import { canonicalFilter, formatValue, keyOf, liveValues, Model, parseValue } from '../streams/model.ts';
import { readRecords, type RecordInput, type WriteKind } from '../streams/writes.ts';
import { type Chance, createChance, inForm } from './chance.ts';
import { type Deployment, startDeployment } from './deployment.ts';
import {
  type Acknowledged,
  type Form,
  FORMS,
  type KeyedRequest,
  sendOnce,
  sendUntilAcknowledged,
} from './retrying-senders.ts';
import { type SupervisedServers, superviseServers } from './supervised-servers.ts';
import { counted, tally } from './tally.ts';

const SENDERS = 6;
const DURATION_MS = inForm({ short: 30_000, full: 100_000 });
/** Most time on top, until each fault has occurred. */
const EXTENSION_MS = 120_000;

let deployment: Deployment;
let servers: SupervisedServers;
beforeAll(async () => {
  deployment = await startDeployment();
  servers = await superviseServers(deployment, [{}, {}, {}]);
});
afterAll(async () => {
  await servers?.stop();
  await deployment?.close();
});

/** All that the senders know at the end. */
const known = {
  acknowledged: new Map<string, Acknowledged>(),
  /** Sent once, without a retry. */
  once: new Map<string, KeyedRequest>(),
  records: 0,
  /** Acknowledged by the receipt of an earlier try whose answer never came. */
  replayed: 0,
  repeated: 0,
  /** Idempotency keys that were acknowledged with two different operations, or counts that do not match. */
  contradictions: [] as string[],
};

const DAYS = ['2026-01-25T00:00:00Z', '2026-01-26T00:00:00Z', '2026-01-27T00:00:00Z'];

const randomRecord = (chance: Chance, elementName: string): RecordInput => ({
  timestamp: chance.pick(DAYS),
  granularity: 'DAILY',
  filter: [{ dimension: 'region', values: [chance.pick(['eu', 'us'])] }],
  elementName,
  value: `${chance.between(0, 1_000_000)}.${chance.between(1, 999_999_999)}`,
});

/** Out of so few elements that they meet each other; a replace names no key twice. */
const randomRecords = (chance: Chance, kind: WriteKind, largest: number, elements: number): RecordInput[] => {
  const count = chance.between(1, largest);
  const records = Array.from({ length: count }, () => randomRecord(chance, `element ${chance.between(1, elements)}`));
  if (kind === 'Sum') return records;
  const byKey = new Map(
    records.map((one) => [`${one.timestamp} ${one.filter?.[0]?.values[0]} ${one.elementName}`, one]),
  );
  if (kind === 'Replace') return [...byKey.values()];
  return [...byKey.values()].map(({ value: _, ...selector }) => selector);
};

/** Streams of a sender's own, one that all of them add to, many lines at a time, and requests that are sent once. */
const SORTS = ['own', 'own', 'own', 'shared', 'shared', 'bulk', 'once'] as const;
type Sort = (typeof SORTS)[number];

const KINDS: Readonly<Record<Sort, readonly WriteKind[]>> = {
  own: ['Sum', 'Sum', 'Replace', 'Delete'],
  shared: ['Sum'],
  bulk: ['Sum', 'Replace'],
  once: ['Sum'],
};
const SIZES: Readonly<Record<Sort, readonly [largest: number, elements: number]>> = {
  own: [40, 30],
  shared: [40, 30],
  bulk: [6000, 2000],
  once: [3000, 500],
};

/** Sends until it is stopped, each request until it is acknowledged, and applies acknowledged requests to the model. */
const runSender = async (name: string, model: Model, shared: Model, isOver: () => boolean): Promise<void> => {
  const chance = createChance(`acknowledged ${name}`);
  for (let number = 1; !isOver(); number += 1) {
    const what = number === 1 ? 'own' : chance.pick(SORTS);
    // A delete or replace needs something that is there.
    const kind = number === 1 ? 'Sum' : chance.pick(KINDS[what]);
    const records = randomRecords(chance, kind, ...SIZES[what]);
    const stream = what === 'shared' ? 'shared' : `${what}-${name}`;
    const request: KeyedRequest = { kind, input: { stream, records, idempotencyKey: `${name} ${number}` } };
    if (what === 'once') {
      await sendWithoutPatience(chance, request);
      continue;
    }
    // Lines alone are staged in several batches.
    const forms: readonly Form[] = what === 'bulk' ? ['NDJSON'] : FORMS;
    const told = await sendUntilAcknowledged(servers, chance, request, forms, noteFailure);
    note(request, told, (what === 'shared' ? shared : model).write(kind, request.input));
    if (chance.between(1, 5) > 1) continue;
    const again = await sendUntilAcknowledged(servers, chance, request, forms, noteFailure);
    known.repeated += 1;
    const isSame = again.replayed && again.operationId === told.operationId && again.inserted === told.inserted;
    if (!isSame) known.contradictions.push(`${JSON.stringify(told)} and then ${JSON.stringify(again)}`);
  }
};

const noteFailure = (error: unknown): void => void known.contradictions.push(String(error));

const note = ({ input }: KeyedRequest, told: Acknowledged, expected: string): void => {
  known.acknowledged.set(input.idempotencyKey, told);
  known.records += input.records.length;
  if (told.replayed) known.replayed += 1;
  const receipt = `taken ${told.inserted} ${told.hidden}`;
  if (receipt !== expected) known.contradictions.push(`${input.idempotencyKey}: ${receipt}, not ${expected}`);
};

const sendWithoutPatience = async (chance: Chance, request: KeyedRequest): Promise<void> => {
  const { answering } = servers;
  if (answering.length === 0) return;
  const { idempotencyKey } = request.input;
  known.once.set(idempotencyKey, request);
  const answer = await sendOnce(chance.pick(answering), chance.pick(FORMS), request);
  if (answer !== 'again') known.acknowledged.set(idempotencyKey, answer);
};

interface LedgerRow {
  readonly key: string;
  readonly stream: string;
  readonly kind: string;
  readonly told: readonly [inserted: number, hidden: number];
  readonly rows: readonly [inserted: number, hidden: number];
}

/** Each operation: what it says that it did, and the rows that bear its id. */
const readLedger = async (): Promise<LedgerRow[]> =>
  querySql<LedgerRow>(
    deployment,
    `SELECT o.idempotency_key AS key, s.name AS stream, o.kind,
            json_build_array(o.inserted_records, o.hidden_records) AS told,
            json_build_array(coalesce(i.count, 0), coalesce(h.count, 0)) AS rows
     FROM operations o JOIN streams s ON s.id = o.stream_id
     LEFT JOIN (SELECT operation_id AS id, count(*) FROM records GROUP BY 1) i ON i.id = o.id
     LEFT JOIN (SELECT hidden_by AS id, count(*) FROM records GROUP BY 1) h ON h.id = o.id`,
  );

/** Live values by stream and key, as the ledger's rows have them. */
const readLive = async (): Promise<Map<string, bigint>> => {
  const rows = await querySql<{ stream: string; bucket: string; region: string; element: string; value: string }>(
    deployment,
    `SELECT s.name AS stream, to_char(r.bucket_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS bucket,
            f.dimensions -> 'region' ->> 0 AS region, r.element, sum(r.value)::text AS value
     FROM records r JOIN streams s ON s.id = r.stream_id JOIN filters f ON f.id = r.filter_id
     WHERE r.hidden_by IS NULL GROUP BY 1, 2, 3, 4`,
  );
  return new Map(
    rows.map(({ stream, bucket, region, element, value }) => [
      `${stream} ${keyOf({ bucket, filter: canonicalFilter([{ dimension: 'region', values: [region] }]), element })}`,
      parseValue(value),
    ]),
  );
};

const valuesOf = (models: readonly Model[]): Map<string, bigint> =>
  new Map(
    models.flatMap((model) =>
      model.streams.flatMap(({ name, live }) =>
        [...liveValues(live)].map(([key, value]) => [`${name} ${key}`, value] as const),
      ),
    ),
  );

test(
  'acknowledged records > count exactly once, and no request is stored partially, when servers and PostgreSQL are killed',
  { timeout: DURATION_MS + EXTENSION_MS + 300_000 },
  async () => {
    const chance = createChance('acknowledged');
    const end = performance.now() + DURATION_MS;
    let over = false;
    const shared = new Model();
    const models = Array.from({ length: SENDERS }, () => new Model());
    const unacknowledged = (): number => [...known.once.keys()].filter((key) => !known.acknowledged.has(key)).length;
    /** Whether the faults have hit what they are for, which takes longer on a slow machine. */
    const isMet = (): boolean => known.replayed > 0 && unacknowledged() > 0 && servers.kills > 1;
    const isOver = (): boolean => over || performance.now() > (isMet() ? end : end + EXTENSION_MS);
    /** Waits for a number of acknowledgements, so that a slow machine makes progress between kills; with a limit, because they may need the end of a fault. */
    const progress = async (acknowledgements: number, mostMs: number): Promise<void> => {
      const [enough, late] = [known.acknowledged.size + acknowledgements, performance.now() + mostMs];
      while (!isOver() && known.acknowledged.size < enough && performance.now() < late) await delay(50);
    };
    const killServers = async (): Promise<void> => {
      while (!isOver()) {
        await progress(chance.between(2, 12), 6000);
        await delay(chance.between(0, 500));
        servers.killOne(chance.pick);
      }
    };
    let restarts = 0;
    const restartPostgres = async (): Promise<void> => {
      while (!isOver()) {
        await progress(chance.between(15, 45), 20_000);
        await delay(chance.between(0, 500));
        await deployment.postgres.goAway();
        await delay(chance.between(0, 1500));
        await deployment.postgres.comeBack();
        restarts += 1;
      }
    };
    const parts = [
      killServers(),
      restartPostgres(),
      ...models.map((model, index) => runSender(`sender-${index + 1}`, model, shared, isOver)),
    ];
    try {
      await Promise.all(parts);
    } finally {
      over = true;
      await Promise.allSettled(parts);
    }

    const ledger = await readLedger();
    const byKey = Map.groupBy(ledger, ({ key }) => key);
    // Requests that were sent once are in the ledger completely or not at all.
    const taken = new Model();
    for (const [key, { kind, input }] of known.once) if (byKey.has(key)) taken.write(kind, input);
    const keys = [...known.acknowledged.keys()];
    const missing = keys.filter((key) => !byKey.has(key));
    const doubled = [...byKey].filter(([, rows]) => rows.length > 1).map(([key]) => key);
    const strangers = [...byKey.keys()].filter((key) => !known.acknowledged.has(key) && !known.once.has(key));
    const halves = ledger.filter(({ told, rows }) => String(told) !== String(rows));
    const orphans = await querySql(
      deployment,
      'SELECT r.* FROM records r WHERE NOT EXISTS (SELECT FROM operations o WHERE o.id = r.operation_id) LIMIT 10',
    );
    expect({ missing, doubled, strangers, halves, orphans }).toEqual({
      missing: [],
      doubled: [],
      strangers: [],
      halves: [],
      orphans: [],
    });
    expect(known.contradictions).toEqual([]);

    const expected = valuesOf([shared, ...models, taken]);
    const actual = await readLive();
    const wrong = [...new Set([...expected.keys(), ...actual.keys()])].filter(
      (key) => (expected.get(key) ?? 0n) !== (actual.get(key) ?? 0n),
    );
    const lower = wrong.filter((key) => (actual.get(key) ?? 0n) < (expected.get(key) ?? 0n));
    expect(wrong.map((key) => `${key}: ${actual.get(key)} instead of ${expected.get(key)}`)).toEqual([]);
    await expectSameOverTheApi(models, shared);

    // A server continues without its database and the other servers: only killed servers have ended.
    expect(servers.endedByThemselves).toEqual([]);
    expect(known.replayed).toBeGreaterThan(0);
    expect(unacknowledged()).toBeGreaterThan(0);
    expect(servers.kills).toBeGreaterThan(1);
    await tally({
      scenario: 1,
      done: `three servers under load; SIGKILL ${counted(servers.kills, 'times')}, PostgreSQL restarted in immediate mode ${counted(restarts, 'times')}`,
      tried: `${counted(keys.length, 'requests')} with ${counted(known.records, 'records')}; ${counted(known.replayed, 'were stored although their response was lost')}`,
      lost: missing.length + lower.length,
      twice: doubled.length + wrong.length - lower.length,
    });
  },
);

/** And a reader sees the same. */
const expectSameOverTheApi = async (models: readonly Model[], shared: Model): Promise<void> => {
  const [server] = servers.answering;
  if (!server) throw new Error('No server answers any more.');
  const streams = [shared, ...models].flatMap((model) => model.streams).filter(({ name }) => !name.startsWith('bulk-'));
  for (const { name, live } of streams) {
    const seen = ((await readRecords(server, name)) ?? []).map(
      ({ timestamp, filter, elementName, value }) =>
        `${keyOf({ bucket: timestamp, filter: canonicalFilter(filter), element: elementName })} ${value}`,
    );
    expect(seen.toSorted()).toEqual(
      [...liveValues(live)].map(([key, value]) => `${key} ${formatValue(value)}`).toSorted(),
    );
  }
};
