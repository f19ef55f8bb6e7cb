import type { TestServer } from '../support/server.ts';
import { type FilterEntry, type RecordInput, verdict, write } from '../streams/writes.ts';

// The usage query as clients send it.

export interface UsageInput {
  readonly meterApiNames?: readonly string[] | null;
  readonly from: string;
  readonly to: string;
  readonly aggregationBucket: string;
  readonly timeZone?: string;
  readonly groupBy?: readonly string[] | null;
  readonly filter?: readonly FilterEntry[] | null;
  readonly sparse?: boolean;
  readonly rescaleFunction?: { readonly function: string; readonly coefficient: string | number } | null;
  readonly top?: number | null;
  readonly asOf?: { readonly operation: string } | null;
}

export interface Series {
  readonly meterApiName: string;
  readonly group: readonly FilterEntry[];
  readonly others: boolean;
  readonly groupCount: number;
  readonly total: string;
  readonly points: readonly { readonly bucketStart: string; readonly bucketEnd: string; readonly value: string }[];
}

export interface UsageAnswer {
  readonly __typename: string;
  readonly from: string;
  readonly to: string;
  readonly series: readonly Series[];
  readonly code?: string;
  readonly issues?: readonly { readonly path: readonly string[]; readonly code: string }[];
  readonly limit?: number;
  readonly actual?: number;
}

const QUERY = `query ($input: UsageInput!) { usage(input: $input) { __typename
  ... on Usage { from to series { meterApiName group { dimension values } others groupCount total points { bucketStart bucketEnd value } } }
  ... on UserError { code } ... on ValidationError { issues { path code } } ... on LimitExceededError { limit actual } } }`;

export const readUsage = async (
  server: Pick<TestServer, 'graphql'>,
  input: UsageInput,
  key?: string,
): Promise<UsageAnswer> => (await server.graphql<{ usage: UsageAnswer }>(QUERY, { input }, key)).usage;

/** Returns the values of the only series by the start of their bucket, or an empty object if there is no series. */
export const pointsOf = (answer: UsageAnswer): Record<string, string> => {
  if (answer.series.length > 1) throw new Error(`There are ${answer.series.length} series.`);
  return Object.fromEntries((answer.series[0]?.points ?? []).map((point) => [point.bucketStart, point.value]));
};

/** Returns a record of the element hooli on this date. */
export const daily = (date: string, value: string, filter: readonly FilterEntry[] = []): RecordInput => ({
  timestamp: `${date}T00:00:00Z`,
  granularity: 'DAILY',
  elementName: 'hooli',
  value,
  filter,
});

/** Sends the records as a sum. Throws if they are rejected. */
export const sendRecords = async (
  server: TestServer,
  stream: string,
  records: readonly RecordInput[],
): Promise<void> => {
  const told = verdict(await write(server, 'Sum', { stream, records }));
  if (told !== 'taken') throw new Error(told);
};

/** Formats the issues as `input.from: BAD_TIMESTAMP`. Returns the type name if there are no issues. */
export const issuesOf = (answer: UsageAnswer): string =>
  (answer.issues ?? []).map(({ path, code }) => `${path.join('.')}: ${code}`).join(', ') || answer.__typename;
