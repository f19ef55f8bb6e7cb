import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import {
  type DocumentNode,
  type GraphQLInputType,
  isInputObjectType,
  isListType,
  isNonNullType,
  Kind,
  type OperationDefinitionNode,
  parse,
  print,
  typeFromAST,
  validate,
} from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type GraphiqlTab, graphiqlTabs } from '../../src/graphql/graphiql/tabs.ts';
import { createSchema } from '../../src/graphql/schema/schema.ts';
import { openEventStream } from '../support/event-stream.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { ROOT } from '../support/source-files.ts';

const BROWSER = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

/** By node:http, which lets a Host be sent. */
const get = async (headers: Record<string, string>): Promise<IncomingMessage & { body: string }> => {
  const request = httpRequest(`${server.url}/graphql`, { headers: { ...BROWSER, ...headers } });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return Object.assign(response, { body: await text(response) });
};

describe('GraphiQL page', () => {
  test('has a content security policy that allows its own scripts and no other origin', async () => {
    const { statusCode, headers, body } = await get({});
    expect(statusCode).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    const policy = String(headers['content-security-policy']);
    const directives = new Map(
      policy.split('; ').map((directive) => {
        const [name = '', ...sources] = directive.split(' ');
        return [name, sources];
      }),
    );
    expect(directives.get('default-src')).toEqual(["'none'"]);
    expect(directives.get('connect-src')).toEqual(["'self'"]);
    expect(directives.get('frame-ancestors')).toEqual(["'none'"]);
    expect(policy).not.toMatch(/https?:|\*|unsafe-eval/);
    const scripts = [...body.matchAll(/<script>(.*?)<\/script>/gs)].map((match) => match[1] ?? '');
    expect(scripts).toHaveLength(3);
    const hashes = scripts.map((script) => createHash('sha256').update(script).digest('base64'));
    expect(directives.get('script-src')).toEqual([...hashes.map((hash) => `'sha256-${hash}'`), 'blob:']);
    expect(body.slice(0, body.indexOf('<style>'))).not.toMatch(/https?:/);
  });

  test('forbids caching, framing and content sniffing', async () => {
    const { headers } = await get({});
    expect(headers).toMatchObject({
      'cache-control': 'no-store',
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    });
  });

  test('is compressed when the client accepts gzip', async () => {
    const plain = await get({});
    const response = await fetch(`${server.url}/graphql`, { headers: { ...BROWSER, 'accept-encoding': 'gzip' } });
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect(Number(response.headers.get('content-length'))).toBeLessThan(3_000_000);
    expect(await response.text()).toBe(plain.body);
  });

  test.each([{}, { host: 'localhost:4000' }, { host: 'attacker.example' }, { 'x-forwarded-for': '203.0.113.7' }])(
    'contains no key when a browser asks with %j',
    async (headers) => {
      const { body } = await get(headers);
      expect(body).not.toContain(server.key);
      expect(body).toContain('id="key-bar"');
    },
  );

  test('is sent only when the client prefers HTML', async () => {
    const { headers } = await fetch(`${server.url}/graphql?query=%7B__typename%7D`, { headers: { accept: '*/*' } });
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
  });
});

const TABS = graphiqlTabs(new Date());
const operationsOf = (document: DocumentNode): string[] =>
  document.definitions
    .filter((definition): definition is OperationDefinitionNode => definition.kind === Kind.OPERATION_DEFINITION)
    .map((definition) => definition.name?.value ?? '');
const OPERATIONS = TABS.flatMap((tab) =>
  operationsOf(parse(tab.query)).map((operationName) => [operationName, tab] as const),
);

/** GraphiQL leaves the other operations of a tab out, and its fragments in. */
const asSent = (query: string, operationName: string): string => {
  const document = parse(query);
  return print({
    ...document,
    definitions: document.definitions.filter(
      (definition) => definition.kind !== Kind.OPERATION_DEFINITION || definition.name?.value === operationName,
    ),
  });
};

/** The non-null fields of input types that the variables of a tab leave out. */
const missingFields = ({ query, variables = '{}' }: GraphiqlTab): string[] => {
  const schema = createSchema();
  const missingIn = (type: GraphQLInputType | undefined, value: unknown, path: string): string[] => {
    if (isNonNullType(type)) return missingIn(type.ofType, value, path);
    if (isListType(type)) {
      return (value as unknown[]).flatMap((one, index) => missingIn(type.ofType, one, `${path}.${index}`));
    }
    if (!isInputObjectType(type)) return [];
    const given = value as Readonly<Record<string, unknown>>;
    return Object.values(type.getFields()).flatMap((field) => {
      const at = `${path}.${field.name}`;
      if (field.name in given) return missingIn(field.type, given[field.name], at);
      return isNonNullType(field.type) ? [at] : [];
    });
  };
  const given = JSON.parse(variables) as Readonly<Record<string, unknown>>;
  return parse(query)
    .definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION)
    .flatMap(({ variableDefinitions = [] }) => variableDefinitions)
    .flatMap(({ variable: { name }, type }) =>
      missingIn(typeFromAST(schema, type) as GraphQLInputType, given[name.value], name.value),
    );
};

/** Names of streams and jobs, and destinations, in GraphQL or JSON. */
const namesIn = (content: string): string[] =>
  [...content.matchAll(/\b(?:stream|jobName|s3Url|name)\\?"?: *\\?"([^"\\$]+)\\?"/g)].map(([, name = '']) => name);

describe('operations of GraphiQL', () => {
  test('cover every subject, with one tab for each', () => {
    expect(TABS.map(({ query }) => operationsOf(parse(query)))).toEqual([
      ['WhoAmI'],
      ['SumUsage', 'ReplaceUsage', 'DeleteUsage', 'ReplaceDay', 'RevertOperation', 'DeclareComplete'],
      ['ReadUsage', 'ReadRecords', 'ReadEarlierRecords', 'PreviewWrite', 'ListStreams'],
      ['CheckJob', 'CreateJob', 'ListJobs', 'RunJob', 'CreateBackfill'],
      ['FollowRuns', 'ListRuns'],
      ['ListDeliveries', 'Coverage', 'Redeliver'],
      ['ListKeys', 'CreateKey', 'RevokeKey', 'BucketPolicy', 'TestDestination'],
    ]);
  });

  test.each(TABS.map((tab) => [tab.query.slice(2, 40), tab.query] as const))(
    'are what the API has: %s',
    (_name, query) => {
      expect(validate(createSchema(), parse(query))).toEqual([]);
    },
  );

  test('fit into the editor', () => {
    expect(TABS.flatMap(({ query }) => query.split('\n')).filter((line) => line.length > 60)).toEqual([]);
  });

  test('have variables with every non-null field, which the editor of GraphiQL requires', () => {
    expect(TABS.flatMap(missingFields)).toEqual([]);
  });

  test('use names that do not occur in docs/, because readers run both on one server', async () => {
    const names = new Set(TABS.flatMap(({ query, variables = '' }) => namesIn(query + variables)));
    expect([...names]).toEqual(expect.arrayContaining(['compute-hours', 'Compute hours by region']));
    const pages = await readdir(join(ROOT, 'docs'), { recursive: true });
    for (const page of pages.filter((name) => name.endsWith('.md'))) {
      const content = await readFile(join(ROOT, 'docs', page), 'utf8');
      expect({ page, taken: namesIn(content).filter((name) => names.has(name)) }).toEqual({ page, taken: [] });
    }
  });

  test('succeed unchanged when executed in order', async () => {
    const ids: Record<string, string> = {};
    for (const [operationName, { query, variables = '{}' }] of OPERATIONS) {
      if (operationName === 'FollowRuns') continue;
      const body = JSON.stringify({
        query: asSent(query, operationName),
        operationName,
        variables: { ...(JSON.parse(variables) as object), ...ids },
      });
      const send = async (): Promise<string> => {
        const headers = { 'content-type': 'application/json', 'x-api-key': server.key };
        return (await fetch(`${server.url}/graphql`, { method: 'POST', headers, body })).text();
      };
      // Transactions of other tests count too.
      const answer = await eventually(send, (text) => !text.includes('TOO_RECENT'));
      expect(answer).not.toMatch(/"errors"|"issues"|"code":"/);
      if (operationName === 'ReadRecords') ids['operationId'] = /"id":"([^"]+)"/.exec(answer)?.[1] ?? '';
      if (operationName === 'CreateJob') ids['jobId'] = /"id":"([^"]+)"/.exec(answer)?.[1] ?? '';
      if (operationName === 'ReplaceDay') ids['operationId'] = /"id":"([^"]+)"/.exec(answer)?.[1] ?? '';
      if (operationName === 'ListDeliveries') ids['deliveryId'] = /"id":"([^"]+)"/.exec(answer)?.[1] ?? '';
      if (operationName === 'CreateKey') ids['keyId'] = /"id":"([^"]+)"/.exec(answer)?.[1] ?? '';
      if (operationName === 'ReadUsage') expect(answer).toContain('"total":"7.25"');
      if (operationName === 'CheckJob') expect(answer).toContain(',eu,piedpiper,7.25');
    }
    const [, follow] = OPERATIONS.find(([name]) => name === 'FollowRuns') ?? [];
    const stream = await openEventStream<{ runUpdated: { status: string } }>({
      url: server.url,
      key: server.key,
      query: asSent(follow?.query ?? '', 'FollowRuns'),
    });
    await server.graphql('mutation ($id: ID!) { runJob(input: { jobId: $id }) { __typename } }', { id: ids['jobId'] });
    await stream.until(({ data }) => data?.runUpdated.status === 'SUCCEEDED', 20_000);
    stream.close();
  });
});
