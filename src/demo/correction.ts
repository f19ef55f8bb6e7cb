import { setTimeout as delay } from 'node:timers/promises';
import type { GraphQLClient } from '../api-client/graphql-client.ts';
import { pluralize } from '../lib/format-amounts.ts';
import { DEMO_CORRECTION, GENERATED_STREAMS, generateUsage } from './generated-usage.ts';
import { readManifest, type RunFields } from './run-export.ts';
import type { Screen } from './screen.ts';

interface DemoDelivery {
  readonly id: string;
  readonly state: string;
  readonly revision: number;
}

/** A scan for corrections follows a replace within seconds. */
const SCAN_POLLS = 60;
const POLL_MS = 250;

/** Replaces the value of one customer on a date that was delivered, and shows that the correction is found. */
export async function correctUsage(
  client: GraphQLClient,
  screen: Screen,
  delivered: Pick<RunFields, 'id'>,
  date: string,
): Promise<void> {
  const [stream] = GENERATED_STREAMS;
  const record = stream && generateUsage(stream, date)[0];
  if (!record) throw new Error('The day has no usage to correct.');
  const value = Number(record.value) + DEMO_CORRECTION;
  const { allocationReplace: answer } = await client.request<{
    allocationReplace: { readonly message?: string; readonly replayed?: boolean };
  }>(
    `mutation ($input: AllocationInput!) {
      allocationReplace(input: $input) { ... on AllocationReceipt { replayed } ... on UserError { message } }
    }`,
    {
      input: {
        stream: stream.name,
        records: [{ ...record, value: String(value) }],
        idempotencyKey: `demo correction of ${date}`,
      },
    },
  );
  if (answer.message !== undefined) throw new Error(answer.message);
  const values = `${Number(record.value).toLocaleString('en-US')} -> ${value.toLocaleString('en-US')}`;
  const note = answer.replayed ? '   sent before: stored receipt returned' : '';
  screen.line(`replace  ${stream.name}, ${record.elementName}, ${date}   ${values}${note}`);
  const { state, revision } = await waitForCorrection(client, delivered, answer.replayed ? 0 : SCAN_POLLS);
  screen.line(`delivery ${state}, revision ${revision}`);
  screen.line(
    'Sluice checks it after an hour (restateAfter of the job) and delivers it again; redelivered manually now:',
  );
}

/** Returns the delivery when a scan has found the correction, or as it is after the last poll. */
async function waitForCorrection(
  client: GraphQLClient,
  run: Pick<RunFields, 'id'>,
  polls: number,
): Promise<DemoDelivery> {
  for (let poll = 0; ; poll += 1) {
    const delivery = await readDelivery(client, run);
    if (delivery.state !== 'CURRENT' || poll >= polls) return delivery;
    await delay(POLL_MS);
  }
}

async function readDelivery(client: GraphQLClient, { id }: Pick<RunFields, 'id'>): Promise<DemoDelivery> {
  const { run } = await client.request<{ run: { delivery: DemoDelivery | null } | null }>(
    'query ($id: ID!) { run(id: $id) { delivery { id state revision } } }',
    { id },
  );
  if (!run?.delivery) throw new Error('The run has no delivery.');
  return run.delivery;
}

/** Starts a run that delivers the window of a run again, and returns its id. */
export async function redeliver(client: GraphQLClient, run: RunFields): Promise<string> {
  const { id } = await readDelivery(client, run);
  const { redeliver: answer } = await client.request<{ redeliver: { id?: string; message?: string } }>(
    'mutation ($id: ID!) { redeliver(deliveryId: $id) { ... on Run { id } ... on UserError { message } } }',
    { id },
  );
  if (answer.id === undefined) throw new Error(answer.message);
  return answer.id;
}

/** Prints which revision the manifest replaces, and what changed. */
export async function showRevision(screen: Screen, run: RunFields, filesDirectory: string): Promise<void> {
  const { revision, supersedes, changes } = await readManifest(run, filesDirectory);
  screen.line(`Manifest  revision ${revision}${supersedes ? ` supersedes revision ${supersedes.revision}` : ''}`);
  if (!changes) return;
  const meters = changes.meters.map(
    ({ meterApiName, difference }) =>
      `${meterApiName} ${difference > 0 ? '+' : ''}${difference.toLocaleString('en-US')}`,
  );
  screen.line(`Changes   ${[pluralize(changes.rowsChanged, 'row'), ...meters].join(', ')}`);
}
