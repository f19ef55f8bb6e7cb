import { encodeGlobalId, type NodeType } from '../../src/lib/global-ids.ts';
import { accountIdOf } from '../streams/held-transactions.ts';
import { innerId, querySql } from '../support/job-steps.ts';
import { openClient } from '../support/postgres-admin.ts';
import type { TestServer } from '../support/server.ts';

/** An account with at least one row in each table. All of its texts contain its name. */
export interface FilledAccount {
  readonly name: string;
  readonly accountId: bigint;
  /** An ADMIN key. */
  readonly key: string;
  readonly ids: Readonly<Record<NodeType, string>>;
  readonly stream: string;
  readonly jobName: string;
  readonly s3Url: string;
  readonly idempotencyKey: string;
  /** All names of its streams, jobs and other objects. */
  readonly texts: readonly string[];
  /** Cursors of its rows in every list. */
  readonly cursors: readonly string[];
}

interface Made {
  readonly write: { readonly stream: { readonly id: string }; readonly operation: { readonly id: string } };
  readonly job: { readonly id: string };
  readonly made: { readonly key: { readonly id: string } };
}

const MAKE = `mutation ($write: AllocationInput!, $gone: AllocationInput!, $goneName: String!, $job: CreateJobInput!, $key: String!) {
  write: allocationSum(input: $write) { ... on AllocationReceipt { stream { id } operation { id } } }
  gone: allocationSum(input: $gone) { __typename }
  deleted: deleteStream(name: $goneName) { __typename }
  job: createJob(input: $job) { ... on Job { id } }
  made: createApiKey(input: { name: $key, scopes: [READ] }) { ... on NewApiKey { key { id } } }
}`;

const EDGES = 'edges { cursor }';
const CURSORS = `{ jobs { ${EDGES} } runs { ${EDGES} } apiKeys { ${EDGES} }
  streams { edges { cursor node { records { ${EDGES} } operations { ${EDGES} } } } } }`;

export const fillAccount = async (server: TestServer, name: string): Promise<FilledAccount> => {
  const key = await server.createKey(name, ['ADMIN']);
  const accountId = await accountIdOf(server, name);
  const stream = `${name}.usage`;
  const [dimension, value, element] = [`${name} dimension`, `${name} value`, `${name} element`];
  const [jobName, keyName, idempotencyKey] = [`${name} job`, `${name} key`, `${name} idempotency key`];
  const s3Url = `s3://exports/${name}`;
  const records = [
    {
      timestamp: '2026-01-25T00:00:00Z',
      granularity: 'DAILY',
      filter: [{ dimension, values: [value] }],
      elementName: element,
      value: '1',
    },
  ];
  const { write, job, made } = await server.graphql<Made>(
    MAKE,
    {
      write: { stream, records, idempotencyKey },
      gone: { stream: `${name}.gone`, records },
      goneName: `${name}.gone`,
      job: {
        jobName,
        s3Url,
        description: `${name} description`,
        email: `${name}@example.com`,
        format: 'CSV',
        aggregationBucket: 'DAY',
        range: 'ago(1d)',
        cron: '0 2 1 * *',
        meterApiNames: [stream],
        groupBy: [dimension],
        filter: [{ dimension, values: [value] }],
      },
      key: keyName,
    },
    key,
  );
  const { run } = await server.graphql<{ run: { id: string; delivery: { id: string } } }>(
    'mutation ($id: ID!) { run: runJob(input: { jobId: $id }) { ... on Run { id delivery { id } } } }',
    { id: job.id },
    key,
  );
  const { backfill } = await server.graphql<{ backfill: { id: string } }>(
    `mutation ($input: BackfillInput!) { backfill: createBackfill(input: $input) { ... on Backfill { id } } }`,
    { input: { jobId: job.id, from: '2025-01-01T00:00:00Z', to: '2025-12-01T00:00:00Z' } },
    key,
  );
  // Rows that exist only while a worker writes or a request is in flight.
  await querySql(
    server,
    `INSERT INTO run_objects (run_id, key, ordinal, rows, bytes, sha256) VALUES ($1, $2, 1, 1, 1, $3)`,
    [innerId(run.id), `${name}/object.csv`, `${name} sha256`],
  );
  await querySql(
    server,
    `INSERT INTO staged_batches (account_id, request_id, number, first_index, bucket_starts, filter_places, elements, amounts,
                                 filter_digests, filter_dimensions)
     VALUES ($1, gen_random_uuid(), 1, 0, '{2026-01-25}', '{1}', ARRAY[$2], '{1}', '{\\x00}', '{"{}"}')`,
    [String(accountId), element],
  );
  // The first successful export does the same.
  await querySql(server, 'INSERT INTO bucket_claims (bucket, account_id, claimed_at) VALUES ($1, $2, now())', [
    `${name}.bucket`,
    String(accountId),
  ]);
  // The scan of the ledger and a backfill do the same.
  await querySql(
    server,
    `WITH account AS (SELECT $1::bigint AS id), correction AS (
       INSERT INTO corrections (account_id, stream_id, operation_id, xid, found_at) SELECT id, 1, 1, '3', now() FROM account
     ), cursor AS (
       INSERT INTO ledger_cursors (account_id, scanned, scanned_epoch, scanned_at, scan_at)
       SELECT id, '3:3:', '1', now(), now() FROM account ON CONFLICT DO NOTHING
     ), moment AS (
       INSERT INTO ledger_moments (account_id, at, snapshot, epoch) SELECT id, now(), '3:3:', '1' FROM account
     )
     INSERT INTO backfills (id, account_id, job_id, status, span_start, span_end, newest_first, reprocess, settings, windows, created_at)
     SELECT gen_random_uuid(), a.id, j.id, 'CANCELED', now(), now(), false, 'ALL', j.settings, 1, now()
     FROM account a JOIN jobs j ON j.account_id = a.id LIMIT 1`,
    [String(accountId)],
  );
  const lists = JSON.stringify(await server.graphql(CURSORS, {}, key));
  return {
    name,
    accountId,
    key,
    ids: {
      Stream: write.stream.id,
      AllocationOperation: write.operation.id,
      Job: job.id,
      Run: run.id,
      Delivery: run.delivery.id,
      Backfill: backfill.id,
      ApiKey: made.key.id,
    },
    stream,
    jobName,
    s3Url,
    idempotencyKey,
    texts: [stream, dimension, value, element, jobName, keyName, idempotencyKey, s3Url],
    cursors: [...lists.matchAll(/"cursor":"([^"]+)"/g)].map(([, cursor = '']) => cursor),
  };
};

type Row = Readonly<Record<string, unknown>>;

/** Conditions by which rows without an account_id belong to an account. */
const BELONGS: Readonly<Record<string, string>> = {
  accounts: 'id = $1',
  run_objects: 'run_id IN (SELECT id FROM runs WHERE account_id = $1)',
};

export type Dump = Readonly<Record<string, readonly Row[]>>;

export interface Dumper {
  /** Returns every row of the account by table, without the time at which a key was last used. */
  dump(accountId: bigint): Promise<Dump>;
  close(): Promise<void>;
}

/** Opens a connection of its own. The tables are those of the catalog. */
export const openDumper = async (server: TestServer): Promise<Dumper> => {
  const client = await openClient(server.database.url);
  const tables = await client.query<{ name: string; owned: boolean }>(
    `SELECT c.relname AS name, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'account_id') AS owned
     FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1`,
  );
  const parts = tables.rows.map(({ name, owned }) => {
    const belongs = owned ? 'account_id = $1' : BELONGS[name];
    if (belongs === undefined) throw new Error(`How rows of ${name} belong to an account is not known here.`);
    return `SELECT '${name}' AS name, coalesce(jsonb_agg(row ORDER BY row), '[]') AS rows
            FROM (SELECT to_jsonb(t) - 'last_used_at' AS row FROM ${name} t WHERE ${belongs}) found`;
  });
  return {
    dump: async (accountId) => {
      const { rows } = await client.query<{ name: string; rows: Row[] }>(parts.join(' UNION ALL '), [accountId]);
      return Object.fromEntries(rows.map((one) => [one.name, one.rows]));
    },
    close: () => client.end(),
  };
};

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

/** Returns what no other account may read: texts of the account's rows that contain its name, and its internal and global ids. */
export const secretsOf = (account: FilledAccount, dump: Dump): string[] => {
  const texts = (value: unknown): string[] => {
    if (typeof value === 'string') return value.includes(account.name) ? [value] : [];
    return typeof value === 'object' && value !== null ? Object.values(value).flatMap(texts) : [];
  };
  const rows = (table: string): readonly Row[] => dump[table] ?? [];
  const encoded = (type: NodeType, table: string): string[] =>
    rows(table).map(({ id }) => encodeGlobalId(type, String(id)));
  const inner = JSON.stringify(dump).match(UUID) ?? [];
  return [
    ...new Set([
      ...texts(dump),
      ...inner,
      ...encoded('Stream', 'streams'),
      ...encoded('AllocationOperation', 'operations'),
      ...encoded('Delivery', 'deliveries'),
      ...encoded('Backfill', 'backfills'),
      ...encoded('Job', 'jobs'),
      ...encoded('Run', 'runs'),
      ...encoded('ApiKey', 'api_keys'),
    ]),
  ];
};

/** Returns the secrets that a response contains and its request does not. */
export const leaked = (secrets: readonly string[], asked: string, answer: string): string[] => {
  // Ids are compared as whole words, since the id of one operation can be a prefix of another.
  const words = new Set(answer.split(/[^\w-]+/));
  return secrets.filter(
    (secret) => !asked.includes(secret) && (/^[\w-]+$/.test(secret) ? words.has(secret) : answer.includes(secret)),
  );
};
