import { buildSchema, getNamedType, isInterfaceType, isObjectType } from 'graphql';
import { execFile } from 'node:child_process';
import { copyFile, cp, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fillAccount, type FilledAccount } from '../authorization/accounts.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { openSocket } from '../support/socket-client.ts';
import { ROOT } from '../support/source-files.ts';

const FOLDER = join(ROOT, 'conventions');
const schemaText = await readFile(join(ROOT, 'schema.graphql'), 'utf8');

const changedAt = (name: string): Promise<number> =>
  stat(join(FOLDER, name)).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );

beforeAll(async () => {
  if ((await changedAt('node_modules/.package-lock.json')) >= (await changedAt('package-lock.json'))) return;
  await promisify(execFile)('npm', ['ci'], { cwd: FOLDER });
});

interface Outcome {
  readonly failed: boolean;
  readonly text: string;
}

/** Runs a program of the folder. */
const run = (program: string, args: readonly string[], cwd: string): Promise<Outcome> =>
  new Promise((resolve) => {
    const script = join(FOLDER, 'node_modules', program);
    execFile(process.execPath, [script, ...args], { cwd, timeout: 120_000 }, (error, stdout, stderr) =>
      resolve({ failed: error !== null, text: `${stdout}${stderr}` }),
    );
  });

const inFolder = async <Result>(schema: string, work: (folder: string) => Promise<Result>): Promise<Result> => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-conventions-'));
  try {
    await writeFile(join(folder, 'schema.graphql'), schema);
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
};

/** Compiles the pages with this schema. Returns the documents by their SHA-256. */
const compile = (schema: string): Promise<Outcome & { readonly documents: Record<string, string> }> =>
  inFolder(schema, async (folder) => {
    await cp(join(FOLDER, 'relay'), join(folder, 'relay'), { recursive: true });
    await copyFile(join(FOLDER, 'relay.config.json'), join(folder, 'relay.config.json'));
    const persisted = join(folder, 'persisted.json');
    await writeFile(persisted, '{}');
    const outcome = await run('relay-compiler/cli.js', ['relay.config.json'], folder);
    return { ...outcome, documents: JSON.parse(await readFile(persisted, 'utf8')) as Record<string, string> };
  });

const lint = (schema: string): Promise<Outcome> =>
  inFolder(schema, (folder) =>
    run('eslint/bin/eslint.js', ['--config', join(FOLDER, 'eslint.config.js'), 'schema.graphql'], folder),
  );

const changed = (from: RegExp, to: string): string => {
  expect(schemaText).toMatch(from);
  return schemaText.replace(from, to);
};

describe('relay-compiler', () => {
  test('compiles pagination, fragments by node(id), mutations of lists and a subscription with the schema', async () => {
    const { failed, text, documents } = await compile(schemaText);
    expect(text).toContain('Compilation completed.');
    expect(failed).toBe(false);
    expect(Object.keys(documents)).toHaveLength(16);
  });

  test.each([
    ['an edge has no cursor', /(type RunEdge \{[^}]*?)cursor: String!/, '$1position: String!'],
    ['an edge has no node', /(type StreamEdge \{[^}]*?)node: Stream!/, '$1stream: Stream!'],
    ['a connection has no pageInfo', /(type JobConnection \{[^}]*?)pageInfo: PageInfo!/, '$1page: PageInfo!'],
    ['PageInfo has no hasNextPage', /hasNextPage: Boolean!/, 'hasMore: Boolean!'],
    ['a list takes no cursor', /(\n {2}runs\([^)]*?)after: String/g, '$1behind: String'],
    ['there is no node(id)', /\n {2}node\(/, '\n  thing('],
    ['a type is not a Node', /type AllocationOperation implements Node/, 'type AllocationOperation'],
    ['the result of a mutation has no edge type', /type JobEdge \{/, 'type JobRow {'],
  ])('rejects the schema when %s', async (_, from, to) => {
    const { failed, text } = await compile(changed(from, to));
    expect(text).toContain('ERROR');
    expect(failed).toBe(true);
  });
});

describe('graphql-eslint', () => {
  test('accepts the schema with its rules for schemas and for Relay', async () => {
    expect(await lint(schemaText)).toEqual({ failed: false, text: '' });
  });

  test.each([
    ['relay-edge-types', /(type RunEdge \{[^}]*?)cursor: String!/, '$1cursor: [String!]!'],
    ['relay-connection-types', /(type RunConnection \{[^}]*?)edges: \[RunEdge!\]!/, '$1edges: RunEdge!'],
    ['relay-page-info', /hasNextPage: Boolean!/, 'hasNextPage: Int!'],
    ['relay-arguments', /(\n {2}runs\([^)]*?)after: String/g, '$1behind: String'],
    ['strict-id-in-types', /(type ApiKey implements Node \{\n)[^}]*?  id: ID!\n/, '$1'],
    ['require-description', /"""Account and API key of the request\."""/, ''],
    ['naming-convention', /viewer: Viewer!/, 'get_viewer: Viewer!'],
    ['no-unreachable-types', /viewer: Viewer!/, 'viewer: String!'],
  ])('reports a violation of %s', async (rule, from, to) => {
    const { failed, text } = await lint(changed(from, to));
    expect(text).toContain(`@graphql-eslint/${rule}`);
    expect(failed).toBe(true);
  });

  test('has exceptions that permit only the intended types', () => {
    const schema = buildSchema(schemaText);
    const fields = Object.values(schema.getTypeMap())
      .filter((type) => isObjectType(type) || isInterfaceType(type))
      .filter(({ name }) => !name.startsWith('__'))
      .flatMap((type) => Object.values(type.getFields()).map((field) => ({ type, field })));
    const called = fields.filter(({ type, field }) => field.name.toLowerCase().startsWith(type.name.toLowerCase()));
    expect(called.map(({ type, field }) => `${type.name}.${field.name}`)).toEqual(['Job.jobName']);

    const nodes = schema.getPossibleTypes(schema.getType('Node') as never).map(({ name }) => name);
    const listed = fields.filter(({ type, field }) => type.name.endsWith('Edge') && field.name === 'node');
    const others = listed.map(({ field }) => getNamedType(field.type).name).filter((name) => !nodes.includes(name));
    expect(others).toEqual(['AllocationRecord']);

    const pages = fields.filter(({ field }) => getNamedType(field.type).name.endsWith('Connection'));
    const forward = pages.filter(({ field }) => !field.args.some(({ name }) => name === 'last'));
    expect(forward.map(({ type, field }) => `${type.name}.${field.name}`).toSorted()).toEqual([
      'Backfill.runs',
      'Delivery.runs',
      'Job.backfills',
      'Job.deliveries',
      'Job.runs',
      'Query.apiKeys',
      'Query.backfills',
      'Query.deliveries',
      'Stream.operations',
      'Stream.records',
    ]);
  });
});

interface Listed {
  readonly edges: readonly { readonly node: { readonly id: string } }[];
  readonly pageInfo: { readonly endCursor: string };
}
/** The parts of the responses that the tests compare. */
type Found = Readonly<Record<string, Listed & { readonly id: string; readonly runs: Listed }>>;

describe('server with the documents of relay-compiler as the only trusted documents', () => {
  let open: TestServer;
  let server: TestServer;
  let account: FilledAccount;
  let folder: string;
  /** Document ids by operation name. */
  let ids: Map<string, string>;

  beforeAll(async () => {
    const { documents } = await compile(schemaText);
    const nameOf = (text: string): string => /^\w+ (\w+)/.exec(text)?.[1] ?? '';
    ids = new Map(Object.entries(documents).map(([id, text]) => [nameOf(text), id]));
    folder = await mkdtemp(join(tmpdir(), 'sluice-trusted-'));
    const file = join(folder, 'persisted.json');
    await writeFile(file, JSON.stringify(documents));
    open = await startTestServer({ env: { ROLE: 'api' } });
    const env = { ROLE: 'api', TRUSTED_DOCUMENTS: file, TRUSTED_DOCUMENTS_ONLY: 'true' };
    server = await startTestServer({ env, database: open.database, s3: open.s3 });
    account = await fillAccount(open, 'relay');
  });
  afterAll(async () => {
    await server.stop();
    await open.stop();
    await rm(folder, { recursive: true });
  });

  const ask = async (operation: string, variables: Readonly<Record<string, unknown>> = {}) => {
    asked.add(operation);
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': account.key },
      body: JSON.stringify({ documentId: ids.get(operation), variables }),
    });
    const { data = {}, errors } = (await response.json()) as { data?: Found; errors?: unknown };
    expect(errors).toBeUndefined();
    return data;
  };
  const asked = new Set<string>();

  test('paginates lists, and returns every node by its id', async () => {
    const first = await ask('jobsQuery', { count: 1, search: '' });
    expect(first['jobs']?.edges).toMatchObject([{ node: { id: account.ids.Job, jobName: account.jobName } }]);
    const endCursor = first['jobs']?.pageInfo.endCursor;
    expect((await ask('jobsPageQuery', { count: 1, after: endCursor, search: '' }))['jobs']?.edges).toEqual([]);
    expect(await ask('jobsRefetchQuery', { id: account.ids.Job })).toMatchObject({
      node: { __typename: 'Job', id: account.ids.Job, jobName: account.jobName },
    });

    const found = await ask('streamsQuery', { ids: [account.ids.Stream] });
    expect(found['nodes']).toMatchObject([{ __typename: 'Stream', id: account.ids.Stream }]);
    for (const [operation, list] of [
      ['streamsPageQuery', 'streams'],
      ['streamsKeysPageQuery', 'apiKeys'],
      ['streamsRunsPageQuery', 'runs'],
    ] as const) {
      expect((await ask(operation))[list]?.edges.length).toBeGreaterThan(0);
    }
    for (const [operation, type] of [
      ['jobsRunsPageQuery', 'Job'],
      ['streamsRecordsPageQuery', 'Stream'],
      ['streamsLedgerPageQuery', 'Stream'],
      ['streamsOperationRefetchQuery', 'AllocationOperation'],
      ['streamsKeyRefetchQuery', 'ApiKey'],
      ['streamsRunRefetchQuery', 'Run'],
    ] as const) {
      const id = account.ids[type];
      expect(await ask(operation, { id }), operation).toMatchObject({ node: { __typename: type, id } });
    }
  });

  test('creates a job, sends its run over WebSocket, and deletes it', async () => {
    const { createJob } = await ask('jobsCreateMutation', {
      input: {
        jobName: 'By Relay',
        s3Url: 'exports/by-relay',
        format: 'CSV',
        aggregationBucket: 'DAY',
        range: 'ago(1d)',
      },
    });
    expect(createJob).toMatchObject({ __typename: 'Job', jobName: 'By Relay' });
    const runId = createJob?.runs.edges[0]?.node.id;
    const socket = await openSocket(server.url, { 'X-API-Key': account.key });
    await socket.until(({ type }) => type === 'connection_ack');
    const documentId = ids.get('jobsRunSubscription');
    socket.send({ type: 'subscribe', id: '1', payload: { query: '', documentId, variables: { runId } } });
    const told = await socket.until(({ id }) => id === '1');
    expect(told).toMatchObject({ type: 'next', payload: { data: { runUpdated: { id: runId } } } });
    socket.close();
    asked.add('jobsRunSubscription');

    expect(await ask('jobsDeleteMutation', { id: createJob?.id })).toEqual({
      deleteJob: { __typename: 'DeletedJob', deletedId: createJob?.id },
    });
  });

  test('has received every document', () => {
    expect([...asked].toSorted()).toEqual([...ids.keys()].toSorted());
  });

  test('rejects any other document', async () => {
    const answer = await server.request('{ viewer { accountName } }', {}, account.key);
    expect(answer).toMatchObject({ errors: [{ extensions: { code: 'DOCUMENT_NOT_TRUSTED' } }] });
    expect(answer.data).toBeUndefined();
  });
});

describe('dockerfilelint', () => {
  /** Returns the titles of its findings. */
  const lintImage = async (dockerfile: string): Promise<string[]> =>
    inFolder(schemaText, async (folder) => {
      await writeFile(join(folder, 'Dockerfile'), dockerfile);
      const { text } = await run('dockerfilelint/bin/dockerfilelint', ['-o', 'json', 'Dockerfile'], folder);
      const { files } = JSON.parse(text) as { files: { issues: { title: string }[] }[] };
      return files.flatMap(({ issues }) => issues.map(({ title }) => title));
    });

  test('accepts the Dockerfile, except an option of HEALTHCHECK that it does not parse', async () => {
    const text = await readFile(join(ROOT, 'Dockerfile'), 'utf8');
    const option = ' --start-period=30s';
    expect(text).toContain(option);
    // It parses `--start-period` as `--start`.
    expect(await lintImage(text)).toEqual(['Invalid Argument Format']);
    expect(await lintImage(text.replace(option, ''))).toEqual([]);
  });

  test('reports bad practice', async () => {
    expect(await lintImage('FROM node\nRUN sudo apt-get install curl\nEXPOSE 80:80\nADD .. x\n')).toEqual([
      'Base Image Missing Tag',
      'Use Of sudo Is Not Allowed',
      'Expose Only Container Port',
      'Invalid ADD Source',
    ]);
  });
});
