import type { Result, RunView, StepServer } from '../support/job-steps.ts';
import { eventually } from '../support/server.ts';

// Steps through the public API that the tests of backfills share.

export interface BackfillView {
  readonly id: string;
  readonly job: { readonly id: string } | null;
  readonly from: string;
  readonly to: string;
  readonly order: string;
  readonly reprocess: string;
  readonly status: string;
  readonly finishedAt: string | null;
  readonly windows: number;
  readonly delivered: number;
  readonly skipped: number;
  readonly failed: number;
  readonly rowsWritten: number;
  readonly bytesWritten: number;
  readonly error: { readonly code: string; readonly message: string; readonly retryable: boolean } | null;
  readonly runs: { readonly totalCount: number };
}

const BACKFILL_FIELDS = `id job { id } from to order reprocess status createdAt finishedAt windows delivered skipped failed
  rowsWritten bytesWritten error { code message retryable } runs { totalCount }`;
const FAILURES = '... on UserError { code message } ... on ValidationError { issues { path code message } }';

export type BackfillInput = Readonly<Record<string, unknown>>;

/** Returns the whole result, including errors. */
export async function tryCreateBackfill(server: StepServer, input: BackfillInput, key?: string): Promise<Result> {
  const { createBackfill } = await server.graphql<{ createBackfill: Result }>(
    `mutation ($input: BackfillInput!) { createBackfill(input: $input) { __typename ... on Backfill { ${BACKFILL_FIELDS} } ${FAILURES} } }`,
    { input },
    key,
  );
  return createBackfill;
}

export async function createBackfill(server: StepServer, input: BackfillInput): Promise<BackfillView> {
  const result = await tryCreateBackfill(server, input);
  if (result.__typename !== 'Backfill') throw new Error(JSON.stringify(result));
  return result as unknown as BackfillView;
}

export type Change = 'pauseBackfill' | 'resumeBackfill' | 'cancelBackfill' | 'retryBackfill';

export async function changeBackfill(server: StepServer, change: Change, id: string, key?: string): Promise<Result> {
  const data = await server.graphql<Record<string, Result>>(
    `mutation ($id: ID!) { ${change}(id: $id) { __typename ... on Backfill { ${BACKFILL_FIELDS} } ... on UserError { code message } } }`,
    { id },
    key,
  );
  return data[change] as Result;
}

export async function readBackfill(server: StepServer, id: string): Promise<BackfillView> {
  const { node } = await server.graphql<{ node: BackfillView | null }>(
    `query ($id: ID!) { node(id: $id) { ... on Backfill { ${BACKFILL_FIELDS} } } }`,
    { id },
  );
  if (!node) throw new Error(`The backfill ${id} does not exist.`);
  return node;
}

export function backfillThat(
  server: StepServer,
  id: string,
  isWanted: (backfill: BackfillView) => boolean,
  deadlineMs = 60_000,
): Promise<BackfillView> {
  return eventually(() => readBackfill(server, id), isWanted, deadlineMs);
}

export function endedBackfill(server: StepServer, id: string, deadlineMs = 60_000): Promise<BackfillView> {
  return backfillThat(server, id, ({ finishedAt }) => finishedAt !== null, deadlineMs);
}

/** Returns up to 100 runs of a backfill, newest first. */
export async function runsOfBackfill(
  server: StepServer,
  id: string,
  status: readonly string[] | null = null,
): Promise<RunView[]> {
  const { node } = await server.graphql<{ node: { runs: { edges: { node: RunView }[] } } }>(
    `query ($id: ID!, $status: [RunStatus!]) { node(id: $id) { ... on Backfill { runs(first: 100, status: $status) { edges { node {
      id status trigger scheduledFor windowStart windowEnd startedAt finishedAt error { code message retryable } } } } } } }`,
    { id, status },
  );
  return node.runs.edges.map(({ node: run }) => run);
}
