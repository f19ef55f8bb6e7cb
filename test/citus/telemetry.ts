import type { Chance } from '../faults/chance.ts';
import { ask, allocationPath, jsonOf, linesOf, NDJSON, type Receipt, type Verb } from '../rest/requests.ts';
import { answerOf } from '../streams/model.ts';
import { type RecordInput, write, type WriteInput, type WriteKind } from '../streams/writes.ts';
import type { TestServer } from '../support/server.ts';

export const FORMS = ['GraphQL', 'JSON', 'NDJSON'] as const;
export type Form = (typeof FORMS)[number];

const VERBS: Readonly<Record<WriteKind, Verb>> = { Sum: 'sum', Replace: 'replace', Delete: 'delete' };

const lineOf = ({ timestamp, granularity, filter, elementName, value }: RecordInput): string =>
  JSON.stringify({
    timestamp,
    granularity,
    ...(filter && { filter: Object.fromEntries(filter.map(({ dimension, values }) => [dimension, values])) }),
    ...(elementName != null && { 'element-name': elementName }),
    ...(value !== undefined && { value }),
  });

/** Writes in any form, and describes the receipt as the model does: `taken 2 1 replayed`. */
export const writeAs = async (
  form: Form,
  server: TestServer,
  kind: WriteKind,
  input: WriteInput,
  key: string,
): Promise<string> => {
  if (form === 'GraphQL') return answerOf(await write(server, kind, input, key));
  const lines = input.records.map(lineOf);
  const { status, text, body } = await ask<Receipt>(server, `POST ${allocationPath(input.stream, VERBS[kind])}`, {
    key,
    body: form === 'JSON' ? jsonOf(lines) : linesOf(lines),
    headers: {
      ...(form === 'NDJSON' && NDJSON),
      ...(input.idempotencyKey != null && { 'idempotency-key': input.idempotencyKey }),
    },
  });
  if (status >= 300) return `${status} ${text}`;
  return `taken ${body.insertedRecords} ${body.hiddenRecords}${body.replayed ? ' replayed' : ''}`;
};

const DAYS = ['2026-01-25T00:00:00Z', '2026-01-26T00:00:00Z', '2026-02-01T00:00:00Z'];
const REGIONS = ['eu', 'us', 'ap'];

const randomKey = (chance: Chance): RecordInput => ({
  timestamp: chance.pick(DAYS),
  granularity: 'DAILY',
  filter: [{ dimension: 'region', values: [chance.pick(REGIONS)] }],
  elementName: `element ${chance.between(1, 12)}`,
});

/** Selectors name a day, and beside it an element, a region, both or neither. */
const randomSelector = (chance: Chance): RecordInput => {
  const { timestamp, granularity, filter, elementName } = randomKey(chance);
  return {
    timestamp,
    granularity,
    ...(chance.between(1, 4) > 1 && { elementName }),
    ...(chance.between(1, 3) > 1 && { filter }),
  };
};

const distinct = (records: readonly RecordInput[]): RecordInput[] => [
  ...new Map(records.map((one) => [`${one.timestamp} ${one.filter?.[0]?.values[0]} ${one.elementName}`, one])).values(),
];

/** Up to `largest` records of few keys. A replace names no key twice. */
export const randomRecords = (chance: Chance, kind: WriteKind, largest: number): RecordInput[] => {
  const count = chance.between(1, largest);
  if (kind === 'Delete') return distinct(Array.from({ length: count }, () => randomSelector(chance)));
  const records = Array.from({ length: count }, () => ({
    ...randomKey(chance),
    value: `${chance.between(0, 1_000_000)}.${chance.between(1, 999_999_999)}`,
  }));
  return kind === 'Sum' ? records : distinct(records);
};
