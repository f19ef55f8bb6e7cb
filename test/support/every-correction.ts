import { createJob } from './job-steps.ts';
import { eventually, type TestServer } from './server.ts';

/**
 * Replaces, previews and reverts records of the stream `usage` in the scope of a day, reads an earlier state of the ledger, and delivers that
 * day by a backfill.
 *
 * @param record a record of the day
 */
export async function correctInEveryWay(
  server: TestServer,
  record: { readonly timestamp: string; readonly [field: string]: unknown },
): Promise<void> {
  const from = record.timestamp;
  const to = new Date(Date.parse(from) + 86_400_000).toISOString();
  const input = { stream: 'usage', scope: { from, to }, records: [{ ...record, value: '7' }] };
  const { answer } = await server.graphql<{ answer: { operation?: { id: string } } }>(
    `mutation ($input: AllocationInput!) { answer: allocationReplace(input: $input) {
      ... on AllocationReceipt { operation { id } } ... on UserError { message } ... on ValidationError { issues { message } } } }`,
    { input },
  );
  if (!answer.operation) throw new Error(JSON.stringify(answer));
  const operationId = answer.operation.id;
  const preview = `query ($input: CorrectionPreviewInput!) { previewCorrection(input: $input) { __typename } }`;
  await server.graphql(preview, { input: { replace: input } });
  await server.graphql(preview, { input: { revertOperation: operationId } });
  await server.graphql(
    `query ($operation: ID!) { stream(name: "usage") { records(first: 2, asOf: { operation: $operation }) { edges { node { value } } } } }`,
    { operation: operationId },
  );
  await server.graphql(`mutation ($input: RevertOperationInput!) { revertOperation(input: $input) { __typename } }`, {
    input: { operationId },
  });
  const jobId = await createJob(server, {
    jobName: 'past',
    cron: '0 1 * * *',
    range: 'ago(1d)',
    s3Url: 'exports/past',
  });
  const { backfill } = await server.graphql<{ backfill: { id: string } }>(
    'mutation ($input: BackfillInput!) { backfill: createBackfill(input: $input) { ... on Backfill { id } } }',
    { input: { jobId, from, to } },
  );
  await eventually(
    () =>
      server.graphql<{ node: { status: string } }>(
        `query ($id: ID!) { node(id: $id) { ... on Backfill { status } } }`,
        {
          id: backfill.id,
        },
      ),
    ({ node }) => node.status === 'SUCCEEDED',
  );
}
