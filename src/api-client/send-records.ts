import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import type { Issue } from '../errors/errors.ts';
import { ApiError, unexpectedResponse, UnreachableError } from './errors.ts';

/** Records for one stream in one request. The server stores all of them or none. */
export interface RecordsRequest {
  readonly url: string;
  readonly key: string;
  readonly stream: string;
  readonly kind: 'sum' | 'replace';
  readonly idempotencyKey: string;
  readonly body: RecordsBody;
  /** Called after each chunk with the number of bytes sent so far. */
  readonly onSent: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/** NDJSON. */
export interface RecordsBody {
  readonly bytes: number;
  /** Compressed with gzip. */
  readonly compressed: boolean;
  /** Called once per request. */
  open(): AsyncIterable<Buffer>;
}

export interface RecordsReceipt {
  readonly insertedRecords: number;
  readonly hiddenRecords: number;
  readonly replayed: boolean;
}

/** While the server writes the records it sends nothing, so only TCP keep-alive notices that its machine is gone. */
const KEEP_ALIVE_MS = 10_000;

/**
 * Returns the receipt. Throws ApiError if the server rejects the records; the second element of an issue's path is the index of
 * its record. Throws UnreachableError if the connection breaks: whether the records were stored is then unknown, so send them
 * again with the same idempotency key. There is no time limit, because the server writes a large request after its last byte,
 * which may take minutes.
 */
export async function sendRecords(records: RecordsRequest): Promise<RecordsReceipt> {
  const { url, key, stream, kind, idempotencyKey, body, onSent, signal } = records;
  const target = new URL(`${url}/unit-cost/v1/telemetry/allocation/${encodeURIComponent(stream)}/${kind}`);
  const send = target.protocol === 'https:' ? httpsRequest : httpRequest;
  const request = send(target, {
    method: 'POST',
    headers: {
      'x-api-key': key,
      'content-type': 'application/x-ndjson',
      ...(body.compressed && { 'content-encoding': 'gzip' }),
      'content-length': body.bytes,
      // Node writes header values as Latin-1, and the server reads them as UTF-8.
      'idempotency-key': Buffer.from(formatIdempotencyKey(idempotencyKey), 'utf8').toString('latin1'),
    },
    signal,
  });
  request.setSocketKeepAlive(true, KEEP_ALIVE_MS);
  const responded = new Promise<HttpResponse>((resolve, reject) => {
    request.once('error', reject).once('response', (response) => {
      const { statusCode: status = 0, headers } = response;
      text(response).then((content) => resolve({ status, content, retryAfter: headers['retry-after'] }), reject);
    });
  });
  let sentBytes = 0;
  const sending = pipeline(
    body.open(),
    async function* count(chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        yield chunk;
        onSent((sentBytes += chunk.length));
      }
    },
    request,
  );
  // Failures are reported by the response or by the request's 'error' event.
  sending.catch(() => undefined);
  try {
    return readReceipt(await responded, url);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof ApiError ? error : new UnreachableError(url, error);
  } finally {
    request.destroy();
    await sending.catch(() => undefined);
  }
}

/** A key that begins with a quote would be read as a structured string of RFC 8941, so it is written as one. */
function formatIdempotencyKey(key: string): string {
  return key.startsWith('"') ? `"${key.replaceAll(/["\\]/g, '\\$&')}"` : key;
}

interface HttpResponse {
  readonly status: number;
  readonly content: string;
  readonly retryAfter: string | undefined;
}

interface ResponseBody extends Partial<RecordsReceipt> {
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly issues?: readonly Issue[];
    readonly issueCount?: number;
  };
}

function readReceipt({ status, content, retryAfter = '' }: HttpResponse, url: string): RecordsReceipt {
  const { insertedRecords, hiddenRecords, replayed, error } = parseBody(content);
  if (status === 200 && insertedRecords !== undefined && hiddenRecords !== undefined && replayed !== undefined) {
    return { insertedRecords, hiddenRecords, replayed };
  }
  if (!error) throw unexpectedResponse(url, status);
  throw new ApiError(error.message, error.code, status, {
    ...(error.issues && { issues: error.issues }),
    ...(error.issueCount !== undefined && { issueCount: error.issueCount }),
    ...(/^\d{1,6}$/.test(retryAfter) && { retryAfterMs: Number(retryAfter) * 1000 }),
  });
}

function parseBody(content: string): ResponseBody {
  try {
    return (JSON.parse(content) ?? {}) as ResponseBody;
  } catch {
    return {};
  }
}
