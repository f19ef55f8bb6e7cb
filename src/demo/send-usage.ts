import type { GraphQLClient } from '../api-client/graphql-client.ts';
import { pluralize } from '../lib/format-amounts.ts';
import {
  addDays,
  datesBetween,
  GENERATED_STREAMS,
  type GeneratedRecord,
  type GeneratedStream,
  generateUsage,
} from './generated-usage.ts';
import type { Screen } from './screen.ts';

/** The default of MAX_RECORDS, records per request. */
const MAX_RECORDS = 10_000;

export interface UsageDates {
  /** YYYY-MM-DD. */
  readonly from: string;
  /** Exclusive. */
  readonly to: string;
}

/** Complete days of one stream, up to MAX_RECORDS records. */
interface Request {
  readonly stream: GeneratedStream;
  readonly dates: readonly string[];
  readonly records: readonly GeneratedRecord[];
}

/**
 * Sends the usage of these dates, in order and by complete days. If a stream already has records, only the days after its last one are
 * sent, so that running the demo again doubles nothing.
 */
export async function sendUsage(
  client: GraphQLClient,
  screen: Screen,
  dates: UsageDates,
  startedAt: Date,
): Promise<void> {
  for (const stream of GENERATED_STREAMS) {
    const from = await findFirstMissingDate(client, stream, dates);
    const missing = datesBetween(from, dates.to);
    const bar = screen.startBar(stream.name.padEnd(18));
    let days = 0;
    let sent = 0;
    let requests = 0;
    for (const request of buildRequests(stream, missing)) {
      await send(client, request, startedAt);
      requests += 1;
      days += request.dates.length;
      sent += request.records.length;
      bar.show(days, missing.length, pluralize(sent, 'record'));
    }
    bar.end(
      sent === 0
        ? 'nothing to send: all days are stored from an earlier demo'
        : `${pluralize(sent, 'record')} of ${pluralize(missing.length, 'day')} in ${pluralize(requests, 'request')}`,
    );
  }
}

async function findFirstMissingDate(
  client: GraphQLClient,
  { name }: GeneratedStream,
  dates: UsageDates,
): Promise<string> {
  const { stream } = await client.request<{ stream: { lastTimestamp: string | null } | null }>(
    `query ($name: String!) { stream(name: $name) { lastTimestamp } }`,
    { name },
  );
  const last = stream?.lastTimestamp?.slice(0, 10);
  return last !== undefined && last >= dates.from ? addDays(last, 1) : dates.from;
}

function* buildRequests(stream: GeneratedStream, dates: readonly string[]): Generator<Request> {
  let request: { dates: string[]; records: GeneratedRecord[] } = { dates: [], records: [] };
  for (const date of dates) {
    const records = generateUsage(stream, date);
    if (request.records.length + records.length > MAX_RECORDS) {
      yield { stream, ...request };
      request = { dates: [], records: [] };
    }
    request.dates.push(date);
    request.records.push(...records);
  }
  if (request.dates.length > 0) yield { stream, ...request };
}

async function send(client: GraphQLClient, { stream, dates, records }: Request, startedAt: Date): Promise<void> {
  const { allocationSum } = await client.request<{ allocationSum: { message?: string } }>(
    `mutation ($input: AllocationInput!) { allocationSum(input: $input) { __typename ... on UserError { message } } }`,
    {
      input: {
        stream: stream.name,
        records,
        idempotencyKey: `${stream.name} ${dates[0]} to ${dates.at(-1)}, demo of ${startedAt.toISOString()}`,
      },
    },
  );
  if (allocationSum.message !== undefined) throw new Error(allocationSum.message);
}
