import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const QUERY = `query ($by: Decimal!) { usage(input: { from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z", aggregationBucket: DAY,
  rescaleFunction: { function: MULTIPLY, coefficient: $by } }) { __typename ... on ValidationError { issues { code path } } } }`;

const LOST = {
  data: {
    usage: {
      __typename: 'ValidationError',
      issues: [{ code: 'PRECISION_LOST', path: ['input', 'rescaleFunction', 'coefficient'] }],
    },
  },
};
const TAKEN = { data: { usage: { __typename: 'Usage' } } };

/** The number as written: JSON.stringify of a JavaScript number could not hold it. */
const bodyWith = (number: string): string => `{"query":${JSON.stringify(QUERY)},"variables":{"by":${number}}}`;

const post = async (body: string): Promise<unknown> => {
  const headers = { 'content-type': 'application/json', 'x-api-key': server.key };
  return (await fetch(`${server.url}/graphql`, { method: 'POST', headers, body })).json();
};

const get = async (number: string): Promise<unknown> => {
  const parameters = new URLSearchParams({ query: QUERY, variables: `{"by":${number}}` });
  return (await fetch(`${server.url}/graphql?${parameters}`, { headers: { 'x-api-key': server.key } })).json();
};

const overSocket = (number: string): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
    socket.onerror = () => reject(new Error('the socket failed'));
    socket.onopen = () =>
      socket.send(JSON.stringify({ type: 'connection_init', payload: { 'x-api-key': server.key } }));
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(String(data)) as { type: string; payload?: unknown };
      if (message.type === 'connection_ack') {
        socket.send(`{"type":"subscribe","id":"1","payload":${bodyWith(number)}}`);
      } else if (message.type === 'next') {
        resolve(message.payload);
        socket.close();
      }
    };
  });

// The double of each of these prints with 15 digits or fewer: only its text shows that it was longer.
test.for([
  '100000000000000000001',
  '0.10000000000000000001',
  '-5000000000000000000000.5',
  '1000000000000000000001e-21',
])(
  'Decimal in variables > rejects the number %s over POST, GET and WebSocket, because a double would lose digits',
  async (number) => {
    expect(await post(bodyWith(number))).toEqual(LOST);
    expect(await get(number)).toEqual(LOST);
    expect(await overSocket(number)).toEqual(LOST);
  },
);

test.for([
  '100000000000000000000',
  '1.00000000000000000000',
  '0.000000000000000000000000000001',
  '123456789012345',
  '1e20',
])('Decimal in variables > accepts the number %s, because a double holds all its digits', async (number) => {
  expect(await post(bodyWith(number))).toEqual(TAKEN);
  expect(await get(number)).toEqual(TAKEN);
  expect(await overSocket(number)).toEqual(TAKEN);
});

test('Decimal in variables > leaves digits in strings unchanged when another number is rejected', async () => {
  const names = ['x, 12345678901234567890', 'é 😀 "quoted" \\ 100000000000000000001', '__proto__'];
  const records = names.map(
    (name, index) =>
      `{"timestamp":"2026-01-25T00:00:00Z","granularity":"DAILY","elementName":${JSON.stringify(name)},"value":${index === 2 ? '100000000000000000001' : '"1"'}}`,
  );
  const send = (list: readonly string[]): Promise<unknown> =>
    post(
      `{"query":"mutation ($i: AllocationInput!) { allocationSum(input: $i) { __typename ... on ValidationError { issues { code path } } } }","variables":{"i":{"stream":"digits","records":[${list.join(',')}]}}}`,
    );
  expect(await send(records)).toEqual({
    data: {
      allocationSum: {
        __typename: 'ValidationError',
        issues: [{ code: 'PRECISION_LOST', path: ['input', 'records', '2', 'value'] }],
      },
    },
  });
  expect(await send(records.slice(0, 2))).toEqual({ data: { allocationSum: { __typename: 'AllocationReceipt' } } });
  const { stream } = await server.graphql<{ stream: { records: { edges: { node: { elementName: string } }[] } } }>(
    `{ stream(name: "digits") { records { edges { node { elementName } } } } }`,
  );
  expect(stream.records.edges.map(({ node }) => node.elementName).toSorted()).toEqual(names.slice(0, 2).toSorted());
});
