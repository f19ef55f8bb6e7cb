import { exportOnce, innerId, querySql, type Result, runsOf, type RunView, type Settings } from './job-steps.ts';
import { eventually, type TestServer } from './server.ts';

// Steps that tests of corrections and restatements share. Deliveries are some days old, since restatements have an age limit.

const DAY_MS = 86_400_000;
const TODAY = Math.floor(Date.now() / DAY_MS) * DAY_MS;

/** Returns an instant some days before today, at an hour of the day. */
export function daysAgo(days: number, hour = 0): string {
  return new Date(TODAY - days * DAY_MS + hour * 3_600_000).toISOString().replace('.000', '');
}

export interface DeliveryView {
  readonly id: string;
  readonly state: string;
  readonly windowStart: string;
  readonly revision: number;
  readonly staleSince: string | null;
  readonly pendingOperations: readonly { readonly id: string; readonly kind: string }[];
}

/** Returns the deliveries of a job, newest window end first. */
export async function deliveriesOf(server: TestServer, jobId: string): Promise<DeliveryView[]> {
  const { job } = await server.graphql<{ job: { deliveries: { edges: { node: DeliveryView }[] } } }>(
    `query ($id: ID!) { job(id: $id) { deliveries(first: 100) { edges {
      node { id state windowStart revision staleSince pendingOperations { id kind } } } } } }`,
    { id: jobId },
  );
  return job.deliveries.edges.map(({ node }) => node);
}

/** Returns the RESTATEMENT runs of a job, oldest slot first. */
export async function restatementsOf(server: TestServer, jobId: string): Promise<RunView[]> {
  return (await runsOf(server, jobId)).filter(({ trigger }) => trigger === 'RESTATEMENT');
}

/** Waits until deliveries of the job are marked with a number of pending operations, and lets them be checked immediately. */
export async function checkTouched(server: TestServer, jobId: string, operations: number): Promise<void> {
  await eventually(
    () => deliveriesOf(server, jobId),
    (all) => all.some(({ state, pendingOperations }) => state === 'TOUCHED' && pendingOperations.length === operations),
    20_000,
  );
  await querySql(server, 'UPDATE deliveries SET check_at = now() WHERE job_id = $1 AND touched_at IS NOT NULL', [
    innerId(jobId),
  ]);
}

/** Waits until the ledgers were scanned after this call, and no check of a delivery is due, waits or is in flight. */
export async function checkedAll(server: TestServer): Promise<void> {
  const [{ now } = { now: '' }] = await querySql<{ now: string }>(server, 'SELECT clock_timestamp()::text AS now');
  await eventually(
    () =>
      querySql<{ scanned: boolean; due: number; deliveries: object[] | null }>(
        server,
        `WITH due AS (SELECT * FROM deliveries
           WHERE checking IS NOT NULL OR check_at < clock_timestamp() + interval '5 minutes' OR check_at = 'infinity')
         SELECT coalesce(bool_and(scanned_at > $1::timestamptz), true) AS scanned, (SELECT count(*)::int FROM due) AS due,
           (SELECT json_agg(json_build_object('job', job_id, 'revision', revision, 'complete', complete, 'checking', checking,
             'touchedAt', touched_at, 'checkAt', check_at, 'staleSince', stale_since)) FROM due) AS deliveries FROM ledger_cursors`,
        [now],
      ),
    ([row]) => row?.scanned === true && row.due === 0,
    100_000,
  );
}

/** Waits until all checks have ended, and all runs of the server. */
export async function settled(server: TestServer): Promise<void> {
  for (let before = -1; ;) {
    await checkedAll(server);
    const [row] = await eventually(
      () =>
        querySql<{ unended: number; runs: number }>(
          server,
          `SELECT count(*) FILTER (WHERE status IN ('QUEUED', 'RUNNING'))::int AS unended, count(*)::int AS runs FROM runs`,
        ),
      ([counts]) => counts?.unended === 0,
      100_000,
    );
    if (row?.runs === before) return;
    before = row?.runs ?? 0;
  }
}

export interface SentValue {
  readonly timestamp: string;
  readonly elementName: string;
  readonly value?: string;
  readonly filter?: readonly object[];
}

/** Writes records and returns the id of the operation. */
export async function write(
  server: TestServer,
  kind: 'allocationSum' | 'allocationReplace' | 'allocationDelete',
  stream: string,
  records: readonly SentValue[],
  granularity = 'HOURLY',
): Promise<string> {
  const input = kind === 'allocationDelete' ? 'AllocationDeleteInput' : 'AllocationInput';
  const data = await server.graphql<Record<string, Result>>(
    `mutation ($input: ${input}!) { ${kind}(input: $input) {
      __typename ... on AllocationReceipt { operation { id } } ... on UserError { message } ... on ValidationError { issues { message } } } }`,
    { input: { stream, records: records.map((record) => ({ granularity, ...record })) } },
  );
  const result = data[kind] as unknown as { operation?: { id: string } };
  if (!result.operation) throw new Error(JSON.stringify(result));
  return result.operation.id;
}

export async function revert(server: TestServer, operationId: string): Promise<void> {
  const { revertOperation } = await server.graphql<{ revertOperation: Result }>(
    'mutation ($input: RevertOperationInput!) { revertOperation(input: $input) { __typename } }',
    { input: { operationId } },
  );
  if (revertOperation.__typename !== 'AllocationReceipt') throw new Error(JSON.stringify(revertOperation));
}

/** Settings of an enabled job with windows of a day, whose restatements are automatic. */
export function restatedJob(stream: string, settings: Settings = {}): Settings {
  return {
    range: 'ago(1d)',
    groupBy: ['element'],
    meterApiNames: [stream],
    enabled: true,
    cron: '0 1 1 1 *',
    restateAfter: 'ago(1m)',
    ...settings,
  };
}

/** Lets marked deliveries of the job be checked immediately, instead of after a minute. */
export async function settleImmediately(server: TestServer, jobId: string): Promise<void> {
  await querySql(server, 'UPDATE jobs SET settle_seconds = 0 WHERE id = $1', [innerId(jobId)]);
  // A scan may have marked them before.
  await querySql(
    server,
    `UPDATE deliveries SET check_at = now()
     WHERE job_id = $1 AND check_at > now() AND check_at < 'infinity' AND checking IS NULL AND failures = 0`,
    [innerId(jobId)],
  );
}

/** Delivers the window of a day for a new job. Marked deliveries of the job are checked immediately. */
export async function deliverDay(server: TestServer, stream: string, day: number, settings: Settings = {}) {
  const exported = await exportOnce(server, restatedJob(stream, settings), daysAgo(day - 1, 1));
  await settleImmediately(server, exported.jobId);
  return exported;
}
