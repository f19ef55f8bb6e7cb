import type { GraphQLClient } from '../api-client/graphql-client.ts';
import type { Screen } from './screen.ts';

const STREAM = 'demo-example';
const BUCKET = { timestamp: '2020-01-25T00:00:00Z', granularity: 'DAILY' } as const;
const FILTER = [
  { dimension: 'feature', values: ['billing'] },
  { dimension: 'environment', values: ['prod'] },
];

interface Step {
  readonly kind: 'Sum' | 'Replace' | 'Delete';
  readonly element: string;
  readonly value: string | null;
}

const STEPS: readonly Step[] = [
  { kind: 'Sum', element: 'hooli', value: '250000000' },
  { kind: 'Sum', element: 'pied-piper', value: '90000000' },
  { kind: 'Replace', element: 'hooli', value: '150000000' },
  { kind: 'Delete', element: 'hooli', value: null },
];

interface WriteResponse {
  readonly write: {
    readonly message?: string;
    readonly replayed?: boolean;
    readonly operation?: { readonly insertedRecords: number; readonly hiddenRecords: number };
  };
}

interface RecordsResponse {
  readonly stream: {
    readonly records: { readonly edges: readonly { readonly node: { elementName: string; value: string } }[] };
  } | null;
}

/** Sums, replaces and deletes records, with idempotency keys: if the demo runs again, they return the stored receipts. */
export async function showAllocationExample(client: GraphQLClient, screen: Screen): Promise<void> {
  for (const [index, step] of STEPS.entries()) {
    const receipt = await send(client, step, `demo-example-${index + 1}`);
    const result = receipt.replayed ? 'sent before: stored receipt returned' : `live: ${await readLive(client)}`;
    const value = step.value === null ? '' : Number(step.value).toLocaleString('en-US');
    const counts = `inserted ${receipt.operation?.insertedRecords}, hid ${receipt.operation?.hiddenRecords}`;
    screen.line(
      `${step.kind.toLowerCase().padEnd(8)} ${step.element.padEnd(11)} ${value.padStart(11)}   ${counts.padEnd(17)}  ${result}`,
    );
  }
}

async function send(client: GraphQLClient, step: Step, idempotencyKey: string): Promise<WriteResponse['write']> {
  const inputType = step.kind === 'Delete' ? 'AllocationDeleteInput' : 'AllocationInput';
  const { write } = await client.request<WriteResponse>(
    `mutation ($input: ${inputType}!) {
      write: allocation${step.kind}(input: $input) {
        ... on AllocationReceipt { replayed operation { insertedRecords hiddenRecords } }
        ... on UserError { message }
      }
    }`,
    {
      input: {
        stream: STREAM,
        idempotencyKey,
        records: [
          { ...BUCKET, filter: FILTER, elementName: step.element, ...(step.value !== null && { value: step.value }) },
        ],
      },
    },
  );
  if (!write.operation) throw new Error(write.message);
  return write;
}

async function readLive(client: GraphQLClient): Promise<string> {
  const { stream } = await client.request<RecordsResponse>(
    `query ($name: String!) { stream(name: $name) { records(first: 10) { edges { node { elementName value } } } } }`,
    { name: STREAM },
  );
  const records = stream?.records.edges.map(({ node }) => `${node.elementName} ${Number(node.value) / 1e6}M`) ?? [];
  return records.length > 0 ? records.toSorted().join(', ') : 'nothing';
}
