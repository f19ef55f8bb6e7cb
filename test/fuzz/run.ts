import type { GraphQLSchema } from 'graphql';
import { createInputs, type Input, type Kind, type Routes } from './inputs.ts';
import { createRandom } from './random.ts';
import { type Answer, createSender, Hang, type Target } from './send.ts';
import { createValues } from './values.ts';

export interface FuzzOptions {
  readonly target: Target;
  readonly schema: GraphQLSchema;
  readonly seed: number;
  readonly count: number;
  readonly atOnce?: number;
  /** Number of inputs after which `onProgress` is called. */
  readonly every?: number;
  readonly onProgress?: (sent: number) => Promise<void>;
}

export interface FuzzReport {
  readonly sent: number;
  readonly byKind: Readonly<Record<string, number>>;
  /** HTTP statuses, close codes of sockets, and "none". */
  readonly byStatus: Readonly<Record<string, number>>;
  /** Wrong responses with their inputs. */
  readonly faults: readonly string[];
}

/** Error codes of a failure or overload of the server. */
const SERVER_CODES = /"code":\s*"(INTERNAL|INTERNAL_SERVER_ERROR|UNAVAILABLE|TIMEOUT)"/;
/** How a socket is closed where the server did not know what to do. */
const SOCKET_FAULTS = new Set([1011, 4500]);
const MAX_FAULTS = 20;

/** Returns what is wrong with a response; null if nothing is. */
const faultOf = (input: Input, { status, contentType, body }: Answer): string | null => {
  if (status === null) return input.mayBeDropped ? null : 'the connection was closed without an answer';
  if (contentType === 'websocket' && SOCKET_FAULTS.has(status)) return `the socket was closed with ${status}`;
  if (status >= 500 && status < 600) return `status ${status}`;
  if (SERVER_CODES.test(body)) return `status ${status} with ${SERVER_CODES.exec(body)?.[1]}`;
  if (contentType.startsWith('application/') && contentType.includes('json') && body !== '' && !isJson(body)) {
    return input.mayBeDropped ? null : 'a response that is not JSON';
  }
  return null;
};

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

/** Sends a number of inputs concurrently, the same for the same seed. */
export const fuzz = async (options: FuzzOptions): Promise<FuzzReport> => {
  const { target, schema, seed, count, atOnce = 16, every = Number.POSITIVE_INFINITY } = options;
  const random = createRandom(seed);
  const routes = (await (await fetch(`${target.url}/openapi.json`)).json()) as Routes;
  const known = await makeKnown(target);
  const inputs = createInputs({ schema, routes, random, values: createValues(random, known), target });
  const sender = createSender(target);
  const byKind: Partial<Record<Kind, number>> = {};
  const byStatus: Record<string, number> = {};
  const faults: string[] = [];
  let sent = 0;
  const sendOne = async (input: Input): Promise<void> => {
    const answer = await input.send(sender).catch((error: unknown): Answer => {
      if (!(error instanceof Hang)) throw error;
      return { status: 599, contentType: '', body: 'no answer in time' };
    });
    byKind[input.kind] = (byKind[input.kind] ?? 0) + input.count;
    const status = `${answer.status ?? 'none'}`;
    byStatus[status] = (byStatus[status] ?? 0) + 1;
    const fault = faultOf(input, answer);
    if (fault !== null)
      faults.push(`${fault}: ${input.kind}\n${input.shown.slice(0, 4000)}\n=> ${answer.body.slice(0, 500)}`);
  };
  try {
    while (sent < count && faults.length < MAX_FAULTS) {
      const until = Math.min(count, sent + every);
      const lane = async (): Promise<void> => {
        while (sent < until && faults.length < MAX_FAULTS) {
          const input = inputs.next();
          sent += input.count;
          await sendOne(input);
        }
      };
      await Promise.all(Array.from({ length: atOnce }, lane));
      await options.onProgress?.(sent);
    }
  } finally {
    sender.close();
  }
  return { sent, byKind, byStatus, faults };
};

/** Something of each kind, so that inputs that name it get further than the look-up. */
const makeKnown = async ({ url, key }: Target): Promise<Record<string, string[]>> => {
  const ask = async <Data>(query: string): Promise<Data> => {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': key },
      body: JSON.stringify({ query }),
    });
    const answer = (await response.json()) as { data?: Data };
    if (!answer.data) throw new Error(JSON.stringify(answer));
    return answer.data;
  };
  const { job, write } = await ask<{
    job: { id: string };
    write: { stream: { id: string }; operation: { id: string } };
  }>(
    `mutation {
       job: createJob(input: { jobName: "there", s3Url: "exports/there", format: CSV, aggregationBucket: DAY, range: "ago(7d)", cron: "0 2 * * *" }) { ... on Job { id } }
       write: allocationSum(input: { stream: "there", records: [{ timestamp: "2026-01-25T00:00:00Z", granularity: DAILY, filter: [{ dimension: "region", values: ["a"] }], elementName: "hooli", value: 1 }] }) { ... on AllocationReceipt { stream { id } operation { id } } }
     }`,
  );
  const { run } = await ask<{ run: { id: string } }>(
    `mutation { run: runJob(input: { jobId: "${job.id}" }) { ... on Run { id } } }`,
  );
  return {
    ID: [job.id, run.id, write.stream.id, write.operation.id],
    stream: ['there'],
    name: ['there'],
    meterApiNames: ['there'],
    dimension: ['region'],
    groupBy: ['region', 'element'],
  };
};
