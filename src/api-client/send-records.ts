import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';
import type { Issue } from '../errors/errors.ts';
import { ApiError, UnreachableError } from './graphql-client.ts';

/** Records for one stream in one request: all are taken or none. */
export interface RecordsRequest {
  readonly url: string;
  readonly key: string;
  readonly stream: string;
  readonly kind: 'sum' | 'replace';
  readonly idempotencyKey: string;
  /** NDJSON, opened for each request. */
  readonly body: {
    readonly bytes: number;
    /** With gzip. */ readonly compressed: boolean;
    open(): AsyncIterable<Buffer>;
  };
  /** Told after each piece how many bytes of it were taken. */
  readonly onSent: (bytes: number) => void;
  readonly signal: AbortSignal;
}

export interface RecordsReceipt {
  readonly insertedRecords: number;
  readonly hiddenRecords: number;
  readonly replayed: boolean;
}

/** Finds out, while a server that has everything is silent, whether its machine is still there. */
const KEEP_ALIVE_MS = 10_000;

/** A key that begins with a quote would be read as a string of RFC 8941, so it is written as one. */
const headerOf = (key: string): string => (key.startsWith('"') ? `"${key.replaceAll(/["\\]/g, '\\$&')}"` : key);

/**
 * Answers the receipt. Errors: ApiError with the issues, whose second word is the index of the record; UnreachableError, and then
 * nobody knows whether it was stored: send it again with the same key. There is no limit of time: a large request is
 * written when its last byte has come, and that may take minutes.
 */
export const sendRecords = async (wanted: RecordsRequest): Promise<RecordsReceipt> => {
  const { url, key, stream, kind, idempotencyKey, body, onSent, signal } = wanted;
  const target = new URL(`${url}/unit-cost/v1/telemetry/allocation/${encodeURIComponent(stream)}/${kind}`);
  const send = target.protocol === 'https:' ? httpsRequest : httpRequest;
  const request = send(target, {
    method: 'POST',
    headers: {
      'x-api-key': key,
      'content-type': 'application/x-ndjson',
      ...(body.compressed && { 'content-encoding': 'gzip' }),
      'content-length': body.bytes,
      // Header bytes are Latin-1 to Node; the server reads them as UTF-8.
      'idempotency-key': Buffer.from(headerOf(idempotencyKey), 'utf8').toString('latin1'),
    },
    signal,
  });
  request.setSocketKeepAlive(true, KEEP_ALIVE_MS);
  const answered = new Promise<{ status: number; retryAfter: string | undefined; body: string }>((resolve, reject) => {
    request.once('response', (response) => {
      text(response).then(
        (answer) =>
          resolve({ status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'], body: answer }),
        reject,
      );
    });
    request.once('error', reject);
  });
  let sent = 0;
  const sending = pipeline(
    body.open(),
    async function* count(pieces: AsyncIterable<Buffer>) {
      for await (const piece of pieces) {
        yield piece;
        onSent((sent += piece.length));
      }
    },
    request,
  );
  // What fails here the answer tells, or the request itself.
  sending.catch(() => undefined);
  let answer: Awaited<typeof answered>;
  try {
    answer = await answered;
  } catch (error) {
    signal.throwIfAborted();
    throw new UnreachableError(url, error);
  } finally {
    request.destroy();
    await sending.catch(() => undefined);
  }
  return receiptOf(answer.status, answer.body, answer.retryAfter, url);
};

interface Answer {
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly issues?: readonly Issue[];
    readonly issueCount?: number;
  };
}

const receiptOf = (status: number, body: string, retryAfter: string | undefined, url: string): RecordsReceipt => {
  let answer: (Answer & Partial<RecordsReceipt>) | null;
  try {
    answer = JSON.parse(body) as typeof answer;
  } catch {
    answer = null;
  }
  const { insertedRecords, hiddenRecords, replayed } = answer ?? {};
  if (status === 200 && insertedRecords !== undefined && hiddenRecords !== undefined && replayed !== undefined) {
    return { insertedRecords, hiddenRecords, replayed };
  }
  const retryAfterMs = /^\d{1,6}$/.test(retryAfter ?? '') ? Number(retryAfter) * 1000 : undefined;
  const error = answer?.error;
  throw new ApiError(
    error?.message ?? `What answers at ${url} (HTTP ${status}) does not answer as Sluice does.`,
    error?.code ?? null,
    status,
    {
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      ...(error?.issues && { issues: error.issues }),
      ...(error?.issueCount !== undefined && { issueCount: error.issueCount }),
    },
  );
};
