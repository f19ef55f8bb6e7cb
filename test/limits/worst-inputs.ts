import { request as httpRequest } from 'node:http';
import { openSocket } from '../support/socket-client.ts';
import {
  base64,
  DOCUMENTS,
  filled,
  FULL_DOCUMENTS,
  JOB_FIELDS,
  JSON_TEXTS,
  LINES,
  type Make,
  RECORD_LISTS,
  string,
  strings,
  VARIABLE_RECORDS,
} from './worst-texts.ts';

// The costliest known requests for each transport and field, at any length.

export interface Target {
  readonly url: string;
  readonly key: string;
}

/** A request that is built before its cost is measured. */
export interface WorstRequest {
  readonly bytes: number;
  /** Resolves with the HTTP status or the close code. */
  send(target: Target): Promise<number>;
}

export type WorstInput = (bytes: number) => WorstRequest;

/** Builds a text with about the given number of bytes, shorter if its characters take several bytes. */
const fitting = (bytes: number, make: Make): string => {
  const text = make(bytes);
  const { length } = Buffer.from(text);
  return length <= bytes + 2000 ? text : make(Math.floor(bytes * (bytes / length)));
};

const overHttp = (
  method: string,
  path: string,
  headers: Readonly<Record<string, string | string[]>>,
  text: string,
): WorstRequest => {
  const body = Buffer.from(text);
  return {
    bytes: body.length,
    send: ({ url, key }) =>
      new Promise((resolve, reject) => {
        httpRequest(
          url + path,
          { method, headers: { 'x-api-key': key, ...headers, 'content-length': body.length } },
          (answer) => {
            answer.resume();
            answer.once('end', () => resolve(answer.statusCode ?? 0)).once('error', reject);
          },
        )
          .on('error', reject)
          .end(body);
      }),
  };
};

const post =
  (path: string, make: Make, type = 'application/json'): WorstInput =>
  (bytes) =>
    overHttp('POST', path, { 'content-type': type }, fitting(bytes, make));

const graphql = (make: Make): WorstInput => post('/graphql', make);
const documentOf = (make: Make): WorstInput =>
  graphql((bytes) => JSON.stringify({ query: make(bytes), operationName: null }));
const variableOf = (query: string, make: Make): WorstInput =>
  graphql((bytes) => `{"query":${JSON.stringify(query)},"variables":{"v":${make(bytes)}}}`);

const TELEMETRY = '/unit-cost/v1/telemetry/allocation/worst';
const SUM =
  'mutation($v:[AllocationRecordInput!]!){allocationSum(input:{stream:"worst",records:$v}){__typename ... on ValidationError{issueCount issues{path message}}}}';

const JOB = { jobName: 'worst', s3Url: 's3://exports', format: 'csv', aggregationBucket: 'day', range: 'ago(1d)' };
const restJob = (field: string, make: Make): WorstInput =>
  post('/jobs/check', (bytes) => {
    const { [field as 'range']: _, ...others } = JOB;
    return `${JSON.stringify(others).slice(0, -1)},"${field}":${make(bytes)}}`;
  });
const graphqlJob = (field: string, type: string, make: Make): WorstInput => {
  const others = Object.entries({ ...JOB, format: 'CSV', aggregationBucket: 'DAY' })
    .filter(([name]) => name !== field)
    .map(([name, value]) => `${name}:${['CSV', 'DAY'].includes(value) ? value : JSON.stringify(value)}`);
  return variableOf(
    `mutation($v:${type}){checkJob(input:{${others.join(',')},${field}:$v}){__typename ... on ValidationError{issueCount issues{path message}}}}`,
    make,
  );
};

const overSocket =
  (make: Make, payload: (key: string) => Readonly<Record<string, unknown>> | undefined): WorstInput =>
  (bytes) => {
    const message = fitting(bytes, make);
    return {
      bytes: message.length,
      send: async ({ url, key }) => {
        const client = await openSocket(url, payload(key));
        if (payload(key)) await client.until(({ type }) => type === 'connection_ack');
        client.socket.send(message);
        const answered = client.until(({ type }) => type !== 'connection_ack', 60_000).then(() => 200);
        const status = await Promise.race([answered, client.closed]);
        answered.catch(() => undefined);
        client.close();
        return status;
      },
    };
  };
const messageOf = (make: Make): WorstInput => overSocket(make, (key) => ({ 'X-API-Key': key }));
const subscribe = (payload: string): string => `{"type":"subscribe","id":"1","payload":${payload}}`;

const named = <Value>(prefix: string, values: Readonly<Record<string, Value>>, input: (value: Value) => WorstInput) =>
  Object.entries(values).map(([name, value]): [string, WorstInput] => [`${prefix}: ${name}`, input(value)]);

/** Head of a request. Node rejects heads over 16 KiB. */
const headOf =
  (head: (bytes: number) => { path?: string; headers?: Readonly<Record<string, string | string[]>> }): WorstInput =>
  (bytes) => {
    const { path = '/graphql', headers = {} } = head(Math.min(bytes, 14_000));
    return overHttp('GET', path, headers, '');
  };

const NODE = 'query($v:ID!){node(id:$v){id}}';
const AFTER_STREAM = 'query($v:String){streams(after:$v){totalCount}}';
const AFTER_JOB = 'query($v:String){jobs(after:$v){totalCount}}';

/** A few inputs of different kinds, for tests with little time. */
export const WORST_INPUTS: ReadonlyMap<string, WorstInput> = new Map([
  ...named('document', DOCUMENTS, documentOf),
  ...named('full document', FULL_DOCUMENTS, (text) => documentOf(() => text)),
  ...named('variables', JSON_TEXTS, (make) => variableOf(SUM, make)),
  ...named('records in variables', VARIABLE_RECORDS, (make) => variableOf(SUM, make)),
  ...named('REST JSON', JSON_TEXTS, (make) => post(`${TELEMETRY}/sum`, (bytes) => `{"records":${make(bytes)}}`)),
  ...named('records in REST JSON', RECORD_LISTS, (make) =>
    post(`${TELEMETRY}/sum`, (bytes) => `{"records":${make(bytes)}}`),
  ),
  ...named('NDJSON', LINES, (make) => post(`${TELEMETRY}/sum`, make, 'application/x-ndjson')),
  ['REST delete: small numbers', post(`${TELEMETRY}/delete`, (bytes) => filled(bytes, '0,', '{"records":[', '0]}'))],
  ['NDJSON delete: open braces', post(`${TELEMETRY}/delete`, (bytes) => filled(bytes, '{\n'), 'application/x-ndjson')],
  ...JOB_FIELDS.flatMap(([field, type, makes]) =>
    makes.flatMap((make, index): [string, WorstInput][] => [
      [`checkJob: ${field} ${index + 1}`, graphqlJob(field, type, make)],
      [`/jobs/check: ${field} ${index + 1}`, restJob(field, make)],
    ]),
  ),
  ['/jobs/check: id', restJob('id', string('a'))],
  [
    'body: operation name',
    graphql((bytes) => `{"query":"{viewer{accountName}}","operationName":${string('a')(bytes)}}`),
  ],
  ['body: extensions', graphql((bytes) => `{"query":"{viewer{accountName}}","extensions":${filled(bytes, '[')}}`)],
  ['body: document id', graphql((bytes) => `{"documentId":${string('a')(bytes)}}`)],
  ['body: batch', graphql((bytes) => filled(bytes, '{"query":"{viewer{accountName}}"},', '[', '1]'))],
  [
    'ids: many',
    variableOf(
      'query($v:[ID!]!){nodes(ids:$v){id}}',
      strings((i) => `i${i}`),
    ),
  ],
  ['ids: long', variableOf(NODE, base64('1', 'Stream:'))],
  ['ids: not base64', variableOf(NODE, string('='))],
  ['cursor: digits', variableOf(AFTER_STREAM, base64('1'))],
  ['cursor: arrays', variableOf(AFTER_STREAM, base64('['))],
  ['cursor: strings', variableOf(AFTER_STREAM, base64('"",', '[', '""]'))],
  ['cursor: a timestamp', variableOf(AFTER_JOB, base64('0', '["2026-01-01T00:00:00.', 'Z","a"]'))],
  ['search text', variableOf('query($v:String){jobs(search:$v){totalCount}}', string('%_'))],
  ...named('WebSocket', JSON_TEXTS, (make) =>
    messageOf((bytes) => subscribe(`{"query":"{viewer{accountName}}","variables":{"v":${make(bytes)}}}`)),
  ),
  [
    'WebSocket: document',
    messageOf((bytes) =>
      subscribe(JSON.stringify({ query: DOCUMENTS['lines before conflicting fields']?.(bytes / 2) })),
    ),
  ],
  ['WebSocket: not JSON', messageOf((bytes) => filled(bytes, '{'))],
  [
    'WebSocket: id',
    messageOf((bytes) => subscribe('{"query":"{viewer{accountName}}"}').replace('"1"', string('a')(bytes))),
  ],
  [
    'WebSocket: connection_init',
    overSocket(
      (bytes) => `{"type":"connection_init","payload":{"Authorization":${string('\t', 'bearer', '\nx')(bytes)}}}`,
      () => undefined,
    ),
  ],
  ['headers: key', headOf((bytes) => ({ headers: { 'x-api-key': 'a'.repeat(bytes) } }))],
  [
    'headers: authorization',
    headOf((bytes) => ({ headers: { 'x-api-key': '', authorization: `bearer${' '.repeat(bytes)}x` } })),
  ],
  [
    'headers: accept',
    headOf((bytes) => ({ path: '/graphql?query={__typename}', headers: { accept: 'a/b;q=0,'.repeat(bytes / 9) } })),
  ],
  ['headers: cookies', headOf((bytes) => ({ headers: { cookie: 'a=b;'.repeat(bytes / 4) } }))],
  ['headers: many', headOf((bytes) => ({ headers: { 'x-other': Array.from({ length: bytes / 14 }, () => 'a') } }))],
  ['address: many parameters', headOf((bytes) => ({ path: `/graphql?${'a=b&'.repeat(bytes / 4)}query={__typename}` }))],
  ['address: variables', headOf((bytes) => ({ path: `/graphql?query={__typename}&variables=${'['.repeat(bytes)}` }))],
  ['address: percent signs', headOf((bytes) => ({ path: `/jobs/${'%41'.repeat(bytes / 3)}` }))],
  ['address: slashes', headOf((bytes) => ({ path: `/jobs${'/'.repeat(bytes)}` }))],
]);
