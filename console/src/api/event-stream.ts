import { type ClientOptions, createClient, type RequestParams, type Sink } from 'graphql-sse';
import { forget, setInterrupted, setOpen } from './connection.ts';

/** Waits before an event stream is opened again: from 0.5 s, doubled each time, up to 10 s, with jitter. */
function waitBefore(attempt: number): Promise<void> {
  return new Promise((resolve) =>
    setTimeout(resolve, Math.min(10_000, 500 * 2 ** attempt) * (0.75 + Math.random() / 2)),
  );
}

interface EventResult {
  readonly data?: unknown;
  readonly errors?: readonly { readonly extensions?: Readonly<Record<string, unknown>> | undefined }[] | undefined;
}

/** Codes with which the server would reject the same subscription again. */
const LASTING = new Set([
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'NOT_FOUND',
  'BAD_USER_INPUT',
  'BAD_REQUEST',
  'DOCUMENT_NOT_TRUSTED',
  'DOCUMENT_TOO_LARGE',
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'OPERATION_RESOLUTION_FAILURE',
]);

/** Whether the server rejects or ends the subscription, and may accept it later: it shuts down, or the key has too many subscriptions. */
function isTemporary({ data, errors = [] }: EventResult): boolean {
  if (errors.length === 0 || (data !== undefined && data !== null)) return false;
  return !errors.some(({ extensions }) => LASTING.has(String(extensions?.['code'])));
}

/** A stream that lasted this long was accepted: its end is the first failure of the next one. */
const LASTED_MS = 10_000;

/** A server that rejects a subscription does so within milliseconds after it has accepted the connection. */
const REJECTION_MS = 1000;

/**
 * Subscribes over server-sent events, and opens the stream again when it is lost: servers restart, laptops sleep. Returns a function that
 * ends it.
 *
 * While the page is hidden, the stream is closed: over HTTP/1.1, browsers open six connections to a server for all tabs, so the streams
 * of six hidden tabs would block every other request.
 */
export function openEventStream(
  { url, headers }: Pick<ClientOptions, 'url' | 'headers'>,
  request: RequestParams,
  sink: Sink,
): () => void {
  const stream = {};
  /** Ends the connection, or the wait for the next one. Null while the page is hidden. */
  let disconnect: (() => void) | null = null;
  const end = (): void => {
    document.removeEventListener('visibilitychange', follow);
    disconnect?.();
    disconnect = null;
    forget(stream);
  };
  const connect = (attempt: number): (() => void) => {
    let isOver = false;
    let endNext = (): void => {};
    const started = performance.now();
    let opening: ReturnType<typeof setTimeout> | undefined;
    const open = (): void => {
      clearTimeout(opening);
      if (!isOver) setOpen(stream);
    };
    const client = createClient({
      url,
      ...(headers && { headers }),
      retryAttempts: Infinity,
      retry: (retries) => {
        clearTimeout(opening);
        if (!isOver) setInterrupted(stream, 'LOST');
        return waitBefore(retries);
      },
      on: {
        connected: () => {
          clearTimeout(opening);
          // Pages read their data again when a stream is open, which they should not do at each rejection.
          if (attempt === 0) open();
          else opening = setTimeout(open, REJECTION_MS);
        },
      },
    });
    let isRejected = false;
    const stop = client.subscribe(request, {
      next: (result) => {
        // The server completes the stream after such an error. It, or another server, may accept the next one.
        isRejected = isTemporary(result);
        if (isOver || isRejected) return;
        open();
        sink.next(result);
      },
      error: (error) => {
        if (isOver) return;
        end();
        sink.error(error);
      },
      complete: () => {
        if (isOver) return;
        clearTimeout(opening);
        if (!isRejected) {
          end();
          sink.complete();
          return;
        }
        setInterrupted(stream, 'LOST');
        const failures = performance.now() - started < LASTED_MS ? attempt : 0;
        void waitBefore(failures).then(() => {
          if (!isOver) endNext = connect(failures + 1);
        });
      },
    });
    return () => {
      isOver = true;
      clearTimeout(opening);
      stop();
      endNext();
    };
  };
  function follow(): void {
    if (document.visibilityState === 'visible') {
      disconnect ??= connect(0);
    } else {
      disconnect?.();
      disconnect = null;
      setInterrupted(stream, 'PAUSED');
    }
  }
  document.addEventListener('visibilitychange', follow);
  follow();
  return end;
}
