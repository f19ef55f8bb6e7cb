import { setTimeout as delay } from 'node:timers/promises';
import { ask, NDJSON, type Receipt, type RestFailure, allocationPath, type Verb } from '../rest/requests.ts';
import { type RecordInput, tryWrite, type WriteInput, type WriteKind } from '../streams/writes.ts';
import type { TestServer } from '../support/server.ts';
import type { Chance } from './chance.ts';

/** The server that the clients send to. */
export type Receiver = Pick<TestServer, 'url' | 'key' | 'request'>;

/** How a request is sent: each has a parser of its own in the server. */
export const FORMS = ['GraphQL', 'JSON', 'NDJSON'] as const;
export type Form = (typeof FORMS)[number];

export interface KeyedRequest {
  readonly kind: WriteKind;
  readonly input: WriteInput & { readonly idempotencyKey: string };
}

export interface Acknowledged {
  readonly operationId: string;
  readonly inserted: number;
  readonly hidden: number;
  readonly replayed: boolean;
}

/** `again`: whether it was stored is not known, or it was not. */
type Answer = Acknowledged | 'again';

const VERBS: Readonly<Record<WriteKind, Verb>> = { Sum: 'sum', Replace: 'replace', Delete: 'delete' };
/** No answer takes longer: that is a hang. */
const PATIENCE_MS = 60_000;
/** Codes of requests that may succeed when they are repeated. */
const RETRYABLE = new Set(['UNAVAILABLE', 'STREAM_BUSY', 'ACCOUNT_BUSY', 'TIMEOUT', 'REQUEST_TIMEOUT', 'OVERLOADED']);

const lineOf = ({ timestamp, granularity, filter, elementName, value }: RecordInput): string =>
  JSON.stringify({
    timestamp,
    granularity,
    ...(filter && { filter: Object.fromEntries(filter.map(({ dimension, values }) => [dimension, values])) }),
    ...(elementName != null && { 'element-name': elementName }),
    ...(value !== undefined && { value }),
  });

const askOverGraphQL = async (server: Receiver, { kind, input }: KeyedRequest): Promise<Answer> => {
  const { status, data, errors } = await tryWrite(server, kind, input);
  if (RETRYABLE.has(String(errors?.[0]?.extensions?.['code']))) return 'again';
  const { operation, replayed = false } = data?.answer ?? {};
  if (!operation) throw new Error(`${kind} over GraphQL: ${status} ${JSON.stringify(errors ?? data)}`);
  const { id, insertedRecords, hiddenRecords } = operation;
  return { operationId: id, inserted: insertedRecords, hidden: hiddenRecords, replayed };
};

const askOverRest = async (
  server: Receiver,
  form: 'JSON' | 'NDJSON',
  { kind, input }: KeyedRequest,
): Promise<Answer> => {
  const lines = input.records.map(lineOf);
  const { status, headers, text, body } = await ask<Receipt | RestFailure>(
    server,
    `POST ${allocationPath(input.stream, VERBS[kind])}`,
    {
      body: form === 'JSON' ? `{"records":[${lines.join(',')}]}` : `${lines.join('\n')}\n`,
      headers: { ...(form === 'NDJSON' && NDJSON), 'idempotency-key': input.idempotencyKey },
    },
  );
  if (status === 503 && headers.has('retry-after')) return 'again';
  if (!('operationId' in body)) throw new Error(`${kind} as ${form}: ${status} ${text}`);
  const { operationId, insertedRecords, hiddenRecords, replayed } = body;
  return { operationId, inserted: insertedRecords, hidden: hiddenRecords, replayed };
};

/** Sends once. Throws if the response is neither a receipt nor retryable, and if there is none. */
export const sendOnce = async (server: Receiver, form: Form, request: KeyedRequest): Promise<Answer> => {
  const patience = new AbortController();
  const hang = delay(PATIENCE_MS, undefined, { signal: patience.signal }).then(
    () => Promise.reject(new Error(`No answer in ${PATIENCE_MS / 1000} s: ${request.kind} as ${form}`)),
    () => 'again' as const,
  );
  try {
    const asked = form === 'GraphQL' ? askOverGraphQL(server, request) : askOverRest(server, form, request);
    return await Promise.race([asked, hang]);
  } catch (error) {
    // The error of fetch for a connection that was rejected, or that broke before the response was read.
    if (error instanceof TypeError || (error instanceof Error && error.name === 'SocketError')) return 'again';
    throw error;
  } finally {
    patience.abort();
  }
};

/** Sends it to one server after the other, in any form, until one acknowledges it; now and then before the one before has answered. */
export const sendUntilAcknowledged = async (
  servers: { readonly answering: readonly Receiver[] },
  chance: Chance,
  request: KeyedRequest,
  forms: readonly Form[],
  onLateFailure: (error: unknown) => void,
): Promise<Acknowledged> => {
  for (;;) {
    const { answering } = servers;
    if (answering.length > 0) {
      const asked = sendOnce(chance.pick(answering), chance.pick(forms), request);
      const isPatient = chance.between(1, 6) > 1;
      const gaveUp = delay(chance.between(5, 600)).then(() => 'again' as const);
      const answer = await (isPatient ? asked : Promise.race([asked, gaveUp]));
      if (answer !== 'again') return answer;
      asked.catch(onLateFailure);
    }
    await delay(chance.between(20, 200));
  }
};
