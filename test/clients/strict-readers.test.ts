import { getIntrospectionQuery } from 'graphql';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer } from '../support/server.ts';
import { ROOT } from '../support/source-files.ts';

// Libraries that implement the published specification only, and reject a schema with other syntax.

const SCHEMA = join(ROOT, 'schema.graphql');
const run = promisify(execFile);

const VERSIONS: Readonly<Record<string, string>> = { 15: '15.11.0', 16: '16.15.0' };

/** False if Python or its package graphql-core is not installed: the test is then skipped, and .ci/run lists it. */
const hasGraphqlCore = await run('python3', ['-c', 'import graphql.utilities']).then(
  () => true,
  () => false,
);

const PYTHON = `
import json, sys
from graphql import build_client_schema, build_schema, validate_schema
introspection, schema = sys.argv[1:]
from_server = build_client_schema(json.load(open(introspection))["data"])
from_file = build_schema(open(schema).read())
print(validate_schema(from_server), validate_schema(from_file), set(from_file.type_map) <= set(from_server.type_map))
`;

const NODE = `
import { readFileSync } from 'node:fs';
import { buildClientSchema, buildSchema, version, validateSchema } from 'graphql';
const [introspection, schema] = process.argv.slice(1);
const fromServer = buildClientSchema(JSON.parse(readFileSync(introspection, 'utf8')).data);
const fromFile = buildSchema(readFileSync(schema, 'utf8'));
const isThere = (name) => Boolean(fromServer.getType(name));
console.log(version.split('.')[0], validateSchema(fromServer).length, validateSchema(fromFile).length, Object.keys(fromFile.getTypeMap()).every(isThere));
`;

let folder: string;
let introspection: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-strict-'));
  introspection = join(folder, 'introspection.json');
  const server = await startTestServer({ env: { ROLE: 'api' } });
  const query = getIntrospectionQuery({
    specifiedByUrl: true,
    directiveIsRepeatable: true,
    schemaDescription: true,
    inputValueDeprecation: true,
  });
  await writeFile(introspection, JSON.stringify(await server.request(query, {}, null)));
  await server.stop();
});
afterAll(() => rm(folder, { recursive: true }));

describe('schema', () => {
  test.skipIf(!hasGraphqlCore)(
    'is valid for graphql-core when it comes from introspection or schema.graphql',
    async () => {
      const { stdout } = await run('python3', ['-c', PYTHON, introspection, SCHEMA]);
      expect(stdout).toBe('[] [] True\n');
    },
  );

  test.each(['15', '16'])(
    'is valid for graphql-js %s when it comes from introspection or schema.graphql',
    async (major) => {
      const packages = join(folder, major);
      await run('npm', ['install', '--prefix', packages, '--no-audit', '--no-fund', `graphql@${VERSIONS[major]}`]);
      const args = ['--input-type=module', '-e', NODE, introspection, SCHEMA];
      const { stdout } = await run(process.execPath, args, { cwd: packages });
      expect(stdout).toBe(`${major} 0 0 true\n`);
    },
  );
});
