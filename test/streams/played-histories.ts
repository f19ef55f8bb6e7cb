import { expect } from 'vitest';
import { findAccount } from '../../src/accounts/accounts.ts';
import { takeWatermark } from '../../src/db/as-of.ts';
import { mergeTotals } from '../../src/streams/totals/merge-totals.ts';
import { computeBuckets } from '../../src/usage/buckets.ts';
import { readUsageRows, resolveStreams } from '../../src/usage/usage.ts';
import type { TestServer } from '../support/server.ts';
import { readUsage } from '../usage/questions.ts';
import {
  compareRows,
  labelAt,
  labelsOf,
  rescaled,
  type RowKey,
  type UsageQuestion,
  usageOf,
} from '../usage/usage-oracle.ts';
import { hashKeysOf } from './hashed-streams.ts';
import {
  answerOf,
  canonicalFilter,
  formatValue,
  keyOf,
  liveValues,
  Model,
  type ModelStream,
  parseValue,
} from './model.ts';
import { type Command, type Drawn, history, question, respell, shapeAt, STREAM_NAMES } from './random-requests.ts';
import { deleteStream, readRecords, write, type WriteInput, type WriteKind } from './writes.ts';

// Plays random histories on a server and compares every answer with the model's.

/** The servers and accounts of a history. */
export interface Stage {
  readonly server: TestServer;
  /** An account that no other history uses, so that "every stream" means those of the history. */
  readonly accountName: string;
  /** Removes the totals of a stream, as if a server of before there were totals had written them. */
  readonly forgetTotals: (accountId: bigint, stream: string) => Promise<void>;
  /** Called after each command. */
  readonly onPlayed?: (played: Played) => Promise<void>;
}

export interface Played {
  readonly key: string;
  readonly accountId: bigint;
  readonly model: Model;
}

interface Snapshot {
  readonly watermark: string;
  readonly streams: readonly ModelStream[];
}

/** Sends a history and compares every answer with the model's. */
export const play = async (
  { server, accountName, forgetTotals, onPlayed }: Stage,
  firstShape: number,
  commands: readonly Command[],
) => {
  const key = await server.createKey(accountName, ['ADMIN']);
  const account = await findAccount(server.resources.database.acrossAccounts, accountName);
  if (!account) throw new Error(`The account ${accountName} was not created.`);
  const accountId = account.id;
  const model = new Model();
  const snapshots: Snapshot[] = [];
  const deletions = new Map<string, number>();
  const sent: { readonly kind: WriteKind; readonly input: WriteInput }[] = [];
  const send = async (kind: WriteKind, input: WriteInput): Promise<void> => {
    const expected = model.write(kind, input);
    expect(answerOf(await write(server, kind, input, key)), JSON.stringify(input)).toBe(expected);
  };
  for (const command of commands) {
    if (command.do === 'snapshot') {
      snapshots.push({
        watermark: (await takeWatermark(server.resources.database.acrossAccounts, accountId)).snapshot,
        streams: model.copy(),
      });
    } else if (command.do === 'deleteStream') {
      const was = model.deleteStream(command.name);
      expect((await deleteStream(server, command.name, key)).__typename).toBe(was ? 'DeletedStream' : 'NotFoundError');
      if (was) deletions.set(command.name, (deletions.get(command.name) ?? 0) + 1);
    } else if (command.do === 'mergeTotals') {
      await mergeTotals(server.resources.database.acrossAccounts, { minOperations: 1 });
    } else if (command.do === 'hashKeys') {
      await hashKeysOf(server, accountId, command.name);
    } else if (command.do === 'forgetTotals') {
      await forgetTotals(accountId, command.name);
    } else if (command.do === 'again') {
      const earlier = sent[command.which % sent.length];
      if (earlier) await send(earlier.kind, respell(earlier.input));
    } else {
      const input = command.input((name) =>
        shapeAt(firstShape + STREAM_NAMES.findIndex((one) => one === name) + (deletions.get(name) ?? 0) * 2),
      );
      sent.push({ kind: command.do, input });
      await send(command.do, input);
    }
    await onPlayed?.({ key, accountId, model });
  }
  return { key, accountId, model, snapshots };
};

export const expectLiveValues = async (
  server: TestServer,
  streams: readonly ModelStream[],
  key: string,
  names: readonly string[] = STREAM_NAMES,
): Promise<void> => {
  for (const name of names) {
    const stream = streams.find((one) => one.name === name);
    const records = await readRecords(server, name, { key, pageSize: 3 });
    if (!stream) {
      expect(records, `${name} does not exist`).toBeNull();
      continue;
    }
    const listed = (records ?? []).map((record) => {
      const filter = canonicalFilter(record.filter);
      return `${keyOf({ bucket: record.timestamp, filter, element: record.elementName })} ${record.value}`;
    });
    const expected = [...liveValues(stream.live)].map(([one, value]) => `${one} ${formatValue(value)}`);
    // Compared as arrays, so that a key that occurs twice is noticed.
    expect(listed.toSorted()).toEqual(expected.toSorted());
    const buckets = (records ?? []).map((record) => record.timestamp);
    expect(buckets, 'newest bucket first').toEqual(buckets.toSorted().toReversed());
  }
};

type Question = Drawn<typeof question>;

export const expectUsage = async (
  server: TestServer,
  streams: readonly ModelStream[],
  key: string,
  asked: Question & { readonly meterApiNames?: readonly string[] },
): Promise<void> => {
  const { coefficient, ...input } = asked;
  const answer = await readUsage(
    server,
    { ...input, ...(coefficient !== null && { rescaleFunction: { function: 'MULTIPLY', coefficient } }) },
    key,
  );
  expect(answer.__typename).toBe('Usage');
  const factor = parseValue((coefficient ?? '1').replace('-', '')) * (coefficient?.startsWith('-') ? -1n : 1n);
  const named = { ...asked, filter: asked.filter.map(elementByItsName) };
  const expected = rescaled(usageOf(streams, named), factor);
  const labels = labelsOf(asked).length;
  const found = new Map<string, string>();
  for (const series of answer.series) {
    const groups = asked.groupBy.map((name) => series.group.find((entry) => entry.dimension === name)?.values ?? null);
    for (const point of series.points) {
      const row: RowKey = [series.meterApiName, labelAt(new Date(point.bucketStart), asked), ...groups];
      if (!asked.sparse && point.value === '0' && !expected.has(JSON.stringify(row))) continue;
      found.set(JSON.stringify(row), point.value);
    }
    if (!asked.sparse) expect(series.points.length, 'a point for every bucket').toBe(labels);
    expect(parseSigned(series.total)).toBe(series.points.reduce((sum, point) => sum + parseSigned(point.value), 0n));
  }
  expect(Object.fromEntries(found), JSON.stringify(asked)).toEqual(Object.fromEntries(expected));
  const firsts = answer.series.map((series) =>
    JSON.stringify([
      series.meterApiName,
      '',
      ...asked.groupBy.map((name) => series.group.find((entry) => entry.dimension === name)?.values ?? null),
    ]),
  );
  expect(firsts, 'series are sorted').toEqual(firsts.toSorted(compareRows));
};

const elementByItsName = (entry: UsageQuestion['filter'][number]) =>
  entry.dimension === 'element_name' ? { ...entry, dimension: 'element' } : entry;

/** In 10^-24. */
const parseSigned = (text: string): bigint => {
  const [whole = '', fraction = ''] = text.replace('-', '').split('.');
  return BigInt(whole + fraction.padEnd(60, '0')) * (text.startsWith('-') ? -1n : 1n);
};

/** The rows of a spec as of an older watermark, by the function that usage queries and exports share. Both plans have the same rows. */
export const rowsAsOf = async (
  server: TestServer,
  accountId: bigint,
  watermark: string,
  asked: Pick<Question, 'groupBy'>,
): Promise<Map<string, string>> => {
  const db = server.resources.database.acrossAccounts;
  const window = { start: new Date('2025-11-01T00:00:00Z'), end: new Date('2026-03-01T00:00:00Z') };
  const spec = {
    accountId,
    watermark,
    ...(await resolveStreams(db, accountId, null, watermark)),
    buckets: computeBuckets(window, 'DAY', 'UTC'),
    timeZone: 'UTC',
    groupBy: asked.groupBy,
    filter: [],
    sparse: true,
    coefficient: null,
  };
  const rows = await readUsageRows(db, spec, 10_000);
  expect(await readUsageRows(db, { ...spec, hasManyLater: !spec.hasManyLater }, 10_000)).toEqual(rows);
  const toGroup = (value: string | string[] | null | undefined) =>
    value == null ? null : typeof value === 'string' ? [value] : value;
  const found = rows.map((row) => [
    JSON.stringify([
      row.meterApiName,
      row.bucketStart.slice(0, 10),
      ...asked.groupBy.map((_, index) => toGroup(row[`g${index + 1}`])),
    ]),
    row.value,
  ]);
  expect(found.map(([row]) => row)).toEqual(found.map(([row]) => row as string).toSorted(compareRows));
  return new Map(found as [string, string][]);
};

/** Plays one history; then live values, counts, usage, and usage as of the snapshots in between are those of the model. */
export const expectHistory = async (
  stage: Stage,
  one: Drawn<typeof history>,
  questions: readonly Question[],
): Promise<void> => {
  const { server } = stage;
  const { key, accountId, model, snapshots } = await play(stage, one.firstShape, one.commands);
  await expectLiveValues(server, model.streams, key);
  for (const asked of questions) await expectUsage(server, model.streams, key, asked);
  const [asked] = questions;
  if (!asked) throw new Error('A history without a question.');
  const days: UsageQuestion = {
    from: '2025-11-01T00:00:00Z',
    to: '2026-03-01T00:00:00Z',
    aggregationBucket: 'DAY',
    timeZone: 'UTC',
    groupBy: asked.groupBy,
    filter: [],
  };
  for (const { watermark, streams } of snapshots) {
    expect(Object.fromEntries(await rowsAsOf(server, accountId, watermark, asked))).toEqual(
      Object.fromEntries(rescaled(usageOf(streams, days))),
    );
  }
};
