import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { type DocumentNode, Kind, type OperationDefinitionNode, parse, print, validate } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { graphiqlTabs } from '../../src/graphql/graphiql-tabs.ts';
import { createSchema } from '../../src/graphql/schema.ts';
import { openEventStream } from '../support/event-stream.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

/** Begins like one that would end the script in which it stands. */
const LOCAL_KEY = 'local </script><script>alert(1)</script><!-- key';
const BROWSER = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ resources: { localKey: LOCAL_KEY } });
});
afterAll(() => server.stop());

/** By node:http, which lets a Host be sent. */
const get = async (headers: Record<string, string>, at = server): Promise<IncomingMessage & { body: string }> => {
  const request = httpRequest(`${at.url}/graphql`, { headers: { ...BROWSER, ...headers } });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return Object.assign(response, { body: await text(response) });
};
/** The options that the page is made with: JSON at its end. */
const optionsOf = (html: string): { headers: string; defaultTabs: unknown[]; shouldPersistHeaders: boolean } => {
  const json = /querySelector\('#root'\),\s*(\{.*\}),\s*\);\s*<\/script>/s.exec(html)?.[1] ?? '';
  return JSON.parse(json) as ReturnType<typeof optionsOf>;
};

describe('the page', () => {
  test('loads nothing from anywhere: its policy leaves no other origin, and names its one script', async () => {
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
    expect(scripts).toHaveLength(1);
    const hash = createHash('sha256')
      .update(scripts[0] ?? '')
      .digest('base64');
    expect(directives.get('script-src')).toEqual([`'sha256-${hash}'`, 'blob:']);
    expect(body.slice(0, body.indexOf('<style>'))).not.toMatch(/https?:/);
  });

  test('is not kept by caches, not framed and not guessed at', async () => {
    const { headers } = await get({});
    expect(headers).toMatchObject({
      'cache-control': 'no-store',
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    });
  });

  test('travels compressed', async () => {
    const plain = await get({});
    const response = await fetch(`${server.url}/graphql`, { headers: { ...BROWSER, 'accept-encoding': 'gzip' } });
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect(Number(response.headers.get('content-length'))).toBeLessThan(3_000_000);
    expect(await response.text()).toBe(plain.body);
  });

  test('is only for who asks for HTML', async () => {
    const { headers } = await fetch(`${server.url}/graphql?query=%7B__typename%7D`, { headers: { accept: '*/*' } });
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
  });
});

describe('the key of local mode', () => {
  test('is filled in for a browser on this machine, and kept out of its storage', async () => {
    for (const host of ['127.0.0.1:4000', 'localhost:4000', 'localhost', '[::1]:4000', 'LOCALHOST:1']) {
      const options = optionsOf((await get({ host })).body);
      expect(JSON.parse(options.headers)).toEqual({ 'X-API-Key': LOCAL_KEY });
      expect(options.shouldPersistHeaders).toBe(false);
    }
  });

  test.each(['attacker.example', 'localhost.attacker.example', '127.0.0.1.nip.io:4000', '192.168.1.7:4000', 'a b'])(
    'is not there where the page was asked for as %s',
    async (host) => {
      const { body } = await get({ host });
      expect(JSON.parse(optionsOf(body).headers)).toEqual({ 'X-API-Key': 'your key' });
      expect(body).not.toContain('local <');
    },
  );

  test('is not there in server mode', async () => {
    const other = await startTestServer({ env: { ROLE: 'api' }, database: server.database, s3: server.s3 });
    const { body } = await get({}, other);
    expect(JSON.parse(optionsOf(body).headers)).toEqual({ 'X-API-Key': 'your key' });
    await other.stop();
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

describe('the operations that stand ready', () => {
  test('are those of every part, each tab called after its first', () => {
    expect(TABS.map(({ query }) => operationsOf(parse(query)))).toEqual([
      ['WhoAmI'],
      ['SumUsage', 'ReplaceUsage', 'DeleteUsage'],
      ['ReadUsage', 'ReadRecords', 'ListStreams'],
      ['CheckJob', 'CreateJob', 'ListJobs', 'RunJob'],
      ['FollowRuns', 'ListRuns'],
      ['ListKeys', 'CreateKey', 'RevokeKey', 'BucketPolicy'],
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

  test('work as they stand, one after the other', async () => {
    const ids: Record<string, string> = {};
    for (const [operationName, { query, variables = '{}' }] of OPERATIONS) {
      if (operationName === 'FollowRuns') continue;
      const response = await fetch(`${server.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': server.key },
        body: JSON.stringify({
          query: asSent(query, operationName),
          operationName,
          variables: { ...(JSON.parse(variables) as object), ...ids },
        }),
      });
      const answer = await response.text();
      expect(answer).not.toMatch(/"errors"|"issues"|"code":"/);
      if (operationName === 'CreateJob') ids['jobId'] = /"id":"([^"]+)"/.exec(answer)?.[1] ?? '';
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
