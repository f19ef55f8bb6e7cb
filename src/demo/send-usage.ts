import type { GraphQLClient } from '../api-client/graphql-client.ts';
import {
  addDays,
  datesBetween,
  MADE_UP_STREAMS,
  type MadeUpRecord,
  type MadeUpStream,
  usageOn,
} from './generated-usage.ts';
import type { Screen } from './screen.ts';

/** What one request takes, unless a setting says otherwise. */
const MAX_RECORDS = 10_000;

export interface UsageDates {
  /** YYYY-MM-DD. */
  readonly from: string;
  /** The first date after. */
  readonly to: string;
}

interface StreamAnswer {
  readonly stream: { readonly lastTimestamp: string | null } | null;
}

interface SumAnswer {
  readonly allocationSum: { readonly __typename: string; readonly message?: string };
}

/** Whole days of one stream, as many as one request takes. */
interface Request {
  readonly stream: MadeUpStream;
  readonly dates: readonly string[];
  readonly records: readonly MadeUpRecord[];
}

/**
 * Sends the usage of these dates. Days come in order and whole, so where a stream has some already, what is left begins
 * after its last one: a second run of the demo, on whatever day, doubles nothing.
 */
export const sendUsage = async (
  client: GraphQLClient,
  screen: Screen,
  dates: UsageDates,
  startedAt: Date,
): Promise<void> => {
  for (const stream of MADE_UP_STREAMS) {
    const from = await firstMissing(client, stream, dates);
    const missing = datesBetween(from, dates.to);
    const bar = screen.startBar(stream.name.padEnd(18));
    let days = 0;
    let sent = 0;
    let requests = 0;
    for (const request of requestsOf(stream, missing)) {
      await send(client, request, startedAt);
      requests += 1;
      days += request.dates.length;
      sent += request.records.length;
      bar.show(days, missing.length, `${sent.toLocaleString('en-US')} records`);
    }
    bar.end(
      sent === 0
        ? 'nothing to send: all days are there from an earlier run'
        : `${sent.toLocaleString('en-US')} records of ${missing.length} days in ${requests} requests`,
    );
  }
};

const firstMissing = async (client: GraphQLClient, { name }: MadeUpStream, dates: UsageDates): Promise<string> => {
  const { stream } = await client.request<StreamAnswer>(
    `query ($name: String!) { stream(name: $name) { lastTimestamp } }`,
    { name },
  );
  const last = stream?.lastTimestamp?.slice(0, 10);
  return last !== undefined && last >= dates.from ? addDays(last, 1) : dates.from;
};

function* requestsOf(stream: MadeUpStream, dates: readonly string[]): Generator<Request> {
  let request: { dates: string[]; records: MadeUpRecord[] } = { dates: [], records: [] };
  for (const date of dates) {
    const records = usageOn(stream, date);
    if (request.records.length + records.length > MAX_RECORDS) {
      yield { stream, ...request };
      request = { dates: [], records: [] };
    }
    request.dates.push(date);
    request.records.push(...records);
  }
  if (request.dates.length > 0) yield { stream, ...request };
}

const send = async (client: GraphQLClient, { stream, dates, records }: Request, startedAt: Date): Promise<void> => {
  const { allocationSum } = await client.request<SumAnswer>(
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
};
