import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSchema, isScalarType, isSpecifiedScalarType } from 'graphql';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { installPackages, openExample, type Example } from './example.ts';

let server: TestServer;
let example: Example;
/** A checkout with a copy of the codegen example, which a test may change. */
let checkout: string;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  example = await openExample('codegen');
  await installPackages(example);
  checkout = await mkdtemp(join(tmpdir(), 'sluice-codegen-'));
  await cp(join(example.folder, '../../schema.graphql'), join(checkout, 'schema.graphql'));
});
afterAll(async () => {
  await server?.stop();
  await rm(checkout, { recursive: true, force: true });
});

test('examples/codegen > writes with the types of one tool and reads with those of the other', async () => {
  const outcome = await example.start(server);
  expect(outcome).toMatchObject({ code: 0 });
  expect(outcome.stdout.trimEnd().split('\n').slice(-2)).toEqual([
    '2 records',
    'codegen-example 2026-01-25T00:00:00Z 12345678901234567890.3',
  ]);
});

test('examples/codegen > types match the schema', async () => {
  expect(await example.run('npm run types')).toMatchObject({ code: 0 });
});

test.each([
  {
    file: 'codegen.ts',
    expectations: 'src/scalars-with-client-preset.ts',
    changes: [
      ["Decimal: 'string'", "Decimal: 'any'"],
      ["SafeInt: 'number'", "SafeInt: 'string'"],
      ["DateTime: 'string'", "DateTime: 'unknown'"],
    ],
  },
  {
    file: 'src/with-gql-tada.ts',
    expectations: 'src/scalars-with-gql-tada.ts',
    changes: [
      ['Decimal: string', 'Decimal: number'],
      ['    SafeInt: number;\n', ''],
      ['DateTime: string', 'DateTime: any'],
    ],
  },
] as const)('examples/codegen > does not compile when scalars in $file have other types', async (changed) => {
  const folder = join(checkout, 'examples/codegen');
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const name of ['package.json', 'tsconfig.json', 'codegen.ts', 'src']) {
    await cp(join(example.folder, name), join(folder, name), { recursive: true });
  }
  await symlink(join(example.folder, 'node_modules'), join(folder, 'node_modules'));
  let text = await readFile(join(folder, changed.file), 'utf8');
  for (const [from, to] of changed.changes) {
    expect(text).toContain(from);
    text = text.replace(from, to);
  }
  await writeFile(join(folder, changed.file), text);

  const { code, stdout } = await example.run(`cd "${folder}" && npm run types`);
  expect(code).not.toBe(0);
  const lines = (await readFile(join(folder, changed.expectations), 'utf8')).split('\n');
  const refused = [...stdout.matchAll(/^(\S+)\((\d+),\d+\): error TS/gm)].flatMap(([, file, line]) =>
    file === changed.expectations ? [lines[Number(line) - 1]?.trim()] : [],
  );
  expect(refused).toEqual(
    expect.arrayContaining([
      "Holds<Equal<Job['createdAt'], string>>,",
      "Holds<Equal<Job['nextRuns'], string[]>>,",
      "Holds<Equal<Job['scheduledTimeInSeconds'], number | null>>,",
      "Holds<Equal<Job['runs']['totalCount'], number>>,",
      "Holds<Equal<NonNullable<Job['rescaleFunction']>['coefficient'], string>>,",
      '// @ts-expect-error -- a Decimal is a string: a number has lost its digits before it is sent',
    ]),
  );
});

test('examples/codegen > writes a file that a server accepts as TRUSTED_DOCUMENTS', async () => {
  expect(await example.run('npm run -s generate')).toMatchObject({ code: 0 });
  const file = join(example.folder, 'src/generated/persisted-documents.json');
  const entries = Object.entries(JSON.parse(await readFile(file, 'utf8')) as Record<string, string>);
  const idOf = (name: string): string => entries.find(([, text]) => text.includes(`mutation ${name}(`))?.[0] ?? '';
  const strict = await startTestServer({
    env: { ROLE: 'api', TRUSTED_DOCUMENTS: file, TRUSTED_DOCUMENTS_ONLY: 'true' },
    database: server.database,
    s3: server.s3,
  });
  const post = async (body: object): Promise<unknown> => {
    const response = await fetch(`${strict.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': strict.key },
      body: JSON.stringify(body),
    });
    return response.json();
  };
  try {
    const id = idOf('AddUsage');
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    const record = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', elementName: 'hooli', value: '0.1' };
    const variables = { input: { stream: 'trusted', records: [record] } };
    // With the prefix of the file, and as a hash only.
    for (const documentId of [id, id.slice('sha256:'.length)]) {
      expect(await post({ documentId, variables })).toMatchObject({
        data: { allocationSum: { __typename: 'AllocationReceipt', operation: { insertedRecords: 1 } } },
      });
    }
    expect(await post({ query: '{ viewer { accountName } }' })).toMatchObject({
      errors: [{ extensions: { code: 'DOCUMENT_NOT_TRUSTED' } }],
    });
  } finally {
    await strict.stop();
  }
});

test('examples > type every scalar of the schema', async () => {
  const folder = join(example.folder, '..');
  const schema = buildSchema(await readFile(join(checkout, 'schema.graphql'), 'utf8'));
  const scalars = Object.values(schema.getTypeMap())
    .filter((type) => isScalarType(type) && !isSpecifiedScalarType(type))
    .map(({ name }) => name);
  expect(scalars).toContain('Decimal');
  for (const file of ['codegen/codegen.ts', 'codegen/src/with-gql-tada.ts', 'apollo-node/src/graphql.ts']) {
    const text = await readFile(join(folder, file), 'utf8');
    const typed = /scalars: \{([^}]+)\}/.exec(text)?.[1] ?? '';
    const named = typed.matchAll(/^\s+(\w+): '?\w+'?[,;]$/gm).map(([, name]) => name);
    expect(new Set(named), file).toEqual(new Set(scalars));
  }
});
